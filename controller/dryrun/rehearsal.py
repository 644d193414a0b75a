"""The command line's dry-run: one policy over a load in the simulator, beside an exact HPA and the clairvoyant."""

import asyncio
from array import array
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from controller.crd.resource import PolicyResource
from controller.dryrun.simulated import SimulatedWorkload, TwinHpa, params_for
from controller.frame import NOT_YET, Frame
from controller.policy_choice import policy_of
from controller.ports import Ports, Target
from controller.reconcile import reconcile
from scaling.decide import remember
from scaling.decision import Decision, Reason
from scaling.envelope import Envelope, envelope
from scaling.policy import Policy
from scaling.workload import STEP_S
from sim.clairvoyant import CERTAIN, clairvoyant_replicas, needed_replicas
from sim.cluster import begin_metrics, capacity_rps, draw
from sim.measures import PolicyRun, Run

Watcher = Callable[[Frame], None]
Series = NDArray[np.float64]
T = TypeVar("T")

HPA_SYNC_S = 15.0
"""Source: kube-controller-manager --horizontal-pod-autoscaler-sync-period, default 15 s (Kubernetes v1.34)."""


@dataclass(frozen=True)
class Load:
    """The demand of a run, in the unit of the resource's query: one mean for each step of `step_s` seconds."""

    demand: Series  # (n_steps,)
    step_s: float
    history: Series  # (n,) what went before, which the policy remembers as after a range query; may be empty


def run_policy(
    resource: PolicyResource, load: Load, seed: int, on_frame: Watcher, policy: Policy | None = None
) -> tuple[Run, list[Decision]]:
    """Drive one ScalingPolicy over a load in the simulated cluster; `on_frame` is called after every step.

    `policy` decides in place of the one that the resource names. The same seed gives the same run.
    """
    chosen = policy or policy_of(resource)
    return _completed(_Rehearsal(resource, chosen, load, seed).run(on_frame))


def _completed(coroutine: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result; from a thread of its own where an event loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def _series() -> "array[float]":
    return array("d")


@dataclass
class _Ledger:
    """What one policy's cluster did, step by step; 8 bytes a figure, as a year has two million steps."""

    name: str
    replicas: "array[float]" = field(default_factory=_series)
    ready: "array[float]" = field(default_factory=_series)
    requests: "array[float]" = field(default_factory=_series)
    late: "array[float]" = field(default_factory=_series)
    latency_p95_s: "array[float]" = field(default_factory=_series)
    paid: int = 0

    def note(self, world: SimulatedWorkload, requests_rps: float) -> None:
        c = world.cluster
        self.replicas.append(c["replicas"])
        self.ready.append(c["ready"])
        self.requests.append(c["arrived"])
        self.late.append(c["late"])
        self.latency_p95_s.append(world.latency_p95_s(requests_rps))
        self.paid += c["replicas"]

    def policy_run(self) -> PolicyRun:
        replicas = np.array(self.replicas)
        return PolicyRun(
            self.name,
            replicas,
            np.array(self.ready),
            np.array(self.requests),
            np.array(self.late),
            np.array(self.latency_p95_s),
            int(np.count_nonzero(np.diff(replicas))),
        )


class _Rehearsal:
    """One run in the making."""

    def __init__(self, resource: PolicyResource, policy: Policy, load: Load, seed: int) -> None:
        spec, demand = resource.spec, load.demand
        self.target, self.policy = Target(resource), policy
        self.params = params_for(spec, load.step_s)
        self.demand, self.step_s = demand, load.step_s
        self.demand_per_request = spec.stated_capacity / capacity_rps(self.params)
        self.requests_rps = demand / self.demand_per_request
        self.draws = draw(np.random.default_rng(seed), len(demand))
        self.clairvoyant = clairvoyant_replicas(self.requests_rps, self.params, spec.min_replicas, spec.max_replicas)
        self.decisions: list[Decision] = []
        self.envelope: Envelope | None = None
        self.ledgers = tuple(_Ledger(name) for name in ("forescale", "hpa", "clairvoyant"))
        start = int(max(spec.min_replicas, needed_replicas(self.requests_rps[:1], self.params, spec.max_replicas)[0]))
        self.ours, twin = self._world(start, self.params), self._world(start, self.params)
        self.hpa = TwinHpa(spec, twin)
        self.ideal = self._world(int(self.clairvoyant[0]), self.params | CERTAIN)
        for world in (self.ours, twin, self.ideal):
            begin_metrics(world.cluster, self.requests_rps[0])
        remember(self.target.state, spec, _on_memory_grid(load).tolist(), 0.0, start)

    async def run(self, on_frame: Watcher) -> tuple[Run, list[Decision]]:
        """Every step, then the figures."""
        ports = Ports(self.ours, self.ours)
        for step in range(len(self.demand)):
            await self._step(step, ports)
            on_frame(self._frame(step))
        return self._run(), self.decisions

    async def _step(self, step: int, ports: Ports) -> None:
        now_s = step * self.step_s
        due = step > 0 and _is_due(now_s, self.step_s, self.target.resource.spec.interval_s)
        if due:
            (outcome,) = await reconcile([self.target], ports, self.policy, now_s)
            if outcome.decision is None:
                raise RuntimeError(outcome.failure)  # nobody else here whose decision could be kept
            self.decisions.append(outcome.decision)
            if outcome.observation is not None:
                self.envelope = envelope(outcome.observation, self.target.spec, self.target.state)
        if step > 0 and _is_due(now_s, self.step_s, HPA_SYNC_S):
            self.hpa.sync(now_s)
        self.ideal.wanted = int(self.clairvoyant[step])
        for ledger, world in zip(self.ledgers, (self.ours, self.hpa.world, self.ideal), strict=True):
            world.pass_step(self.requests_rps[step], self.draws[step])
            ledger.note(world, self.requests_rps[step])

    def _world(self, replicas: int, params: dict[str, float]) -> SimulatedWorkload:
        reads_bad = self.target.resource.queries.bad_ratio is not None
        return SimulatedWorkload(params, replicas, self.demand_per_request, reads_bad)

    def _frame(self, step: int) -> Frame:
        ours, hpa, ideal = self.ledgers
        hour = max(1, round(3600 / self.step_s))
        arrived = sum(ours.requests[-hour:])
        return Frame(
            time_s=step * self.step_s,
            demand_rps=float(self.demand[step]),
            decision=self.decisions[-1] if self.decisions else _first_decision(self.ours.wanted),
            ready=int(ours.ready[-1]),
            latency_p95_s=ours.latency_p95_s[-1],
            bad_ratio=float(self.ours.cluster["metric_bad_ratio"]),
            bad_ratio_last_hour=sum(ours.late[-hour:]) / arrived if arrived > 0 else 0.0,
            hpa_replicas=int(hpa.replicas[-1]),
            replica_hours=ours.paid * self.step_s / 3600,
            hpa_replica_hours=hpa.paid * self.step_s / 3600,
            clairvoyant_replica_hours=ideal.paid * self.step_s / 3600,
            envelope=self.envelope,
        )

    def _run(self) -> Run:
        resource = self.target.resource
        return Run(
            title=f"{resource.namespace}/{resource.name}",
            step_s=self.step_s,
            objective_s=resource.spec.objective_s,
            capacity_rps=resource.spec.stated_capacity,
            demand_rps=self.demand,
            policies=tuple(ledger.policy_run() for ledger in self.ledgers),
        )


def _on_memory_grid(load: Load) -> Series:
    """The history on the memory's own grid, each of its steps holding the value of its time."""
    times_s = np.arange(0.0, len(load.history) * load.step_s, STEP_S)
    return np.asarray(load.history[(times_s / load.step_s).astype(int)])


def _is_due(now_s: float, step_s: float, interval_s: float) -> bool:
    """Whether an interval ended within the step that ends now."""
    return int(now_s / interval_s + 1e-9) != int((now_s - step_s) / interval_s + 1e-9)


def _first_decision(replicas: int) -> Decision:
    """What is shown before the first decision is due."""
    return Decision(0.0, None, replicas, replicas, None, replicas, replicas, (Reason.JUST_STARTED,), NOT_YET)

"""One workload as the simulator has it: both ports of a target, and an exact HPA on a world of its own."""

from typing import Any

from controller.ports import Scale, Target
from scaling.decision import Reason
from scaling.hpa import HpaSettings, HpaSpec, HpaState, Metric, MetricKind, Workload
from scaling.hpa import reconcile as sync_hpa
from scaling.observation import Reading, Unknown, Value
from scaling.spec import ScalingSpec
from sim.cluster import begin_cluster, new_cluster, new_params, transition
from sim.latency import latency_quantile_s

OBJECTIVE_IN_SERVICE_TIMES = 10.0
"""Simulated requests take a tenth of the objective, so that a pod with room is never late (chosen)."""


def params_for(spec: ScalingSpec, step_s: float) -> dict[str, float]:
    """What the simulated cluster of a workload is like. Raises InputError where it cannot be simulated."""
    return new_params(
        step_s=step_s,
        objective_s=spec.objective_s,
        service_s=spec.objective_s / OBJECTIVE_IN_SERVICE_TIMES,
        **({} if spec.startup_s is None else {"startup_s": spec.startup_s}),
    )


class SimulatedWorkload:
    """A simulated cluster as the world of one target: the dry-run's side of both ports."""

    def __init__(self, params: dict[str, float], replicas: int, demand_per_request: float, reads_bad: bool) -> None:
        self.params = params
        self.cluster = new_cluster()
        begin_cluster(self.cluster, replicas, params)
        self.wanted = replicas
        self.backlog_before = 0.0
        self.demand_per_request = demand_per_request
        self.reads_bad = reads_bad

    async def demand(self, target: Target, now_s: float) -> Reading:
        """What the demand query would answer now."""
        return self.reading()

    async def bad_ratio(self, target: Target, now_s: float) -> float | None:
        """What the bad-share query would answer now, where the resource has one."""
        return float(self.cluster["metric_bad_ratio"]) if self.reads_bad else None

    async def healthy(self, target: Target, now_s: float) -> bool:
        """Nothing else is simulated that could be unhealthy."""
        return True

    async def scale(self, target: Target, now_s: float) -> Scale:
        """The simulated /scale."""
        return Scale(self.wanted, self.cluster["ready"])

    async def set_replicas(self, target: Target, seen: Scale, replicas: int, now_s: float) -> None:
        """Patch the simulated /scale; the pods follow in the next step."""
        self.wanted = replicas

    def reading(self) -> Reading:
        """The simulated metric, in the demand query's unit."""
        if self.cluster["metric_missing"]:
            return Unknown(Reason.METRIC_EMPTY, "the simulated query answered an empty vector")
        return Value(self.cluster["metric_rps"] * self.demand_per_request, covered=True)

    def pass_step(self, requests_rps: float, draws: Any) -> None:
        """Let one step pass."""
        self.backlog_before = self.cluster["backlog"]
        transition(self.cluster, self.wanted, requests_rps, self.params, draws)

    def latency_p95_s(self, requests_rps: float) -> float:
        """95 % of this step's requests were faster."""
        c, p = self.cluster, self.params
        queue = (self.backlog_before, c["ready"], p["workers"], p["service_s"])
        return float(latency_quantile_s(0.95, requests_rps, *queue, p["timeout_s"], p["variability"], p["step_s"]))


class TwinHpa:
    """An HPA with the resource's own bounds, target and behavior, on a simulated cluster of its own."""

    def __init__(self, spec: ScalingSpec, world: SimulatedWorkload) -> None:
        self.spec, self.world = spec, world
        self.state, self.settings = HpaState(), HpaSettings()

    def sync(self, now_s: float) -> None:
        """One sync of the exact algorithm on the simulated metric."""
        reading = self.world.reading()
        values = (round(reading.value * 1000),) if isinstance(reading, Value) else None
        metric = Metric(MetricKind.EXTERNAL_AVERAGE_VALUE, max(1, round(self.spec.target_per_replica * 1000)), values)
        spec = HpaSpec(self.spec.max_replicas, (metric,), self.spec.min_replicas, self.spec.behavior)
        workload = Workload(self.world.wanted, self.world.cluster["replicas"], "app=simulated")
        outcome = sync_hpa(spec, workload, self.state, self.settings, now_s)
        self.state = outcome.state
        if outcome.desired_replicas is not None:
            self.world.wanted = outcome.desired_replicas

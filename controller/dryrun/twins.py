"""The operator's --dry-run: decisions on real demand, carried out on a simulated twin of each workload.

A twin begins at the real workload's size and then lives on its own: pods start, nodes come, requests queue, as if every
decision had been written. Nothing here can write to a cluster: of the real workload there is a function that reads it.
"""

import zlib
from collections.abc import Awaitable, Callable

import numpy as np

from controller.crd.tables import TargetRef
from controller.dryrun.simulated import SimulatedWorkload, params_for
from controller.ports import Metrics, Ports, Refused, Scale, Target, WouldBe
from scaling.errors import InputError
from scaling.observation import Reading, Value
from scaling.spec import Mode, ScalingSpec
from scaling.workload import STEP_S
from sim.cluster import capacity_rps, draw

Reader = Callable[[Target, float], Awaitable[Scale | Refused]]
"""Reads the real scale of a target at `now_s`, as `controller.ports.Workloads.scale` does."""

GONE = "TargetNotFound"
"""What a reader answers for a target that does not exist."""

MOST_STEPS_AT_ONCE = 240
"""An hour of 15 s steps (chosen); after a longer sleep the rest of it is left out."""


class Twins:
    """The workloads of a dry-run; implements `controller.ports.Workloads`. The same seed and readings give the same."""

    def __init__(self, read: Reader, seed: int = 0) -> None:
        self._read, self._seed = read, seed
        self._twins: dict[str, _Twin] = {}

    async def scale(self, target: Target, now_s: float) -> Scale | Refused:
        """The twin's scale, with what stands against a change of the real one.

        In Shadow nothing is carried out, here neither: the twin has the size of the real workload.
        """
        real = await self._read(target, now_s)
        if isinstance(real, Refused):
            if real.reason == GONE:
                self.forget(target.name)
            return real
        try:
            twin = self._twin_of(target, real, now_s)
        except InputError as error:
            return Refused("NotSimulated", str(error))
        twin.advance(now_s)
        if target.spec.mode is Mode.SHADOW:
            twin.world.wanted = real.replicas
            return real
        wanted = twin.world.wanted
        return Scale(wanted, min(wanted, twin.world.cluster["ready"]), real.holds, real.competitor, real.waiting)

    async def set_replicas(self, target: Target, seen: Scale, replicas: int, now_s: float) -> Refused | None:
        """Let the twin have so many; its pods follow in its next step."""
        twin = self._twins.get(target.name)
        if twin is None or twin.world.wanted != seen.replicas:
            return Refused("Conflict", f"the twin of {target.name} is no longer the one that was seen")
        twin.world.wanted = replicas
        return None

    def observe(self, target: Target, demand: float, now_s: float) -> None:
        """Let this much demand, in the unit of the target's query, arrive from `now_s` on."""
        twin = self._twins.get(target.name)
        if twin is not None:
            twin.advance(now_s)
            twin.demand = demand

    def would_be(self, target: Target) -> WouldBe | None:
        """What would be now; None before demand was observed."""
        twin = self._twins.get(target.name)
        return None if twin is None else twin.would_be()

    def forget(self, name: str) -> None:
        """Drop the twin of a policy (namespace/name) that is gone; should it come back, it begins anew."""
        self._twins.pop(name, None)

    def _twin_of(self, target: Target, real: Scale, now_s: float) -> "_Twin":
        twin = self._twins.get(target.name)
        if twin is None or twin.ref != target.resource.target:
            twin = self._twins[target.name] = _Twin(target, real.replicas, self._seed, now_s)
        twin.follow(target.spec)
        return twin


class TwinMetrics:
    """Metrics of a dry-run: real demand, which the twins see too, and the bad share that the twin would have."""

    def __init__(self, metrics: Metrics, twins: Twins) -> None:
        self._metrics, self._twins = metrics, twins

    async def demand(self, target: Target, now_s: float) -> Reading:
        """What Prometheus says."""
        reading = await self._metrics.demand(target, now_s)
        if isinstance(reading, Value):
            self._twins.observe(target, reading.value, now_s)
        return reading

    async def bad_ratio(self, target: Target, now_s: float) -> float | None:
        """The twin's, where one is measured: the real one belongs to another number of pods."""
        if target.resource.queries.bad_ratio is None:
            return None
        would_be = self._twins.would_be(target)
        return None if would_be is None else would_be.bad_ratio

    async def healthy(self, target: Target, now_s: float) -> bool:
        """What Prometheus says."""
        return await self._metrics.healthy(target, now_s)


def twin_ports(metrics: Metrics, twins: Twins) -> Ports:
    """Both sides of a world in which nothing is written."""
    return Ports(TwinMetrics(metrics, twins), twins)


class _Twin:
    """One simulated cluster, its chance, and how far it has come."""

    def __init__(self, target: Target, replicas: int, seed: int, now_s: float) -> None:
        self.ref: TargetRef = target.resource.target
        self.world = SimulatedWorkload(params_for(target.spec, STEP_S), replicas, 1.0, reads_bad=False)
        self._spec: ScalingSpec | None = None
        self._rng = np.random.default_rng([seed, zlib.crc32(target.name.encode())])
        self._until_s = now_s
        self.demand: float | None = None

    def follow(self, spec: ScalingSpec) -> None:
        """Be what the present wishes say: an edit or a new measurement changes what pods are like, not how many."""
        if spec != self._spec:
            world, self._spec = self.world, spec
            world.params = params_for(spec, STEP_S)
            world.demand_per_request = spec.stated_capacity / capacity_rps(world.params)

    def advance(self, now_s: float) -> None:
        """Let the whole steps up to `now_s` pass; time without any demand known does not count."""
        if self.demand is None:
            self._until_s = now_s
            return
        steps = max(0, int((now_s - self._until_s) / STEP_S + 1e-9))
        requests_rps = self.demand / self.world.demand_per_request
        for _ in range(min(steps, MOST_STEPS_AT_ONCE)):
            self.world.pass_step(requests_rps, draw(self._rng, 1)[0])
        self._until_s += steps * STEP_S

    def would_be(self) -> WouldBe | None:
        """The figures of the last step."""
        if self.demand is None:
            return None
        cluster = self.world.cluster
        latency_p95_s = self.world.latency_p95_s(self.demand / self.world.demand_per_request)
        return WouldBe(cluster["replicas"], cluster["ready"], latency_p95_s, float(cluster["metric_bad_ratio"]))

"""The load a dry-run is driven by: a recorded trace or a generated scenario, on a workload's control interval."""

import math
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from controller.dryrun.rehearsal import Load
from forescale import words
from scaling.errors import InputError
from scaling.spec import ScalingSpec
from sim.demand import SCENARIOS, generate
from sim.scenario import MAX_RPS
from sim.traces import MAX_VALUE, Trace, read_load_csv, resample

DEFAULT_SCENARIO = "day"
DEFAULT_HOURS = 24.0
DEFAULT_HISTORY_HOURS = 48.0
"""What a policy remembers when it starts: enough to know how well yesterday foretells today, and whole days."""
LEAST_STEPS = 2
MOST_STEPS = 2_500_000
"""Of a run with its history (chosen): over a year at 15 s, an hour and 2 GB on one core."""
FITTING_REPLICAS = 10.0
"""Mean of a generated load, in replicas (chosen: adding or removing one is seen, and there is room for peaks)."""
FITTING_PEAK = 0.9
"""Share of what all replicas serve that a generated peak may take (chosen: beyond it queues show, not decisions)."""
MANY_TIMES = 3.0
"""A peak of so many times what all replicas serve is rather another unit than a busy day (chosen)."""


@dataclass(frozen=True)
class LoadRequest:
    """What load was asked for: a trace, or else a scenario."""

    trace: Path | Trace | None = None
    column: str | None = None  # of a trace with several series
    scenario: str | None = None  # None: `DEFAULT_SCENARIO`, unless there is a trace
    hours: float | None = None  # None: the whole trace, or `DEFAULT_HOURS` of a scenario
    mean_rps: float | None = None  # None: the trace's or the scenario's own
    history_hours: float | None = None  # None: DEFAULT_HISTORY_HOURS of a scenario, nothing of a trace
    seed: int = 0

    def __post_init__(self) -> None:
        if self.trace is not None and self.scenario is not None:
            raise InputError(f"--trace {self.trace} and --generate {self.scenario}: give one of them")
        if self.column is not None and self.trace is None:
            raise InputError(f"--column {self.column}: names a series of a --trace, and none is given")
        for option, value in (("--hours", self.hours), ("--mean-rps", self.mean_rps)):
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{option}: {value:g} is not a number over 0")
        most_rps = MAX_RPS if self.trace is None else MAX_VALUE
        if self.mean_rps is not None and self.mean_rps > most_rps:
            raise InputError(f"--mean-rps: {self.mean_rps:g} is over {most_rps:g}, the most that a load can have")
        if self.history_hours is not None and not 0 <= self.history_hours < math.inf:
            raise InputError(f"--history-hours: {self.history_hours:g} is not a number from 0 on")
        if self.scenario is not None and self.scenario not in SCENARIOS:
            raise InputError(f"--generate: {self.scenario!r} is not one of {', '.join(SCENARIOS)}")

    @property
    def label(self) -> str:
        """The load in a few words, for titles."""
        return self.trace.name if self.trace is not None else f"scenario {self.scenario or DEFAULT_SCENARIO}"


class Loads:
    """Demand series for one workload after another; a trace's file is read and checked once, when this is built."""

    def __init__(self, request: LoadRequest) -> None:
        self._request = request
        self._trace = read_load_csv(request.trace, request.column) if isinstance(request.trace, Path) else request.trace

    def of(self, workload: str, spec: ScalingSpec, step_s: float) -> Load:
        """The load of one workload. Raises InputError for a length or a mean that cannot be had.

        Generated workloads differ from each other by name, and a seed always gives the same ones. Unless a mean was
        asked for, a generated load is `FITTING_REPLICAS` times `targetPerReplica` in the long run: more where
        minReplicas are meant for more, and less where maxReplicas could not serve its peak.
        """
        request = self._request
        if self._trace is not None:
            before = _count(request.history_hours or 0.0, step_s)
            demand = self._recorded(self._trace, step_s, before)
        else:
            history_hours = DEFAULT_HISTORY_HOURS if request.history_hours is None else request.history_hours
            before = _count(history_hours, step_s)
            n_steps = _within(before + _steps(request.hours or DEFAULT_HOURS, step_s), step_s)
            demand = self._generated(workload, step_s, n_steps, spec)
            if request.mean_rps is None:
                demand *= _fitting(demand[before:], spec)
        return Load(demand[before:], step_s, demand[:before])

    @property
    def unit(self) -> str:
        """What the load counts."""
        return "requests/s" if self._trace is None else self._trace.unit

    def _recorded(self, trace: Trace, step_s: float, before: int) -> NDArray[np.float64]:
        demand_rps = resample(trace, step_s, seed=self._request.seed)
        n_there = len(demand_rps)
        n_steps = n_there - before if self._request.hours is None else _steps(self._request.hours, step_s)
        if n_steps < LEAST_STEPS or before + n_steps > n_there:
            hours = f"{max(n_steps, LEAST_STEPS) * step_s / 3600:g}"
            after = f" after {before * step_s / 3600:g} of history" if before else ""
            raise InputError(f"--hours: {hours}{after}, but {trace.name} has {n_there * step_s / 3600:g}")
        demand_rps = demand_rps[: _within(before + n_steps, step_s)]
        mean_rps = float(demand_rps[before:].mean())
        if self._request.mean_rps is None:
            return demand_rps
        if mean_rps <= 0:
            raise InputError(f"--mean-rps: {self._request.mean_rps:g}, but {trace.name} has no load to scale")
        return demand_rps * (self._request.mean_rps / mean_rps)

    def _generated(self, workload: str, step_s: float, n_steps: int, spec: ScalingSpec) -> NDArray[np.float64]:
        """A scenario in the unit of the policy, its long-run mean the one that was asked for or that suits the spec."""
        scenario = SCENARIOS[self._request.scenario or DEFAULT_SCENARIO]
        rng = np.random.default_rng([self._request.seed, zlib.crc32(workload.encode())])
        if self._request.mean_rps is not None:
            return generate(replace(scenario, mean_rps=self._request.mean_rps), n_steps, step_s, rng)
        replicas = max(FITTING_REPLICAS, float(spec.min_replicas))
        demand_rps = generate(replace(scenario, mean_rps=replicas * scenario.pod_rps), n_steps, step_s, rng)
        return demand_rps * (spec.target_per_replica / scenario.pod_rps)


def _fitting(demand: NDArray[np.float64], spec: ScalingSpec) -> float:
    """Factor that brings the peak down to what all replicas can serve; 1 where they can."""
    peak = float(demand.max())
    most = FITTING_PEAK * spec.max_replicas * spec.stated_capacity
    return most / peak if peak > most else 1.0


def warning(load: Load, spec: ScalingSpec, unit: str) -> str | None:
    """One line about a load that is so large that its unit must be doubted; None for any other."""
    peak, most = float(load.demand.max()), spec.max_replicas * spec.stated_capacity
    if peak < MANY_TIMES * most:
        return None
    return (
        f"the load peaks at {words.rate(peak)} {unit}, {words.rate(peak / most)} times what maxReplicas"
        f" {spec.max_replicas} x capacityPerReplica {words.rate(spec.stated_capacity)} serve;"
        " is it in another unit (bytes, milliseconds)?"
    )


def _count(hours: float, step_s: float) -> int:
    return round(hours * 3600 / step_s)


def _steps(hours: float, step_s: float) -> int:
    n_steps = _count(hours, step_s)
    if n_steps < LEAST_STEPS:
        raise InputError(f"--hours: {hours:g} is under {LEAST_STEPS} intervals of {step_s:g} s")
    return n_steps


def _within(n_steps: int, step_s: float) -> int:
    if n_steps > MOST_STEPS:
        hours = f"{n_steps * step_s / 3600:g} with the history"
        raise InputError(f"--hours: {hours} is {n_steps} steps of {step_s:g} s, at most {MOST_STEPS} allowed")
    return n_steps

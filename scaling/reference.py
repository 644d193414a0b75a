"""The reference HPA: what a HorizontalPodAutoscaler with an AverageValue target would run beside us.

It is `scaling.hpa` without spec.behavior on a fixed sync period, kept in the workload's memory so that a fleet can run
it; a test drives both over the same series. It follows its own replica count: what it would run, had it been in charge.
"""

import math
from typing import Any

from scaling.hpa_kernels import average_value_replicas, limit_default
from scaling.hpa_settings import SCALE_UP_LIMIT_FACTOR, SCALE_UP_LIMIT_MINIMUM, TOLERANCE
from scaling.kernel import Record, kernel, push


@kernel
def begin_reference(w: Record, replicas: int) -> None:
    """Start the reference at the size that the workload runs at, as the HPA seeds its recommendations."""
    w["reference_replicas"] = replicas
    w["reference_log"][:] = 0
    w["reference_log"][-1] = -replicas  # negative until a recommendation as old as this seed joins it


@kernel
def reference_hpa(w: Record, terms: Record) -> int:
    """Replicas of the reference HPA after one sync on the workload's newest reading."""
    current = w["reference_replicas"]
    if current > terms["max_replicas"] or current < terms["min_replicas"]:
        return _follow_bounds(w, terms, current)
    total, target = _milli(w["level"], terms), max(1.0, _milli(terms["reference_target"], terms))
    wanted = average_value_replicas(total, target, current, TOLERANCE, TOLERANCE)
    _log(w["reference_log"], wanted)
    stabilised = int(w["reference_log"][-(terms["reference_window"] + 1) :].max())
    replicas = limit_default(
        current,
        stabilised,
        terms["min_replicas"],
        terms["max_replicas"],
        SCALE_UP_LIMIT_FACTOR,
        SCALE_UP_LIMIT_MINIMUM,
    )
    w["reference_replicas"] = replicas
    return replicas


@kernel
def _follow_bounds(w: Record, terms: Record, current: int) -> int:
    """A size outside the bounds follows them at once; the metric is not asked, but recommendations grow older."""
    _log(w["reference_log"], 0)
    replicas = int(min(max(current, terms["min_replicas"]), terms["max_replicas"]))
    w["reference_replicas"] = replicas
    return replicas


@kernel
def _milli(pods: float, terms: Record) -> float:
    """Pods as thousandths of the demand's unit, which the HPA counts in: 2.1 / 0.7 would ask for four."""
    return float(math.floor(pods * terms["stated_capacity"] * 1000.0 + 0.5))


@kernel
def _log(log: Any, wanted: int) -> None:
    """Remember a sync's recommendation, newest last; the first one shares its place with the seed."""
    if log[-1] < 0:
        log[-1] = max(wanted, int(-log[-1]))
        return
    push(log, wanted)

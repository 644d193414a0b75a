"""The arithmetic of the Kubernetes HPA as kernels, so that the compiled fleet and the dataclass code run one copy.

Owns: tolerance, ceilings, stabilisation windows, rate limits and bounds on plain numbers. Logs and events come as two
sequences of equal length (what, when); a tuple, a list and an array all do, and an unused slot of a ring buffer is a
time of minus infinity. Leaves reasons, defaults and which slot holds what to `scaling.hpa_behavior`.

Source: https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/controller/podautoscaler/replica_calculator.go and
https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/controller/podautoscaler/horizontal.go
"""

import math
from typing import Any

from scaling.kernel import kernel

Column = Any
"""A tuple, list or 1-D array of numbers."""

MAX_REPLICAS = 2**31 - 1  # replica counts are int32 in the API
NO_SLOT = -1

PODS, PERCENT = 0, 1
SELECT_MAX, SELECT_MIN, SELECT_DISABLED = 0, 1, 2


@kernel
def within_tolerance(ratio: float, down: float, up: float) -> bool:
    """Whether a usage ratio is close enough to 1 to leave the size alone; both ends included, as since v1.33."""
    return (1.0 - down) <= ratio <= (1.0 + up)


@kernel
def capped_ceil(quantity: float) -> int:
    """Plain float64 ceiling without an epsilon (1.12 * 25 is 29, not 28), held inside int32 as upstream's is."""
    if quantity >= MAX_REPLICAS:
        return MAX_REPLICAS
    if quantity <= -MAX_REPLICAS:
        return -MAX_REPLICAS
    return math.ceil(quantity)


@kernel
def average_value_replicas(
    total: float, target: float, status_replicas: int, tolerance_up: float, tolerance_down: float
) -> int:
    """Replicas for a total over a target per replica: what a Prometheus-fed autoscaler uses (AverageValue).

    Holds `status_replicas`, not the spec's, inside the tolerance. The unit cancels: the exact HPA calls this with its
    int64 milli-values as floats, anyone else with the metric's own unit. The two can differ only where a value is not
    a whole number of thousandths, or lies within one rounding step of a boundary. `total` is finite, `target` > 0.
    """
    if status_replicas > 0 and within_tolerance(total / (target * status_replicas), tolerance_down, tolerance_up):
        return status_replicas
    return capped_ceil(total / target)


@kernel
def value_replicas(
    ratio: float, spec_replicas: int, ready_pods: int, tolerance_up: float, tolerance_down: float
) -> int:
    """Replicas for a total against one target for all (Value): scales the ready pods; from zero without tolerance."""
    if spec_replicas == 0:
        return capped_ceil(ratio)
    if within_tolerance(ratio, tolerance_down, tolerance_up):
        return spec_replicas
    return capped_ceil(ratio * ready_pods)


@kernel
def scale_up_step(current: int, factor: float, minimum: float) -> int:
    """The largest size one sync may ask for when spec.behavior is absent: max(factor * current, minimum)."""
    return int(max(factor * current, minimum))


@kernel
def limit_default(
    current: int, desired: int, min_replicas: int, max_replicas: int, factor: float, minimum: float
) -> int:
    """Bounds and the per-sync step of an HPA without spec.behavior; `hpa_behavior.limit_without_behavior` says why."""
    if desired < min_replicas:
        return min_replicas
    return min(desired, max_replicas, scale_up_step(current, factor, minimum))


@kernel
def highest_kept(desired: int, replicas: Column, times_s: Column, window_s: float, now_s: float) -> int:
    """The highest recommendation not older than the window (age == window counts): stabilisation without behavior."""
    highest = desired
    for i in range(len(replicas)):
        if now_s - times_s[i] <= window_s:
            highest = max(highest, replicas[i])
    return highest


@kernel
def highest_recent(desired: int, replicas: Column, times_s: Column, window_s: float, now_s: float) -> int:
    """The highest recommendation younger than the window (age == window is out): a behavior's scale-down window."""
    highest = desired
    for i in range(len(replicas)):
        if now_s - times_s[i] < window_s:
            highest = max(highest, replicas[i])
    return highest


@kernel
def lowest_recent(desired: int, replicas: Column, times_s: Column, window_s: float, now_s: float) -> int:
    """The lowest recommendation younger than the window: a behavior's scale-up window."""
    lowest = desired
    for i in range(len(replicas)):
        if now_s - times_s[i] < window_s:
            lowest = min(lowest, replicas[i])
    return lowest


@kernel
def between(current: int, lowest: int, highest: int) -> int:
    """The current size, brought up to the lowest and then down to the highest recent recommendation."""
    return min(max(current, lowest), highest)


@kernel
def old_slot(times_s: Column, window_s: float, now_s: float) -> int:
    """Index of the last entry older than the window, whose slot may be reused, or NO_SLOT."""
    slot = NO_SLOT
    for i in range(len(times_s)):
        if now_s - times_s[i] > window_s:
            slot = i
    return slot


@kernel
def period_change(changes: Column, times_s: Column, period_s: float, now_s: float) -> int:
    """Replicas changed by the events younger than the period (age == period is out)."""
    total = 0
    for i in range(len(changes)):
        if now_s - times_s[i] < period_s:
            total += changes[i]
    return total


@kernel
def period_start(
    current: int,
    up_changes: Column,
    up_times_s: Column,
    down_changes: Column,
    down_times_s: Column,
    period_s: float,
    now_s: float,
) -> int:
    """The size with which the period began, as the events of both directions tell it."""
    added = period_change(up_changes, up_times_s, period_s, now_s)
    removed = period_change(down_changes, down_times_s, period_s, now_s)
    return current - added + removed


@kernel
def rate_limit_up(
    current: int,
    kinds: Column,
    values: Column,
    periods_s: Column,
    select: int,
    up_changes: Column,
    up_times_s: Column,
    down_changes: Column,
    down_times_s: Column,
    now_s: float,
) -> int:
    """How far up the policies allow, each counted from the size its period began with. May lie below `current`."""
    limit = current
    if select == SELECT_DISABLED:
        return limit
    for i in range(len(kinds)):
        start = period_start(current, up_changes, up_times_s, down_changes, down_times_s, periods_s[i], now_s)
        allowed = start + values[i] if kinds[i] == PODS else capped_ceil(start * (1.0 + values[i] / 100.0))
        if i == 0 or (allowed < limit if select == SELECT_MIN else allowed > limit):
            limit = allowed
    return limit


@kernel
def rate_limit_down(
    current: int,
    kinds: Column,
    values: Column,
    periods_s: Column,
    select: int,
    up_changes: Column,
    up_times_s: Column,
    down_changes: Column,
    down_times_s: Column,
    now_s: float,
) -> int:
    """How far down the policies allow; percentages cut towards zero. Max is the most change. May exceed `current`."""
    limit = current
    if select == SELECT_DISABLED:
        return limit
    for i in range(len(kinds)):
        start = period_start(current, up_changes, up_times_s, down_changes, down_times_s, periods_s[i], now_s)
        allowed = start - values[i] if kinds[i] == PODS else int(start * (1.0 - values[i] / 100.0))
        if i == 0 or (allowed > limit if select == SELECT_MIN else allowed < limit):
            limit = allowed
    return limit


@kernel
def limit_up(current: int, desired: int, max_replicas: int, rate_limit: int) -> int:
    """A wish to grow, held to the maximum and the rate limit; a used-up rate limit holds `current`."""
    return min(desired, max_replicas, max(rate_limit, current))


@kernel
def limit_down(current: int, desired: int, min_replicas: int, rate_limit: int) -> int:
    """A wish to shrink, held to the minimum and the rate limit; a used-up rate limit holds `current`."""
    return max(desired, min_replicas, min(rate_limit, current))

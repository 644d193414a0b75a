"""From a proposal to a size: stabilisation windows, rate limits and bounds, with and without spec.behavior.

Owns the logs that an HPA keeps in memory and the reasons it gives. The arithmetic is `scaling.hpa_kernels`.

Source: `normalizeDesiredReplicas`, `normalizeDesiredReplicasWithBehaviors` and `storeScaleEvent` in
https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/controller/podautoscaler/horizontal.go, and
https://github.com/kubernetes/enhancements/tree/master/keps/sig-autoscaling/853-configurable-hpa-scale-velocity
"""

from dataclasses import dataclass, replace

from scaling.hpa_conditions import HpaReason
from scaling.hpa_kernels import (
    NO_SLOT,
    between,
    highest_kept,
    highest_recent,
    limit_default,
    limit_down,
    limit_up,
    lowest_recent,
    old_slot,
    period_change,
    rate_limit_down,
    rate_limit_up,
    scale_up_step,
)
from scaling.hpa_settings import EffectiveRules, HpaSettings


@dataclass(frozen=True)
class Recommendation:
    """A size that the metrics once asked for, before it was stabilised."""

    replicas: int
    at_s: float


@dataclass(frozen=True)
class ScaleEvent:
    """A change that was carried out, without its sign; `outdated` marks a slot that a new event may take."""

    change: int
    at_s: float
    outdated: bool = False


Recommendations = tuple[Recommendation, ...]
ScaleEvents = tuple[ScaleEvent, ...]


@dataclass(frozen=True)
class Bounds:
    """The sizes a workload may have."""

    min_replicas: int
    max_replicas: int


@dataclass(frozen=True)
class Limited:
    """A size after the limits, and which limit changed it (or that none did)."""

    replicas: int
    reason: HpaReason


@dataclass(frozen=True)
class RateRules:
    """The effective rules of both directions."""

    up: EffectiveRules
    down: EffectiveRules


def stabilize_default(desired: int, log: Recommendations, window_s: float, now_s: float) -> tuple[int, Recommendations]:
    """Without behavior: the highest recommendation of the window, and the log with `desired` in it."""
    replicas, times_s = _columns(log)
    slot = old_slot(times_s, window_s, now_s)
    return highest_kept(desired, replicas, times_s, window_s, now_s), _remember(log, slot, desired, now_s)


def stabilize_behavior(
    current: int, desired: int, log: Recommendations, up_window_s: float, down_window_s: float, now_s: float
) -> tuple[int, Recommendations]:
    """With behavior: current, moved no further than both windows agree on; the log takes `desired` unstabilised."""
    replicas, times_s = _columns(log)
    lowest = lowest_recent(desired, replicas, times_s, up_window_s, now_s)
    highest = highest_recent(desired, replicas, times_s, down_window_s, now_s)
    slot = old_slot(times_s, max(up_window_s, down_window_s), now_s)
    return between(current, lowest, highest), _remember(log, slot, desired, now_s)


def limit_without_behavior(current: int, desired: int, bounds: Bounds, settings: HpaSettings) -> Limited:
    """Bounds, and at most one doubling (or four pods) a sync, whatever the time since the last."""
    factor, minimum = settings.scale_up_limit_factor, settings.scale_up_limit_minimum
    replicas = limit_default(current, desired, bounds.min_replicas, bounds.max_replicas, factor, minimum)
    if replicas == desired:
        return Limited(replicas, HpaReason.DESIRED_WITHIN_RANGE)
    if replicas > desired:
        return Limited(replicas, HpaReason.TOO_FEW_REPLICAS)
    stepped = bounds.max_replicas > scale_up_step(current, factor, minimum)
    return Limited(replicas, HpaReason.SCALE_UP_LIMIT if stepped else HpaReason.TOO_MANY_REPLICAS)


def limit_with_behavior(
    current: int, desired: int, bounds: Bounds, rules: RateRules, up: ScaleEvents, down: ScaleEvents, now_s: float
) -> Limited:
    """Bounds and the policies of the direction asked for; a size that is already there passes as it is."""
    if desired > current:
        rate = max(scale_up_limit(current, up, down, rules.up, now_s), current)
        replicas = limit_up(current, desired, bounds.max_replicas, rate)
        reason = HpaReason.SCALE_UP_LIMIT if bounds.max_replicas > rate else HpaReason.TOO_MANY_REPLICAS
    elif desired < current:
        rate = min(scale_down_limit(current, up, down, rules.down, now_s), current)
        replicas = limit_down(current, desired, bounds.min_replicas, rate)
        reason = HpaReason.SCALE_DOWN_LIMIT if bounds.min_replicas < rate else HpaReason.TOO_FEW_REPLICAS
    else:
        return Limited(desired, HpaReason.DESIRED_WITHIN_RANGE)
    return Limited(replicas, HpaReason.DESIRED_WITHIN_RANGE if replicas == desired else reason)


def scale_up_limit(current: int, up: ScaleEvents, down: ScaleEvents, rules: EffectiveRules, now_s: float) -> int:
    """The size up to which the policies allow growth; below `current` where the period's share is spent."""
    return rate_limit_up(
        current, rules.kinds, rules.values, rules.periods_s, rules.select, *_changes(up), *_changes(down), now_s
    )


def scale_down_limit(current: int, up: ScaleEvents, down: ScaleEvents, rules: EffectiveRules, now_s: float) -> int:
    """The size down to which the policies allow shrinking; above `current` where the period's share is spent."""
    return rate_limit_down(
        current, rules.kinds, rules.values, rules.periods_s, rules.select, *_changes(up), *_changes(down), now_s
    )


def change_within(events: ScaleEvents, period_s: float, now_s: float) -> int:
    """Replicas that one direction's events of the last `period_s` add up to."""
    return period_change(*_changes(events), period_s, now_s)


def store_scale_event(events: ScaleEvents, change: int, rules: EffectiveRules, now_s: float) -> ScaleEvents:
    """Add a change to its direction's log, in the last slot that no policy of the direction looks at any more."""
    longest_s = rules.longest_period_s
    marked = [replace(event, outdated=event.outdated or now_s - event.at_s > longest_s) for event in events]
    outdated = [slot for slot, event in enumerate(marked) if event.outdated]
    newest = ScaleEvent(change, now_s)
    if not outdated:
        return (*marked, newest)
    marked[outdated[-1]] = newest
    return tuple(marked)


def _remember(log: Recommendations, slot: int, desired: int, now_s: float) -> Recommendations:
    newest = Recommendation(desired, now_s)
    if slot == NO_SLOT:
        return (*log, newest)
    return (*log[:slot], newest, *log[slot + 1 :])


def _columns(log: Recommendations) -> tuple[list[int], list[float]]:
    return [entry.replicas for entry in log], [entry.at_s for entry in log]


def _changes(events: ScaleEvents) -> tuple[list[int], list[float]]:
    return [event.change for event in events], [event.at_s for event in events]

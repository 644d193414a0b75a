"""spec.behavior around a policy's proposal: tolerance, stabilisation windows and rate limits, as the HPA applies them.

A band policy brings its own release window, so a window that the user did not set is none here rather than the HPA's
300 s; everything else is the HPA's arithmetic (docs/decisions/0003-behavior-around-bands.md).
"""

from dataclasses import dataclass, replace

from scaling.decision import Reason
from scaling.hpa_behavior import (
    Bounds,
    RateRules,
    Recommendations,
    ScaleEvents,
    limit_with_behavior,
    stabilize_behavior,
    store_scale_event,
)
from scaling.hpa_kernels import MAX_REPLICAS, within_tolerance
from scaling.hpa_settings import (
    Behavior,
    effective_down,
    effective_up,
)

Reasons = tuple[Reason, ...]


@dataclass(frozen=True)
class BehaviorLog:
    """What windows and rate limits look back on: sizes once asked for, and changes carried out."""

    recommendations: Recommendations = ()
    up_events: ScaleEvents = ()
    down_events: ScaleEvents = ()


def fit_behavior(
    wanted: int, current: int, behavior: Behavior, log: BehaviorLog, now_s: float
) -> tuple[int, Reasons, BehaviorLog]:
    """What behavior leaves of a wanted size, why, and the log with this recommendation in it."""
    rules = _rules(behavior)
    if _within_tolerance(wanted, current, behavior):
        _, _, log = _stabilise_and_limit(current, current, rules, log, now_s)  # windows remember this hold, too
        return current, (Reason.WITHIN_TOLERANCE,), log
    return _stabilise_and_limit(wanted, current, rules, log, now_s)


def log_change(current: int, final: int, behavior: Behavior | None, log: BehaviorLog, now_s: float) -> BehaviorLog:
    """The log after a decision to go from `current` to `final`; nothing is remembered without behavior."""
    if behavior is None or final == current:
        return log
    rules = _rules(behavior)
    if final > current:
        return replace(log, up_events=store_scale_event(log.up_events, final - current, rules.up, now_s))
    return replace(log, down_events=store_scale_event(log.down_events, current - final, rules.down, now_s))


def longest_period_s(behavior: Behavior) -> float:
    """How far back the rates of either direction look, in seconds."""
    rules = _rules(behavior)
    return max(rules.up.longest_period_s, rules.down.longest_period_s)


def log_wanted(wanted: int, current: int, behavior: Behavior | None, log: BehaviorLog, now_s: float) -> BehaviorLog:
    """The log with a recommendation that was made without a reading; nothing is remembered without behavior."""
    if behavior is None:
        return log
    _, _, log = _stabilise_and_limit(wanted, current, _rules(behavior), log, now_s)
    return log


def _stabilise_and_limit(
    wanted: int, current: int, rules: RateRules, log: BehaviorLog, now_s: float
) -> tuple[int, Reasons, BehaviorLog]:
    reasons: Reasons = ()
    stable, recommendations = stabilize_behavior(
        current, wanted, log.recommendations, rules.up.window_s, rules.down.window_s, now_s
    )
    if stable != wanted:
        reasons += (Reason.SCALE_UP_STABILIZED if wanted > current else Reason.SCALE_DOWN_STABILIZED,)
    limited = limit_with_behavior(
        current, stable, Bounds(0, MAX_REPLICAS), rules, log.up_events, log.down_events, now_s
    ).replicas
    if limited != stable:
        reasons += (Reason.SCALE_UP_LIMIT if stable > current else Reason.SCALE_DOWN_LIMIT,)
    return limited, reasons, replace(log, recommendations=recommendations)


def _within_tolerance(wanted: int, current: int, behavior: Behavior) -> bool:
    """Whether a wanted change is within the tolerance that the user set for its direction."""
    rules = behavior.scale_up if wanted > current else behavior.scale_down
    if rules is None or rules.tolerance is None or current == 0 or wanted == current:
        return False
    return within_tolerance(wanted / current, rules.tolerance, rules.tolerance)


def _rules(behavior: Behavior) -> RateRules:
    return RateRules(effective_up(behavior.scale_up), effective_down(behavior.scale_down, 0.0))

"""Figures, times and reasons as people read them; the one place where output is worded."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from scaling.decision import Action, Band, Decision, Reason

ABSENT = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


class Words(NamedTuple):
    """A reason as a label on a chart and as a clause in a table."""

    label: str
    clause: str


REASONS: dict[Reason, Words] = {
    Reason.METRIC_EMPTY: Words("metric empty", "the demand query returned nothing"),
    Reason.METRIC_NAN: Words("metric not a number", "the demand reading was not a number"),
    Reason.METRIC_STALE: Words("metric stale", "the demand reading was too old"),
    Reason.METRIC_ERROR: Words("metric failed", "the demand query failed"),
    Reason.METRIC_IMPLAUSIBLE: Words("metric implausible", "the demand reading was too large to be load"),
    Reason.METRIC_PARTIAL: Words("metric partial", "a part of the load is known, so nothing is removed"),
    Reason.HISTORY_SHORT: Words("history short", "less than 16 min of load is remembered"),
    Reason.READINESS_UNKNOWN: Words("readiness unknown", "nobody tells how many replicas are ready, so all count"),
    Reason.SCALED_TO_ZERO: Words("switched off", "somebody scaled the target to zero, and only they wake it"),
    Reason.PAUSED: Words("paused", "the policy is paused"),
    Reason.CONFLICT: Words("somebody else scales", "somebody else scales the target, so nothing is changed"),
    Reason.FROZEN: Words("frozen", "a freeze window is open"),
    Reason.OUT_OF_DISTRIBUTION: Words("unlike training", "the load is unlike what the policy was trained on"),
    Reason.POLICY_UNUSABLE: Words("policy unusable", "the policy gave no usable answer"),
    Reason.FALLBACK_REFERENCE: Words("fallback: HPA rule", "the HPA rule stood in"),
    Reason.FALLBACK_REPLICAS: Words("fallback: fixed count", "the fixed fallback count stood in"),
    Reason.BELOW_BAND: Words("below the band", "fewer replicas than the band asks for"),
    Reason.WITHIN_BAND: Words("within the band", "the replicas are within the band"),
    Reason.ABOVE_BAND: Words("above the band", "more replicas than the band allows"),
    Reason.FLOOR_UTILIZATION: Words("utilisation floor", "raised so that no replica runs too hot"),
    Reason.CEILING_RATIO: Words("ceiling over HPA", "capped at a multiple of the HPA rule"),
    Reason.MIN_READY: Words("too few ready", "nothing removed while too few replicas are ready"),
    Reason.PODS_NOT_READY: Words("pods not ready", "nothing added while pods that were asked for do not become ready"),
    Reason.ROLLOUT: Words("rollout", "nothing removed while a rollout is in progress"),
    Reason.UNHEALTHY: Words("not healthy", "nothing removed while a health query does not hold"),
    Reason.NO_SCALE_DOWN: Words("no scale-down now", "nothing removed while a freeze window says so"),
    Reason.JUST_STARTED: Words("just started", "nothing changed on a first look at the workload"),
    Reason.FALLBACK_KEPT: Words("fallback kept", "what the fallback added stays for the scale-down window"),
    Reason.UP_ONLY: Words("up-only mode", "the mode only adds"),
    Reason.WITHIN_TOLERANCE: Words("within tolerance", "too small a change to be worth it"),
    Reason.SCALE_UP_STABILIZED: Words("waiting to add", "the stabilisation window holds additions back"),
    Reason.SCALE_DOWN_STABILIZED: Words("waiting to remove", "the stabilisation window holds removals back"),
    Reason.SCALE_UP_LIMIT: Words("add rate limit", "the scale-up rate limit cut the step"),
    Reason.SCALE_DOWN_LIMIT: Words("remove rate limit", "the scale-down rate limit cut the step"),
    Reason.TOO_FEW_REPLICAS: Words("at the minimum", "kept at minReplicas"),
    Reason.TOO_MANY_REPLICAS: Words("at the maximum", "kept at maxReplicas"),
}


def title(policy_name: str) -> str:
    """A policy's name as people write it."""
    return "HPA" if policy_name == "hpa" else policy_name


def clauses(reasons: Iterable[Reason]) -> str:
    """Reasons as one line of plain words, in the order in which they were given."""
    return "; ".join(REASONS[reason].clause for reason in reasons)


def labels(reasons: Iterable[Reason]) -> str:
    """Reasons as short labels on one line."""
    return ", ".join(REASONS[reason].label for reason in reasons)


def move(decision: Decision) -> str:
    """What a decision does: `Add 3`, `Remove 1` or `Hold`."""
    if decision.action is Action.HOLD:
        return decision.action.value
    return f"{decision.action.value} {abs(decision.final_replicas - decision.current_replicas)}"


def band(value: Band | None) -> str:
    """A band as `6 to 8`."""
    return ABSENT if value is None else f"{value.lo} to {value.hi}"


def percent(ratio: float, digits: int = 2) -> str:
    """A ratio as a percentage; what is not zero never reads as zero."""
    if not math.isfinite(ratio):
        return ABSENT
    least = 10.0**-digits
    if 0 < ratio * 100 < least:
        return f"<{least:.{digits}f} %"
    return f"{ratio * 100:.{digits}f} %"


def change(ratio: float) -> str:
    """A relative change with its sign, as in `+21.0 %`."""
    if not math.isfinite(ratio):
        return ABSENT
    percents = round(ratio * 100, 1)
    return f"{percents:+.1f} %".replace("-", MINUS) if percents else "0.0 %"


def signed(count: float) -> str:
    """A change of a count with its sign."""
    return f"{count:+.0f}".replace("-", MINUS) if count else "0"


def number(value: float, digits: int = 2) -> str:
    """A figure for a table, with thousands set apart."""
    return f"{value:,.{digits}f}" if math.isfinite(value) else ABSENT


def rate(per_s: float) -> str:
    """A rate to three significant digits, or to the unit from a hundred on."""
    return f"{per_s:,.0f}" if per_s >= 100 else f"{per_s:.3g}"


def duration(seconds: float) -> str:
    """A latency or interval in the unit that suits it."""
    if not math.isfinite(seconds):
        return ABSENT
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.3g} s"


def clock(time_s: float) -> str:
    """A moment of the run as `06:15:30`, with the days before it when there are any."""
    days, rest = divmod(round(time_s), 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    return (f"{days} d " if days else "") + f"{hours:02d}:{minutes:02d}:{seconds:02d}"


def span(seconds: float) -> str:
    """A length of time in hours, or in days from three days on."""
    hours = seconds / 3600
    return f"{hours / 24:.3g} days" if hours >= 72 else f"{hours:.3g} hours"

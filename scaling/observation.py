"""What was read about a workload: a demand reading that says whether it is one, and its replicas.

Missing is not zero: whatever is not a `Value` holds the replicas, with a reason that a person can read.
"""

import math
from dataclasses import dataclass, field

from scaling.decision import Reason


@dataclass(frozen=True)
class Value:
    """A usable reading, in the query's unit."""

    value: float
    partial: bool = False
    """Some of what it counts is missing: it may add replicas, removes none, and is not remembered."""
    covered: bool = field(default=False, compare=False)
    """The source has checked that samples cover all of the time that the query reads. Where it has not, a reading that
    follows a gap counts as partial for a while (`decide.UNCHECKED_S`)."""
    why: str = field(default="", compare=False)
    """What is missing, in words for people."""


@dataclass(frozen=True)
class Unknown:
    """No usable reading, and why: one of the METRIC reasons, with the source's words."""

    reason: Reason
    message: str = ""


Reading = Value | Unknown


@dataclass(frozen=True)
class Observation:
    """One look at a workload. `bad_ratio`: measured share of bad requests, None where nobody measures it.

    `holds`: what the world says against a change (`guardrails`). CONFLICT and FROZEN: none at all. JUST_STARTED: none
    but for the bounds. ROLLOUT, UNHEALTHY and NO_SCALE_DOWN: none that removes, PODS_NOT_READY: none that adds, but for
    the bounds.
    """

    demand: Reading
    current_replicas: int  # asked for, spec.replicas of /scale
    ready_replicas: int  # serving
    bad_ratio: float | None = None
    holds: tuple[Reason, ...] = ()
    ready_known: bool = True  # where it is not, all that are asked for count as ready


def usable_ratio(ratio: float | None) -> float | None:
    """A measured share within 0..1, or None for what is no number: without traffic the usual query answers 0 / 0."""
    if ratio is None or not math.isfinite(ratio):
        return None
    return min(1.0, max(0.0, ratio))


def usable(reading: Reading) -> Reading:
    """The reading, or why a value that no demand can have is none."""
    if isinstance(reading, Unknown):
        return reading
    if math.isnan(reading.value):
        return Unknown(Reason.METRIC_NAN, "the query answered NaN")
    if reading.value < 0 or math.isinf(reading.value):
        return Unknown(Reason.METRIC_ERROR, f"the query answered {reading.value}; demand is finite and at least 0")
    return reading

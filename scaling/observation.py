"""What was read about a workload: a demand reading that says whether it is one, and its replicas.

Missing is not zero: whatever is not a `Value` holds the replicas, with a reason that a person can read.
"""

import math
from dataclasses import dataclass, field, replace

from scaling.decision import Reason
from scaling.spec import ScalingSpec


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


MOST_TIMES_CAPACITY = 1000
"""A load of more than this many times what `maxReplicas` serve is none. Chosen: what arrives in an overload, or in an
attack, is tens or hundreds of times too much. From a thousand on it is a number in another unit (milliseconds for
seconds, bytes for kilobytes), the spike of a counter that was reset, or no measurement at all."""

NOTHING = 1e-9
"""Share of a replica's capacity up to which a load is none: what is left of a sum that comes to 0 (chosen)."""

LEAST_TRUE, MOST_TRUE = 1e-9, 1e15
"""Sizes of a number that can be an answer to whether something holds (chosen): a count, a share, a 1."""

MOST_RATIO_ERROR = 1.0
"""How far outside 0..1 a measured share can be (chosen). Its two counters are scraped at different times, so either
can count up to twice what the other does."""


def usable_ratio(ratio: float | None) -> float | None:
    """A measured share within 0..1, or None for what is none: without traffic the usual query answers 0 / 0."""
    if ratio is None or not -MOST_RATIO_ERROR <= ratio <= 1 + MOST_RATIO_ERROR:
        return None
    return min(1.0, max(0.0, ratio))


def is_true(value: float) -> bool:
    """Whether a condition's number says that it holds: any but 0, and what is as good as 0 or no answer."""
    return LEAST_TRUE <= abs(value) <= MOST_TRUE


def usable(reading: Reading, spec: ScalingSpec) -> Reading:
    """The reading, or why a value that no demand can have is none."""
    if isinstance(reading, Unknown):
        return reading
    value, most = reading.value, MOST_TIMES_CAPACITY * spec.max_replicas * spec.stated_capacity
    if math.isnan(value):
        return Unknown(Reason.METRIC_NAN, "the query answered NaN")
    if abs(value) <= NOTHING * spec.stated_capacity:
        return reading if value == 0 else replace(reading, value=0.0)
    if value < 0 or math.isinf(value):
        return Unknown(Reason.METRIC_ERROR, f"the query answered {value}; demand is finite and at least 0")
    if value > most:
        return Unknown(Reason.METRIC_IMPLAUSIBLE, _too_much(value, spec))
    return reading


def _too_much(value: float, spec: ScalingSpec) -> str:
    served = f"{spec.max_replicas * spec.stated_capacity:g}"
    return (
        f"the query answered {value:g}, over {MOST_TIMES_CAPACITY} times what maxReplicas {spec.max_replicas} serve "
        f"({served}); is it in the unit of targetPerReplica?"
    )

"""What the calendar says of a policy at one moment: the wishes that hold then, and what may not change.

Owns when the windows of spec.guardrails.freezeWindows are open, and what several open ones come to. Their values and
forms are in `controller.crd.freeze_window`; holds are obeyed by `scaling.decide`.

A schedule is read on the clocks of its time zone, as Debian's cron does: a time that the clocks skip comes right after
the gap, one that they show twice comes the first time. A duration is time that passes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from weakref import WeakKeyDictionary

from controller.crd.freeze_window import FreezeWindow, Starts, zone_of
from controller.crd.resource import PolicyResource
from scaling.decision import Reason
from scaling.spec import ScalingSpec

Wishes = tuple[ScalingSpec, tuple[Reason, ...]]

LONGEST_FOLD_S = 7200.0
"""More than any zone sets its clocks back by at once: an hour nearly everywhere."""


def wishes_at(resource: PolicyResource, unix_s: float) -> Wishes:
    """The spec at a moment, with the floors and ceilings of open windows in place of its bounds, and their holds.

    Of several floors the highest holds, of ceilings the lowest; a floor gives way to a ceiling. Pure: an answer is kept
    until it can change, so that asking again costs nothing.
    """
    if not resource.windows:
        return resource.spec, ()
    answer = _ANSWERS.get(resource)
    if answer is None or not answer.from_s <= unix_s < answer.until_s:
        answer = _ANSWERS[resource] = _answer(resource, unix_s)
    return answer.wishes


@dataclass(frozen=True)
class _Answer:
    """What is known of a policy, from a moment until just before another (Unix time)."""

    wishes: Wishes
    from_s: float
    until_s: float


_ANSWERS: WeakKeyDictionary[PolicyResource, _Answer] = WeakKeyDictionary()


def _answer(resource: PolicyResource, unix_s: float) -> _Answer:
    phases = [_phase(window, unix_s) for window in resource.windows]
    opened = [window for window, (is_open, _) in zip(resource.windows, phases, strict=True) if is_open]
    holds = dict.fromkeys(window.hold for window in opened if window.hold is not None)
    wishes = _bounded(resource.spec, opened), tuple(holds)
    return _Answer(wishes, unix_s, min(until_s for _, until_s in phases))


def _phase(window: FreezeWindow, unix_s: float) -> tuple[bool, float]:
    """Whether a window is open, and until when that is certain."""
    minute = int(unix_s // 60)
    end_s = _last_start_s(window.schedule, window.time_zone, minute) + window.duration_s
    if unix_s < end_s:
        return True, end_s
    return False, _next_start_s(window.schedule, window.time_zone, minute)


def _bounded(spec: ScalingSpec, opened: Sequence[FreezeWindow]) -> ScalingSpec:
    ceilings = [window.max_replicas for window in opened if window.max_replicas is not None]
    floors = [window.min_replicas for window in opened if window.min_replicas is not None]
    if not ceilings and not floors:
        return spec
    high = min([spec.max_replicas, *ceilings])
    low = min(high, max([spec.min_replicas, *floors]))
    fallback = spec.guardrails.fallback
    if fallback.replicas is not None:
        fallback = replace(fallback, replicas=min(high, max(low, fallback.replicas)))
    return replace(spec, min_replicas=low, max_replicas=high, guardrails=replace(spec.guardrails, fallback=fallback))


# Starts; cron counts in minutes, and policies that share a schedule share what was found of it


@lru_cache(maxsize=1024)
def _last_start_s(schedule: str, zone_name: str, minute: int) -> float:
    """Unix time of the last start in or before a minute; minus infinity where there was none."""
    known_s, zone = 60.0 * minute, zone_of(zone_name)
    begin = datetime.fromtimestamp(known_s + 1, zone)  # one second on, for the iteration leaves out where it begins
    if begin.fold:  # wall time that comes twice: seen from its second pass, cronsim takes the first for the future
        begin = datetime.fromtimestamp(known_s + LONGEST_FOLD_S, zone)
    starts = (start.timestamp() for start in _starts(schedule, begin, reverse=True))
    return next((start_s for start_s in starts if start_s <= known_s), float("-inf"))


@lru_cache(maxsize=1024)
def _next_start_s(schedule: str, zone_name: str, minute: int) -> float:
    """Unix time of the first start after a minute; infinity where there will be none."""
    known_s = 60.0 * minute
    begin = datetime.fromtimestamp(known_s, zone_of(zone_name))
    starts = (start.timestamp() for start in _starts(schedule, begin, reverse=False))
    return next((start_s for start_s in starts if start_s > known_s), float("inf"))


def _starts(schedule: str, begin: datetime, *, reverse: bool) -> Iterator[datetime]:
    yield from Starts(schedule, begin, reverse)

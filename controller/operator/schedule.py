"""When each policy is due: together with all that share its query, and soon after its samples are scraped.

Policies of one group and interval keep one beat, so that a grouped query serves them all. A beat begins at a random
point within half an interval, so that an operator's start is no stampede, and then follows the scrapes: a decision is
as late as its samples are old.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

BEHIND_SCRAPE_S = 0.7
"""How long after the newest sample a beat wants to be: a scrape's samples can be queried once all are written
(chosen)."""

LEAST_SHIFT_S = 0.5
"""Closer than this to the wanted point a beat stays where it is."""

STAYS_FOR = 10
"""Intervals that a beat stays where it has moved to: scrapes keep their times, and where members are scraped at
different ones, each measurement would move it on, and come sooner for all (chosen)."""


@dataclass
class _Beat:
    interval_s: float
    next_s: float
    stays_until_s: float = -math.inf
    members: set[str] = field(default_factory=set)


class Schedule:
    """Who is due."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self._beats: dict[tuple[str, float], _Beat] = {}
        self._keys: dict[str, tuple[str, float]] = {}
        self._chance = chance or random.Random()

    def put(self, member: str, group: str, interval_s: float, now_s: float) -> None:
        """Take a member in, or move it to another group or interval."""
        key = (group, interval_s)
        if self._keys.get(member) == key:
            return
        self.drop(member)
        if key not in self._beats:
            self._beats[key] = _Beat(interval_s, now_s + self._chance.random() * interval_s / 2)
        self._beats[key].members.add(member)
        self._keys[member] = key

    def drop(self, member: str) -> None:
        """Forget a member."""
        key = self._keys.pop(member, None)
        if key is None:
            return
        self._beats[key].members.discard(member)
        if not self._beats[key].members:
            del self._beats[key]

    def due(self, now_s: float) -> list[str]:
        """All whose time has come. Beats that were missed are not made up for."""
        members: list[str] = []
        for beat in self._beats.values():
            if beat.next_s <= now_s:
                members.extend(beat.members)
                beat.next_s += beat.interval_s * (1 + (now_s - beat.next_s) // beat.interval_s)
        return members

    def next_s(self, default_s: float) -> float:
        """When somebody is due next."""
        return min((beat.next_s for beat in self._beats.values()), default=default_s)

    def follow(self, sampled_s: Mapping[str, float]) -> None:
        """Move beats to where they follow the newest samples of their members, by coming sooner.

        `sampled_s`: when a member's newest sample was taken, as far as that was measured.
        """
        newest_s: dict[tuple[str, float], float] = {}
        for member, at_s in sampled_s.items():
            key = self._keys.get(member)
            if key is not None:
                newest_s[key] = max(at_s, newest_s.get(key, at_s))
        for key, at_s in newest_s.items():
            _follow(self._beats[key], at_s)


def _follow(beat: _Beat, sampled_s: float) -> None:
    late_s = (beat.next_s - sampled_s - BEHIND_SCRAPE_S) % beat.interval_s
    if beat.next_s >= beat.stays_until_s and min(late_s, beat.interval_s - late_s) > LEAST_SHIFT_S:
        beat.next_s -= late_s
        beat.stays_until_s = beat.next_s + STAYS_FOR * beat.interval_s

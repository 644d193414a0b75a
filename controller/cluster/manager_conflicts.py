"""Who undoes or forestalls our writes: a GitOps controller that resets spec.replicas, say, as managedFields tell.

Owns the history of our writes to each target, and when it amounts to a contest. `workloads.py` tells of our writes,
done or not, and of each look; who else scales a target by an object of its own is left to `competitors.py`.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from controller.cluster.watched import Workload, is_newer
from controller.crd.tables import TargetRef
from controller.ports import Refused
from scaling.limits import shown

MANAGER = "forescale"
"""Our name in managedFields."""

CONTESTED = "Contested"

CONTESTED_S = 600.0
"""So long two undone writes belong together, and so long at least we keep off afterwards. Chosen: several rounds of a
GitOps controller (Argo CD looks every three minutes), and short enough for a person to wait for."""

MOST_UNDONE = 2
"""Writes undone or forestalled that make a contest; one `kubectl scale` is a person's wish, and the next decision's
start."""

STUBBORN_S, MOST_STUBBORN = 6 * 3600.0, 3
"""So many times the same size by the same manager within this make one, too: Flux looks every ten minutes, or every
hour. We then keep off for twice as long as its last two were apart (chosen)."""

BEFORE_ALL = "0"
"""A resourceVersion that any other is newer than."""

Key = tuple[str, TargetRef]
"""Namespace and target."""


class _Ours(NamedTuple):
    """A size that we set, or that somebody else's kept us from setting."""

    replicas: int
    resource_version: str


class _Undone(NamedTuple):
    """A size of ours that somebody else's took the place of."""

    at_s: float
    by: str
    replicas: int


@dataclass(slots=True)
class _Contest:
    """The history of our writes to one target."""

    ours: _Ours | None = None
    """Our latest, until it is undone."""
    undone: tuple[_Undone, ...] = ()
    """The latest ones that were."""
    until_s: float = 0.0
    found: tuple[_Undone, ...] = ()
    """Those that made the contest."""

    def judge(self, now_s: float) -> None:
        """Whether the undone writes make a contest now, and until when we then keep off."""
        latest = self.undone[-1]
        quick = tuple(each for each in self.undone if now_s - each.at_s < CONTESTED_S)
        stubborn = tuple(each for each in self.undone if each[1:] == latest[1:])
        if len(quick) >= MOST_UNDONE:
            self.found = quick
        elif len(stubborn) >= MOST_STUBBORN:
            self.found = stubborn
        else:
            return
        self.until_s = now_s + max(CONTESTED_S, 2 * (now_s - self.found[-2].at_s))

    def said(self, scaled: str) -> str:
        """It in one sentence for people."""
        by, times = self.found[-1].by, len(self.found)
        who = shown(by) if by else "somebody"
        minutes = math.ceil(max(CONTESTED_S, self.found[-1].at_s - self.found[0].at_s) / 60)
        return f"{who} set spec.replicas of {scaled} against our writes {times} times within {minutes} minutes"


class ManagerConflicts:
    """The histories of all targets."""

    def __init__(self) -> None:
        self._of: dict[Key, _Contest] = {}

    def note_write(self, key: Key, written: Workload) -> None:
        """Remember what we made of a target."""
        self._of.setdefault(key, _Contest()).ours = _Ours(written.replicas, written.resource_version)

    def note_forestalled(self, key: Key, replicas: int) -> None:
        """Remember what we were about to make of a target when its size changed since the decision; whose doing that
        was, the next look tells."""
        self._of.setdefault(key, _Contest()).ours = _Ours(replicas, BEFORE_ALL)

    def note_lost_write(self, key: Key) -> None:
        """Take in that we do not know what we made of a target: no answer came."""
        if key in self._of:
            self._of[key].ours = None

    def note_scale(self, key: Key, seen: Workload, now_s: float) -> None:
        """Compare what is there with what we wrote; to be told at each look, at least once between two writes."""
        contest = self._of.get(key)
        ours = None if contest is None else contest.ours
        if contest is None or ours is None or not is_newer(seen.resource_version, ours.resource_version):
            return
        latest = max(seen.managers, key=lambda each: (each.time, each.name != MANAGER), default=None)
        by = "" if latest is None else latest.name
        if seen.replicas == ours.replicas or by == MANAGER:  # written without our knowing, by an answer that was lost
            return
        recent = [each for each in contest.undone if now_s - each.at_s < STUBBORN_S]
        contest.ours, contest.undone = None, (*recent, _Undone(now_s, by, seen.replicas))
        contest.judge(now_s)

    def of(self, key: Key, now_s: float) -> Refused | None:
        """Who does it, while we keep off a target."""
        contest = self._of.get(key)
        if contest is None or now_s >= contest.until_s:
            return None
        return Refused(CONTESTED, contest.said(f"{key[1].kind} {key[1].name}"))

    def forget(self, key: Key) -> None:
        """Drop the history of a target that is no longer served, or another one than it was."""
        self._of.pop(key, None)

    def clear(self) -> None:
        """Drop all: another instance has written meanwhile."""
        self._of.clear()

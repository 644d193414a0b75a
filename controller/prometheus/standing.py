"""What is remembered of each question: with how many others it may be asked, and when again after it failed.

A question that spoils a shared query is asked alone until it has proved that it does not do so any more: by a number of
good answers in a row, each in good time. That number doubles with every relapse. One that fails alone while Prometheus
answers others is asked less and less often, and as often as ever from its first good answer on.

Pure, but for what it remembers.
"""

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from controller.prometheus.in_use import InUse
from scaling.observation import Unknown

MOST_SHARED = 500
"""Questions in one query (chosen). With names of 60 characters that is some 40 KiB, which Prometheus takes, and more
than VictoriaMetrics does by default, 16 KiB (-search.maxQueryLen): a server that refuses it is asked in quarters."""

PROOFS, MOST_PROOFS = 20, 320
"""Good answers in a row for which a question stays alone after it was found out: five minutes of them at 15 s, and
from the fifth time on 80 minutes (chosen)."""

FAILURES_BEFORE_PAUSE = 3
"""Failures in a row after which a question is asked less often (chosen): one or two may be a passing fault."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 30.0, 180.0
"""Pauses before a question that keeps failing is asked again; each is twice as long as the one before (chosen)."""

SIZE_KEPT_S = 3600.0
"""How long a size that was too much for a shape holds (chosen): to try again costs a tick some queries."""


@dataclass(slots=True)
class Pause:
    """How long something that keeps failing is left alone."""

    failures_before: int = FAILURES_BEFORE_PAUSE
    first_s: float = FIRST_PAUSE_S
    longest_s: float = LONGEST_PAUSE_S
    failures: int = 0
    failure: Unknown | None = None
    """What is said of it meanwhile."""
    ends_s: float = -math.inf

    def begin(self, failure: Unknown, now_s: float) -> None:
        """Note a failure; from a number of them in a row on, it pauses."""
        self.failures += 1
        later = self.failures - self.failures_before
        if later < 0:
            return
        pause_s = min(self.longest_s, self.first_s * 2.0 ** min(later, 20))
        words = f"{failure.message}; as it keeps failing, it is asked again after {pause_s:g} s"
        self.failure, self.ends_s = Unknown(failure.reason, words), now_s + pause_s

    def end(self) -> None:
        """Note a good answer."""
        self.failures, self.failure, self.ends_s = 0, None, -math.inf

    def reason(self, now_s: float) -> Unknown | None:
        """Why it is not asked now; None when it is. An end that is too far off is from before a clock was set back."""
        return self.failure if now_s < self.ends_s <= now_s + self.longest_s else None


@dataclass(slots=True)
class Standing:
    """Of one question."""

    most: int = MOST_SHARED
    """With how many others it may be asked, itself included."""

    known: bool = False
    """It was answered in good time before: what is new is not asked together with what works."""

    proofs_due: int = 0
    """Good answers in a row before it is asked with others again."""

    relapses: int = 0
    pause: Pause = field(default_factory=Pause)

    def limit(self, most: int) -> None:
        """Ask it with fewer others, until it was answered in good time."""
        self.most = min(self.most, most)

    def keep_apart(self) -> None:
        """Ask it alone: it was found out, or it is still what it was found to be."""
        if not self.proofs_due:
            self.relapses += 1
        self.most, self.known = 1, False
        self.proofs_due = min(MOST_PROOFS, PROOFS * 2 ** min(self.relapses - 1, 20))

    def prove(self) -> None:
        """Note a good answer in good time."""
        self.proofs_due = max(0, self.proofs_due - 1)
        if not self.proofs_due:
            self.most, self.known = MOST_SHARED, True


@dataclass(slots=True)
class Size:
    """How many questions of one shape may share a query, and how long an answer takes."""

    most: int = MOST_SHARED
    since_s: float = 0.0
    usual_s: float = 0.0
    """Seconds that the last good answer to a shared query took."""

    def limit(self, most: int, now_s: float) -> None:
        """Ask for fewer together: it was the number that was too much."""
        self.most, self.since_s = most, now_s

    def at(self, now_s: float) -> int:
        """How many may be asked together now."""
        return self.most if self.since_s <= now_s < self.since_s + SIZE_KEPT_S else MOST_SHARED


class Standings:
    """Of all questions that are asked, and of their shapes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._questions = InUse[Hashable, Standing](lambda _: Standing(), clock)
        self._sizes = InUse[Hashable, Size](lambda _: Size(), clock)

    def of(self, question: Hashable) -> Standing:
        """The standing of a question."""
        return self._questions.of(question)

    def size(self, shape: Hashable) -> Size:
        """The size for a shape."""
        return self._sizes.of(shape)

    def limit(self, questions: Iterable[Hashable], most: int) -> None:
        """Ask each of these with fewer others."""
        for question in questions:
            self.of(question).limit(most)

    def __len__(self) -> int:
        return len(self._questions) + len(self._sizes)

"""When the samples behind a query are checked for coverage, and what was found. Pure, but for what it remembers.

A gap is looked for when a query is first read and after readings that failed. In between a gap can come and go unseen,
as scrapes can fail while Prometheus answers: so it is looked for now and then, and at once when the load falls, as what
a gap does to a rate looks like that.
"""

from controller.prometheus.answer import Ages
from controller.prometheus.coverage import Coverage, coverage_of, longest_s, ranges_of
from scaling.observation import Unknown

LEAST_PERIOD_S, MOST_PERIOD_S = 120.0, 600.0
"""A query is checked twice in its longest range, within these (chosen: one query more a minute for a thousand policies
that share it)."""

AGAIN_S = 10.0
"""What is missing is asked for again after this, or a twentieth of the range (chosen)."""

FALL, FALL_PERIOD_S = 0.9, 10.0
"""A load below this share of what it was when it was last checked is checked again, at most so often (chosen)."""


class CoverageChecks:
    """Those of one query."""

    def __init__(self, query: str, now_s: float) -> None:
        self.ranges = ranges_of(query)
        self.missing = ""
        """What was missing when it was last checked, in words for people."""
        self._longest_s = longest_s(self.ranges)
        self._since_s = now_s
        self._checked_s: float | None = None
        self._due_s = now_s
        self._value = 0.0

    def note_failure(self, now_s: float) -> None:
        """There was no reading, or an empty one: samples may have been lost meanwhile."""
        self._checked_s = None

    def note_silence(self, now_s: float) -> None:
        """The source itself could not be asked."""
        self.note_failure(now_s)
        self._since_s = now_s

    def answered_throughout(self, now_s: float) -> bool:
        """Whether the source has answered for as long as the query looks back: only then is an empty answer one."""
        return not self._since_s <= now_s < self._since_s + self._longest_s

    def is_due(self, value: float, now_s: float) -> bool:
        """Whether to ask before this reading is used."""
        if not self.ranges:
            return False
        if self._checked_s is None or not self._checked_s <= now_s < self._due_s:
            return True
        return value < FALL * self._value and now_s - self._checked_s >= FALL_PERIOD_S

    def note_answer(self, answer: Ages | Unknown, value: float, now_s: float, spread: float) -> None:
        """Take in an answer; `spread`, up to 1, shortens the time to the next one."""
        self._checked_s, self._value = now_s, value
        if isinstance(answer, Unknown):
            found = Coverage(f"whether its range is covered is not known: {answer.message}")
        else:
            found = coverage_of(self.ranges, answer)
        self.missing = found.missing
        usual_s = min(MOST_PERIOD_S, max(LEAST_PERIOD_S, self._longest_s / 2)) * spread
        again_s = max(AGAIN_S, self._longest_s / 20)
        self._due_s = now_s + (again_s if self.missing else usual_s)

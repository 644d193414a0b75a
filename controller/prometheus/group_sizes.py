"""How many questions may be asked together, which those that failed together find out.

A group that failed is asked in quarters from then on, and what fails among these again, until it is known whose fault
it is: one of 250 is found in four steps, and the others keep asking together. Pure, but for what it remembers.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

MOST_SHARED = 500
"""Questions in one query (chosen). With names of 60 characters that is some 40 KiB, which Prometheus takes, and more
than VictoriaMetrics does by default, 16 KiB (-search.maxQueryLen): a server that refuses it is asked in quarters."""

QUARTERS = 4

REMEMBERED_S = 3600.0
"""How long a size holds (chosen): what is slow or too much seldom changes sooner, and to try again costs some ticks."""

MOST_REMEMBERED = 20_000
"""Questions with a size of their own (chosen). With more all are forgotten, and found out again."""


class GroupSizes:
    """The most that each question may be asked together with, itself included."""

    def __init__(self) -> None:
        self._sizes: dict[Hashable, _Size] = {}

    def most_with(self, question: Hashable, now_s: float) -> int:
        """How many may be in its group."""
        size = self._sizes.get(question)
        return size.most if size is not None and size.holds(now_s) else MOST_SHARED

    def quarter(self, questions: Sequence[Hashable], now_s: float) -> None:
        """Let what was asked together be asked in four groups."""
        held = {question: size for question, size in self._sizes.items() if size.holds(now_s)}
        if len(held) > MOST_REMEMBERED:
            held = {}
        self._sizes = held | dict.fromkeys(questions, _Size(quarter_of(len(questions)), now_s))

    def __len__(self) -> int:
        return len(self._sizes)


@dataclass(frozen=True)
class _Size:
    most: int
    since_s: float

    def holds(self, now_s: float) -> bool:
        """One of the future is from before a clock was set back."""
        return self.since_s <= now_s < self.since_s + REMEMBERED_S


def quarter_of(count: int) -> int:
    """The size of four groups that hold this many."""
    return -(-count // QUARTERS)

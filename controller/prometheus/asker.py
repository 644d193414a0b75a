"""What is sent to Prometheus for the questions of one turn: one query for all that can share it, or one for each.

Owns who is asked together and what a failure of a shared query means. It falls on all of its members, and so that one
of them cannot blind the others for long, they are asked in smaller groups: at once where Prometheus refuses the query
itself, from the next tick on where it took too long or some member's data spoil the answer.
"""

import asyncio
import itertools
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from controller.prometheus.answer import Ages, Rows, parse_ages, parse_readings
from controller.prometheus.coverage import PARTS, coverage_query, ranges_of
from controller.prometheus.group_sizes import GroupSizes, quarter_of
from controller.prometheus.http import PrometheusHttp, QueryRefused, QueryTooSlow
from controller.prometheus.once import Parcel
from controller.prometheus.sample_age import age_query
from controller.promql.grouping import Shape, SharedQuery, Split, shared_query
from controller.promql.syntax import selectors
from scaling.observation import Reading, Unknown

MOST_ROWS = 2000
"""Rows that an answer may have, an age query giving one a selector: within `http.MOST_BYTES` at 500 bytes each."""

COSTS_NOTHING, ALIVE_S = "vector(1)", 1.0
"""What a server that works answers within this many seconds (chosen), whatever else is slow; not, if it has more to do
than it does at a time. Only then is a query that took too long divided: one that hangs gets no more to do."""

log = logging.getLogger(__name__)

A = TypeVar("A")
Parse = Callable[[bytes, Sequence[str]], Rows[A] | Unknown]


class Question(NamedTuple):
    """A query, asked for its number, with a limit for the ages of its samples, or for how they cover its ranges."""

    query: str
    stale_after_s: float | None = None
    of_coverage: bool = False


Asked = tuple[float, Ages | Unknown]
"""When ages were asked for, on the asker's clock, and the answer."""


class Asker:
    """Asks one Prometheus the questions of a tick."""

    def __init__(
        self, http: PrometheusHttp, shape_of: Callable[[str], Shape | None], clock: Callable[[], float]
    ) -> None:
        """`shape_of`: that of `grouping.py`, which may remember; `clock`: the one that `now_s` is read from."""
        self._http, self._shape_of, self._clock = http, shape_of, clock
        self._sizes = GroupSizes()
        self._too_slow: list[Sequence[Question]] = []
        self._trial: asyncio.Task[None] | None = None

    def readings(self, questions: Sequence[Question], now_s: float) -> Sequence[Parcel[Question, Reading]]:
        """Ask for the numbers."""
        return [(parcel, self._ask(parcel, parse_readings, now_s)) for parcel in self._parcels(questions, now_s)]

    def ages(self, questions: Sequence[Question], now_s: float) -> Sequence[Parcel[Question, Asked]]:
        """Ask for the ages of the newest samples behind queries that read some, and say when they were that."""
        return [(parcel, self._timed_ages(parcel, now_s)) for parcel in self._parcels(questions, now_s)]

    def _parcels(self, questions: Sequence[Question], now_s: float) -> Iterator[Sequence[Question]]:
        """Questions that share a query."""
        groups: dict[object, list[Question]] = defaultdict(list)
        for question in questions:
            shape, size = self._shape_of(question.query), self._most_with(question, now_s)
            kind = question.stale_after_s, question.of_coverage
            groups[(shape.key, kind, size) if shape else question].append(question)
        for group in groups.values():
            yield from _in_parts(group, self._most_with(group[0], now_s))

    def _most_with(self, question: Question, now_s: float) -> int:
        """How many may share a query with this one."""
        shape = self._shape_of(question.query)
        rows = shape.selectors if shape and question.stale_after_s is not None else 1
        if shape and question.of_coverage:
            rows = PARTS * shape.selectors
        return max(1, min(self._sizes.most_with(question, now_s), MOST_ROWS // rows))

    async def _timed_ages(self, questions: Sequence[Question], now_s: float) -> Sequence[Asked]:
        asked_s = self._clock()
        return [(asked_s, ages) for ages in await self._ask(questions, parse_ages, now_s)]

    async def _ask(self, questions: Sequence[Question], parse: Parse[A], now_s: float) -> Sequence[A | Unknown]:
        """What each is answered; in smaller groups, where a query for them all was refused."""
        shared = self._together(questions)
        body = await self._instant(_text(shared, questions[0]))
        found = parse(body, shared.split.labels) if isinstance(body, bytes) else body
        if len(questions) > 1:
            if isinstance(found, QueryRefused):
                self._quarter(questions, now_s, found.message)
                return await self._ask_in_quarters(questions, parse, now_s)
            self._learn(questions, found, now_s)
        if isinstance(found, Unknown):
            return [Unknown(found.reason, found.message)] * len(questions)
        return [found.of(row) for row in shared.rows]

    async def _ask_in_quarters(
        self, questions: Sequence[Question], parse: Parse[A], now_s: float
    ) -> Sequence[A | Unknown]:
        parts = _in_parts(questions, quarter_of(len(questions)))
        answers = await asyncio.gather(*(self._ask(part, parse, now_s) for part in parts))
        return list(itertools.chain.from_iterable(answers))

    def _learn(self, questions: Sequence[Question], found: Rows[object] | Unknown, now_s: float) -> None:
        """What the answer to a shared query says about asking its members together."""
        if isinstance(found, Rows) and found.warned:
            self._quarter(questions, now_s, "Prometheus warns of some series")
        if isinstance(found, QueryTooSlow):
            self._too_slow.append(questions)
            if self._trial is None or self._trial.done():
                self._trial = asyncio.create_task(self._quarter_what_is_too_slow(now_s))

    async def _quarter_what_is_too_slow(self, now_s: float) -> None:
        """Nobody waits for this; it is over before the next tick."""
        alive = isinstance(await self._http.post("query", {"query": COSTS_NOTHING}, ALIVE_S), bytes)
        too_slow, self._too_slow = self._too_slow, []
        for questions in too_slow if alive else []:
            self._quarter(questions, now_s, "no answer in time")

    def _quarter(self, questions: Sequence[Question], now_s: float, why: str) -> None:
        log.info("asking %d queries in groups of %d: %s", len(questions), quarter_of(len(questions)), why)
        self._sizes.quarter(questions, now_s)

    def _together(self, questions: Sequence[Question]) -> SharedQuery:
        """One query for all; for one alone, as it is written."""
        if len(questions) == 1:
            return SharedQuery(questions[0].query, Split(), ((),))
        shapes = (self._shape_of(question.query) for question in questions)
        return shared_query([shape for shape in shapes if shape is not None])

    async def _instant(self, query: str) -> bytes | Unknown:
        """Ask as of the server's own now: a clock of ours that is ahead would find no samples, and call them gone."""
        return await self._http.post("query", {"query": query}, self._http.settings.deadline_s)


def _in_parts(questions: Sequence[Question], size: int) -> Iterator[Sequence[Question]]:
    return (questions[start : start + size] for start in range(0, len(questions), size))


def _text(shared: SharedQuery, question: Question) -> str:
    """What is sent for questions of this kind."""
    if question.of_coverage:
        return coverage_query(ranges_of(shared.text), shared.split)
    if question.stale_after_s is None:
        return shared.text
    return age_query(selectors(shared.text), question.stale_after_s, shared.split)

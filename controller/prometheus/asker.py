"""What is sent to Prometheus for the questions of one turn: one query for all that can share it, or one for each.

Owns who is asked together and what a failure of a shared query means: it falls on all of its members, unless Prometheus
refuses the query itself. Then each is asked by itself, at once and for a while, so that one that is too heavy or of a
form that this server does not take cannot blind the others.
"""

import asyncio
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from controller.prometheus.answer import Ages, Rows, parse_ages, parse_readings
from controller.prometheus.http import PrometheusHttp, QueryRefused
from controller.prometheus.once import Parcel
from controller.prometheus.sample_age import age_query
from controller.promql.grouping import Shape, SharedQuery, Split, shared_query
from controller.promql.syntax import selectors
from scaling.observation import Reading, Unknown

MOST_SHARED = 500
"""Queries in one (chosen): some 40 KiB of text and of answer each, both far within what servers take."""

MOST_ROWS = 2000
"""Rows that an answer may have, an age query giving one a selector: within `http.MOST_BYTES` at 500 bytes each."""

ALONE_S = 600.0
"""How long members of a refused query are asked one by one (chosen): Prometheus' limits do not change by the minute."""

log = logging.getLogger(__name__)

A = TypeVar("A")
Parse = Callable[[bytes, Sequence[str]], Rows[A] | Unknown]


class Question(NamedTuple):
    """A query, asked for its number, or with a limit for the ages of its samples."""

    query: str
    stale_after_s: float | None = None


Asked = tuple[float, Ages | Unknown]
"""When ages were asked for, on the asker's clock, and the answer."""


class Asker:
    """Asks one Prometheus the questions of a tick."""

    def __init__(
        self, http: PrometheusHttp, shape_of: Callable[[str], Shape | None], clock: Callable[[], float]
    ) -> None:
        """`shape_of`: that of `grouping.py`, from a memory of it."""
        self._http, self._shape_of, self._clock = http, shape_of, clock
        self._alone_until_s: dict[str, float] = {}

    def readings(self, questions: Sequence[Question], now_s: float) -> Sequence[Parcel[Question, Reading]]:
        """Ask for the numbers."""
        return [(parcel, self._ask(parcel, parse_readings, now_s)) for parcel in self._parcels(questions, 1, now_s)]

    def ages(self, questions: Sequence[Question], now_s: float) -> Sequence[Parcel[Question, Asked]]:
        """Ask for the ages of the newest samples behind queries that read some, and say when they were that."""
        return [(parcel, self._timed_ages(parcel, now_s)) for parcel in self._parcels(questions, None, now_s)]

    def _parcels(self, questions: Sequence[Question], rows: int | None, now_s: float) -> Iterator[list[Question]]:
        """Questions that share a query; `rows`: how many its answer has for each, None for one a selector."""
        groups: dict[object, list[Question]] = defaultdict(list)
        for question in questions:
            shape = None if self._is_alone(question.query, now_s) else self._shape_of(question.query)
            groups[(shape.key, question.stale_after_s) if shape else question].append(question)
        for group in groups.values():
            shape = self._shape_of(group[0].query)
            each = rows or (shape.selectors if shape else 1)
            size = max(1, min(MOST_SHARED, MOST_ROWS // each))
            yield from (group[start : start + size] for start in range(0, len(group), size))

    async def _timed_ages(self, questions: Sequence[Question], now_s: float) -> Sequence[Asked]:
        asked_s = self._clock()
        return [(asked_s, ages) for ages in await self._ask(questions, parse_ages, now_s)]

    async def _ask(self, questions: Sequence[Question], parse: Parse[A], now_s: float) -> Sequence[A | Unknown]:
        """What each is answered; by itself, where a query for them all was refused."""
        shared = self._together(questions)
        body = await self._instant(_text(shared, questions[0]))
        found = parse(body, shared.split.labels) if isinstance(body, bytes) else body
        if isinstance(found, QueryRefused) and len(questions) > 1:
            log.info("asking %d queries one by one for %g s: %s", len(questions), ALONE_S, found.message)
            self._let_apart(questions, now_s)
            alone = await asyncio.gather(*(self._ask([question], parse, now_s) for question in questions))
            return [answer for (answer,) in alone]
        if isinstance(found, Unknown):
            return [Unknown(found.reason, found.message)] * len(questions)
        return [found.of(row) for row in shared.rows]

    def _let_apart(self, questions: Sequence[Question], now_s: float) -> None:
        """Let queries be asked by themselves from now on; those whose time is over are forgotten."""
        kept = {query: until_s for query, until_s in self._alone_until_s.items() if now_s < until_s}
        self._alone_until_s = kept | {question.query: now_s + ALONE_S for question in questions}

    def _is_alone(self, query: str, now_s: float) -> bool:
        return now_s < self._alone_until_s.get(query, -math.inf) <= now_s + ALONE_S

    def _together(self, questions: Sequence[Question]) -> SharedQuery:
        """One query for all; for one alone, as it is written."""
        if len(questions) == 1:
            return SharedQuery(questions[0].query, Split(), ((),))
        shapes = (self._shape_of(question.query) for question in questions)
        return shared_query([shape for shape in shapes if shape is not None])

    async def _instant(self, query: str) -> bytes | Unknown:
        """Ask as of the server's own now: a clock of ours that is ahead would find no samples, and call them gone."""
        return await self._http.post("query", {"query": query}, self._http.settings.deadline_s)


def _text(shared: SharedQuery, question: Question) -> str:
    """What is sent for questions of this kind."""
    if question.stale_after_s is None:
        return shared.text
    return age_query(selectors(shared.text), question.stale_after_s, shared.split)

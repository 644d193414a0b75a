"""What is sent to Prometheus for the questions of one turn: one query for all that can share it, or one for each.

Owns who is asked together, and what a failure of a shared query means: it falls on all of its members, although one of
them may be the cause. So the members are asked in smaller groups:

| the shared query | what follows |
|---|---|
| is refused | quarters, at once |
| has no answer after a part of its deadline | eighths beside it within the same tick, and so on down to single ones |
| has no answer at its deadline | eighths from the next tick on |
| draws a warning about some member's data | quarters from the next tick on |

Whoever is found out this way is asked alone until it has proved better (`standing.py`). Where Prometheus answers nobody
a query is divided once and no further: a server that hangs gets no more to do.
"""

import asyncio
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from controller.prometheus.answer import Ages, Rows, parse_ages, parse_readings
from controller.prometheus.coverage import PARTS, coverage_query, ranges_of
from controller.prometheus.http import MOST_BYTES, PrometheusHttp, QueryRefused, QueryTooSlow, Request, Trust
from controller.prometheus.off_loop import OffLoop
from controller.prometheus.once import Hand, Parcel
from controller.prometheus.sample_age import age_query
from controller.prometheus.standing import Size, Standing, Standings
from controller.promql.grouping import Shape, SharedQuery, Split, shared_query
from controller.promql.syntax import selectors
from scaling.observation import Reading, Unknown

MOST_ROWS = 2000
"""Rows that an answer may have, an age query giving one a selector (chosen)."""

ROW_BYTES = 300
"""What each row adds to the longest answer that is read (chosen): names of 60 characters with all around them take
half of it. An answer that is longer is asked for in quarters."""

REFUSED_PARTS, SLOW_PARTS = 4, 8
"""Into how many parts a shared query is divided: there is time for quarters when it was refused at once; from 500 down
to one in three steps there is not."""

COSTS_NOTHING, ALIVE_S = "vector(1)", 1.0
"""What a server that works answers within this many seconds (chosen), whatever else is slow; not, if it has more to do
than it does at a time. Only then is a query that takes too long divided."""

WORKS_S = 5.0
"""An answer this long before a query was sent that has none tells that Prometheus itself works (chosen)."""

REFUSED_WORKS_S = 20.0
"""The same before one that was refused at once: longer than the usual interval (chosen)."""

QUICK = 1 / 4
"""Share of the deadline within which an answer comes in good time (chosen)."""

log = logging.getLogger(__name__)

A = TypeVar("A")


class Question(NamedTuple):
    """A query, asked for its number, with a limit for the ages of its samples, or for how they cover its ranges."""

    query: str
    stale_after_s: float | None = None
    of_coverage: bool = False
    namespace: str = ""
    """Whose it is; the same query of two namespaces is asked once."""

    @property
    def text(self) -> tuple[str, float | None, bool]:
        """What is asked, whoever asks."""
        return self.query, self.stale_after_s, self.of_coverage

    def rows(self, shape: Shape | None) -> int:
        """How many rows an answer may have for it, when it shares a query."""
        selectors = shape.selectors if shape else 1
        if self.of_coverage:
            return PARTS * selectors
        return 1 if self.stale_after_s is None else selectors


Asked = tuple[float, Ages | Unknown]
"""When ages were asked for, on the asker's clock, and the answer."""


@dataclass(frozen=True)
class _Kind(Generic[A]):
    """How the questions of a turn are asked and answered."""

    parse: Callable[[bytes, Sequence[str]], Rows[A] | Unknown]
    hand: Callable[[Question, A | Unknown, float], None]
    """Takes the question, its answer, and when it was asked for on the asker's clock."""
    now_s: float
    ends_s: float
    """When the deadline is over, on the event loop's clock."""


class Asker:
    """Asks one Prometheus the questions of a tick."""

    def __init__(
        self, http: PrometheusHttp, shape_of: Callable[[str], Shape | None], clock: Callable[[], float]
    ) -> None:
        """`shape_of`: that of `grouping.py`, which may remember; `clock`: the one that `now_s` is read from."""
        self._http, self._shape_of, self._clock = http, shape_of, clock
        self._standings = Standings(clock)
        self._off_loop = OffLoop()
        self._answered_at = -math.inf
        """When Prometheus last gave a good answer, on the event loop's clock."""
        self._quick_at = -math.inf
        """When it last gave one in good time."""
        self._trial: asyncio.Task[bool] | None = None

    def readings(
        self, questions: Sequence[Question], now_s: float, hand: Hand[Question, Reading]
    ) -> Sequence[Parcel[Question]]:
        """Ask for the numbers."""

        def hand_out(question: Question, found: Reading, _: float) -> None:
            hand(question, found)

        return self._parcels(questions, _Kind(parse_readings, hand_out, now_s, self._ends_s()))

    def ages(
        self, questions: Sequence[Question], now_s: float, hand: Hand[Question, Asked]
    ) -> Sequence[Parcel[Question]]:
        """Ask for the ages of the newest samples behind queries that read some, and say when they were that."""

        def hand_out(question: Question, found: Ages | Unknown, asked_s: float) -> None:
            hand(question, (asked_s, found))

        return self._parcels(questions, _Kind(parse_ages, hand_out, now_s, self._ends_s()))

    def _ends_s(self) -> float:
        return asyncio.get_running_loop().time() + self._http.settings.deadline_s

    # Who is asked together

    def _parcels(self, questions: Sequence[Question], kind: _Kind[A]) -> list[Parcel[Question]]:
        """Questions that share a query; those that pause are answered at once."""
        groups: dict[object, list[Question]] = defaultdict(list)
        for question in questions:
            failure = self._standing(question).pause.reason(kind.now_s)
            if failure is None:
                groups[self._group_of(question, kind.now_s)].append(question)
            else:
                kind.hand(question, failure, self._clock())
        return [
            (part, self._attempt(part, kind, is_first=True))
            for group in groups.values()
            for part in self._parts_of(group, kind.now_s)
        ]

    def _group_of(self, question: Question, now_s: float) -> object:
        shape, most = self._shape_of(question.query), self._most_with(question, now_s)
        if shape is None or most == 1:
            return question.text
        return shape.key, question.text[1:], most, self._standing(question).known

    def _parts_of(self, group: list[Question], now_s: float) -> Iterator[Sequence[Question]]:
        """A group by its namespaces, in parts that are not too large; any number can ask the same text."""
        if not _differ(group):
            return iter((group,))
        group.sort(key=lambda question: question.namespace)
        return _in_parts(group, self._most_with(group[0], now_s))

    def _most_with(self, question: Question, now_s: float) -> int:
        """How many may share a query with this one, itself included."""
        rows = question.rows(self._shape_of(question.query))
        return max(1, min(self._standing(question).most, self._size(question).at(now_s), MOST_ROWS // rows))

    def _standing(self, question: Question) -> Standing:
        return self._standings.of(question.text)

    def _size(self, question: Question) -> Size:
        shape = self._shape_of(question.query)
        return self._standings.size((shape.key if shape else question.query, *question.text[1:]))

    # Asking

    async def _attempt(self, questions: Sequence[Question], kind: _Kind[A], *, is_first: bool) -> bool:
        """Ask for all together, and hand out the answers as they come; whether each of them has a good one.

        `is_first`: they are not a part of those that took too long.
        """
        loop = asyncio.get_running_loop()
        sent_s = loop.time()
        asking = asyncio.ensure_future(self._found(questions, kind))
        try:
            if _differ(questions):
                await asyncio.wait({asking}, timeout=self._patience_s(questions, kind.ends_s - sent_s))
                if _takes_too_long(asking) and await self._may_divide(sent_s, is_first) and _takes_too_long(asking):
                    return await self._in_eighths(asking, questions, kind, sent_s)
            return await self._settle(await asking, questions, kind, sent_s)
        finally:
            asking.cancel()

    async def _found(self, questions: Sequence[Question], kind: _Kind[A]) -> "_Answer[A]":
        """Send one query for all and read its answer."""
        shared, asked_s = _together(questions, self._shape_of), self._clock()
        deadline_s = self._http.settings.deadline_s
        rows = len(questions) * questions[0].rows(self._shape_of(questions[0].query))
        request = Request(
            endpoint="query",
            # as of the server's own now: a clock of ours that is ahead would find no samples, and call them gone
            form={"query": _text(shared, questions[0])},
            deadline_s=deadline_s,
            spent_s=deadline_s - max(0.001, kind.ends_s - asyncio.get_running_loop().time()),
            owner=owner_of(questions),
            trust=self._trust(questions),
            most_bytes=MOST_BYTES + ROW_BYTES * (rows if _differ(questions) else 1),
            shared=_differ(questions),
        )
        body = await self._http.ask(request)
        if isinstance(body, Unknown):
            return _Answer(body, shared, asked_s)
        found = await self._off_loop.read(body, kind.parse, body, shared.split.labels)
        return _Answer(found, shared, asked_s, body.took_s)

    async def _settle(self, answer: "_Answer[A]", questions: Sequence[Question], kind: _Kind[A], sent_s: float) -> bool:
        """Hand out what was found, or ask in quarters for what was refused to all together."""
        found = answer.found
        if isinstance(found, Rows):
            self._take(found, questions, answer.took_s)
        elif isinstance(found, QueryRefused) and _differ(questions):
            return await self._divide(questions, kind, found.message)
        else:
            self._blame(found, questions, kind.now_s, sent_s)
        for question, row in zip(questions, answer.shared.rows, strict=True):
            said = found.of(row) if isinstance(found, Rows) else Unknown(found.reason, found.message)
            kind.hand(question, said, answer.asked_s)
        return isinstance(found, Rows)

    async def _divide(self, questions: Sequence[Question], kind: _Kind[A], why: str) -> bool:
        """Ask in quarters; where all of them are answered, it was the number that was too much."""
        size = _part_of(questions, REFUSED_PARTS)
        log.info("asking %d queries in groups of %d: %s", len(questions), size, why)
        parts = (self._attempt(part, kind, is_first=True) for part in _in_parts(questions, size))
        fine = all(await asyncio.gather(*parts))
        if fine:
            self._size(questions[0]).limit(size, kind.now_s)
        return fine

    # What takes too long

    def _patience_s(self, questions: Sequence[Question], left_s: float) -> float:
        """How long a shared query is waited for before it is divided, so that there is time down to single ones.

        Longer where the shape usually takes long, but not so long that nothing is left.
        """
        steps = math.ceil(math.log(len(questions), SLOW_PARTS))
        return max(left_s / (steps + 1), min(2 * self._size(questions[0]).usual_s, left_s / 2))

    async def _may_divide(self, sent_s: float, is_first: bool) -> bool:
        """Whether Prometheus works, so that it is this query that is slow."""
        return self._answered_at >= sent_s or (is_first and await self._is_alive())

    async def _is_alive(self) -> bool:
        """Whether Prometheus answers what costs nothing; asked once for all who ask at a time."""
        if self._trial is None or self._trial.done():
            self._trial = asyncio.ensure_future(self._try())
        return await asyncio.shield(self._trial)

    async def _try(self) -> bool:
        request = Request(endpoint="query", form={"query": COSTS_NOTHING}, deadline_s=ALIVE_S)
        return isinstance(await self._http.ask(request), bytes)

    async def _in_eighths(
        self, asking: "asyncio.Task[_Answer[A]]", questions: Sequence[Question], kind: _Kind[A], sent_s: float
    ) -> bool:
        """Ask in eighths beside the query for all, and take what comes first; in place of it while it is new.

        What is new would keep slots from its parts, which tell who hangs.
        """
        size = _part_of(questions, SLOW_PARTS)
        log.info("asking %d queries in groups of %d: no answer yet", len(questions), size)
        if self._trust(questions) is not Trust.KNOWN:
            asking.cancel()
        began_s = asyncio.get_running_loop().time()
        parts = {
            asyncio.ensure_future(self._attempt(part, kind, is_first=False)): part
            for part in _in_parts(questions, size)
        }
        try:
            if await _comes_first(asking, parts):
                late = [question.text for task, part in parts.items() if not task.done() for question in part]
                fine = await self._settle(asking.result(), questions, kind, sent_s)
                self._standings.limit(late, size)
                return fine
        finally:
            for task in parts:
                task.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
        took_s = asyncio.get_running_loop().time() - began_s
        return self._judge(questions, size, [task.result() for task in parts], kind.now_s, took_s)

    def _judge(
        self, questions: Sequence[Question], size: int, fine: Sequence[bool], now_s: float, took_s: float
    ) -> bool:
        """What the parts say about the whole: was each answered in good time, it was their number that was too much.

        Was none, nothing is known. Then one part is divided further in the next tick to find out more, and no other.
        """
        if all(fine) and self._is_quick(took_s):
            self._size(questions[0]).limit(size, now_s)
        elif not any(fine):
            first = questions[:size]
            self._standings.limit((question.text for question in first), _part_of(first, SLOW_PARTS))
        return all(fine)

    def _is_quick(self, took_s: float) -> bool:
        return took_s <= QUICK * self._http.settings.deadline_s

    def _trust(self, questions: Sequence[Question]) -> Trust:
        standings = [self._standing(question) for question in questions]
        if any(standing.proofs_due for standing in standings):
            return Trust.SUSPECT
        return Trust.KNOWN if all(standing.known for standing in standings) else Trust.NEW

    # What is learnt

    def _take(self, found: Rows[A], questions: Sequence[Question], took_s: float) -> None:
        """Learn from a good answer."""
        now_s, is_quick = asyncio.get_running_loop().time(), self._is_quick(took_s)
        if _differ(questions):
            self._size(questions[0]).usual_s = took_s
            self._take_shared(found, questions)
        else:
            self._take_single(found, questions[0], is_spoilt=not is_quick and self._quick_at >= now_s - took_s)
        self._answered_at = now_s
        self._quick_at = now_s if is_quick else self._quick_at

    def _take_shared(self, found: Rows[A], questions: Sequence[Question]) -> None:
        if found.warned:
            size = _part_of(questions, REFUSED_PARTS)
            log.info("asking %d queries in groups of %d: Prometheus warns of some series", len(questions), size)
            self._standings.limit((question.text for question in questions), size)
            return
        for question in questions:
            standing = self._standing(question)
            standing.pause.end()
            standing.prove()

    def _take_single(self, found: Rows[A], question: Question, *, is_spoilt: bool) -> None:
        """`is_spoilt`: others were answered in good time while this one was not."""
        standing = self._standing(question)
        standing.pause.end()
        if found.warned or is_spoilt:
            standing.keep_apart()
        else:
            standing.prove()

    def _blame(self, failure: Unknown, questions: Sequence[Question], now_s: float, sent_s: float) -> None:
        """Learn from a failure, if it is of the query: Prometheus answers others at that time."""
        before_s = REFUSED_WORKS_S if isinstance(failure, QueryRefused) else WORKS_S
        if not isinstance(failure, QueryRefused | QueryTooSlow) or self._answered_at < sent_s - before_s:
            return
        if _differ(questions):
            size = _part_of(questions, SLOW_PARTS)
            log.info("asking %d queries in groups of %d: %s", len(questions), size, failure.message)
            self._standings.limit((question.text for question in questions), size)
            return
        if isinstance(failure, QueryTooSlow) and self._is_quick(failure.waited_s):
            return  # there was no time left for it
        standing = self._standing(questions[0])
        standing.pause.begin(failure, now_s)
        standing.keep_apart()


@dataclass(frozen=True)
class _Answer(Generic[A]):
    """What one query was answered."""

    found: Rows[A] | Unknown
    shared: SharedQuery
    asked_s: float
    took_s: float = 0.0


def owner_of(questions: Sequence[Question]) -> str:
    """The namespace that a query counts for: the one with most questions in it, the first by name of several."""
    counts = Counter(question.namespace for question in questions)
    return min(counts, key=lambda namespace: (-counts[namespace], namespace))


async def _comes_first(
    asking: "asyncio.Task[_Answer[A]]", parts: "dict[asyncio.Task[bool], Sequence[Question]]"
) -> bool:
    """Wait for an answer or for all parts; whether the answer is there, and good."""
    pending: set[asyncio.Future[Any]] = {*parts}
    waiting = set() if asking.done() or asking.cancelling() else {asking}
    while pending and not any(one.done() for one in waiting):
        done, _ = await asyncio.wait(pending | waiting, return_when=asyncio.FIRST_COMPLETED)
        pending -= done
        if asking in done and not isinstance(asking.result().found, Rows):
            waiting = set()
    return bool(waiting) and asking.done()


def _takes_too_long(asking: "asyncio.Task[_Answer[A]]") -> bool:
    """Whether there is no answer yet, or Prometheus or a proxy has given up."""
    return not asking.done() or isinstance(asking.result().found, QueryTooSlow)


def _differ(questions: Sequence[Question]) -> bool:
    """Whether there is something to divide."""
    return any(question.query != questions[0].query for question in questions)


def _part_of(questions: Sequence[Question], parts: int) -> int:
    """The size of so many groups that hold all of these."""
    return -(-len(questions) // parts)


def _in_parts(questions: Sequence[Question], size: int) -> Iterator[Sequence[Question]]:
    return (questions[start : start + size] for start in range(0, len(questions), size))


def _together(questions: Sequence[Question], shape_of: Callable[[str], Shape | None]) -> SharedQuery:
    """One query for all; of one text alone, as it is written."""
    if not _differ(questions):
        return SharedQuery(questions[0].query, Split(), ((),) * len(questions))
    shapes = (shape_of(question.query) for question in questions)
    return shared_query([shape for shape in shapes if shape is not None])


def _text(shared: SharedQuery, question: Question) -> str:
    """What is sent for questions of this kind."""
    if question.of_coverage:
        return coverage_query(ranges_of(shared.text), shared.split)
    if question.stale_after_s is None:
        return shared.text
    return age_query(selectors(shared.text), question.stale_after_s, shared.split)

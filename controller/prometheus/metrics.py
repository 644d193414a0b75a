"""Prometheus as the operator's source of readings: demand, bad share, and the history before the first decision.

Owns what is asked when: a number once a tick, whoever shares it; the age of samples when it can have run out; range
queries a few at a time. What is sent for the questions of a tick, one query for many or each, is left to `asker.py`.
Nothing here raises for a source that fails: whatever is no reading is an `Unknown`.
"""

import asyncio
import logging
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from controller.ports import Target
from controller.prometheus.answer import Grid, parse_history
from controller.prometheus.asker import Asker, Question
from controller.prometheus.coverage import ages_query, ranges_of, without_ramps
from controller.prometheus.coverage_checks import CoverageChecks
from controller.prometheus.http import MOST_BYTES, PrometheusHttp, QueryTooSlow, Request
from controller.prometheus.in_use import InUse
from controller.prometheus.off_loop import OffLoop
from controller.prometheus.once import OncePerTick
from controller.prometheus.sample_age import age_check, oldest_s
from controller.prometheus.standing import Pause
from controller.promql.grouping import shape_of
from scaling.decision import Reason
from scaling.observation import Reading, Unknown, Value, is_true, usable, usable_ratio
from scaling.spec import EmptyIs
from scaling.workload import STEP_S

DAY_STEPS = 5760
"""What the memory of a workload reaches back, on its grid."""

SAMPLE_BYTES = 64
"""What each sample adds to the longest history that is read: a time and a float64 take 45 at most."""

FIRST_REST_S, LONGEST_REST_S = 60.0, 300.0
"""Where a history took too long, no other of its namespace is asked for during this time, which doubles (chosen): those
of other namespaces wait for their turn behind it."""

EMPTY_TOO_SOON = "the query answers nothing, and Prometheus has not been watched for as long as it looks back"

log = logging.getLogger(__name__)


class PrometheusMetrics:
    """Reads targets' metrics from one Prometheus; implements `controller.ports.Metrics`."""

    def __init__(self, http: PrometheusHttp, clock: Callable[[], float]) -> None:
        """`clock`: the one that `now_s` is read from; a tick's questions are asked some time after its `now_s`."""
        self._http = http
        self._shapes = InUse(shape_of, clock)
        asker = Asker(http, self._shapes.of, clock)
        self._readings = OncePerTick(asker.readings)
        self._ages = OncePerTick(asker.ages)
        self._samples = InUse(_Samples, clock)
        self._coverage = InUse[str, CoverageChecks](lambda query: CoverageChecks(query, clock()), clock)
        self._rests = InUse(_rest, clock)
        self._clock = clock
        self._off_loop = OffLoop()

    async def demand(self, target: Target, now_s: float) -> Reading:
        """The demand on a target, or why it is not known."""
        query = target.resource.queries.demand
        if query is None:
            return Unknown(Reason.METRIC_ERROR, "neither spec.demand.query nor spec.demand.preset is given")
        reading = usable(await self._read_of(target, query, now_s), target.spec)
        return _with_hint(await self._checked(target, query, reading, now_s), target.resource.queries.hint)

    async def bad_ratio(self, target: Target, now_s: float) -> float | None:
        """The share of bad requests; None where it is not asked for, not known, or known in part."""
        query = target.resource.queries.bad_ratio
        if query is None:
            return None
        reading = await self._read_of(target, query, now_s)
        return None if isinstance(reading, Unknown) or reading.partial else usable_ratio(reading.value)

    async def healthy(self, target: Target, now_s: float) -> bool:
        """Whether every query of spec.guardrails.requireHealthy answers a number other than 0, fresh and whole."""
        asked = [self._read_of(target, query, now_s) for query in target.resource.queries.healthy]
        readings = await asyncio.gather(*asked)
        return all(isinstance(one, Value) and is_true(one.value) and not one.partial for one in readings)

    async def history(
        self, target: Target, until_s: float, steps: int = DAY_STEPS, steps_per_sample: int = 1
    ) -> list[float]:
        """The demand at the last steps of the memory's grid up to `until_s` (Unix time), NaN for gaps.

        `steps_per_sample`: at 4 every fourth step is asked for and stands for those since the one before, which costs
        both sides a quarter; for a start with many targets, and with a rate over a minute hardly another answer.
        Empty when it is not known, which the log explains. A few are asked for at a time.
        """
        query = target.resource.queries.demand
        if query is None:
            return []
        samples, step_s = -(-steps // steps_per_sample), STEP_S * steps_per_sample
        grid = Grid(until_s - (samples - 1) * step_s, step_s, samples)
        values = await self.read_range(query, grid, target.resource.namespace)
        if isinstance(values, Unknown):
            log.warning("history of %s is not known: %s", target.name, values.message)
            return []
        if target.spec.empty_is is not EmptyIs.ZERO:
            values = await self._covered(target, values, grid)
        return [value for value in values for _ in range(steps_per_sample)][-steps:]

    def newest_at_s(self, target: Target) -> float | None:
        """When the newest sample behind a target's demand was taken, on the clock of `now_s`, else None.

        Of when that was last measured, which is done again only when the sample can be too old by now: the next ones
        follow at the interval of its scrapes.
        """
        query = target.resource.queries.demand or ""
        period = self._samples.of((query, target.resource.spec.guardrails.stale_after_s)).fresh
        return None if period is None else period.newest_at_s

    def learn(self, target: Target) -> Iterator[None]:
        """Work out what is needed to ask a target's queries, one of them a step: each can take milliseconds."""
        stale_after_s = target.resource.spec.guardrails.stale_after_s
        for query in _queries(target):
            for _ in range(2):  # what is asked for twice is kept
                self._shapes.of(query)
                self._samples.of((query, stale_after_s))
            yield

    def forget(self, target: Target) -> None:
        """Drop what was worked out about a target's queries; another target that asks the same works it out again."""
        stale_after_s = target.resource.spec.guardrails.stale_after_s
        for query in _queries(target):
            self._shapes.drop(query)
            self._samples.drop((query, stale_after_s))

    def group_key(self, target: Target) -> str:
        """What is the same for all targets whose demand can be asked by one query, when it is asked in one tick."""
        return self._key(target.resource.queries.demand or "")

    async def _read_of(self, target: Target, query: str, now_s: float) -> Reading:
        return await self.read(
            query, target.resource.spec.guardrails.stale_after_s, now_s, namespace=target.resource.namespace
        )

    async def read(self, query: str, stale_after_s: float, now_s: float, namespace: str = "") -> Reading:
        """The one number that a query answers now, from samples that are fresh enough; asked once for each `now_s`.

        `now_s`: the tick's time, the same for all that share it. May take two deadlines: one for the number, one for
        the age of its samples, which is asked for afterwards, so that what ended in between is not missed; more where
        a shared query is refused, at once as a rule, and asked for in smaller groups.

        `namespace`: whose share of Prometheus it takes.
        """
        reading = await self._readings.ask(Question(query, namespace=namespace), now_s)
        samples = self._samples.of((query, stale_after_s))
        if isinstance(reading, Unknown) or samples.are_fresh(now_s):
            return reading
        return await self._why_unusable(samples, now_s, namespace) or reading

    async def read_range(self, query: str, grid: Grid, namespace: str = "") -> list[float] | Unknown:
        """The one series that a query answers over a time range, NaN for gaps. `namespace`: whose share it takes."""
        rest = self._rests.of(namespace)
        resting = rest.reason(self._clock())
        if resting is not None:
            return resting
        body = await self._http.ask(range_request(query, grid, self._http.settings.history_deadline_s, namespace))
        if isinstance(body, QueryTooSlow):
            rest.begin(body, self._clock())
        if isinstance(body, Unknown):
            return body
        rest.end()
        return await self._off_loop.read(body, parse_history, body, grid)

    async def _covered(self, target: Target, values: list[float], grid: Grid) -> list[float]:
        """A history without what rests on a part of the samples. On the memory's own grid their age is asked for, too:
        a gap that is shorter than the query's range leaves none in its values."""
        ranges = ranges_of(target.resource.queries.demand or "")
        if not ranges:
            return values
        asks = grid.step_s <= STEP_S and any(map(math.isfinite, values))
        ages_s = await self.read_range(ages_query(ranges), grid, target.resource.namespace) if asks else []
        range_s = max(one.range_s for one in ranges)
        return without_ramps(values, [] if isinstance(ages_s, Unknown) else ages_s, grid.step_s, range_s)

    async def _checked(self, target: Target, query: str, reading: Reading, now_s: float) -> Reading:
        """The reading as partial where samples do not cover what the query reads, asking for that where it is due."""
        checks = self._coverage.of(query)
        if isinstance(reading, Unknown):
            if reading.reason is not Reason.METRIC_EMPTY:
                checks.note_silence(now_s)
                return reading
            checks.note_failure(now_s)
            if target.spec.empty_is is EmptyIs.ZERO and not checks.answered_throughout(now_s):
                return Value(0.0, partial=True, why=EMPTY_TOO_SOON)
            return reading
        if checks.is_due(reading.value, now_s):
            question = Question(query, of_coverage=True, namespace=target.resource.namespace)
            _, answer = await self._ages.ask(question, now_s)
            checks.note_answer(answer, reading.value, now_s, _spread(self._key(query)))
        if checks.missing:
            return replace(reading, partial=True, why=checks.missing)
        return replace(reading, covered=True)

    async def _why_unusable(self, samples: "_Samples", now_s: float, namespace: str) -> Unknown | None:
        """Ask for the age of the samples behind a query; None when they can be used.

        With a newest sample A seconds old, nothing can be too old until its limit less A seconds later.
        """
        query, stale_after_s, check = samples.query, samples.stale_after_s, samples.check
        if isinstance(check, Unknown):
            return check
        if not check.selectors:
            return None
        asked_s, ages = await self._ages.ask(Question(query, stale_after_s, namespace=namespace), now_s)
        if isinstance(ages, Unknown):
            return Unknown(Reason.METRIC_ERROR, f"the age of the samples is not known: {ages.message}")
        age_s = oldest_s(check, ages, stale_after_s)
        if isinstance(age_s, Unknown):
            return age_s
        lasts_s = (stale_after_s - age_s) * _spread(self._key(query)) if check.lasts else 0.0
        samples.fresh = _Period(now_s, now_s + lasts_s, asked_s - age_s)
        return None

    def _key(self, query: str) -> str:
        shape = self._shapes.of(query)
        return query if shape is None else shape.key


def _queries(target: Target) -> list[str]:
    queries = target.resource.queries
    return [query for query in (queries.demand, queries.bad_ratio, *queries.healthy) if query is not None]


def _with_hint(reading: Reading, hint: str) -> Reading:
    """A reading whose message says what to look at, where a preset's query found nothing."""
    if hint and isinstance(reading, Unknown) and reading.reason is Reason.METRIC_EMPTY:
        return Unknown(reading.reason, f"{reading.message}; {hint}")
    return reading


def _rest(_: str) -> Pause:
    return Pause(failures_before=1, first_s=FIRST_REST_S, longest_s=LONGEST_REST_S)


def range_request(query: str, grid: Grid, deadline_s: float, namespace: str = "") -> Request:
    """What asks for a query's values on a grid. `namespace`: whose share it takes."""
    return Request(
        endpoint="query_range",
        form={"query": query, "start": f"{grid.start_s:.3f}", "end": f"{grid.end_s:.3f}", "step": f"{grid.step_s:g}"},
        deadline_s=deadline_s,
        owner=namespace,
        most_bytes=MOST_BYTES + SAMPLE_BYTES * grid.steps,
    )


class _Samples:
    """What is known of the samples behind a query: how their age is asked for, and since when they are young enough."""

    def __init__(self, query_and_limit: tuple[str, float]) -> None:
        self.query, self.stale_after_s = query_and_limit
        self.check = age_check(self.query)
        self.fresh: _Period | None = None

    def are_fresh(self, now_s: float) -> bool:
        """Whether the age that was last asked for still tells that they are."""
        return self.fresh is not None and self.fresh.since_s <= now_s <= self.fresh.until_s


@dataclass(frozen=True)
class _Period:
    """When samples are known to be young enough, and when the newest was taken."""

    since_s: float
    until_s: float
    newest_at_s: float


def _spread(key: str) -> float:
    """A share from 0.5 to 1, so that groups that were first asked together are not checked together for ever."""
    return 0.5 + 0.5 * zlib.crc32(key.encode(errors="replace")) / 2**32

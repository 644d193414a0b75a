"""Prometheus as the operator's source of readings: demand, bad share, and the history before the first decision.

Owns what is asked when: a number once a tick, whoever shares it; the age of samples when it can have run out; range
queries a few at a time. What is sent for the questions of a tick, one query for many or each, is left to `asker.py`.
Nothing here raises for a source that fails: whatever is no reading is an `Unknown`.
"""

import asyncio
import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from controller.ports import Target
from controller.prometheus.answer import Grid, parse_history
from controller.prometheus.asker import Asker, Question
from controller.prometheus.coverage import longest_s, ranges_of, without_ramps
from controller.prometheus.coverage_checks import CoverageChecks
from controller.prometheus.http import PrometheusHttp
from controller.prometheus.in_use import InUse
from controller.prometheus.once import OncePerTick
from controller.prometheus.sample_age import age_check, oldest_s
from controller.promql.grouping import shape_of
from scaling.decision import Reason
from scaling.observation import Reading, Unknown, Value, usable, usable_ratio
from scaling.spec import EmptyIs
from scaling.workload import STEP_S

DAY_STEPS = 5760
"""What the memory of a workload reaches back, on its grid."""

MOST_HISTORIES_IN_FLIGHT = 4
"""Range queries at a time: a day of samples each, and readings must not wait behind them (chosen)."""

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
        self._history_gate = asyncio.Semaphore(MOST_HISTORIES_IN_FLIGHT)

    async def demand(self, target: Target, now_s: float) -> Reading:
        """The demand on a target, or why it is not known."""
        query = target.resource.queries.demand
        if query is None:
            return Unknown(Reason.METRIC_ERROR, "neither spec.demand.query nor spec.demand.preset is given")
        reading = usable(await self.read(query, target.resource.spec.guardrails.stale_after_s, now_s))
        checked = await self._checked(query, reading, now_s, target.spec.empty_is)
        return _with_hint(checked, target.resource.queries.hint)

    async def bad_ratio(self, target: Target, now_s: float) -> float | None:
        """The share of bad requests; None where it is not asked for, not known, or known in part."""
        query = target.resource.queries.bad_ratio
        if query is None:
            return None
        reading = await self.read(query, target.resource.spec.guardrails.stale_after_s, now_s)
        return None if isinstance(reading, Unknown) or reading.partial else usable_ratio(reading.value)

    async def healthy(self, target: Target, now_s: float) -> bool:
        """Whether every query of spec.guardrails.requireHealthy answers a number other than 0, fresh and whole."""
        stale_after_s = target.resource.spec.guardrails.stale_after_s
        asked = [self.read(query, stale_after_s, now_s) for query in target.resource.queries.healthy]
        readings = await asyncio.gather(*asked)
        return all(isinstance(reading, Value) and reading.value != 0 and not reading.partial for reading in readings)

    async def history(
        self, target: Target, until_s: float, steps: int = DAY_STEPS, steps_per_sample: int = 1
    ) -> list[float]:
        """The demand at the last steps of the memory's grid up to `until_s` (Unix time), NaN for gaps.

        `steps_per_sample`: at 4 every fourth step is asked for and stands for those since the one before, which costs
        both sides a quarter; for a start with many targets, and with a rate over a minute hardly another answer.
        Empty when it is not known, which the log explains. Calls wait for each other, a few run at a time.
        """
        query = target.resource.queries.demand
        if query is None:
            return []
        samples, step_s = -(-steps // steps_per_sample), STEP_S * steps_per_sample
        values = await self.read_range(query, Grid(until_s - (samples - 1) * step_s, step_s, samples))
        if isinstance(values, list):
            if target.spec.empty_is is not EmptyIs.ZERO:
                values = without_ramps(values, step_s, longest_s(ranges_of(query)))
            return [value for value in values for _ in range(steps_per_sample)][-steps:]
        log.warning("history of %s is not known: %s", target.name, values.message)
        return []

    def newest_at_s(self, target: Target) -> float | None:
        """When the newest sample behind a target's demand was taken, on the clock of `now_s`, else None.

        Of when that was last measured, which is done again only when the sample can be too old by now: the next ones
        follow at the interval of its scrapes.
        """
        query = target.resource.queries.demand or ""
        period = self._samples.of((query, target.resource.spec.guardrails.stale_after_s)).fresh
        return None if period is None else period.newest_at_s

    def group_key(self, target: Target) -> str:
        """What is the same for all targets whose demand can be asked by one query, when it is asked in one tick."""
        return self._key(target.resource.queries.demand or "")

    async def read(self, query: str, stale_after_s: float, now_s: float) -> Reading:
        """The one number that a query answers now, from samples that are fresh enough; asked once for each `now_s`.

        `now_s`: the tick's time, the same for all that share it. May take two deadlines: one for the number, one for
        the age of its samples, which is asked for afterwards, so that what ended in between is not missed; more where
        a shared query is refused, at once as a rule, and asked for in smaller groups.
        """
        reading = await self._readings.ask(Question(query), now_s)
        samples = self._samples.of((query, stale_after_s))
        if isinstance(reading, Unknown) or samples.are_fresh(now_s):
            return reading
        return await self._why_unusable(samples, now_s) or reading

    async def read_range(self, query: str, grid: Grid) -> list[float] | Unknown:
        """The one series that a query answers over a time range, NaN for gaps."""
        form = {"query": query, "start": f"{grid.start_s:.3f}", "end": f"{grid.end_s:.3f}", "step": f"{grid.step_s:g}"}
        async with self._history_gate:
            body = await self._http.post("query_range", form, self._http.settings.history_deadline_s)
        return parse_history(body, grid) if isinstance(body, bytes) else body

    async def _checked(self, query: str, reading: Reading, now_s: float, empty_is: EmptyIs) -> Reading:
        """The reading as partial where samples do not cover what the query reads, asking for that where it is due."""
        checks = self._coverage.of(query)
        if isinstance(reading, Unknown):
            if reading.reason is not Reason.METRIC_EMPTY:
                checks.note_silence(now_s)
                return reading
            checks.note_failure(now_s)
            if empty_is is EmptyIs.ZERO and not checks.answered_throughout(now_s):
                return Value(0.0, partial=True, why=EMPTY_TOO_SOON)
            return reading
        if checks.is_due(reading.value, now_s):
            _, answer = await self._ages.ask(Question(query, of_coverage=True), now_s)
            checks.note_answer(answer, reading.value, now_s, _spread(self._key(query)))
        if checks.missing:
            return replace(reading, partial=True, why=checks.missing)
        return replace(reading, covered=True)

    async def _why_unusable(self, samples: "_Samples", now_s: float) -> Unknown | None:
        """Ask for the age of the samples behind a query; None when they can be used.

        With a newest sample A seconds old, nothing can be too old until its limit less A seconds later.
        """
        query, stale_after_s, check = samples.query, samples.stale_after_s, samples.check
        if isinstance(check, Unknown):
            return check
        if not check.selectors:
            return None
        asked_s, ages = await self._ages.ask(Question(query, stale_after_s), now_s)
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


def _with_hint(reading: Reading, hint: str) -> Reading:
    """A reading whose message says what to look at, where a preset's query found nothing."""
    if hint and isinstance(reading, Unknown) and reading.reason is Reason.METRIC_EMPTY:
        return Unknown(reading.reason, f"{reading.message}; {hint}")
    return reading


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

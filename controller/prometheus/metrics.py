"""Prometheus as the operator's source of readings: demand, bad share, and the history before the first decision.

Owns what is asked when: one query once a tick, whoever shares it; the age of samples when it can have run out; range
queries a few at a time. Nothing here raises for a source that fails: whatever is no reading is an `Unknown`.
"""

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from controller.ports import Target
from controller.prometheus.answer import Ages, Grid, parse_ages, parse_history, parse_reading
from controller.prometheus.http import PrometheusHttp
from controller.prometheus.sample_age import age_check, oldest_s
from scaling.decision import Reason
from scaling.observation import Reading, Unknown, usable, usable_ratio
from scaling.workload import STEP_S

DAY_STEPS = 5760
"""What the memory of a workload reaches back, on its grid."""

MOST_HISTORIES_IN_FLIGHT = 4
"""Range queries at a time: a day of samples each, and readings must not wait behind them (chosen)."""

FEWEST_TO_SWEEP = 1024

log = logging.getLogger(__name__)


class PrometheusMetrics:
    """Reads targets' metrics from one Prometheus; implements `controller.ports.Metrics`."""

    def __init__(self, http: PrometheusHttp) -> None:
        self._http = http
        self._readings = _OncePerTick(self._ask_reading)
        self._ages = _OncePerTick(self._ask_ages)
        self._fresh: dict[tuple[str, float], _Period] = {}
        self._next_sweep = FEWEST_TO_SWEEP
        self._history_gate = asyncio.Semaphore(MOST_HISTORIES_IN_FLIGHT)

    async def demand(self, target: Target, now_s: float) -> Reading:
        """The demand on a target, or why it is not known."""
        query = target.resource.queries.demand
        if query is None:
            return Unknown(Reason.METRIC_ERROR, "spec.demand.query is not given")
        return usable(await self.read(query, target.resource.spec.guardrails.stale_after_s, now_s))

    async def bad_ratio(self, target: Target, now_s: float) -> float | None:
        """The share of bad requests; None where it is not asked for, not known, or known in part."""
        query = target.resource.queries.bad_ratio
        if query is None:
            return None
        reading = await self.read(query, target.resource.spec.guardrails.stale_after_s, now_s)
        return None if isinstance(reading, Unknown) or reading.partial else usable_ratio(reading.value)

    async def history(self, target: Target, until_s: float, steps: int = DAY_STEPS) -> list[float]:
        """The demand at the last steps of the memory's grid up to `until_s` (Unix time), NaN for gaps.

        Empty when it is not known, which the log explains. Calls wait for each other, a few run at a time.
        """
        query = target.resource.queries.demand
        if query is None:
            return []
        values = await self.read_range(query, Grid(until_s - (steps - 1) * STEP_S, STEP_S, steps))
        if isinstance(values, list):
            return values
        resource = target.resource
        log.warning("history of %s/%s is not known: %s", resource.namespace, resource.name, values.message)
        return []

    async def read(self, query: str, stale_after_s: float, now_s: float) -> Reading:
        """The one number that a query answers now, from samples that are fresh enough; asked once for each `now_s`.

        `now_s`: the tick's time, the same for all that share it. May take two deadlines: one for the number, one for
        the age of its samples, which is asked for afterwards, so that what ended in between is not missed.
        """
        reading = await self._readings.ask(query, now_s)
        if isinstance(reading, Unknown) or self._is_fresh(query, stale_after_s, now_s):
            return reading
        return await self._why_unusable(query, stale_after_s, now_s) or reading

    async def read_range(self, query: str, grid: Grid) -> list[float] | Unknown:
        """The one series that a query answers over a time range, NaN for gaps."""
        form = {"query": query, "start": f"{grid.start_s:.3f}", "end": f"{grid.end_s:.3f}", "step": f"{grid.step_s:g}"}
        async with self._history_gate:
            body = await self._http.post("query_range", form, self._http.settings.history_deadline_s)
        return parse_history(body, grid) if isinstance(body, bytes) else body

    async def _ask_reading(self, query: str) -> Reading:
        body = await self._instant(query)
        return parse_reading(body) if isinstance(body, bytes) else body

    async def _ask_ages(self, query: str) -> Ages | Unknown:
        body = await self._instant(query)
        return parse_ages(body) if isinstance(body, bytes) else body

    async def _instant(self, query: str) -> bytes | Unknown:
        """Ask as of the server's own now: a clock of ours that is ahead would find no samples, and call them gone."""
        return await self._http.post("query", {"query": query}, self._http.settings.deadline_s)

    def _is_fresh(self, query: str, stale_after_s: float, now_s: float) -> bool:
        """With a newest sample A seconds old, nothing can be too old until `stale_after_s` - A seconds later."""
        period = self._fresh.get((query, stale_after_s))
        return period is not None and period.since_s <= now_s <= period.until_s

    async def _why_unusable(self, query: str, stale_after_s: float, now_s: float) -> Unknown | None:
        """Ask for the age of the samples behind a query; None when they can be used."""
        check = age_check(query, stale_after_s)
        if isinstance(check, Unknown):
            return check
        if check.text is None:
            return None
        ages = await self._ages.ask(check.text, now_s)
        if isinstance(ages, Unknown):
            return Unknown(Reason.METRIC_ERROR, f"the age of the samples is not known: {ages.message}")
        age_s = oldest_s(check, ages, stale_after_s)
        if isinstance(age_s, Unknown):
            return age_s
        if check.lasts:
            self._forget_ended(now_s)
            self._fresh[query, stale_after_s] = _Period(now_s, now_s + (stale_after_s - age_s) * _spread(query))
        return None

    def _forget_ended(self, now_s: float) -> None:
        """Drop what has run out, so that queries of deleted policies do not pile up."""
        if len(self._fresh) >= self._next_sweep:
            self._fresh = {key: period for key, period in self._fresh.items() if now_s <= period.until_s}
            self._next_sweep = 2 * len(self._fresh) + FEWEST_TO_SWEEP


@dataclass(frozen=True)
class _Period:
    since_s: float
    until_s: float


T = TypeVar("T")


class _OncePerTick(Generic[T]):
    """Asks each question once for all who ask it at the same tick, while it is under way and after."""

    def __init__(self, ask: Callable[[str], Awaitable[T]]) -> None:
        self._ask = ask
        self._tick_s: float | None = None
        self._asked: dict[str, asyncio.Future[T]] = {}

    async def ask(self, question: str, now_s: float) -> T:
        """Return the answer; whoever stops waiting for it does not take it from the others."""
        if now_s != self._tick_s:
            self._tick_s, self._asked = now_s, {}
        if question not in self._asked:
            self._asked[question] = asyncio.ensure_future(self._ask(question))
        return await asyncio.shield(self._asked[question])


def _spread(query: str) -> float:
    """A share from 0.5 to 1, so that queries that were first asked together are not checked together for ever."""
    return 0.5 + 0.5 * zlib.crc32(query.encode(errors="replace")) / 2**32

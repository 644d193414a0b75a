"""What a policy must know of the past: its workload's demand, read once from Prometheus when it is taken in.

The last hour comes first, as it is cheap and most of what a decision needs; the day, from which the look-ahead comes,
follows for one policy at a time and in a thread, as it takes a twentieth of a second of computing, and then as long a
rest: decisions go on beside it.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

from controller.operator.clock import Clock
from controller.operator.policies import PolicyRecord
from controller.ports import Refused, Scale, Target
from scaling.decide import PolicyState, remember
from scaling.spec import EmptyIs
from scaling.workload import DAY_MINUTES, MINUTE_STEPS, STEP_S

log = logging.getLogger(__name__)

HOUR_STEPS = 256
DAY_STEPS = DAY_MINUTES * MINUTE_STEPS
"""A day is asked for by the minute: what is more than an hour ago counts by its minutes and means."""

HOURS_AT_A_TIME = 4
RETRY_S = 60.0
"""A history that cannot be had is asked for again after this (chosen)."""

SYNC_RETRY_S = 0.5
"""The watches tell everything within seconds of a start (chosen)."""

KEPT = ("capacity_ratio", "bad_ratio", "since_add")
"""What a range query of the demand cannot tell, and readings since have told."""


class Source(Protocol):
    """Knows past demand: `PrometheusMetrics`."""

    async def history(self, target: Target, until_s: float, steps: int, steps_per_sample: int) -> list[float]:
        """Demand on the memory's grid up to a Unix time, NaN for gaps; empty when it is not known."""


class _Wish(NamedTuple):
    """A policy, and the memory of it that is to be filled."""

    record: PolicyRecord
    state: PolicyState
    gap_s: float = 0.0
    """How much of the past the memory has only bridged, where that is why it is to be filled."""

    def target(self) -> Target | None:
        """The policy's target; None once that has another memory, for which somebody has another wish."""
        target = self.record.target
        return target if target is not None and target.state is self.state else None


class _Line:
    """Wishes in a row, each once; one that failed comes again after a while, or when somebody asks."""

    def __init__(self) -> None:
        self._wishes: asyncio.Queue[_Wish] = asyncio.Queue()
        self._waiting: set[int] = set()
        """Memories that are in the row, by identity."""
        self._later: dict[int, asyncio.TimerHandle] = {}

    def put(self, wish: _Wish) -> None:
        later = self._later.pop(id(wish.state), None)
        if later is not None:
            later.cancel()
        if id(wish.state) not in self._waiting:
            self._waiting.add(id(wish.state))
            self._wishes.put_nowait(wish)

    def put_later(self, wish: _Wish, pause_s: float) -> None:
        if id(wish.state) not in self._waiting and id(wish.state) not in self._later:
            self._later[id(wish.state)] = asyncio.get_running_loop().call_later(pause_s, self.put, wish)

    async def get(self) -> _Wish:
        wish = await self._wishes.get()
        self._waiting.discard(id(wish.state))
        return wish


class Histories:
    """Fills the memories of policies that ask for it."""

    def __init__(
        self, source: Source, scale: Callable[[Target, float], Awaitable[Scale | Refused]], clock: Clock
    ) -> None:
        self._source, self._scale, self._clock = source, scale, clock
        self._hours, self._days = _Line(), _Line()

    def want(self, record: PolicyRecord, gap_s: float = 0.0) -> None:
        """Ask for a policy's history; what is known of it meanwhile stays in use until it is there.

        `gap_s`: how long nothing was known, which the memory has bridged.
        """
        if record.target is not None:
            self._hours.put(_Wish(record, record.target.state, gap_s))

    async def run(self) -> None:
        """Work through what is asked for, until cancelled."""
        hours = [self._work(self._hours, HOUR_STEPS, self._days) for _ in range(HOURS_AT_A_TIME)]
        await asyncio.gather(*hours, self._work(self._days, DAY_STEPS, None))

    async def _work(self, line: "_Line", steps: int, then: "_Line | None") -> None:
        while True:
            wish = await line.get()
            target = wish.target()
            if target is None:
                continue
            began_s = asyncio.get_running_loop().time()
            try:
                scale = await self._scale(target, self._clock.now_s())
                if isinstance(scale, Refused) and scale.reason == "NotSynced":
                    line.put_later(wish, SYNC_RETRY_S)
                    continue
                known = isinstance(scale, Scale) and await self._fill(wish, target, steps, scale.replicas)
            except Exception:
                log.exception("no history for %s", target.name)
                known = False
            if wish.target() is not None:
                wish.record.remembered = True
            if not known:
                line.put_later(wish, RETRY_S)
            elif then is not None:
                then.put(wish)
            else:
                await asyncio.sleep(asyncio.get_running_loop().time() - began_s)

    async def _fill(self, wish: "_Wish", target: Target, steps: int, replicas: int) -> bool:
        """Whether there is an answer, which may be that there were no samples. One that knows less than is remembered
        changes nothing: Prometheus may have lost its data."""
        until_s = self._clock.now_s()
        demand = await self._demand(target, steps)
        if not demand:
            return False
        if _known_steps(demand, target.spec.empty_is) < _remembered_steps(wish):
            log.info("the history of %s is shorter than what is remembered of it, which is kept", target.name)
            return True
        past = PolicyState()
        await asyncio.to_thread(remember, past, target.spec, demand, until_s, replicas)
        if wish.target() is not None and past.remembered_until_s is not None:
            memory = wish.state.memory
            past.memory.update({name: memory[name] for name in KEPT if memory["steps"]})
            wish.state.memory, wish.state.remembered_until_s = past.memory, past.remembered_until_s
        return True

    async def _demand(self, target: Target, steps: int) -> list[float]:
        """The last hour by the step, what went before it by the minute; empty when either is not known."""
        until_s = self._clock.unix_s()
        hour = await self._source.history(target, until_s, HOUR_STEPS, 1)
        if steps == HOUR_STEPS or not hour:
            return hour
        day = await self._source.history(target, until_s, steps, MINUTE_STEPS)
        return [*day[:-HOUR_STEPS], *hour] if day else []


def _known_steps(demand: Sequence[float], empty_is: EmptyIs) -> int:
    """Samples of a history; for whom an empty answer means zero, an absent one after the first counts, too."""
    known = [place for place, value in enumerate(demand) if math.isfinite(value)]
    if not known:
        return 0
    return len(demand) - known[0] if empty_is is EmptyIs.ZERO else len(known)


def _remembered_steps(wish: _Wish) -> int:
    """Steps of the last day that were seen and not bridged."""
    return min(int(wish.state.memory["steps"]), DAY_STEPS) - int(wish.gap_s / STEP_S)

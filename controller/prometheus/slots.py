"""Slots for requests to Prometheus, shared fairly between their owners, which are namespaces.

Owns who may send next. A request that was sent keeps its slot until it ends, so fairness lies in what is handed out:

| rule | what it keeps away |
|---|---|
| an owner gets no more slots than it leaves free | one namespace that takes all of them |
| owners that wait are served in turn | a long queue that is served before a short one |
| an owner's queue is bounded | memory that grows with what one namespace asks |
| a timeout halves what its owner may hold down to an eighth, a good answer adds one | queries that hang and keep half |

The first rule is a dynamic threshold, which needs no list of owners: one alone gets half of the slots, two get a third
each. Source: Choudhury and Hahne, Dynamic queue length thresholds for shared-memory packet switches, 1998.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from controller.prometheus.in_use import InUse

MOST_WAITING = 2000
"""Requests of one owner that wait (chosen): twice what 1,000 policies ask in a tick of queries that cannot share."""


_Queue = OrderedDict[asyncio.Future[None], None]
"""Those that wait, in their order; leaving it takes no longer in a long queue."""


class QueueFullError(Exception):
    """The owner has too many requests that wait."""


@dataclass
class _Share:
    """How many slots an owner may hold."""

    most: int


class FairSlots:
    """A number of slots for requests."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        """`clock`: in seconds; what is known of an owner's timeouts is forgotten when it was not seen for a while."""
        self._most, self._free = most, most
        self._least = max(1, most // 8)
        self._held: dict[str, int] = {}
        self._waiting: OrderedDict[str, _Queue] = OrderedDict()
        self._shares = InUse[str, _Share](lambda _: _Share(most), clock)

    @asynccontextmanager
    async def slot(self, owner: str) -> AsyncIterator[None]:
        """Wait for a slot and hold it; QueueFullError where too many of the owner's requests wait already."""
        await self._acquire(owner)
        try:
            yield
        finally:
            self._release(owner)

    def timed_out(self, owner: str) -> None:
        """Let an owner hold half as many as before, at least an eighth of all."""
        share = self._shares.of(owner)
        share.most = max(self._least, share.most // 2)

    def answered(self, owner: str) -> None:
        """Let an owner hold one more."""
        share = self._shares.of(owner)
        share.most = min(self._most, share.most + 1)

    def held_by(self, owner: str) -> int:
        """How many an owner holds."""
        return self._held.get(owner, 0)

    async def _acquire(self, owner: str) -> None:
        if owner not in self._waiting and self._may_take(owner):
            self._take(owner)
            return
        queue = self._waiting.setdefault(owner, OrderedDict())
        if len(queue) >= MOST_WAITING:
            raise QueueFullError
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue[turn] = None
        try:
            await turn
        except asyncio.CancelledError:
            self._give_up(owner, turn)
            raise

    def _give_up(self, owner: str, turn: asyncio.Future[None]) -> None:
        """Leave the queue, or give back the slot that was handed out in the same moment."""
        if not turn.cancelled():
            self._release(owner)
        elif turn in self._waiting.get(owner, ()):
            del self._waiting[owner][turn]
            self._drop_if_empty(owner)

    def _may_take(self, owner: str) -> bool:
        held = self._held.get(owner, 0)
        if self._free == 0 or held >= self._shares.of(owner).most:
            return False
        return held == 0 or held < self._free

    def _take(self, owner: str) -> None:
        self._free -= 1
        self._held[owner] = self._held.get(owner, 0) + 1

    def _release(self, owner: str) -> None:
        self._free += 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        self._hand_out()

    def _hand_out(self) -> None:
        """Give free slots to those that wait, one each in turn, until nobody may take one."""
        turns_without = 0
        while self._free and turns_without < len(self._waiting):
            owner, queue = next(iter(self._waiting.items()))
            self._waiting.move_to_end(owner)
            turns_without += 1
            if self._may_take(owner):
                turn, _ = queue.popitem(last=False)
                self._drop_if_empty(owner)
                turns_without = 0
                if not turn.done():  # it was given up in this moment
                    self._take(owner)
                    turn.set_result(None)

    def _drop_if_empty(self, owner: str) -> None:
        if not self._waiting[owner]:
            del self._waiting[owner]

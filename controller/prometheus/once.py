"""Questions of one tick, each asked once, and those of one turn of the event loop together.

Owns who waits for which answer. What is sent for the questions of a turn is left to the caller.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Sequence
from typing import Any, Generic, TypeVar

Q = TypeVar("Q", bound=Hashable)
A = TypeVar("A")

Parcel = tuple[Sequence[Q], Coroutine[Any, Any, Sequence[A]]]
"""Questions that are sent together, and what brings their answers in the same order."""


class OncePerTick(Generic[Q, A]):
    """Asks each question once for all who ask it at the same tick, while it is under way and after."""

    def __init__(self, parcels: Callable[[Sequence[Q], float], Sequence[Parcel[Q, A]]]) -> None:
        """`parcels`: how the questions of one turn of the event loop at a tick's `now_s` are sent."""
        self._parcels = parcels
        self._tick_s: float | None = None
        self._asked: dict[Q, asyncio.Future[A]] = {}
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def ask(self, question: Q, now_s: float) -> A:
        """Return the answer; whoever stops waiting for it does not take it from the others."""
        if now_s != self._tick_s:
            self._tick_s, self._asked, self._waiting = now_s, {}, []
        if question not in self._asked:
            self._collect(question, now_s)
        return await asyncio.shield(self._asked[question])

    def _collect(self, question: Q, now_s: float) -> None:
        """Note a question; the first of a turn sees to it that all are sent after it."""
        loop = asyncio.get_running_loop()
        answer = self._asked[question] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._send, self._waiting, now_s)
        self._waiting.append((question, answer))

    def _send(self, waiting: list[tuple[Q, asyncio.Future[A]]], now_s: float) -> None:
        if waiting is self._waiting:
            self._waiting = []
        answers = dict(waiting)
        for questions, answering in self._parcels(list(answers), now_s):
            task = asyncio.ensure_future(_fulfil([answers[question] for question in questions], answering))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)


async def _fulfil(answers: Sequence[asyncio.Future[A]], answering: Coroutine[Any, Any, Sequence[A]]) -> None:
    """Hand out what comes, be it a failure: nobody is left waiting."""
    try:
        for answer, found in zip(answers, await answering, strict=True):
            answer.set_result(found)
    except asyncio.CancelledError:
        for answer in answers:
            answer.cancel()
        raise
    except Exception as error:
        for answer in answers:
            if not answer.done():
                answer.set_exception(error)

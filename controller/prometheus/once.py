"""Questions of one tick, each asked once, and those of one turn of the event loop together.

Owns who waits for which answer. What is sent for the questions of a turn is left to the caller.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Sequence
from typing import Any, Generic, TypeVar

Q = TypeVar("Q", bound=Hashable)
A = TypeVar("A")

Hand = Callable[[Q, A], None]
"""Hands out the answer to a question; the first one counts."""

Parcel = tuple[Sequence[Q], Coroutine[Any, Any, object]]
"""Questions that are sent together, and what asks for them and hands out each answer as it comes."""


class OncePerTick(Generic[Q, A]):
    """Asks each question once for all who ask it at the same tick, while it is under way and after."""

    def __init__(self, parcels: Callable[[Sequence[Q], float, Hand[Q, A]], Sequence[Parcel[Q]]]) -> None:
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

        def hand(question: Q, answer: A) -> None:
            if not answers[question].done():
                answers[question].set_result(answer)

        for questions, asking in self._parcels(list(answers), now_s, hand):
            task = asyncio.ensure_future(_see_through([answers[question] for question in questions], asking))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)


async def _see_through(answers: Sequence[asyncio.Future[A]], asking: Coroutine[Any, Any, object]) -> None:
    """Let the answers come. Whoever has none in the end hears of the failure: nobody is left waiting."""
    try:
        await asking
    except asyncio.CancelledError:
        for answer in answers:
            answer.cancel()
        raise
    except Exception as error:
        _fail(answers, error)
    else:
        _fail(answers, RuntimeError("a question was not answered"))


def _fail(answers: Sequence[asyncio.Future[A]], error: Exception) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_exception(error)

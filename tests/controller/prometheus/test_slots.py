"""Slots for requests: who gets one, and when; nothing here takes time."""

import asyncio
import contextlib
import random
from collections import Counter

import pytest

from controller.prometheus import slots as module
from controller.prometheus.in_use import TURN_S
from controller.prometheus.slots import FairSlots, QueueFullError


class Requests:
    """Requests that hold their slot until they are told to end."""

    def __init__(self, most, clock=lambda: 0.0):
        self.slots = FairSlots(most, clock)
        self.sent = []  # owners in the order in which they got a slot
        self._ends = []
        self._tasks = []

    async def ask(self, *owners):
        """Ask for a slot each, and let everything that can happen now happen."""
        self._tasks += [asyncio.ensure_future(self._hold(owner)) for owner in owners]
        await settle()

    async def end(self, owner):
        """End one request of an owner that has a slot."""
        place = next(place for place, (one, _) in enumerate(self._ends) if one == owner)
        self._ends.pop(place)[1].set()
        await settle()

    async def give_up(self):
        """Cancel all."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def held(self):
        """How many slots each owner holds."""
        return Counter(owner for owner, _ in self._ends)

    async def _hold(self, owner):
        async with self.slots.slot(owner):
            self.sent.append(owner)
            end = asyncio.Event()
            self._ends.append((owner, end))
            await end.wait()


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


def test_one_owner_alone_gets_half_of_the_slots():
    async def run():
        requests = Requests(20)
        await requests.ask(*["a"] * 100)
        assert requests.held() == {"a": 10}
        await requests.give_up()

    asyncio.run(run())


def test_an_owner_that_comes_while_others_hang_finds_a_free_slot():
    async def run():
        requests = Requests(20)
        await requests.ask(*["evil"] * 100)
        await requests.ask(*["worse"] * 100)
        await requests.ask("good")
        assert requests.held()["good"] == 1
        await requests.give_up()

    asyncio.run(run())


def test_owners_that_wait_are_served_in_turn():
    async def run():
        requests = Requests(1)
        await requests.ask("first", *["a"] * 5, "b", "c", "b")
        for owner in ("first", "a", "b", "c", "a"):
            await requests.end(owner)
        assert requests.sent == ["first", "a", "b", "c", "a", "b"]
        await requests.give_up()

    asyncio.run(run())


def test_an_owner_whose_requests_time_out_ends_with_an_eighth_and_gets_more_with_each_answer():
    async def run():
        requests = Requests(20)
        for _ in range(6):
            await requests.ask(*["evil"] * 10)
            while requests.held()["evil"]:
                requests.slots.timed_out("evil")
                await requests.end("evil")
        await requests.ask(*["evil"] * 20)
        assert requests.held() == {"evil": 2}
        for expected in (3, 4, 5):
            requests.slots.answered("evil")
            await requests.end("evil")
            assert requests.held()["evil"] == expected
        await requests.give_up()

    asyncio.run(run())


def test_more_than_the_limit_of_one_owner_do_not_wait_and_others_do(monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 3)

    async def run():
        requests = Requests(1)
        await requests.ask(*["a"] * 4)
        with pytest.raises(QueueFullError):
            async with requests.slots.slot("a"):
                pass
        await requests.ask("b")
        for owner in ("a", "a", "b"):
            await requests.end(owner)
        await requests.give_up()

    asyncio.run(run())


def test_requests_that_are_given_up_leave_no_slot_and_no_memory_behind():
    """Whatever the moment in which they are: waiting, with a slot, or between both."""

    async def run():
        chance, slots = random.Random(5), FairSlots(4, lambda: 0.0)

        async def hold(owner):
            async with slots.slot(owner):
                await asyncio.sleep(0)

        for _ in range(300):
            tasks = [asyncio.ensure_future(hold(chance.choice("abcdef"))) for _ in range(20)]
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            for task in chance.sample(tasks, 10):
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        assert (slots._free, slots._held, slots._waiting) == (4, {}, {})

    asyncio.run(run())


def test_owners_that_come_and_go_are_forgotten():
    clock_s = 0.0
    slots = FairSlots(4, lambda: clock_s)

    async def run():
        nonlocal clock_s
        for number in range(1000):
            async with slots.slot(f"namespace-{number}"):
                slots.timed_out(f"namespace-{number}")
            clock_s += TURN_S / 10
        assert len(slots._shares) <= 21

    asyncio.run(run())

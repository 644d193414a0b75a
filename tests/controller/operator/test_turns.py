import asyncio
import logging

from controller.operator.turns import TURN_S, Turns, in_turns
from tests.virtual_time import run_virtually


def test_events_are_taken_in_their_order_one_in_a_turn():
    async def run():
        taken: list[str] = []
        turns = Turns(lambda event, body: taken.append(str(event)))
        for event in "abc":
            turns(event, {})
        seen = []
        for _ in range(4):
            seen.append("".join(taken))
            await asyncio.sleep(0)
        turns("d", {})
        await asyncio.sleep(0)
        return [*seen, "".join(taken)]

    assert asyncio.run(run()) == ["", "a", "ab", "abc", "abcd"]


def test_an_event_that_fails_does_not_hold_up_the_next(caplog):
    taken = []

    def take(event, body):
        taken.append(event)
        if event == "a":
            raise KeyError("metadata")

    async def run():
        turns = Turns(take)
        for event in "abc":
            turns(event, {})
        await asyncio.sleep(0.01)

    with caplog.at_level(logging.CRITICAL, "asyncio"):
        run_virtually(run())
    assert taken == ["a", "b", "c"]


def test_a_long_row_lets_others_have_their_turn(monkeypatch):
    clock = iter(number * 0.3 * TURN_S for number in range(1000))
    monkeypatch.setattr("controller.operator.turns.time.perf_counter", lambda: next(clock))

    async def run():
        others: list[int] = []
        seen: list[int] = []

        async def other():
            while True:
                others.append(len(seen))
                await asyncio.sleep(0)

        beside = asyncio.create_task(other())
        async for item in in_turns(range(12)):
            seen += [item]
        beside.cancel()
        return seen, others

    seen, others = asyncio.run(run())
    assert seen == list(range(12))
    assert others == [4, 8, 12]

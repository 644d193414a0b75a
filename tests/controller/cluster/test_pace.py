import asyncio
import math

import pytest

from controller.cluster.pace import Pace, ShedError

EVER = math.inf


async def in_order(pace, *wishes):
    """Who got a turn when, asked for in the order of the wishes (True: a write)."""
    order = []

    async def wait(place, is_write):
        await pace.turn(is_write, EVER)
        order.append(place)

    async with asyncio.TaskGroup() as group:
        for place, is_write in enumerate(wishes):
            group.create_task(wait(place, is_write))
    return order


def test_what_was_saved_goes_out_as_it_comes_and_then_writes_go_first():
    async def run():
        return await in_order(Pace(requests_per_s=500, burst=2), False, False, False, False, True, True, False)

    assert asyncio.run(run()) == [0, 1, 4, 5, 2, 3, 6]


def test_who_gives_up_leaves_the_turn_to_the_next():
    async def run():
        pace = Pace(requests_per_s=500, burst=1)
        await pace.turn(False, EVER)
        gone = asyncio.create_task(pace.turn(True, EVER))
        await asyncio.sleep(0)
        gone.cancel()
        return await in_order(pace, False, True)

    assert asyncio.run(run()) == [1, 0]


def test_a_turn_that_came_too_late_is_given_back():
    async def run():
        pace = Pace(requests_per_s=0.001, burst=1)
        await pace.turn(False, EVER)
        late = asyncio.create_task(pace.turn(False, EVER))
        await asyncio.sleep(0)
        pace._tokens = 1.0  # as the refill does after a while
        pace._serve()
        late.cancel()  # between its turn and its going on
        await asyncio.wait_for(pace.turn(False, EVER), 5)
        pace.close()

    asyncio.run(run())


def test_a_pause_ends_with_writes_first():
    async def run():
        pace = Pace(requests_per_s=500, burst=30)
        pace.pause(True, 0.02)
        return await in_order(pace, False, False, True)

    assert asyncio.run(run()) == [2, 0, 1]


def test_a_pause_takes_what_was_saved():
    async def run():
        pace = Pace(requests_per_s=0.001, burst=30)
        pace.pause(True, 0.0)
        turn = asyncio.create_task(pace.turn(True, EVER))
        await asyncio.sleep(0.01)
        assert not turn.done()
        turn.cancel()
        pace.close()

    asyncio.run(run())


def test_a_refused_read_silences_reads_alone():
    async def run():
        pace = Pace(requests_per_s=500, burst=30)
        pace.pause(False, 60)
        with pytest.raises(ShedError, match="s of the silence"):
            await pace.turn(False, 0)
        await pace.turn(True, 0)
        pace.pause(True, 60)
        with pytest.raises(ShedError):
            await pace.turn(True, 0)
        pace.close()

    asyncio.run(run())

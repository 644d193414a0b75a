import asyncio
import time

import pytest

from tests.virtual_time import run_virtually

DAY_S = 86400.0


def test_a_day_passes_in_no_time_and_every_clock_shows_it():
    async def run():
        before = time.monotonic(), asyncio.get_running_loop().time()
        await asyncio.sleep(DAY_S)
        return time.monotonic() - before[0], asyncio.get_running_loop().time() - before[1]

    assert run_virtually(run()) == (pytest.approx(DAY_S), pytest.approx(DAY_S))


def test_timers_end_in_their_order_however_long_the_work_between_takes():
    async def run():
        ended = []

        async def wait(seconds):
            await asyncio.sleep(seconds)
            for _ in range(1000):
                await asyncio.sleep(0)
            ended.append(seconds)

        async with asyncio.TaskGroup() as group:
            for seconds in (0.003, 0.001, 0.002):
                group.create_task(wait(seconds))
        return ended

    assert run_virtually(run()) == [0.001, 0.002, 0.003]


def test_a_timeout_is_exact():
    async def run():
        began_s = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7.0):
                await asyncio.Event().wait()
        return time.monotonic() - began_s

    assert run_virtually(run()) == pytest.approx(7.0)


def test_the_clock_waits_for_threads():
    async def run():
        async with asyncio.timeout(1e-6):
            await asyncio.to_thread(time.sleep, 0.05)

    run_virtually(run())


def test_the_real_clock_is_back_afterwards():
    before = time.monotonic
    run_virtually(asyncio.sleep(1.0))
    assert time.monotonic is before

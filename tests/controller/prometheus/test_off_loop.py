"""Where answers are read: short ones at once, long ones in a thread."""

import asyncio
import threading

import pytest

from controller.prometheus.off_loop import MOST_AT_ONCE_BYTES, OffLoop


@pytest.mark.parametrize(
    ("length", "on_loop"), [(0, True), (MOST_AT_ONCE_BYTES, True), (MOST_AT_ONCE_BYTES + 1, False)]
)
def test_long_bodies_are_read_in_a_thread_and_short_ones_on_the_event_loop(length, on_loop):
    async def run():
        return await OffLoop().read(b" " * length, threading.current_thread)

    assert (asyncio.run(run()) is threading.current_thread()) == on_loop


def test_one_long_body_is_read_at_a_time():
    under_way = most = 0
    body = b" " * (MOST_AT_ONCE_BYTES + 1)
    lock = threading.Lock()
    pause = threading.Event()

    def read(number):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        pause.wait(0.01)
        with lock:
            under_way -= 1
        return number

    async def run():
        off_loop = OffLoop()
        return await asyncio.gather(*(off_loop.read(body, read, number) for number in range(8)))

    assert asyncio.run(run()) == list(range(8))
    assert most == 1


def test_what_a_reader_raises_comes_back():
    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(OffLoop().read(b" " * (MOST_AT_ONCE_BYTES + 1), fail))

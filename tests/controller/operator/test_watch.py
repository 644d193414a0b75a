import asyncio
import inspect
import threading

import kopf
import pytest
from kopf._core.reactor import orchestration, running

from controller.cluster.api_access import ApiSettings
from controller.operator import watch as watch_module
from controller.operator.watch import Watch

WITHIN_S = 120.0
"""For what takes a moment, on a busy machine too."""


@pytest.fixture
def runs(monkeypatch):
    """Stands in for kopf: it fails at once, and then watches until told to stop. Told each time."""
    runs = []
    again = threading.Event()

    async def operator(stop_flag, **_):
        """As kopf waits for a flag: in the loop for one of the loop, in a thread for one of a thread."""
        of_a_thread = isinstance(stop_flag, threading.Event)
        waiting = asyncio.ensure_future(asyncio.to_thread(stop_flag.wait) if of_a_thread else stop_flag.wait())
        await asyncio.sleep(0)
        runs.append(waiting)
        if len(runs) == 1:
            waiting.cancel()
            raise RuntimeError("410 Gone")
        again.set()
        await waiting

    monkeypatch.setattr(kopf, "operator", operator)
    monkeypatch.setattr(watch_module, "FIRST_PAUSE_S", 0.0)
    return again


def test_watches_that_fail_begin_again_and_end_when_told_to(runs):
    restarts = []

    async def run():
        watch = Watch([], ApiSettings(), on_restart=lambda: restarts.append("one"))
        watch.start()
        began_again = await asyncio.to_thread(runs.wait, WITHIN_S)
        was_running = watch.is_running()
        await watch.stop(WITHIN_S)
        return began_again, was_running, watch.is_running()

    assert asyncio.run(run()) == (True, True, False)
    assert restarts == ["one"]


class Clock:
    """Goes when the test says so."""

    now_s = 1000.0

    def monotonic(self):
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    """In place of the watches' own."""
    clock = Clock()
    monkeypatch.setattr(watch_module, "time", clock)
    return clock


async def until(holds):
    """Poll for what another thread does."""
    async with asyncio.timeout(WITHIN_S):
        while not holds():
            await asyncio.sleep(0.01)


def test_watches_that_hang_when_they_are_to_begin_again_are_not_well(monkeypatch, clock):
    begun, released = threading.Event(), threading.Event()

    async def operator(**_):
        begun.set()
        await asyncio.to_thread(released.wait, WITHIN_S)

    monkeypatch.setattr(kopf, "operator", operator)

    async def run():
        watch = Watch([], ApiSettings())
        watch.start()
        await asyncio.to_thread(begun.wait, WITHIN_S)
        well = [watch.is_running()]
        watch.restart()
        for later_s in (0.0, watch_module.ENDS_WITHIN_S, 0.1):
            clock.now_s += later_s
            well.append(watch.is_running())
        released.set()
        await watch.stop(WITHIN_S)
        return well

    assert asyncio.run(run()) == [True, True, True, False]


def test_watches_that_have_ended_while_kopf_has_not_are_not_well(monkeypatch, clock):
    served, ended, released = threading.Event(), threading.Event(), threading.Event()

    async def operator(**_):
        await asyncio.to_thread(served.wait, WITHIN_S)  # it logs in, and finds out what is served
        waiting = asyncio.to_thread(ended.wait, WITHIN_S)
        watching = asyncio.create_task(waiting, name=watch_module.WATCHING)
        one_of_them = asyncio.create_task(asyncio.sleep(3600), name=f"{watch_module.A_WATCH}deployments")
        await watching
        await asyncio.gather(one_of_them, return_exceptions=True)
        await asyncio.to_thread(released.wait, WITHIN_S)

    monkeypatch.setattr(kopf, "operator", operator)
    monkeypatch.setattr(watch_module, "LOOK_EVERY_S", 0.01)

    async def run():
        watch = Watch([], ApiSettings())
        watch.start()
        seen = [(watch.has_begun(), watch.is_running())]
        served.set()
        await until(watch.has_begun)
        seen.append((watch.has_begun(), watch.is_running()))
        ended.set()
        await until(lambda: not watch.has_begun())
        seen.append((watch.has_begun(), watch.is_running()))
        clock.now_s += watch_module.ENDS_WITHIN_S + 0.1
        await until(lambda: not watch.is_running())
        released.set()
        await watch.stop(WITHIN_S)
        return seen

    assert asyncio.run(run()) == [(False, True), (True, True), (False, True)]


def test_the_tasks_that_watch_have_the_names_that_kopf_gives_them():
    assert f'name="{watch_module.WATCHING}"' in inspect.getsource(running)
    assert f'name=f"{watch_module.A_WATCH}{{' in inspect.getsource(orchestration)

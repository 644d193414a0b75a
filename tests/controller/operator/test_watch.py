import asyncio
import threading

import kopf
import pytest

from controller.cluster.api_access import ApiSettings
from controller.operator import watch as watch_module
from controller.operator.watch import Watch

WITHIN_S = 10.0


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

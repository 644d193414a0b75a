"""The settings of the interpreter, in a process of their own."""

import subprocess
import sys

SET_UP = """
import asyncio, gc, sys, threading
from controller.operator.process import set_up

async def main():
    set_up()
    names = await asyncio.gather(*(asyncio.to_thread(threading.get_ident) for _ in range(20)))
    assert len(set(names)) <= 2, names
    assert abs(sys.getswitchinterval() - 0.001) < 1e-6
    assert gc.get_freeze_count() > 10_000

asyncio.run(main())
"""


SHORT_COLLECTIONS = """
import asyncio, gc
from controller.operator.process import set_up

scanned = []

def note(phase, collection):
    if phase == "start" and collection["generation"] == 2:
        scanned.append(len(gc.get_objects()))

async def main():
    set_up()
    gc.callbacks.append(note)
    kept = [[] for _ in range(400_000)]
    assert len(scanned) > 5, scanned
    assert max(scanned) < 60_000, scanned
    del kept
    assert len(gc.get_objects()) < 60_000

asyncio.run(main())
"""


def test_a_full_collection_looks_at_new_objects_alone_however_large_the_heap():
    subprocess.run([sys.executable, "-c", SHORT_COLLECTIONS], check=True)


def test_threads_are_few_and_turns_of_all_are_short():
    subprocess.run([sys.executable, "-c", SET_UP], check=True)

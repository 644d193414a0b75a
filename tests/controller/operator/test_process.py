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


def test_threads_are_few_and_turns_of_all_are_short():
    subprocess.run([sys.executable, "-c", SET_UP], check=True)

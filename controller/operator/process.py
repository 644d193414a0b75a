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

COLLECTED_AFTER = (700, 10, 5)
"""Thresholds of the three generations: a full collection after some 50,000 new objects. It takes up to
20 ms; over the whole heap of 1,000 policies of the largest size it took 130 ms (measured).

Source: https://docs.python.org/3/library/gc.html#gc.set_threshold
"""

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

    Garbage collections stop everything, so each full one looks at new objects alone: what survives it, and what was
    imported, is left out of the next. Only cycles are found by collections; what is frozen and in no cycle is still
    freed at once when nothing refers to it any more.
    """
    gc.callbacks.append(_freeze_survivors)
    gc.set_threshold(*COLLECTED_AFTER)
    gc.collect()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
    sys.setswitchinterval(TURN_S)
    set_heap = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_heap is not None:  # glibc's alone
        for setting in (HEAPS, MAPPED_FROM_BYTES):
            set_heap(*setting)


def _freeze_survivors(phase: str, collection: dict[str, int]) -> None:
    if phase == "stop" and collection["generation"] == 2:
        gc.freeze()

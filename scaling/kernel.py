"""Marks the scalar functions that the compiled fleet runs from the same source.

A kernel takes scalars, 1-D arrays and *records*: values indexed by a field name, a dict in plain Python and a row of a
structured array under numba. `sim.compiled` hands every registered kernel to numba; nothing here imports it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

Record = Any
"""A workload's or cluster's fields by name; numba needs the concrete record, so the type stays open."""

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

KERNELS: list[Callable[..., Any]] = []


def push(buffer: Any, value: float) -> None:
    """Drop a buffer's oldest value, its first, and append the newest. `sim.compiled` has the loop that numba wants."""
    buffer[:-1] = buffer[1:]
    buffer[-1] = value


def kernel(function: Kernel) -> Kernel:
    """Register a function for compilation and return it unchanged."""
    KERNELS.append(function)
    return function

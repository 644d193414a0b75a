"""Runs pieces of work that do not need each other side by side: in processes of this machine, or on a Ray cluster.

Both give the same results in the same order. A piece whose process or node dies is done again elsewhere.
"""

import multiprocessing
import socket
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol, TypeVar

from scaling.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_TRIES = 3
"""Of a piece whose process or node died (chosen: one that kills its process thrice does so by itself)."""

REACHED_WITHIN_S = 5.0
"""For a connection to a Ray cluster, which would else be waited for much longer (chosen)."""

AUTO, LOCAL = "auto", "local"
"""In place of a Ray cluster's address: the one that this machine belongs to, and a new one on this machine."""


class Executor(Protocol):
    """Functions and items must be picklable, functions at the top of a module."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Results in the order of the items. Raises what the function raised, and RuntimeError for one that dies."""


class Processes:
    """So many processes at a time, each piece in a new one."""

    def __init__(self, count: int) -> None:
        self.count = count

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """See `Executor`."""
        with ThreadPoolExecutor(self.count) as threads:
            yield from threads.map(lambda item: _in_a_process(function, item), items)


def _in_a_process(function: Callable[[Item], Result], item: Item) -> Result:
    for _ in range(MOST_TRIES):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            try:
                return process.submit(function, item).result()
            except BrokenProcessPool:  # killed, as a rule for want of memory
                continue
    raise RuntimeError(f"a worker process died {MOST_TRIES} times")


class Ray:
    """A Ray cluster: `auto`, `local`, or the HOST:PORT of its head."""

    def __init__(self, address: str) -> None:
        """Connect. Raises InputError if the cluster cannot be reached."""
        import ray

        if address not in (AUTO, LOCAL):
            _check_reached(address)
        try:
            ray.init(address, log_to_driver=False, configure_logging=False, ignore_reinit_error=True)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(f"--ray: {address} cannot be used: {str(error).splitlines()[0]}") from error

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """See `Executor`. Each piece asks for one CPU."""
        import ray

        remote = ray.remote(num_cpus=1, max_retries=MOST_TRIES)(function)
        pending = [remote.remote(item) for item in items]
        for each in pending:
            try:
                yield ray.get(each)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except ray.exceptions.RayError as error:
                raise RuntimeError(
                    f"a piece of work was lost on the Ray cluster: {str(error).splitlines()[0]}"
                ) from error


def _check_reached(address: str) -> None:
    """Say at once that nobody is there: Ray itself tries for minutes."""
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdigit():
        raise InputError(f"--ray: {address!r} is not HOST:PORT, {AUTO} or {LOCAL}")
    try:
        socket.create_connection((host, int(port)), REACHED_WITHIN_S).close()
    except OSError as error:
        raise InputError(f"--ray: {address} cannot be reached: {error.strerror or error}") from error


def executor(workers: int, ray_address: str | None) -> Executor:
    """The Ray cluster if an address is given, else processes."""
    return Processes(workers) if ray_address is None else Ray(ray_address)

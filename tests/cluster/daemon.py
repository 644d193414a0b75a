"""A program that runs beside a test: started and found ready, paused, killed, and stopped within a bound."""

import gc
import signal
import socket
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

READY_WITHIN_S = 180.0  # on two busy cores; alone it takes three
STOPPED_WITHIN_S = 15.0


@dataclass
class Daemon:
    """A command, where its output goes, and how to see that it serves."""

    name: str
    command: Sequence[str]
    log: Path
    is_ready: Callable[[], bool]
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C leaves the order of stopping to us, and wait until ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        give_up_s = time.monotonic() + READY_WITHIN_S
        while not self.is_ready() or not self.is_running():
            if not self.is_running():
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {self.last_words()}")
            if time.monotonic() > give_up_s:
                raise TimeoutError(f"{self.name} is not ready after {READY_WITHIN_S:.0f} s: {self.last_words()}")
            time.sleep(0.05)

    def is_running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def pause(self) -> None:
        """Freeze it: it keeps its connections and answers nothing."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen one go on."""
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a crash does; `start` brings it back with its data and its ports."""
        self._send(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(STOPPED_WITHIN_S)

    def stop(self) -> None:
        """Ask it to end, a frozen one too, and kill it if it does not within the bound."""
        self._send(signal.SIGTERM)
        self.resume()
        if self.process is not None:
            try:
                self.process.wait(STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def last_words(self) -> str:
        """The end of what it wrote."""
        return self.log.read_text(errors="replace")[-2000:]

    def _send(self, number: signal.Signals) -> None:
        if self.process is not None and self.is_running():
            self.process.send_signal(number)


@contextmanager
def running(daemon: Daemon) -> Iterator[Daemon]:
    """The daemon, ready; stopped at the end, whatever happened in between."""
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.stop()


@contextmanager
def resumed(daemon: Daemon) -> Iterator[None]:
    """It may be paused in between, and goes on at the end.

    A connection that was given up waits up to 30 s for the other side's goodbye in TLS, and a loop that ends sooner
    leaves it open, which is not ours to change: such are gone when this ends, and no later test is blamed for them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            yield
        finally:
            daemon.resume()
            gc.collect()


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports

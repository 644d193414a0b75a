"""`forescale serve` in a process of its own, on a free port of the loopback."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx

from tests.controller.prometheus.stub import free_ports

WITHIN_S = 60.0


@contextlib.contextmanager
def served(token: str = "") -> Iterator[str]:
    """The URL of a service, which is stopped at the end."""
    (port,) = free_ports(1)
    environment = {**os.environ, "FORESCALE_API_TOKEN": token} if token else os.environ
    command = [sys.executable, "-m", "forescale", "serve", "--port", str(port), "-q"]
    process = subprocess.Popen(command, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(WITHIN_S)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    give_up_s = time.monotonic() + WITHIN_S
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/healthz").status_code == 200:
                return
        assert process.poll() is None, "forescale serve ended"
        assert time.monotonic() < give_up_s, f"no answer within {WITHIN_S:g} s"
        time.sleep(0.1)

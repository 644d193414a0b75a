"""A real Prometheus on the loopback, which scrapes what a test exposes, and the client in front of it."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from scaling.observation import Reading, Value
from tests.cluster.build_controlplane import path_of
from tests.controller.prometheus.stub import free_ports, metrics_of
from tests.required import require

GLOBAL = "global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}\n"


@contextlib.contextmanager
def a_prometheus(folder: Path, config: str, answers: str) -> Iterator[int]:
    """Run one until the end, from when it answers a query: its port. `config` is what follows the `global` part."""
    require("prometheus")
    (port,) = free_ports(1)
    (folder / "prometheus.yml").write_text(GLOBAL + config)
    command = [path_of("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], cwd=folder, stderr=log)
    try:
        _wait_for(port, answers, process)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def read(port: int, query: str, stale_after_s: float = 120.0) -> Reading:
    """What the client reads now."""

    async def run() -> Reading:
        async with metrics_of(port) as metrics:
            return await metrics.read(query, stale_after_s, time.monotonic())

    return asyncio.run(run())


def _wait_for(port: int, query: str, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(900):
        assert process.poll() is None, f"prometheus ended with {process.returncode}"
        time.sleep(0.2)
        if isinstance(read(port, query), Value):
            return
    raise AssertionError(f"no answer to {query} within 180 s")

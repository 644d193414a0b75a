"""A real Prometheus on the loopback for tests: a folder and a port of its own, and the targets it is told of.

What it scrapes may come and go while it runs. One that answers wrongly on purpose is in hostile.py.

Source: https://github.com/prometheus/prometheus/tree/v3.15.0/docs/configuration
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.cluster.build_controlplane import path_of
from tests.cluster.daemon import Daemon, free_ports, running
from tests.cluster.loopback import ask, is_healthy

SCRAPE_INTERVAL_S = 1
"""Whole seconds. Chosen: users run 15 to 60; here a rate over 5 s follows a step within a test's patience."""


@dataclass(frozen=True)
class Sample:
    """One series of an instant query's answer."""

    labels: dict[str, str]
    value: float


@dataclass
class Prometheus:
    """A Prometheus: its process, which can be paused and killed, and ways to ask it."""

    folder: Path
    port: int
    daemon: Daemon
    targets: dict[str, int] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def scrape(self, targets: Mapping[str, int]) -> None:
        """Scrape these ports of the loopback too, by the name of their job; it begins within some 5 s."""
        self.targets |= targets
        _write_targets(self.folder, self.targets)

    def query(self, expression: str) -> list[Sample]:
        """All series that a query answers now, or RuntimeError with what is wrong."""
        data = self._data("query", query=expression)
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(one["metric"], float(one["value"][1])) for one in data["result"]]

    def number(self, expression: str) -> float | None:
        """The one number that a query answers now; None where it answers nothing."""
        samples = self.query(expression)
        if len(samples) > 1:
            raise RuntimeError(f"{expression}: {len(samples)} series in place of one")
        return samples[0].value if samples else None

    def series(self, expression: str, start_s: float, end_s: float, step_s: float) -> list[tuple[float, float]]:
        """(Unix time, value) of the one series that a query answers over a time range."""
        found = self.ranges(expression, start_s, end_s, step_s)
        if len(found) > 1:
            raise RuntimeError(f"{expression}: {len(found)} series in place of one")
        return [point for _, points in found for point in points]

    def ranges(
        self, expression: str, start_s: float, end_s: float, step_s: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """Labels and (Unix time, value) of every series that a query answers over a time range."""
        found = self._data("query_range", query=expression, start=start_s, end=end_s, step=step_s)["result"]
        return [(one["metric"], [(float(time_s), float(value)) for time_s, value in one["values"]]) for one in found]

    def _data(self, endpoint: str, **form: Any) -> Any:
        answer = ask(self.port, None, "GET", f"/api/v1/{endpoint}?{urlencode(form)}")
        if answer.code != 200:
            raise RuntimeError(f"{form['query']}: HTTP {answer.code}: {answer.body}")
        return answer.body["data"]


@contextmanager
def prometheus(
    folder: Path, targets: Mapping[str, int] | None = None, scrape_interval_s: int = SCRAPE_INTERVAL_S
) -> Iterator[Prometheus]:
    """A Prometheus with its data in an empty folder, scraping ports of the loopback by the names of their jobs."""
    (port,) = free_ports(1)
    config = folder / "prometheus.yml"
    config.write_text(json.dumps(_config(folder, scrape_interval_s)))
    command = [
        path_of("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    is_ready = partial(is_healthy, port, None, "/-/ready")
    own = Prometheus(folder, port, Daemon("prometheus", command, folder / "prometheus.log", is_ready))
    own.scrape(targets or {})
    with running(own.daemon):
        yield own


def _config(folder: Path, scrape_interval_s: int) -> dict[str, Any]:
    """Fixed targets would need a reload for each new one; a file of targets is watched."""
    every = f"{scrape_interval_s}s"
    job = {"job_name": "tests", "file_sd_configs": [{"files": [str(folder / "targets.json")]}]}
    return {"global": {"scrape_interval": every, "scrape_timeout": every}, "scrape_configs": [job]}


def _write_targets(folder: Path, targets: Mapping[str, int]) -> None:
    """Replace the file in one piece, so that half of it is never read."""
    groups = [{"targets": [f"127.0.0.1:{port}"], "labels": {"job": name}} for name, port in targets.items()]
    half = folder / "targets.json.half"
    half.write_text(json.dumps(groups))
    half.replace(folder / "targets.json")

"""Load that is played: an exporter in a process of its own, whose counters grow as a series of requests/s says.

Every application `app` has the counter `http_requests_total{namespace,app}`, the integral of its requests/s, and the
gauge `queue_length{namespace,app}`, the same number at this moment. All play one series from `GET /play` on, faster
than it was recorded if asked; `GET /set?app=…&app=…&rps=…` takes applications out of the play and gives them a load of
their own. The process ends by itself after a bound, should nobody stop it.
"""

import argparse
import http.server
import math
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import numpy as np
from numpy.typing import NDArray

from scaling.errors import InputError
from sim.traces import read_load_csv
from tests.cluster.daemon import Daemon, free_ports, running
from tests.cluster.loopback import ask, is_healthy

Series = NDArray[np.float64]
NAMESPACE = "default"
MOST_S = 1800.0
"""Seconds that the process lives at most (chosen: longer than any test, shorter than a forgotten afternoon)."""


@dataclass(frozen=True)
class Load:
    """Requests/s: a mean for each interval. Before the play it is the first of them, after it the last."""

    values: Series
    interval_s: float = 15.0


def steady(rps: float) -> Load:
    """The same all the time."""
    return Load(np.full(2, rps))


def a_peak(low_rps: float = 100.0, high_rps: float = 700.0, length_s: float = 3600.0) -> Load:
    """Up to a peak and back: an eighth of the time at rest, up and down again in five, two at rest."""
    steps = max(8, round(length_s / 15.0))
    phase = np.clip((np.arange(steps) + 0.5) / steps * 8.0 - 1.0, 0.0, 5.0) / 5.0
    return Load(low_rps + (high_rps - low_rps) * np.sin(np.pi * phase) ** 2, length_s / steps)


def app_names(prefix: str, count: int) -> list[str]:
    """The prefix alone for one application, else numbered ones."""
    return [prefix] if count == 1 else [f"{prefix}-{number}" for number in range(count)]


class Played:
    """What has arrived at all applications, by the clock of who asks."""

    def __init__(self, load: Load, count: int, speed_up: float, now_s: float) -> None:
        self._load, self._speed_up = load, speed_up
        self._edges_s = np.arange(len(load.values) + 1) * load.interval_s
        self._sums = np.concatenate(([0.0], np.cumsum(load.values * load.interval_s)))
        self._began_s = math.inf
        self._own_rps = np.full(count, np.nan)  # NaN: it plays
        self._counts = np.zeros(count)  # as they were at _at_s, and so the two sums
        self._at_s = now_s
        self._sum = self._played(now_s)

    def play(self, now_s: float) -> None:
        """Begin, or begin again."""
        self.counts(now_s)
        self._began_s = now_s
        self._sum = self._played(now_s)

    def set(self, places: Sequence[int], rps: float, now_s: float) -> None:
        """Give these applications a load of their own."""
        self.counts(now_s)
        self._own_rps[list(places)] = rps

    def rates(self, now_s: float) -> Series:
        """Requests/s of every application."""
        values = self._load.values
        step = 0 if now_s < self._began_s else int(self._time_s(now_s) / self._load.interval_s)
        return np.where(np.isnan(self._own_rps), values[min(step, len(values) - 1)], self._own_rps)

    def counts(self, now_s: float) -> Series:
        """Requests of every application so far; a clock that goes back finds the counters as they were."""
        now_s = max(now_s, self._at_s)
        played = self._played(now_s)
        arrived = np.where(np.isnan(self._own_rps), played - self._sum, self._own_rps * (now_s - self._at_s))
        self._counts = self._counts + arrived
        self._at_s, self._sum = now_s, played
        return self._counts

    def _played(self, now_s: float) -> float:
        """Requests of the series up to a moment; only differences mean something."""
        if now_s < self._began_s:
            return float(self._load.values[0] * now_s)
        time_s, end_s = self._time_s(now_s), float(self._edges_s[-1])
        beyond = max(0.0, time_s - end_s) * self._load.values[-1]
        return float(np.interp(time_s, self._edges_s, self._sums) + beyond) / self._speed_up

    def _time_s(self, now_s: float) -> float:
        """The series' own time."""
        return (now_s - self._began_s) * self._speed_up


class Page:
    """The exposition, of which only the numbers change: everything else is written once."""

    def __init__(self, played: Played, namespace: str, names: Sequence[str]) -> None:
        self.played, self._places = played, {name: place for place, name in enumerate(names)}
        self._lock = threading.Lock()
        lines = [f'{{namespace="{namespace}",app="{name}"}} %.3f' for name in names]
        self._template = "".join(
            f"# TYPE {metric} {kind}\n" + "".join(f"{metric}{line}\n" for line in lines)
            for metric, kind in (("http_requests_total", "counter"), ("queue_length", "gauge"))
        )

    def metrics(self) -> str:
        """The text of this moment."""
        with self._lock:
            now_s = time.monotonic()
            counts = self.played.counts(now_s)
            return self._template % (*counts.tolist(), *self.played.rates(now_s).tolist())

    def play(self) -> None:
        """Begin the series."""
        with self._lock:
            self.played.play(time.monotonic())

    def set(self, names: Sequence[str], rps: float) -> None:
        """Give these applications a load of their own; KeyError for one that is none."""
        with self._lock:
            self.played.set([self._places[name] for name in names], rps, time.monotonic())


class _Answers(http.server.BaseHTTPRequestHandler):
    def __init__(self, page: Page, *arguments: Any) -> None:
        self.page = page
        super().__init__(*arguments)

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        wishes = parse_qs(asked.query)
        try:
            match asked.path:
                case "/metrics":
                    self._answer(200, self.page.metrics())
                case "/play":
                    self.page.play()
                    self._answer(200, "")
                case "/set":
                    self.page.set(wishes["app"], float(wishes["rps"][0]))
                    self._answer(200, "")
                case _:
                    self._answer(404, "")
        except (KeyError, ValueError) as error:
            self._answer(400, f"{error}\n")

    def log_message(self, *_: Any) -> None:
        """Say nothing: a scrape a second is no news."""

    def _answer(self, code: int, text: str) -> None:
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> int:
    """Serve until the bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True, help="on the loopback")
    parser.add_argument("--series", type=Path, help="CSV of t_seconds,value; a peak and back over an hour if none")
    parser.add_argument("--app", default="web", help="name, or with more than one the prefix of their names")
    parser.add_argument("--apps", type=int, default=1, help="how many")
    parser.add_argument("--namespace", default=NAMESPACE)
    parser.add_argument("--speed-up", type=float, default=1.0, help="seconds of the series in a second")
    parser.add_argument("--for-s", type=float, default=MOST_S, help="ends after so many seconds")
    wishes = parser.parse_args()
    try:
        load = a_peak() if wishes.series is None else _read(wishes.series)
    except InputError as error:
        parser.error(str(error))
    played = Played(load, wishes.apps, wishes.speed_up, time.monotonic())
    page = Page(played, wishes.namespace, app_names(wishes.app, wishes.apps))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", wishes.port), partial(_Answers, page))
    bound = threading.Timer(wishes.for_s, server.shutdown)
    bound.daemon = True
    bound.start()
    with server:
        server.serve_forever()
    return 0


def _read(path: Path) -> Load:
    trace = read_load_csv(path)
    return Load(trace.values, trace.interval_s)


# The other side: what starts it


@dataclass
class LoadExporter:
    """A running exporter."""

    port: int
    apps: list[str]
    daemon: Daemon

    def play(self) -> None:
        """Begin the series."""
        self._tell("/play")

    def set(self, apps: Sequence[str], rps: float) -> None:
        """Step these applications at once."""
        self._tell("/set?" + urlencode({"app": list(apps), "rps": rps}, doseq=True))

    def _tell(self, path: str) -> None:
        answer = ask(self.port, None, "GET", path)
        if answer.code != 200:
            raise RuntimeError(f"{path[:60]}: HTTP {answer.code}: {answer.body}")


@contextmanager
def load_exporter(
    folder: Path, load: Load, apps: int = 1, app: str = "web", speed_up: float = 1.0, for_s: float = MOST_S
) -> Iterator[LoadExporter]:
    """An exporter of its own process that waits to be told to play."""
    (port,) = free_ports(1)
    series = folder / "load.csv"
    rows = (f"{place * load.interval_s:.3f},{value!r}" for place, value in enumerate(load.values.tolist()))
    series.write_text("\n".join(rows))
    options = {"port": port, "series": series, "app": app, "apps": apps, "speed-up": speed_up, "for-s": for_s}
    command = [sys.executable, "-m", "tests.cluster.load_exporter", *(f"--{name}={v}" for name, v in options.items())]
    is_ready = partial(is_healthy, port, None, "/metrics")
    daemon = Daemon("load-exporter", command, folder / "load-exporter.log", is_ready)
    with running(daemon):
        yield LoadExporter(port, app_names(app, apps), daemon)


if __name__ == "__main__":
    sys.exit(main())

"""The operator beside the HPA controller on a real control plane: `python -m benchmarks.operator [--json FILE]`.

N workloads at rest, one ScalingPolicy or HPA for each, one who scales them at a time, each from its start on: how soon
all are adopted, what holding costs, and how late a change of 50 workloads at once is followed. Requests are counted
from the API server's audit log, queries by Prometheus, processor time and memory by the kernel.

A lag counts from the scrape that brought the change, the sample's own timestamp, to the new spec.replicas in a watch.
"""

import argparse
import json
import math
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

from rich.console import Console
from rich.table import Table

from benchmarks.operator_contenders import Contender, ours, port_of, rivals
from benchmarks.operator_ground import REPLICAS, REST_RPS, STEP_RPS, Ground, ground
from benchmarks.operator_meter import (
    AuditLog,
    Samples,
    ScaleWatch,
    cpu_s,
    memory_mib,
    quantile_s,
    samples_of,
    total,
)
from tests.cluster.daemon import Daemon
from tests.cluster.load_exporter import NAMESPACE
from tests.cluster.loopback import ask
from tests.cluster.scene import wait_for

STEPS, STEPPED = 2, 50
"""Changes, and workloads that change at once."""

CALM_S = 20.0
"""So long nothing is asked of the API server before holding is measured: what follows an adoption is over."""

ADOPTED_WITHIN_S = 600.0
REMEMBERED_WITHIN_S = 1800.0
"""The memories of 5,000 days take a quarter of an hour."""

LOOK_EVERY_S = 1.0
"""Between two looks at the adoption of 1,000, each of which costs who is looked at; of more as much longer."""

MOST_LAG_S = 90.0
"""A change is waited for this long, and for as long again for each 600 workloads: the HPA controller with its shipped
limits sees to 10 of them a second."""


@dataclass(frozen=True)
class Figures:
    """One contender with so many workloads; None where it does not apply."""

    contender: str
    policies: int
    interval_s: int
    held_min: float
    adopted_s: float
    """From the last object's creation to a first decision for all."""
    statuses_s: float
    """To a status of all."""
    cpu_s_per_min: float
    rss_mib: float
    peak_mib: float
    requests_per_s: float
    """To the API server while holding, those about the Lease apart."""
    requests: dict[str, int]
    """By verb."""
    lease_requests_per_s: float
    idle_writes: int
    queries_per_min: float
    api_server_cpu_s_per_min: float
    prometheus_cpu_s_per_min: float
    lag_median_s: float | None
    lag_max_s: float | None
    not_followed: int
    """Workloads of those stepped that did not change in time."""
    tick_p50_ms: float | None = None
    tick_p99_ms: float | None = None
    loop_lag_p50_ms: float | None = None
    loop_lag_p99_ms: float | None = None


def main() -> None:
    """Measure all that was asked for and print it."""
    parser = argparse.ArgumentParser(description="The operator beside the HPA controller on a real control plane.")
    parser.add_argument("--policies", default="100,1000,5000", help="how many, one bench after the other")
    parser.add_argument("--interval", type=int, default=15, help="seconds between two looks, and between scrapes")
    parser.add_argument("--minutes", type=float, default=5.0, help="of holding; 5 have one of the operator's listings")
    parser.add_argument("--no-hpa", action="store_true", help="the operator alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    wishes = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    contenders = [ours(), *(() if wishes.no_hpa else rivals())]
    figures: list[Figures] = []
    for count in map(int, wishes.policies.split(",")):
        figures += bench(count, wishes.interval, wishes.minutes, contenders)
        if wishes.json is not None:
            written = {"cores": os.cpu_count(), "figures": [asdict(each) for each in figures]}
            wishes.json.write_text(json.dumps(written, indent=1) + "\n")
    Console(width=160).print(_table(figures))


def bench(count: int, interval_s: int, minutes: float, contenders: Sequence[Contender]) -> list[Figures]:
    """All contenders, one after the other, on the same workloads."""
    with tempfile.TemporaryDirectory() as folder, ground(Path(folder), count, interval_s) as own:
        figures = []
        for contender in contenders:
            with contender.started(own, interval_s) as daemon:
                figures.append(_Bout(own, contender, daemon, interval_s, minutes).fought())
            _clear(own, contender)
        return figures


class _Bout:
    """One contender's run."""

    def __init__(self, own: Ground, contender: Contender, daemon: Daemon, interval_s: int, minutes: float) -> None:
        self.own, self.contender, self.daemon = own, contender, daemon
        self.interval_s, self.minutes = interval_s, minutes
        self.audit = AuditLog(own.cluster.folder / "audit.log")
        assert daemon.process is not None
        self.pid = daemon.process.pid

    def fought(self) -> Figures:
        """Adopt, hold, follow."""
        adopted_s, statuses_s = self._adopt()
        if self.contender.has_pages:
            self._calm()
        held = replace(self._hold(), adopted_s=adopted_s, statuses_s=statuses_s)
        lags = self._follow()
        return replace(
            held,
            lag_median_s=statistics.median(lags) if lags else None,
            lag_max_s=max(lags, default=None),
            not_followed=STEPS * STEPPED - len(lags),
        )

    def _adopt(self) -> tuple[float, float]:
        """Make the objects over an interval: an HPA is looked at in the rhythm that its creation began."""
        count, began_s = len(self.own.names), time.monotonic()
        for part in range(self.interval_s):
            bodies = [self.contender.body(name, self.interval_s) for name in self.own.names[part :: self.interval_s]]
            self.own.write([("post", self.contender.path, body) for body in bodies])
            time.sleep(max(0.0, began_s + part + 1 - time.monotonic()))
        made_s = time.monotonic()
        wait_for(self._decided, lambda seen: seen == count, ADOPTED_WITHIN_S)
        adopted_s = time.monotonic() - made_s
        wait_for(self._statuses, lambda seen: seen == count, ADOPTED_WITHIN_S)
        return adopted_s, time.monotonic() - made_s

    def _decided(self) -> int:
        self._rest()
        return self.contender.has_decided(self.own, self.daemon)

    def _statuses(self) -> int:
        self._rest()
        items = self.own.cluster.request("GET", self.contender.path).body["items"]
        return sum(1 for each in items if each.get("status", {}).get("conditions"))

    def _rest(self) -> None:
        time.sleep(LOOK_EVERY_S * max(1.0, len(self.own.names) / 1000))

    def _calm(self) -> None:
        """Wait until nothing but the Lease was asked for in a while, nor any history of demand."""
        wait_for(self._asked_in_a_while, lambda asked: asked == 0, REMEMBERED_WITHIN_S)

    def _asked_in_a_while(self) -> float:
        histories = self._queries("query_range")
        self.audit.mark()
        time.sleep(CALM_S)
        return self.audit.asked(self.contender.user).total + self._queries("query_range") - histories

    def _queries(self, *endpoints: str) -> float:
        scraped = samples_of(self.own.scene.prometheus.port)
        handlers = (f"/api/v1/{endpoint}" for endpoint in endpoints)
        return sum(total(scraped, "prometheus_http_requests_total", handler=handler) for handler in handlers)

    def _hold(self) -> Figures:
        """What so many minutes cost; nobody else asks Prometheus or the contender anything meanwhile."""
        before, began_s = self._counters(), time.monotonic()
        self.audit.mark()
        time.sleep(60 * self.minutes)
        asked, seconds = self.audit.asked(self.contender.user), time.monotonic() - began_s
        rss_mib, peak_mib = memory_mib(self.pid)
        after, minutes = self._counters(), seconds / 60
        return Figures(
            contender=self.contender.name,
            policies=len(self.own.names),
            interval_s=self.interval_s,
            held_min=minutes,
            adopted_s=0.0,
            statuses_s=0.0,
            cpu_s_per_min=(after.own_cpu_s - before.own_cpu_s) / minutes,
            rss_mib=rss_mib,
            peak_mib=peak_mib,
            requests_per_s=asked.total / seconds,
            requests=dict(asked.verbs),
            lease_requests_per_s=asked.leases / seconds,
            idle_writes=asked.writes,
            queries_per_min=(after.queries - before.queries) / minutes,
            api_server_cpu_s_per_min=(after.api_server_cpu_s - before.api_server_cpu_s) / minutes,
            prometheus_cpu_s_per_min=(after.prometheus_cpu_s - before.prometheus_cpu_s) / minutes,
            lag_median_s=None,
            lag_max_s=None,
            not_followed=0,
            **_latencies(before.page, after.page),
        )

    def _counters(self) -> "_Counters":
        prometheus = self.own.scene.prometheus
        used_s = cpu_s(self.pid), _cpu_of(self.own.cluster.api_server), _cpu_of(prometheus.daemon)
        queries = self._queries("query", "query_range")
        return _Counters(*used_s, queries, samples_of(port_of(self.daemon)) if self.contender.has_pages else {})

    def _follow(self) -> list[float]:
        """Lags of all workloads that followed their step."""
        watch, lags = ScaleWatch(self.own.cluster), []
        for step in range(STEPS):
            names = self.own.names[step * STEPPED :][:STEPPED]
            began_s = time.time()
            self.own.scene.load.set(names, STEP_RPS)
            changed = self._changed(watch, names, began_s)
            scraped_s = self._scraped_s(names[0], began_s)
            lags += [at_s - scraped_s for at_s in changed.values()]
            self.own.note_ready({name: watch.sizes[name] for name in names})
        return lags

    def _changed(self, watch: ScaleWatch, names: Sequence[str], began_s: float) -> dict[str, float]:
        patience_s = MOST_LAG_S * (1 + len(self.own.names) / 600)
        with suppress(TimeoutError):
            wait_for(lambda: watch.since(began_s, names), lambda seen: len(seen) == len(names), patience_s)
        return watch.since(began_s, names)

    def _scraped_s(self, name: str, began_s: float) -> float:
        """When the first sample after a step was taken: raw samples carry the time of their scrape."""
        query = f'queue_length{{namespace="{NAMESPACE}",app="{name}"}}[{math.ceil(time.time() - began_s)}s]'
        answer = ask(self.own.scene.prometheus.port, None, "GET", f"/api/v1/query?{urlencode({'query': query})}")
        (series,) = answer.body["data"]["result"]
        return min(float(at_s) for at_s, value in series["values"] if float(value) == STEP_RPS)


@dataclass(frozen=True)
class _Counters:
    own_cpu_s: float
    api_server_cpu_s: float
    prometheus_cpu_s: float
    queries: float
    page: Samples


def _latencies(before: Samples, after: Samples) -> dict[str, float]:
    """Of what measures itself; nothing of others."""
    names = {"tick": "forescale_decision_duration_seconds", "loop_lag": "forescale_event_loop_lag_seconds"}
    shares = {"p50": 0.5, "p99": 0.99}
    return {
        f"{what}_{word}_ms": 1000 * quantile_s(before, after, name, share)
        for what, name in names.items()
        for word, share in shares.items()
        if after
    }


def _cpu_of(daemon: Daemon) -> float:
    assert daemon.process is not None
    return cpu_s(daemon.process.pid)


def _clear(own: Ground, contender: Contender) -> None:
    """Leave the workloads at rest to the next: sizes, load, and a scrape that says so."""
    own.write([("delete", f"{contender.path}/{name}", {}) for name in own.names])
    own.scene.load.set(own.names, REST_RPS)
    own.settle(own.names, REPLICAS)
    wait_for(lambda: own.scene.prometheus.number(f"count(queue_length != {REST_RPS:g})"), lambda seen: not seen)


ROWS: tuple[tuple[str, Callable[[Figures], float | None], str], ...] = (
    ("CPU, s/min", lambda each: each.cpu_s_per_min, "{:.1f}"),
    ("RSS, MiB", lambda each: each.rss_mib, "{:.0f}"),
    ("RSS at its peak, MiB", lambda each: each.peak_mib, "{:.0f}"),
    ("API requests/s, holding", lambda each: each.requests_per_s, "{:.2f}"),
    ("and about the Lease", lambda each: each.lease_requests_per_s, "{:.2f}"),
    ("writes while holding, the Lease's apart", lambda each: each.idle_writes, "{:.0f}"),
    ("Prometheus queries a minute", lambda each: each.queries_per_min, "{:.0f}"),
    ("kube-apiserver's CPU, s/min", lambda each: each.api_server_cpu_s_per_min, "{:.1f}"),
    ("Prometheus' CPU, s/min", lambda each: each.prometheus_cpu_s_per_min, "{:.1f}"),
    ("lag, median, s", lambda each: each.lag_median_s, "{:.1f}"),
    ("lag, max, s", lambda each: each.lag_max_s, "{:.1f}"),
    ("not followed in time", lambda each: each.not_followed, "{:.0f}"),
    ("all adopted, s", lambda each: each.adopted_s, "{:.0f}"),
    ("all with a status, s", lambda each: each.statuses_s, "{:.0f}"),
    ("a tick, p50 / ms", lambda each: each.tick_p50_ms, "{:.0f}"),
    ("a tick, p99 / ms", lambda each: each.tick_p99_ms, "{:.0f}"),
    ("event loop's lag, p50 / ms", lambda each: each.loop_lag_p50_ms, "{:.1f}"),
    ("event loop's lag, p99 / ms", lambda each: each.loop_lag_p99_ms, "{:.1f}"),
)


def _table(figures: Sequence[Figures]) -> Table:
    first = figures[0]
    table = Table(title=f"{os.cpu_count()} cores; every {first.interval_s} s; held {first.held_min:.0f} min", box=None)
    table.add_column("")
    for each in figures:
        table.add_column(f"{each.policies:,}\n{each.contender}", justify="right")
    for words, read, form in ROWS:
        found = [read(each) for each in figures]
        table.add_row(words, *("" if value is None else form.format(value) for value in found))
    return table


if __name__ == "__main__":
    main()

"""The client against a real Prometheus that scrapes two exporters of this test, one of which dies."""

import asyncio
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from controller.prometheus.answer import Grid, Rows, parse_ages, parse_readings
from controller.prometheus.http import PrometheusHttp, Request
from controller.prometheus.sample_age import age_query
from controller.promql.grouping import Split, shape_of, shared_query
from controller.promql.matchers import literal
from controller.promql.syntax import quoted, selectors
from controller.promql.tenancy import enforced
from scaling.decision import Reason
from scaling.observation import Reading, Unknown, Value
from tests.controller.prometheus import real
from tests.controller.prometheus.real import a_prometheus
from tests.controller.prometheus.stub import free_ports, metrics_of, settings_for
from tests.controller.prometheus.test_metrics import a_target
from tests.controller.promql.test_syntax import SELECTORS

pytestmark = pytest.mark.slow

CONFIG = """
rule_files: [rules.yml]
scrape_configs:
  - job_name: steady
    static_configs: [{{targets: ["127.0.0.1:{steady}"]}}]
  - job_name: mortal
    static_configs: [{{targets: ["127.0.0.1:{mortal}"]}}]
"""
RULES = """
groups:
  - name: alerts
    rules: [{alert: Firing, expr: vector(1)}, {alert: Quiet, expr: vector(1) < 0}]
"""

SELECTORS_OF_A_POD = ['steady_pods{pod="POD"}', 'mortal_pods{job!="x",pod="POD"}', '{pod="POD",job=~"steady|mortal"}']
SUMS = st.sampled_from(SELECTORS_OF_A_POD).flatmap(
    lambda selector: st.sampled_from(
        [f"sum({selector})", f"sum(rate({selector}[4s]))", f"sum(increase({selector}[4s]))"]
    )
)
EXPRESSIONS = st.recursive(
    SUMS,
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner | st.sampled_from(["2", "0", ".5", "(1 - 3)"])).map(
        lambda parts: f"({' '.join(parts)})"
    ),
    max_leaves=4,
)


HASH = "[bcdfghjklmnpqrstvwxz2456789]"
ENDINGS = [f"-{HASH}{{1,10}}-{HASH}{{5}}", f"-{HASH}{{5}}", "-[0-9]+", "-[^-]+"]
OWNERS = ["web", "web-agent", "web-bcd", "web-bcd-7d4b9c6f5", "db", "db.eu", "nobody"]
"""Whose names begin those of the pods, or seem to."""

WORKERS = [
    *("web-7d4b9c6f5-x2k4z", "web-7d4b9c6f5-bbbbb", "web-x2k4z", "web-agent-x2k4z", "web-agent-7d4b9c6f5-x2k4z"),
    *("web-bcd-x2k4z", "web-bcd-7d4b9c6f5-x2k4z", "web-bcd-0", "db.eu-0", "db.eu-1", "db.eu-x2k4z", "dbxeu-0", "db-0"),
]
LATE_S = 600.0

SUMS_OF_WORKERS = [
    'sum(steady_workers{ns="shop",pod=~PODS})',
    'sum(rate(steady_work_total{pod=~PODS,ns!="shop"}[4s]))',
    'sum({job="steady",pod=~PODS})',
    '1 - sum(rate(steady_work_total{ns="shop",pod=~PODS}[4s])) / sum(increase(steady_work_total{pod=~PODS}[4s]))',
]


class Load:
    """A counter that gains 50 a second, gauges, and what pods of many names have and gain.

    `stamped`, and `workers` of the pod stuck-0, say themselves when their values are from.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.began_s = time.time()

    def collect(self) -> Any:
        counter = CounterMetricFamily(f"{self.name}_requests", "requests", value=50 * (time.time() - self.began_s))
        pods = GaugeMetricFamily(f"{self.name}_pods", "two series", labels=["pod"])
        for pod in "ab":
            pods.add_metric([pod], 1.0)
        stamped = GaugeMetricFamily(f"{self.name}_stamped", "a sample with a time of its own")
        stamped.add_metric([], 7.0, timestamp=self.began_s)
        return [counter, pods, stamped, *self.late(), *self.workers()]

    def late(self) -> Any:
        """What a source tells ten minutes late, as CloudWatch's exporters do: the samples carry their own time."""
        at_s = time.time() - LATE_S
        gauge = GaugeMetricFamily(f"{self.name}_late", "a gauge that is late")
        gauge.add_metric([], 9.0, timestamp=at_s)
        counter = CounterMetricFamily(f"{self.name}_late_requests", "a counter that is late")
        counter.add_metric([], 50 * (time.time() - self.began_s), timestamp=at_s)
        return gauge, counter

    def workers(self) -> Any:
        """A power of two for each, so that no two sums are the same; as a gauge, and gained each second."""
        age_s = time.time() - self.began_s
        work = CounterMetricFamily(f"{self.name}_work", "what is done", labels=["ns", "pod"])
        workers = GaugeMetricFamily(f"{self.name}_workers", "a series each", labels=["ns", "pod"])
        labels = [["shop", pod] for pod in WORKERS] + [["eu", pod] for pod in reversed(WORKERS)]
        for place, own in enumerate(labels):
            workers.add_metric(own, 2.0**place)
            work.add_metric(own, 2.0**place * age_s)
        workers.add_metric(["shop", "stuck-0"], 1.0, timestamp=self.began_s)
        return work, workers


@dataclass
class Scene:
    """What runs: Prometheus' port, and the exporter that can be stopped."""

    port: int
    mortal: Any


def an_exporter(name: str, port: int) -> Any:
    registry = CollectorRegistry()
    registry.register(Load(name))
    return start_http_server(port, "127.0.0.1", registry)


def stop(exporter: Any) -> None:
    server, thread = exporter
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: Any) -> Any:
    folder: Path = tmp_path_factory.mktemp("prometheus")
    steady, mortal = free_ports(2)
    (folder / "rules.yml").write_text(RULES)
    exporters = [an_exporter("steady", steady), an_exporter("mortal", mortal)]
    running = Scene(0, exporters[1])
    ready = "sum(rate(mortal_requests_total[4s])) + sum(rate(steady_requests_total[4s])) > 90"
    try:
        with a_prometheus(folder, CONFIG.format(steady=steady, mortal=mortal), ready) as running.port:
            yield running
    finally:
        for exporter in exporters[:1] if running.mortal is None else exporters:
            stop(exporter)


def read(scene: Scene, query: str, stale_after_s: float = 120.0) -> Reading:
    return real.read(scene.port, query, stale_after_s)


def about_50(reading: Reading) -> bool:
    return isinstance(reading, Value) and 30 < reading.value < 80


def test_a_rate_is_read(scene):
    async def run():
        async with metrics_of(scene.port) as metrics:
            return await metrics.demand(a_target("sum(rate(steady_requests_total[4s]))"), 0.0)

    reading = asyncio.run(run())
    assert about_50(reading)


@pytest.mark.parametrize(
    ("query", "reading"),
    [
        ("sum(steady_pods)", Value(2.0)),
        ("scalar(sum(steady_pods))", Value(2.0)),
        ("max(steady_stamped) # a comment", Value(7.0)),
        ("1 + 1", Value(2.0)),
        ("sum(nobody) or sum(steady_pods)", Value(2.0)),
        ("sum(rate(nobody[1m])) or sum(steady_pods)", Value(2.0)),
        ("sum(nobody)", Unknown(Reason.METRIC_EMPTY, "the query answered nothing")),
        (
            "sum(nobody) or vector(0)",
            Unknown(Reason.METRIC_STALE, 'the query answered, but there are no samples of "nobody"'),
        ),
        ("1 - (absent_over_time(steady_pods[1m]) or vector(0))", Value(1.0)),
        ("sum(steady_pods) * 0 / 0", Unknown(Reason.METRIC_NAN, "the query answered NaN")),
        ("sum(steady_pods) / 0", Unknown(Reason.METRIC_ERROR, "the query answered +Inf")),
        (
            "steady_pods",
            Unknown(Reason.METRIC_ERROR, "the query answered 2 series where one is meant; sum them"),
        ),
        (
            "steady_pods[1m]",
            Unknown(Reason.METRIC_ERROR, "the query answered samples over a time range where one number is meant"),
        ),
        ('"7"', Unknown(Reason.METRIC_ERROR, "the query answered a string where one number is meant")),
        (
            "sum(rate(",
            Unknown(
                Reason.METRIC_ERROR,
                'Prometheus answered HTTP 400 Bad Request: bad_data: "1:10: parse error: unclosed left parenthesis"',
            ),
        ),
        (
            "steady_pods / on() steady_pods",
            Unknown(Reason.METRIC_ERROR, "Prometheus answered HTTP 422 Unprocessable Entity: execution"),
        ),
    ],
)
def test_real_answers_are_read_as_what_they_are(scene, query, reading):
    assert read(scene, query) == reading


@pytest.mark.parametrize(("alert", "holds"), [("Quiet", True), ("Firing", False)])
def test_a_condition_on_an_alert_holds_by_a_series_that_is_always_there(scene, alert, holds):
    """By itself no absence can hold: an operator that sees no samples does not know whether there would be any."""
    absence = f'absent(ALERTS{{alertname="{alert}",alertstate="firing"}})'
    assert isinstance(read(scene, absence), Unknown)
    assert (read(scene, f'{absence} and on() up{{job="steady"}} == 1') == Value(1.0)) == holds


def test_a_sample_with_a_time_of_its_own_goes_stale(scene):
    """Prometheus repeats such a value for 5 min, as it does where a remote writer stops."""
    time.sleep(max(0.0, 6 - read_age_s(scene)))
    assert read(scene, "max(steady_stamped)") == Value(7.0)
    for query in ("max(steady_stamped)", "max(max_over_time(steady_stamped[1m]))", "max(steady_stamped) or vector(0)"):
        reading = read(scene, query, stale_after_s=5.0)
        assert isinstance(reading, Unknown), query
        assert reading.reason is Reason.METRIC_STALE


@pytest.mark.parametrize(
    "query", ["sum(steady_late offset 10m) / 9", "sum(rate(steady_late_requests_total[4s] offset 10m)) / 50"]
)
def test_a_source_that_is_late_is_read_with_an_offset_at_any_limit(scene, query):
    """Its samples were young at the time that the query looks at."""
    for stale_after_s in (30.0, 900.0):
        reading = read(scene, query, stale_after_s)
        assert isinstance(reading, Value), reading
        assert 0.5 < reading.value < 1.5


@pytest.mark.parametrize("query", ["max(max_over_time(steady_late[15m]))", "max(max_over_time(steady_late[15m:1m]))"])
def test_a_source_that_is_late_is_read_without_an_offset_within_its_limit(scene, query):
    assert read(scene, query, stale_after_s=900.0) == Value(9.0)
    reading = read(scene, query, stale_after_s=300.0)
    assert isinstance(reading, Unknown)
    assert reading.reason is Reason.METRIC_STALE


@pytest.mark.parametrize(
    "query", ["max(mortal_late offset 20m) or vector(0)", "max(steady_pods offset 10m) or vector(0)"]
)
def test_what_had_no_samples_at_the_time_of_an_offset_is_stale(scene, query):
    reading = read(scene, query)
    assert isinstance(reading, Unknown)
    assert reading.reason is Reason.METRIC_STALE


def read_age_s(scene: Scene) -> float:
    reading = read(scene, "time() - max(timestamp(steady_stamped))")
    assert isinstance(reading, Value)
    return reading.value


def test_a_history_lies_on_the_grid_of_the_range_query(scene):
    until_s = math.floor(time.time())

    async def run() -> Any:
        async with metrics_of(scene.port) as metrics:
            clock = await metrics.read_range("vector(time())", Grid(until_s - 45.0, 15.0, 4))
            pods = await metrics.history(a_target("sum(steady_pods)"), until_s, steps=240)
            return clock, pods

    clock, pods = asyncio.run(run())
    assert clock == [until_s - 45.0, until_s - 30.0, until_s - 15.0, until_s]
    assert len(pods) == 240
    assert pods[-1] == 2.0
    assert math.isnan(pods[0])


@pytest.mark.parametrize("query", [query for query, _ in SELECTORS if "$" not in query and "a metric" not in query])
def test_prometheus_understands_every_age_query(scene, query):
    text = age_query(selectors(query), 120.0, Split())
    if not text:
        return

    answer = asyncio.run(ask(scene, text))
    assert isinstance(answer, bytes), answer
    rows = parse_ages(answer)
    assert isinstance(rows, Rows)
    assert not isinstance(rows.of(()), Unknown), text


async def ask(scene: Scene, text: str, **more: str) -> Any:
    async with PrometheusHttp(settings_for(scene.port)) as http:
        return await http.ask(Request(endpoint="query", form={"query": text, **more}, deadline_s=4.0))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EXPRESSIONS, st.lists(st.sampled_from(["a", "b", "nobody", 'a"|b.', ""]), min_size=2, max_size=4, unique=True))
def test_a_shared_query_answers_what_each_would_have_been_answered(scene, expression, pods):
    """Both paths wholly, ages included, of what does not change between two questions."""
    queries = [expression.replace("POD", json.dumps(pod)[1:-1]) for pod in pods]

    check_that_both_answer_the_same(scene, queries)


def check_that_both_answer_the_same(scene: Scene, queries: list[str]) -> None:
    async def run() -> Any:
        async with metrics_of(scene.port) as metrics:
            alone = [await metrics.read(query, 120.0, 1.0) for query in queries]
            return alone, await asyncio.gather(*(metrics.read(query, 119.0, 2.0) for query in queries))

    alone, shared = asyncio.run(run())
    for one, other in zip(alone, shared, strict=True):
        assert type(one) is type(other), (one, other)
        if isinstance(one, Value):
            assert other.value == pytest.approx(one.value)
        else:
            assert (other.reason, other.message) == (one.reason, one.message)


@pytest.mark.parametrize(
    "query",
    [
        "sum(steady_workers)",
        "max(max_over_time({__name__=~'steady_workers|mortal_workers'}[4s:1s])) # of all",
        'sum(steady_workers{pod=~".*"}) / count(steady_workers{ns=~".*",pod!="stuck-0"})',
    ],
)
def test_a_query_that_is_kept_to_a_namespace_reads_it_alone(scene, query):
    both, shop, eu = (
        number_of(read(scene, text)) for text in [query, *(enforced(query, "ns", name) for name in ("shop", "eu"))]
    )
    assert shop != eu
    assert both in (max(shop, eu), shop + eu) or min(shop, eu) < both < max(shop, eu)
    check_that_both_answer_the_same(scene, [enforced(query, "ns", name) for name in ("shop", "eu", "nobody")])


@pytest.mark.parametrize("ending", ENDINGS)
def test_pods_that_a_pattern_finds_are_read_together_as_they_are_alone(scene, ending):
    check_that_both_answer_the_same(scene, of_owners('sum(steady_workers{ns="shop",pod=~PODS})', ending))


def of_owners(expression: str, ending: str) -> list[str]:
    return [expression.replace("PODS", quoted(literal(name) + ending)) for name in OWNERS]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("expression", SUMS_OF_WORKERS)
def test_rows_of_a_shared_query_are_at_any_time_the_numbers_of_each(scene, expression, ending):
    """Both asked as of one moment, so that what changes is compared too."""
    queries, at_s = of_owners(expression, ending), f"{time.time() - 1:.3f}"
    shapes = [shape for query in queries if (shape := shape_of(query))]
    assert len({shape.key for shape in shapes}) == 1
    shared = shared_query(shapes)
    alone = [readings_of(scene, query, at_s, ()).of(()) for query in queries]
    rows = readings_of(scene, shared.text, at_s, shared.split.labels)
    found = [rows.of(row) for row in shared.rows]
    assert [number_of(reading) for reading in found] == [number_of(reading) for reading in alone]
    assert len({number_of(reading) for reading in alone}) > 2


def readings_of(scene: Scene, text: str, at_s: str, labels: tuple[str, ...]) -> Rows[Reading]:
    rows = parse_readings(asyncio.run(ask(scene, text, time=at_s)), labels)
    assert isinstance(rows, Rows)
    return rows


def number_of(reading: Reading) -> Any:
    return float(f"{reading.value:.9g}") if isinstance(reading, Value) else reading


def test_ages_of_a_shared_query_are_of_each_row(scene):
    """The pods' samples are new in every scrape; `steady_stamped` says itself when its own is from."""
    time.sleep(max(0.0, 6 - read_age_s(scene)))
    queries = [f'sum({{job="{job}",__name__=~"steady_stamped|mortal_pods"}})' for job in ("steady", "mortal")]

    async def run() -> Any:
        async with metrics_of(scene.port) as metrics:
            return await asyncio.gather(*(metrics.read(query, 5.0, 1.0) for query in queries))

    stamped, pods = asyncio.run(run())
    assert isinstance(stamped, Unknown)
    assert stamped.reason is Reason.METRIC_STALE
    assert pods == Value(2.0)


def test_ages_of_pods_that_a_pattern_finds_are_of_each_row(scene):
    time.sleep(max(0.0, 6 - read_age_s(scene)))
    queries = [f'sum(steady_workers{{ns="shop",pod=~"{name}-[0-9]+"}})' for name in ("stuck", "dbxeu")]

    async def run() -> Any:
        async with metrics_of(scene.port) as metrics:
            return await asyncio.gather(*(metrics.read(query, 5.0, 1.0) for query in queries))

    stuck, living = asyncio.run(run())
    assert isinstance(stuck, Unknown)
    assert stuck.reason is Reason.METRIC_STALE
    assert living == Value(2.0 ** WORKERS.index("dbxeu-0"))


def test_a_dead_target_is_never_read_as_no_demand(scene):
    """Last, as the exporter does not come back. `rate` outlives its target, `or vector(0)` answers for it."""
    sinking, rate_or_zero = "sum(rate(mortal_requests_total[1m]))", "sum(rate(mortal_requests_total[4s])) or vector(0)"
    pods_or_zero = "sum(mortal_pods) or vector(0)"
    assert about_50(read(scene, rate_or_zero))
    assert read(scene, pods_or_zero) == Value(2.0)
    stop(scene.mortal)
    scene.mortal = None
    died_s = time.monotonic()
    asyncio.run(watch_the_dead(scene, died_s, (sinking, rate_or_zero, pods_or_zero)))
    assert isinstance(read(scene, sinking, 20.0), Value)
    for query, limit_s in ((sinking, 5.0), (rate_or_zero, 120.0), (pods_or_zero, 120.0)):
        reading = read(scene, query, limit_s)
        assert isinstance(reading, Unknown), query
        assert reading.reason is Reason.METRIC_STALE

    living, dead = asyncio.run(read_together(scene, 20.0))
    assert isinstance(living, Value)
    assert isinstance(dead, Value)
    living, dead = asyncio.run(read_together(scene, 5.0))
    assert isinstance(living, Value)
    assert isinstance(dead, Unknown)
    assert dead.reason is Reason.METRIC_STALE


async def read_together(scene: Scene, stale_after_s: float) -> Any:
    """Both exporters' rates by one query, the dead one's sinking."""
    names = '__name__=~"(steady|mortal)_requests_total"'
    queries = [f'sum(rate({{{names},job="{job}"}}[1m]))' for job in ("steady", "mortal")]
    async with metrics_of(scene.port) as metrics:
        return await asyncio.gather(*(metrics.read(query, stale_after_s, 1.0) for query in queries))


async def watch_the_dead(scene: Scene, died_s: float, queries: tuple[str, ...]) -> None:
    seen = dict.fromkeys(queries, 0)
    async with metrics_of(scene.port) as metrics:
        while (now_s := time.monotonic()) < died_s + 8:
            for query in queries:
                reading = await metrics.read(query, 5.0, now_s)
                assert isinstance(reading, Unknown) or reading.value > 1, (query, now_s - died_s)
                assert isinstance(reading, Unknown) or now_s - died_s < 6, (query, now_s - died_s)
                seen[query] += 1
            await asyncio.sleep(0.1)
    assert min(seen.values()) > 0

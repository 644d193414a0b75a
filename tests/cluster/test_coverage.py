"""A real Prometheus that was away: what is read over a range counts as partial until samples cover that range again."""

import asyncio
import shutil
import time

import pytest

from controller.prometheus.access import PrometheusSettings
from controller.prometheus.answer import Grid
from controller.prometheus.coverage import ages_query, ranges_of
from controller.prometheus.http import PrometheusHttp
from controller.prometheus.metrics import PrometheusMetrics
from scaling.observation import Value
from tests.cluster.load_exporter import load_exporter, steady
from tests.cluster.prometheus import prometheus
from tests.controller.prometheus.test_metrics import a_target

pytestmark = pytest.mark.slow

RPS, RANGE_S, AWAY_S, PATIENCE_S = 50.0, 20, 7, 120.0
SELECTOR = 'http_requests_total{app="web-0"}'
QUERIES = {
    "rate": f"sum(rate({SELECTOR}[{RANGE_S}s]))",
    "increase": f"sum(increase({SELECTOR}[{RANGE_S}s]))/{RANGE_S}",
    "nested": f"max_over_time(sum(rate({SELECTOR}[8s]))[{RANGE_S - 8}s:1s])",
    "another": f'sum(rate(http_requests_total{{app="web-1"}}[{RANGE_S}s]))',
    "instant": 'sum(queue_length{app="web-0"})',
}
RANGED = QUERIES.keys() - {"instant"}


async def look(metrics):
    """What each query is read as now."""
    now_s = time.monotonic()
    found = await asyncio.gather(
        *(metrics.demand(a_target(query, name=name), now_s) for name, query in QUERIES.items())
    )
    return dict(zip(QUERIES, found, strict=True))


async def readings(http, metrics, seen, at_least):
    """Look each second, as one that has looked before and as one that starts just now, until all is whole."""
    give_up_s = time.monotonic() + PATIENCE_S
    for number in range(int(PATIENCE_S)):
        seen += [await look(metrics), await look(PrometheusMetrics(http, time.monotonic))]
        whole = [isinstance(one, Value) and not one.partial for look_ in seen[-2:] for one in look_.values()]
        if (all(whole) and number >= at_least) or time.monotonic() > give_up_s:
            return
        await asyncio.sleep(1)


async def an_outage(own):
    """All that is read from Prometheus' first start on, after it was killed for a while, and after it lost its data."""
    seen: list[dict[str, object]] = []
    async with PrometheusHttp(PrometheusSettings(url=own.url, deadline_s=2.0)) as http:
        metrics = PrometheusMetrics(http, time.monotonic)
        await readings(http, metrics, seen, 0)
        own.daemon.kill()
        seen.append(await look(metrics))
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(own.daemon.start)
        await readings(http, metrics, seen, 2)
        own.daemon.kill()
        seen.append(await look(metrics))
        shutil.rmtree(own.folder / "data")
        await asyncio.to_thread(own.daemon.start)
        await readings(http, metrics, seen, 2)
        grid = Grid(time.time() - 10, 1.0, 10)
        ages_s = {name: await metrics.read_range(ages_query(ranges_of(QUERIES[name])), grid) for name in RANGED}
    return seen, ages_s


def test_no_reading_that_a_gap_has_made_too_low_counts_as_whole(tmp_path):
    with (
        load_exporter(tmp_path, steady(RPS), apps=2) as exporter,
        prometheus(tmp_path, {"tests": exporter.port}) as own,
    ):
        seen, ages_s = asyncio.run(an_outage(own))
    low = [
        (name, one.value)
        for look_ in seen
        for name, one in look_.items()
        if isinstance(one, Value) and not one.partial and one.value < 0.9 * RPS
    ]
    assert low == []
    partial = {name for look_ in seen for name, one in look_.items() if isinstance(one, Value) and one.partial}
    assert partial == RANGED
    assert all(0 <= age_s < 5 for ages in ages_s.values() for age_s in ages)
    assert all(isinstance(one, Value) and not one.partial for one in seen[-1].values())

"""Many policies that ask the same of different values: how they share queries, and what each of them hears."""

import asyncio
import json
import logging
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.crd.resource import parse_policy
from controller.ports import Target
from controller.prometheus.http import MOST_BYTES, QueryRefused
from controller.prometheus.metrics import PrometheusMetrics
from controller.prometheus.standing import MOST_SHARED
from controller.promql.grouping import shape_of
from scaling.decision import Reason
from scaling.observation import Unknown, Value
from tests.controller.prometheus.stub import Stub, a_body, a_vector, asks_for_coverage, metrics_of, serving
from tests.controller.prometheus.test_metrics import a_target, with_metrics
from tests.controller.prometheus.virtual import CannedHttp
from tests.virtual_time import run_virtually

APPS = ["a", "b", "c"]
NAMES = re.compile(r'\bapp=~?"([^"]*)"')


def apps_of(text):
    """The apps that a query names."""
    found = NAMES.search(text)
    return found[1].split("|") if found else []


def query(app):
    return f'sum(rate(x{{app="{app}"}}[1m]))'


def targets(apps=APPS, **wishes):
    return [a_target(query(app), name=app, **wishes) for app in apps]


@dataclass
class Fleet(Stub):
    """Answers with a row for each app that a query names: its value, or the age of its samples."""

    values: dict[str, str] = field(default_factory=lambda: {"a": "1", "b": "2", "c": "3"})
    ages_s: dict[str, float] = field(default_factory=dict)
    refuses: str = ""
    """An app whose samples are too many, also for a query that names others beside it."""
    refuses_shared_ages: bool = False
    too_much: int = 0
    """Bytes of an answer to a shared query that nobody asked for."""
    more: dict[str, Any] = field(default_factory=dict)
    warns_of: str = ""
    """An app whose data Prometheus has something to say about."""
    most_text: int = 1_000_000
    """Bytes of a query; with more it is refused."""

    def rows(self, text):
        """What a query is answered with."""
        apps = apps_of(text)
        if "timestamp(" not in text:
            return [({"app": app}, self.values[app]) for app in apps if app in self.values]
        if asks_for_coverage(text):
            return []
        selectors = text.count("label_replace")
        own_s = {app: str(self.ages_s.get(app, 3.0)) for app in apps}
        return [({"app": app, "selector": str(k)}, own_s[app]) for app in apps for k in range(selectors)]

    async def answer(self, request):
        form_count = len(self.requests)
        answer = await super().answer(request)
        text = self.forms[form_count]["query"]
        if len(text) > self.most_text:
            return web.Response(status=422, text='{"status":"error","errorType":"422","error":"too long query"}')
        if self.status != 200 or not apps_of(text):
            return answer
        if self.refuses in apps_of(text):
            body = json.dumps({"status": "error", "errorType": "execution", "error": "too many samples"})
            return web.Response(status=422, text=body)
        if self.refuses_shared_ages and "timestamp(" in text and "|" in text:
            return web.Response(status=400)
        return web.Response(body=self.said(text))

    def said(self, text):
        """A good answer to a query that names apps."""
        series = [{"metric": labels, "value": [1.5, value]} for labels, value in self.rows(text)]
        stranger = {"metric": {"app": "x" * self.too_much}, "value": [1.5, "0"]}
        series += [stranger] * (self.too_much > 0 and "|" in text)
        more = self.more
        if self.warns_of in apps_of(text):
            more = {"warnings": ["PromQL warning: encountered a mix of histograms and floats"]}
        return a_body("vector", series, **more)

    def at_once(self, use):
        """What `use(metrics, http)` returns on virtual time, where each answer takes a hundredth of a second."""

        def answer(text):
            if len(text) > self.most_text:
                return 0.01, QueryRefused(Reason.METRIC_ERROR, "too long query")
            return 0.01, self.said(text) if apps_of(text) else self.body

        http = CannedHttp(answer)
        return run_virtually(use(PrometheusMetrics(http, lambda: 0.0), http))


def demands(stub, asked=None, now_s=0.0, **wishes):
    async def use(metrics):
        return await asyncio.gather(*(metrics.demand(target, now_s) for target in asked or targets()))

    return with_metrics(stub, use, **wishes)


def test_queries_that_differ_in_a_value_are_one_and_each_policy_gets_its_own_number():
    fleet = Fleet()
    assert demands(fleet) == [Value(1.0), Value(2.0), Value(3.0)]
    assert fleet.readings == ['sum by (app)(rate(x{app=~"a|b|c"}[1m]))']
    assert len(fleet.checks) == 1


def test_pods_that_a_pattern_finds_are_asked_for_together_and_so_are_their_ages():
    rows = {"a": "1", "b.eu": "2"}
    series = [{"metric": {"forescale_pod": name}, "value": [1.5, value]} for name, value in rows.items()]
    aged = [{"metric": {"forescale_pod": name, "selector": "0"}, "value": [1.5, "3"]} for name in rows]
    stub = Stub(a_body("vector", series), age_body=a_body("vector", aged))
    asked = [a_target(f'sum(rate(x{{pod=~"{name}-[0-9]+"}}[1m]))', name="a") for name in ("a", r"b\\.eu", "nobody")]
    *found, nobody = demands(stub, asked)
    assert found == [Value(1.0), Value(2.0)]
    assert isinstance(nobody, Unknown)
    assert nobody.reason is Reason.METRIC_EMPTY
    assert (len(stub.readings), len(stub.checks)) == (1, 1)
    added = ', "forescale_pod", "$1", "pod", "(.+)-[0-9]+")'
    assert stub.checks[0].count("by (forescale_pod)(label_replace(") == stub.checks[0].count(added) == 4


def test_one_alone_is_asked_as_it_is_written():
    fleet = Fleet()
    assert demands(fleet, targets(["b"])) == [Value(2.0)]
    assert fleet.readings == [query("b")]


def test_rows_are_judged_one_by_one():
    fleet = Fleet(values={"a": "NaN", "b": "-1", "c": "3", "d": "1e300"})
    apps = [*APPS, "d", "nobody"]
    assert [getattr(reading, "reason", reading) for reading in demands(fleet, targets(apps))] == [
        Reason.METRIC_NAN,
        Reason.METRIC_ERROR,
        Value(3.0),
        Reason.METRIC_IMPLAUSIBLE,
        Reason.METRIC_EMPTY,
    ]


@pytest.mark.parametrize("more", [{"warnings": ["store a is away"]}, {"isPartial": True}], ids=str)
def test_what_is_missing_in_an_answer_makes_all_of_them_partial(more):
    fleet = Fleet(more=more)
    first, *_, last = demands(fleet, targets([*APPS, "nobody"]))
    assert first == Value(1.0, partial=True)
    assert isinstance(last, Unknown)
    assert last.reason is Reason.METRIC_ERROR


def test_a_failure_falls_on_all_and_costs_one_request():
    fleet = Fleet(status=503)
    assert demands(fleet) == [Unknown(Reason.METRIC_ERROR, "Prometheus answered HTTP 503 Service Unavailable")] * 3
    assert len(fleet.requests) == 1


def test_a_prometheus_that_hangs_costs_one_deadline_for_all():
    asked = []

    async def hang(request):
        asked.append((await request.post())["query"])
        await asyncio.sleep(60)

    async def run():
        async with serving(hang) as port, metrics_of(port, deadline_s=0.2) as metrics:
            return await asyncio.gather(*(metrics.demand(target, 0.0) for target in targets()))

    assert asyncio.run(run()) == [Unknown(Reason.METRIC_ERROR, "no answer from Prometheus within 0.2 s")] * 3
    assert [query for query in asked if query != "vector(1)"] == asked[:1]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"7", b"<html>", a_vector("1"), a_vector("1", "2"), a_body("matrix", []), a_body("scalar", [1, "2"])),
        *(a_body("vector", [7]), a_body("vector", {}), a_body("vector", [{"metric": {"app": "a"}}])),
        b"[" * 100_000,
    ],
)
def test_no_malformed_answer_is_a_number_for_anybody(body):
    for reading in demands(Stub(body)):
        assert isinstance(reading, Unknown)
        assert reading.reason in (Reason.METRIC_ERROR, Reason.METRIC_EMPTY)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=40) | st.from_regex(r'\{"status":"(success|error)","data":.{0,30}\}'), max_size=3))
def test_any_body_is_a_reading_or_unknown_for_each(bodies):
    stub = Stub()

    async def use(metrics):
        for tick, body in enumerate(bodies):
            stub.body = stub.age_body = body if isinstance(body, bytes) else body.encode(errors="replace")
            for reading in await asyncio.gather(*(metrics.demand(target, float(tick)) for target in targets())):
                assert isinstance(reading, Value | Unknown)

    logging.disable()
    try:
        with_metrics(stub, use)
    finally:
        logging.disable(logging.NOTSET)


# Refusals


def test_a_member_that_spoils_the_shared_query_does_not_blind_the_others():
    fleet = Fleet(refuses="b")
    one, spoiled, three = demands(fleet)
    assert (one, three) == (Value(1.0), Value(3.0))
    refusal = "Prometheus answered HTTP 422 Unprocessable Entity: execution"
    assert spoiled == Unknown(Reason.METRIC_ERROR, refusal)
    assert fleet.readings[1:] == [query(app) for app in APPS]


def test_one_that_is_refused_is_asked_alone_and_after_three_times_less_often():
    fleet = Fleet(refuses="b")

    async def readings_at(metrics, now_s):
        before = len(fleet.readings)
        await asyncio.gather(*(metrics.demand(target, now_s) for target in targets()))
        return len(fleet.readings) - before

    async def use(metrics):
        return [await readings_at(metrics, now_s) for now_s in (0.0, 15.0, 30.0, 45.0, 59.0, 60.0, 75.0)]

    assert with_metrics(fleet, use) == [4, 2, 2, 1, 1, 2, 1]


def test_an_answer_that_is_too_long_is_asked_for_in_parts():
    fleet = Fleet(too_much=2 * MOST_BYTES)
    assert demands(fleet) == [Value(1.0), Value(2.0), Value(3.0)]
    assert (len(fleet.readings), len(fleet.checks)) == (4, 4)


def test_a_refused_age_query_is_asked_in_parts_and_the_readings_stay_together():
    fleet = Fleet(refuses_shared_ages=True)

    async def use(metrics):
        for now_s in (0.0, 3000.0):
            found = await asyncio.gather(*(metrics.demand(target, now_s) for target in targets()))
            assert found == [Value(1.0), Value(2.0), Value(3.0)]

    with_metrics(fleet, use)
    assert (len(fleet.readings), len(fleet.checks)) == (2, 4 + 3)


MANY = [f"app-{number:02}" for number in range(64)]
MOST_TICKS = 50
"""It takes four, unless the machine is busy."""


def many(**wishes):
    return Fleet(values=dict.fromkeys(MANY, "1"), **wishes)


def test_a_limit_on_the_length_of_queries_leads_to_smaller_groups_and_not_to_single_ones():
    """250 names of 72 characters are more than the 16 KiB that VictoriaMetrics takes. An age query has four of each."""
    long = [f"app-{number:03}-{'x' * 64}" for number in range(250)]
    fleet = Fleet(values=dict.fromkeys(long, "1"), most_text=16 * 1024)

    async def use(metrics, http):
        for now_s in (0.0, 15.0):
            found = await asyncio.gather(*(metrics.demand(target, now_s) for target in targets(long)))
            assert found == [Value(1.0)] * 250
        return ["timestamp(" in text for text in http.queries if apps_of(text) and not asks_for_coverage(text)]

    are_checks = fleet.at_once(use)
    assert are_checks.count(False) == (1 + 4) + 4
    assert are_checks.count(True) <= 1 + 4 + 16


def test_one_that_prometheus_warns_of_is_partial_by_itself_within_ticks():
    async def partial_at(metrics, tick):
        found = await asyncio.gather(*(metrics.demand(target, 15.0 * tick) for target in targets(MANY)))
        return [app for app, reading in zip(MANY, found, strict=True) if reading.partial]

    async def use(metrics):
        assert await partial_at(metrics, 0) == MANY
        for tick in range(1, MOST_TICKS):
            await asyncio.sleep(0.1)  # for what nobody waits for
            if await partial_at(metrics, tick) == ["app-42"]:
                return True
        return False

    assert with_metrics(many(warns_of="app-42"), use)


@pytest.mark.parametrize("words", ["timeout", "unavailable"])
def test_prometheus_itself_can_say_that_a_query_took_too_long(words):
    """Other failures say nothing about the query. `vector(1)` is answered in between."""
    error = json.dumps({"status": "error", "errorType": words, "error": "s3cr3t"}).encode()

    async def answer(request):
        text = (await request.post())["query"]
        if text == "vector(1)":
            return web.Response(body=a_vector("1"))
        asked.append(text)
        return web.Response(status=503, body=error)

    async def run():
        async with serving(answer) as port, metrics_of(port) as metrics:
            return await asyncio.gather(*(metrics.demand(target, 0.0) for target in targets()))

    asked: list[Any] = []
    assert [reading.message for reading in asyncio.run(run())] == [
        f"Prometheus answered HTTP 503 Service Unavailable: {words}"
    ] * 3
    assert len(asked) == (1 + 3 if words == "timeout" else 1)


# Ages


def test_each_row_has_an_age_of_its_own():
    stale, young, _ = demands(Fleet(ages_s={"a": 500.0}))
    assert isinstance(stale, Unknown)
    assert stale.reason is Reason.METRIC_STALE
    assert 'x{app=\\"a\\"}' in stale.message
    assert young == Value(2.0)


def test_limits_that_differ_are_asked_apart():
    asked = [*targets("ab"), *targets("bc", stale_after_s=30)]
    fleet = Fleet(ages_s={"b": 50.0})
    a, patient, strict, c = demands(fleet, asked)
    assert (a, patient, c) == (Value(1.0), Value(2.0), Value(3.0))
    assert isinstance(strict, Unknown)
    assert (len(fleet.readings), len(fleet.checks)) == (1, 2)


def test_the_newest_sample_is_known_from_when_its_age_was_measured():
    """A tick asks some time after it began, and not for all at once; while samples cannot be too old it does not."""
    fleet, clock_s = Fleet(ages_s={"a": 4.0}), 0.0
    (a, b), (stranger,) = targets("ab"), targets(["c"])

    async def use(metrics: PrometheusMetrics):
        nonlocal clock_s
        for now_s in (100.0, 115.0):
            clock_s = now_s + 2.0
            await asyncio.gather(metrics.demand(a, now_s), metrics.demand(b, now_s))
            clock_s += 3.0
            await metrics.demand(a, now_s)  # has been answered
        return [metrics.newest_at_s(target) for target in (a, b, stranger)]

    assert with_metrics(fleet, use, clock=lambda: clock_s) == [98.0, 99.0, None]


# Counts


def test_what_shares_a_query_has_one_key():
    async def use(metrics: PrometheusMetrics):
        a, b = (metrics.group_key(target) for target in targets("ab"))
        other, none = metrics.group_key(a_target("sum(x)")), metrics.group_key(a_target(None))
        return a == b, a, other, none

    assert with_metrics(Fleet(), use) == (True, "sum(rate(x{app=?}[1m]))", "sum(x)", "")


def of_preset(number):
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"web-{number}"}
    demand = {"preset": {"kind": "HttpMetrics", "labels": [{"name": "app", "value": f"web-{number}"}]}}
    spec = {"scaleTargetRef": target, "maxReplicas": 9, "demand": {**demand, "targetPerReplica": "70"}}
    metadata = {"name": f"web-{number}", "namespace": "shop"}
    return Target(
        parse_policy(
            {"apiVersion": "forescale.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": metadata, "spec": spec}
        )
    )


def test_a_thousand_policies_of_one_preset_ask_at_most_40_queries_a_minute():
    fleet = Fleet(values={f"web-{number}": "0.5" for number in range(1000)})
    fleet.ages_s = {f"web-{number}": 15 * number / 1000 for number in range(1000)}  # scraped one after the other
    policies = [of_preset(number) for number in range(1000)]

    async def minute(metrics, http, start_s):
        before = len(http.sent)
        for tick in range(4):
            now_s = start_s + 15.0 * tick
            found = await asyncio.gather(
                *(metrics.demand(target, now_s) for target in policies),
                *(metrics.bad_ratio(target, now_s) for target in policies),
            )
            assert found == [Value(0.5)] * 1000 + [0.5] * 1000
        return len(http.sent) - before

    async def use(metrics, http):
        return [await minute(metrics, http, 60.0 * number) for number in range(3)]

    counts = fleet.at_once(use)
    assert max(counts) <= 40
    assert min(counts) >= 2 * 4 * 1000 / MOST_SHARED  # each chunk of both with every tick
    assert shape_of(policies[0].resource.queries.bad_ratio) is not None

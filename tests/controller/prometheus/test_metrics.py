import asyncio
import itertools
import logging
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.crd.resource import parse_policy
from controller.ports import Ports, Scale, Target
from controller.prometheus.http import RANGE_SLOTS, PrometheusHttp
from controller.prometheus.metrics import DAY_STEPS, PrometheusMetrics
from controller.reconcile import reconcile
from scaling.decision import Action, Reason
from scaling.observation import Unknown, Value
from scaling.policy import RULES
from tests.controller.prometheus.stub import Stub, a_body, a_vector, ages, metrics_of, serving, settings_for

QUERY = "sum(rate(requests_total[1m]))"


def a_target(query=QUERY, bad_query=None, stale_after_s=120, name="web", empty_is="Unknown"):
    demand = {"targetPerReplica": "70", "emptyIs": empty_is} | ({"query": query} if query else {})
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "maxReplicas": 9,
        "demand": demand,
        "service": {"badRatioQuery": bad_query} if bad_query else {},
        "guardrails": {"staleAfterSeconds": stale_after_s},
    }
    body = {"apiVersion": "forescale.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": name}, "spec": spec}
    return Target(parse_policy(body))


def with_metrics(stub, use, **wishes):
    async def run():
        async with serving(stub.answer) as port, metrics_of(port, **wishes) as metrics:
            return await use(metrics)

    return asyncio.run(run())


def demand(stub, target=None):
    return with_metrics(stub, lambda metrics: metrics.demand(target or a_target(), 0.0))


def bad_ratio(stub, target=None):
    return with_metrics(stub, lambda metrics: metrics.bad_ratio(target or a_target(bad_query="bad"), 0.0))


# Readings


@pytest.mark.parametrize(
    ("body", "reading"),
    [
        (a_vector("7"), Value(7.0)),
        (a_vector("0"), Value(0.0)),
        (a_vector("7", warnings=["store a is away"]), Value(7.0, partial=True)),
        (a_vector("7", isPartial=True), Value(7.0, partial=True)),
        (a_vector("7", infos=["no counter"]), Value(7.0)),
    ],
)
def test_demand_is_what_the_query_answers(body, reading):
    stub = Stub(body)
    assert demand(stub) == reading
    assert stub.readings == [QUERY]
    assert stub.forms[0].keys() == {"query", "timeout"}  # no time: the server's own now


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (a_vector(), Reason.METRIC_EMPTY),
        (a_vector("NaN"), Reason.METRIC_NAN),
        (a_vector("-1"), Reason.METRIC_ERROR),
        (a_vector("+Inf"), Reason.METRIC_ERROR),
        (a_vector("1e308"), Reason.METRIC_IMPLAUSIBLE),
        (a_vector("3.07445734561825e+17"), Reason.METRIC_IMPLAUSIBLE),
        (a_vector("1", "2"), Reason.METRIC_ERROR),
        (b"", Reason.METRIC_ERROR),
    ],
)
def test_what_is_no_demand_is_unknown(body, reason):
    reading = demand(Stub(body))
    assert isinstance(reading, Unknown)
    assert reading.reason is reason


def test_without_a_query_nothing_is_asked():
    stub = Stub()
    reading = demand(stub, a_target(query=None))
    assert reading == Unknown(Reason.METRIC_ERROR, "neither spec.demand.query nor spec.demand.preset is given")
    assert bad_ratio(stub, a_target()) is None
    assert stub.requests == []


@pytest.mark.parametrize(
    ("body", "ratio"),
    [
        (a_vector("0.25"), 0.25),
        (a_vector("-0.001"), 0.0),
        (a_vector("1.5"), 1.0),
        (a_vector("NaN"), None),
        (a_vector("1e300"), None),
        (a_vector("-1e300"), None),
        (a_vector(), None),
        (a_vector("0.25", warnings=["store a is away"]), None),
    ],
)
def test_a_bad_share_is_a_ratio_or_not_known(body, ratio):
    assert bad_ratio(Stub(body)) == ratio


def test_a_failing_status_reads_as_unknown():
    assert demand(Stub(status=500)) == Unknown(
        Reason.METRIC_ERROR, "Prometheus answered HTTP 500 Internal Server Error"
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=40) | st.from_regex(r'\{"status":"(success|error)","data":.{0,30}\}'), max_size=4))
def test_any_body_is_a_reading_or_unknown(bodies):
    stub = Stub()

    async def use(metrics):
        for tick, body in enumerate(bodies):
            stub.body = stub.age_body = body if isinstance(body, bytes) else body.encode(errors="replace")
            reading = await metrics.demand(a_target(), float(tick))
            assert isinstance(reading, Value | Unknown)
            ratio = await metrics.bad_ratio(a_target(bad_query="bad"), float(tick))
            assert ratio is None or 0 <= ratio <= 1
            assert await metrics.history(a_target(), 1e6, steps=4) == []

    logging.disable()
    try:
        with_metrics(stub, use)
    finally:
        logging.disable(logging.NOTSET)


class TwoReplicas:
    """A workload of two, that notes what it is asked for."""

    def __init__(self):
        self.asked_for = []

    async def scale(self, target, now_s):
        return Scale(2, 2)

    async def set_replicas(self, target, seen, replicas, now_s):
        self.asked_for.append(replicas)


@pytest.mark.parametrize(
    ("stub", "action", "reason", "writes"),
    [
        (Stub(a_vector("280")), Action.ADD, Reason.BELOW_BAND, [4]),
        (Stub(a_vector()), Action.HOLD, Reason.METRIC_EMPTY, []),
        (Stub(a_vector("0"), age_body=ages(500)), Action.HOLD, Reason.METRIC_STALE, []),
        (Stub(status=503), Action.HOLD, Reason.METRIC_ERROR, []),
    ],
)
def test_reconcile_decides_on_its_readings(stub, action, reason, writes):
    workload = TwoReplicas()

    async def use(metrics: PrometheusMetrics):
        return await reconcile([a_target()], Ports(metrics, workload), RULES["hpa"], 0.0)

    (outcome,) = with_metrics(stub, use)
    assert outcome.decision is not None
    assert outcome.decision.action is action
    assert reason in outcome.decision.reasons
    assert workload.asked_for == writes


# Sharing


def test_the_same_query_is_sent_once_a_tick():
    stub = Stub()

    async def use(metrics):
        first = await asyncio.gather(*(metrics.demand(a_target(name=f"t{k}"), 15.0) for k in range(20)))
        later_in_the_tick = await metrics.demand(a_target(), 15.0)
        stub.body = a_vector("8")
        return [*first, later_in_the_tick], await metrics.demand(a_target(), 30.0)

    readings, next_reading = with_metrics(stub, use)
    assert readings == [Value(7.0)] * 21
    assert next_reading == Value(8.0)
    assert stub.readings == [QUERY] * 2
    assert len(stub.checks) == 1


def test_different_queries_are_not_shared():
    stub = Stub()

    async def use(metrics):
        await asyncio.gather(metrics.demand(a_target("a"), 0.0), metrics.demand(a_target("b"), 0.0))

    with_metrics(stub, use)
    assert sorted(stub.readings) == ["a", "b"]


def test_who_stops_waiting_does_not_take_the_answer_from_the_others():
    stub = Stub()

    async def use(metrics):
        first = asyncio.create_task(metrics.demand(a_target(name="first"), 0.0))
        second = asyncio.create_task(metrics.demand(a_target(name="second"), 0.0))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert with_metrics(stub, use) == Value(7.0)
    assert stub.readings == [QUERY]


# Age of samples


@pytest.mark.parametrize(
    ("age_body", "reason", "words"),
    [
        (ages(121), Reason.METRIC_STALE, "older than 120 s"),
        (ages(), Reason.METRIC_STALE, "no samples of"),
        (ages(warnings=["store a is away"]), Reason.METRIC_ERROR, "some is missing"),
        (ages(isPartial=True), Reason.METRIC_ERROR, "some is missing"),
        (b"{}", Reason.METRIC_ERROR, "the age of the samples is not known: "),
        (a_body("vector", [{"metric": {}, "value": [1, "3"]}]), Reason.METRIC_ERROR, "the age of the samples"),
    ],
)
def test_samples_that_are_not_known_to_be_fresh_are_no_reading(age_body, reason, words):
    reading = demand(Stub(age_body=age_body))
    assert isinstance(reading, Unknown)
    assert reading.reason is reason
    assert words in reading.message
    assert bad_ratio(Stub(age_body=age_body)) is None


def test_why_there_is_no_reading_comes_before_its_age():
    reading = demand(Stub(a_vector(), age_body=ages(500)))
    assert reading == Unknown(Reason.METRIC_EMPTY, "the query answered nothing")


def test_a_query_without_series_has_no_age_to_check():
    stub = Stub(a_body("scalar", [1, "5"]))
    assert demand(stub, a_target("time() * 0 + 5")) == Value(5.0)
    assert stub.checks == []


def test_the_age_is_checked_again_when_it_can_have_run_out_and_not_before():
    stub = Stub(age_body=ages(20))

    async def checks_after(metrics, now_s):
        await metrics.demand(a_target(), now_s)
        return len(stub.checks)

    async def use(metrics):
        return [await checks_after(metrics, float(now_s)) for now_s in range(0, 1000, 15)]

    counts = with_metrics(stub, use)
    gaps = [later - earlier for earlier, later in itertools.pairwise(counts)]
    assert counts[0] == 1
    assert set(gaps) == {0, 1}
    longest = max(len(run) for run in "".join(map(str, gaps)).split("1")) + 1
    assert 50 <= 15 * longest <= 100 + 15  # between half of what is left, 100 s, and all of it


def test_a_series_that_stops_is_noticed_within_the_limit():
    """The newest sample stays at 0 s while time goes on; no reading is given out 120 s later."""
    stub = Stub()

    async def use(metrics):
        for now_s in range(0, 300, 5):
            stub.age_body = ages(now_s)
            reading = await metrics.demand(a_target(), float(now_s))
            assert isinstance(reading, Value) == (now_s <= 120), now_s
        stub.age_body = ages(1)
        return await metrics.demand(a_target(), 300.0)

    assert with_metrics(stub, use) == Value(7.0)


def test_a_preset_that_finds_nothing_says_what_to_look_at():
    target = a_target("sum(x)")
    queries = replace(target.resource.queries, hint="set reporter: waypoint")
    hinted = Target(replace(target.resource, queries=queries))

    async def use(metrics):
        return await metrics.demand(hinted, 0.0), await metrics.demand(target, 0.0)

    assert with_metrics(Stub(body=a_vector()), use) == (
        Unknown(Reason.METRIC_EMPTY, "the query answered nothing; set reporter: waypoint"),
        Unknown(Reason.METRIC_EMPTY, "the query answered nothing"),
    )


@pytest.mark.parametrize(
    "query",
    [
        *("sum(x) or vector(0)", "sum(x) default 0", "sum(x) + fill(0) sum(y)", "sum(x) ifnot absent(up)"),
        *("scalar(sum(x))", "a_function_of_tomorrow(x)", "sum(x) word_of_tomorrow 0"),
    ],
)
def test_a_query_that_may_answer_out_of_nothing_is_checked_with_every_reading(query):
    stub = Stub()
    target = a_target(query)

    async def use(metrics):
        await metrics.demand(target, 0.0)
        stub.body, stub.age_body = a_vector("0"), ages(1.8e9)  # the source is gone
        return await metrics.demand(target, 15.0)

    reading = with_metrics(stub, use)
    assert isinstance(reading, Unknown)
    assert reading.reason is Reason.METRIC_STALE


def test_a_source_that_fails_is_not_asked_for_ages():
    stub = Stub(status=500)
    demand(stub)
    assert stub.checks == []


def test_a_clock_that_goes_back_asks_for_the_age_again():
    stub = Stub()

    async def use(metrics):
        await metrics.demand(a_target(), 1000.0)
        await metrics.demand(a_target(), 10.0)

    with_metrics(stub, use)
    assert len(stub.checks) == 2


def test_another_limit_asks_for_the_age_by_itself():
    stub = Stub(age_body=ages(20))

    async def use(metrics):
        return [await metrics.demand(a_target(stale_after_s=limit), 0.0) for limit in (120, 10)]

    loose, strict = with_metrics(stub, use)
    assert loose == Value(7.0)
    assert isinstance(strict, Unknown)


def test_queries_that_are_no_longer_asked_are_forgotten():
    now_s = 0.0

    async def use(metrics):
        nonlocal now_s
        for tick in range(30):
            now_s = 300.0 * tick
            queries = ["stays", *(f"x{tick}_{k}" for k in range(5))]
            await asyncio.gather(*(metrics.demand(a_target(query), now_s) for query in queries))
        return len(metrics._samples), len(metrics._shapes)

    assert max(with_metrics(Stub(), use, clock=lambda: now_s)) <= 1 + 4 * 5


# History


def test_a_history_asks_for_the_grid_that_ends_at_the_given_time():
    stub = Stub(a_body("matrix", [{"metric": {}, "values": [[999_985, "1"], [1_000_000, "2"]]}]))
    values = with_metrics(stub, lambda metrics: metrics.history(a_target(), 1e6, steps=3))
    assert str(values) == "[nan, 1.0, 2.0]"
    path, form, _ = stub.requests[0]
    assert path == "/api/v1/query_range"
    assert form.pop("timeout").endswith("ms")
    assert form == {"query": QUERY, "start": "999970.000", "end": "1000000.000", "step": "15"}


def test_a_history_of_fewer_samples_has_the_same_steps():
    stub = Stub(a_body("matrix", [{"metric": {}, "values": [[999_940, "1"], [1_000_000, "2"]]}]))
    values = with_metrics(stub, lambda metrics: metrics.history(a_target(), 1e6, steps=6, steps_per_sample=4))
    assert values == [1, 1, 2, 2, 2, 2]
    assert [stub.forms[0][name] for name in ("start", "end", "step")] == ["999940.000", "1000000.000", "60"]


def test_a_history_is_a_day_by_default():
    values = with_metrics(Stub(a_body("matrix", [])), lambda metrics: metrics.history(a_target(), 1e6))
    assert len(values) == DAY_STEPS
    assert all(map(math.isnan, values))


def test_a_history_that_is_not_known_is_empty_and_said_in_the_log(caplog):
    values = with_metrics(Stub(status=503), lambda metrics: metrics.history(a_target(), 1e6))
    assert values == []
    assert "history of default/web is not known: Prometheus answered HTTP 503" in caplog.text
    assert with_metrics(Stub(), lambda metrics: metrics.history(a_target(query=None), 1e6)) == []


def test_histories_wait_for_each_other_and_readings_do_not_wait_for_them():
    under_way = most = 0
    release = asyncio.Event()

    async def slow(request):
        nonlocal under_way, most
        if request.path.endswith("/query"):
            return await stub.answer(request)
        under_way += 1
        most = max(most, under_way)
        await release.wait()
        under_way -= 1
        return await histories.answer(request)

    stub, histories = Stub(), Stub(a_body("matrix", []))

    async def run():
        async with serving(slow) as port, PrometheusHttp(settings_for(port, most_in_flight=6)) as http:
            metrics = PrometheusMetrics(http, lambda: 0.0)
            waiting = [asyncio.create_task(metrics.history(a_target(), 1e6)) for _ in range(12)]
            while under_way < RANGE_SLOTS // 2:
                await asyncio.sleep(0.01)
            reading = await metrics.demand(a_target(), 0.0)
            release.set()
            await asyncio.gather(*waiting)
            return reading

    assert asyncio.run(run()) == Value(7.0)
    assert most == RANGE_SLOTS // 2

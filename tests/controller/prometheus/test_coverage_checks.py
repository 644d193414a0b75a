"""When samples are checked for coverage, and what a reading is called then."""

import asyncio
import math

import pytest
from aiohttp import web

from controller.prometheus.answer import Ages
from controller.prometheus.coverage_checks import FALL_PERIOD_S, LEAST_PERIOD_S, MOST_PERIOD_S, CoverageChecks
from controller.prometheus.metrics import EMPTY_TOO_SOON
from scaling.decision import Reason
from scaling.observation import Unknown, Value
from tests.controller.prometheus.stub import Stub, a_body, asks_for_coverage
from tests.controller.prometheus.test_metrics import a_target, with_metrics
from tests.controller.prometheus.test_sharing import Fleet, targets

WHOLE = Ages({0: 5.0, 1: 30.0, 2: 20.0}, partial=False)
GAP = Ages({0: 50.0, 1: 10.0, 2: 2.0}, partial=False)
NOT_JUDGED = Ages({}, partial=False)
QUERY = "sum(rate(x[1m]))"


def checked(answer=WHOLE, value=100.0, query=QUERY, spread=1.0):
    checks = CoverageChecks(query, 0.0)
    checks.note_answer(answer, value, 0.0, spread)
    return checks


def test_the_first_reading_is_checked_and_the_next_are_not():
    assert CoverageChecks(QUERY, 0.0).is_due(100.0, 0.0)
    checks = checked()
    assert not any(checks.is_due(100.0, float(now_s)) for now_s in range(0, int(LEAST_PERIOD_S), 15))
    assert checks.is_due(100.0, 2 * LEAST_PERIOD_S)


@pytest.mark.parametrize(
    ("query", "period_s"),
    [("rate(x[1m])", 150.0), ("rate(x[2m])", 150.0), ("rate(x[10m])", 300.0), ("rate(x[1d])", MOST_PERIOD_S)],
)
def test_a_query_is_checked_twice_in_its_longest_range(query, period_s):
    checks = checked(NOT_JUDGED, query=query)
    assert (checks.is_due(100.0, period_s - 1), checks.is_due(100.0, period_s)) == (False, True)


def test_a_query_without_a_range_is_never_checked():
    assert not CoverageChecks("sum(queue)", 0.0).is_due(1.0, 1e9)


@pytest.mark.parametrize("failed", [CoverageChecks.note_failure, CoverageChecks.note_silence])
def test_a_reading_after_a_failure_is_checked_at_once(failed):
    checks = checked()
    failed(checks, 15.0)
    assert checks.is_due(100.0, 30.0)


def test_a_load_that_falls_is_checked_before_it_is_believed():
    checks = checked()
    assert not checks.is_due(95.0, 60.0)
    assert not checks.is_due(80.0, FALL_PERIOD_S - 1)
    assert checks.is_due(80.0, FALL_PERIOD_S)
    checks.note_answer(WHOLE, 80.0, 60.0, 1.0)
    assert not checks.is_due(80.0, 75.0)


def test_what_was_missing_is_asked_for_again_soon():
    checks = checked(GAP)
    assert "missing for 50 of the 60 s" in checks.missing
    assert checks.is_due(100.0, 15.0)
    checks.note_answer(WHOLE, 100.0, 15.0, 1.0)
    assert checks.missing == ""


def test_a_check_without_an_answer_leaves_the_reading_partial():
    assert "not known: no answer" in checked(Unknown(Reason.METRIC_ERROR, "no answer")).missing


def test_an_answer_is_none_until_the_source_was_watched_for_as_long_as_the_query_looks_back():
    checks = CoverageChecks("rate(x[10m])", 0.0)
    assert [checks.answered_throughout(now_s) for now_s in (0.0, 599.0, 600.0)] == [False, False, True]
    checks.note_silence(900.0)
    assert [checks.answered_throughout(now_s) for now_s in (1499.0, 1500.0)] == [False, True]


# in the place where readings are made


def coverage(*numbers):
    series = [{"metric": {"selector": str(place)}, "value": [1.5, str(one)]} for place, one in enumerate(numbers)]
    return a_body("vector", series)


def demands_of(stub, *now_s, query=QUERY, **wishes):
    target = a_target(query, **wishes)

    async def use(metrics):
        return [await metrics.demand(target, at_s) for at_s in now_s]

    return with_metrics(stub, use)


def test_a_reading_over_a_gap_is_partial_and_says_what_is_missing():
    stub = Stub(coverage_body=coverage(50, 10, 2))
    (found,) = demands_of(stub, 0.0)
    assert found == Value(7.0, partial=True)
    assert found.why == 'samples of "x" are missing for 50 of the 60 s that are read'
    assert len(stub.coverage_checks) == 1


def test_a_reading_over_a_whole_range_is_vouched_for_and_seldom_asked_about():
    stub = Stub(coverage_body=coverage(5, 30, 20))
    found = demands_of(stub, *(15.0 * tick for tick in range(20)))
    assert [(one.partial, one.covered) for one in found] == [(False, True)] * 20
    assert len(stub.coverage_checks) <= 5


def test_a_query_of_instant_selectors_alone_is_vouched_for_without_a_question():
    stub = Stub()
    (found,) = demands_of(stub, 0.0, query="sum(queue)")
    assert found.covered
    assert stub.coverage_checks == []


def test_an_empty_answer_stands_for_zero_only_when_the_source_was_watched_long_enough():
    stub = Stub(a_body("vector", []))
    soon, late = demands_of(stub, 15.0, 300.0, empty_is="Zero")
    assert (soon, soon.why) == (Value(0.0, partial=True), EMPTY_TOO_SOON)
    assert late.reason is Reason.METRIC_EMPTY
    (unasked,) = demands_of(stub, 15.0)
    assert unasked.reason is Reason.METRIC_EMPTY


class Past(Stub):
    """A load of 7 all the time, in which a gap of 2 min left a dip, and the age of the newest sample at each step."""

    ages_s = [5.0] * 20 + [15.0 * step for step in range(1, 9)] + [5.0] * 32

    async def answer(self, request):
        await super().answer(request)
        aged = "timestamp(" in self.forms[-1]["query"]
        values = self.ages_s if aged else [7.0] * 40 + [2.0] * 8 + [7.0] * 12
        start_s = float(self.forms[-1]["start"])
        samples = [[start_s + 15.0 * step, str(value)] for step, value in enumerate(values)]
        return web.Response(body=a_body("matrix", [{"metric": {}, "values": samples}]))


@pytest.mark.parametrize("empty_is", ["Unknown", "Zero"])
def test_a_history_leaves_out_the_dip_that_a_gap_shorter_than_the_range_made(empty_is):
    target = a_target("sum(rate(x[5m]))", empty_is=empty_is)
    found = with_metrics(Past(), lambda metrics: metrics.history(target, 1e6, steps=60))
    known = {value for value in found if not math.isnan(value)}
    assert known == ({7.0} if empty_is == "Unknown" else {7.0, 2.0})
    assert len(found) == 60


class Gapped(Fleet):
    """A fleet of which some apps were not scraped for a while."""

    gaps = frozenset({"b"})

    def rows(self, text):
        if not asks_for_coverage(text):
            return super().rows(text)
        numbers = {app: (50, 10, 2) if app in self.gaps else (5, 30, 20) for app in "abc"}
        return [
            ({"app": app, "selector": str(place)}, str(number))
            for app, found in numbers.items()
            for place, number in enumerate(found)
        ]


def test_the_gap_of_one_in_a_shared_query_is_not_that_of_the_others():
    fleet = Gapped()

    async def use(metrics):
        return await asyncio.gather(*(metrics.demand(target, 0.0) for target in targets()))

    assert with_metrics(fleet, use) == [Value(1.0), Value(2.0, partial=True), Value(3.0)]
    assert len(fleet.coverage_checks) == 1

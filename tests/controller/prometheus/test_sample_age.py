import promql_parser
import pytest

from controller.prometheus.answer import Ages
from controller.prometheus.sample_age import MOST_SELECTORS, AgeCheck, age_check, age_query, oldest_s
from controller.promql.grouping import Split
from controller.promql.syntax import selectors
from scaling.decision import Reason
from scaling.observation import Unknown

QUERY = 'sum(rate(new{app="web"}[5m])) or sum(rate(old[1m]))'


def a_check(query=QUERY):
    check = age_check(query)
    assert isinstance(check, AgeCheck)
    return check


def verdict(ages_s, partial=False):
    return oldest_s(a_check(), Ages(ages_s, partial), 120.0)


def asked(query, stale_after_s=120.0):
    return age_query(selectors(query), stale_after_s, Split()).replace("\n", "")


def test_an_instant_selector_is_asked_for_its_newest_living_sample():
    assert asked("up") == (
        'label_replace(time() - (max(timestamp(up)) or 0 * max(count_over_time(up[301s]))), "selector", "0", "", "")'
    )


def test_a_range_is_asked_for_ended_series_too_as_long_as_its_reader_answers():
    assert asked("sum(rate(x[1m]))") == (
        "label_replace(time() - ((max(timestamp(x)) or max(max_over_time(timestamp(x)[120s:15s])))"
        ' and count(rate(x[1m])) or 0 * max(count_over_time(x[121s]))), "selector", "0", "", "")'
    )


def test_the_age_is_asked_for_the_moment_at_which_a_selector_is_evaluated():
    assert asked("x offset 10m") == (
        "label_replace(time() - 600 - (max(timestamp(x offset 600s))"
        ' or 0 * max(count_over_time(x[301s] offset 600s))), "selector", "0", "", "")'
    )
    assert asked("rate(x[1m] @ 1609746000)") == (
        "label_replace(1609746000 - ((max(timestamp(x @ 1609746000))"
        " or max(max_over_time(timestamp(x)[120s:15s] @ 1609746000))) and count(rate(x[1m] @ 1609746000))"
        ' or 0 * max(count_over_time(x[121s] @ 1609746000))), "selector", "0", "", "")'
    )
    assert "timestamp(x offset -300s)" in asked("x offset -5m")


def test_within_a_subquery_a_sample_may_have_ended_as_long_as_the_subquery_answers():
    assert (
        "or max(max_over_time(timestamp(x)[900s:60s] offset 60s))) and count(count_over_time(x[600s:60s] offset 60s))"
        in (asked("max_over_time(x[10m:1m] offset 1m)", 900.0))
    )
    assert "and count(count_over_time(rate(x[1m])[600s:60s]))" in asked("max_over_time(rate(x[1m])[10m:1m])")
    assert "[1s:1s]" in asked("max_over_time(x[500ms:100ms])")


@pytest.mark.parametrize(
    "query", [QUERY, "x offset 5m + max_over_time(y[5m:1m] @ end() offset -1500ms)", 'x{a="b" # c\n}']
)
def test_an_age_query_is_valid_promql(query):
    promql_parser.parse(age_query(selectors(query), 120.0, Split()))


def test_what_reads_a_range_to_tell_that_it_is_empty_does_not_say_that_samples_are_in_use():
    assert "and count(count_over_time(x[1m]))" in asked("1 - (absent_over_time(x[1m]) or vector(0))")
    assert "and count(present_over_time(x[1m]))" in asked("present_over_time(x[1m])")


def test_each_selector_is_asked_for_by_itself():
    assert len(asked(QUERY).split("label_replace")) == 3


def test_a_short_limit_is_looked_for_in_short_steps():
    assert "[5s:1s]" in asked("rate(x[1m])", 5.0)
    assert "[3600s:60s]" in asked("rate(x[1m])", 3600.0)
    assert "[3601s]" in asked("rate(x[1m])", 3600.0)


def test_young_samples_last_if_the_query_surely_answers_nothing_without_them():
    assert a_check("sum(rate(x[1m]))").lasts
    assert not a_check("sum(rate(x[1m])) or vector(0)").lasts
    assert not a_check("sum(rate(x[1m])) default 0").lasts
    assert not a_check("sum(rate(x[1m])) futureword 0").lasts


def test_a_query_that_reads_no_series_has_nothing_to_ask():
    assert a_check("vector(1)").selectors == ()


def test_a_query_that_reads_too_many_selectors_is_unknown():
    query = " + ".join(f"x{place}" for place in range(MOST_SELECTORS + 1))
    check = age_check(query)
    assert isinstance(check, Unknown)
    assert "21 selectors, limit 20" in check.message
    assert isinstance(age_check(query.removesuffix(" + x20")), AgeCheck)


@pytest.mark.parametrize(
    ("ages_s", "age_s"),
    [
        pytest.param({0: 10.0}, 10.0, id="a-selector-without-samples-adds-nothing"),
        pytest.param({0: 10.0, 1: 30.0}, 30.0, id="the-oldest-counts"),
        pytest.param({1: 120.0}, 120.0, id="the-limit-itself-passes"),
        pytest.param({0: -2.0}, 0.0, id="a-sample-of-the-future-is-new"),
        pytest.param({0: 1.0, 9: 500.0}, 1.0, id="an-age-of-nothing-we-asked-for"),
    ],
)
def test_young_samples_have_an_age(ages_s, age_s):
    assert verdict(ages_s) == age_s


def test_an_old_selector_makes_the_reading_stale_whatever_the_others_are():
    found = verdict({0: 1.0, 1: 121.0})
    assert found == Unknown(
        Reason.METRIC_STALE, 'the newest sample of "old" has ended or is older than 120 s, the limit'
    )


def test_an_answer_out_of_nothing_is_stale_and_not_empty_which_could_stand_for_zero():
    found = verdict({})
    assert found == Unknown(
        Reason.METRIC_STALE, 'the query answered, but there are no samples of "new{app=\\"web\\"}" and 1 more'
    )


def test_an_answer_out_of_nothing_that_is_partial_is_an_error():
    found = verdict({}, partial=True)
    assert isinstance(found, Unknown)
    assert found.reason is Reason.METRIC_ERROR

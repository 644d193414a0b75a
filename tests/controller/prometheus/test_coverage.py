"""Whether samples cover a range: what is asked, and the verdict for scrapes of many kinds."""

import math
from bisect import bisect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.prometheus.answer import Ages
from controller.prometheus.coverage import (
    STEPS,
    Range,
    ages_query,
    coverage_of,
    coverage_query,
    longest_s,
    ranges_of,
    without_ramps,
)
from controller.promql.grouping import Split, shape_of, shared_query
from controller.promql.syntax import LOOKBACK_S


def lengths(query):
    return [one.range_s for one in ranges_of(query)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sum(rate(x[5m]))", [300.0]),
        ('sum(increase(x{a="b"}[2m])) / 120', [120.0]),
        ("sum(rate(x[1m])) / sum(rate(y[10m]))", [60.0, 600.0]),
        ("max_over_time(sum(rate(x[1m]))[10m:30s])", [660.0]),
        ("avg_over_time(sum(queue)[10m:])", [600.0]),
        ("avg_over_time(queue[3m])", [180.0]),
        ("sum(queue)", []),
        ("sum(job:requests:rate5m)", [300.0]),
        ("vector(7)", []),
    ],
)
def test_a_query_is_asked_about_all_that_it_reads_over_a_range(query, expected):
    assert lengths(query) == expected


def test_the_longest_range_is_never_less_than_the_look_back():
    assert longest_s(ranges_of("sum(rate(x[1m]))")) == LOOKBACK_S
    assert longest_s(ranges_of("sum(rate(x[1h]))")) == 3600.0


def test_three_numbers_are_asked_for_each_range():
    asked = coverage_query(ranges_of("sum(rate(x[1m])) + sum(rate(y[1m]))"), Split())
    first = asked.replace("\n", "").partition("or label_replace(max_over_time")[0]
    assert first == (
        'label_replace(max_over_time((time() - max(timestamp(x)))[60s:2s]), "selector", "0", "", "")'
        'or label_replace(count_over_time((max(timestamp(x)))[60s:2s]), "selector", "1", "", "")'
        'or label_replace(max(count_over_time(x[60s])), "selector", "2", "", "")'
    )
    assert [f'"selector", "{place}"' in asked for place in range(7)] == [True] * 6 + [False]


def test_a_range_of_another_moment_is_asked_for_at_that_moment():
    (one,) = ranges_of("sum(rate(x[5m] offset 10m))")
    assert longest_s([one]) == 900.0
    asked = coverage_query([one], Split()).replace("\n", "")
    assert "max_over_time((time() - max(timestamp(x)))[300s:8s] offset " in asked
    assert "count_over_time(x[300s] offset " in asked


def test_of_a_shared_query_each_row_is_asked_for_by_itself():
    shapes = [shape_of(f'sum(rate(x{{app="{app}"}}[1m]))') for app in "ab"]
    shared = shared_query([shape for shape in shapes if shape])
    asked = coverage_query(ranges_of(shared.text), shared.split)
    assert asked.count('by (app)(timestamp(x{app=~"a|b"}') == 2
    assert asked.count('by (app)(count_over_time(x{app=~"a|b"}') == 1


# Scrapes: what Prometheus would answer, and what is made of it


def numbers_of(one, samples_s, now_s, lookback_s=LOOKBACK_S):
    """The three numbers for a series with samples at these times, as Prometheus computes them."""
    first, last = math.ceil((now_s - one.range_s) / one.step_s), math.floor(now_s / one.step_s)
    ages = []
    for look_s in (step * one.step_s for step in range(first, last + 1)):
        place = bisect(samples_s, look_s)
        if place and samples_s[place - 1] >= look_s - lookback_s:
            ages.append(look_s - samples_s[place - 1])
    within = sum(now_s - one.range_s < at_s <= now_s for at_s in samples_s)
    found = {0: max(ages, default=None), 1: float(len(ages)) or None, 2: float(within) or None}
    return {place: number for place, number in found.items() if number is not None}


def missing(range_s, samples_s, now_s, lookback_s=LOOKBACK_S):
    one = Range("x", range_s)
    return coverage_of([one], Ages(numbers_of(one, samples_s, now_s, lookback_s), partial=False)).missing


def scrapes(from_s, until_s, interval_s):
    return [from_s + place * interval_s for place in range(int((until_s - from_s) / interval_s) + 1)]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([1.0, 5.0, 10.0, 15.0, 30.0, 60.0]),
    st.sampled_from([2.0, 2.5, 3.0, 4.0, 5.0, 10.0, 20.0]),
    st.floats(0.0, 1.0),
    st.floats(0.0, 60.0),
)
def test_scrapes_that_keep_coming_cover_every_range_of_two_intervals(interval_s, intervals, phase, wait_s):
    samples_s = scrapes(phase * interval_s, 3000.0, interval_s)
    assert missing(interval_s * intervals, samples_s, 2900.0 + wait_s) == ""


@pytest.mark.parametrize("lookback_s", [LOOKBACK_S, 1.0], ids=["samples-repeat", "series-end-at-once"])
@pytest.mark.parametrize("range_s", [60.0, 120.0, 300.0, 600.0, 3600.0])
@pytest.mark.parametrize("away_s", [90.0, 150.0, 360.0, 1000.0])
def test_a_gap_counts_until_nine_tenths_of_the_range_are_after_it(away_s, range_s, lookback_s):
    interval_s = 15.0
    samples_s = scrapes(3.0, 5000.0 - away_s, interval_s) + scrapes(5000.0, 20_000.0, interval_s)
    returned_s = range(5020, 5000 + int(0.9 * range_s), max(10, int(range_s / 20)))
    told = [missing(range_s, samples_s, float(now_s), max(lookback_s, interval_s)) for now_s in returned_s]
    expected = [min(now_s - 5000.0 + away_s, away_s) > range_s * 0.1 + 30 for now_s in returned_s]
    assert [bool(one) for one, counts in zip(told, expected, strict=True) if counts] == [True] * sum(expected)
    assert missing(range_s, samples_s, 5000.0 + range_s + 20.0, max(lookback_s, interval_s)) == ""


@pytest.mark.parametrize("age_s", [20.0, 60.0, 200.0])
def test_a_range_that_reaches_back_before_the_first_sample_is_not_covered(age_s):
    assert "are missing for" in missing(300.0, scrapes(1000.0, 3000.0, 15.0), 1000.0 + age_s)


@pytest.mark.parametrize(("range_s", "interval_s"), [(30.0, 60.0), (30.0, 30.0), (10.0, 15.0), (60.0, 60.0)])
def test_a_range_shorter_than_two_scrapes_is_not_called_partial_for_that(range_s, interval_s):
    samples_s = scrapes(3.0, 3000.0, interval_s)
    assert [missing(range_s, samples_s, 2000.0 + step) for step in range(0, 120, 7)] == [""] * 18


def test_a_late_scrape_makes_no_gap():
    samples_s = [at_s for at_s in scrapes(3.0, 3000.0, 15.0) if at_s != 1983.0]
    assert missing(300.0, samples_s, 2000.0) == ""


def test_a_selector_without_any_samples_is_not_judged():
    assert coverage_of([Range("x", 300.0)], Ages({}, partial=False)).missing == ""


def test_the_gap_of_any_range_counts():
    ranges = [Range("x", 60.0), Range("y", 60.0)]
    whole, gap = (5.0, 30.0, 6.0), (5.0, 12.0, 3.0)
    answer = Ages(dict(enumerate((*whole, *gap))), partial=False)
    assert '"y"' in coverage_of(ranges, answer).missing
    assert coverage_of(ranges, Ages(dict(enumerate((*whole, *whole))), partial=False)).missing == ""


# histories


NAN = math.nan


@pytest.mark.parametrize(
    ("values", "range_s", "expected"),
    [
        ([1, 2, 3], 60.0, [1, 2, 3]),
        ([1, NAN, 3, 4, 5, 6], 30.0, [1, NAN, NAN, NAN, 5, 6]),
        ([NAN, 2, 3, 4, 5], 20.0, [NAN, NAN, NAN, 4, 5]),
        ([NAN, 2, NAN, 4], 600.0, [NAN, 2, NAN, 4]),
        ([], 60.0, []),
    ],
)
def test_what_follows_a_gap_in_a_history_is_left_out_for_the_length_of_the_range(values, range_s, expected):
    found = without_ramps([float(value) for value in values], [], 15.0, range_s)
    assert found == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("interval_s", [15.0, 60.0])
def test_a_gap_shorter_than_the_range_shows_in_the_ages_and_its_ramp_is_left_out(interval_s):
    times_s = [15.0 * step for step in range(60)]
    scraped_s = scrapes(-interval_s, 300.0, interval_s) + scrapes(510.0, 900.0, interval_s)
    ages_s = [at_s - max(one for one in scraped_s if one <= at_s) for at_s in times_s]
    kept = without_ramps([7.0] * 60, ages_s, 15.0, 300.0)
    missing_s = [at_s for at_s, value in zip(times_s, kept, strict=True) if math.isnan(value)]
    assert 345.0 <= missing_s[0] <= 480.0
    assert missing_s[-1] == 795.0
    assert missing_s == [missing_s[0] + 15.0 * step for step in range(len(missing_s))]


def test_the_age_of_the_past_is_that_of_the_oldest_selector():
    asked = ages_query(ranges_of("sum(rate(x[5m])) + sum(rate(y[5m] offset 1h))")).replace("\n", "")
    assert asked.startswith('max(label_replace(time() - max(timestamp(x)), "selector", "0", "", "") or label_replace(')
    assert "max(timestamp(y offset " in asked


def test_a_range_is_looked_at_some_forty_times():
    assert [Range("x", range_s).step_s for range_s in (5.0, 60.0, 300.0, 3600.0)] == [1, 2, 8, 90]
    assert STEPS == 40

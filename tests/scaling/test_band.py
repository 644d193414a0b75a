"""Bands: where they raise, when they release, and what an answer can do to them."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.band import (
    RAISE_SHIFT,
    RELEASE_MARGIN,
    aim,
    begin_band,
    clamp_to_band,
    newsvendor_band,
    quantile_band,
    release_edge,
    replicas_for,
)
from scaling.policy import RULES
from scaling.workload import TARGET_STEPS
from tests.scaling.builders import HORIZON, a_memory, a_network_policy, a_walk, some_terms

NO_ANSWER = np.zeros(2, np.float32)
answers = st.floats(-1.0, 1.0)
histories = st.lists(st.floats(0.0, 1e5), min_size=1, max_size=70)


def aimed(levels=(7.0,) * 100, **fields):
    memory = a_memory(levels) | fields
    aim(memory, HORIZON)
    return memory


def size_after(memory, current=10, raise_by=0.0, release_by=0.0, **terms):
    """Where a band leads, without touching the memory."""
    band = newsvendor_band(copy.deepcopy(memory), some_terms(**terms), current, raise_by, release_by)
    return clamp_to_band(current, *band)


def ask(memory, lo, current, **terms):
    return release_edge(memory, some_terms(**terms), current, lo, RELEASE_MARGIN)


@pytest.mark.parametrize(
    ("load", "replicas"), [(0.0, 0), (0.5, 1), (1.0, 2), (7.0, 8), (100.0, 102), (10_000.0, 10_015)]
)
def test_small_pools_run_less_full(load, replicas):
    assert replicas_for(load, 1.0) == replicas
    assert replicas_for(load / 2, 0.5) == replicas


@given(st.floats(0.0, 1e6), st.floats(0.0, 1e6), st.floats(0.5, 2.0))
def test_replicas_serve_the_level_and_never_fall_with_it(one, other, capacity_ratio):
    fewer, more = (replicas_for(level, capacity_ratio) for level in sorted((one, other)))
    assert fewer <= more
    assert more * capacity_ratio >= max(one, other) - 1e-6


def test_constant_demand_without_expected_rises_is_aimed_at_as_it_is():
    memory = aimed(spare_pods=0.0, spare_ratio=1.0)
    assert memory["aim"] == pytest.approx(7.0)


def test_the_aim_mixes_additive_and_multiplicative_headroom():
    memory = aimed(spare_pods=7.3 * 3, spare_ratio=4.0)
    assert memory["aim"] == pytest.approx(7.3 * 4 - 0.3)


def test_a_rising_trend_is_carried_on_to_when_pods_serve():
    rising = aimed(np.linspace(10.0, 20.0, 101), spare_pods=0.0, spare_ratio=1.0)
    assert rising["aim"] == pytest.approx(20.0 + (HORIZON + 2) * 0.1, rel=0.01)
    falling = aimed(np.linspace(20.0, 10.0, 101), spare_pods=0.0, spare_ratio=1.0)
    assert falling["aim"] == pytest.approx(10.0)


@settings(max_examples=100, deadline=None)
@given(histories)
def test_the_aim_is_never_below_demand(levels):
    assert aimed(levels)["aim"] >= levels[-1] - 1e-9


def test_without_an_answer_a_network_is_the_newsvendor_rule():
    for seed in range(5):
        memory = aimed([level / 100 for level in a_walk(200, seed)])
        twin = copy.deepcopy(memory)
        band = a_network_policy().band(memory, some_terms(), 10, NO_ANSWER)
        assert band == RULES["snvt"].band(twin, some_terms(), 10, NO_ANSWER)
        assert band.lo == replicas_for(memory["aim"], 1.0)


@settings(max_examples=150, deadline=None)
@given(histories, st.integers(0, 10**6), answers, answers, st.integers(0, 10), st.floats(0.5, 2.0))
def test_a_band_is_never_upside_down(levels, current, raise_by, release_by, since_add, capacity_ratio):
    memory = aimed(levels, since_add=since_add, capacity_ratio=capacity_ratio)
    for _ in range(3):
        lo, hi = newsvendor_band(memory, some_terms(), current, raise_by, release_by)
        assert 0 <= lo <= hi


@settings(max_examples=100, deadline=None)
@given(histories, st.integers(0, 1000), answers, answers, answers, answers)
def test_higher_answers_never_run_fewer_replicas(levels, current, raise_one, raise_other, release_one, release_other):
    memory = aimed(levels)
    less = size_after(memory, current, min(raise_one, raise_other), min(release_one, release_other))
    assert less <= size_after(memory, current, max(raise_one, raise_other), max(release_one, release_other))


@pytest.mark.parametrize(("raise_by", "factor"), [(-1.0, math.exp(-RAISE_SHIFT)), (1.0, math.exp(RAISE_SHIFT))])
def test_an_answer_moves_the_aim_by_its_factor(raise_by, factor):
    memory = aimed()
    lo, _ = newsvendor_band(memory, some_terms(), 10, raise_by, 0.0)
    assert lo == replicas_for(memory["aim"] * factor, 1.0)


@pytest.mark.parametrize(("current", "hi"), [(22, 22), (23, 20), (90, 20), (10, 22)])
def test_removing_starts_past_the_margin_and_then_goes_all_the_way(current, hi):
    assert ask(aimed(), 20, current) == hi


def test_what_the_release_window_asked_for_is_kept_and_then_released():
    memory = aimed()
    edges = [ask(memory, lo, current=60, release_window=8) for lo in [50] + [20] * 8]
    assert edges == [50] * 8 + [20]


def test_nothing_is_removed_soon_after_an_addition():
    memory = aimed()
    for since_add, size in ((0, 60), (3, 60), (4, 20)):
        memory["since_add"] = since_add
        assert clamp_to_band(60, 20, ask(memory, 20, 60, hold_after_add=4)) == size


def test_starting_removes_nothing_for_a_release_window():
    memory = aimed()
    begin_band(memory, 60)
    assert [ask(memory, 20, 60, release_window=8) >= 60 for _ in range(8)] == [True] * 7 + [False]


def test_the_release_window_holds_the_longest_that_a_spec_asks_for():
    memory = aimed()
    edges = [ask(memory, lo, 99, release_window=TARGET_STEPS) for lo in [50] + [20] * TARGET_STEPS]
    assert edges == [50] * TARGET_STEPS + [20]


def test_a_higher_quantile_asks_for_more():
    memory = aimed([level / 100 for level in a_walk(400)])
    asked = [quantile_band(copy.deepcopy(memory), some_terms(), 10, index)[0] for index in range(9)]
    assert asked == sorted(asked)
    assert memory["level"] < asked[0] < asked[-1]


@settings(max_examples=60, deadline=None)
@given(histories)
def test_quantile_bands_exist_for_any_demand(levels):
    band = RULES["quantile"].band(aimed(levels), some_terms(), 10, NO_ANSWER)
    assert levels[-1] <= band.lo <= band.hi


def test_the_reference_rule_is_a_band_without_width():
    memory = a_memory() | {"reference_replicas": 13}
    band = RULES["hpa"].band(memory, some_terms(), 10, NO_ANSWER)
    assert (band.lo, band.hi) == (13, 13)


@pytest.mark.parametrize(
    ("current", "lo", "hi", "size"),
    [
        pytest.param(5, 6, 8, 6, id="below-the-band-adds-to-its-edge"),
        pytest.param(7, 6, 8, 7, id="within-the-band-holds"),
        pytest.param(9, 6, 8, 8, id="above-the-band-removes-to-its-edge"),
        pytest.param(5, 8, 6, 8, id="an-upside-down-band-is-its-lower-edge"),
        pytest.param(9, 8, 6, 8, id="an-upside-down-band-is-its-lower-edge-from-above"),
    ],
)
def test_a_band_adds_removes_or_holds(current, lo, hi, size):
    assert clamp_to_band(current, lo, hi) == size

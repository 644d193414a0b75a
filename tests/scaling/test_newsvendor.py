"""The distribution of rises, and the headroom that is best for it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.newsvendor import (
    BAD_FROM,
    BAD_OVER,
    DECAY,
    NOISE_PODS,
    POD_WIDTH,
    PRIOR_RISE,
    PRIOR_SAMPLES,
    PROBABILITIES,
    RATIO_WIDTH,
    REFRESH_STEPS,
    RISE_BINS,
    bad_share,
    begin_rises,
    best_multiple,
    fill_quantiles,
)
from scaling.workload import RECENT_STEPS, new_workload, observe
from tests.scaling.builders import HORIZON, a_memory, a_walk

WIDTHS = {"rises_pods": POD_WIDTH, "rises_ratio": RATIO_WIDTH}
MASSES = np.diff((0.0, *PROBABILITIES))

rises_tables = st.lists(st.floats(0.0, 2.0), min_size=9, max_size=9).map(lambda steps: 1.0 + np.cumsum(steps))


def quantiles_of(histogram, width):
    quantiles = np.empty(len(PROBABILITIES))
    fill_quantiles(histogram, histogram.sum(), width, quantiles)
    return quantiles


def counted(memory, name):
    """The histogram of rises without the prior it began with, in samples of today's weight."""
    prior = new_workload()
    begin_rises(prior, memory["first"])
    return (memory[name] - prior[name]) / memory["rises_weight"]


def a_counted_memory(levels, horizon=HORIZON):
    return a_memory(levels, horizon=horizon) | {"first": levels[0]}


@pytest.mark.parametrize("level", [0.0, 1.0, 10.0, 1000.0, 1e6])
def test_the_prior_is_an_hour_of_exponential_rises_around_the_first_demand(level):
    memory = new_workload()
    begin_rises(memory, level)
    for name in WIDTHS:
        assert memory[name].sum() == pytest.approx(PRIOR_SAMPLES), name
        assert memory[name].min() >= 0.0, name
    assert memory["rises_total"] == PRIOR_SAMPLES

    expected = -PRIOR_RISE * np.log1p(-np.array(PROBABILITIES[:6]))  # of the exponential distribution, as log ratios
    assert quantiles_of(memory["rises_ratio"], RATIO_WIDTH)[:6] == pytest.approx(expected, abs=RATIO_WIDTH)
    if level <= 1000.0:  # beyond, such rises are more pods than the additive histogram can tell apart
        in_pods = np.log1p(np.expm1(expected) * (level + NOISE_PODS))
        assert quantiles_of(memory["rises_pods"], POD_WIDTH)[:6] == pytest.approx(in_pods, abs=POD_WIDTH)


@pytest.mark.parametrize("horizon", [1, 4, 7, 30, RECENT_STEPS - 2])
def test_rises_are_counted_over_the_horizon_from_every_step_whose_horizon_ended(horizon):
    levels = a_walk(400, seed=horizon, start=7.0)
    memory = a_counted_memory(levels, horizon)
    ended = range(len(levels) - horizon)
    starts = np.array([levels[t] for t in ended]) + NOISE_PODS
    highest = np.array([max(levels[t : t + horizon + 1]) for t in ended]) + NOISE_PODS
    weights = DECAY ** np.arange(len(ended) - 1, -1, -1)
    for name, rises in (("rises_pods", np.log1p(highest - starts)), ("rises_ratio", np.log(highest / starts))):
        edges = np.arange(RISE_BINS + 1) * WIDTHS[name]
        expected, _ = np.histogram(rises, edges, weights=weights)
        assert counted(memory, name) == pytest.approx(expected), name


def test_before_a_horizon_has_ended_nothing_is_counted():
    levels = a_walk(HORIZON, start=7.0)
    assert a_memory(levels)["rises_total"] == PRIOR_SAMPLES
    assert a_memory([*levels, 7.0])["rises_total"] > PRIOR_SAMPLES


def test_rises_beyond_the_last_bin_count_in_it():
    memory = a_counted_memory([1.0] * 20 + [1e6] * 20)
    for name in WIDTHS:
        assert counted(memory, name)[-1] == pytest.approx(HORIZON, rel=0.01), name


def test_a_rise_fades_with_a_time_constant_of_a_day():
    a_day = 5760
    fresh = a_counted_memory([5.0] * 20 + [40.0] * 10)
    old = a_counted_memory([5.0] * 20 + [40.0] * (10 + a_day))
    burst_bin = int(math.log1p(35.0) / POD_WIDTH)
    faded = counted(old, "rises_pods")[burst_bin] / counted(fresh, "rises_pods")[burst_bin]
    assert faded == pytest.approx(math.exp(-1))


def test_rescaling_changes_no_share_and_no_quantile():
    plain, rescaled = a_memory(a_walk(500, start=7.0)), a_memory(a_walk(500, start=7.0))
    for name in ("rises_pods", "rises_ratio", "rises_total", "rises_weight"):
        rescaled[name] *= 0.9999e6 / plain["rises_weight"]
    for level in a_walk(100, seed=9, start=7.0):
        observe(plain, level, 30.0, HORIZON)
        observe(rescaled, level, 30.0, HORIZON)
    assert rescaled["rises_weight"] < 2.0 < plain["rises_weight"] * 10
    for name in WIDTHS:
        assert rescaled[name] / rescaled["rises_total"] == pytest.approx(plain[name] / plain["rises_total"])
    assert (rescaled["spare_pods"], rescaled["spare_ratio"]) == pytest.approx(
        (plain["spare_pods"], plain["spare_ratio"])
    )


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(50, 3000), st.floats(0.05, 0.6))
def test_quantiles_are_those_of_the_samples_within_a_bin(seed, n_samples, scale):
    samples = np.random.default_rng(seed).gamma(1.5, scale, n_samples).clip(0, RISE_BINS * RATIO_WIDTH - 1e-9)
    histogram, _ = np.histogram(samples, np.arange(RISE_BINS + 1) * RATIO_WIDTH)
    expected = np.quantile(samples, PROBABILITIES, method="inverted_cdf")
    assert quantiles_of(histogram.astype(float), RATIO_WIDTH) == pytest.approx(expected, abs=RATIO_WIDTH)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.0, 1e6), min_size=RISE_BINS, max_size=RISE_BINS).filter(any))
def test_quantiles_never_fall_and_stay_within_the_bins(weights):
    quantiles = quantiles_of(np.array(weights), POD_WIDTH)
    assert (np.diff(quantiles) >= 0).all()
    assert quantiles[0] >= 0.0
    assert quantiles[-1] <= RISE_BINS * POD_WIDTH


def test_requests_turn_bad_from_97_to_120_percent_of_what_the_replicas_serve():
    assert [bad_share(load) for load in (0.0, BAD_FROM, BAD_FROM + BAD_OVER / 2, BAD_FROM + BAD_OVER, 9.0)] == (
        pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0])
    )


def cost_of(multiples, rises, price):
    """What the rule minimises, at each of many multiples; rises up to one are served by it."""
    bad = np.clip((rises[:, None] / multiples - BAD_FROM) / BAD_OVER, 0.0, 1.0) * (rises[:, None] > multiples)
    return multiples + price * (MASSES[:, None] * bad).sum(axis=0)


@settings(max_examples=200, deadline=None)
@given(rises_tables, st.floats(1.0, 1000.0))
def test_no_multiple_is_better_by_more_than_the_gap_to_the_next_quantile(rises, price):
    best = best_multiple(rises, price)
    assert best in rises
    grid = np.linspace(1.0, rises[-1], 2000)
    above = np.searchsorted(rises, grid, side="left").clip(max=8)
    last = np.searchsorted(rises, rises[above], side="right") - 1
    gap_to_next = rises[above] - grid + price * MASSES[last] * bad_share(1.0)
    best_cost = cost_of(np.array([best]), rises, price)[0]
    assert (best_cost <= cost_of(grid, rises, price) + gap_to_next + 1e-6).all()


@settings(max_examples=200, deadline=None)
@given(rises_tables, st.floats(1.0, 1000.0), st.floats(1.0, 1000.0))
def test_a_higher_price_never_asks_for_less_headroom(rises, one, other):
    assert best_multiple(rises, min(one, other)) <= best_multiple(rises, max(one, other)) + 1e-9


def test_without_rises_the_best_multiple_is_one():
    assert best_multiple(np.ones(9), 1.0) == 1.0


def test_headroom_follows_what_the_workload_does():
    calm = a_memory([10.0] * 20_000)  # long enough to forget the prior
    bursty = a_memory(([10.0] * 50 + [30.0] * 10) * 50)
    assert calm["spare_pods"] < 1.0
    assert calm["spare_ratio"] < 1.06
    assert 15.0 < bursty["spare_pods"] < 25.0
    assert bursty["spare_ratio"] > 2.0


def test_headroom_is_refreshed_every_two_minutes_in_two_halves():
    memory, changed = a_memory(a_walk(200, start=7.0)), []
    before = (memory["spare_pods"], memory["spare_ratio"])
    for level in a_walk(4 * REFRESH_STEPS, seed=5, start=30.0, spread=0.3):
        observe(memory, level, 30.0, HORIZON)
        after = (memory["spare_pods"], memory["spare_ratio"])
        changed.append((memory["steps"] % REFRESH_STEPS, tuple(a != b for a, b in zip(after, before, strict=True))))
        before = after
    assert {phase for phase, (pods, _) in changed if pods} == {1}
    assert {phase for phase, (_, ratio) in changed if ratio} == {1 + REFRESH_STEPS // 2}

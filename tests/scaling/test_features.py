"""What a policy is told, and that it is always told something sane."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.band import aim
from scaling.features import FEATURES, HIGH, LOW, N_FEATURES
from scaling.newsvendor import NOISE_PODS, PROBABILITIES
from scaling.policy import feature_schema
from scaling.workload import DAY_MINUTES, MINUTE_STEPS, TARGET_STEPS, lookahead_minutes
from tests.scaling.builders import HORIZON, a_memory, a_walk, encoded, some_terms

NAMES = tuple(feature.name for feature in FEATURES)
OF_DEMAND = NAMES[1:17]
"""Ratios that only demand and its scale decide."""


def told(memory=None, current=10, ready=10, **terms):
    """Features by name."""
    memory = a_memory() if memory is None else memory
    aim(memory, HORIZON)
    return dict(zip(NAMES, encoded(memory, some_terms(**terms), current, ready).tolist(), strict=True))


def test_the_order_is_pinned_because_shipped_networks_read_it():
    assert (
        "level",
        *("ago_15s", "ago_60s", "ago_120s", "ago_240s", "ago_480s", "ago_900s"),
        *("peak_2m", "peak_5m", "peak_15m", "trough_5m", "trough_15m", "peak_1h"),
        *("mean_5m", "mean_1h", "mean_6h", "mean_24h"),
        *("volatility_5m", "volatility_1h", "horizon", "history"),
        *("rise_p80", "rise_p95", "rise_p99", "rise_pods_p80", "rise_pods_p95", "rise_pods_p99"),
        *("day_ago", "day_ago_error", "aim", "highest", "capacity", "starting", "since_add", "bad"),
        *("reference", "price", "action_price"),
    ) == NAMES
    assert len(LOW) == len(HIGH) == N_FEATURES == len(feature_schema())
    assert (LOW < HIGH).all()


readings = st.lists(st.floats(0.0, 1e6), min_size=1, max_size=80)


@settings(max_examples=150, deadline=None)
@given(
    readings,
    st.integers(1, 62),
    st.floats(1.0, 1000.0),
    st.floats(0.0, 100.0),
    st.integers(0, 150_000),
    st.integers(0, 150_000),
    st.floats(0.0, 1.0),
    st.floats(0.5, 2.0),
)
def test_every_feature_is_written_and_within_its_range(
    levels, horizon, price, action_price, current, ready, bad_ratio, capacity_ratio
):
    memory = a_memory(levels, price, horizon)
    memory |= {"bad_ratio": bad_ratio, "capacity_ratio": capacity_ratio, "reference_replicas": current // 3}
    aim(memory, horizon)
    features = encoded(memory, some_terms(horizon=horizon, price=price, action_price=action_price), current, ready)
    assert np.isfinite(features).all()
    assert ((features >= LOW) & (features <= HIGH)).all()


@pytest.mark.parametrize("level", [0.0, 0.2, 7.0, 5000.0])
def test_constant_demand_reads_as_no_change(level):
    features = told(a_memory([level] * 100))
    unchanged = (*OF_DEMAND, "volatility_5m", "volatility_1h", "day_ago")
    assert [features[name] for name in unchanged] == pytest.approx([0.0] * len(unchanged), abs=1e-6)
    assert features["level"] == pytest.approx(max(-1.0, math.log10(level + NOISE_PODS)))


def test_the_same_course_at_another_scale_reads_the_same():
    small, large = told(a_memory(a_walk(200, start=500.0))), told(a_memory(a_walk(200, start=50_000.0)))
    assert [small[name] for name in OF_DEMAND] == pytest.approx([large[name] for name in OF_DEMAND], abs=2e-3)


def test_lags_peaks_and_troughs_are_those_of_the_readings():
    levels = a_walk(300, seed=2, start=7.0)
    features, last = told(a_memory(levels)), levels[-1] + NOISE_PODS
    for seconds in (15, 60, 120, 240, 480, 900):
        assert features[f"ago_{seconds}s"] == pytest.approx(math.log((levels[-1 - seconds // 15] + NOISE_PODS) / last))
    for minutes in (2, 5, 15):
        window = np.array(levels[-4 * minutes :]) + NOISE_PODS
        assert features[f"peak_{minutes}m"] == pytest.approx(math.log(window.max() / last), abs=1e-6)
        if minutes > 2:
            assert features[f"trough_{minutes}m"] == pytest.approx(math.log(window.min() / last), abs=1e-6)


def test_rises_are_quantiles_in_units_of_the_present_level():
    memory = a_memory(a_walk(500, start=7.0))
    features, level = told(memory), memory["level"] + NOISE_PODS
    for percent in (80, 95, 99):
        index = PROBABILITIES.index(percent / 100)
        assert features[f"rise_p{percent}"] == pytest.approx(memory["quantiles_ratio"][index])
        additive = math.log1p(memory["quantiles_pods"][index] / level)
        assert features[f"rise_pods_p{percent}"] == pytest.approx(additive)


def test_a_day_ago_is_told_for_the_time_when_pods_added_now_serve():
    levels = np.repeat(np.arange(DAY_MINUTES) % 700 + 1.0, MINUTE_STEPS)
    memory = a_memory(levels)
    expected = (levels[MINUTE_STEPS * lookahead_minutes(HORIZON)] + NOISE_PODS) / (levels[-1] + NOISE_PODS)
    assert told(memory)["day_ago"] == pytest.approx(math.log(expected))
    assert told(memory)["history"] == 1.0


def test_replicas_read_as_what_they_serve():
    memory = a_memory([10.0 - NOISE_PODS] * 100) | {"capacity_ratio": 0.8, "reference_replicas": 5}
    features = told(memory, current=20, ready=12)
    assert features["level"] == pytest.approx(1.0)
    assert features["capacity"] == pytest.approx(math.log(16.3 / 10.0))
    assert features["starting"] == pytest.approx(0.4)
    assert features["reference"] == pytest.approx(math.log(5 / 20))
    assert told(memory, current=0, ready=0)["starting"] == 0.0
    assert told(memory, current=5, ready=9)["starting"] == 0.0


def test_the_highest_target_of_the_release_window_is_told_and_no_older_one():
    memory = a_memory([10.0 - NOISE_PODS] * 100)
    memory["targets"][:] = [40.0] * (TARGET_STEPS - 3) + [20.0, 30.0, 20.0]
    assert told(memory, release_window=3)["highest"] == pytest.approx(math.log(30.3 / 10.0))
    assert told(memory, release_window=4)["highest"] == pytest.approx(math.log(40.3 / 10.0))


def test_the_rest_is_told_in_the_units_of_its_entry():
    memory = a_memory() | {"since_add": 20, "bad_ratio": 0.04, "lookahead_error": 0.7}
    features = told(memory, horizon=8, price=100.0, action_price=10.0)
    assert features["horizon"] == 2.0
    assert features["since_add"] == 0.5
    assert features["bad"] == pytest.approx(0.2)
    assert features["day_ago_error"] == pytest.approx(0.7)
    assert (features["price"], features["action_price"]) == pytest.approx((2.0, 1.0))
    assert features["history"] == pytest.approx(100 / 5760)
    assert features["aim"] == pytest.approx(math.log((memory["aim"] + NOISE_PODS) / 7.3))


def test_free_actions_read_as_the_cheapest_there_are():
    assert told(action_price=0.0)["action_price"] == told(action_price=0.1)["action_price"] == -1.0

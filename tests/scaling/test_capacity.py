"""When measured bad requests move the belief of what a replica serves, and when they must not."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.capacity import CALM_STEPS, GAIN, HIGHEST, LOWEST, TELLING_LOAD, UNTELLING, observe_bad
from scaling.newsvendor import bad_share
from scaling.workload import observe
from tests.scaling.builders import HORIZON, a_memory


def calm_memory(level=10.0, **fields):
    return a_memory([level] * 100) | fields


def belief_after(memory, bad_ratio, ready):
    observe_bad(memory, bad_ratio, ready)
    return memory["capacity_ratio"]


def test_more_bad_requests_than_expected_lower_the_belief():
    assert belief_after(calm_memory(), 0.2, ready=12) == pytest.approx(math.exp(-GAIN * (0.2 - UNTELLING)))


def test_fewer_bad_requests_than_expected_raise_the_belief():
    expected = bad_share(10 / 9)
    assert expected > 0.5
    assert belief_after(calm_memory(), 0.0, ready=9) == pytest.approx(math.exp(GAIN * (expected - UNTELLING)))


def test_what_was_expected_changes_nothing():
    assert belief_after(calm_memory(), bad_share(10 / 9), ready=9) == 1.0
    assert belief_after(calm_memory(), 0.0, ready=12) == 1.0


def test_a_few_bad_requests_that_no_replica_cures_do_not_wear_the_belief_down():
    memory = calm_memory()
    for _ in range(5760):
        observe_bad(memory, UNTELLING, 12)
    assert memory["capacity_ratio"] == 1.0


@pytest.mark.parametrize(
    ("memory", "ready"),
    [
        pytest.param(a_memory([10.0] * 95 + [12.0] * 5), 12, id="demand-moves"),
        pytest.param(calm_memory(since_add=CALM_STEPS - 1), 12, id="replicas-were-just-added"),
        pytest.param(calm_memory(), 0, id="nothing-serves"),
        pytest.param(calm_memory(), math.ceil(10 / TELLING_LOAD), id="the-load-is-too-low-to-tell"),
    ],
)
def test_evidence_that_says_nothing_changes_nothing(memory, ready):
    assert belief_after(memory, 0.5, ready) == 1.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.integers(0, 40)), min_size=1, max_size=300))
def test_the_belief_stays_within_a_factor_of_two(evidence):
    memory = calm_memory()
    for bad_ratio, ready in evidence * 3:
        assert LOWEST <= belief_after(memory, bad_ratio, ready) <= HIGHEST


@pytest.mark.parametrize("true_capacity", [0.6, 0.8, 0.95, 1.1, 1.5])
def test_a_wrong_statement_is_found_out_under_full_load(true_capacity):
    ready = round(10 / (true_capacity * 1.05))  # loaded to where some requests are bad, and not all
    memory, bad_ratio = calm_memory(), bad_share(10 / (ready * true_capacity))
    assert 0.0 < bad_ratio < 1.0
    for _ in range(2000):
        observe_bad(memory, bad_ratio, ready)
    assert memory["capacity_ratio"] == pytest.approx(true_capacity, rel=0.01)


def test_the_measured_share_is_averaged_over_five_minutes():
    memory = calm_memory()
    for _ in range(20):
        observe(memory, 10.0, 30.0, HORIZON)
        observe_bad(memory, 0.1, 12)
    assert memory["bad_ratio"] == pytest.approx(0.1 * (1 - math.exp(-1)))

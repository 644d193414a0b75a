"""The reference HPA against the exact one, sync by sync."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scaling.hpa import HpaSettings, HpaSpec, HpaState, Metric, MetricKind, Workload, reconcile
from scaling.reference import begin_reference, reference_hpa
from scaling.terms import REFERENCE_WINDOW_S, terms_of
from scaling.workload import new_workload
from tests.scaling.builders import a_spec

SYNC_S = 15.0
SETTINGS = HpaSettings()
assert SETTINGS.downscale_stabilization_s == REFERENCE_WINDOW_S


def exact_sizes(demand_milli, specs, replicas):
    """What an HPA runs that a spec's bounds and target are given to, one size a sync."""
    state, sizes = HpaState(), []
    for step, (milli, spec) in enumerate(zip(demand_milli, specs, strict=True)):
        target_milli = round(spec.target_per_replica * 1000)
        metric = Metric(MetricKind.EXTERNAL_AVERAGE_VALUE, target_milli, (milli,))
        hpa = HpaSpec(spec.max_replicas, (metric,), spec.min_replicas)
        sync = reconcile(hpa, Workload(replicas, replicas, "app=web"), state, SETTINGS, step * SYNC_S)
        state, replicas = sync.state, sync.desired_replicas
        sizes.append(replicas)
    return sizes


def reference_sizes(demand_milli, specs, replicas):
    memory, sizes = new_workload(), []
    begin_reference(memory, replicas)
    for milli, spec in zip(demand_milli, specs, strict=True):
        memory["level"] = milli / 1000 / spec.stated_capacity
        sizes.append(reference_hpa(memory, terms_of(spec)))
        assert sizes[-1] == memory["reference_replicas"]
    return sizes


def assert_same_sizes(demand_milli, specs, replicas):
    assert reference_sizes(demand_milli, specs, replicas) == exact_sizes(demand_milli, specs, replicas)


whole_pods = st.integers(0, 60).map(lambda pods: pods * 70_000)
series = st.lists(st.integers(0, 4_000_000) | whole_pods, min_size=1, max_size=80)


@settings(max_examples=150, deadline=None)
@given(series, st.integers(1, 80), st.none() | st.floats(0.001, 1000.0))
@example([210_000] * 3, 1, None)  # 2.1 / 0.7 is a little more than 3,
@example([490_000] * 3, 4, None)  # and 4.9 * 100 / 70 a little more than 7
def test_any_series_is_followed_replica_for_replica(demand_milli, replicas, capacity):
    spec = a_spec(capacity_per_replica=capacity)
    assert_same_sizes(demand_milli, [spec] * len(demand_milli), replicas)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4_000_000), st.integers(1, 30), st.integers(0, 40)), min_size=5, max_size=60),
    st.integers(1, 80),
)
def test_changing_bounds_are_followed_replica_for_replica(steps, replicas):
    demand_milli = [milli for milli, _, _ in steps for _ in range(4)]
    specs = [a_spec(min_replicas=low, max_replicas=low + room) for _, low, room in steps for _ in range(4)]
    assert_same_sizes(demand_milli, specs, replicas)


@settings(max_examples=100, deadline=None)
@given(series, st.integers(1, 10**6))
def test_any_target_is_followed_replica_for_replica(demand_milli, target_milli):
    spec = a_spec(target_per_replica=target_milli / 1000, capacity_per_replica=None, max_replicas=150_000)
    assert_same_sizes(demand_milli, [spec] * len(demand_milli), 5)


def a_day_of_demand(seed):
    """Waves, noise and bursts for a day, in thousandths."""
    rng = np.random.default_rng(seed)
    hours = np.arange(5760) / 240
    level = 1500 - 1200 * np.cos(hours * 2 * np.pi / 24) + 300 * np.sin(hours * 2 * np.pi / 3.1)
    bursts = 2500 * np.convolve(rng.random(5760) < 0.002, np.exp(-np.arange(60) / 15))[:5760]
    return np.round((level + bursts) * rng.lognormal(0, 0.08, 5760) * 1000).astype(int).tolist()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_day_of_waves_and_bursts_is_followed_replica_for_replica(seed):
    demand_milli, spec = a_day_of_demand(seed), a_spec()
    sizes = exact_sizes(demand_milli, [spec] * 5760, 10)
    assert len(set(sizes)) > 20
    assert reference_sizes(demand_milli, [spec] * 5760, 10) == sizes


def test_the_size_found_is_kept_for_the_window_as_the_hpa_does():
    sizes = reference_sizes([70_000] * 30, [a_spec()] * 30, 50)
    assert sizes == [50] * 21 + [2] * 9

"""The measures: cost beside the clairvoyant bill, the request-weighted bad share, and J."""

import numpy as np
import pytest

from sim.measures import PRICES, Measures, PolicyRun, Run, measure


def a_policy_run(name: str = "ours", **changes: list[float]) -> PolicyRun:
    series = {
        "replicas": [4.0, 4.0, 8.0],
        "ready": [4.0, 4.0, 4.0],
        "requests": [100.0, 0.0, 300.0],
        "late": [0.0, 0.0, 6.0],
        "latency_p95_s": [0.1, 0.0, 0.6],
    }
    arrays = {field: np.array(values) for field, values in (series | changes).items()}
    return PolicyRun(name=name, actions=1, **arrays)


def test_cost_is_pod_seconds_over_the_clairvoyant_bill() -> None:
    figures = measure(a_policy_run(), step_s=15.0, clairvoyant_pod_seconds=120.0)
    assert figures.pod_seconds == 240.0
    assert figures.cost == 2.0
    assert figures.replica_hours == pytest.approx(240.0 / 3600.0)
    assert figures.actions == 1


def test_bad_is_weighted_by_requests_not_by_steps() -> None:
    assert measure(a_policy_run(), 15.0, 120.0).bad_ratio == pytest.approx(6.0 / 400.0)


def test_without_requests_nothing_is_bad() -> None:
    idle = a_policy_run(requests=[0.0, 0.0, 0.0], late=[0.0, 0.0, 0.0])
    assert measure(idle, 15.0, 120.0).bad_ratio == 0.0


def test_at_a_price_of_30_one_per_cent_bad_costs_30_per_cent_of_the_bill() -> None:
    figures = Measures(pod_seconds=100.0, cost=1.2, bad_ratio=0.01, actions=0)
    assert figures.j(30.0) == pytest.approx(1.2 + 0.3)
    assert [figures.j(price) for price in PRICES] == pytest.approx([1.3, 1.5, 2.2])


def test_a_run_finds_its_policies_by_name_and_counts_time_from_its_start() -> None:
    ours, hpa = a_policy_run("forescale"), a_policy_run("hpa")
    run = Run("web", 15.0, 0.5, 160.0, np.array([1.0, 2.0, 3.0]), (ours, hpa))
    assert run.policy("hpa") is hpa
    assert run.time_s.tolist() == [0.0, 15.0, 30.0]
    with pytest.raises(KeyError, match="nobody"):
        run.policy("nobody")

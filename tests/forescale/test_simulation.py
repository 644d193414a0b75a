"""A load of the recommendation API: forescale beside an HPA, on one grid."""

import pytest

from controller.api.models import SimulationRequest
from forescale.simulation import MOST_POINTS, simulate


def test_both_runs_come_on_one_grid_with_a_reason_for_each_decision():
    answer = simulate(SimulationRequest(generate="flash-crowd", hours=3))
    lengths = {len(answer.time_s), len(answer.demand), len(answer.hpa.replicas), len(answer.decisions)}
    assert lengths == {len(answer.forescale.replicas)}
    assert len(answer.time_s) <= MOST_POINTS
    assert all(decision.reasons for decision in answer.decisions)
    assert answer.hpa.replica_hours > 0


def test_the_same_request_gives_the_same_answer_and_another_seed_another_one():
    request = SimulationRequest(hours=0.5, seed=3)
    assert simulate(request) == simulate(request)
    assert simulate(request) != simulate(SimulationRequest(hours=0.5, seed=4))


def test_a_load_of_ones_own_is_run_as_it_is():
    load = [500.0 + 10 * minute for minute in range(60)]
    answer = simulate(SimulationRequest(load=load, step_seconds=60))
    assert answer.demand[0] == pytest.approx(500.0, rel=0.2)
    assert answer.time_s[-1] == pytest.approx(3600, abs=60)
    assert max(answer.forescale.replicas) > answer.forescale.replicas[0]


def test_a_higher_price_buys_fewer_bad_requests():
    cheap, dear = (simulate(SimulationRequest(generate="noisy", hours=6, price=price)) for price in (1, 1000))
    assert cheap.forescale.replica_hours < dear.forescale.replica_hours
    assert cheap.hpa == dear.hpa

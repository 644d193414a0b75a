"""The clairvoyant bill: the least that any sequence of replicas could have cost without a bad step."""

from itertools import product

import numpy as np
import pytest

from scaling.errors import InputError
from sim.clairvoyant import BAD_LIMIT, CERTAIN, clairvoyant_replicas, needed_replicas
from sim.cluster import capacity_rps, draw, new_params, transition
from sim.demand import generate_fleet
from sim.latency import steady_late_ratio
from tests.sim.builders import Params, a_cluster, no_chance, quiet_params

POD_RPS = 160.0


def serves_well(replicas: tuple[int, ...], demand_rps: list[float], params: Params) -> bool:
    """Whether the simulator finds at most 1 % bad requests in every step; the first pods are there from the start."""
    cluster = a_cluster(replicas[0], params)
    for target, rate in zip(replicas, demand_rps, strict=True):
        transition(cluster, target, rate, params, no_chance())
        if cluster["late"] > BAD_LIMIT * cluster["arrived"]:
            return False
    return True


@pytest.mark.parametrize("startup_s", [15.0, 30.0, 45.0])
@pytest.mark.parametrize(
    "pods",
    [
        pytest.param((1, 1, 3, 1, 1, 1), id="a-peak"),
        pytest.param((3, 1, 1, 1, 1, 3), id="a-long-valley"),
        pytest.param((2, 1, 2, 1, 3, 1), id="valleys-shorter-than-a-start-up"),
        pytest.param((1, 2, 3, 3, 2, 1), id="a-hill"),
        pytest.param((3, 3, 2, 2, 1, 1), id="going-down"),
    ],
)
def test_no_sequence_of_replicas_without_a_bad_step_costs_less(pods: tuple[int, ...], startup_s: float) -> None:
    params = quiet_params(startup_s=startup_s)
    demand_rps = [POD_RPS * (count - 0.5) for count in pods]
    all_sequences = product((1, 2, 3), repeat=len(pods))
    good = [sequence for sequence in all_sequences if serves_well(sequence, demand_rps, params)]
    cheapest = min(good, key=sum)
    ours = tuple(int(count) for count in clairvoyant_replicas(np.array(demand_rps), params))
    assert ours in good
    assert sum(ours) == sum(cheapest)
    assert sum(sum(sequence) == sum(ours) for sequence in good) == 1  # no other costs as little


def test_pods_are_paid_for_from_one_start_up_before_they_are_needed() -> None:
    demand_rps = np.array([0.4, 0.4, 0.4, 0.4, 4.4, 0.4, 0.4]) * POD_RPS
    params = new_params(startup_s=40.0)  # three steps
    assert clairvoyant_replicas(demand_rps, params).tolist() == [1, 5, 5, 5, 5, 1, 1]


def test_the_users_bounds_hold() -> None:
    demand_rps = np.array([0.0, 0.0, 9.4, 0.0, 0.0]) * POD_RPS
    params = new_params(startup_s=15.0)
    assert clairvoyant_replicas(demand_rps, params).tolist() == [1, 10, 10, 1, 1]
    assert clairvoyant_replicas(demand_rps, params, 3, 6).tolist() == [3, 6, 6, 3, 3]
    assert clairvoyant_replicas(demand_rps, params, min_replicas=0).tolist() == [0, 10, 10, 0, 0]


def settled_late_ratio(replicas: int, demand_rps: float, params: Params) -> float:
    cluster = a_cluster(replicas, params)
    for _ in range(400):
        transition(cluster, replicas, demand_rps, params, no_chance())
    return float(cluster["late"] / cluster["arrived"])


@pytest.mark.parametrize(
    "params",
    [
        pytest.param(quiet_params(), id="default"),
        pytest.param(quiet_params(workers=2.0, service_s=0.2, objective_s=1.6), id="few-workers"),
        pytest.param(quiet_params(workers=32.0, service_s=0.02, objective_s=0.12), id="many-workers"),
    ],
)
@pytest.mark.parametrize("replicas", [1, 2, 3])  # queues of more pods take many steps to settle at such loads
def test_at_the_most_that_replicas_serve_the_simulator_finds_one_per_cent_bad(replicas: int, params: Params) -> None:
    pod_rps = capacity_rps(params)
    demand_rps = np.linspace(0.0, replicas * pod_rps, 20_001)
    most_rps = float(demand_rps[needed_replicas(demand_rps, params) <= replicas].max())
    assert (replicas - 0.9) * pod_rps < most_rps < replicas * pod_rps
    assert settled_late_ratio(replicas, most_rps, params) == pytest.approx(BAD_LIMIT, rel=0.1)


def test_more_demand_never_needs_fewer() -> None:
    needed = needed_replicas(np.linspace(0.0, 40.0, 2000) * POD_RPS, new_params())
    assert needed[0] == 0
    assert needed[1] == 1
    assert np.diff(needed).min() == 0
    assert np.diff(needed).max() == 1
    assert 40 < needed[-1] < 46


def test_each_count_is_the_fewest_that_serves_its_demand() -> None:
    params = new_params()
    demand_rps = np.random.default_rng(2).uniform(0.0, 300.0, 200) * POD_RPS
    queue = [params[name] for name in ("workers", "service_s", "objective_s", "variability")]
    for demand, needed in zip(demand_rps, needed_replicas(demand_rps, params), strict=True):
        assert steady_late_ratio(demand, int(needed), *queue) <= BAD_LIMIT
        assert steady_late_ratio(demand, int(needed) - 1, *queue) > BAD_LIMIT


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e9])
def test_the_work_is_bounded_by_the_replicas_that_may_run(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load in bytes where requests were meant once took minutes: a row of a table for each replica it would need."""
    asked = []

    def late_ratio(demand_rps: float, ready: int, *queue: float) -> float:
        asked.append(ready)
        return float(steady_late_ratio(demand_rps, ready, *queue))

    monkeypatch.setattr("sim.clairvoyant.steady_late_ratio", late_ratio)
    demand_rps = np.linspace(0.0, 60.0 * POD_RPS * scale, 5_760)
    needed = needed_replicas(demand_rps, new_params(), 60)
    assert (needed[0], needed[1] > 0, needed[-1]) == (0, True, 60)
    assert len(asked) < 60 * 40


def test_a_demand_beyond_what_may_run_gets_all_of_it() -> None:
    demand_rps = np.array([0.0, 1.0, 5.0 * POD_RPS, 1e12])
    assert needed_replicas(demand_rps, new_params(), 4).tolist() == [0, 1, 4, 4]
    assert clairvoyant_replicas(demand_rps, new_params(startup_s=15.0), 2, 4).tolist() == [2, 4, 4, 4]


def test_on_its_own_cluster_the_clairvoyant_is_hardly_ever_late() -> None:
    params = new_params(**CERTAIN)
    pods = generate_fleet(np.random.default_rng(3), 6, 480, 15.0)
    for row in pods.astype(float):
        demand_rps = row * POD_RPS
        replicas = clairvoyant_replicas(demand_rps, params)
        cluster = a_cluster(int(replicas[0]), params)
        rng = np.random.default_rng(0)
        late = []
        for target, rate in zip(replicas, demand_rps, strict=True):
            transition(cluster, int(target), float(rate), params, draw(rng, 1)[0])
            late.append(cluster["late"] / max(1e-9, cluster["arrived"]))
        assert max(late) < BAD_LIMIT + 5e-3


def test_an_objective_that_an_idle_pod_misses_is_refused() -> None:
    params = new_params(objective_s=0.1)  # two service times: 13 % take longer
    with pytest.raises(InputError, match=r"^objective_s 0\.1: an idle pod is late for more than 1%$"):
        needed_replicas(np.array([100.0]), params)

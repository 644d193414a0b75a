"""Pods, nodes and metrics of one cluster: what is conserved, when things happen, and what a query would answer."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.errors import InputError
from sim.cluster import (
    CLUSTER,
    DEFAULTS,
    DRAWS,
    METRIC_STEPS,
    NORMALS,
    PARAMS,
    STARTING_STEPS,
    begin_metrics,
    capacity_rps,
    draw,
    new_params,
    params_rows,
    transition,
)
from tests.sim.builders import Cluster, Params, a_cluster, no_chance, quiet_params, steps

POD_RPS = 160.0  # of the default pod: 8 workers, 50 ms a request

targets = st.lists(st.integers(0, 60), min_size=1, max_size=40)
some_pods = st.lists(st.integers(1, 60), min_size=1, max_size=40)
PATIENT = quiet_params(timeout_s=1e6)
"""Nothing is dropped, with a pod at least: what is dropped waits no more, and so makes those behind it less late."""
seeds = st.integers(0, 2**32 - 1)
wild_params = st.builds(
    new_params,
    workers=st.integers(1, 32).map(float),
    service_s=st.floats(0.01, 2.0),
    objective_s=st.floats(0.05, 8.0),
    timeout_s=st.floats(1.0, 60.0),
    variability=st.floats(0.0, 3.0),
    startup_s=st.floats(0.0, 300.0),
    startup_sigma=st.floats(0.0, 1.0),
    pods_per_node=st.integers(1, 32).map(float),
    node_provision_s=st.floats(0.0, 300.0),
    node_idle_s=st.floats(0.0, 900.0),
    crash_per_pod_hour=st.floats(0.0, 20.0),
    unready_per_pod_hour=st.floats(0.0, 20.0),
    metric_lag_s=st.sampled_from((0.0, 15.0, 45.0)),
    rate_window_s=st.sampled_from((15.0, 60.0, 120.0)),
    gap_per_hour=st.floats(0.0, 60.0),
)


def demand_series(rng: np.random.Generator, n_steps: int, params: Params) -> list[float]:
    """Idle, busy and hopeless steps for up to sixty pods."""
    pods = np.exp(rng.normal(2.5, 1.2, n_steps)) * (rng.random(n_steps) < 0.85)
    return [float(value) for value in pods * capacity_rps(params)]


@settings(max_examples=60, deadline=None)
@given(targets, wild_params, seeds)
def test_what_arrives_is_served_waits_or_is_dropped(wanted, params, seed) -> None:
    rng = np.random.default_rng(seed)
    cluster = a_cluster(wanted[0], params)
    for target, demand_rps in zip(wanted, demand_series(rng, len(wanted), params), strict=True):
        waited = cluster["backlog"]
        transition(cluster, target, demand_rps, params, draw(rng, 1)[0])
        came = waited + cluster["arrived"]
        assert came == pytest.approx(cluster["served"] + cluster["backlog"] + cluster["dropped"], rel=1e-9, abs=1e-6)
        assert min(cluster[name] for name in ("served", "backlog", "dropped", "late")) >= 0.0
        assert cluster["served"] <= cluster["ready"] * capacity_rps(params) * params["step_s"] * (1 + 1e-9) + 1e-6
        assert cluster["late"] <= cluster["arrived"] * (1 + 1e-12)


@settings(max_examples=60, deadline=None)
@given(targets, wild_params, seeds)
def test_every_pod_asked_for_serves_or_starts_and_has_a_node(wanted, params, seed) -> None:
    rng = np.random.default_rng(seed)
    cluster = a_cluster(wanted[0], params)
    for target, demand_rps in zip(wanted, demand_series(rng, len(wanted), params), strict=True):
        transition(cluster, target, demand_rps, params, draw(rng, 1)[0])
        assert cluster["ready"] + cluster["starting"].sum() == cluster["desired"] == cluster["replicas"] == target
        assert cluster["ready"] >= 0
        assert cluster["starting"].min() >= 0
        assert cluster["nodes"] * params["pods_per_node"] >= target


def run_bytes(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    params = new_params(crash_per_pod_hour=5.0, gap_per_hour=20.0)
    cluster = a_cluster(10, params)
    seen = []
    for demand_rps in demand_series(rng, 200, params):
        transition(cluster, int(demand_rps / POD_RPS) + 1, demand_rps, params, draw(rng, 1)[0])
        seen.append(np.concatenate([np.ravel(value) for value in cluster.values()]))
    return np.array(seen).tobytes()


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert run_bytes(3) == run_bytes(3)
    assert run_bytes(3) != run_bytes(4)


@pytest.mark.parametrize(("startup_s", "after"), [(0.0, 1), (15.0, 1), (16.0, 2), (45.0, 3), (240.0, 16)])
def test_without_spread_pods_serve_after_exactly_their_start_up(startup_s: float, after: int) -> None:
    params = quiet_params(startup_s=startup_s)
    ready = steps(a_cluster(2, params), params, [7] * (after + 2))
    assert ready == [2] * after + [7, 7]


def test_four_draws_share_the_spread_of_the_start_up() -> None:
    params = quiet_params(startup_s=60.0, startup_sigma=math.log(2.0))
    cluster = a_cluster(0, params)
    draws = no_chance(normal0=-2.0, normal1=-1.0, normal2=0.0, normal3=1.0)  # 15, 30, 60 and 120 s
    transition(cluster, 10, 0.0, params, draws)
    assert np.flatnonzero(cluster["starting"]).tolist() == [0, 1, 3, 7]
    assert cluster["starting"][[0, 1, 3, 7]].tolist() == [2, 3, 2, 3]


def test_a_start_up_too_long_to_remember_ends_with_the_memory() -> None:
    params = quiet_params(startup_s=900.0, startup_sigma=1.0)
    cluster = a_cluster(0, params)
    transition(cluster, 1, 0.0, params, no_chance(normal3=3.0))
    assert np.flatnonzero(cluster["starting"]).tolist() == [STARTING_STEPS - 1]


def test_pods_past_the_nodes_room_wait_for_a_new_node() -> None:
    params = quiet_params(startup_s=45.0, node_provision_s=90.0, pods_per_node=16.0)
    ready = steps(a_cluster(14, params), params, [18] * 11)
    assert ready == [14] * 3 + [16] * 6 + [18] * 2


def test_pods_added_while_a_node_comes_up_wait_for_it_too() -> None:
    params = quiet_params(startup_s=45.0, node_provision_s=90.0, pods_per_node=16.0)
    ready = steps(a_cluster(16, params), params, [17, 17, 18, 18, 18, 19, 20, 21, 21, 21, 21])
    assert ready == [16] * 9 + [20, 21]  # the node is up after six steps; what came by then starts in three


def test_without_provisioning_a_new_node_takes_pods_at_once() -> None:
    params = quiet_params(startup_s=45.0, node_provision_s=0.0)
    assert steps(a_cluster(16, params), params, [40] * 4) == [16, 16, 16, 40]


def test_nodes_are_released_after_they_were_not_needed_for_a_while() -> None:
    params = quiet_params(node_idle_s=60.0)
    cluster = a_cluster(40, params)
    nodes = []
    for target in (40, 10, 10, 10, 33, 10, 10, 10, 10, 10):
        steps(cluster, params, [target])
        nodes.append(cluster["nodes"])
    assert nodes == [3.0] * 8 + [1.0] * 2  # the fifth step needed all three again


def test_removal_takes_pods_that_start_first_the_youngest_of_all_then_serving_ones() -> None:
    params = quiet_params(startup_s=60.0)
    cluster = a_cluster(5, params)
    steps(cluster, params, [7, 10])
    assert cluster["starting"][:4].tolist() == [0, 0, 2, 3]
    steps(cluster, params, [9])
    assert (cluster["ready"], cluster["starting"][:4].tolist()) == (5, [0, 2, 2, 0])
    steps(cluster, params, [6])
    assert (cluster["ready"], cluster["starting"][:4].tolist()) == (5, [1, 0, 0, 0])
    steps(cluster, params, [3])
    assert (cluster["ready"], cluster["starting"].sum()) == (3, 0)


def test_a_crashed_pod_serves_again_after_its_restart_and_is_paid_for_meanwhile() -> None:
    params = quiet_params(crash_per_pod_hour=1.0, restart_s=30.0)
    cluster = a_cluster(4, params)
    transition(cluster, 4, 0.0, params, no_chance(uniform0=0.0))
    assert (cluster["ready"], cluster["replicas"]) == (3, 4)
    assert steps(cluster, params, [4, 4]) == [3, 4]


def test_a_pod_that_fails_its_probe_is_away_for_as_long_as_that_lasts() -> None:
    params = quiet_params(crash_per_pod_hour=1.0, restart_s=60.0, unready_per_pod_hour=1.0, unready_s=30.0)
    per_step = 4 * 15 / 3600
    for chance, absent_steps in ((0.5 * per_step, 4), (1.5 * per_step, 2), (2.5 * per_step, 0)):
        cluster = a_cluster(4, params)
        transition(cluster, 4, 10.0, params, no_chance(uniform0=chance))
        ready = [cluster["ready"]]
        for _ in range(5):
            transition(cluster, 4, 10.0, params, no_chance())
            ready.append(cluster["ready"])
        assert ready.count(3) == absent_steps
        assert ready[-1] == 4


def test_a_pod_crashes_as_often_as_it_should() -> None:
    params = quiet_params(crash_per_pod_hour=6.0)
    per_step = 4 * 6.0 * 15.0 / 3600.0  # 0.1
    for chance, crashed in ((per_step - 1e-9, 1), (per_step + 1e-9, 0)):
        cluster = a_cluster(4, params)
        transition(cluster, 4, 0.0, params, no_chance(uniform0=chance))
        assert cluster["ready"] == 4 - crashed


def metrics(cluster: Cluster, params: Params, demand_rps: list[float], **draws: float) -> list[float]:
    """What the demand query answers after each step."""
    seen = []
    for rate in demand_rps:
        transition(cluster, cluster["desired"], rate, params, no_chance(**draws))
        seen.append(cluster["metric_rps"])
    return seen


@pytest.mark.parametrize(
    ("lag_s", "window_s", "expected"),
    [
        pytest.param(0.0, 15.0, [800.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], id="one-step-at-once"),
        pytest.param(0.0, 60.0, [200.0, 200.0, 200.0, 200.0, 0.0, 0.0, 0.0], id="window"),
        pytest.param(30.0, 60.0, [0.0, 0.0, 200.0, 200.0, 200.0, 200.0, 0.0], id="window-after-lag"),
        pytest.param(15.0, 30.0, [0.0, 400.0, 400.0, 0.0, 0.0, 0.0, 0.0], id="short-window-after-lag"),
    ],
)
def test_the_metric_is_the_mean_of_a_window_that_ended_a_lag_ago(lag_s, window_s, expected) -> None:
    params = quiet_params(metric_lag_s=lag_s, rate_window_s=window_s)
    assert metrics(a_cluster(20, params), params, [800.0] + [0.0] * 6) == expected


def test_a_steady_beginning_is_read_at_once() -> None:
    params = quiet_params()
    cluster = a_cluster(20, params)
    begin_metrics(cluster, 100.0)
    assert cluster["metric_rps"] == 100.0
    assert metrics(cluster, params, [100.0] * 3) == [100.0] * 3


def test_noise_scales_the_metric_and_never_turns_it_negative() -> None:
    params = quiet_params(metric_noise=0.5, metric_lag_s=0.0, rate_window_s=15.0)
    assert metrics(a_cluster(20, params), params, [100.0], normal4=0.2) == [pytest.approx(110.0)]
    assert metrics(a_cluster(20, params), params, [100.0], normal4=-3.0) == [0.0]


def test_in_a_gap_the_metric_is_missing_for_as_long_as_drawn() -> None:
    params = quiet_params(gap_per_hour=1.0, gap_s=90.0)
    cluster = a_cluster(20, params)
    three_steps = 1 - math.exp(-0.5)  # half the mean of 90 s
    missing = []
    for draws in (no_chance(), no_chance(uniform1=0.0, uniform2=three_steps), *[no_chance()] * 5):
        transition(cluster, 20, 100.0, params, draws)
        missing.append(cluster["metric_missing"])
    assert missing == [0, 1, 1, 1, 0, 0, 0]


def test_gaps_come_as_often_and_last_as_long_as_stated() -> None:
    params = quiet_params(gap_per_hour=12.0, gap_s=90.0)
    cluster = a_cluster(1, params)
    missing = []
    for draws in draw(np.random.default_rng(0), 20_000):
        transition(cluster, 1, 0.0, params, draws)
        missing.append(cluster["metric_missing"])
    gaps = np.count_nonzero(np.diff(missing) == 1)
    assert np.sum(missing) / gaps * 15.0 == pytest.approx(90.0, rel=0.15)
    assert gaps / (20_000 - np.sum(missing)) == pytest.approx(12.0 * 15.0 / 3600.0, rel=0.15)


def test_the_bad_share_is_that_of_the_windows_requests_not_the_mean_of_its_steps() -> None:
    params = quiet_params(metric_lag_s=0.0, rate_window_s=30.0, objective_s=1.0)
    cluster = a_cluster(1, params)
    late = arrived = 0.0
    for rate in (10.0, 900.0):
        transition(cluster, 1, rate, params, no_chance())
        late, arrived = late + cluster["late"], arrived + cluster["arrived"]
    assert cluster["metric_bad_ratio"] == pytest.approx(late / arrived)
    assert cluster["metric_bad_ratio"] > 0.8


def test_without_requests_none_is_bad() -> None:
    params = quiet_params()
    cluster = a_cluster(1, params)
    steps(cluster, params, [1, 1])
    assert (cluster["metric_rps"], cluster["metric_bad_ratio"], cluster["late"]) == (0.0, 0.0, 0.0)


def test_a_step_in_demand_as_worked_by_hand() -> None:
    """Four pods serve 640/s, or 9600 a step; at most 6400 (10 s of work) wait. All is fluid: variability 0."""
    params = quiet_params(variability=0.0, timeout_s=10.0, objective_s=0.5)
    cluster = a_cluster(4, params)
    seen = []
    for demand_rps in (320.0, 960.0, 960.0, 320.0, 320.0):
        transition(cluster, 4, demand_rps, params, no_chance())
        seen.append([cluster[name] for name in ("arrived", "served", "backlog", "dropped")])
    assert seen == [
        pytest.approx([4800.0, 4800.0, 0.0, 0.0], abs=0.01),
        pytest.approx([14400.0, 9600.0, 4800.0, 0.0], abs=0.01),
        pytest.approx([14400.0, 9600.0, 6400.0, 3200.0], abs=0.01),
        pytest.approx([4800.0, 9600.0, 1600.0, 0.0], abs=0.01),
        pytest.approx([4800.0, 6400.0, 0.0, 0.0], abs=0.01),
    ]


def test_the_share_of_late_requests_follows_the_step() -> None:
    """The wait grows by half a second each second of 960/s: 0.5 s are over after about one of the 15 s."""
    params = quiet_params(objective_s=0.5)
    cluster = a_cluster(4, params)
    shares = []
    for demand_rps in (320.0, 960.0, 960.0, 320.0, 320.0, 320.0):
        transition(cluster, 4, demand_rps, params, no_chance())
        shares.append(cluster["late"] / cluster["arrived"])
    assert shares[0] < 1e-3
    assert shares[1] == pytest.approx(1 - 0.9 / 15, abs=0.02)
    assert shares[2] > 0.999
    assert shares[3] > 0.99
    assert shares[4] == pytest.approx((1600 - 0.45 * 640) / 320 / 15, abs=0.03)  # drained at 320/s to 0.45 s of work
    assert shares[5] < 1e-3


def total_late(replicas: list[int], demand_rps: list[float], params: Params) -> float:
    cluster = a_cluster(replicas[0], params)
    late = 0.0
    for target, rate in zip(replicas, demand_rps, strict=True):
        transition(cluster, target, rate, params, no_chance())
        late += cluster["late"]
    return late


@settings(max_examples=60, deadline=None)
@given(some_pods, st.integers(1, 20), seeds)
def test_more_pods_are_never_more_late(replicas, more, seed) -> None:
    demand_rps = demand_series(np.random.default_rng(seed), len(replicas), PATIENT)
    fewer = total_late(replicas, demand_rps, PATIENT)
    assert total_late([count + more for count in replicas], demand_rps, PATIENT) <= fewer * (1 + 1e-6) + 1e-3


@settings(max_examples=60, deadline=None)
@given(some_pods, st.floats(1.01, 3.0), seeds)
def test_more_demand_is_never_less_late(replicas, factor, seed) -> None:
    demand_rps = demand_series(np.random.default_rng(seed), len(replicas), PATIENT)
    more = total_late(replicas, [factor * rate for rate in demand_rps], PATIENT)
    assert more >= total_late(replicas, demand_rps, PATIENT) * (1 - 1e-6) - 1e-3


def test_the_parameters_are_those_of_the_record_in_its_order() -> None:
    assert tuple(DEFAULTS) == PARAMS.names
    row = params_rows([new_params(workers=3.0)])[0]
    assert {name: float(row[name]) for name in DEFAULTS} == new_params(workers=3.0)


def test_a_default_pod_serves_160_requests_a_second() -> None:
    assert capacity_rps(new_params()) == pytest.approx(POD_RPS)


def test_a_begun_cluster_is_steady_and_empty() -> None:
    cluster = a_cluster(20, quiet_params())
    assert set(cluster) == set(CLUSTER.names or ())
    assert (cluster["ready"], cluster["desired"], cluster["nodes"], cluster["backlog"]) == (20, 20, 2.0, 0.0)


def test_draws_are_normal_then_uniform() -> None:
    draws = draw(np.random.default_rng(0), 5000)
    assert draws.shape == (5000, DRAWS)
    assert np.abs(draws[:, :NORMALS].mean(axis=0)).max() < 0.06
    assert np.abs(draws[:, :NORMALS].std(axis=0) - 1).max() < 0.05
    assert draws[:, NORMALS:].min() >= 0.0
    assert draws[:, NORMALS:].max() < 1.0
    assert np.abs(draws[:, NORMALS:].mean(axis=0) - 0.5).max() < 0.02


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": 0.0}, r"^cluster workers: 0 is outside 1\.\.inf$"),
        ({"service_s": math.nan}, r"^cluster service_s: NaN is not a finite number$|^cluster service_s: nan"),
        ({"gap_s": -1.0}, r"^cluster gap_s: -1 is outside 0\.\.inf$"),
        (
            {"startup_s": 900.0},
            rf"^cluster startup_s \+ node_provision_s: 990 s is over {STARTING_STEPS} steps of 15 s$",
        ),
        (
            {"rate_window_s": 300.0},
            rf"^cluster metric_lag_s \+ rate_window_s: 315 s is over {METRIC_STEPS} steps of 15 s$",
        ),
    ],
)
def test_parameters_that_cannot_be_simulated_are_refused(changes, message) -> None:
    with pytest.raises(InputError, match=message):
        new_params(**changes)


def test_a_parameter_that_does_not_exist_is_named() -> None:
    with pytest.raises(KeyError, match="wokers"):
        new_params(wokers=3.0)

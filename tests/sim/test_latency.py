"""The queue against closed forms and arithmetic; tests/sim/test_latency_des.py has the discrete-event simulation."""

import math
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scaling.kernel import KERNELS
from sim.latency import (
    COUNTED,
    MEAN_RATE,
    drain,
    late_ratio,
    latency_quantile_s,
    queue_step,
    steady_wait_s,
    wait_probability,
)

SERVERS = [1, 2, 3, 4, 8, 16, 50, 200, 1000]
LOADS = [0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99]


def erlang_c(servers: int, utilization_ratio: float) -> float:
    """Exact wait probability of an M/M/c, by the recursion of Erlang's loss probability."""
    offered, loss = servers * utilization_ratio, 1.0
    for server in range(1, servers + 1):
        loss = offered * loss / (server + offered * loss)
    return loss / (1.0 - utilization_ratio * (1.0 - loss))


def exact_late_ratio(arrivals_rps: float, servers: int, service_s: float, objective_s: float) -> float:
    """P(wait + service > objective) of a settled M/M/c."""
    service_rate, wait_rate = 1.0 / service_s, servers / service_s - arrivals_rps
    wait = erlang_c(servers, arrivals_rps * service_s / servers)
    service_tail, wait_tail = math.exp(-service_rate * objective_s), math.exp(-wait_rate * objective_s)
    return service_tail + wait * service_rate / (service_rate - wait_rate) * (wait_tail - service_tail)


def late(
    arrivals_rps: float,
    backlog: float = 0.0,
    ready: int = 10,
    workers: float = 8.0,
    service_s: float = 0.1,
    objective_s: float = 0.5,
    timeout_s: float = 10.0,
    variability: float = MEAN_RATE,
    dt_s: float = 15.0,
) -> float:
    return late_ratio(arrivals_rps, backlog, ready, workers, service_s, objective_s, timeout_s, variability, dt_s)


def fluid(
    arrivals_rps: float, backlog: float, ready: int = 10, timeout_s: float = 10.0, dt_s: float = 15.0
) -> tuple[float, float, float]:
    """A step without chance; a pod serves 10 requests/s."""
    return drain(arrivals_rps, backlog, ready, 1.0, 0.1, timeout_s, 0.0, dt_s)


def settled_backlog(arrivals_rps: float, ready: int, workers: float = 1.0, service_s: float = 0.1) -> float:
    backlog = 0.0
    for _ in range(200):
        _, backlog, _ = drain(arrivals_rps, backlog, ready, workers, service_s, 1e6, MEAN_RATE, 15.0)
    return backlog


class TestClosedForms:
    @pytest.mark.parametrize("servers", SERVERS)
    @pytest.mark.parametrize("load", LOADS)
    def test_wait_probability_is_erlang_c_within_two_and_a_half_percent(self, servers, load):
        exact = erlang_c(servers, load)
        assert wait_probability(servers, load) == pytest.approx(exact, rel=0.025 if servers < 3 else 0.015, abs=1e-9)

    @pytest.mark.parametrize("servers", SERVERS)
    @pytest.mark.parametrize("load", LOADS)
    def test_mean_wait_is_that_of_mmc_within_two_and_a_half_percent(self, servers, load):
        arrivals_rps = load * servers / 0.1
        exact_s = erlang_c(servers, load) / (servers / 0.1 - arrivals_rps)
        assert steady_wait_s(arrivals_rps, servers, 1.0, 0.1, 1.0) == pytest.approx(exact_s, rel=0.025, abs=1e-9)

    def test_mean_wait_scales_with_variability_and_is_infinite_at_full_load(self):
        assert steady_wait_s(70.0, 8, 1.0, 0.1, 2.0) == pytest.approx(2.0 * steady_wait_s(70.0, 8, 1.0, 0.1, 1.0))
        assert steady_wait_s(80.0, 8, 1.0, 0.1, 1.0) == math.inf

    @pytest.mark.parametrize("load", [0.2, 0.5, 0.7, 0.9])
    @pytest.mark.parametrize("objective_s", [0.1, 0.5, 1.0, 3.0])
    def test_one_settled_server_has_the_exponential_tail_of_mm1(self, load, objective_s):
        arrivals_rps = load / 0.1
        exact = math.exp(-(10.0 - arrivals_rps) * objective_s)
        model = late(arrivals_rps, settled_backlog(arrivals_rps, 1), 1, 1.0, objective_s=objective_s)
        assert model == pytest.approx(exact, rel=0.06 if load >= 0.9 else 0.025)

    @pytest.mark.parametrize("servers", [2, 8, 40, 200, 1000])
    @pytest.mark.parametrize("load", [0.3, 0.7, 0.85, 0.9, 0.95])
    @pytest.mark.parametrize("objective_s", [0.25, 0.5, 1.0])
    def test_settled_servers_have_the_exact_tail_of_mmc(self, servers, load, objective_s):
        arrivals_rps = load * servers / 0.1
        exact = exact_late_ratio(arrivals_rps, servers, 0.1, objective_s)
        model = late(arrivals_rps, settled_backlog(arrivals_rps, servers), servers, 1.0, objective_s=objective_s)
        assert model == pytest.approx(exact, rel=0.05 if servers < 8 and load >= 0.9 else 0.02)

    @pytest.mark.parametrize("load", [0.4, 0.7, 0.85, 0.9])
    def test_settled_backlog_obeys_littles_law(self, load):
        arrivals_rps = load * 80.0
        wait_s = steady_wait_s(arrivals_rps, 8, 1.0, 0.1, MEAN_RATE)
        assert settled_backlog(arrivals_rps, 8) == pytest.approx(arrivals_rps * wait_s, rel=0.02)

    @pytest.mark.parametrize(("servers", "least"), [(8, 0.8), (40, 0.9), (200, 0.95)])
    def test_near_full_load_few_servers_wait_less_than_mmc_by_no_more_than_stated(self, servers, least):
        arrivals_rps = 0.98 * servers / 0.1
        steady = arrivals_rps * steady_wait_s(arrivals_rps, servers, 1.0, 0.1, MEAN_RATE)
        assert least * steady < settled_backlog(arrivals_rps, servers) < steady

    @pytest.mark.parametrize("load", [0.1, 0.5, 0.9])
    def test_settled_servers_are_utilised_at_the_offered_load(self, load):
        arrivals_rps = load * 80.0
        served, _, _ = drain(arrivals_rps, settled_backlog(arrivals_rps, 8), 8, 1.0, 0.1, 10.0, MEAN_RATE, 15.0)
        assert served / (80.0 * 15.0) == pytest.approx(load, rel=1e-3)

    def test_quantiles_of_one_server_are_those_of_mm1(self):
        backlog = settled_backlog(5.0, 1)
        for quantile in (0.5, 0.95, 0.99):
            exact_s = -math.log(1.0 - quantile) / 5.0
            latency_s = latency_quantile_s(quantile, 5.0, backlog, 1, 1.0, 0.1, 30.0, MEAN_RATE, 15.0)
            assert latency_s == pytest.approx(exact_s, rel=0.02)


class TestFluid:
    @pytest.mark.parametrize(
        ("arrivals_rps", "backlog", "served", "left", "dropped"),
        [
            pytest.param(80.0, 0.0, 1200.0, 0.0, 0.0, id="all-served"),
            pytest.param(120.0, 0.0, 1500.0, 300.0, 0.0, id="overload-grows"),
            pytest.param(80.0, 500.0, 1500.0, 200.0, 0.0, id="backlog-drains"),
            pytest.param(80.0, 300.0, 1500.0, 0.0, 0.0, id="backlog-just-gone"),
            pytest.param(80.0, 100.0, 1300.0, 0.0, 0.0, id="capacity-left-over"),
            pytest.param(100.0, 250.0, 1500.0, 250.0, 0.0, id="full-load-stands-still"),
            pytest.param(150.0, 900.0, 1500.0, 1000.0, 650.0, id="time-out-drops-the-rest"),
            pytest.param(0.0, 700.0, 700.0, 0.0, 0.0, id="no-arrivals"),
        ],
    )
    def test_backlog_moves_by_arrivals_minus_capacity(self, arrivals_rps, backlog, served, left, dropped):
        assert fluid(arrivals_rps, backlog) == pytest.approx((served, left, dropped), abs=1e-6)

    def test_late_share_is_the_share_of_the_step_that_a_growing_wait_exceeds_the_objective(self):
        # 20 % over capacity: the wait grows by 0.2 s a second and passes 1 s after 5 of 15 s; service takes no time.
        model = late(1.2e6, 0.0, 1000, 1.0, service_s=1e-3, objective_s=1.0, timeout_s=30.0, variability=0.0)
        assert model == pytest.approx(2.0 / 3.0, abs=2e-3)

    def test_late_share_is_the_share_of_the_step_that_a_falling_wait_exceeds_the_objective(self):
        # 3 s of work drain by 0.2 s a second: over 1 s for 10 of 15 s.
        model = late(0.8e6, 3e6, 1000, 1.0, service_s=1e-3, objective_s=1.0, timeout_s=30.0, variability=0.0)
        assert model == pytest.approx(2.0 / 3.0, abs=2e-3)

    def test_a_big_cluster_in_overload_follows_the_fluid(self):
        served, backlog, dropped = drain(24_000.0, 1_000.0, 250, 8.0, 0.1, 10.0, MEAN_RATE, 15.0)
        assert served == pytest.approx(300_000.0, rel=1e-3)
        assert dropped == 0.0
        assert backlog == pytest.approx(1_000.0 + 4_000.0 * 15.0, rel=1e-2)


class TestDegenerate:
    def test_without_a_ready_pod_everything_is_dropped_and_late(self):
        assert queue_step(20.0, 7.0, 0, 8.0, 0.1, 0.5, 10.0, COUNTED, 15.0) == (0.0, 0.0, 307.0, 1.0)
        assert queue_step(0.0, 0.0, 0, 8.0, 0.1, 0.5, 10.0, COUNTED, 15.0) == (0.0, 0.0, 0.0, 0.0)

    def test_nobody_arriving_is_nobody_late(self):
        assert late(0.0) == 0.0
        assert late(0.0, backlog=5_000.0) == 0.0

    def test_tiny_demand_waits_for_its_service_alone(self):
        assert late(1e-9) == pytest.approx(math.exp(-5.0), rel=1e-6)

    def test_an_objective_of_nothing_is_missed_by_all(self):
        for arrivals_rps in (1.0, 700.0, 800.0, 900.0):
            assert late(arrivals_rps, objective_s=0.0) == pytest.approx(1.0)

    def test_no_kink_where_wait_and_service_decay_alike(self):
        # 80 servers and a service rate of 10/s: the wait's tail decays by 800 - arrivals, 10/s at 790 requests/s.
        # The hand-over from a growing to a settled queue lies in this range too.
        for backlog in (0.0, 20.0, 200.0):
            values = [late(790.0 + step * 0.01, backlog) for step in range(-40, 41)]
            assert np.abs(np.diff(values)).max() < 2e-3

    @pytest.mark.parametrize("backlog", [0.0, 30.0, 300.0, 3_000.0])
    def test_no_jump_at_full_load(self, backlog):
        below, at, above = (late(800.0 * load, backlog) for load in (1.0 - 1e-9, 1.0, 1.0 + 1e-9))
        assert below == pytest.approx(at, abs=1e-6)
        assert above == pytest.approx(at, abs=1e-6)

    def test_a_time_out_shorter_than_the_overload_counts_its_drops_as_late(self):
        served, backlog, dropped, share = queue_step(1_600.0, 0.0, 10, 8.0, 0.1, 0.9, 1.0, MEAN_RATE, 15.0)
        assert backlog == pytest.approx(800.0)
        assert share >= dropped / (1_600.0 * 15.0) > 0.4
        assert served == pytest.approx(800.0 * 15.0, rel=1e-3)

    def test_quantiles_stop_at_the_time_out_when_too_many_are_dropped(self):
        assert latency_quantile_s(0.95, 2_000.0, 0.0, 10, 8.0, 0.1, 5.0, COUNTED, 15.0) == pytest.approx(6.0)
        assert latency_quantile_s(0.5, 10.0, 0.0, 0, 8.0, 0.1, 5.0, COUNTED, 15.0) == pytest.approx(6.0)


READY = st.integers(1, 2_000)
WORKERS = st.integers(1, 16).map(float)
SERVICE_S = st.floats(0.01, 1.0)
OBJECTIVES = st.floats(1.0, 15.0)  # in service times
TIMEOUTS = st.floats(1.2, 30.0)  # in objectives
LOAD = st.floats(0.0, 3.0)
VARIABILITY = st.floats(0.3, 3.0)


class TestProperties:
    @given(
        LOAD, st.floats(0.0, 1e6), st.integers(0, 2_000), WORKERS, SERVICE_S, st.floats(0.1, 60.0), st.floats(0.0, 3.0)
    )
    @settings(deadline=None)
    def test_arrivals_are_served_waiting_or_dropped(self, load, backlog, ready, workers, service_s, timeout_s, varied):
        capacity_rps = ready * workers / service_s
        arrivals_rps = load * capacity_rps if ready else load
        served, left, dropped = drain(arrivals_rps, backlog, ready, workers, service_s, timeout_s, varied, 15.0)
        offered = backlog + arrivals_rps * 15.0
        assert served + left + dropped == pytest.approx(offered, rel=1e-12, abs=1e-9)
        assert min(served, left, dropped) >= 0.0
        assert served <= capacity_rps * 15.0 * (1.0 + 1e-9) + 1e-9 * offered
        assert left <= capacity_rps * timeout_s * (1.0 + 1e-9)

    @given(LOAD, st.floats(0.0, 1e5), READY, WORKERS, SERVICE_S, OBJECTIVES, TIMEOUTS, VARIABILITY)
    @settings(deadline=None)
    def test_late_share_lies_between_the_service_tail_and_one(
        self, load, backlog, ready, workers, service_s, objectives, timeouts, varied
    ):
        arrivals_rps = load * ready * workers / service_s
        objective_s = objectives * service_s
        share = late(arrivals_rps, backlog, ready, workers, service_s, objective_s, timeouts * objective_s, varied)
        if arrivals_rps > 0.0:
            assert math.exp(-objectives) * (1.0 - 1e-6) <= share <= 1.0

    @given(LOAD, st.floats(0.0, 0.1), READY, WORKERS, SERVICE_S, OBJECTIVES, VARIABILITY, st.floats(1.0005, 1.3))
    @example(0.99, 0.0, 300, 8.0, 0.1, 5.0, 1.0, 1.01)
    @settings(deadline=None)
    def test_more_pods_or_less_demand_never_make_more_late(
        self, load, waiting, ready, workers, service_s, objectives, varied, change
    ):
        """Up to a backlog of a tenth of the objective, within 2 points; docs/simulator.md has the rest."""
        capacity_rps, objective_s = ready * workers / service_s, objectives * service_s
        backlog = waiting * objective_s * capacity_rps

        def share(arrivals_rps: float, pods: int) -> float:
            return late(arrivals_rps, backlog, pods, workers, service_s, objective_s, 30.0 * objective_s, varied)

        arrivals_rps = max(load, 1e-6) * capacity_rps
        assert share(arrivals_rps, math.ceil(ready * change)) <= share(arrivals_rps, ready) + 0.02
        assert share(arrivals_rps, ready) <= share(arrivals_rps * change, ready) + 0.02

    @given(LOAD, st.floats(0.0, 20.0), READY, WORKERS, SERVICE_S, VARIABILITY, st.floats(1.0, 1.3))
    @settings(deadline=None)
    def test_more_demand_or_backlog_never_leaves_less_waiting(
        self, load, waiting_s, ready, workers, service_s, varied, more
    ):
        capacity_rps = ready * workers / service_s

        def left(arrivals_rps: float, backlog: float) -> float:
            return drain(arrivals_rps, backlog, ready, workers, service_s, 60.0, varied, 15.0)[1]

        arrivals_rps, backlog = max(load, 1e-6) * capacity_rps, waiting_s * capacity_rps
        before = left(arrivals_rps, backlog) * (1.0 - 1e-9)
        assert left(arrivals_rps * more, backlog) >= before
        assert left(arrivals_rps, backlog * more) >= before

    @given(st.floats(0.05, 1.5), st.floats(0.0, 2.0), READY, st.sampled_from([0.5, 0.95, 0.99]))
    @settings(deadline=None, max_examples=30)
    def test_quantile_and_late_share_are_inverse(self, load, waiting_s, ready, quantile):
        capacity_rps = ready * 80.0
        latency_s = latency_quantile_s(
            quantile, load * capacity_rps, waiting_s * capacity_rps, ready, 8.0, 0.1, 30.0, COUNTED, 15.0
        )

        def share_over(objective_s: float) -> float:
            return late(load * capacity_rps, waiting_s * capacity_rps, ready, 8.0, 0.1, objective_s, 30.0, COUNTED)

        assert share_over(latency_s) <= 1.0 - quantile
        assert share_over(0.99 * latency_s - 0.0001) > 1.0 - quantile


@pytest.mark.skipif(find_spec("numba") is None, reason="numba comes with the extra `training`")
@pytest.mark.slow
def test_compiled_kernels_give_the_numbers_of_plain_python():
    import numba
    from numba.extending import register_jitable

    for kernel in KERNELS:
        if kernel.__module__ in ("sim.latency", "sim.brownian"):
            register_jitable(kernel)
    compiled = numba.njit(error_model="numpy")(lambda *arguments: queue_step(*arguments))

    rng = np.random.default_rng(1)
    for _ in range(2_000):
        ready, workers = int(rng.integers(0, 300)), float(rng.integers(1, 17))
        backlog = float(rng.choice([0.0, 1.0, 1e4]) * rng.random())
        arrivals_rps = float(rng.choice([0.0, 0.6, 1.0, 1.3]) * rng.uniform(0.9, 1.1)) * ready * workers / 0.1
        arguments = (arrivals_rps, backlog, ready, workers, 0.1, rng.uniform(0.2, 1.0), 5.0, COUNTED, 15.0)
        assert compiled(*arguments) == pytest.approx(queue_step(*arguments), rel=1e-9, abs=1e-9)

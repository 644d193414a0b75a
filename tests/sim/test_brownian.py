"""The closed form of a growing queue's late share against numerical integration."""

import math

import pytest
from scipy.integrate import quad
from scipy.special import erfcx
from scipy.stats import norm

from sim.brownian import growing_late_ratio, scaled_tail

INSTANT_S = 1e-6


def integrated_late_ratio(age_s: float, slack: float, noise_s: float, service_rate: float, objective_s: float) -> float:
    """P(W + S > objective): the tail of reflected Brownian motion, folded with the service time."""
    spread_s = math.sqrt(2.0 * noise_s * age_s)

    def wait_tail(wait_s: float) -> float:
        mirrored = math.exp(-slack * wait_s / noise_s) * norm.sf((wait_s - slack * age_s) / spread_s)
        return float(norm.sf((wait_s + slack * age_s) / spread_s) + mirrored)

    def late(service_s: float) -> float:
        return service_rate * math.exp(-service_rate * service_s) * wait_tail(objective_s - service_s)

    folded, _ = quad(late, 0.0, objective_s, epsabs=1e-11, epsrel=1e-10, limit=400)
    return float(math.exp(-service_rate * objective_s) + folded)


@pytest.mark.parametrize("age_s", [0.5, 4.0, 60.0])
@pytest.mark.parametrize("slack", [-0.1, -0.01, 0.0, 0.01, 0.1])
@pytest.mark.parametrize("noise_s", [0.0125, 0.0005])
@pytest.mark.parametrize("objective_s", [0.25, 1.0])
def test_late_share_at_an_age_is_the_integral_over_wait_and_service(age_s, slack, noise_s, objective_s):
    model = growing_late_ratio(age_s, 0.0, slack, noise_s, 10.0, objective_s, INSTANT_S, 0.0)
    assert model == pytest.approx(integrated_late_ratio(age_s, slack, noise_s, 10.0, objective_s), abs=2e-6)


def test_work_on_top_is_an_objective_that_much_nearer():
    with_excess = growing_late_ratio(4.0, 0.2, 0.01, 0.0125, 10.0, 0.5, INSTANT_S, 0.0)
    assert with_excess == pytest.approx(growing_late_ratio(4.0, 0.0, 0.01, 0.0125, 10.0, 0.3, INSTANT_S, 0.0))
    assert growing_late_ratio(4.0, 0.5, 0.0, 0.0125, 10.0, 0.5, INSTANT_S, 0.0) == 1.0


def test_a_step_of_overload_is_the_mean_over_its_instants():
    age_s, slack, noise_s, objective_s = 0.0, -0.05, 0.0005, 0.5
    instants = [15.0 * (k + 0.5) / 60 for k in range(60)]
    mean = sum(integrated_late_ratio(t, slack, noise_s, 10.0, objective_s) for t in instants) / len(instants)
    model = growing_late_ratio(age_s, 0.0, slack, noise_s, 10.0, objective_s, 15.0, 0.0)
    assert model == pytest.approx(mean, abs=0.015)


def test_free_servers_shorten_the_wait():
    shares = [growing_late_ratio(1.0, 0.0, 0.02, 0.0125, 10.0, 0.5, 15.0, room) for room in (0.0, 3.0, 30.0)]
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("x", [0.0, 0.1, 1.0, 3.0, 10.0, 1e3])
def test_scaled_tail_is_the_scaled_complementary_error_function(x):
    assert scaled_tail(x) == pytest.approx(0.5 * erfcx(x / math.sqrt(2.0)), rel=5e-8)

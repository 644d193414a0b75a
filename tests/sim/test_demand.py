"""Generated demand: the same seed gives the same series, and the series have the statistics they are said to have."""

import math
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from scaling.errors import InputError
from sim.demand import (
    KINDS,
    SCENARIOS,
    Events,
    Idle,
    Jumps,
    Noise,
    Scenario,
    Season,
    generate,
    generate_fleet,
    sample_kind,
    sample_scenario,
    season_profile,
    wander,
)

DAY_S = 86_400.0
FINGERPRINT = """
import hashlib, numpy as np
from sim.demand import generate_fleet
print(hashlib.sha256(generate_fleet(np.random.default_rng(7), 24, 400).tobytes()).hexdigest())
"""


def a_scenario(**changes: object) -> Scenario:
    return replace(Scenario(kind="test", mean_rps=100.0, dispersion=0.0), **changes)  # type: ignore[arg-type]


def a_series(scenario: Scenario, days: float = 1.0, step_s: float = 15.0, seed: int = 0) -> NDArray[np.float64]:
    return generate(scenario, round(days * DAY_S / step_s), step_s, np.random.default_rng(seed))


def lagged_correlation(values: NDArray[np.float64], lag: int) -> float:
    return float(np.corrcoef(values[:-lag], values[lag:])[0, 1])


def test_the_same_seed_gives_the_same_bytes_whatever_the_hash_seed() -> None:
    def fingerprint(hash_seed: str) -> bytes:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, "-c", FINGERPRINT], env=environment, capture_output=True, check=True
        ).stdout

    assert fingerprint("1") == fingerprint("2") != b""


def test_another_seed_gives_another_series() -> None:
    assert not np.array_equal(a_series(SCENARIOS["day"], seed=1), a_series(SCENARIOS["day"], seed=2))


@pytest.mark.parametrize("step_s", [1.0, 15.0, 37.5, 60.0])
@pytest.mark.parametrize("name", SCENARIOS)
def test_named_scenarios_are_finite_and_not_negative_at_any_step(name: str, step_s: float) -> None:
    demand_rps = generate(SCENARIOS[name], 3_000, step_s, np.random.default_rng(3))
    assert demand_rps.shape == (3_000,)
    assert demand_rps.dtype == np.float64
    assert np.isfinite(demand_rps).all()
    assert (demand_rps >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_the_mixture_can_be_drawn_and_generated(kind: str) -> None:
    rng = np.random.default_rng(4)
    for _ in range(10):
        scenario = sample_kind(kind, rng)
        demand_rps = generate(scenario, 960, 15.0, rng)
        assert scenario.kind == kind
        assert 3.0 <= scenario.mean_rps / scenario.pod_rps <= 300.0001
        assert np.isfinite(demand_rps).all()
        assert (demand_rps >= 0).all()


def test_the_mixture_draws_all_kinds_by_their_weights() -> None:
    rng = np.random.default_rng(5)
    drawn = [sample_scenario(rng).kind for _ in range(2_000)]
    for kind, (weight, _) in KINDS.items():
        assert drawn.count(kind) / 2_000 == pytest.approx(weight, abs=0.03)


@pytest.mark.parametrize("dispersion", [1.0, 5.0])
@pytest.mark.parametrize("mean_rps", [2.0, 200.0])
@pytest.mark.parametrize("step_s", [5.0, 60.0])
def test_counts_noise_falls_with_the_root_of_the_requests_in_a_step(
    dispersion: float, mean_rps: float, step_s: float
) -> None:
    demand_rps = generate(
        a_scenario(mean_rps=mean_rps, dispersion=dispersion), 20_000, step_s, np.random.default_rng(6)
    )
    expected = math.sqrt(dispersion / (mean_rps * step_s))
    assert demand_rps.std() / mean_rps == pytest.approx(expected, rel=0.03)
    assert demand_rps.mean() == pytest.approx(mean_rps, rel=5 * expected / math.sqrt(20_000))
    assert np.allclose(demand_rps * step_s, np.round(demand_rps * step_s))


def test_counts_added_up_over_a_minute_have_the_noise_of_a_minute() -> None:
    scenario = a_scenario(mean_rps=4.0, dispersion=3.0)
    minutes = generate(scenario, 48_000, 5.0, np.random.default_rng(7)).reshape(-1, 12).mean(axis=1)
    assert minutes.std() == pytest.approx(math.sqrt(3.0 * 4.0 / 60.0), rel=0.05)


def test_a_fluid_has_no_counts_noise() -> None:
    assert np.allclose(a_series(a_scenario()), 100.0)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_long_run_mean_is_the_stated_one(name: str) -> None:
    scenario = replace(SCENARIOS[name], growth_per_day=0.0)
    demand_rps = a_series(scenario, days=280, step_s=60.0, seed=8)
    assert demand_rps.mean() == pytest.approx(scenario.mean_rps, rel=0.1)


def test_days_repeat_and_half_days_are_opposite() -> None:
    demand_rps = a_series(a_scenario(season=Season(amplitude=0.8), noise=(Noise(0.1, 60),), dispersion=1.0), days=7)
    assert lagged_correlation(demand_rps, 5_760) > 0.9
    assert lagged_correlation(demand_rps, 2_880) < -0.7


def test_the_day_has_its_peak_lunch_and_weekend_where_they_are_stated() -> None:
    season = Season(amplitude=0.8, sharpness=2.0, peak_s=13 * 3_600, lunch_ratio=0.4, weekend_ratio=0.5)
    night, morning, lunch, afternoon, saturday = season_profile(
        season, np.array([1.0, 10.0, 13.0, 16.0, 5 * 24 + 10.0]) * 3_600
    )
    assert night < lunch < morning == pytest.approx(afternoon)
    assert saturday == pytest.approx(0.5 * morning)
    assert season_profile(season, np.arange(0, 7 * DAY_S, 60.0)).mean() == pytest.approx(1.0, abs=1e-3)


def test_growth_multiplies_the_mean_day_by_day() -> None:
    demand_rps = a_series(a_scenario(growth_per_day=0.1), days=3)
    assert demand_rps[-1] / demand_rps[0] == pytest.approx(math.exp(0.3), rel=1e-3)


@pytest.mark.parametrize("tau_steps", [0.2, 3.0, 400.0])
def test_wandering_noise_has_variance_one_and_forgets_at_its_time_constant(tau_steps: float) -> None:
    path = wander(400_000, tau_steps, np.random.default_rng(9))
    lag = max(1, round(tau_steps))
    four_sigma = 4 * math.sqrt(2 * (1 + tau_steps) / 400_000)
    assert path.std() == pytest.approx(1.0, abs=four_sigma)
    assert lagged_correlation(path, lag) == pytest.approx(math.exp(-lag / tau_steps), abs=four_sigma)


def test_wandering_noise_equals_the_step_by_step_recursion() -> None:
    path = wander(5_000, 2.5, np.random.default_rng(10))
    shocks = np.random.default_rng(10).standard_normal(5_000)
    memory, expected = math.exp(-1 / 2.5), shocks[0]
    for step in range(1, 5_000):
        expected = memory * expected + math.sqrt(1 - memory**2) * shocks[step]
        assert path[step] == pytest.approx(expected, abs=1e-10)


def test_noise_at_a_minute_is_noise_at_five_seconds_averaged() -> None:
    scenario = a_scenario(noise=(Noise(0.3, 20.0),))
    averaged = a_series(scenario, days=10, step_s=5.0).reshape(-1, 12).mean(axis=1)
    assert a_series(scenario, days=10, step_s=60.0).std() == pytest.approx(averaged.std(), rel=0.06)


def test_jumps_hold_and_then_change_within_one_step() -> None:
    demand_rps = a_series(a_scenario(jumps=(Jumps(0.5, 600.0),)), days=20)
    changed = np.diff(demand_rps) != 0
    assert changed.mean() == pytest.approx(15.0 / 600.0, rel=0.1)
    assert np.log(demand_rps).std() == pytest.approx(0.5, rel=0.1)


def test_a_flash_crowd_rises_within_its_onset_holds_and_decays() -> None:
    flash = Events(height=4.0, rise_s=30.0, hold_s=300.0, hold_sigma=0.0, decay_s=600.0, every_s=DAY_S, at_s=43_200.0)
    demand = a_series(a_scenario(events=(flash,)), step_s=5.0)
    base, peak = demand[0], demand.max()
    above = np.flatnonzero(demand > 1.001 * base)
    top = np.flatnonzero(demand > 0.999 * peak)

    assert peak == pytest.approx(5.0 * base)
    assert (top[0] - above[0]) * 5.0 <= 30.0
    assert (top[-1] - top[0]) * 5.0 == pytest.approx(300.0, abs=15.0)
    assert demand[top[-1] + 120] - base == pytest.approx(4.0 * base * math.exp(-1.0), rel=0.02)
    assert above[0] * 5.0 == pytest.approx(43_200.0, abs=80.0)


def test_scheduled_events_come_once_a_period_within_a_minute() -> None:
    cron = Events(height=10.0, rise_s=15.0, hold_s=120.0, hold_sigma=0.0, every_s=900.0)
    demand = a_series(a_scenario(events=(cron,)), days=2)
    begins = np.flatnonzero(np.diff((demand > 3 * demand.min()).astype(int)) == 1)
    assert len(begins) == pytest.approx(2 * 96, abs=1)
    assert np.abs(np.diff(begins) * 15.0 - 900.0).max() <= 120.0


def test_on_off_load_is_mostly_off_and_has_giants() -> None:
    demand = a_series(SCENARIOS["on-off"], days=30)
    assert np.median(demand) < 0.5 * demand.mean()
    assert demand.max() > 15 * demand.mean()


def test_idle_stretches_are_exactly_zero_for_the_stated_share() -> None:
    demand = a_series(a_scenario(idle=(Idle(per_day=6, mean_s=3_600.0),), dispersion=1.0), days=200, step_s=60.0)
    assert (demand == 0).mean() == pytest.approx(1 - math.exp(-0.25), abs=0.02)


def test_a_fleet_has_its_rows_at_log_uniform_scales() -> None:
    fleet = generate_fleet(np.random.default_rng(11), 300, 960, 15.0, mean_pods_low=3.0, mean_pods_high=300.0)
    means = fleet.mean(axis=1, dtype=np.float64)
    assert fleet.shape == (300, 960)
    assert fleet.dtype == np.float32
    assert np.isfinite(fleet).all()
    assert (fleet >= 0).all()
    assert means.min() > 2.5
    assert means.max() < 330
    assert np.quantile(np.log(means), [0.25, 0.5, 0.75]) == pytest.approx(np.log([9.5, 30, 95]), abs=0.35)


def test_a_fleet_contains_what_fine_traces_contain() -> None:
    fleet = generate_fleet(np.random.default_rng(12), 200, 5_760)
    relative = fleet / fleet.mean(axis=1, keepdims=True)
    minutes = relative.reshape(200, -1, 4).mean(axis=2)
    jumps = np.quantile(np.abs(np.diff(np.log(minutes + 0.02), axis=1)), 0.999, axis=1)

    assert 0.4 < (jumps > 1.0).mean() < 0.9  # threefold within a minute, at least once a day
    assert (jumps < 0.3).mean() > 0.08  # calm series
    assert 0.03 < (relative.max(axis=1) > 30).mean() < 0.25  # giants


def test_a_fleet_of_very_short_windows_stays_finite() -> None:
    assert np.isfinite(generate_fleet(np.random.default_rng(13), 400, 2)).all()


@pytest.mark.parametrize(
    ("n_steps", "step_s", "named"),
    [
        (0, 15.0, "n_steps is 0"),
        (10, 0.5, "step_s is 0.5"),
        (10, 61.0, "step_s is 61"),
        (10, math.nan, "step_s is nan"),
    ],
)
def test_grids_outside_the_limits_are_refused(n_steps: int, step_s: float, named: str) -> None:
    with pytest.raises(InputError, match=named):
        generate(SCENARIOS["day"], n_steps, step_s, np.random.default_rng(0))


@pytest.mark.parametrize(
    "changes", [{"mean_rps": 0.0}, {"mean_rps": math.nan}, {"pod_rps": -1.0}, {"dispersion": 0.5}, {"dispersion": 1e9}]
)
def test_scenarios_that_make_no_sense_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        a_scenario(**changes)


def test_a_fleet_with_crossed_scales_is_refused() -> None:
    with pytest.raises(InputError, match=r"mean pods 5.0\.\.4.0"):
        generate_fleet(np.random.default_rng(0), 1, 10, 15.0, 5.0, 4.0)

"""The rivals: the HPA's rows are the exact HPA, forecasts are what the books say, and the plain rules are plain."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scaling.band import aim, newsvendor_band
from scaling.hpa import HpaSettings, HpaSpec, HpaState, Metric, MetricKind, Workload, reconcile
from scaling.newsvendor import PROBABILITIES
from scaling.workload import (
    DAY_MINUTES,
    MINUTE_STEPS,
    STEP_S,
    level_a_day_ago,
    lookahead_minutes,
    new_workload,
    observe,
    record_to_dict,
)
from sim import rivals
from sim.cluster import NORMALS, draw, new_params
from sim.rivals import RIVAL, SEASON_SLOTS, SLOT_STEPS, Rule, propose
from tests.sim.builders import NO_GUARDS, a_fleet, a_terms, quiet_params

DAY_STEPS = DAY_MINUTES * MINUTE_STEPS
TERMS = a_terms(quiet_params(startup_s=150.0))  # a horizon of 13 steps, 195 s


def jumpy_demand(seed: int, n_steps: int) -> NDArray[np.float64]:
    """Requests/s of ten pods or so: noise, jumps within a minute, and a while of nothing."""
    rng = np.random.default_rng(seed)
    levels = np.repeat(np.exp(rng.normal(7.3, 0.8, n_steps // 25 + 1)), 25)[:n_steps]
    levels[n_steps // 2 : n_steps // 2 + 40] = 0.0
    return np.asarray(levels * np.exp(0.1 * rng.standard_normal(n_steps)), np.float64)


def draws_without_gaps(seed: int, count: int) -> NDArray[np.float64]:
    draws = draw(np.random.default_rng(seed), count)
    draws[:, NORMALS + 1] = 1.0
    return draws


@pytest.mark.parametrize("target", [0.5, 0.7, 0.85])
@pytest.mark.parametrize("limits", [(1, 10_000), (4, 18)], ids=["wide", "narrow"])
def test_an_hpa_row_is_the_exact_hpa_on_the_same_metric(target: float, limits: tuple[int, int]) -> None:
    low, high = limits
    params = new_params(metric_noise=0.02)
    changes: dict[str, Any] = NO_GUARDS | {"reference_target": target, "min_replicas": low, "max_replicas": high}
    fleet = a_fleet([Rule.HPA], params, **changes)
    fleet.begin([0], [6])
    state, settings = HpaState(), HpaSettings()
    fleet.observe_first(0, 900.0)
    chosen, by_hand = [], []
    for step, demand_rps in enumerate(jumpy_demand(7, 600)):
        cluster = fleet.clusters[0]
        metric = Metric(
            MetricKind.EXTERNAL_AVERAGE_VALUE, round(target * 160_000), (round(float(cluster["metric_rps"]) * 1000),)
        )
        found = Workload(int(cluster["desired"]), int(cluster["replicas"]), "app=web")
        sync = reconcile(HpaSpec(high, (metric,), low), found, state, settings, step * STEP_S)
        state = sync.state
        fleet.step(np.array([demand_rps]), np.zeros((1, 2), np.float32), draws_without_gaps(step, 1))
        chosen.append(int(fleet.clusters[0]["desired"]))
        by_hand.append(sync.desired_replicas)
    assert chosen == by_hand
    assert len(set(chosen)) > 8


@pytest.mark.parametrize(
    ("level", "current", "wanted"),
    [
        pytest.param(8.0, 10, 10, id="80-percent-holds"),
        pytest.param(8.01, 10, 11, id="above-80-adds-one"),
        pytest.param(50.0, 10, 11, id="far-above-adds-one-too"),
        pytest.param(3.0, 10, 10, id="30-percent-holds"),
        pytest.param(2.99, 10, 9, id="below-30-removes-one"),
        pytest.param(0.0, 1, 0, id="idle-goes-to-none"),
        pytest.param(0.0, 0, 0, id="none-stays-none"),
        pytest.param(1.0, 0, 1, id="from-none"),
    ],
)
def test_the_plain_rule_moves_by_one(level: float, current: int, wanted: int) -> None:
    memory = new_workload()
    observe(memory, level, 30.0, 6)
    assert propose(Rule.STEP, 0.0, memory, a_rival(), TERMS, current, 0.0, 0.0) == (wanted, wanted)


def a_rival() -> dict[str, Any]:
    return record_to_dict(np.zeros(1, RIVAL)[0])


def daily_sine(n_steps: int) -> NDArray[np.float64]:
    """Pods: 20 on average, 8 at night and 32 at noon."""
    return 20.0 - 12.0 * np.cos(2 * math.pi * np.arange(n_steps) / DAY_STEPS)


def noisy(levels: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    return levels * np.exp(0.05 * np.random.default_rng(seed).standard_normal(len(levels)))


def test_after_three_days_both_forecasts_beat_the_present() -> None:
    demand = noisy(daily_sine(4 * DAY_STEPS))
    memory, rival, horizon = new_workload(), a_rival(), TERMS["horizon"]
    errors: dict[str, list[float]] = {"now": [], "day ago": [], "holt-winters": []}
    for step in range(len(demand) - horizon):
        observe(memory, float(demand[step]), 30.0, horizon)
        forecast = rivals._holt_winters(memory, rival, TERMS)
        if step < 3 * DAY_STEPS or step % 7:
            continue
        true = daily_sine(step + horizon + 1)[-1]
        errors["now"].append(demand[step] - true)
        errors["day ago"].append(level_a_day_ago(memory, lookahead_minutes(TERMS["horizon"])) - true)
        errors["holt-winters"].append(forecast - true)
    size = {name: float(np.sqrt(np.mean(np.square(values)))) for name, values in errors.items()}
    assert size["holt-winters"] < 0.4 * size["now"]
    assert size["day ago"] < 0.7 * size["now"]
    assert size["holt-winters"] < 0.4  # pods, of 20


def textbook_holt_winters(means: NDArray[np.float64]) -> tuple[float, float, NDArray[np.float64]]:
    """Level, trend and seasonals, oldest first, by FPP3's equations; the first season starts them."""
    alpha, beta, gamma = 0.3, 0.3 * 0.02, 0.3 * (1 - 0.3)  # from beta* and gamma*
    m = SEASON_SLOTS
    level, trend = means[:m].mean(), 0.0
    season = list(means[:m] - level)
    for t in range(m, len(means)):
        before = level
        level = alpha * (means[t] - season[t - m]) + (1 - alpha) * (before + trend)
        season.append(gamma * (means[t] - before - trend) + (1 - gamma) * season[t - m])
        trend = beta / alpha * (level - before) + (1 - beta / alpha) * trend
    return float(level), float(trend), np.array(season[-m:])


@pytest.mark.parametrize(("slots", "extra"), [(288, 0), (289, 0), (500, 13), (576, 19), (700, 7)])
def test_holt_winters_is_the_textbooks(slots: int, extra: int) -> None:
    demand = noisy(daily_sine(slots * SLOT_STEPS + extra) + 2.0 * np.sin(np.arange(slots * SLOT_STEPS + extra) / 3e3))
    memory, rival = new_workload(), a_rival()
    for level in demand:
        memory["level"], memory["steps"] = float(level), memory["steps"] + 1
        forecast = rivals._holt_winters(memory, rival, TERMS)
    level, trend, season = textbook_holt_winters(demand[: slots * SLOT_STEPS].reshape(slots, SLOT_STEPS).mean(axis=1))
    assert rival["smooth_level"] == pytest.approx(level, rel=1e-9)
    assert rival["smooth_trend"] == pytest.approx(trend, rel=1e-6, abs=1e-9)
    assert np.roll(rival["season"], -(slots % SEASON_SLOTS)) == pytest.approx(season, rel=1e-9, abs=1e-9)
    ahead = (len(demand) - 1 + TERMS["horizon"]) // SLOT_STEPS - (slots - 1)  # slots from the last that has ended
    assert forecast == pytest.approx(level + ahead * trend + season[(ahead - 1) % SEASON_SLOTS], rel=1e-9)


def test_before_a_day_is_known_both_forecasts_are_the_present() -> None:
    memory, rival = new_workload(), a_rival()
    for step in range(SLOT_STEPS * 3):
        observe(memory, float(step), 30.0, 6)
        assert rivals._holt_winters(memory, rival, TERMS) == step
        assert level_a_day_ago(memory, 3) == step


def test_a_remembered_history_teaches_the_season_as_living_through_it_does() -> None:
    demand_rps = 160.0 * daily_sine(SLOT_STEPS * 40 + 11)
    remembered, lived = (a_fleet([Rule.HOLT_WINTERS], quiet_params()) for _ in range(2))
    for fleet in (remembered, lived):
        fleet.begin([0], [20])
    remembered.remember([0], demand_rps[None, :])
    for rate in demand_rps:
        lived.observe_first(0, float(rate))
        rivals.observe_season(lived.workloads[0], lived.rivals[0])
    assert remembered.rivals.tobytes() == lived.rivals.tobytes()
    assert remembered.rivals["season"][0][:40] == pytest.approx(
        demand_rps[: SLOT_STEPS * 40].reshape(40, SLOT_STEPS).mean(axis=1) / 160.0
    )


def test_a_gap_counts_for_the_season_with_the_level_after_it() -> None:
    memory, rival = new_workload(), a_rival()
    for level in [10.0] * 15 + [30.0] * 5:
        observe(memory, level, 30.0, 6)
        if memory["steps"] <= 15 or memory["steps"] == 20:
            rivals.observe_season(memory, rival)
    assert rival["season"][0] == pytest.approx(15.0)


def a_known_workload(levels: NDArray[np.float64]) -> dict[str, Any]:
    memory = new_workload()
    for level in levels:
        observe(memory, float(level), 30.0, TERMS["horizon"])
    aim(memory, TERMS["horizon"])
    memory["reference_replicas"] = math.ceil(levels[-1] / 0.7)
    return memory


def test_the_predictive_hpa_adds_for_what_came_a_day_ago_and_never_runs_less_than_the_hpa() -> None:
    demand = np.full(DAY_STEPS + 100, 10.0)
    demand[110 : 110 + 40] = 35.0  # a batch, ten minutes long, that is due again soon
    busy = a_known_workload(demand)
    assert propose(Rule.LAST_SEASON, 0.0, busy, a_rival(), TERMS, 15, 0.0, 0.0) == (50, 50)  # 35 pods at 70 %
    busy["reference_replicas"] = 60
    assert propose(Rule.LAST_SEASON, 0.0, busy, a_rival(), TERMS, 15, 0.0, 0.0) == (60, 60)
    quiet = a_known_workload(np.full(DAY_STEPS + 100, 10.0))
    assert propose(Rule.LAST_SEASON, 0.0, quiet, a_rival(), TERMS, 15, 0.0, 0.0) == (15, 15)


def test_answers_of_nothing_are_the_newsvendor_rule() -> None:
    memory = a_known_workload(noisy(np.full(300, 10.0)))
    by_hand = newsvendor_band(memory, TERMS, 15, 0.0, 0.0)
    assert propose(Rule.ANSWERS, 0.0, memory, a_rival(), TERMS, 15, 0.0, 0.0) == by_hand
    raised = propose(Rule.ANSWERS, 0.0, memory, a_rival(), TERMS, 15, 1.0, 0.0)
    assert raised[0] > by_hand[0]


def test_conformal_headroom_grows_with_its_quantile() -> None:
    memory = a_known_workload(noisy(np.full(600, 10.0)))
    edges = [propose(Rule.QUANTILE, q, memory, a_rival(), TERMS, 15, 0.0, 0.0)[0] for q in range(len(PROBABILITIES))]
    assert edges == sorted(edges)
    assert edges[-1] > edges[0] >= 10


def test_a_constant_row_is_scaled_by_nobody() -> None:
    fleet = a_fleet([Rule.CONSTANT], quiet_params(), arguments=[7.0])
    fleet.begin([0], [7])
    fleet.observe_first(0, 5000.0)
    for step in range(10):
        fleet.step(np.array([5000.0 if step % 2 else 0.0]), np.zeros((1, 2), np.float32), draws_without_gaps(step, 1))
        assert fleet.clusters[0]["desired"] == 7
    assert fleet.actions[0] == 0

"""The rules that forescale is measured against, as bands: what each would run now.

Every rule reads the same workload memory as the policy; what some remember besides is a `RIVAL` record.
"""

from enum import IntEnum

import numpy as np

from scaling.band import newsvendor_band, quantile_band
from scaling.hpa_kernels import average_value_replicas
from scaling.hpa_settings import TOLERANCE
from scaling.kernel import Record, kernel
from scaling.workload import level_a_day_ago, lookahead_minutes

SEASON_SLOTS = 288
"""Holt-Winters' season: a day of 5 min slots (chosen: a slot averages out request noise)."""
SLOT_STEPS = 20

RIVAL = np.dtype(
    [
        ("steps", np.int64),  # readings taken in
        ("slot_sum", np.float64),  # of the slot under way
        ("season", np.float64, SEASON_SLOTS),
        ("smooth_level", np.float64),
        ("smooth_trend", np.float64),
    ],
    align=True,
)

LEVEL_GAIN, TREND_GAIN, SEASON_GAIN = 0.3, 0.02, 0.3
"""Holt-Winters' alpha, beta* and gamma* per 5 min slot (chosen on generated demand: a fast level, a cautious trend)."""


class Rule(IntEnum):
    """How a row of a fleet is scaled; `argument` means something else for each."""

    ANSWERS = 0  # the newsvendor band shifted by given answers: SNVT at (0, 0), or a network
    HPA = 1  # the reference HPA at the row's own target and window
    LAST_SEASON = 2  # HPA on the larger of now and a day ago
    HOLT_WINTERS = 3  # HPA on the larger of now and a Holt-Winters forecast
    QUANTILE = 4  # conformal headroom; argument: index of the quantile
    CONSTANT = 5  # argument: replicas; nobody scales them
    STEP = 6  # utilisation over 80 %: add one, under 30 %: remove one


ANSWERS, HPA, LAST_SEASON, HOLT_WINTERS, QUANTILE, CONSTANT, STEP = (int(rule) for rule in Rule)
STEP_UP, STEP_DOWN = 0.8, 0.3


@kernel
def propose(
    rule: int, argument: float, w: Record, r: Record, terms: Record, current: int, raise_by: float, release_by: float
) -> tuple[int, int]:
    """The band (lo, hi) of a rule for a workload that asks for `current` replicas."""
    if rule == ANSWERS:
        return newsvendor_band(w, terms, current, raise_by, release_by)
    if rule == QUANTILE:
        return quantile_band(w, terms, current, int(argument))
    replicas = current
    if rule == HPA:
        replicas = w["reference_replicas"]
    elif rule == LAST_SEASON:
        replicas = _predictive(w, terms, current, level_a_day_ago(w, lookahead_minutes(terms["horizon"])))
    elif rule == HOLT_WINTERS:
        replicas = _predictive(w, terms, current, _holt_winters(w, r, terms))
    else:
        replicas = _step_rule(w, current)
    return replicas, replicas


@kernel
def _predictive(w: Record, terms: Record, current: int, forecast: float) -> int:
    """What an HPA would run for the larger of now and a forecast: it adds ahead of need and never removes before it."""
    ahead = average_value_replicas(max(forecast, w["level"]), terms["reference_target"], current, TOLERANCE, TOLERANCE)
    return int(max(ahead, w["reference_replicas"]))


@kernel
def _holt_winters(w: Record, r: Record, terms: Record) -> float:
    """Demand in the slot in which pods added now serve (pods); the present level before a day is known."""
    observe_season(w, r)
    if r["steps"] < SEASON_SLOTS * SLOT_STEPS:
        return float(w["level"])
    ended = r["steps"] // SLOT_STEPS - 1
    wanted = (r["steps"] - 1 + terms["horizon"]) // SLOT_STEPS
    ahead = r["smooth_level"] + (wanted - ended) * r["smooth_trend"] + r["season"][wanted % SEASON_SLOTS]
    return float(max(0.0, ahead))


@kernel
def observe_season(w: Record, r: Record) -> None:
    """Take in the newest reading, once for each step since the last call: after a gap it stands for what was missed."""
    while r["steps"] < w["steps"]:
        r["steps"] += 1
        r["slot_sum"] += w["level"]
        if r["steps"] % SLOT_STEPS == 0:
            _close_slot(r, r["steps"] // SLOT_STEPS - 1, r["slot_sum"] / SLOT_STEPS)
            r["slot_sum"] = 0.0


@kernel
def _close_slot(r: Record, slot: int, mean: float) -> None:
    """Additive Holt-Winters with a daily season; the first day is the first season, around its own mean.

    Source: R.J. Hyndman and G. Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, section 8.3,
    https://otexts.com/fpp3/holt-winters.html, in the form with beta* and gamma*.
    """
    season, before = r["season"], r["smooth_level"]
    place = slot % SEASON_SLOTS
    if slot < SEASON_SLOTS:
        season[place] = mean
        if place == SEASON_SLOTS - 1:
            r["smooth_level"] = season.sum() / SEASON_SLOTS
            season[:] -= r["smooth_level"]
        return
    r["smooth_level"] = LEVEL_GAIN * (mean - season[place]) + (1 - LEVEL_GAIN) * (before + r["smooth_trend"])
    r["smooth_trend"] += TREND_GAIN * (r["smooth_level"] - before - r["smooth_trend"])
    season[place] += SEASON_GAIN * (mean - r["smooth_level"] - season[place])


@kernel
def _step_rule(w: Record, current: int) -> int:
    """The plain rule: one replica more above 80 % utilisation, one less below 30 %."""
    utilization = w["level"] / max(1, current)
    if utilization > STEP_UP:
        return current + 1
    return max(0, current - 1) if utilization < STEP_DOWN else current

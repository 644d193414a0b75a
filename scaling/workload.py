"""A workload's memory: what is remembered of its demand, and how one reading updates it.

Demand is kept in *pods*: demand over the capacity stated for one replica, so that 7.0 means that seven replicas are
just full. Memory advances on a fixed grid of `STEP_S` seconds whatever the decision interval is; it is causal, costs
O(1) a step, and is rebuilt from a range query by calling `observe` on every sample.

Fields of a workload record:

| field | unit | meaning |
|---|---|---|
| steps | count | readings observed |
| level | pods | the newest reading |
| recent | log pods | the last 64 readings (16 min), newest last, as log(level + 0.3): differences are log ratios |
| peaks | log pods | maxima of the last 12 blocks of 5 min, newest last |
| mean_5m, mean_1h, mean_6h, mean_24h | log pods | exponential means with these time constants |
| variance_5m, variance_1h | 1 | exponential means of the squared log change per step |
| minutes, minute, minute_sum | pods | one-minute means of the last day (a ring), its next slot, the minute under way |
| lookahead_error | 1 | exponential mean error of "demand does next what it did a day ago", in log units |
| lookahead_made | pods | the last 17 forecasts from a day ago, newest last, to be scored when their time comes |
| rises_pods, rises_ratio, rises_weight, rises_total | 1 | histograms of rises within the start-up horizon |
| quantiles_pods, quantiles_ratio | pods, log ratio | their quantiles at `newsvendor.PROBABILITIES` |
| spare_pods, spare_ratio | pods, ratio | headroom that the newsvendor rule asks for, additive and multiplicative |
| aim | pods | level that the newsvendor rule wants to be able to serve |
| targets | replicas | the last 40 lower edges of the band, newest last |
| since_add | steps | since the last scale-up |
| capacity_ratio | 1 | believed capacity of a replica over the stated one |
| bad_ratio | 1 | exponential mean of the measured share of bad requests |
| reference_replicas, reference_log | replicas | size and recommendations of the reference HPA |
"""

import math
from typing import Any

import numpy as np

from scaling.kernel import Record, kernel, push
from scaling.newsvendor import NOISE_PODS, RISE_BINS, begin_rises, count_rise, refresh_headroom

STEP_S = 15.0
"""Grid of the memory, the HPA's own sync period."""

RECENT_STEPS = 64
PEAK_BLOCKS = 12
PEAK_BLOCK_STEPS = 20
MINUTE_STEPS = 4
DAY_MINUTES = 1440
TARGET_STEPS = 40
LOOKAHEAD_STEPS = 17
REFERENCE_STEPS = 61

WORKLOAD = np.dtype(
    [
        ("steps", np.int64),
        ("level", np.float64),
        ("recent", np.float64, RECENT_STEPS),
        ("peaks", np.float64, PEAK_BLOCKS),
        ("mean_5m", np.float64),
        ("mean_1h", np.float64),
        ("mean_6h", np.float64),
        ("mean_24h", np.float64),
        ("variance_5m", np.float64),
        ("variance_1h", np.float64),
        ("minutes", np.float32, DAY_MINUTES),
        ("minute", np.int64),
        ("minute_sum", np.float64),
        ("lookahead_error", np.float64),
        ("lookahead_made", np.float64, LOOKAHEAD_STEPS),
        ("rises_pods", np.float64, RISE_BINS),
        ("rises_ratio", np.float64, RISE_BINS),
        ("rises_weight", np.float64),
        ("rises_total", np.float64),
        ("quantiles_pods", np.float64, 9),
        ("quantiles_ratio", np.float64, 9),
        ("spare_pods", np.float64),
        ("spare_ratio", np.float64),
        ("aim", np.float64),
        ("targets", np.float32, TARGET_STEPS),
        ("since_add", np.int64),
        ("capacity_ratio", np.float64),
        ("bad_ratio", np.float64),
        ("reference_replicas", np.int64),
        ("reference_log", np.float32, REFERENCE_STEPS),
    ],
    align=True,
)

_5M, _1H, _6H, _24H = (1 - math.exp(-STEP_S / (minutes * 60)) for minutes in (5, 60, 360, 1440))


def new_workload() -> dict[str, Any]:
    """An empty memory for plain Python: the fields of `WORKLOAD` as a dict."""
    return record_to_dict(empty_workloads(1)[0])


def empty_workloads(count: int) -> np.ndarray[Any, np.dtype[np.void]]:
    """Empty memories for a fleet, (count,) of `WORKLOAD`."""
    workloads = np.zeros(count, WORKLOAD)
    workloads["capacity_ratio"] = 1.0
    workloads["spare_ratio"] = 1.0
    workloads["since_add"] = 1_000_000
    return workloads


def record_to_dict(row: np.void) -> dict[str, Any]:
    """Copy a record into a dict whose scalars are Python numbers: what plain Python computes with fastest."""
    names = row.dtype.names or ()
    return {name: row[name].copy() if row[name].ndim else row[name].item() for name in names}


@kernel
def observe(w: Record, level: float, price: float, horizon: int) -> None:
    """Advance the memory by one step with a demand of `level` pods.

    `horizon`: steps from a decision until the pods it adds serve (1..RECENT_STEPS - 1); `price`: of a bad request.
    """
    record(w, level, horizon)
    refresh_headroom(w, level, price)


@kernel
def record(w: Record, level: float, horizon: int) -> None:
    """The part of `observe` that every step needs; what it leaves out is worked out anew from this within 4 min."""
    log_level = math.log(level + NOISE_PODS)
    if w["steps"] == 0:
        _begin(w, level, log_level)
    recent = w["recent"]
    push(recent, log_level)
    w["level"] = level
    w["steps"] += 1
    w["since_add"] += 1
    _observe_means(w, log_level, log_level - recent[-2])
    _observe_day(w, level, horizon)
    count_rise(w, recent, horizon)


@kernel
def _begin(w: Record, level: float, log_level: float) -> None:
    """Read the first demand as if it had always been so."""
    w["recent"][:] = log_level
    w["peaks"][:] = log_level
    w["mean_5m"] = w["mean_1h"] = w["mean_6h"] = w["mean_24h"] = log_level
    w["lookahead_error"] = 1.0
    begin_rises(w, level)


@kernel
def _observe_means(w: Record, log_level: float, change: float) -> None:
    w["mean_5m"] += _5M * (log_level - w["mean_5m"])
    w["mean_1h"] += _1H * (log_level - w["mean_1h"])
    w["mean_6h"] += _6H * (log_level - w["mean_6h"])
    w["mean_24h"] += _24H * (log_level - w["mean_24h"])
    w["variance_5m"] += _5M * (change * change - w["variance_5m"])
    w["variance_1h"] += _1H * (change * change - w["variance_1h"])
    peaks = w["peaks"]
    if w["steps"] % PEAK_BLOCK_STEPS == 0:
        push(peaks, log_level)
    elif log_level > peaks[-1]:
        peaks[-1] = log_level


@kernel
def _observe_day(w: Record, level: float, horizon: int) -> None:
    """Close a minute of the day's ring, and score the forecast that was made for it."""
    w["minute_sum"] += level
    if w["steps"] % MINUTE_STEPS != 0:
        return
    ended = w["minute_sum"] / MINUTE_STEPS
    made = w["lookahead_made"]
    minutes_ahead = lookahead_minutes(horizon)
    if w["steps"] > (DAY_MINUTES + minutes_ahead) * MINUTE_STEPS:
        error = abs(math.log(ended + NOISE_PODS) - math.log(made[-minutes_ahead - 1] + NOISE_PODS))
        w["lookahead_error"] += _1H * MINUTE_STEPS * (min(error, 2.0) - w["lookahead_error"])
    w["minutes"][w["minute"]] = ended
    w["minute"] = (w["minute"] + 1) % DAY_MINUTES
    w["minute_sum"] = 0.0
    push(made, level_a_day_ago(w, minutes_ahead))


@kernel
def lookahead_minutes(horizon: int) -> int:
    """How far yesterday is looked ahead: whole minutes until pods added now serve."""
    return int(min(LOOKAHEAD_STEPS - 1, (horizon + MINUTE_STEPS - 1) // MINUTE_STEPS))


@kernel
def level_a_day_ago(w: Record, minutes_ahead: int) -> float:
    """Demand `minutes_ahead` minutes after this time yesterday (pods); the present level before a day is known."""
    if w["steps"] < DAY_MINUTES * MINUTE_STEPS:
        return float(w["level"])
    return float(w["minutes"][(w["minute"] + minutes_ahead) % DAY_MINUTES])

"""What a policy is told of a workload: `FEATURES` in their order, and `encode`.

All are causal and come from the workload's memory. Ratios are natural logarithms of (x + 0.3 pods) over (level +
0.3 pods), so 0 means "like now" and +-0.69 twice or half of it.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from scaling.kernel import Record, kernel
from scaling.newsvendor import NOISE_PODS
from scaling.workload import level_a_day_ago, lookahead_minutes


class Feature(NamedTuple):
    """One input of the policy; readings outside [low, high] are clipped."""

    name: str
    unit: str
    low: float
    high: float
    meaning: str


def _ratio(name: str, meaning: str) -> Feature:
    return Feature(name, "log ratio", -3.0, 3.0, meaning)


FEATURES = (
    Feature("level", "log10 pods", -1.0, 4.0, "demand now"),
    *(_ratio(f"ago_{seconds}s", f"demand {seconds} s ago") for seconds in (15, 60, 120, 240, 480, 900)),
    _ratio("peak_2m", "maximum of the last 2 min"),
    _ratio("peak_5m", "maximum of the last 5 min"),
    _ratio("peak_15m", "maximum of the last 15 min"),
    _ratio("trough_5m", "minimum of the last 5 min"),
    _ratio("trough_15m", "minimum of the last 15 min"),
    _ratio("peak_1h", "maximum of the last hour"),
    _ratio("mean_5m", "exponential mean, 5 min"),
    _ratio("mean_1h", "exponential mean, 1 h"),
    _ratio("mean_6h", "exponential mean, 6 h"),
    _ratio("mean_24h", "exponential mean, 24 h"),
    Feature("volatility_5m", "log ratio", 0.0, 1.0, "root mean square change per step, 5 min"),
    Feature("volatility_1h", "log ratio", 0.0, 1.0, "root mean square change per step, 1 h"),
    Feature("horizon", "minutes", 0.0, 16.0, "until pods added now serve"),
    Feature("history", "days", 0.0, 1.0, "of readings seen, at most one"),
    *(Feature(f"rise_p{q}", "log ratio", 0.0, 2.5, f"{q} % quantile of multiplicative rises") for q in (80, 95, 99)),
    *(Feature(f"rise_pods_p{q}", "log ratio", 0.0, 3.0, f"{q} % quantile of additive rises") for q in (80, 95, 99)),
    _ratio("day_ago", "demand a day ago, at the time when pods added now serve"),
    Feature("day_ago_error", "log ratio", 0.0, 2.0, "mean error of that forecast over the last hour"),
    _ratio("aim", "level that the newsvendor rule aims at"),
    _ratio("highest", "highest lower edge of the band in the release window"),
    _ratio("capacity", "what the current replicas serve"),
    Feature("starting", "ratio", 0.0, 1.0, "share of the current replicas that do not serve yet"),
    Feature("since_add", "ratio", 0.0, 1.0, "time since the last scale-up, in units of 10 min"),
    Feature("bad", "root ratio", 0.0, 1.0, "root of the measured share of bad requests, last minutes"),
    Feature("reference", "log ratio", -3.0, 3.0, "replicas of the reference HPA over the current ones"),
    Feature("price", "log10", 0.0, 3.0, "of a bad request"),
    Feature("action_price", "log10 pod-steps", -1.0, 2.0, "of one pod added or removed"),
)

N_FEATURES = len(FEATURES)
LOW = np.array([feature.low for feature in FEATURES], np.float32)
HIGH = np.array([feature.high for feature in FEATURES], np.float32)

LEAST_ACTION_PRICE = 0.1
"""Lower prices, 0 too, read like this one: where the range of `action_price` begins."""

_LOW, _HIGH = tuple(feature.low for feature in FEATURES), tuple(feature.high for feature in FEATURES)
_LAGS = (1, 4, 8, 16, 32, 60)
_SPANS = (8, 20, 60)
_DAY_STEPS = 5760.0
_LOG_10 = math.log(10.0)
_TEN_MINUTES = 40.0


@kernel
def encode(w: Record, terms: Record, current: int, ready: int, out: Any) -> None:
    """Write a workload's features into `out`, (N_FEATURES,) float32, each clipped to its range.

    `current`, `ready`: replicas asked for, and serving. `w["aim"]` must be that of this step (`band.aim`).
    """
    recent = w["recent"]
    base = recent[-1]
    out[0] = base / _LOG_10
    i = _encode_recent(w, recent, base, out)
    out[i] = math.sqrt(w["variance_5m"])
    out[i + 1] = math.sqrt(w["variance_1h"])
    out[i + 2] = terms["horizon"] / 4.0
    out[i + 3] = min(1.0, w["steps"] / _DAY_STEPS)
    i = _encode_rises(w, i + 4, out)
    out[i] = math.log(level_a_day_ago(w, lookahead_minutes(terms["horizon"])) + NOISE_PODS) - base
    out[i + 1] = w["lookahead_error"]
    _encode_replicas(w, terms, current, ready, base, i + 2, out)
    for k in range(N_FEATURES):
        out[k] = min(max(out[k], _LOW[k]), _HIGH[k])


@kernel
def _encode_recent(w: Record, recent: Any, base: float, out: Any) -> int:
    for k in range(len(_LAGS)):
        out[1 + k] = recent[-1 - _LAGS[k]] - base
    highest = lowest = base
    k = 0
    for span in range(len(_SPANS)):
        while k < _SPANS[span]:
            then = recent[-1 - k]
            if then > highest:
                highest = then
            elif then < lowest:
                lowest = then
            k += 1
        out[7 + span] = highest - base
        if span > 0:
            out[9 + span] = lowest - base
    out[12] = w["peaks"].max() - base
    out[13] = w["mean_5m"] - base
    out[14] = w["mean_1h"] - base
    out[15] = w["mean_6h"] - base
    out[16] = w["mean_24h"] - base
    return 17


@kernel
def _encode_rises(w: Record, i: int, out: Any) -> int:
    ratios, pods = w["quantiles_ratio"], w["quantiles_pods"]
    level = w["level"] + NOISE_PODS
    out[i] = ratios[1]
    out[i + 1] = ratios[3]
    out[i + 2] = ratios[5]
    out[i + 3] = math.log1p(pods[1] / level)
    out[i + 4] = math.log1p(pods[3] / level)
    out[i + 5] = math.log1p(pods[5] / level)
    return i + 6


@kernel
def _encode_replicas(w: Record, terms: Record, current: int, ready: int, base: float, i: int, out: Any) -> None:
    out[i] = math.log(w["aim"] + NOISE_PODS) - base
    highest = w["targets"][-terms["release_window"] :].max() * w["capacity_ratio"]
    out[i + 1] = math.log(highest + NOISE_PODS) - base
    out[i + 2] = math.log(current * w["capacity_ratio"] + NOISE_PODS) - base
    out[i + 3] = max(0, current - ready) / max(1, current)
    out[i + 4] = min(1.0, w["since_add"] / _TEN_MINUTES)
    out[i + 5] = math.sqrt(w["bad_ratio"])
    out[i + 6] = math.log(max(1, w["reference_replicas"]) / max(1, current))
    out[i + 7] = math.log10(terms["price"])
    out[i + 8] = math.log10(max(LEAST_ACTION_PRICE, terms["action_price"]))

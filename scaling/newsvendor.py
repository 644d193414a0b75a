"""The newsvendor headroom rule (SNVT): weigh a spare pod against the price of a bad request.

The headroom that a workload needs is given by how far its demand rises before newly asked pods serve. Those rises are
kept as two decaying histograms (time constant one day): additive, in pods, and multiplicative, as a log ratio. The rule
picks the multiple x of present demand that minimises x + price * E[bad(rise / x)].
"""

import math
from typing import Any

import numpy as np

from scaling.kernel import Record, kernel

RISE_BINS = 48
POD_WIDTH = 0.16
"""Bin width of log(1 + rise in pods): 48 bins reach 2,000 pods."""
RATIO_WIDTH = 0.05
"""Bin width of the log ratio: 48 bins reach an eleven-fold rise; the additive histogram sees beyond."""

PROBABILITIES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)
_MASSES = tuple(high - low for low, high in zip((0.0, *PROBABILITIES[:-1]), PROBABILITIES, strict=True))

DECAY = math.exp(-15.0 / 86_400)
"""Per step: the histograms forget with a time constant of a day (chosen: the best single memory in the prototypes)."""
REFRESH_STEPS = 16
"""Quantiles and headroom are refreshed every 4 min: they come from a day of rises and barely move faster (chosen)."""
PRIOR_SAMPLES = 240.0
"""Weight of the prior, in samples: an hour at 15 s (chosen)."""
PRIOR_RISE = 0.08
"""Mean log rise of the prior (chosen: between calm and bursty workloads)."""

BAD_FROM = 0.97
BAD_OVER = 0.23
"""Requests turn bad from 97 % to 120 % of what a replica can serve (chosen; see docs/simulator.md)."""
NOISE_PODS = 0.3
"""Pods added before taking a ratio, so that an idle workload's noise is not read as a burst (chosen)."""


@kernel
def begin_rises(w: Record, level: float) -> None:
    """Fill the histograms with a prior of `PRIOR_SAMPLES` samples around a first demand of `level` pods."""
    for b in range(RISE_BINS):
        ratio_rise = (b + 0.5) * RATIO_WIDTH
        w["rises_ratio"][b] = math.exp(-ratio_rise / PRIOR_RISE)
        low = math.log1p(math.expm1(b * POD_WIDTH) / (level + NOISE_PODS))
        high = math.log1p(math.expm1((b + 1) * POD_WIDTH) / (level + NOISE_PODS))
        w["rises_pods"][b] = math.exp(-low / PRIOR_RISE) - math.exp(-high / PRIOR_RISE)
    w["rises_ratio"][:] *= PRIOR_SAMPLES / w["rises_ratio"].sum()
    w["rises_pods"][:] *= PRIOR_SAMPLES / w["rises_pods"].sum()
    w["rises_weight"] = 1.0
    w["rises_total"] = PRIOR_SAMPLES


@kernel
def count_rise(w: Record, recent: Any, horizon: int) -> None:
    """Count how far demand rose within the horizon that began `horizon` steps ago. `recent` holds log(level + 0.3)."""
    if w["steps"] <= horizon:
        return
    start = recent[-(horizon + 1)]
    highest = recent[-(horizon + 1) :].max()
    pods_bin = min(RISE_BINS - 1, int(math.log1p(math.exp(highest) - math.exp(start)) / POD_WIDTH))
    ratio_bin = min(RISE_BINS - 1, int((highest - start) / RATIO_WIDTH))
    weight = w["rises_weight"] / DECAY
    w["rises_pods"][pods_bin] += weight
    w["rises_ratio"][ratio_bin] += weight
    w["rises_weight"] = weight
    w["rises_total"] += weight
    if weight > 1e6:  # older samples fade because newer ones weigh more; rescale before the sums lose digits
        w["rises_pods"][:] /= weight
        w["rises_ratio"][:] /= weight
        w["rises_total"] /= weight
        w["rises_weight"] = 1.0


@kernel
def refresh_headroom(w: Record, level: float, price: float) -> None:
    """Work the quantiles and the headroom out anew, every `REFRESH_STEPS`."""
    phase = w["steps"] % REFRESH_STEPS
    if phase == 1:
        fill_quantiles(w["rises_pods"], w["rises_total"], POD_WIDTH, w["quantiles_pods"])
        w["quantiles_pods"][:] = np.expm1(w["quantiles_pods"])
        pods = level + NOISE_PODS
        w["spare_pods"] = (best_multiple(1.0 + w["quantiles_pods"] / pods, price) - 1.0) * pods
    elif phase == 1 + REFRESH_STEPS // 2:
        fill_quantiles(w["rises_ratio"], w["rises_total"], RATIO_WIDTH, w["quantiles_ratio"])
        w["spare_ratio"] = best_multiple(np.exp(w["quantiles_ratio"]), price)


@kernel
def fill_quantiles(histogram: Any, total: float, width: float, quantiles: Any) -> None:
    """Write the histogram's quantiles at `PROBABILITIES`, interpolated within a bin, into `quantiles` (9,)."""
    below = 0.0
    b = 0
    for q in range(len(PROBABILITIES)):
        wanted = PROBABILITIES[q] * total * (1 - 1e-9)
        while b < RISE_BINS - 1 and below + histogram[b] < wanted:
            below += histogram[b]
            b += 1
        inside = (wanted - below) / histogram[b] if histogram[b] > 0 else 1.0
        quantiles[q] = (b + min(1.0, max(0.0, inside))) * width


@kernel
def best_multiple(rises: Any, price: float) -> float:
    """The multiple x of present demand that minimises x + price * E[bad(rise / x)].

    `rises`: (9,) multiples that demand rises to, at `PROBABILITIES`; each stands for the mass below it. Only they are
    tried, and smaller ones count as served: between quantiles as close as a calm workload's, all else is rounding.
    """
    best, best_cost = 1.0, math.inf
    for q in range(len(PROBABILITIES)):
        cost = rises[q]
        for k in range(q, len(PROBABILITIES)):
            cost += price * _MASSES[k] * bad_share(rises[k] / rises[q])
        if cost < best_cost:
            best, best_cost = rises[q], cost
    return float(best)


@kernel
def bad_share(load: float) -> float:
    """Share of requests that turn bad at a load of `load` times what the ready replicas serve."""
    return min(1.0, max(0.0, (load - BAD_FROM) / BAD_OVER))

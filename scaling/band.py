"""From a workload's memory to a band of replicas: the rules that answer as the network does.

A band [lo, hi] reads "add up to lo, remove down to hi, else hold". The newsvendor band aims at the level of demand that
`newsvendor` asks for; the network's two answers, each in [-1, 1], shift where it raises and when it releases, and at
(0, 0) it is that rule.
"""

import math

from scaling.kernel import Record, kernel, push
from scaling.newsvendor import NOISE_PODS

TREND_STEPS = 10
"""The slope is taken over the last 150 s."""
RAISE_SHIFT = 0.4
"""The network moves the aim by a factor between exp(-0.4) and exp(0.4) (chosen: wider ones explore badly)."""
RELEASE_MARGIN = 0.10
RELEASE_SHIFT = 1.5
"""Pods are released when 10 % too many run; the network moves that margin by up to exp(1.5) either way (chosen)."""
STAFFING = 0.15
"""Spare pods per root of pods: small pools have the wilder queues (square-root staffing; chosen)."""


@kernel
def begin_band(w: Record, replicas: int) -> None:
    """Begin as if every decision of the release window had asked for the present size: starting removes nothing."""
    w["targets"][:] = replicas


@kernel
def aim(w: Record, horizon: int) -> float:
    """Level of demand (pods) that the newsvendor rule wants to be able to serve now; also kept as `w["aim"]`."""
    level = w["level"] + NOISE_PODS
    multiple = math.sqrt((1 + w["spare_pods"] / level) * w["spare_ratio"])
    slope = max(0.0, (level - math.exp(w["recent"][-1 - TREND_STEPS])) / TREND_STEPS)
    trend = (w["level"] + slope * (horizon + 2)) * math.sqrt(multiple)
    w["aim"] = max(level * multiple - NOISE_PODS, trend)
    return float(w["aim"])


@kernel
def replicas_for(level: float, capacity_ratio: float) -> int:
    """Replicas that serve a demand of `level` pods, of which each can serve `capacity_ratio` of what is stated."""
    load = level / capacity_ratio
    return math.ceil(load + STAFFING * math.sqrt(load) - 1e-9)


@kernel
def newsvendor_band(w: Record, terms: Record, current: int, raise_by: float, release_by: float) -> tuple[int, int]:
    """The band (lo, hi) around the aim of this step, shifted by the network's answers; (0.0, 0.0) is the plain rule."""
    lo = replicas_for(w["aim"] * math.exp(RAISE_SHIFT * raise_by), w["capacity_ratio"])
    return lo, release_edge(w, terms, current, lo, RELEASE_MARGIN * math.exp(RELEASE_SHIFT * release_by))


@kernel
def release_edge(w: Record, terms: Record, current: int, lo: int, margin: float) -> int:
    """Down to how many replicas to remove: the most that the release window asked for, and only past `margin`."""
    targets = w["targets"]
    push(targets, lo)
    highest = int(targets[-terms["release_window"] :].max())
    edge = math.ceil(highest * (1 + margin) - 1e-9)
    if w["since_add"] < terms["hold_after_add"]:
        return max(edge, current)
    return highest if current > edge else max(edge, lo)


@kernel
def quantile_band(w: Record, terms: Record, current: int, index: int) -> tuple[int, int]:
    """Conformal headroom: room for the rises up to one of `newsvendor.PROBABILITIES`, given by its index."""
    level = w["level"] + NOISE_PODS
    additive = level + w["quantiles_pods"][index]
    multiplicative = level * math.exp(w["quantiles_ratio"][index])
    lo = replicas_for(math.sqrt(additive * multiplicative) - NOISE_PODS, w["capacity_ratio"])
    return lo, release_edge(w, terms, current, lo, RELEASE_MARGIN)


@kernel
def clamp_to_band(current: int, lo: int, hi: int) -> int:
    """Add up to `lo`, remove down to `hi`, else hold."""
    return min(max(current, lo), max(lo, hi))

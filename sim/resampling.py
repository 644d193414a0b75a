"""From a trace's own grid to the control interval, keeping what arrived in each of its intervals.

Coarse data must be filled, and the fill decides whom it flatters. `linear` draws ramps: a forecast by the slope of the
last minutes errs far less on it than on what was measured, and no jump is left to be surprised by. `hold` has no
motion within an interval. The default, `split`, shows what a finer measurement of the same load is likely to show: it
halves intervals again and again by ratios seen between neighbouring intervals of the same trace. Jumps of load do not
get smaller on a finer grid, they get rarer, so each halving keeps `KEEP_RATIO` of the uneven splits.
`python -m benchmarks.demand` coarsens fine traces, fills them back and prints how far each fill is from what was there.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from scaling.errors import InputError

Series = NDArray[np.float64]
Fill = Literal["split", "hold", "linear"]
FILLS: tuple[Fill, ...] = get_args(Fill)

KEEP_RATIO = 0.7
"""Share of uneven splits kept at each halving. Of .5, .7 and .8 the one whose rises within two minutes (90, 99 and
99.9 % quantiles) are nearest to the measured ones on ten fine traces coarsened to 300 and 600 s; .5 is Brownian."""
REACH = 2
"""A split is taken from at most this many pairs of intervals away, so that quiet hours stay quiet; chosen."""
LOGIT_LIMIT = 5.3
"""An interval's half gets at least 0.5 % of it (log odds); chosen, keeps splits from making zeros."""
MAX_STEP_S = 3_600.0
"""Chosen: no control interval is longer."""
MAX_STEPS = 20_000_000
"""Chosen: 160 MB; a year at 15 s is 2.1 million."""


def fill_grid(values: Series, interval_s: float, step_s: float, fill: Fill, rng: np.random.Generator) -> Series:
    """Return the series on a grid of `step_s` from the same start; a last incomplete step is dropped.

    Where the trace is finer, steps are means. Where it is coarser and its interval a multiple of the step, the steps of
    each interval have the interval's mean.
    """
    _check(len(values), interval_s, step_s, fill)
    if interval_s > step_s and fill == "split":
        values, interval_s = _split(values, interval_s, step_s, rng)
    if interval_s > step_s and fill == "linear":
        return _linear(values, interval_s, step_s)
    return _means(values, interval_s, step_s)


def _split(values: Series, interval_s: float, step_s: float, rng: np.random.Generator) -> tuple[Series, float]:
    """Halve all intervals until they are no longer than a step."""
    seen = _seen_splits(values)
    pair = np.minimum(np.arange(len(values)) // 2, len(seen) - 1)
    kept = 1.0
    while interval_s > step_s * (1 + 1e-9):
        kept *= KEEP_RATIO
        nearby = (pair + rng.integers(-REACH, REACH + 1, len(values))).clip(0, len(seen) - 1)
        uneven = rng.choice((-1.0, 1.0), len(values)) * (rng.random(len(values)) < kept)
        first_half = 1.0 / (1.0 + np.exp(-seen[nearby] * uneven))
        values = np.stack([2 * values * first_half, 2 * values * (1.0 - first_half)], axis=1).reshape(-1)
        pair, interval_s = np.repeat(pair, 2), interval_s / 2
    return values, interval_s


def _seen_splits(values: Series) -> Series:
    """Log odds of the first half of each pair of neighbouring intervals; 0 where the pair is empty."""
    pairs = values[: len(values) // 2 * 2].reshape(-1, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_odds = np.log(pairs[:, 0]) - np.log(pairs[:, 1])
    return np.where(np.isnan(log_odds), 0.0, log_odds).clip(-LOGIT_LIMIT, LOGIT_LIMIT)


def _linear(values: Series, interval_s: float, step_s: float) -> Series:
    """Straight lines between the middles of the intervals, each interval then scaled to its own mean."""
    steps = _whole_steps(values, interval_s, step_s)
    middle_s = (np.arange(steps) + 0.5) * step_s
    lines = np.interp(middle_s, (np.arange(len(values)) + 0.5) * interval_s, values)

    interval = np.minimum((middle_s / interval_s).astype(np.int64), len(values) - 1)
    drawn = np.bincount(interval, lines, minlength=len(values)) / np.bincount(interval, minlength=len(values)).clip(1)
    scale = np.divide(values, drawn, out=np.zeros_like(values), where=drawn > 0)
    scaled: Series = lines * scale[interval]
    return scaled


def _means(values: Series, interval_s: float, step_s: float) -> Series:
    """Mean over each step of a series that is constant within its intervals."""
    if interval_s == step_s:
        return values.copy()
    steps = _whole_steps(values, interval_s, step_s)
    edges_s = np.union1d(np.arange(steps + 1) * step_s, np.arange(len(values) + 1) * interval_s)
    edges_s = edges_s[edges_s <= steps * step_s]
    middle_s = (edges_s[1:] + edges_s[:-1]) / 2
    arrived = values[(middle_s / interval_s).astype(np.int64)] * np.diff(edges_s)
    return np.bincount((middle_s / step_s).astype(np.int64), arrived, minlength=steps) / step_s


def _whole_steps(values: Series, interval_s: float, step_s: float) -> int:
    return int(len(values) * interval_s / step_s * (1 + 1e-12))


def _check(rows: int, interval_s: float, step_s: float, fill: str) -> None:
    if fill not in FILLS:
        raise InputError(f"resample: fill is {fill!r}, must be one of {', '.join(FILLS)}")
    if not 1.0 <= step_s <= MAX_STEP_S:
        raise InputError(f"resample: step_s is {step_s}, must be within 1..{MAX_STEP_S:g}")
    if not step_s <= rows * interval_s <= MAX_STEPS * step_s:
        raise InputError(
            f"resample: {rows * interval_s:g} s at {step_s:g} s is {rows * interval_s / step_s:.0f} steps, "
            f"must be within 1..{MAX_STEPS}"
        )

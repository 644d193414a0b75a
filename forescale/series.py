"""Long series on a chart of limited width, without hiding what happened between the pixels.

Steps are grouped into at most `BUCKETS` equal buckets. A line keeps the lowest and the highest step of each bucket, an
area its extremes, and an event marks its whole bucket, so a peak or a violation of a single step stays visible.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

BUCKETS = 1000  # chosen: about one bucket for each pixel column of the report's charts


def bucket_starts(n_steps: int, buckets: int = BUCKETS) -> Ints:
    """First step of each bucket; one bucket a step when there are few steps."""
    n_buckets = min(n_steps, buckets)
    return np.arange(n_buckets, dtype=np.intp) * n_steps // max(n_buckets, 1)


def envelope(values: Floats, buckets: int = BUCKETS) -> Ints:
    """Steps to draw: all of a short series, else the lowest and highest of each bucket and both ends, in order."""
    if len(values) <= 2 * buckets:
        return np.arange(len(values), dtype=np.intp)
    starts = bucket_starts(len(values), buckets)
    ends = np.append(starts[1:], len(values))
    kept = [0, len(values) - 1]
    for start, end in zip(starts, ends, strict=True):
        piece = values[start:end]
        if not np.isnan(piece).all():
            kept += [int(start + np.nanargmin(piece)), int(start + np.nanargmax(piece))]
    return np.unique(np.array(kept, dtype=np.intp))


def any_in(mask: Bools, starts: Ints) -> Bools:
    """Buckets in which the mask holds at least once."""
    return np.logical_or.reduceat(mask, starts)


def sums_in(values: Floats, starts: Ints) -> Floats:
    """Sum of each bucket."""
    return np.add.reduceat(values, starts)


def worst_in(values: Floats, starts: Ints) -> Ints:
    """Step with the largest value of each bucket."""
    ends = np.append(starts[1:], len(values))
    return np.array([start + np.argmax(values[start:end]) for start, end in zip(starts, ends, strict=True)], np.intp)


def spans(mask: Bools, step_s: float, buckets: int = BUCKETS) -> list[tuple[float, float]]:
    """Stretches where the mask holds, as (start_s, length_s), each rounded out to whole buckets."""
    if not mask.any():
        return []
    starts = bucket_starts(len(mask), buckets)
    edges_s = np.append(starts, len(mask)) * step_s
    turns = np.flatnonzero(np.diff(np.concatenate(([0], any_in(mask, starts).astype(np.int8), [0]))))
    return [(float(edges_s[a]), float(edges_s[b] - edges_s[a])) for a, b in turns.reshape(-1, 2)]

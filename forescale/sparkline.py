"""A series as one line of block characters."""

from collections.abc import Sequence

import numpy as np

BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int) -> str:
    """The series in at most `width` characters from zero to its highest value; each shows the highest of its steps."""
    if not values:
        return ""
    series = np.asarray(values, dtype=np.float64)
    starts = np.arange(min(width, len(series))) * len(series) // min(width, len(series))
    peaks = np.maximum.reduceat(series, starts)
    top = float(peaks.max())
    levels = np.zeros(len(peaks)) if top <= 0 else np.rint(peaks / top * (len(BLOCKS) - 1))
    return "".join(BLOCKS[int(level)] for level in levels)

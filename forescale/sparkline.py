"""A series as one line of block characters."""

from collections.abc import Sequence

import numpy as np

BLOCKS = "▁▂▃▄▅▆▇█"
MOST_PEAKS = 500
"""Chosen: more than any line has characters."""


class Peaks:
    """The highest value of each of at most `MOST_PEAKS` equal parts of a series of `n_steps`, as it comes in."""

    def __init__(self, n_steps: int) -> None:
        self._n_steps, self._parts, self._seen = n_steps, min(n_steps, MOST_PEAKS), 0
        self.values: list[float] = []

    def add(self, value: float) -> None:
        """Take the next step in."""
        part = self._seen * self._parts // self._n_steps
        self._seen += 1
        if part < len(self.values):
            self.values[part] = max(self.values[part], value)
        else:
            self.values.append(value)


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

"""The ranges of the features that a policy was trained in, for telling later what it has never seen."""

import numpy as np
from numpy.typing import NDArray

from sim.episodes import EpisodeConfig, Episodes
from training.validation import Answer

SHARE_OUTSIDE = 1e-4
"""Of the observations, on either side of a range: the very extremes happen once in training and teach nothing."""
EVERY_STEPS = 4

Range = NDArray[np.float64]


def seen_ranges(
    answer: Answer, seed: int, rows: int = 1024, config: EpisodeConfig | None = None
) -> tuple[Range, Range]:
    """Low and high of every feature, (N_FEATURES,) each, where `answer` decides on a fleet as in its training."""
    episodes = Episodes(rows, np.random.default_rng(seed), config)
    episodes.begin(np.arange(rows), stagger=True)
    observed = []
    for step in range(episodes.config.episode_steps):
        _, ended = episodes.step(np.asarray(answer(episodes.fleet.observations), np.float32))
        if step % EVERY_STEPS == 0:
            observed.append(episodes.fleet.observations.copy())
        episodes.begin(np.flatnonzero(ended))
    low, high = np.quantile(np.concatenate(observed), (SHARE_OUTSIDE, 1 - SHARE_OUTSIDE), axis=0)
    return low.astype(float), high.astype(float)

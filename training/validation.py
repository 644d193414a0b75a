"""How a policy does against the newsvendor rule on generated demand that training never sees."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.episodes import EpisodeConfig, Episodes

Answer = Callable[[NDArray[np.float32]], Any]

VALIDATION_SEED = 987_654_321
PRICES = (10.0, 30.0, 100.0)


def cost_ratios(answer: Answer, rows: int = 384, action_price: float = 3.0) -> dict[float, float]:
    """Cost of a policy over that of the newsvendor rule, by price of a bad request; below 1 is better.

    `answer` maps observations (rows, N_FEATURES) to answers (rows, 2). Both are driven over the same windows, clusters
    and chance; a ratio is the mean over rows of pod-steps, bad requests at their price and moved pods at theirs.
    """
    ours = _costs(answer, rows, action_price)
    rule = _costs(lambda observations: np.zeros((len(observations), 2), np.float32), rows, action_price)
    ratios = ours / rule
    return {price: float(ratios[index :: len(PRICES)].mean()) for index, price in enumerate(PRICES)}


def _costs(answer: Answer, rows: int, action_price: float) -> NDArray[np.float64]:
    config = EpisodeConfig(pool_series=96)
    episodes = Episodes(rows, np.random.default_rng(VALIDATION_SEED), config)
    episodes.begin(np.arange(rows))
    terms = episodes.fleet.terms
    terms["price"] = np.resize(PRICES, rows)
    terms["action_price"] = action_price
    total = np.zeros(rows)
    for _ in range(config.episode_steps):
        episodes.step(np.asarray(answer(episodes.fleet.observations), np.float32))
        total -= episodes.fleet.rewards
    return total

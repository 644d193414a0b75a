"""Everything that decides how a policy is trained, as values that end up in its manifest."""

import math
from dataclasses import dataclass

from scaling.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run. The defaults made the shipped policy; values without a source are chosen.

    Raises InputError naming the field, its value and its limit.
    """

    total_steps: int = 8_000_000
    """Environment steps over all rows; training runs whole updates, so up to one update more."""
    seed: int = 0
    """Of demand, clusters, exploration and initial weights."""
    rows: int = 1024
    """Clusters stepped together."""
    rollout_steps: int = 64
    """Steps of each row between two updates: 16 min of simulated time."""
    batch_size: int = 16_384
    """Most steps in one mini-batch."""
    epochs: int = 6
    learning_rate: float = 7e-4
    """Of the first update; falls linearly, and the last update has one part in `updates` of it."""
    gamma: float = 0.98
    """Discount a step. Shorter than usual: what a decision does has shown within ten minutes (better than 0.99 in the
    prototypes)."""
    gae_lambda: float = 0.9
    clip_range: float = 0.2
    """The same in every update, as is the entropy coefficient."""
    entropy_coefficient: float = 0.0
    initial_log_std: float = -2.0
    """Exploration. Independent noise each step latches removals when it is large: from -1.5 or -1.0 the network learns
    to please the noise and gets worse after a few million steps."""
    hidden: tuple[int, ...] = (64, 64)
    price_scale: float = 200.0
    """Rewards are divided by 1 + price / this, so that expensive rows do not drown the cheap ones; at 50 it was the
    expensive ones that were neglected."""
    high_price: float = 150.0
    """Highest price of a bad request that a cluster is given; the lowest is 5."""
    capacity_hint_sigma: float = 0.07
    """Log error of the capacity that a cluster's resource states: without it a hint 10 % too high costs 8 % later."""
    validate_every: int = 1_000_000
    """Steps between two comparisons with the newsvendor rule; the best network is kept."""
    validation_rows: int = 384
    """Clusters in such a comparison, a third at each price."""

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            _check(name, getattr(self, name), low, high)
        for width in self.hidden:
            _check("hidden", width, 1, 4096)
        if self.update_steps < 2:
            raise InputError(f"rows x rollout_steps: {self.update_steps} is below 2, the least that PPO can learn from")

    @property
    def update_steps(self) -> int:
        """Environment steps that one update learns from."""
        return self.rows * self.rollout_steps

    @property
    def updates(self) -> int:
        """Updates of the whole run: the fewest that take `total_steps`."""
        return -(-self.total_steps // self.update_steps)

    @property
    def steps_run(self) -> int:
        """Environment steps that the run takes: `total_steps`, rounded up to whole updates."""
        return self.updates * self.update_steps

    @property
    def mini_batch(self) -> int:
        """Steps in a mini-batch: at most `batch_size`, and all of an update's mini-batches about alike."""
        return math.ceil(self.update_steps / math.ceil(self.update_steps / self.batch_size))


LIMITS: dict[str, tuple[float, float]] = {
    "total_steps": (1, 10**12),  # a year on one core
    "seed": (0, 2**32 - 1),  # what numpy's global generator takes, which Stable-Baselines3 seeds
    "rows": (1, 65_536),  # some 4 GB
    "rollout_steps": (1, 10_000),
    "batch_size": (1, 10**9),
    "epochs": (1, 1000),
    "learning_rate": (1e-12, 1.0),
    "gamma": (0.0, 1.0),
    "gae_lambda": (0.0, 1.0),
    "clip_range": (1e-6, 1.0),
    "entropy_coefficient": (0.0, 1.0),
    "initial_log_std": (-20.0, 2.0),
    "price_scale": (1e-6, 1e12),
    "high_price": (5.0, 1e6),
    "capacity_hint_sigma": (0.0, 10.0),
    "validate_every": (1, 10**12),
    "validation_rows": (3, 65_536),  # one at each price
}
"""Least and largest value of each number."""


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # NaN is neither
        limit = f"below {low:,g}" if value < low else f"above {high:,}"
        raise InputError(f"{name}: {value} is {limit}" if value == value else f"{name}: {value} is not a number")

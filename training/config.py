"""Everything that decides how a policy is trained, as values that end up in its manifest."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run. The defaults made the shipped policy; values without a source are chosen."""

    total_steps: int = 8_000_000
    """Environment steps over all rows."""
    seed: int = 0
    """Of demand, clusters, exploration and initial weights."""
    rows: int = 1024
    """Clusters stepped together."""
    rollout_steps: int = 64
    """Steps of each row between two updates: 16 min of simulated time."""
    batch_size: int = 16_384
    epochs: int = 6
    learning_rate: float = 7e-4
    """Falls linearly to zero."""
    gamma: float = 0.98
    """Discount a step. Shorter than usual: what a decision does has shown within ten minutes (better than 0.99 in the
    prototypes)."""
    gae_lambda: float = 0.9
    clip_range: float = 0.2
    entropy_coefficient: float = 0.0
    initial_log_std: float = -2.0
    """Exploration. Independent noise each step latches removals when it is large: from -1.5 or -1.0 the network learns
    to please the noise and gets worse after a few million steps."""
    hidden: tuple[int, ...] = (64, 64)
    price_scale: float = 200.0
    """Rewards are divided by 1 + price / this, so that expensive rows do not drown the cheap ones; at 50 it was the
    expensive ones that were neglected."""
    validate_every: int = 1_000_000
    """Steps between two comparisons with the newsvendor rule; the best network is kept."""
    validation_rows: int = 384
    """Clusters in such a comparison, a third at each price."""

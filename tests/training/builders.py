"""A training run small enough for tests, and what it leaves."""

from pathlib import Path

from training.config import TrainConfig
from training.train import train

TINY = TrainConfig(
    total_steps=2048, rows=32, rollout_steps=32, batch_size=256, epochs=2, validate_every=1024, validation_rows=6
)


def a_run_folder(folder: Path) -> Path:
    """Really trained, for two updates."""
    return train(TINY, folder)

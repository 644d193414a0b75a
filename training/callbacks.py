"""What happens between two updates of a training run: checkpoints, validation, and the end of a run that diverged."""

import io
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from training.checkpoint import save_checkpoint
from training.config import TrainConfig
from training.run_folder import MODEL_FILE, write_whole
from training.sb3_env import FleetVecEnv
from training.validation import Answer, cost_ratios

Validated = Callable[[int, float], None]
"""Takes environment steps, and cost over the newsvendor rule's."""

LOSSES = ("train/loss", "train/value_loss", "train/policy_gradient_loss")


class TrainingDivergedError(RuntimeError):
    """A loss or a weight is no longer a finite number. The files of the run are those from before."""


class DivergenceGuard(BaseCallback):
    """Raises TrainingDivergedError after an update that left a loss or a weight infinite or NaN. Comes first."""

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self._check()

    def _on_training_end(self) -> None:
        self._check()

    def _check(self) -> None:
        values = self.logger.name_to_value
        for name in LOSSES:
            if not math.isfinite(values.get(name, 0.0)):
                raise TrainingDivergedError(f"{name} is {values[name]:g} after {self.num_timesteps:,} steps")
        if not weights_are_finite(self.model):
            raise TrainingDivergedError(f"a weight is not a finite number after {self.num_timesteps:,} steps")


def weights_are_finite(model: BaseAlgorithm) -> bool:
    """Whether every weight of a model is a finite number."""
    return all(bool(torch.isfinite(weight).all()) for weight in model.policy.parameters())


class BestKeeper(BaseCallback):
    """Compares with the newsvendor rule now and then, and keeps the best model."""

    def __init__(self, config: TrainConfig, folder: Path, validated: Validated | None = None) -> None:
        """`validated` hears of every comparison; what it raises ends the run."""
        super().__init__()
        self.config, self.folder, self.validated = config, folder, validated
        self.next_at = config.validate_every
        self.best: dict[str, float] = {}
        self.history: list[dict[str, float]] = []

    @property
    def progress(self) -> dict[str, Any]:
        """What a checkpoint keeps of the validations."""
        return {"next_at": self.next_at, "best": self.best, "history": self.history}

    def restore(self, progress: dict[str, Any]) -> None:
        """Continue from a checkpoint; without the best model's file the next validation writes one."""
        self.next_at, self.history = progress["next_at"], progress["history"]
        self.best = progress["best"] if (self.folder / MODEL_FILE).is_file() else {}

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if self.num_timesteps >= self.next_at:
            self.next_at += self.config.validate_every
            self._validate()

    def _on_training_end(self) -> None:
        self._validate()
        self.logger.dump(self.num_timesteps)

    def _validate(self) -> None:
        ratios = cost_ratios(answer_of(self.model), self.config.validation_rows)
        result = {f"w{price:g}": ratio for price, ratio in ratios.items()}
        result["mean"] = float(np.mean(list(ratios.values())))

        self.history.append({"steps": self.num_timesteps, **result})
        for name, value in result.items():
            self.logger.record(f"validation/{name}", value)
        if not self.best or result["mean"] < self.best["mean"]:
            file = io.BytesIO()
            self.model.save(file)
            write_whole(self.folder / MODEL_FILE, file.getvalue())
            self.best = result
        if self.validated is not None:
            self.validated(self.num_timesteps, result["mean"])


class Checkpointer(BaseCallback):
    """Saves a checkpoint before a rollout once `every_s` seconds have passed since the last, and one at the end."""

    def __init__(self, config: TrainConfig, folder: Path, env: FleetVecEnv, keeper: BestKeeper, every_s: float) -> None:
        super().__init__()
        self.config, self.folder, self.env, self.keeper, self.every_s = config, folder, env, keeper, every_s
        self.saved_at_s = time.monotonic()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self.num_timesteps > 0 and time.monotonic() - self.saved_at_s >= self.every_s:
            self._save()

    def _on_training_end(self) -> None:
        self._save()

    def _save(self) -> None:
        assert isinstance(self.model, PPO)
        save_checkpoint(self.folder, self.config, self.model, self.env, self.keeper.progress)
        self.saved_at_s = time.monotonic()


def answer_of(model: BaseAlgorithm) -> Answer:
    """The model's deterministic actions as a function of observations."""
    return lambda observations: model.predict(observations, deterministic=True)[0]

"""Trains a policy by PPO in the simulated fleet and leaves a run folder: SB3's model, its config, what it saw.

A run folder holds `model.zip` (Stable-Baselines3, for going on with training; never read by the controller),
`run.json` (config, validation, ranges seen) and TensorBoard's events.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ProgressBarCallback

from training.config import TrainConfig
from training.ranges import seen_ranges
from training.sb3_env import FleetVecEnv
from training.validation import Answer, cost_ratios

MODEL_FILE = "model.zip"
THREADS = 2
"""Torch threads: networks this small gain nothing from more, and SB3's loop leaves them idle half the time."""


def train(config: TrainConfig, folder: Path, progress: bool = True) -> Path:
    """Train and write `folder`; returns it. The best network by validation is the one kept."""
    torch.set_num_threads(THREADS)
    folder.mkdir(parents=True, exist_ok=True)
    env = FleetVecEnv(config.rows, config.seed, config.price_scale)
    model = new_model(config, env, folder)
    keeper = BestKeeper(config, folder)
    callbacks: list[BaseCallback] = [keeper, *([ProgressBarCallback()] if progress else [])]
    model.learn(config.total_steps, callback=CallbackList(callbacks), tb_log_name="ppo")
    low, high = seen_ranges(answer_of(PPO.load(folder / MODEL_FILE, device="cpu")), config.seed, config.rows)
    run = {
        "config": asdict(config),
        "validation": keeper.best,
        "history": keeper.history,
        "seen_low": low.tolist(),
        "seen_high": high.tolist(),
    }
    (folder / "run.json").write_text(json.dumps(run, indent=1) + "\n")
    return folder


def new_model(config: TrainConfig, env: FleetVecEnv, folder: Path | None) -> PPO:
    """PPO as configured, on a fleet; TensorBoard's events go to `folder`, or nowhere."""
    learning_rate = config.learning_rate
    falling: Callable[[float], float] = lambda left: learning_rate * left  # noqa: E731 - SB3 wants a function of what is left
    return PPO(
        "MlpPolicy",
        env,
        learning_rate=falling,
        n_steps=config.rollout_steps,
        batch_size=min(config.batch_size, config.rows * config.rollout_steps),
        n_epochs=config.epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip_range,
        ent_coef=config.entropy_coefficient,
        policy_kwargs={
            "net_arch": {"pi": list(config.hidden), "vf": list(config.hidden)},
            "activation_fn": torch.nn.Tanh,
            "log_std_init": config.initial_log_std,
        },
        tensorboard_log=None if folder is None else str(folder),
        seed=config.seed,
        device="cpu",
    )


def answer_of(model: BaseAlgorithm) -> Answer:
    """The model's deterministic actions as a function of observations."""
    return lambda observations: model.predict(observations, deterministic=True)[0]


class BestKeeper(BaseCallback):
    """Compares with the newsvendor rule now and then, and keeps the best model."""

    def __init__(self, config: TrainConfig, folder: Path) -> None:
        super().__init__()
        self.config, self.folder = config, folder
        self.next_at = config.validate_every
        self.best: dict[str, float] = {}
        self.history: list[dict[str, float]] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if self.num_timesteps >= self.next_at:
            self.next_at += self.config.validate_every
            self._validate()

    def _on_training_end(self) -> None:
        self._validate()

    def _validate(self) -> None:
        ratios = cost_ratios(answer_of(self.model), self.config.validation_rows)
        result = {f"w{price:g}": ratio for price, ratio in ratios.items()}
        result["mean"] = float(np.mean(list(ratios.values())))

        self.history.append({"steps": self.num_timesteps, **result})
        for name, value in result.items():
            self.logger.record(f"validation/{name}", value)
        if not self.best or result["mean"] < self.best["mean"]:
            self.best = result
            self.model.save(self.folder / MODEL_FILE)

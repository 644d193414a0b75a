"""Trains a policy by PPO in the simulated fleet and leaves a run folder: SB3's model, its config, what it saw.

A run folder holds the files of `training.run_folder` and TensorBoard's events; the controller reads none of them.
"""

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from prometheus_client import CollectorRegistry
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ProgressBarCallback
from stable_baselines3.common.utils import LinearSchedule

from sim.episodes import EpisodeConfig
from training.callbacks import (
    BestKeeper,
    Checkpointer,
    DivergenceGuard,
    TrainingDivergedError,
    Validated,
    answer_of,
    weights_are_finite,
)
from training.checkpoint import Checkpoint, read_checkpoint, restore
from training.config import TrainConfig
from training.progress import ProgressGauges, ProgressLines
from training.ranges import seen_ranges
from training.run_folder import MODEL_FILE, begin_run, write_run
from training.sb3_env import FleetVecEnv

THREADS = 2
"""Torch threads: networks this small gain nothing from more, and SB3's loop leaves them idle half the time."""

CHECKPOINT_S = 60.0
"""Seconds between two checkpoints. Chosen: one takes 20 MB and 0.1 s."""


@dataclass(frozen=True)
class Watch:
    """How a run tells how far it is."""

    bar: bool = False
    """A progress bar on the terminal."""
    say: Callable[[str], None] | None = None
    """Takes a line a minute. Default: none is said."""
    validated: Validated | None = None
    """Hears of every comparison with the rule; what it raises ends the run."""
    registry: CollectorRegistry | None = None
    """Gets the gauges `forescale_training_*`. Default: there are none."""

    def callbacks(self, config: TrainConfig, keeper: BestKeeper) -> list[BaseCallback]:
        """What Stable-Baselines3 calls for it."""
        found: list[BaseCallback] = [ProgressBarCallback()] if self.bar else []
        found += [] if self.say is None else [ProgressLines(config, keeper, self.say)]
        return found + ([] if self.registry is None else [ProgressGauges(config, keeper, self.registry)])


NOT_WATCHED = Watch()


def train(config: TrainConfig, folder: Path, watch: Watch = NOT_WATCHED, checkpoint_s: float = CHECKPOINT_S) -> Path:
    """Train from the beginning and write `folder`; returns it. The best network by validation is the one kept.

    A checkpoint is saved once `checkpoint_s` seconds have passed since the last, between two updates. Raises InputError
    for a folder that holds an unfinished run, TrainingDivergedError when a loss or a weight is no longer finite.
    """
    begin_run(folder)
    return _run(config, folder, watch, checkpoint_s, None)


def resume(config: TrainConfig, folder: Path, watch: Watch = NOT_WATCHED, checkpoint_s: float = CHECKPOINT_S) -> Path:
    """Continue a run from its last checkpoint to the end it was begun with, as if it had never stopped.

    `config` is the run's own: see `checkpoint.resumed_config`. Raises InputError if the checkpoint cannot be continued,
    and as `train`.
    """
    return _run(config, folder, watch, checkpoint_s, read_checkpoint(folder))


def _run(config: TrainConfig, folder: Path, watch: Watch, checkpoint_s: float, checkpoint: Checkpoint | None) -> Path:
    torch.set_num_threads(THREADS)
    episodes = EpisodeConfig(high_price=config.high_price, capacity_hint_sigma=config.capacity_hint_sigma)
    env = FleetVecEnv(config.rows, config.seed, config.price_scale, episodes)
    model, keeper = new_model(config, env, folder), BestKeeper(config, folder, watch.validated)
    if checkpoint is not None:
        keeper.restore(restore(checkpoint, model, env))
    checkpointer = Checkpointer(config, folder, env, keeper, checkpoint_s)
    callbacks: list[BaseCallback] = [DivergenceGuard(), checkpointer, keeper, *watch.callbacks(config, keeper)]

    _learn(model, config.steps_run - model.num_timesteps, CallbackList(callbacks), new=checkpoint is None)

    low, high = seen_ranges(answer_of(PPO.load(folder / MODEL_FILE, device="cpu")), config.seed, config.rows)
    run = {
        "config": asdict(config),
        "steps_run": config.steps_run,
        "validation": keeper.best,
        "history": keeper.history,
        "seen_low": low.tolist(),
        "seen_high": high.tolist(),
    }
    write_run(folder, run)
    return folder


def _learn(model: PPO, steps: int, callbacks: CallbackList, new: bool) -> None:
    """Let a model learn for so many steps more; a run that goes on keeps its schedule and its TensorBoard events."""
    try:
        model.learn(steps, callback=callbacks, tb_log_name="ppo", reset_num_timesteps=new)
    except ValueError as error:  # what torch's distributions say of weights that an update has made NaN
        if weights_are_finite(model):
            raise
        raise TrainingDivergedError(f"a weight is not a finite number after {model.num_timesteps:,} steps") from error


def new_model(config: TrainConfig, env: FleetVecEnv, folder: Path | None) -> PPO:
    """PPO as configured, on a fleet; TensorBoard's events go to `folder`, or nowhere."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "You have specified a mini-batch size", UserWarning
        )  # a last one may be short
        return PPO(
            "MlpPolicy",
            env,
            learning_rate=falling(config.learning_rate, config.updates),
            n_steps=config.rollout_steps,
            batch_size=config.mini_batch,
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


def falling(start: float, updates: int) -> LinearSchedule:
    """A schedule that falls linearly over so many updates: `start` at the first, `start / updates` at the last.

    Stable-Baselines3 asks for update k of n with a share of (n - k) / n left, so 0 at the last and never 1.
    """
    return LinearSchedule(start * (1 + 1 / updates), start / updates, 1.0)

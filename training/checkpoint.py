"""A training run between two updates: saved whole, so that a continued run goes on as if it had never stopped.

Holds the weights, Adam's moments, the state of every cluster, all generators of chance, the progress of the schedules
and the validations so far. Reading one runs no code: it holds tensors, numbers and texts alone.
"""

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO

from scaling.errors import InputError
from training.config import TrainConfig
from training.run_folder import CHECKPOINT_FILE, write_whole
from training.sb3_env import FleetVecEnv

FORMAT = 1

Checkpoint = dict[str, Any]


def save_checkpoint(folder: Path, config: TrainConfig, model: PPO, env: FleetVecEnv, progress: dict[str, Any]) -> None:
    """Replace the folder's checkpoint; call it between two updates. `progress`: plain JSON values to keep with it.

    Raises InputError if it cannot be written; the one before is then still there.
    """
    parts = {
        "format": FORMAT,
        "config": json.dumps(asdict(config)),
        "progress": json.dumps(progress),
        "steps": model.num_timesteps,
        "updates": model._n_updates,
        "policy": model.policy.state_dict(),
        "optimizer": model.policy.optimizer.state_dict(),
        "chance": json.dumps({"env": env.episodes.rng.bit_generator.state, "numpy": _numpy_chance()}),
        "torch_chance": torch.get_rng_state(),
        "arrays": {name: _packed(array) for name, array in _arrays(model, env).items()},
    }
    file = io.BytesIO()
    torch.save(parts, file)
    write_whole(folder / CHECKPOINT_FILE, file.getvalue())


def read_checkpoint(folder: Path) -> Checkpoint:
    """The folder's checkpoint. Raises InputError if there is none or it cannot be read."""
    path = folder / CHECKPOINT_FILE
    if not path.is_file():
        raise InputError(f"--resume: {folder} holds no {CHECKPOINT_FILE}, so there is no run to continue")
    try:
        parts: Checkpoint = torch.load(io.BytesIO(path.read_bytes()), weights_only=True)
        if parts["format"] != FORMAT:
            raise InputError(f"{path}: format is {parts['format']}, expected {FORMAT}")
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is not a checkpoint that can be read") from error
    return parts


def config_of(checkpoint: Checkpoint) -> TrainConfig:
    """The settings that a run was begun with. Raises InputError if this version of forescale has other ones."""
    stored = json.loads(checkpoint["config"])
    for name in sorted(stored.keys() ^ {field.name for field in fields(TrainConfig)}):
        raise InputError(f"--resume: the run was begun by another version of forescale: {name} is known to one of them")
    return TrainConfig(**{**stored, "hidden": tuple(stored["hidden"])})


def resumed_config(folder: Path, asked: Mapping[str, object]) -> TrainConfig:
    """The settings of the run to continue. Raises InputError if there is none, or it was begun with other settings."""
    begun = config_of(read_checkpoint(folder))
    for name, value in asked.items():
        if getattr(begun, name) != value:
            raise InputError(
                f"--resume: {name} is {value}, but the run in {folder} was begun with {getattr(begun, name)}; "
                "leave it out, or begin another run in another --out"
            )
    return begun


def restore(checkpoint: Checkpoint, model: PPO, env: FleetVecEnv) -> dict[str, Any]:
    """Set a new model and fleet of the same settings to where the run was, and return its `progress`.

    Raises InputError if this version of forescale lays its clusters out in another way.
    """
    model.policy.load_state_dict(checkpoint["policy"])
    model.policy.optimizer.load_state_dict(checkpoint["optimizer"])
    model.num_timesteps, model._n_updates = checkpoint["steps"], checkpoint["updates"]
    model._last_obs = np.zeros_like(env.episodes.fleet.observations)
    model._last_episode_starts = np.zeros(env.num_envs, bool)
    for name, array in _arrays(model, env).items():
        array[...] = _unpacked(name, checkpoint["arrays"].get(name), array)
    chance = json.loads(checkpoint["chance"])
    env.episodes.rng.bit_generator.state = chance["env"]
    _set_numpy_chance(chance["numpy"])
    torch.set_rng_state(checkpoint["torch_chance"])
    progress: dict[str, Any] = json.loads(checkpoint["progress"])
    return progress


def _arrays(model: PPO, env: FleetVecEnv) -> dict[str, NDArray[Any]]:
    """The arrays of a run as they stand, by name; what is written into one changes the run."""
    assert isinstance(model._last_obs, np.ndarray)
    assert isinstance(model._last_episode_starts, np.ndarray)
    return {
        "last_observations": model._last_obs,
        "last_episode_starts": model._last_episode_starts,
        **env.episodes.arrays(),
    }


def _packed(array: NDArray[Any]) -> dict[str, Any]:
    """An array of records as what a checkpoint may hold: its layout in words, its bytes as a tensor."""
    return {"layout": _layout(array), "bytes": torch.frombuffer(bytearray(array.tobytes()), dtype=torch.uint8)}


def _unpacked(name: str, packed: dict[str, Any] | None, like: NDArray[Any]) -> NDArray[Any]:
    if packed is None or packed["layout"] != _layout(like):
        raise InputError(f"--resume: the run was begun by another version of forescale: its {name} have another layout")
    return np.frombuffer(packed["bytes"].numpy().tobytes(), like.dtype).reshape(like.shape)


def _layout(array: NDArray[Any]) -> str:
    return f"{array.shape} of {array.dtype.descr if array.dtype.names else array.dtype}"


def _numpy_chance() -> list[Any]:
    """numpy's global generator, from which Stable-Baselines3 shuffles its mini-batches."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return [kind, np.asarray(keys).tolist(), *rest]


def _set_numpy_chance(state: list[Any]) -> None:
    kind, keys, *rest = state
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))

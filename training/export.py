"""Turns a training run into the two files that the controller reads: safetensors and a manifest."""

import datetime
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3 import PPO

from scaling.errors import InputError
from scaling.features import FEATURES
from scaling.network import Network
from scaling.policy import ACTIONS
from scaling.policy_file import check_name, serialise
from scaling.policy_manifest import FeatureRange, PolicyManifest
from training.policy_writer import write_policy
from training.run_folder import MODEL_FILE, read_run

Scores = Callable[[str], Mapping[str, float]]
"""Scores of the weights with this SHA-256, by name; raises InputError if they are another policy's."""


def export(run_folder: Path, name: str, target_folder: Path, scores: Scores | None = None) -> None:
    """Write `name`.safetensors and `name`.json from a run of `training.train`, its scores on traces in the manifest.

    Raises InputError if there is no finished run.
    """
    check_name(name)
    run = read_run(run_folder)
    network, card = network_of(_model(run_folder / MODEL_FILE)), _manifest(name, run)
    weights, manifest = serialise(network, card)
    if scores is not None:
        on_traces = scores(hashlib.sha256(weights).hexdigest())
        weights, manifest = serialise(network, replace(card, evaluation={**card.evaluation, "traces": dict(on_traces)}))
    write_policy(target_folder, name, weights, manifest)


def _model(path: Path) -> PPO:
    """A model as Stable-Baselines3 saved it: reading one can run code, so it must be the user's own."""
    try:
        return PPO.load(path, device="cpu")
    except (OSError, ValueError, LookupError, RuntimeError, AssertionError) as error:
        raise InputError(f"{path}: is not a model that Stable-Baselines3 can read") from error


def network_of(model: PPO) -> Network:
    """The deterministic actor of an SB3 model as a plain network."""
    actor = [*model.policy.mlp_extractor.policy_net, model.policy.action_net]
    linear = [layer for layer in actor if hasattr(layer, "weight")]
    return Network(tuple((_array(layer.weight), _array(layer.bias)) for layer in linear))


def _array(parameter: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.asarray(parameter.detach().numpy(), np.float32)


def _manifest(name: str, run: dict[str, Any]) -> PolicyManifest:
    features = tuple(
        FeatureRange(feature.name, feature.unit, feature.low, feature.high, float(low), float(high))
        for feature, low, high in zip(FEATURES, run["seen_low"], run["seen_high"], strict=True)
    )
    return PolicyManifest(
        name=name,
        created=datetime.date.today().isoformat(),
        features=features,
        actions=ACTIONS,
        training=run["config"],
        evaluation={"cost_over_snvt_on_generated_demand": run["validation"]},
    )

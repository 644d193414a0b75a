"""A trained policy and its exported files pick the same actions."""

import json

import numpy as np
import pytest
from stable_baselines3 import PPO

from controller.policy_store import load_builtin, load_policy_folder
from scaling.errors import InputError
from scaling.features import HIGH, LOW
from scaling.policy import NetworkPolicy, feature_schema
from tests.training.builders import TINY, a_run_folder
from training.export import export


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return a_run_folder(tmp_path_factory.mktemp("run"))


@pytest.mark.slow
def test_the_exported_policy_picks_the_trained_ones_actions(run_folder, tmp_path):
    export(run_folder, "tiny", tmp_path)
    policy = NetworkPolicy(load_policy_folder(tmp_path, feature_schema()))
    features = np.random.default_rng(0).uniform(LOW, HIGH, (500, len(LOW))).astype(np.float32)
    trained, _ = PPO.load(run_folder / "model.zip", device="cpu").predict(features, deterministic=True)
    assert np.abs(policy.answer(features) - trained).max() < 1e-5


@pytest.mark.slow
def test_the_manifest_tells_how_the_policy_was_made(run_folder, tmp_path):
    export(run_folder, "tiny", tmp_path)
    manifest = load_policy_folder(tmp_path, feature_schema()).manifest
    assert manifest.training["seed"] == TINY.seed
    assert manifest.training["total_steps"] == TINY.total_steps
    assert manifest.actions == ("raise", "release")
    run = json.loads((run_folder / "run.json").read_text())
    assert [feature.seen_low for feature in manifest.features] == pytest.approx(run["seen_low"])


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"model\.zip: no such file"):
        export(tmp_path, "tiny", tmp_path)


def test_the_shipped_policy_was_trained_and_fits_the_features():
    manifest = load_builtin("default", feature_schema()).manifest
    assert manifest.training["total_steps"] >= 5_000_000
    assert manifest.evaluation["cost_over_snvt_on_generated_demand"]["mean"] < 1.0

"""Training runs end to end, leaves what it promises, and its seed decides."""

import json
from dataclasses import replace

import numpy as np
import pytest
from stable_baselines3 import PPO

from sim.episodes import EpisodeConfig
from tests.training.builders import TINY, a_run_folder
from training.sb3_env import FleetVecEnv
from training.train import falling, train
from training.validation import cost_ratios

SMALL = EpisodeConfig(pool_series=8, pool_steps=600, episode_steps=40, history_steps=(0, 240))


@pytest.mark.slow
def test_a_run_leaves_model_config_and_validation(tmp_path):
    folder = a_run_folder(tmp_path)
    run = json.loads((folder / "run.json").read_text())
    assert (folder / "model.zip").stat().st_size > 10_000
    assert run["config"]["learning_rate"] == TINY.learning_rate
    assert [entry["steps"] for entry in run["history"]] == [1024, 2048, 2048]
    assert run["validation"]["mean"] == min(entry["mean"] for entry in run["history"])
    assert all(low <= high for low, high in zip(run["seen_low"], run["seen_high"], strict=True))
    assert list(folder.glob("ppo_*/events.out.tfevents.*"))


@pytest.mark.slow
def test_the_same_seed_trains_the_same_network(tmp_path):
    first, again = (json.loads((a_run_folder(tmp_path / name) / "run.json").read_text()) for name in ("a", "b"))
    assert first["history"] == again["history"]


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "updates"), [(10, 1), (1500, 2), (2048, 2), (2049, 3)])
def test_every_update_has_a_learning_rate_above_zero_that_falls(tmp_path, monkeypatch, asked, updates):
    rates, clips = [], []
    honest = PPO.train

    def recorded(model):
        honest(model)
        rates.append(model.policy.optimizer.param_groups[0]["lr"])
        clips.append(model.clip_range(model._current_progress_remaining))

    monkeypatch.setattr(PPO, "train", recorded)
    config = replace(TINY, total_steps=asked, validate_every=10**9)
    train(config, tmp_path)
    assert rates == pytest.approx([TINY.learning_rate * left / updates for left in range(updates, 0, -1)])
    assert clips == [TINY.clip_range] * updates
    assert json.loads((tmp_path / "run.json").read_text())["steps_run"] == 1024 * updates


def test_a_rate_falls_to_its_last_part_and_never_below():
    schedule = falling(0.4, 4)
    assert [schedule(1 - update / 4) for update in (1, 2, 3, 4)] == pytest.approx([0.4, 0.3, 0.2, 0.1])


def test_a_window_that_ends_is_a_time_limit_with_its_last_observation():
    env = FleetVecEnv(4, 0, 50.0, SMALL)
    env.reset()
    ends = 0
    for _ in range(40):
        observations, _, dones, infos = env.step(np.zeros((4, 2), np.float32))
        assert isinstance(observations, np.ndarray)
        for row in np.flatnonzero(dones):
            ends += 1
            assert infos[row]["TimeLimit.truncated"] is True
            assert not np.array_equal(infos[row]["terminal_observation"], observations[row])
        assert all(info == {} for row, info in enumerate(infos) if not dones[row])
    assert ends >= 4


def test_rewards_of_expensive_rows_are_scaled_down():
    free, scaled = FleetVecEnv(8, 0, 1e12, SMALL), FleetVecEnv(8, 0, 50.0, SMALL)
    free.reset()
    scaled.reset()
    prices = free.episodes.fleet.terms["price"].copy()
    whole = free.step(np.zeros((8, 2), np.float32))[1]
    part = scaled.step(np.zeros((8, 2), np.float32))[1]
    assert part == pytest.approx(whole / (1 + prices / 50.0), rel=1e-4)


def test_the_newsvendor_rule_compared_with_itself_is_one():
    ratios = cost_ratios(lambda observations: np.zeros((len(observations), 2)), rows=6)
    assert ratios == {10.0: 1.0, 30.0: 1.0, 100.0: 1.0}


def test_running_far_too_few_pods_costs_more():
    ratios = cost_ratios(lambda observations: np.tile((-1.0, -1.0), (len(observations), 1)), rows=48)
    assert min(ratios[10.0], ratios[30.0]) > 1.05

"""Runs that are stopped, killed or diverge: what is kept, and that they continue as if they had never stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from scaling.errors import InputError
from tests.training.builders import TINY
from training import sb3_env
from training.callbacks import BestKeeper, TrainingDivergedError
from training.checkpoint import read_checkpoint, resumed_config
from training.train import resume, train

LONGER = replace(TINY, total_steps=4096 + 10, validate_every=2048)


def outcome(folder):
    return json.loads((folder / "run.json").read_text())


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    return train(LONGER, tmp_path_factory.mktemp("whole"))


def stop_at(steps, monkeypatch):
    """Let the run be interrupted within a rollout, as by Ctrl-C."""

    def interrupted(keeper):
        if keeper.num_timesteps >= steps:
            raise KeyboardInterrupt
        return True

    monkeypatch.setattr(BestKeeper, "_on_step", interrupted)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [2048, 4096 + 200], ids=["within-a-rollout", "in-the-last-one"])
def test_a_stopped_run_continues_to_the_same_end(whole_run, tmp_path, monkeypatch, steps):
    with monkeypatch.context() as patched:
        stop_at(steps, patched)
        with pytest.raises(KeyboardInterrupt):
            train(LONGER, tmp_path, checkpoint_s=0.0)
    assert not (tmp_path / "run.json").exists()
    np.random.default_rng().random()
    torch.manual_seed(99)  # chance as another process has it
    np.random.seed(99)

    resume(resumed_config(tmp_path, {}), tmp_path)

    assert outcome(tmp_path) == outcome(whole_run)
    ours, theirs = (read_checkpoint(folder) for folder in (tmp_path, whole_run))
    assert ours["steps"] == theirs["steps"] == LONGER.steps_run == 5120
    assert all(torch.equal(ours["policy"][name], theirs["policy"][name]) for name in theirs["policy"])
    assert len(list(tmp_path.glob("ppo_*"))) == 1  # TensorBoard shows one curve


CHILD = """
import pathlib, sys
import training.train
from tests.training.test_checkpoint import LONGER
training.train.THREADS = 1
training.train.train(LONGER, pathlib.Path(sys.argv[1]), checkpoint_s=0.0)
"""


@pytest.mark.slow
def test_a_killed_process_loses_nothing_but_the_time_since_its_checkpoint(whole_run, tmp_path):
    with subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)]) as process:
        while not (tmp_path / "checkpoint.pt").exists() and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert 0 < read_checkpoint(tmp_path)["steps"] <= LONGER.steps_run
    resume(resumed_config(tmp_path, {}), tmp_path)
    assert outcome(tmp_path) == outcome(whole_run)


@pytest.mark.slow
def test_a_reward_that_is_no_number_ends_the_run_and_keeps_the_last_checkpoint(tmp_path, monkeypatch, whole_run):
    honest = sb3_env.FleetVecEnv.step_wait
    steps = iter(range(10**6))

    def broken(env):
        observations, rewards, *rest = honest(env)
        return (observations, np.full_like(rewards, np.nan) if next(steps) >= 70 else rewards, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(sb3_env.FleetVecEnv, "step_wait", broken)
        with pytest.raises(TrainingDivergedError, match=r"after 3,072 steps$"):
            train(LONGER, tmp_path, checkpoint_s=0.0)

    assert read_checkpoint(tmp_path)["steps"] == 2048
    assert all(bool(torch.isfinite(weight).all()) for weight in read_checkpoint(tmp_path)["policy"].values())
    resume(resumed_config(tmp_path, {}), tmp_path)
    assert outcome(tmp_path) == outcome(whole_run)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value", "begun"), [("seed", 1, 0), ("rows", 64, 32), ("total_steps", 9999, 4106)])
def test_a_run_of_other_settings_is_not_resumed(whole_run, name, value, begun):
    line = rf"^--resume: {name} is {value}, but the run in .* was begun with {begun}; leave it out"
    with pytest.raises(InputError, match=line):
        resumed_config(whole_run, {name: value})


@pytest.mark.slow
def test_a_checkpoint_of_another_layout_is_not_resumed(whole_run, tmp_path):
    parts = read_checkpoint(whole_run)
    parts["arrays"]["fleet workloads"]["layout"] += " and more"
    torch.save(parts, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match=r"begun by another version of forescale: its fleet workloads have another"):
        resume(resumed_config(tmp_path, {}), tmp_path)


@pytest.mark.slow
def test_a_checkpoint_with_a_setting_unknown_here_is_not_resumed(whole_run, tmp_path):
    parts = read_checkpoint(whole_run)
    parts["config"] = json.dumps({**json.loads(parts["config"]), "momentum": 0.9})
    torch.save(parts, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match=r"begun by another version of forescale: momentum is known to one of them$"):
        resumed_config(tmp_path, {})


@pytest.mark.slow
def test_part_of_a_checkpoint_is_refused(whole_run, tmp_path):
    content = (whole_run / "checkpoint.pt").read_bytes()
    for size in (0, 1, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "checkpoint.pt").write_bytes(content[:size])
        with pytest.raises(InputError, match=r"checkpoint\.pt: is not a checkpoint that can be read$"):
            read_checkpoint(tmp_path)


class Code:
    """What a pickle that runs code looks like."""

    def __reduce__(self):
        return (os.mkdir, ("ran",))


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"format": 1, "config": Code()}, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="is not a checkpoint that can be read"):
        read_checkpoint(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_folder_without_a_checkpoint_cannot_be_resumed(tmp_path):
    with pytest.raises(InputError, match=r"^--resume: .* holds no checkpoint\.pt, so there is no run to continue$"):
        read_checkpoint(tmp_path)

"""Settings of a training run: whole updates, even mini-batches, and limits that are named."""

import pytest

from scaling.errors import InputError
from training.config import TrainConfig


@pytest.mark.parametrize(
    ("asked", "updates", "steps_run"),
    [(1, 1, 65_536), (10, 1, 65_536), (65_536, 1, 65_536), (65_537, 2, 131_072), (8_000_000, 123, 8_060_928)],
)
def test_steps_are_rounded_up_to_whole_updates(asked, updates, steps_run):
    config = TrainConfig(total_steps=asked)
    assert (config.updates, config.steps_run) == (updates, steps_run)


@pytest.mark.parametrize("rows", [1, 2, 7, 257, 1000, 1024, 20_011])
def test_mini_batches_are_about_alike_and_within_the_batch_size(rows):
    config = TrainConfig(rows=rows)
    whole, rest = divmod(config.update_steps, config.mini_batch)
    assert config.mini_batch <= config.batch_size
    assert rest == 0 or rest > config.mini_batch - whole - 1  # the last is short by less than one step for each other


def test_the_defaults_take_four_full_mini_batches():
    assert TrainConfig().mini_batch == 16_384


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"total_steps": 0}, "total_steps: 0 is below 1"),
        ({"total_steps": 10**13}, "total_steps: 10000000000000 is above 1,000,000,000,000"),
        ({"rows": 100_000}, "rows: 100000 is above 65,536"),
        ({"seed": -1}, "seed: -1 is below 0"),
        ({"seed": 2**32}, "seed: 4294967296 is above 4,294,967,295"),
        ({"learning_rate": -7e-4}, "learning_rate: -0.0007 is below 1e-12"),
        ({"learning_rate": float("nan")}, "learning_rate: nan is not a number"),
        ({"clip_range": float("inf")}, "clip_range: inf is above 1.0"),
        ({"hidden": (64, 0)}, "hidden: 0 is below 1"),
        ({"rows": 1, "rollout_steps": 1}, "rows x rollout_steps: 1 is below 2, the least that PPO can learn from"),
    ],
)
def test_a_setting_beyond_its_limit_is_refused_by_name(setting, line):
    with pytest.raises(InputError) as refused:
        TrainConfig(**setting)
    assert str(refused.value) == line

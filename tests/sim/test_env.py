"""The environments: gymnasium's own checks, the docstring's tables, and a fleet that behaves as gymnasium's vectors."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from scaling.errors import InputError
from scaling.features import FEATURES, HIGH, LOW
from sim.env import ClusterEnv
from sim.episodes import EpisodeConfig
from sim.vector_env import FleetEnv

SMALL = EpisodeConfig(pool_series=3, pool_steps=400, episode_steps=30, history_steps=(0, 60))
ANSWER = np.array([0.3, -0.2], np.float32)


def a_fleet_env(num_envs: int = 4) -> FleetEnv:
    return FleetEnv(num_envs, SMALL)


def test_gymnasiums_checker_finds_nothing() -> None:
    env = gymnasium.make("forescale/Cluster-v0", config=SMALL)
    check_env(env.unwrapped)


def test_the_docstring_lists_every_observation_with_its_unit_and_range() -> None:
    assert ClusterEnv.__doc__ is not None
    lines = ClusterEnv.__doc__.splitlines()
    for index, feature in enumerate(FEATURES):
        row = f"| {index} | {feature.name} | {feature.unit} | {feature.low:g} | {feature.high:g} | {feature.meaning} |"
        assert row in lines


@pytest.mark.parametrize("word", ["Actions", "Reward", "Termination", "Truncation", "| 0 | raise |", "| 1 | release |"])
def test_the_docstring_has_actions_rewards_and_ends(word: str) -> None:
    assert ClusterEnv.__doc__ is not None
    assert word in ClusterEnv.__doc__
    assert "{" not in ClusterEnv.__doc__


def test_an_episode_is_truncated_at_its_end_and_never_terminated() -> None:
    env = ClusterEnv(SMALL)
    observation, _ = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    ends = []
    for _ in range(SMALL.episode_steps):
        observation, reward, terminated, truncated, info = env.step(ANSWER)
        assert env.observation_space.contains(observation)
        assert np.isfinite(reward)
        assert info["replicas"] >= 1
        assert info["late"] >= 0.0
        ends.append((terminated, truncated))
    assert ends == [(False, False)] * (SMALL.episode_steps - 1) + [(False, True)]


def test_the_same_seed_gives_the_same_episode_and_no_seed_another() -> None:
    env = ClusterEnv(SMALL)
    first, _ = env.reset(seed=5)
    same, _ = env.reset(seed=5)
    other, _ = env.reset()
    assert first.tolist() == same.tolist() != other.tolist()


@pytest.mark.parametrize("env", [ClusterEnv(SMALL), FleetEnv(2, SMALL)], ids=["one", "fleet"])
def test_stepping_before_a_reset_is_refused(env: Any) -> None:
    with pytest.raises(gymnasium.error.ResetNeeded, match="reset"):
        env.step(env.action_space.sample())


def test_actions_beyond_their_range_count_as_its_ends() -> None:
    clipped, wild = ClusterEnv(SMALL), ClusterEnv(SMALL)
    clipped.reset(seed=2)
    wild.reset(seed=2)
    for _ in range(5):
        inside, *_ = clipped.step(np.array([1.0, -1.0], np.float32))
        outside, *_ = wild.step(np.array([7.0, -7.0], np.float32))
        assert inside.tolist() == outside.tolist()


def test_a_fleet_speaks_gymnasiums_vector_language() -> None:
    envs = a_fleet_env()
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert envs.single_observation_space == ClusterEnv(SMALL).observation_space
    assert envs.observation_space.shape == (4, len(FEATURES))
    observations, infos = envs.reset(seed=0)
    assert infos == {}
    assert envs.observation_space.contains(observations)
    observations, rewards, terminations, truncations, infos = envs.step(envs.action_space.sample())
    assert envs.observation_space.contains(observations)
    assert (rewards.dtype, rewards.shape) == (np.float64, (4,))
    assert (terminations.dtype, truncations.dtype) == (np.bool_, np.bool_)
    assert not terminations.any()


def test_a_fleet_of_one_is_the_environment() -> None:
    """Both draw from the same seed; gymnasium's own vector of one, resetting in the same step, is the judge."""
    ours = FleetEnv(1, SMALL)
    theirs = SyncVectorEnv([lambda: ClusterEnv(SMALL)], autoreset_mode=AutoresetMode.SAME_STEP)
    assert ours.reset(seed=3)[0].tolist() == theirs.reset(seed=3)[0].tolist()
    ends = 0
    for _ in range(70):
        mine: Any
        its: Any
        mine, its = ours.step(ANSWER[None, :]), theirs.step(ANSWER[None, :])
        for part in range(4):
            assert mine[part].tolist() == its[part].tolist()
        assert ("final_obs" in mine[4]) == ("final_obs" in its[4])
        if "final_obs" in mine[4]:
            ends += 1
            assert mine[4]["final_obs"].dtype == its[4]["final_obs"].dtype == object
            assert mine[4]["final_obs"][0].tolist() == its[4]["final_obs"][0].tolist()
            assert mine[4]["_final_obs"].tolist() == its[4]["_final_obs"].tolist()
    assert ends == 2


def test_rows_that_end_begin_anew_in_the_same_step_and_hand_over_their_last_observation() -> None:
    envs = a_fleet_env(8)
    envs.reset(seed=0)
    lengths = np.zeros(8, int)
    seen_ends = 0
    for _ in range(3 * SMALL.episode_steps):
        observations, _, _, truncations, infos = envs.step(np.tile(ANSWER, (8, 1)))
        lengths += 1
        assert lengths.max() <= SMALL.episode_steps
        lengths[truncations] = 0
        assert infos.get("_final_obs", np.zeros(8, bool)).tolist() == truncations.tolist()
        for row in np.flatnonzero(truncations):
            last = infos["final_obs"][row]
            assert ((last >= LOW) & (last <= HIGH)).all()
            assert last.tolist() != observations[row].tolist()
            seen_ends += 1
        if truncations.any():
            assert all(infos["final_obs"][row] is None for row in np.flatnonzero(~truncations))
    assert seen_ends >= 2 * 8


def test_gymnasiums_statistics_count_a_fleets_episodes() -> None:
    envs: Any = RecordEpisodeStatistics(a_fleet_env(1))
    envs.reset(seed=0)
    for _ in range(SMALL.episode_steps):
        *_, infos = envs.step(ANSWER[None, :])
    assert infos["episode"]["l"].tolist() == [SMALL.episode_steps]


def test_the_same_seed_gives_the_same_fleet() -> None:
    runs = []
    for seed in (1, 1, 2):
        envs = a_fleet_env()
        envs.reset(seed=seed)
        runs.append([envs.step(np.tile(ANSWER, (4, 1)))[0].tobytes() for _ in range(40)])
    assert runs[0] == runs[1] != runs[2]


def test_a_fleet_of_none_is_refused() -> None:
    with pytest.raises(InputError, match=r"^num_envs: 0 is below 1$"):
        FleetEnv(0)

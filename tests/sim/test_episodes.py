"""Training episodes: windows of generated demand, each on a cluster of its own, from one seed."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from scaling.errors import InputError
from scaling.terms import TERMS
from scaling.workload import RECENT_STEPS
from sim.clairvoyant import needed_replicas
from sim.cluster import DEFAULTS, capacity_rps, new_params
from sim.episodes import EpisodeConfig, Episodes, sample

SMALL = EpisodeConfig(pool_series=3, pool_steps=400, episode_steps=40, history_steps=(0, 60))


def some_episodes(count: int = 6, seed: int = 0, config: EpisodeConfig = SMALL) -> Episodes:
    episodes = Episodes(count, np.random.default_rng(seed), config)
    episodes.begin(np.arange(count))
    return episodes


def no_answers(episodes: Episodes) -> NDArray[np.float32]:
    return np.zeros((len(episodes.series), 2), np.float32)


def test_a_window_ends_after_its_steps() -> None:
    episodes = some_episodes()
    ends = [episodes.step(no_answers(episodes))[1].tolist() for _ in range(SMALL.episode_steps)]
    assert ends == [[False] * 6] * (SMALL.episode_steps - 1) + [[True] * 6]


def test_staggered_first_windows_end_apart() -> None:
    episodes = Episodes(200, np.random.default_rng(0), SMALL)
    episodes.begin(np.arange(200), stagger=True)
    left = episodes.end - episodes.position
    assert left.min() >= 1
    assert left.max() <= SMALL.episode_steps
    assert len(set(left.tolist())) > 30


def test_a_window_and_its_history_stay_within_their_series() -> None:
    episodes = some_episodes(count=300)
    history = episodes.fleet.workloads["steps"]
    assert set(history.tolist()) == {1, 60}  # at least the reading that came just before the window
    assert (episodes.position >= np.where(history == 60, 60, 0)).all()
    assert episodes.end.max() <= SMALL.pool_steps


def test_the_memory_ends_where_the_window_begins() -> None:
    episodes = some_episodes(count=40)
    fleet = episodes.fleet
    for row in np.flatnonzero(fleet.workloads["steps"] == 60):
        past = episodes.pool[episodes.series[row], : episodes.position[row]][-60:].astype(float)
        hint = fleet.terms["stated_capacity"][row] / (fleet.params["workers"][row] / fleet.params["service_s"][row])
        logs = np.log(past / hint + 0.3)
        assert fleet.workloads["recent"][row][-60:] == pytest.approx(logs, rel=1e-6, abs=1e-6)


def test_the_cluster_sees_the_windows_demand() -> None:
    episodes = some_episodes()
    params = episodes.fleet.params
    per_step = params["workers"] / params["service_s"] * params["step_s"]
    for offset in range(5):
        pods = episodes.pool[episodes.series, episodes.position]
        episodes.step(no_answers(episodes))
        assert episodes.fleet.clusters["arrived"] == pytest.approx(pods * per_step, rel=1e-6), offset


def test_rewards_are_what_was_spent_beyond_demand_over_the_mean_pods_of_the_window() -> None:
    episodes = some_episodes()
    fleet = episodes.fleet
    windows = [
        episodes.pool[series, start : start + SMALL.episode_steps]
        for series, start in zip(episodes.series, episodes.position, strict=True)
    ]
    for _ in range(20):
        pods = episodes.pool[episodes.series, episodes.position].astype(float)
        before = fleet.clusters["desired"].copy()
        rewards, _ = episodes.step(no_answers(episodes))
        clusters, terms, params = fleet.clusters, fleet.terms, fleet.params
        late_pods = clusters["late"] / (params["workers"] / params["service_s"] * params["step_s"])
        moved = np.abs(clusters["desired"] - before)
        spent = clusters["replicas"] + terms["price"] * late_pods + terms["action_price"] * moved
        by_hand = (pods - spent) / (1.0 + np.array([window.mean() for window in windows]))
        assert rewards == pytest.approx(by_hand, rel=1e-4, abs=1e-4)


def run_bytes(seed: int) -> bytes:
    episodes = some_episodes(seed=seed)
    seen = []
    for _ in range(60):
        rewards, ended = episodes.step(no_answers(episodes))
        seen += [rewards.tobytes(), episodes.fleet.observations.tobytes()]
        episodes.begin(np.flatnonzero(ended))
    return b"".join(seen)


def test_the_same_seed_gives_the_same_episodes() -> None:
    assert run_bytes(1) == run_bytes(1)
    assert run_bytes(1) != run_bytes(2)


def test_every_sampled_cluster_can_be_simulated_and_can_serve_well() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        params, terms = sample(rng, EpisodeConfig())
        assert tuple(params) == tuple(DEFAULTS)
        new_params(**params)  # refuses what cannot be simulated
        assert needed_replicas(np.array([5 * capacity_rps(params)]), params)[0] < 12  # refuses a hopeless objective
        assert tuple(terms) == TERMS.names
        assert 1 <= terms["horizon"] <= RECENT_STEPS - 2
        assert 5.0 <= terms["price"] <= 150.0
        assert 0.3 <= terms["action_price"] <= 15.0


def test_clusters_can_be_left_as_they_are() -> None:
    params, terms = sample(np.random.default_rng(0), replace(SMALL, cluster=False, capacity_hint_sigma=0.0))
    assert params == DEFAULTS
    assert terms["stated_capacity"] == pytest.approx(capacity_rps(DEFAULTS))


def test_a_pool_shorter_than_its_windows_is_refused() -> None:
    with pytest.raises(InputError, match=r"^pool_steps: 99 is below 100, an episode and its history$"):
        Episodes(1, np.random.default_rng(0), replace(SMALL, pool_steps=99))

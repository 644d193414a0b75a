"""A fleet as a Gymnasium vector environment: thousands of clusters in one compiled step."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from scaling.errors import InputError
from sim.env import ACTION_SPACE, OBSERVATION_SPACE
from sim.episodes import EpisodeConfig, Episodes


class FleetEnv(VectorEnv[Any, Any, Any]):
    """`num_envs` clusters of `sim.env.ClusterEnv`, stepped together.

    Observation, action and reward are those of `ClusterEnv`, batched. A row whose window ends is truncated and begins
    anew in the same step: `infos["final_obs"]` (an object array) holds its last observation where
    `infos["_final_obs"]` is true, as in gymnasium's own vector environments. Raises InputError for `num_envs` below 1.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}  # noqa: RUF012 - gymnasium's own form

    def __init__(self, num_envs: int = 256, config: EpisodeConfig | None = None) -> None:
        if num_envs < 1:
            raise InputError(f"num_envs: {num_envs} is below 1")
        self.num_envs = num_envs
        self.config = config or EpisodeConfig()
        self.single_observation_space, self.single_action_space = OBSERVATION_SPACE, ACTION_SPACE
        self.observation_space = batch_space(OBSERVATION_SPACE, num_envs)
        self.action_space = batch_space(ACTION_SPACE, num_envs)
        self.episodes: Episodes | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Draw a demand pool and begin every row; their first episodes end apart."""
        super().reset(seed=seed, options=options)
        self.episodes = Episodes(self.num_envs, self.np_random, self.config)
        self.episodes.begin(np.arange(self.num_envs), stagger=self.num_envs > 1)
        return self.episodes.fleet.observations.copy(), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One step of every row. Raises gymnasium.error.ResetNeeded before the first reset."""
        if self.episodes is None:
            raise gymnasium.error.ResetNeeded("reset the environment before the first step")
        rewards, ended = self.episodes.step(np.clip(np.asarray(actions, np.float32), -1.0, 1.0))
        infos = self._begin_anew(self.episodes, np.flatnonzero(ended)) if ended.any() else {}
        observations = self.episodes.fleet.observations.copy()
        return observations, rewards.astype(np.float64), np.zeros_like(ended), ended, infos

    def _begin_anew(self, episodes: Episodes, rows: Any) -> dict[str, Any]:
        """Begin the rows whose windows have ended, and return their last observations."""
        last = np.full(self.num_envs, None, object)
        for row in rows:
            last[row] = episodes.fleet.observations[row].copy()
        episodes.begin(rows)
        return {"final_obs": last, "_final_obs": np.isin(np.arange(self.num_envs), rows)}

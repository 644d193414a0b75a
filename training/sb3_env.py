"""The fleet as Stable-Baselines3 wants it: a `VecEnv` over `sim.episodes`, without copies it does not need."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from sim.env import ACTION_SPACE, OBSERVATION_SPACE
from sim.episodes import EpisodeConfig, Episodes


class FleetVecEnv(VecEnv):
    """`rows` clusters; a reward is what a row did better than the newsvendor rule, over 1 + price / `price_scale`.

    A window that ends is a time limit, not an end: SB3 then continues the value from `terminal_observation`.
    """

    def __init__(self, rows: int, seed: int, price_scale: float, config: EpisodeConfig | None = None) -> None:
        self.episodes = Episodes(rows, np.random.default_rng(seed), config, beside_rule=True)
        self.price_scale = price_scale
        self._actions = np.zeros((rows, 2), np.float32)
        self._no_infos: list[dict[str, Any]] = [{} for _ in range(rows)]
        super().__init__(rows, OBSERVATION_SPACE, ACTION_SPACE)

    def reset(self) -> Any:
        """Begin every row, their first windows ending apart."""
        self.episodes.begin(np.arange(self.num_envs), stagger=True)
        return self.episodes.fleet.observations.copy()

    def step_async(self, actions: Any) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = np.clip(actions, -1.0, 1.0)

    def step_wait(self) -> Any:
        """One step of every row."""
        prices = self.episodes.fleet.terms["price"].copy()
        rewards, ended = self.episodes.step(self._actions)
        rewards /= 1.0 + prices / self.price_scale
        infos = self._no_infos
        if ended.any():
            infos = list(infos)
            rows = np.flatnonzero(ended)
            for row in rows:
                last = self.episodes.fleet.observations[row].copy()
                infos[row] = {"terminal_observation": last, "TimeLimit.truncated": True}
            self.episodes.begin(rows)
        return self.episodes.fleet.observations.copy(), rewards.astype(np.float32), ended, infos

    def close(self) -> None:
        """Nothing is held."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """SB3 asks for `render_mode` only."""
        return [getattr(self, attr_name, None) for _ in range(self.num_envs)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Rows have no attributes of their own. Raises AttributeError."""
        raise AttributeError(f"{attr_name}: rows of a fleet have no attributes of their own")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Rows have no methods of their own. Raises AttributeError."""
        raise AttributeError(f"{method_name}: rows of a fleet have no methods of their own")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """No row is wrapped."""
        return [False] * self.num_envs

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Chance comes from the constructor's seed alone."""
        return [None] * self.num_envs

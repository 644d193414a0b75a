"""The simulated cluster as a Gymnasium environment, `forescale/Cluster-v0`: a thin shell over `sim.episodes`."""

from inspect import cleandoc
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from scaling.features import FEATURES, HIGH, LOW
from sim.episodes import EpisodeConfig, Episodes

OBSERVATION_SPACE = Box(LOW, HIGH, dtype=np.float32)
ACTION_SPACE = Box(-1.0, 1.0, (2,), np.float32)


class ClusterEnv(gymnasium.Env[Any, Any]):
    """One workload on one cluster; a step is 15 s, an episode a window of generated demand.

    Observation, `Box` of float32; see `scaling.features`:

    {observation_table}

    Actions, `Box(-1, 1, (2,))`; (0, 0) is the newsvendor rule:

    | index | name | meaning |
    |---|---|---|
    | 0 | raise | moves the level that the band aims at by a factor of exp(0.4 x raise) |
    | 1 | release | moves the 10 % margin past which pods are released by a factor of exp(1.5 x release) |

    The band's answer then passes the same guards as in the operator.

    Reward, the sum of these over the mean pods of the window plus one:

    | term | unit | meaning |
    |---|---|---|
    | - pods | pod-steps | every pod that is asked for, starting ones included |
    | - price x late | pod-steps | requests over the latency objective or dropped, in pods' worth of requests |
    | - action price x pods moved | pod-steps | every pod added or removed |
    | + demand | pod-steps | what demand would just fill: the same whatever the policy does |

    Termination: never. Truncation: at the end of the window (`EpisodeConfig.episode_steps`).
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - gymnasium's own form

    def __init__(self, config: EpisodeConfig | None = None) -> None:
        self.config = config or EpisodeConfig(pool_series=4)
        self.observation_space, self.action_space = OBSERVATION_SPACE, ACTION_SPACE
        self.episodes: Episodes | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a window; a seed also draws the demand pool anew, so the same seed gives the same episode."""
        super().reset(seed=seed)
        if self.episodes is None or seed is not None:
            self.episodes = Episodes(1, self.np_random, self.config)
        self.episodes.begin(np.zeros(1, np.int64))
        return self._observation(self.episodes), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step. Raises gymnasium.error.ResetNeeded before the first reset."""
        if self.episodes is None:
            raise gymnasium.error.ResetNeeded("reset the environment before the first step")
        rewards, ended = self.episodes.step(np.clip(np.asarray(action, np.float32), -1.0, 1.0)[None, :])
        cluster = self.episodes.fleet.clusters[0]
        info = {"replicas": int(cluster["replicas"]), "late": float(cluster["late"])}
        return self._observation(self.episodes), float(rewards[0]), False, bool(ended[0]), info

    @staticmethod
    def _observation(episodes: Episodes) -> Any:
        return episodes.fleet.observations[0].copy()


def observation_table() -> str:
    """The features as a Markdown table, for the environment's docstring."""
    rows = (f"| {i} | {f.name} | {f.unit} | {f.low:g} | {f.high:g} | {f.meaning} |" for i, f in enumerate(FEATURES))
    return "\n".join(("| index | name | unit | low | high | meaning |", "|---|---|---|---|---|---|", *rows))


ClusterEnv.__doc__ = cleandoc(ClusterEnv.__doc__ or "").replace("{observation_table}", observation_table())

if "forescale/Cluster-v0" not in gymnasium.registry:  # `import forescale` registers it, too
    gymnasium.register(
        "forescale/Cluster-v0", entry_point="sim.env:ClusterEnv", vector_entry_point="sim.vector_env:FleetEnv"
    )

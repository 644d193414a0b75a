"""What a fleet is trained on: clusters of every kind under windows of generated demand.

`sample` draws a cluster's parameters and terms (domain randomisation); `Episodes` keeps a fleet running, each row in a
window of its own, and starts a row afresh when its window ends.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import InputError
from scaling.spec import MOST_REPLICAS, ScalingSpec
from scaling.terms import TERMS, terms_of
from scaling.workload import STEP_S
from sim.cluster import DEFAULTS, PARAMS, draw
from sim.demand import generate_fleet
from sim.fleet import Fleet
from sim.rivals import Rule


@dataclass(frozen=True)
class EpisodeConfig:
    """How episodes are made; every value is chosen unless it says otherwise."""

    pool_series: int = 512
    """Generated demand series to draw windows from."""
    pool_steps: int = 3 * 5760
    """Length of each: three days, so that a window can have a day and a half of history."""
    episode_steps: int = 960
    """Four hours: many times the longest start-up."""
    history_steps: tuple[int, ...] = (0, 240, 1440, 5760, 8640)
    """History that a row may remember at its start: none (cold start), 1 h, 6 h, a day, a day and a half; each equally
    likely. Only the last knows how well yesterday foretells today."""
    low_price: float = 5.0
    high_price: float = 150.0
    low_action_price: float = 0.3
    high_action_price: float = 15.0
    capacity_hint_sigma: float = 0.07
    """Log error of the stated capacity: without it a hint 10 % too high costs 8 % later (prototypes)."""
    cluster: bool = True
    """Draw the cluster's parameters too, rather than `sim.cluster.DEFAULTS`."""


class Episodes:
    """A fleet of `count` rows on generated demand. Raises InputError when the pool is too short for its windows.

    With `beside_rule` a second fleet lives through the same demand and chance under the plain newsvendor rule, and
    rewards are what a row did better than it: what nobody could have helped is then out of the rewards.
    """

    def __init__(
        self, count: int, rng: np.random.Generator, config: EpisodeConfig | None = None, beside_rule: bool = False
    ) -> None:
        self.config = config or EpisodeConfig()
        longest = self.config.episode_steps + max(self.config.history_steps)
        if self.config.pool_steps < longest:
            raise InputError(f"pool_steps: {self.config.pool_steps} is below {longest}, an episode and its history")
        self.rng = rng
        self.pool = generate_fleet(rng, self.config.pool_series, self.config.pool_steps, STEP_S)
        self.fleet = _new_fleet(count)
        self.rule = _new_fleet(count) if beside_rule else None
        self.series = np.zeros(count, np.int64)
        self.position = np.zeros(count, np.int64)
        self.end = np.zeros(count, np.int64)
        self.scale = np.ones(count)  # mean pods of the window, the unit of the rewards

    def begin(self, rows: NDArray[np.int64], stagger: bool = False) -> None:
        """Start some rows on new clusters, windows and histories; `stagger` ends their first episodes apart."""
        for row in rows:
            self._begin_row(int(row))
        if self.rule is not None:
            self.rule.copy_rows(rows, self.fleet)
        if stagger:
            shortened = self.rng.integers(1, self.config.episode_steps + 1, len(rows))
            self.end[rows] = self.position[rows] + shortened

    def step(self, answers: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """One step of every row under `answers`, (count, 2): rewards (count,) and which windows have ended.

        A reward is minus the pod-steps spent beyond what demand would fill, or beyond what the rule beside it spent,
        over the window's mean pods.
        """
        fleet = self.fleet
        pods = self.pool[self.series, self.position]
        demand_rps = pods * fleet.params["workers"] / fleet.params["service_s"]
        draws = draw(self.rng, len(pods))
        fleet.step(demand_rps, answers, draws)
        spent_anyway = pods
        if self.rule is not None:
            self.rule.step(demand_rps, np.zeros_like(answers), draws)
            spent_anyway = -self.rule.rewards
        self.position += 1
        rewards = (fleet.rewards + spent_anyway) / self.scale
        return rewards.astype(np.float32), self.position >= self.end

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every array that changes while episodes run, by name, as it stands: with `rng` the whole state but the pool,
        which the seed gives again."""
        own = {"series": self.series, "position": self.position, "end": self.end, "scale": self.scale}
        fleets = {"fleet": self.fleet} | ({} if self.rule is None else {"rule": self.rule})
        return own | {
            f"{name} {part}": array for name, fleet in fleets.items() for part, array in fleet.arrays().items()
        }

    def _begin_row(self, row: int) -> None:
        config, rng, fleet = self.config, self.rng, self.fleet
        history = int(rng.choice(config.history_steps))
        series = int(rng.integers(len(self.pool)))
        start = int(rng.integers(history, self.pool.shape[1] - config.episode_steps + 1))
        self.series[row], self.position[row], self.end[row] = series, start, start + config.episode_steps
        params, terms = sample(rng, config)
        fleet.params[row], fleet.terms[row] = tuple(params.values()), tuple(terms.values())
        window = self.pool[series, start : start + config.episode_steps]
        self.scale[row] = float(window.mean()) + 1.0
        now = float(self.pool[series, max(0, start - 1)])
        fleet.begin([row], [max(1, int(np.ceil(now * rng.uniform(0.9, 1.6))))])
        if history:
            per_pod = params["workers"] / params["service_s"]
            before = self.pool[series, start - history : start - 1].astype(np.float64)
            fleet.remember([row], before[None, :] * per_pod)
        fleet.observe_first(row, now * params["workers"] / params["service_s"])


def _new_fleet(count: int) -> Fleet:
    return Fleet(np.zeros(count, TERMS), np.zeros(count, PARAMS), np.full(count, Rule.ANSWERS), np.zeros(count))


def sample(rng: np.random.Generator, config: EpisodeConfig) -> tuple[dict[str, float], dict[str, Any]]:
    """Draw a cluster's parameters and the terms it is scaled under. Ranges are chosen to hold what users run."""
    params = dict(DEFAULTS)
    if config.cluster:
        params |= _sample_params(rng)
    hint = np.exp(config.capacity_hint_sigma * rng.standard_normal())
    stated = float(hint * params["workers"] / params["service_s"])
    spec = ScalingSpec(
        max_replicas=MOST_REPLICAS,
        target_per_replica=0.7 * stated,
        capacity_per_replica=stated,
        price=_log_uniform(rng, config.low_price, config.high_price),
        action_price=_log_uniform(rng, config.low_action_price, config.high_action_price),
        startup_s=float(params["startup_s"] * np.exp(0.1 * rng.standard_normal())),
    )
    return params, terms_of(spec)


def _sample_params(rng: np.random.Generator) -> dict[str, float]:
    service_s = _log_uniform(rng, 0.02, 0.5)
    return {
        "workers": float(rng.integers(1, 33)),
        "service_s": service_s,
        "objective_s": service_s * _log_uniform(rng, 6.0, 16.0),
        "timeout_s": _log_uniform(rng, 5.0, 30.0),
        "startup_s": _log_uniform(rng, 15.0, 240.0),
        "startup_sigma": rng.uniform(0.0, 0.4),
        "pods_per_node": float(rng.integers(4, 33)),
        "node_provision_s": _log_uniform(rng, 30.0, 180.0) if rng.random() < 0.7 else 0.0,
        "metric_noise": rng.uniform(0.0, 0.04),
        "metric_lag_s": float(rng.choice((0.0, 15.0, 30.0))),
        "rate_window_s": float(rng.choice((30.0, 60.0, 60.0, 120.0))),
    }


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))

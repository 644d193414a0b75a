"""`POST /predict` on the little cluster that small demo services of this field come from.

Ten servers at most. Load is 5 (1 + 0.5 sin(2 pi t / 24)) servers' worth, times a normal factor with a standard
deviation of 20 %. A step earns -servers - 10 (load per server - 0.6)^2, and -200 more where the load per server is
above 1. An episode has 100 steps. Known for it are the rule "above 80 % add, below 30 % remove" with -2725 and 7.7 %
overload, and a PPO policy trained on it with -2241 and 5.8 %. With how many servers they start, and whether one that
was added serves in the same step, is not known, so there is a row for each of four readings.

    python -m benchmarks.little_cluster [--episodes 500]
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from controller.api.deciding import SERVERS, predicted
from controller.api.models import PredictRequest

STEPS = 100
PERIOD = 24
MEAN_LOAD, SWING, NOISE = 5.0, 0.5, 0.2
CHANGE = {0: 0, 1: 1, 2: -1}
"""Servers, by action code."""

Agent = Callable[[int, float], int]
"""Servers and load per server in, change of servers out."""


@dataclass(frozen=True)
class Reading:
    """One reading of what is not published."""

    servers: int
    """Servers at the start."""
    late: bool
    """Whether a change serves one step later."""

    def __str__(self) -> str:
        return f"start {self.servers}, serves {'next step' if self.late else 'at once'}"


READINGS = (Reading(5, late=True), Reading(5, late=False), Reading(3, late=False), Reading(2, late=False))


def rule(servers: int, load: float) -> int:
    """Above 80 % add a server, below 30 % remove one."""
    return 1 if load > 0.8 else -1 if load < 0.3 else 0


@cache
def _asked(servers: int, percent: int) -> int:
    """What /predict says of a load in whole per cent, which is as fine as its answers get."""
    answer = predicted(PredictRequest(normalized_servers=servers / SERVERS, current_load=percent / 100))
    return CHANGE[answer.action_code]


def forescale(servers: int, load: float) -> int:
    """What `POST /predict` answers."""
    return _asked(servers, round(100 * load))


def episode(agent: Agent, reading: Reading, seed: int) -> tuple[float, float]:
    """The reward of one episode, and the share of its steps in overload."""
    noise = np.random.default_rng(seed).normal(1.0, NOISE, STEPS + 1)
    phase = 2 * math.pi * np.arange(STEPS + 1) / PERIOD
    demand = np.maximum(0.0, MEAN_LOAD * (1 + SWING * np.sin(phase)) * noise)
    servers, load, reward, overloads = reading.servers, float(demand[0]) / reading.servers, 0.0, 0
    for step in range(1, STEPS + 1):
        serving = servers
        servers = min(SERVERS, max(1, servers + agent(servers, load)))
        load = float(demand[step]) / (serving if reading.late else servers)
        overloads += load > 1
        reward -= servers + 10 * (load - 0.6) ** 2 + 200 * (load > 1)
    return reward, overloads / STEPS


def judged(agent: Agent, reading: Reading, episodes: int) -> tuple[float, float]:
    """Means over episodes with seeds from 0 on: reward, and share of steps in overload."""
    results = np.array([episode(agent, reading, seed) for seed in range(episodes)])
    return float(results[:, 0].mean()), float(results[:, 1].mean())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="/predict beside the rule, on the little cluster.")
    parser.add_argument("--episodes", type=int, default=500)
    episodes = parser.parse_args().episodes
    print(f"{'':34}{'rule 80/30':>18}{'forescale':>18}")
    for reading in READINGS:
        cells = (judged(agent, reading, episodes) for agent in (rule, forescale))
        print(f"{reading!s:34}" + "".join(f"{reward:9.0f} {100 * bad:6.1f} %" for reward, bad in cells))


if __name__ == "__main__":
    main()

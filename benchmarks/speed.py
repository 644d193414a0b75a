"""How fast the parts are: `python -m benchmarks.speed [--json FILE]`.

Every figure stands beside another measured in the same call: fleets beside one environment at a time, PPO on the fleet
beside PPO on a single environment, a batch of decisions beside one. Medians over repeats; absolute figures are this
machine's, ratios travel better.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import gymnasium
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from scaling.decide import PolicyState, Request, decide, decide_all
from scaling.features import FEATURES, N_FEATURES
from scaling.network import Network
from scaling.observation import Observation, Value
from scaling.policy import ACTIONS, NetworkPolicy
from scaling.policy_file import LoadedPolicy
from scaling.policy_manifest import FeatureRange, PolicyManifest
from scaling.spec import ScalingSpec
from sim.cluster import draw
from sim.env import ClusterEnv
from sim.episodes import EpisodeConfig, Episodes
from training.config import TrainConfig
from training.sb3_env import FleetVecEnv
from training.train import THREADS, new_model

FLEETS = (256, 1024, 4096)
REPEATS = 5
GOALS = {
    "fleet of 1024, step and observation": 2e6,
    "PPO on a fleet of 1024": 5e4,
    "one decision": 100.0,
    "import of the controller": 1.0,
}
"""To reach on 2 cores."""


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description="Environment steps, PPO steps and decisions a second.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    figures = [*fleet_figures(), *ppo_figures(), *decision_figures(), *import_figures()]
    Console().print(_table(figures))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"cores": os.cpu_count(), "figures": figures}, indent=1) + "\n")


Figure = dict[str, str | float]


def fleet_figures() -> list[Figure]:
    """Environment steps a second of the compiled fleet, beside one Gymnasium environment stepped in a loop."""
    single = _single_environment_rate()
    figures = [_figure("one environment at a time", single, "env-steps/s", 1.0)]
    for rows in FLEETS:
        rate = _fleet_rate(rows)
        figures.append(_figure(f"fleet of {rows}, step and observation", rate, "env-steps/s", rate / single))
    return figures


def ppo_figures() -> list[Figure]:
    """Training steps a second of our PPO, beside Stable-Baselines3's defaults on one environment."""
    torch.set_num_threads(THREADS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SB3 warns about a batch that does not divide the short rollout
        plain = _learning_rate_of(PPO("MlpPolicy", DummyVecEnv([ClusterEnv]), n_steps=1024, device="cpu"), 4096)
    config = TrainConfig()
    fleet = FleetVecEnv(config.rows, 0, config.price_scale)
    ours = _learning_rate_of(new_model(config, fleet, None), 8 * config.rows * config.rollout_steps)
    return [
        _figure("PPO, one environment at a time", plain, "steps/s", 1.0),
        _figure(f"PPO on a fleet of {config.rows}", ours, "steps/s", ours / plain),
    ]


def decision_figures() -> list[Figure]:
    """Microseconds of a whole decision with a network of the shipped size, alone and in a batch of 1000."""
    policy, spec = _policy(), ScalingSpec(max_replicas=60, target_per_replica=70.0)
    requests = [_request(spec, seed) for seed in range(1000)]
    one = _microseconds(lambda now_s: decide(requests[0].observation, spec, requests[0].state, policy, now_s), 2000)
    batch = _microseconds(lambda now_s: decide_all(requests, policy, now_s), 20) / len(requests)
    features = np.zeros((1, N_FEATURES), np.float32)
    network = _microseconds(lambda _now_s: policy.answer(features), 5000)
    return [
        _figure("one decision", one, "us", 1.0),
        _figure("of these, the network", network, "us", network / one),
        _figure("a decision in a batch of 1000", batch, "us", batch / one),
    ]


def import_figures() -> list[Figure]:
    """Seconds to import the controller in a fresh interpreter, beside an empty one."""
    empty = _import_seconds("pass")
    ours = _import_seconds(
        "import controller.reconcile, controller.policy_choice, sys; assert 'torch' not in sys.modules"
    )
    return [
        _figure("an empty interpreter", empty, "s", 1.0),
        _figure("import of the controller", ours, "s", ours / empty),
    ]


def _single_environment_rate() -> float:
    env = gymnasium.make("forescale/Cluster-v0")
    env.reset(seed=0)
    action = np.zeros(2, np.float32)

    def run() -> None:
        for _ in range(2000):
            if env.step(action)[3]:
                env.reset()

    return 2000 / _median_seconds(run)


def _fleet_rate(rows: int) -> float:
    episodes = Episodes(rows, np.random.default_rng(0), EpisodeConfig(pool_series=64, history_steps=(240,)))
    episodes.begin(np.arange(rows))
    rng, answers = np.random.default_rng(1), np.zeros((rows, 2), np.float32)
    fleet, steps = episodes.fleet, max(1, 400_000 // rows)
    demand_rps = episodes.pool[episodes.series, episodes.position] * fleet.params["workers"] / fleet.params["service_s"]

    def run() -> None:
        for _ in range(steps):
            fleet.step(demand_rps, answers, draw(rng, rows))

    return steps * rows / _median_seconds(run)


def _learning_rate_of(model: PPO, steps: int) -> float:
    model.learn(max(1, steps // 4))  # compiles, and fills caches

    def run() -> None:
        model.learn(steps, reset_num_timesteps=False)

    return steps / _median_seconds(run, repeats=2)


def _policy() -> NetworkPolicy:
    rng, widths = np.random.default_rng(0), (N_FEATURES, 64, 64, len(ACTIONS))
    layers = tuple(
        (rng.normal(0, 0.1, (after, before)).astype(np.float32), np.zeros(after, np.float32))
        for before, after in pairwise(widths)
    )
    ranges = tuple(FeatureRange(f.name, f.unit, f.low, f.high, f.low, f.high) for f in FEATURES)
    manifest = PolicyManifest("bench", "2026-01-01", ranges, ACTIONS, {}, {})
    return NetworkPolicy(LoadedPolicy(Network(layers), manifest))


def _request(spec: ScalingSpec, seed: int) -> Request:
    demand = 700.0 + 10.0 * (seed % 17)
    return Request(Observation(Value(demand), 12, 12), spec, PolicyState())


def _microseconds(call: Callable[[float], object], count: int) -> float:
    """Median over calls; the clock moves on by 15 s a call, as it would."""
    seconds = []
    for index in range(count):
        start = time.perf_counter()
        call(15.0 * index)
        seconds.append(time.perf_counter() - start)
    return 1e6 * statistics.median(seconds)


def _import_seconds(statement: str) -> float:
    def run() -> None:
        subprocess.run([sys.executable, "-c", statement], check=True)

    return _median_seconds(run)


def _median_seconds(run: Callable[[], None], repeats: int = REPEATS) -> float:
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _figure(name: str, value: float, unit: str, ratio: float) -> Figure:
    return {"name": name, "value": value, "unit": unit, "ratio": ratio}


def _table(figures: list[Figure]) -> Table:
    table = Table(title=f"{os.cpu_count()} cores; ratios to the first line of each group", box=None)
    for column in ("what", "value", "unit", "ratio", "goal"):
        table.add_column(column, justify="left" if column in {"what", "unit"} else "right")
    for figure in figures:
        goal = GOALS.get(str(figure["name"]))
        value, ratio = float(figure["value"]), float(figure["ratio"])
        table.add_row(
            str(figure["name"]),
            f"{value:,.4g}",
            str(figure["unit"]),
            f"{ratio:.3g}",
            "" if goal is None else f"{goal:,.4g}",
        )
    return table


if __name__ == "__main__":
    main()

"""Inputs for the tests of the decision core, valid by default, so that a test shows only what it is about."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.decide import PolicyState, remember
from scaling.decision import Band
from scaling.features import N_FEATURES, encode
from scaling.network import Network
from scaling.observation import Observation, Reading, Value
from scaling.policy import ACTIONS, NetworkPolicy, feature_schema
from scaling.policy_file import LoadedPolicy
from scaling.policy_manifest import FeatureRange, PolicyManifest
from scaling.spec import ScalingSpec
from scaling.terms import terms_of
from scaling.workload import new_workload, observe

CAPACITY_RPS = 100.0
"""Of one replica of `a_spec`, so that 700 rps are 7 pods."""

HORIZON = 7
"""Of `a_spec`: a minute's start-up."""


def a_spec(**changes: Any) -> ScalingSpec:
    fields: dict[str, Any] = {
        "max_replicas": 60,
        "min_replicas": 2,
        "target_per_replica": 70.0,
        "capacity_per_replica": CAPACITY_RPS,
        "policy_name": "snvt",
    }
    return ScalingSpec(**fields | changes)


def some_terms(**changes: Any) -> dict[str, Any]:
    """The terms of `a_spec`, some of them changed beyond what a spec may say."""
    return terms_of(a_spec()) | changes


def an_observation(
    demand: float | Reading = 700.0, current: int = 10, ready: int | None = None, bad_ratio: float | None = None
) -> Observation:
    """`demand` in rps stands for a full reading of it; all replicas are ready unless said otherwise."""
    reading = Value(demand) if isinstance(demand, float) else demand
    return Observation(reading, current, current if ready is None else ready, bad_ratio)


def a_memory(levels: Iterable[float] = (7.0,) * 100, price: float = 30.0, horizon: int = HORIZON) -> dict[str, Any]:
    """A workload's memory after demand of so many pods, oldest first."""
    memory = new_workload()
    for level in levels:
        observe(memory, level, price, horizon)
    return memory


def a_state(demand: Iterable[float] = (700.0,) * 100, replicas: int = 10, until_s: float = 0.0) -> PolicyState:
    """The state of `a_spec` after so much demand (rps), with a release window that has passed."""
    state = PolicyState()
    remember(state, a_spec(), tuple(demand), until_s, replicas)
    state.memory["targets"][:] = 0
    return state


def encoded(memory: dict[str, Any], terms: dict[str, Any], current: int = 10, ready: int = 10) -> NDArray[np.float32]:
    """The features of a memory, over values that show which of them was left out."""
    out = np.full(N_FEATURES, np.nan, np.float32)
    encode(memory, terms, current, ready, out)
    return out


def a_network_policy(hidden: tuple[int, ...] = (64, 64), seed: int = 0, **seen: tuple[float, float]) -> NetworkPolicy:
    """Random weights; `seen` narrows what training saw of the features it names."""
    rng = np.random.default_rng(seed)
    layers = tuple(
        (
            rng.normal(0.0, 1 / inputs**0.5, (outputs, inputs)).astype(np.float32),
            rng.normal(0.0, 0.1, outputs).astype(np.float32),
        )
        for inputs, outputs in pairwise((N_FEATURES, *hidden, len(ACTIONS)))
    )
    manifest = PolicyManifest(
        name="random",
        created="2026-11-23T12:00:00Z",
        features=tuple(FeatureRange(*row, *seen.get(row[0], row[2:])) for row in feature_schema()),
        actions=ACTIONS,
        training={},
        evaluation={},
        sha256="5" * 64,
    )
    return NetworkPolicy(LoadedPolicy(Network(layers), manifest))


@dataclass
class ScriptedPolicy:
    """Answers and bands as a test wants them, however senseless."""

    lo: int = 0
    hi: int = 0
    answers: tuple[float, float] = (0.0, 0.0)
    strange: tuple[str, ...] = ()
    name: str = "scripted"
    sha256: str = ""
    asked: list[int] = field(default_factory=list)

    def answer(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        self.asked.append(len(features))
        return np.tile(np.array(self.answers, np.float32), (len(features), 1))

    def band(self, w: Any, terms: Any, current: int, answer: NDArray[np.float32]) -> Band:
        return Band(self.lo, self.hi)

    def unfamiliar(self, features: NDArray[np.float32]) -> tuple[str, ...]:
        return self.strange


def a_walk(n_steps: int, seed: int = 0, start: float = 700.0, spread: float = 0.08) -> list[float]:
    """Demand (rps) that wanders: a geometric random walk, drawn back to where it began."""
    rng = np.random.default_rng(seed)
    log_ratio, walk = 0.0, []
    for change in rng.normal(0.0, spread, n_steps):
        log_ratio = 0.98 * log_ratio + change
        walk.append(start * float(np.exp(log_ratio)))
    return walk

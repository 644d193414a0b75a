"""Clusters, chance and fleets for tests: quiet ones unless a test says otherwise."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.terms import TERMS, horizon_steps
from sim.cluster import DRAWS, NORMALS, begin_cluster, capacity_rps, new_cluster, new_params, params_rows, transition
from sim.fleet import Fleet
from sim.rivals import Rule

QUIET = {
    "startup_sigma": 0.0,
    "node_provision_s": 0.0,
    "crash_per_pod_hour": 0.0,
    "metric_noise": 0.0,
    "gap_per_hour": 0.0,
}
NO_GUARDS = {"floor_utilization": 1e9, "ceiling_ratio": 1e9, "min_ready_ratio": 0.0}

Params = dict[str, float]
Cluster = dict[str, Any]


def quiet_params(**changes: float) -> Params:
    """A cluster without chance: every start-up takes `startup_s`, nothing crashes, metrics are exact."""
    return new_params(**(QUIET | changes))


def no_chance(**changes: float) -> NDArray[np.float64]:
    """Draws of a step in which nothing happens; `normal0=1.5` or `uniform1=0.0` replaces one of them."""
    draws = np.concatenate([np.zeros(NORMALS), np.full(DRAWS - NORMALS, 1 - 1e-9)])
    for name, value in changes.items():
        draws[int(name[-1]) + (NORMALS if name.startswith("uniform") else 0)] = value
    return draws


def a_cluster(replicas: int, params: Params) -> Cluster:
    cluster = new_cluster()
    begin_cluster(cluster, replicas, params)
    return cluster


def steps(cluster: Cluster, params: Params, targets: Iterable[int], demand_rps: float = 0.0) -> list[int]:
    """Follow targets through steps without chance: ready pods in each of them."""
    ready = []
    for target in targets:
        transition(cluster, target, demand_rps, params, no_chance())
        ready.append(cluster["ready"])
    return ready


def a_terms(params: Params, **changes: Any) -> dict[str, Any]:
    terms: dict[str, Any] = dict.fromkeys(TERMS.names or (), 0) | {
        "stated_capacity": capacity_rps(params),
        "min_replicas": 1,
        "max_replicas": 10_000,
        "price": 30.0,
        "action_price": 3.0,
        "horizon": horizon_steps(params["startup_s"]),
        "reference_target": 0.7,
        "reference_window": 20,
        "release_window": 8,
        "hold_after_add": 4,
        "floor_utilization": 0.9,
        "ceiling_ratio": 2.0,
        "min_ready_ratio": 0.5,
    }
    return terms | changes


def a_fleet(rules: Sequence[Rule], params: Params, arguments: Sequence[float] = (), **terms: Any) -> Fleet:
    """One row a rule on equal clusters, not begun yet."""
    count = len(rules)
    row = tuple(a_terms(params, **terms).values())
    return Fleet(np.array([row] * count, TERMS), params_rows([params] * count), rules, arguments or np.zeros(count))

"""What a run cost and how well it served: the measures that every comparison quotes.

`cost`, `bad` and `J` are defined in docs/evaluation.md; nothing here simulates.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PRICES = (10.0, 30.0, 100.0)
"""Prices of a bad request at which J is quoted: 30 means that 1 % bad costs 30 % of the clairvoyant bill."""


@dataclass(frozen=True)
class PolicyRun:
    """One policy driven over a demand series; every array is (n_steps,) on one grid of `step_s` seconds."""

    name: str
    replicas: NDArray[np.float64]  # pods that are paid for, starting ones included
    ready: NDArray[np.float64]  # pods that serve
    requests: NDArray[np.float64]  # arrivals in the step
    late: NDArray[np.float64]  # of these, over the latency objective or dropped
    latency_p95_s: NDArray[np.float64]
    actions: int  # steps in which the desired replicas changed


@dataclass(frozen=True)
class Run:
    """Several policies over the same demand, for a report."""

    title: str
    step_s: float
    objective_s: float  # latency objective
    capacity_rps: float  # what one ready replica serves
    demand_rps: NDArray[np.float64]
    policies: tuple[PolicyRun, ...]  # forescale first, then hpa, clairvoyant and others
    unit: str = "requests/s"  # of the demand and of the capacity

    def policy(self, name: str) -> PolicyRun:
        """The run of one policy. Raises KeyError for a name that did not run."""
        return {run.name: run for run in self.policies}[name]

    @property
    def time_s(self) -> NDArray[np.float64]:
        """Seconds since the start, (n_steps,)."""
        return np.arange(len(self.demand_rps), dtype=np.float64) * self.step_s


@dataclass(frozen=True)
class Measures:
    """The figures of one policy on one series."""

    pod_seconds: float
    cost: float  # pod-seconds over the clairvoyant minimum
    bad_ratio: float  # requests over the objective or dropped, request-weighted
    actions: int

    @property
    def replica_hours(self) -> float:
        """Pod-seconds in hours."""
        return self.pod_seconds / 3600

    def j(self, price: float) -> float:
        """cost + price x bad ratio, the measure to minimise."""
        return self.cost + price * self.bad_ratio


def measure(run: PolicyRun, step_s: float, clairvoyant_pod_seconds: float) -> Measures:
    """Measures of one run beside the clairvoyant bill (pod-seconds, > 0)."""
    pod_seconds = float(run.replicas.sum() * step_s)
    requests = float(run.requests.sum())
    bad_ratio = float(run.late.sum()) / requests if requests > 0 else 0.0
    return Measures(pod_seconds, pod_seconds / clairvoyant_pod_seconds, bad_ratio, run.actions)

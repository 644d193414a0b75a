"""The numbers of a `ScalingSpec` that a decision computes with, as a record: `TABLE` has each, with unit and meaning.

A new number needs one row of the table, and the kernel that reads it.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from scaling.spec import Mode, ScalingSpec
from scaling.workload import RECENT_STEPS, REFERENCE_STEPS, STEP_S, TARGET_STEPS

METRIC_LAG_STEPS = 2
"""A 60 s rate shows a rise about half its window late: two steps of 15 s."""
REFERENCE_WINDOW_S = 300.0
"""Source: kube-controller-manager v1.34 --horizontal-pod-autoscaler-downscale-stabilization, default 5 min."""
RELEASE_WINDOW_S = 120.0
HOLD_AFTER_ADD_S = 60.0
"""Both chosen: the shortest that keep churn near the HPA's in the prototypes."""
LEAST_HORIZON_STEPS = 4
"""A minute: pods that start in less than 15 s are planned for like those that take it, as policies were trained on none
that are faster."""
DEFAULT_STARTUP_S = 60.0
"""Assumed until the start-up of the target's own pods is known (chosen)."""


def horizon_steps(startup_s: float, interval_s: float = STEP_S) -> int:
    """Steps until the pods of the next decision, an interval from now, serve and show in the metric."""
    steps = math.ceil((startup_s + interval_s) / STEP_S - 1e-9) + METRIC_LAG_STEPS
    return max(LEAST_HORIZON_STEPS, min(RECENT_STEPS - 2, steps))


class Term(NamedTuple):
    """One number of a decision."""

    name: str
    kind: type
    unit: str
    meaning: str
    of: Callable[[ScalingSpec], float]
    """Its value for a spec."""


def _decisions(window_s: float, interval_s: float, most: int) -> int:
    return max(1, min(most, int(window_s / interval_s)))


def _horizon(spec: ScalingSpec) -> int:
    return horizon_steps(DEFAULT_STARTUP_S if spec.startup_s is None else spec.startup_s, spec.interval_s)


def _reference_window(spec: ScalingSpec) -> int:
    return _decisions(REFERENCE_WINDOW_S, spec.interval_s, REFERENCE_STEPS - 1)


def _release_window(spec: ScalingSpec) -> int:
    return _decisions(RELEASE_WINDOW_S, spec.interval_s, TARGET_STEPS)


TABLE = (
    Term("stated_capacity", np.float64, "demand", "what one replica is stated to serve; one pod of demand",
         lambda spec: spec.stated_capacity),
    Term("min_replicas", np.int64, "replicas", "lower bound", lambda spec: spec.min_replicas),
    Term("max_replicas", np.int64, "replicas", "upper bound", lambda spec: spec.max_replicas),
    Term("price", np.float64, "1", "of a bad request: 30 means that 1 % bad costs 30 % of the ideal bill",
         lambda spec: spec.price),
    Term("action_price", np.float64, "pod-steps", "of one pod added or removed", lambda spec: spec.action_price),
    Term("horizon", np.int64, "steps", "until the pods of the next decision serve, metric lag included", _horizon),
    Term("reference_target", np.float64, "1", "utilisation that the reference HPA aims at",
         lambda spec: spec.target_per_replica / spec.stated_capacity),
    Term("reference_window", np.int64, "decisions", "down-stabilisation of the reference HPA", _reference_window),
    Term("release_window", np.int64, "decisions", "a band releases only what no decision in this window asked for",
         _release_window),
    Term("hold_after_add", np.int64, "steps", "nothing is removed for so long after a scale-up",
         lambda spec: round(HOLD_AFTER_ADD_S / STEP_S)),
    Term("floor_utilization", np.float64, "1", "present demand needs replicas at this share of their capacity",
         lambda spec: spec.guardrails.floor_utilization_ratio),
    Term("ceiling_ratio", np.float64, "1", "at most so many times the reference HPA's replicas",
         lambda spec: spec.guardrails.ceiling_ratio),
    Term("min_ready_ratio", np.float64, "1", "nothing is removed while a smaller share of the replicas serves",
         lambda spec: spec.guardrails.min_ready_ratio),
    Term("up_only", np.int64, "0 or 1", "mode UpOnly", lambda spec: int(spec.mode is Mode.UP_ONLY)),
)  # fmt: skip
"""Every number, in the order of the record."""

TERMS = np.dtype([(term.name, term.kind) for term in TABLE], align=True)


def terms_of(spec: ScalingSpec) -> dict[str, Any]:
    """The terms of a spec, as a dict for plain Python; `np.array(tuple(terms.values()), TERMS)` is the record."""
    return {term.name: term.of(spec) for term in TABLE}

"""The numbers of a `ScalingSpec` that a decision computes with, as a record.

| field | unit | meaning |
|---|---|---|
| stated_capacity | demand | what one replica is stated to serve; one pod of demand |
| min_replicas, max_replicas | replicas | bounds |
| price | 1 | of a bad request: 30 means that 1 % bad costs 30 % of the ideal bill |
| action_price | pod-steps | of one pod added or removed |
| horizon | steps | until the pods of the next decision serve, metric lag included |
| reference_target | 1 | utilisation that the reference HPA aims at |
| reference_window | decisions | down-stabilisation of the reference HPA |
| release_window | decisions | a band releases only what no decision in this window asked for |
| hold_after_add | steps | nothing is removed for so long after a scale-up |
| floor_utilization, ceiling_ratio, min_ready_ratio | 1 | guardrails |
| up_only | 0 or 1 | mode UpOnly |
"""

import math
from typing import Any

import numpy as np

from scaling.spec import Mode, ScalingSpec
from scaling.workload import RECENT_STEPS, REFERENCE_STEPS, STEP_S, TARGET_STEPS

TERMS = np.dtype(
    [
        ("stated_capacity", np.float64),
        ("min_replicas", np.int64),
        ("max_replicas", np.int64),
        ("price", np.float64),
        ("action_price", np.float64),
        ("horizon", np.int64),
        ("reference_target", np.float64),
        ("reference_window", np.int64),
        ("release_window", np.int64),
        ("hold_after_add", np.int64),
        ("floor_utilization", np.float64),
        ("ceiling_ratio", np.float64),
        ("min_ready_ratio", np.float64),
        ("up_only", np.int64),
    ],
    align=True,
)

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


def terms_of(spec: ScalingSpec) -> dict[str, Any]:
    """The terms of a spec, as a dict for plain Python; `np.array(tuple(terms.values()), TERMS)` is the record."""
    return {  # in the order of TERMS
        "stated_capacity": spec.stated_capacity,
        "min_replicas": spec.min_replicas,
        "max_replicas": spec.max_replicas,
        "price": spec.price,
        "action_price": spec.action_price,
        "horizon": horizon_steps(DEFAULT_STARTUP_S if spec.startup_s is None else spec.startup_s, spec.interval_s),
        "reference_target": spec.target_per_replica / spec.stated_capacity,
        "reference_window": _decisions(REFERENCE_WINDOW_S, spec.interval_s, REFERENCE_STEPS - 1),
        "release_window": _decisions(RELEASE_WINDOW_S, spec.interval_s, TARGET_STEPS),
        "hold_after_add": round(HOLD_AFTER_ADD_S / STEP_S),
        "floor_utilization": spec.guardrails.floor_utilization_ratio,
        "ceiling_ratio": spec.guardrails.ceiling_ratio,
        "min_ready_ratio": spec.guardrails.min_ready_ratio,
        "up_only": int(spec.mode is Mode.UP_ONLY),
    }


def _decisions(window_s: float, interval_s: float, limit: int) -> int:
    return max(1, min(limit, int(window_s / interval_s)))

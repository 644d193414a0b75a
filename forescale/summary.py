"""A run as figures: the rows of its table, its headline and its JSON."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale import words
from forescale.provenance import Provenance
from scaling.decision import Action, Decision, Reason
from scaling.spec import ScalingSpec
from sim.measures import PRICES, Measures, Run, measure

FORESCALE, HPA, CLAIRVOYANT = "forescale", "hpa", "clairvoyant"

COLUMNS = ("policy", "replica-hours", "vs HPA", "cost", "bad requests", "actions", "J(10)", "J(30)", "J(100)")


@dataclass(frozen=True)
class Row:
    """One policy's figures, and what it saved against the HPA (share of replica-hours; negative when it used more)."""

    name: str
    measures: Measures
    savings_ratio: float


def rows(run: Run) -> tuple[Row, ...]:
    """Every policy of a run, in the run's order. Raises KeyError if the HPA or the clairvoyant did not run."""
    ideal = float(run.policy(CLAIRVOYANT).replicas.sum() * run.step_s) or math.nan
    measures = {policy.name: measure(policy, run.step_s, ideal) for policy in run.policies}
    return tuple(Row(name, figures, _savings(figures, measures[HPA])) for name, figures in measures.items())


def cells(row: Row) -> tuple[str, ...]:
    """A row as text, in `COLUMNS` order."""
    measures = row.measures
    return (
        words.title(row.name),
        words.number(measures.replica_hours, 1),
        words.change(-row.savings_ratio),
        words.number(measures.cost),
        words.percent(measures.bad_ratio),
        f"{measures.actions:,}",
        *(words.number(measures.j(price)) for price in PRICES),
    )


def headline(run: Run) -> str:
    """What forescale cost and how it served beside the HPA, in one sentence that stays true when it did worse."""
    by_name = {row.name: row for row in rows(run)}
    ours, theirs = by_name[FORESCALE], by_name[HPA]
    return (
        f"forescale used {words.number(ours.measures.replica_hours, 1)} replica-hours against the HPA's "
        f"{words.number(theirs.measures.replica_hours, 1)} ({words.change(-ours.savings_ratio)}), with "
        f"{words.percent(ours.measures.bad_ratio)} bad requests against {words.percent(theirs.measures.bad_ratio)}."
    )


def scaling_actions(decisions: Sequence[Decision]) -> tuple[Decision, ...]:
    """The decisions that change the replicas."""
    return tuple(decision for decision in decisions if decision.action is not Action.HOLD)


def hold_reasons(decisions: Sequence[Decision]) -> list[tuple[Reason, int]]:
    """How many holds gave each reason, most frequent first; one hold can give several."""
    holds = (decision for decision in decisions if decision.action is Action.HOLD)
    return Counter(reason for decision in holds for reason in decision.reasons).most_common()


SCHEMA_VERSION = 1
"""Of the document that `-o json` prints. A field that is added keeps it; one that changes or goes raises it."""


def heading(origin: Provenance) -> dict[str, Any]:
    """What a document says of the whole run."""
    return {
        "schema_version": SCHEMA_VERSION,
        "forescale_version": origin.version,
        "command": origin.command,
        "seed": origin.seed,
    }


def document(
    run: Run, decisions: Sequence[Decision], spec: ScalingSpec, origin: Provenance, unit: str
) -> dict[str, Any]:
    """What `-o json` prints of one workload; a figure that is not defined is null. docs/dry-run.md has every field."""
    return {
        "policy": {"name": origin.policy_name, "sha256": origin.policy_sha256 or None},
        "unit": unit,
        "price": spec.price,
        "objective_s": spec.objective_s,
        "target_per_replica": spec.target_per_replica,
        "capacity_per_replica": spec.stated_capacity,
        "min_replicas": spec.min_replicas,
        "max_replicas": spec.max_replicas,
        "policies": figures(run, spec.price),
        "decisions": [_decision(decision) for decision in decisions],
        "series": _series(run),
    }


def figures(run: Run, price: float) -> dict[str, dict[str, float | int | None]]:
    """Each policy's figures by its name; `price` is what the workload's own J puts on a bad request."""
    return {row.name: _figures(row.measures, price) for row in rows(run)}


def _savings(ours: Measures, hpa: Measures) -> float:
    return 1 - ours.pod_seconds / hpa.pod_seconds if hpa.pod_seconds > 0 else math.nan


def _figures(measures: Measures, price: float) -> dict[str, float | int | None]:
    return {
        "replica_hours": measures.replica_hours,
        "bad_ratio": measures.bad_ratio,
        "actions": int(measures.actions),
        "cost_ratio": _finite(measures.cost),
        "j": _finite(measures.j(price)),
        **{f"j{each:g}": _finite(measures.j(each)) for each in PRICES},
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "time_s": float(decision.time_s),
        "action": decision.action.value,
        "demand": decision.demand,
        "current_replicas": int(decision.current_replicas),
        "reference_replicas": int(decision.reference_replicas),
        "band": None if decision.band is None else [int(decision.band.lo), int(decision.band.hi)],
        "proposed_replicas": int(decision.proposed_replicas),
        "final_replicas": int(decision.final_replicas),
        "reasons": [reason.value for reason in decision.reasons],
    }


def _series(run: Run) -> dict[str, Any]:
    """Every step of the run; step k lasts from k x step_s to (k + 1) x step_s."""
    return {
        "step_s": run.step_s,
        "demand": _numbers(run.demand_rps),
        "policies": {
            policy.name: {
                "replicas": policy.replicas.astype(int).tolist(),
                "ready_replicas": policy.ready.astype(int).tolist(),
                "requests": _numbers(policy.requests),
                "bad_requests": _numbers(policy.late),
                "latency_p95_s": _numbers(policy.latency_p95_s),
            }
            for policy in run.policies
        },
    }


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    """Six significant digits, as no step is known better; null for what is not finite."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values.tolist()]

"""A run as figures: the rows of its table, its headline and its JSON."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from forescale import words
from scaling.decision import Action, Decision, Reason
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


def document(run: Run, decisions: Sequence[Decision]) -> dict[str, Any]:
    """What `--json` prints of one workload; a figure that is not defined is null."""
    return {
        "policies": {row.name: _figures(row.measures) for row in rows(run)},
        "decisions": [_decision(decision) for decision in decisions],
    }


def _savings(ours: Measures, hpa: Measures) -> float:
    return 1 - ours.pod_seconds / hpa.pod_seconds if hpa.pod_seconds > 0 else math.nan


def _figures(measures: Measures) -> dict[str, float | int | None]:
    return {
        "replica_hours": measures.replica_hours,
        "bad_ratio": measures.bad_ratio,
        "actions": int(measures.actions),
        "cost_ratio": measures.cost if math.isfinite(measures.cost) else None,
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "time_s": float(decision.time_s),
        "action": decision.action.value,
        "proposed_replicas": int(decision.proposed_replicas),
        "final_replicas": int(decision.final_replicas),
        "reasons": [reason.value for reason in decision.reasons],
    }

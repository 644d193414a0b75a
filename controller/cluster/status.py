"""An outcome as the status of its ScalingPolicy, and whether the difference to what stands there is worth a write.

Pure. Owns the fields and what is material; the conditions are in `conditions.py`, the schema that all of it fits is
`controller.crd.status`. Writing is left to `reporter.py`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from controller.cluster.conditions import Facts, Said, conditions_of, is_dry_run, merged, tells_otherwise
from controller.crd.resource import Queries
from controller.crd.status import fitting, rfc3339, time_of
from controller.ports import Scale
from controller.reconcile import Outcome
from scaling.behavior import longest_period_s
from scaling.decision import Decision, Reason

Status = dict[str, Any]

SPACING_S = 60.0
"""Least time between two writes of sizes that nobody wrote, or of other words for what is wrong: what a policy in
Shadow would do changes with every reading (chosen)."""

LASTING = (
    Reason.METRIC_EMPTY,
    Reason.METRIC_NAN,
    Reason.METRIC_STALE,
    Reason.METRIC_ERROR,
    Reason.METRIC_IMPLAUSIBLE,
    Reason.METRIC_PARTIAL,
    Reason.HISTORY_SHORT,
    Reason.READINESS_UNKNOWN,
    Reason.FROZEN,
)
"""Reasons that last and that no condition tells apart; others come and go with the load."""


def status_of(outcome: Outcome, facts: Facts) -> Status:
    """The status after an outcome."""
    decision = outcome.decision
    status = {
        "observedGeneration": facts.generation,
        **_sizes(outcome),
        **(_change(decision, facts) if outcome.changed and decision else _change_before(facts)),
        "recentChanges": _recent_changes(outcome, facts),
        "conditions": merged(conditions_of(outcome, facts), facts),
        "lastDecision": None if decision is None else _last_decision(decision, facts),
        "queries": _queries(outcome.target.resource.queries),
    }
    return _given(status)


def invalid_status(problem: str, facts: Facts) -> Status:
    """The status of a resource that cannot be read, which `problem` explains in one line: it is not served."""
    said = {"Ready": Said("False", "InvalidSpec", problem)}
    return _given(
        {
            "observedGeneration": facts.generation,
            **_change_before(facts),
            "recentChanges": None if tells_otherwise(facts) else facts.before.get("recentChanges"),
            "conditions": merged(said, facts),
        }
    )


def is_material(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a status is worth a write in place of the one before: what moves with every reading is not.

    Sizes count at once where this policy wrote them, which `lastScaleTime` says.
    """
    if essence(before) != essence(after):
        return True
    moved = any(before.get(size) != after.get(size) for size in ("currentReplicas", "desiredReplicas"))
    is_due = not 0 <= _decided_s(after) - _decided_s(before) < SPACING_S
    return (moved and is_due) or (_causes(before) != _causes(after) and (is_due or "lastDecision" not in after))


def essence(status: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes a status another one. It compares, and has a hash."""
    said = sorted((str(each["type"]), each["status"], each["reason"]) for each in status.get("conditions", ()))
    queries, reasons = status.get("queries", {}), status.get("lastDecision", {}).get("reasons", ())
    lasting = tuple(reason for reason in LASTING if reason in reasons)
    asked = queries.get("demand"), queries.get("badRatio")
    return status.get("observedGeneration"), status.get("lastScaleTime"), asked, lasting, tuple(said)


TROUBLE = {
    "Ready": "False",
    "AbleToScale": "False",
    "ScalingActive": "False",
    "Conflict": "True",
    "PolicyHealthy": "False",
}
"""What the status of a condition is while something is wrong."""


def _causes(status: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is said to be wrong, without its numbers: an age or a deadline moves while the cause stays."""
    said = [(str(each["type"]), each["status"], each["message"]) for each in status.get("conditions", ())]
    return [(type_, re.sub(r"\d+", "", words)) for type_, is_, words in said if TROUBLE.get(type_) == is_]


@dataclass(frozen=True)
class Change:
    """A change of replicas that a status tells of."""

    at_s: float
    """Unix time."""
    replicas: int
    """How many were added, or removed where it is negative."""


@dataclass(frozen=True)
class Past:
    """What a status tells of the life before."""

    changes: tuple[Change, ...] = ()
    size: int | None = None
    """Replicas after the last of them; None where that is not known of the resource as it is now."""


def past_of(status: object, generation: int, now_unix_s: float) -> Past:
    """Read back what outlives the operator; a time in the future is a clock's mistake or a forgery, and ignored.

    `generation`: of the resource. Nothing where a dry-run tells.
    """
    read = fitting(status)
    if is_dry_run(read):
        return Past()
    changes = [Change(at_s, replicas) for at_s, replicas in _told_changes(read, now_unix_s) if replicas]
    size = read.get("currentReplicas") if read.get("observedGeneration") == generation else None
    return Past(tuple(sorted(changes, key=lambda change: change.at_s)), size)


def _told_changes(read: Mapping[str, Any], now_unix_s: float) -> Iterator[tuple[float, int]]:
    """When, and by how much; the last change alone in a status of a version that told no others."""
    told = [(one.get("time"), one.get("added", 0) - one.get("removed", 0)) for one in read.get("recentChanges", ())]
    sizes = read.get("lastScale", {})
    if not told and {"fromReplicas", "toReplicas"} <= sizes.keys():
        told = [(read.get("lastScaleTime"), sizes["toReplicas"] - sizes["fromReplicas"])]
    for time, replicas in told:
        at_s = _past(time, now_unix_s)
        if at_s is not None:
            yield at_s, replicas


def _past(text: object, now_unix_s: float) -> float | None:
    when_s = time_of(text)
    return when_s if when_s is not None and when_s <= now_unix_s else None


def patch_of(status: Mapping[str, Any]) -> Status:
    """The merge patch that leaves exactly this status: null for each field of the operator's that it does not have.

    Source: https://www.rfc-editor.org/rfc/rfc7386 (a list is replaced whole, a null removes)
    """
    inner = {name: _nulled(status[name], fields) for name, fields in OPTIONAL.items() if name in status}
    return {**dict.fromkeys((*FIELDS, *OPTIONAL)), **status, **inner}


FIELDS = (
    "observedGeneration",
    "currentReplicas",
    "desiredReplicas",
    "referenceReplicas",
    "lastScaleTime",
    "recentChanges",
    "conditions",
)
OPTIONAL = {
    "lastScale": ("fromReplicas", "toReplicas"),
    "lastDecision": (
        "currentReplicas",
        "proposedReplicas",
        "finalReplicas",
        "reasons",
        "band",
        "demand",
        "policy",
        "outOfDistribution",
    ),
    "queries": ("demand", "badRatio"),
}
"""Objects, and what may be absent from them."""


def _nulled(value: Mapping[str, Any], fields: tuple[str, ...]) -> Status:
    nulled = {**dict.fromkeys(fields), **value}
    if nulled.get("policy") is not None:
        nulled["policy"] = {"sha256": None, **nulled["policy"]}
    return nulled


def _sizes(outcome: Outcome) -> Status:
    if not isinstance(outcome.scale, Scale):
        return {}
    decision = outcome.decision
    if decision is None:
        return {"currentReplicas": outcome.scale.replicas}
    return {
        "currentReplicas": decision.final_replicas if outcome.changed else decision.current_replicas,
        "desiredReplicas": decision.final_replicas,
        "referenceReplicas": decision.reference_replicas,
    }


def _change(decision: Decision, facts: Facts) -> Status:
    sizes = {"fromReplicas": decision.current_replicas, "toReplicas": decision.final_replicas}
    return {"lastScaleTime": rfc3339(facts.unix_s), "lastScale": sizes}


def _change_before(facts: Facts) -> Status:
    """The change that the status before tells of; one in the future is a clock's mistake or a forgery."""
    at_s = None if tells_otherwise(facts) else _past(facts.before.get("lastScaleTime"), facts.unix_s)
    return {} if at_s is None else {"lastScaleTime": rfc3339(at_s), "lastScale": facts.before.get("lastScale")}


MOST_CHANGES = 20
"""Changes that a status lists (chosen): at one a minute they reach back over most periods, and the oldest are added up
as of the latest of them, which lets none count too short."""


def _recent_changes(outcome: Outcome, facts: Facts) -> list[Status] | None:
    """The changes that spec.behavior's rates look back on, oldest first; None without any, or without behavior."""
    decision, behavior, log = outcome.decision, outcome.target.spec.behavior, outcome.target.state.behavior
    if decision is None or behavior is None:
        return None
    made = [(event.at_s, event.change) for event in log.up_events if not event.outdated]
    made += [(event.at_s, -event.change) for event in log.down_events if not event.outdated]
    if outcome.changed:
        made.append((decision.time_s, decision.final_replicas - decision.current_replicas))
    since_s = decision.time_s - longest_period_s(behavior)
    made = _added_up(sorted(change for change in made if change[0] >= since_s))
    return [_told_change(facts.unix_s - (decision.time_s - at_s), replicas) for at_s, replicas in made] or None


def _added_up(made: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """The changes, as many as are listed; of those before, what was added and what was removed."""
    if len(made) <= MOST_CHANGES:
        return made
    old, new = made[: 2 - MOST_CHANGES], made[2 - MOST_CHANGES :]
    sums = [(old[-1][0], sum(change for _, change in old if (change > 0) is up)) for up in (False, True)]
    return [*(one for one in sums if one[1]), *new]


def _told_change(unix_s: float, replicas: int) -> Status:
    return {"time": rfc3339(unix_s), "added" if replicas > 0 else "removed": abs(replicas)}


def _last_decision(decision: Decision, facts: Facts) -> Status:
    band = decision.band
    return _given(
        {
            "time": rfc3339(facts.unix_s),
            "action": decision.action.value,
            "currentReplicas": decision.current_replicas,
            "proposedReplicas": decision.proposed_replicas,
            "finalReplicas": decision.final_replicas,
            "reasons": [reason.value for reason in decision.reasons],
            "band": None if band is None else {"lo": band.lo, "hi": band.hi},
            "demand": None if decision.demand is None else quantity(decision.demand),
            "policy": _given({"name": decision.policy_name, "sha256": facts.policy_sha256 or None}),
            "outOfDistribution": list(decision.out_of_distribution) or None,
        }
    )


def quantity(number: float) -> str:
    """A number as a Kubernetes quantity, rounded to six digits.

    Source: https://github.com/kubernetes/apimachinery/blob/v0.37.2/pkg/api/resource/quantity.go (decimal exponents)
    """
    return f"{number:.6g}".replace("e+", "e")


def _queries(queries: Queries) -> Status | None:
    return _given({"demand": queries.demand, "badRatio": queries.bad_ratio}) or None


def _given(fields: Status) -> Status:
    return {name: value for name, value in fields.items() if value is not None}


def _decided_s(status: Mapping[str, Any]) -> float:
    return time_of(status.get("lastDecision", {}).get("time")) or 0.0

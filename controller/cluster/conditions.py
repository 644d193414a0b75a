"""The conditions of a ScalingPolicy: what an outcome says about each aspect, and which of them have flipped.

Pure. Owns types, reasons and the words for people. Reasons are the HPA's where it has one. A condition that an outcome
says nothing about stays as it was, as in the HPA.

Source: https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/controller/podautoscaler/horizontal.go
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from controller.causes import one_line
from controller.crd.status import WORD, WORD_CHARACTERS, rfc3339, time_of
from controller.ports import Refused
from controller.reconcile import Outcome
from scaling.decision import Decision, Reason
from scaling.guardrails import STANDSTILLS
from scaling.hpa_conditions import HpaReason
from scaling.observation import Reading, Unknown, Value, usable
from scaling.spec import FallbackTo, Mode

TYPES = ("Ready", "AbleToScale", "ScalingActive", "ScalingLimited", "Fallback", "Conflict", "PolicyHealthy")
"""In the order in which status lists them."""

MESSAGE_CHARACTERS = 400
"""A condition's message is cut after this: the longest refusal of a field fits (chosen)."""

LIMITS = (
    Reason.TOO_MANY_REPLICAS,
    Reason.TOO_FEW_REPLICAS,
    Reason.SCALE_UP_LIMIT,
    Reason.SCALE_DOWN_LIMIT,
    Reason.PODS_NOT_READY,
    Reason.ROLLOUT,
    Reason.UNHEALTHY,
    Reason.NO_SCALE_DOWN,
)
"""Bounds before rates and rates before holds, as they come last in a decision; those that the HPA has are spelt as it
spells them."""

HELD = {
    Reason.PODS_NOT_READY: "no more are added while pods that were asked for do not become ready",
    Reason.ROLLOUT: "none is removed during a rollout",
    Reason.UNHEALTHY: "none is removed while a query of requireHealthy does not hold",
    Reason.NO_SCALE_DOWN: "none is removed in a window without scale-down",
}

DRY_RUN = "DryRun"
"""Reason of Ready where a dry-run serves."""

NOT_TO_FALL_BACK = (Reason.PAUSED, *STANDSTILLS, Reason.SCALED_TO_ZERO)


@dataclass(frozen=True)
class Facts:
    """What a status needs to know besides the outcome."""

    namespace: str
    name: str
    uid: str
    generation: int
    """Of the resource that was decided for."""

    unix_s: float
    """The time that people go by."""

    before: Mapping[str, Any] = field(default_factory=dict)
    """The status as it was last seen. Where it is read, it has passed `controller.crd.status.fitting`."""

    policy_sha256: str = ""
    """Of the weights of the network that was asked; empty for a rule."""

    policy_problem: str = ""
    """Why the policy that the resource names is not the one that was asked; empty where it is."""

    notice: str = ""
    """What the operator's own limits changed of the resource; empty for nothing."""

    dry_run: bool = False
    """What was decided is carried out on a simulated twin."""


@dataclass(frozen=True)
class Said:
    """What is to be said of one aspect."""

    status: str
    """True, False or Unknown."""
    reason: str
    message: str = ""


def conditions_of(outcome: Outcome, facts: Facts) -> dict[str, Said]:
    """What an outcome says, by type; nothing about aspects that it did not get to."""
    said = {"Ready": _ready(outcome, facts), "AbleToScale": _able_to_scale(outcome, facts)}
    if outcome.observation is not None:
        said["Conflict"] = _conflict(outcome)
    if outcome.decision is not None:
        said["ScalingActive"] = _scaling_active(outcome, outcome.decision)
        said["Fallback"] = fallback(outcome, outcome.decision)
        if outcome.decision.demand is not None:
            said["ScalingLimited"] = _scaling_limited(outcome, outcome.decision, facts)
    healthy = _policy_healthy(outcome.decision, facts)
    return said if healthy is None else {**said, "PolicyHealthy": healthy}


def merged(said: Mapping[str, Said], facts: Facts) -> list[dict[str, Any]]:
    """All conditions: those that are spoken of, the rest as they were. A time moves when a status flips."""
    before = {each["type"]: each for each in facts.before.get("conditions", ())}
    return [
        before[type_]
        if type_ in before and type_ not in said
        else _condition(type_, said.get(type_, UNKNOWN), before.get(type_, {}), facts)
        for type_ in TYPES
    ]


UNKNOWN = Said("Unknown", "NotYetKnown", "nothing has come to light about it")


def _condition(type_: str, said: Said, before: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    same = before.get("status") == said.status and (time_of(before.get("lastTransitionTime")) or 0.0) <= facts.unix_s
    return {
        "type": type_,
        "status": said.status,
        "observedGeneration": facts.generation,
        "lastTransitionTime": before["lastTransitionTime"] if same else rfc3339(facts.unix_s),
        "reason": said.reason if _is_word(said.reason) else "Unnamed",
        "message": one_line(said.message, MESSAGE_CHARACTERS),
    }


@lru_cache(maxsize=256)
def _is_word(reason: str) -> bool:
    return len(reason) <= WORD_CHARACTERS and re.fullmatch(WORD, reason) is not None


def _ready(outcome: Outcome, facts: Facts) -> Said:
    if isinstance(outcome.scale, Refused):
        return Said("False", outcome.scale.reason, outcome.scale.message)
    if outcome.decision is None:
        return Said("False", "DecisionFailed", outcome.failure)
    spec = outcome.target.spec
    shadow = "; Shadow: nothing is written" if spec.mode is Mode.SHADOW else ""
    notice = f"; {facts.notice}" * bool(facts.notice)
    if facts.dry_run:
        every = f"decided every {spec.interval_s:g} s"
        return Said(
            "True", DRY_RUN, f"{every}, carried out on a simulated twin; the target's scale is not written{notice}"
        )
    return Said("True", "Served", f"decided every {spec.interval_s:g} s{shadow}{notice}")


def _able_to_scale(outcome: Outcome, facts: Facts) -> Said:
    """The word for a rescale stays until there is another one: a second write after every change would tell little."""
    if isinstance(outcome.scale, Refused):
        return Said("False", outcome.scale.reason, outcome.scale.message)
    if outcome.write is not None:
        return Said("False", outcome.write.reason, outcome.write.message)
    if outcome.changed and outcome.decision is not None:
        sizes = f"from {outcome.decision.current_replicas} to {outcome.decision.final_replicas} replicas"
        message = f"would have changed {sizes}" if facts.dry_run else f"changed {sizes}"
        return Said("True", HpaReason.SUCCEEDED_RESCALE, message)
    before = _before(facts, "AbleToScale")
    if before.get("status") == "True" and before.get("reason") == HpaReason.SUCCEEDED_RESCALE:
        return Said("True", HpaReason.SUCCEEDED_RESCALE, before["message"])
    return Said("True", HpaReason.READY_FOR_NEW_SCALE, "the target's scale can be read")


def _scaling_active(outcome: Outcome, decision: Decision) -> Said:
    if Reason.SCALED_TO_ZERO in decision.reasons:
        return Said("False", HpaReason.SCALING_DISABLED, "the target has 0 replicas; whoever did that can undo it")
    reading = usable(outcome.reading, outcome.target.spec)
    if Reason.METRIC_PARTIAL in decision.reasons:
        return Said("True", HpaReason.VALID_METRIC_FOUND, _partial_words(reading))
    if decision.demand is not None:
        return Said("True", HpaReason.VALID_METRIC_FOUND, "the load is known")
    words = f"{reading.reason.value}: {reading.message}" if isinstance(reading, Unknown) else "no usable reading"
    return Said("False", HpaReason.FAILED_GET_EXTERNAL_METRIC, words)


def _partial_words(reading: Reading) -> str:
    why = reading.why if isinstance(reading, Value) and reading.why else "some may be missing"
    return f"a part of the load is known, so nothing is removed: {why}"


def _scaling_limited(outcome: Outcome, decision: Decision, facts: Facts) -> Said:
    """Whether bounds, rates or holds stand between what was wanted and the present size.

    At one size it stays True: a wish that moves around a bound would flip it with every reading.
    """
    limit = next((limit for limit in LIMITS if limit in decision.reasons), None)
    if limit is not None:
        return Said("True", limit, _limit_words(limit, decision, outcome))
    before, size = _before(facts, "ScalingLimited"), facts.before.get("currentReplicas")
    stays = before.get("status") == "True" and before.get("observedGeneration") == facts.generation
    if stays and not outcome.changed and size == decision.current_replicas:
        return Said("True", before["reason"], before["message"])
    return Said("False", HpaReason.DESIRED_WITHIN_RANGE, "the wanted size is within bounds and rates")


def _limit_words(limit: Reason, decision: Decision, outcome: Outcome) -> str:
    wanted, spec = decision.proposed_replicas, outcome.target.spec
    match limit:
        case Reason.TOO_MANY_REPLICAS:
            return f"{wanted} replicas were proposed, {spec.max_replicas} is the most"
        case Reason.TOO_FEW_REPLICAS:
            return f"{wanted} replicas were proposed, {spec.min_replicas} is the fewest"
        case _ if limit in HELD:
            return f"{wanted} replicas were proposed; {HELD[limit]}"
    return f"{wanted} replicas were proposed, {decision.final_replicas} is as far as one step goes"


def fallback(outcome: Outcome, decision: Decision) -> Said:
    """Whether the declared fallback acts; one that holds leaves no trace in the decision."""
    wish = outcome.target.spec.guardrails.fallback
    since = f"the load has not been known for {wish.after_s:g} s"
    if Reason.FALLBACK_REFERENCE in decision.reasons:
        return Said("True", Reason.FALLBACK_REFERENCE, f"{since}; the reference HPA's size acts, without removing")
    if Reason.FALLBACK_REPLICAS in decision.reasons:
        return Said("True", Reason.FALLBACK_REPLICAS, f"{since}; at least {wish.replicas} replicas are kept")
    unknown_since_s = outcome.target.state.unknown_since_s
    acts = unknown_since_s is not None and decision.time_s - unknown_since_s >= wish.after_s
    if acts and wish.to is FallbackTo.HOLD and not any(reason in decision.reasons for reason in NOT_TO_FALL_BACK):
        return Said("True", "FallbackHold", f"{since}; {decision.final_replicas} replicas are held")
    return Said("False", "NotNeeded")


def _conflict(outcome: Outcome) -> Said:
    assert outcome.observation is not None
    if Reason.CONFLICT not in outcome.observation.holds:
        waiting = None if isinstance(outcome.scale, Refused) else outcome.scale.waiting
        return Said("False", "NobodyElse") if waiting is None else Said("False", waiting.reason, waiting.message)
    competitor = None if isinstance(outcome.scale, Refused) else outcome.scale.competitor
    if competitor is None:
        return Said("True", "ScaledByAnother", "somebody else scales the target, so its replicas are held")
    return Said("True", competitor.reason, competitor.message)


def _policy_healthy(decision: Decision | None, facts: Facts) -> Said | None:
    if facts.policy_problem:
        return Said("False", "PolicyNotLoaded", facts.policy_problem)
    if decision is None or decision.band is None:
        return None
    if Reason.POLICY_UNUSABLE in decision.reasons:
        return Said("False", Reason.POLICY_UNUSABLE, "the network answered no number; the HPA's rule stood in")
    return Said("True", "PolicyAnswered", f"{decision.policy_name} is asked")


def tells_otherwise(facts: Facts) -> bool:
    """Whether the status before is a dry-run's and this is none, or the other way round: its changes are not ours."""
    return is_dry_run(facts.before) != facts.dry_run


def is_dry_run(status: Mapping[str, Any]) -> bool:
    """Whether a dry-run wrote it."""
    return any((each["type"], each["reason"]) == ("Ready", DRY_RUN) for each in status.get("conditions", ()))


def _before(facts: Facts, type_: str) -> Mapping[str, Any]:
    if tells_otherwise(facts):
        return {}
    return next((each for each in facts.before.get("conditions", ()) if each["type"] == type_), {})

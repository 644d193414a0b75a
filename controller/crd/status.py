"""The schema of a ScalingPolicy's status: what the operator writes there and people read.

Owns the fields and their meaning. It is lenient on purpose: Helm leaves an installed definition as it is when a chart
is upgraded, and an operator whose newest reason that definition refuses could report nothing at all. So reasons are
words of bounded length here; the closed set is in `scaling.decision`.
"""

from typing import Any

from controller.crd.tables import QUERY_CHARACTERS
from scaling.decision import Action, Reason

Schema = dict[str, Any]

WORD = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"  # as metav1.Condition bounds its reasons
MOST_WORDS = 64  # more than there are reasons, or features that a policy reads
WORD_CHARACTERS = 63
DEMAND_CHARACTERS = 32


def status() -> Schema:
    """The schema of `status`."""
    return _object(
        "What the operator last saw and decided. Written only when it changes materially.",
        observedGeneration=_whole("Generation of the resource that this status is about.", "int64"),
        currentReplicas=_whole("Replicas that the target's scale asked for at the last decision."),
        desiredReplicas=_whole("Replicas that the last decision chose."),
        referenceReplicas=_whole("Replicas that the reference HPA would run."),
        lastScaleTime=_time("When the replicas were last changed by this policy."),
        conditions=_conditions(),
        lastDecision=_last_decision(),
        queries=_object(
            "The PromQL that is asked: as written in the spec, or as generated for it.",
            demand=_text("For the total load.", QUERY_CHARACTERS),
            badRatio=_text("For the share of bad requests.", QUERY_CHARACTERS),
        ),
    )


def _last_decision() -> Schema:
    return _object(
        "The last decision, with all that it takes to explain it.",
        time=_time("When it was taken."),
        action=_one_of("What it does to the replicas.", *(action.value for action in Action)),
        proposedReplicas=_whole("What the policy, or the rule that stood in for it, asked for."),
        finalReplicas=_whole("What was chosen after guards, behavior and bounds."),
        reasons=_list(
            f"Why, in the order in which they came up, of {', '.join(Reason)}.",
            {**_text("", WORD_CHARACTERS), "pattern": WORD},
        ),
        band=_object(
            "The policy's answer: add up to lo, remove down to hi, hold between them. Absent when no policy was asked.",
            lo=_whole("Fewest replicas that hold."),
            hi=_whole("Most replicas that hold."),
        ),
        demand=_text(
            "The load that was decided on, as a quantity in the query's unit. Absent without a usable reading.",
            DEMAND_CHARACTERS,
        ),
        policy=_object(
            "Who was asked.",
            name=_text("Name of the policy or rule.", 253),
            sha256=_text("SHA-256 of a network's weights; absent for a rule.", 64),
        ),
        outOfDistribution=_list(
            "Features of the load outside the ranges that the network was trained on; with any, a rule stands in.",
            _text("", WORD_CHARACTERS),
        ),
    )


def _conditions() -> Schema:
    """As metav1.Condition.

    Source: https://github.com/kubernetes/apimachinery/blob/v0.37.2/pkg/apis/meta/v1/types.go
    """
    condition = _object(
        "One aspect of the state.",
        type=_text("Name of the aspect.", 316),
        status=_one_of("Whether it holds.", "True", "False", "Unknown"),
        observedGeneration=_whole("Generation of the resource that this condition is about.", "int64"),
        lastTransitionTime=_time("When the status last changed."),
        reason={**_text("The cause, in one word.", 1024), "minLength": 1, "pattern": WORD},
        message=_text("The cause, for people.", 32768),
    )
    condition["required"] = ["type", "status", "lastTransitionTime", "reason", "message"]
    return {
        "description": "Ready: the resource is valid and served. AbleToScale: the target's scale can be read and "
        "written. ScalingActive: there is a usable reading. ScalingLimited: bounds changed what was wanted. Fallback: "
        "the declared fallback acts. Conflict: somebody else scales the target, so forescale holds.",
        "type": "array",
        "maxItems": 16,
        "items": condition,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    }


def _object(about: str, **properties: Schema) -> Schema:
    return {"description": about, "type": "object", "properties": properties}


def _list(about: str, items: Schema) -> Schema:
    return {
        "description": about,
        "type": "array",
        "maxItems": MOST_WORDS,
        "items": items,
        "x-kubernetes-list-type": "atomic",
    }


def _whole(about: str, size: str = "int32") -> Schema:
    return {"description": about, "type": "integer", "format": size, "minimum": 0}


def _time(about: str) -> Schema:
    return {"description": about, "type": "string", "format": "date-time"}


def _one_of(about: str, *words: str) -> Schema:
    return {"description": about, "type": "string", "enum": list(words)}


def _text(about: str, most_characters: int) -> Schema:
    return ({"description": about} if about else {}) | {"type": "string", "maxLength": most_characters}

"""The schema of a ScalingPolicy's status: what the operator writes there and people read.

Owns the fields and their meaning. It is lenient on purpose: Helm leaves an installed definition as it is when a chart
is upgraded, and an operator whose newest reason that definition refuses could report nothing at all. So reasons are
words of bounded length here; the closed set is in `scaling.decision`.

What of a status that was read back fits the schema is told here, too: an older definition may have let more pass.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
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
        "What the operator saw and decided when that last changed; load that moves while replicas hold is no change.",
        observedGeneration=_whole("Generation of the resource that this status is about.", "int64"),
        currentReplicas=_whole("Replicas that the target's scale asks for, this decision carried out."),
        desiredReplicas=_whole("Replicas that the decision chose; others than the current ones are not carried out."),
        referenceReplicas=_whole("Replicas that the reference HPA would run."),
        lastScaleTime=_time("When the replicas were last changed by this policy."),
        lastScale=_object(
            "The sizes before and after that change.",
            fromReplicas=_whole("Replicas before it."),
            toReplicas=_whole("Replicas after it."),
        ),
        recentChanges=_list(
            "Changes of replicas within the longest period of spec.behavior, which count for its rates after a "
            "restart, too. Of more than 20 the oldest are added up.",
            _object(
                "One change.",
                time=_time("When it was made."),
                added=_whole("Replicas that were added."),
                removed=_whole("Replicas that were removed."),
            ),
        ),
        conditions=_conditions(),
        lastDecision=_last_decision(),
        queries=_object(
            "The PromQL that is asked: as written in the spec, or as generated for it.",
            demand=_text("For the total load.", QUERY_CHARACTERS),
            badRatio=_text("For the share of bad requests.", QUERY_CHARACTERS),
        ),
    )


def fitting(found: object) -> dict[str, Any]:
    """What of a status fits the schema, which is all of one that the operator wrote: the rest counts as absent."""
    fits = _fitting(found, _schema())
    return fits if isinstance(fits, dict) else {}


_schema = cache(status)


def _fitting(value: Any, schema: Schema) -> Any:
    """The value, without the parts that do not fit; None where nothing of it does."""
    match schema["type"], value:
        case "object", Mapping():
            parts = {
                name: _fitting(value[name], inner) for name, inner in schema["properties"].items() if name in value
            }
            parts = {name: part for name, part in parts.items() if part is not None}
            return parts if parts.keys() >= set(schema.get("required", ())) else None
        case "array", list():
            entries = [_fitting(entry, schema["items"]) for entry in value[: schema["maxItems"]]]
            return [entry for entry in entries if entry is not None]
        case "integer", int() if not isinstance(value, bool):
            return value if value >= schema["minimum"] else None
        case "string", str():
            return value if _is_text(value, schema) else None
    return None


def _is_text(value: str, schema: Schema) -> bool:
    if schema.get("format") == "date-time":
        return time_of(value) is not None
    short = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
    return (
        short and value in schema.get("enum", (value,)) and bool(re.fullmatch(schema.get("pattern", "(?s:.*)"), value))
    )


def time_of(text: object) -> float | None:
    """Unix time of a status's date-time, None for what is none."""
    try:
        when = datetime.fromisoformat(text) if isinstance(text, str) else None
        return when.timestamp() if when is not None and when.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def rfc3339(unix_s: float) -> str:
    """Unix time as the API server writes it, in whole seconds."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _last_decision() -> Schema:
    return _object(
        "The decision that this status tells of, with all that it takes to explain it.",
        time=_time("When it was taken."),
        action=_one_of("What it does to the replicas.", *(action.value for action in Action)),
        currentReplicas=_whole("Replicas that were asked for then."),
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
        "written. ScalingActive: there is a usable reading. ScalingLimited: bounds or rates kept the present size from "
        "what was wanted. Fallback: the declared fallback acts. Conflict: somebody else scales the target, so "
        "forescale holds. PolicyHealthy: who is asked answers with numbers.",
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

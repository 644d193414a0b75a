"""Which changes of state become a Kubernetes Event, how often at most, and what it looks like.

Pure but for the limits' memory. Events are for people who look at one policy (`kubectl describe scalingpolicies`); what
holds on and on is the condition's to say. Sending them is left to `reporter.py`.

Source: https://github.com/kubernetes/api/blob/v0.37.2/core/v1/types.go (Event)
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.causes import one_line
from controller.cluster.competitors import TARGET_SHARED
from controller.cluster.conditions import MESSAGE_CHARACTERS, Facts, is_dry_run
from controller.cluster.status import quantity
from controller.crd.status import rfc3339
from controller.crd.tables import API_VERSION, KIND
from controller.reconcile import Outcome

COMPONENT = "forescale"

BURST, REFILL_S = 25, 300.0
"""Changes of size of one policy: so many at once, then one in so many seconds, as client-go allows about one object.

Source: https://github.com/kubernetes/client-go/blob/v0.37.2/tools/record/events_cache.go (defaultSpamBurst)
"""

NAMESPACE_BURST, NAMESPACE_REFILL_S = 10, 60.0
"""Events that each namespace may send whatever others do (chosen: enough for a policy of it to be understood)."""

OVERALL_BURST, OVERALL_REFILL_S = 100, 0.5
"""What all namespaces may send together beyond that: when Prometheus goes down, a hundred of a thousand policies say it
as well as all (chosen)."""

MOST_NAMESPACES = 1024
"""Buckets of namespaces; beyond that, full ones are dropped, as a new one is the same (chosen)."""

NAME_CHARACTERS = 253

SCALED = "Scaled"
WOULD_SCALE = "WouldScale"
"""Of a dry-run."""
SPOKEN = {
    ("Fallback", "True"): ("FallbackEntered", "Warning"),
    ("Conflict", "True"): ("Conflict", "Warning"),
    ("PolicyHealthy", "False"): ("PolicyUnusable", "Warning"),
}
"""What it is called when a condition turns bad; others are called by their reason."""
SPOKEN_REASONS = {
    "InvalidSpec": "PolicyRejected",
    "FailedGetExternalMetric": "HeldOnMissingMetrics",
}
ENDED = {"Fallback": "FallbackLeft", "Conflict": "ConflictEnded"}
"""What is worth saying when it is over."""
BAD = {
    "AbleToScale": "False",
    "ScalingActive": "False",
    "Fallback": "True",
    "Conflict": "True",
    "PolicyHealthy": "False",
}


@dataclass(frozen=True)
class Said:
    """One event: what happened, in one word and for people."""

    reason: str
    type: str
    """Normal or Warning."""
    message: str


def events_of(before: Mapping[str, Any], after: Mapping[str, Any], outcome: Outcome | None) -> list[Said]:
    """What there is to say about going from one status to the next; nothing about what only goes on.

    `outcome`: what led there, None for a resource that cannot be read.
    """
    was = {each["type"]: each for each in before.get("conditions", ())}
    said = [] if outcome is None else _scaled(outcome, WOULD_SCALE if is_dry_run(after) else SCALED)
    for condition in after.get("conditions", ()):
        said += _turned(was.get(condition["type"], {}), condition)
    return said


def _scaled(outcome: Outcome, word: str) -> list[Said]:
    decision = outcome.decision
    if decision is None or not outcome.changed:
        return []
    load = "" if decision.demand is None else f" for a load of {quantity(decision.demand)}"
    sizes = f"from {decision.current_replicas} to {decision.final_replicas} replicas"
    return [Said(word, "Normal", f"{sizes}{load}: {', '.join(decision.reasons)}")]


def _turned(was: Mapping[str, Any], condition: Mapping[str, Any]) -> list[Said]:
    type_, status, reason = condition["type"], condition["status"], condition["reason"]
    same = (was.get("status"), was.get("reason")) == (status, reason)
    if type_ == "Ready":  # of its reasons, the others are those of AbleToScale
        if reason not in ("InvalidSpec", "DecisionFailed") or (same and was.get("message") == condition["message"]):
            return []
    elif same:
        return []
    elif status != BAD.get(type_) and reason == TARGET_SHARED:
        return [Said(reason, "Warning", condition["message"])]
    elif status != BAD.get(type_):
        over = was.get("status") == BAD.get(type_) and type_ in ENDED
        return [Said(ENDED[type_], "Normal", "it is over")] if over else []
    if reason == "ScalingDisabled":
        return []  # somebody chose 0 replicas, and knows
    word, kind = SPOKEN.get((type_, status), (SPOKEN_REASONS.get(reason, reason), "Warning"))
    return [Said(word, kind, condition["message"])]


@dataclass
class Bucket:
    """Tokens that come back one by one."""

    tokens: float
    since_s: float

    def take(self, now_s: float, burst: float, refill_s: float) -> bool:
        """Take a token if there is one."""
        self.tokens = min(burst, self.tokens + max(0.0, now_s - self.since_s) / refill_s)
        self.since_s = now_s
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass
class EventLimits:
    """Keeps what repeats itself from flooding: at most one in five minutes of a kind and policy, changes of size apart.

    Each namespace has a small budget of its own, and all share a large one, so that no namespace can silence another.
    Times are in seconds on a clock that does not jump.
    """

    overall: Bucket = field(default_factory=lambda: Bucket(OVERALL_BURST, 0.0))
    of_namespace: dict[str, Bucket] = field(default_factory=dict)
    of_policy: dict[str, dict[str, Bucket]] = field(default_factory=dict)

    def allow(self, namespace: str, uid: str, reason: str, now_s: float) -> bool:
        """Whether this event of a policy may be sent."""
        burst = BURST if reason == SCALED else 1
        bucket = self.of_policy.setdefault(uid, {}).setdefault(reason, Bucket(burst, now_s))
        return bucket.take(now_s, burst, REFILL_S) and (
            self._namespace(namespace, now_s).take(now_s, NAMESPACE_BURST, NAMESPACE_REFILL_S)
            or self.overall.take(now_s, OVERALL_BURST, OVERALL_REFILL_S)
        )

    def forget(self, uid: str) -> None:
        """Drop what is remembered of a policy that is gone."""
        self.of_policy.pop(uid, None)

    def _namespace(self, namespace: str, now_s: float) -> Bucket:
        if namespace not in self.of_namespace and len(self.of_namespace) >= MOST_NAMESPACES:
            refill_s = NAMESPACE_BURST * NAMESPACE_REFILL_S
            kept = {name: bucket for name, bucket in self.of_namespace.items() if now_s - bucket.since_s < refill_s}
            self.of_namespace = kept
        return self.of_namespace.setdefault(namespace, Bucket(NAMESPACE_BURST, now_s))


def event_body(said: Said, facts: Facts, instance: str) -> dict[str, Any]:
    """The event as the API server takes it; `instance` names this operator's pod."""
    when = rfc3339(facts.unix_s)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": _name(facts.name), "namespace": facts.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": facts.namespace,
            "name": facts.name,
            "uid": facts.uid,
        },
        "reason": said.reason,
        "message": one_line(said.message, MESSAGE_CHARACTERS),
        "type": said.type,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": instance,
        "firstTimestamp": when,
        "lastTimestamp": when,
        "count": 1,
    }


def _name(policy: str) -> str:
    """A unique name that begins with the policy's where there is room for it."""
    unique = uuid.uuid4().hex[:16]
    return f"{policy}.{unique}" if len(policy) + 1 + len(unique) <= NAME_CHARACTERS else unique

"""A ScalingPolicy resource as values: the only place that translates between the resource's spelling and ours.

Owns the tables of the resource's fields. How a table is read is in `fields.py`; defaults and limits are in
`scaling.spec`. A field that nothing acts on in this release is refused, never skipped in silence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.fields import (
    Field,
    an_object,
    as_it_is,
    boolean,
    build,
    choice,
    duration,
    group,
    list_of,
    named,
    not_yet,
    one_of,
    percent,
    quantity,
    read_fields,
    text,
    unread,
    within,
)
from controller.manifest import read_documents
from scaling.errors import InputError
from scaling.hpa_settings import POLICY_LIMITS, RULES_LIMITS, Behavior, PolicyRule, ScalingRules
from scaling.limits import shown, whole_number
from scaling.spec import POLICY_NAMES, PRICE_BY_PRESET, EmptyIs, Fallback, FallbackTo, Guardrails, Mode, ScalingSpec

API_VERSION = "forescale.dev/v1alpha1"
KIND = "ScalingPolicy"

WITHOUT_SCALE = {("apps/v1", "DaemonSet"), ("batch/v1", "CronJob"), ("batch/v1", "Job"), ("v1", "Pod")}
"""Built-in kinds that have no scale subresource; of others only the cluster knows."""


@dataclass(frozen=True)
class TargetRef:
    """What is scaled: an object with a scale subresource, in the policy's own namespace."""

    api_version: str
    kind: str
    name: str

    def __post_init__(self) -> None:
        if (self.api_version, self.kind) in WITHOUT_SCALE:
            raise InputError(f"spec.scaleTargetRef: {self.api_version} {self.kind} has no scale subresource")


@dataclass(frozen=True)
class Queries:
    """PromQL of the resource, as written; the dry-run takes demand from its trace and asks none of them."""

    demand: str | None = None
    """Total load on the target; a cluster needs it."""

    bad_ratio: str | None = None
    """Share of bad requests, from which the capacity of a replica is fitted."""


@dataclass(frozen=True)
class PolicyResource:
    """One ScalingPolicy, read and found valid."""

    name: str
    namespace: str
    target: TargetRef
    queries: Queries
    spec: ScalingSpec


def parse_policy(body: Mapping[str, Any]) -> PolicyResource:
    """Read a resource body; raises InputError with one line that names the field's path, the value and the limit."""
    found = read_fields(body, "", RESOURCE)
    wishes = found["spec"]
    return PolicyResource(
        name=found["name"],
        namespace=found.get("namespace", "default"),
        target=wishes.pop("target"),
        queries=Queries(wishes.pop("demand_query", None), wishes.pop("bad_ratio_query", None)),
        spec=ScalingSpec(**wishes),
    )


def load_policies(path: Path) -> list[PolicyResource]:
    """Read every ScalingPolicy of a YAML file; raises InputError with one line that starts with the file's name."""
    try:
        documents = read_documents(path)
        if not documents:
            raise InputError(f"holds no {KIND}")
        policies = [_parse_document(document, number, len(documents)) for number, document in enumerate(documents, 1)]
        _refuse_duplicates(policies)
    except InputError as error:
        name = str(path) if str(path).isprintable() else shown(str(path))
        raise InputError(f"{name}: {error}") from error
    return policies


# Readers of our own objects


def objective(value: object, path: str) -> dict[str, float]:
    """Read one of the three ways to state what a bad request is worth."""
    found = an_object(value, path)
    given = [name for name in OBJECTIVE if found.get(name) is not None]
    keywords = read_fields(value, path, OBJECTIVE)
    if len(given) != 1:
        raise InputError(f"{path}: give exactly one of {', '.join(OBJECTIVE)}, not {' and '.join(given) or 'none'}")
    return keywords


def preset(value: object, path: str) -> float:
    """Read a preset as the price behind it."""
    return PRICE_BY_PRESET[one_of(PRICE_BY_PRESET)(value, path)]


def fallback(value: object, path: str) -> Fallback:
    """Read a fallback; a count of replicas stands in place of `to`."""
    keywords = read_fields(value, path, FALLBACK)
    if "replicas" in keywords:
        if "to" in keywords:
            raise InputError(
                f"{path}: give one of to, replicas, not {keywords['to']} and {shown(keywords['replicas'])}"
            )
        keywords["to"] = FallbackTo.REPLICAS
    return Fallback(**keywords)


# The resource, table by table. Outermost last, as each names the ones inside it.

LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
object_name = named(rf"{LABEL}(\.{LABEL})*", 253, "a DNS-1123 subdomain")
namespace_name = named(LABEL, 63, "a DNS-1123 label")
api_version = named(rf"({LABEL}(\.{LABEL})*/)?v[0-9]+((alpha|beta)[0-9]+)?", 317, "a group/version")
kind = named(r"[A-Z][A-Za-z0-9]*", 63, "a kind")
query = text(most_characters=8192)

METADATA: Mapping[str, Field] = {
    "name": Field(object_name, "name", required=True),
    "namespace": Field(namespace_name, "namespace"),
    **dict.fromkeys(
        (
            "annotations",
            "creationTimestamp",
            "deletionGracePeriodSeconds",
            "deletionTimestamp",
            "finalizers",
            "generateName",
            "generation",
            "labels",
            "managedFields",
            "ownerReferences",
            "resourceVersion",
            "selfLink",
            "uid",
        ),
        Field(unread),
    ),
}

TARGET: Mapping[str, Field] = {
    "apiVersion": Field(api_version, "api_version", required=True),
    "kind": Field(kind, "kind", required=True),
    "name": Field(object_name, "name", required=True),
}

DEMAND: Mapping[str, Field] = {
    "query": Field(query, "demand_query"),
    "preset": Field(not_yet),
    "targetPerReplica": Field(quantity, "target_per_replica", required=True),
    "capacityPerReplica": Field(quantity, "capacity_per_replica"),
    "emptyIs": Field(choice(EmptyIs), "empty_is"),
}

SERVICE: Mapping[str, Field] = {
    "badRatioQuery": Field(query, "bad_ratio_query"),
    "objectiveSeconds": Field(quantity, "objective_s"),
}

OBJECTIVE: Mapping[str, Field] = {
    "preset": Field(preset, "price"),
    "price": Field(quantity, "price"),
    "errorBudget": Field(not_yet),
}

POLICY_REF: Mapping[str, Field] = {
    "name": Field(one_of(POLICY_NAMES), "policy_name"),
    "configMap": Field(not_yet),
}

POLICY_RULE: Mapping[str, Field] = {
    "type": Field(one_of(("Pods", "Percent")), "type", required=True),
    "value": Field(within(POLICY_LIMITS["value"]), "value", required=True),
    "periodSeconds": Field(within(POLICY_LIMITS["period_s"]), "period_s", required=True),
}

SCALING_RULES: Mapping[str, Field] = {
    "selectPolicy": Field(one_of(("Max", "Min", "Disabled")), "select_policy"),
    "stabilizationWindowSeconds": Field(within(RULES_LIMITS["stabilization_s"]), "stabilization_s"),
    "policies": Field(list_of(build(PolicyRule, POLICY_RULE), most=20), "policies"),  # chosen: nobody means more
    "tolerance": Field(within(RULES_LIMITS["tolerance"], quantity), "tolerance"),
}

BEHAVIOR: Mapping[str, Field] = {
    "scaleUp": Field(build(ScalingRules, SCALING_RULES), "scale_up"),
    "scaleDown": Field(build(ScalingRules, SCALING_RULES), "scale_down"),
}

FALLBACK: Mapping[str, Field] = {
    "after": Field(duration, "after_s"),
    "to": Field(choice((FallbackTo.REFERENCE, FallbackTo.HOLD)), "to"),
    "replicas": Field(as_it_is, "replicas"),
}

GUARDRAILS: Mapping[str, Field] = {
    "floorUtilization": Field(percent, "floor_utilization_ratio"),
    "ceilingRatio": Field(quantity, "ceiling_ratio"),
    "staleAfterSeconds": Field(whole_number, "stale_after_s"),
    "fallback": Field(fallback, "fallback"),
    "freezeWindows": Field(not_yet),
    "requireHealthy": Field(not_yet),
    "minReadyPercent": Field(percent, "min_ready_ratio"),
}

SPEC: Mapping[str, Field] = {
    "scaleTargetRef": Field(build(TargetRef, TARGET), "target", required=True),
    "minReplicas": Field(as_it_is, "min_replicas"),
    "maxReplicas": Field(as_it_is, "max_replicas", required=True),
    "mode": Field(choice(Mode, later=("Floor",)), "mode"),
    "paused": Field(boolean, "paused"),
    "intervalSeconds": Field(whole_number, "interval_s"),
    "demand": Field(group(DEMAND), required=True),
    "service": Field(group(SERVICE)),
    "startupSeconds": Field(quantity, "startup_s"),
    "promotion": Field(not_yet),
    "objective": Field(objective),
    "policyRef": Field(group(POLICY_REF)),
    "behavior": Field(build(Behavior, BEHAVIOR), "behavior"),
    "guardrails": Field(build(Guardrails, GUARDRAILS), "guardrails"),
}

RESOURCE: Mapping[str, Field] = {
    "apiVersion": Field(one_of((API_VERSION,)), "api_version", required=True),
    "kind": Field(one_of((KIND,)), "kind", required=True),
    "metadata": Field(group(METADATA), required=True),
    "spec": Field(group(SPEC), "spec", required=True),
    "status": Field(unread),  # written by the operator, not read back from a user's file
}


def _parse_document(document: object, number: int, documents: int) -> PolicyResource:
    try:
        return parse_policy(an_object(document, ""))
    except InputError as error:
        raise InputError(f"document {number}: {error}" if documents > 1 else str(error)) from error


def _refuse_duplicates(policies: list[PolicyResource]) -> None:
    seen = set()
    for policy in policies:
        if (policy.namespace, policy.name) in seen:
            raise InputError(f"{KIND} {policy.namespace}/{policy.name} is given twice")
        seen.add((policy.namespace, policy.name))

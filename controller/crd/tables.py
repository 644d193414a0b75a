"""The fields of a ScalingPolicy, table by table: the one source of reading, schema and docs.

Defaults and limits are in `scaling.spec`, where a keyword of a table names them. What a table says is read by
`resource.py`, stated to the API server by `schema.py` and to people by `docs.py`. A field that nothing acts on in this
release is refused when it is read, and neither in the schema nor in the docs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from controller.crd.config_map import ConfigMapRef
from controller.crd.fields import (
    Build,
    Field,
    Group,
    Known,
    ListOf,
    Named,
    OneOf,
    Query,
    Rule,
    Within,
    as_it_is,
    boolean,
    choice,
    duration,
    not_yet,
    percent,
    quantity,
    unread,
    words,
)
from controller.crd.freeze_window import (
    MOST_WINDOWS,
    SCHEDULE,
    SCHEDULE_CHARACTERS,
    WINDOW_DURATION,
    ZONE,
    ZONE_CHARACTERS,
    FreezeWindow,
    check_schedule,
    zone_of,
)
from controller.crd.preset import read_preset
from scaling.decision import Reason
from scaling.errors import InputError
from scaling.hpa_settings import POLICY_LIMITS, RULES_LIMITS, Behavior, PolicyRule, ScalingRules
from scaling.limits import shown, whole_number
from scaling.spec import (
    POLICY_NAMES,
    PRICE_BY_PRESET,
    SPEC_LIMITS,
    TARGET_UTILIZATION_RATIO,
    EmptyIs,
    Fallback,
    FallbackTo,
    Guardrails,
    Mode,
)
from scaling.terms import DEFAULT_STARTUP_S

API_GROUP = "forescale.dev"
API_VERSION = f"{API_GROUP}/v1alpha1"
KIND = "ScalingPolicy"

WITHOUT_SCALE = {("apps/v1", "DaemonSet"), ("batch/v1", "CronJob"), ("batch/v1", "Job"), ("v1", "Pod")}
"""Built-in kinds that have no scale subresource; of others only the cluster knows."""

MOST_RULES = 20
"""Policies in one direction of behavior. Chosen: nobody means more."""

MOST_CONDITIONS = 10
"""Queries in requireHealthy. Chosen: each is asked with every decision."""

QUERY_CHARACTERS = 8192


@dataclass(frozen=True)
class TargetRef:
    """What is scaled: an object with a scale subresource, in the policy's own namespace."""

    api_version: str
    kind: str
    name: str

    def __post_init__(self) -> None:
        if (self.api_version, self.kind) in WITHOUT_SCALE:
            raise InputError(f"spec.scaleTargetRef: {self.api_version} {self.kind} has no scale subresource")


@dataclass(frozen=True, kw_only=True)
class ClusterGuardrails(Guardrails):
    """Guardrails as a resource has them: with those that take a calendar or a Prometheus to keep."""

    windows: tuple[FreezeWindow, ...] = ()
    """When less may change than usual."""

    healthy: tuple[str, ...] = ()
    """Queries that must answer a number other than 0 before a replica is removed."""

    def of_a_decision(self) -> Guardrails:
        """What of them is decided by."""
        return Guardrails(**{field.name: getattr(self, field.name) for field in fields(Guardrails)})


def fixed_count(keywords: dict[str, Any], path: str) -> dict[str, Any]:
    """A fallback's count of replicas stands in place of `to`."""
    if "replicas" not in keywords:
        return keywords
    if "to" in keywords:
        raise InputError(f"{path}: give one of to, replicas, not {keywords['to']} and {shown(keywords['replicas'])}")
    return {**keywords, "to": FallbackTo.REPLICAS}


WINDOW_EFFECTS = {"action": "hold", "minReplicas": "min_replicas", "maxReplicas": "max_replicas"}


def one_effect(keywords: dict[str, Any], path: str) -> dict[str, Any]:
    """A window does one thing."""
    given = [name for name, keyword in WINDOW_EFFECTS.items() if keyword in keywords]
    if len(given) != 1:
        names = ", ".join(WINDOW_EFFECTS)
        raise InputError(f"{path}: give exactly one of {names}, not {' and '.join(given) or 'none'}")
    return keywords


def the_query(query: str) -> str:
    """An entry that is its query."""
    return query


# Rules between fields

NO_SCALE = Rule(
    cel=f"!(self.apiVersion + '/' + self.kind in {sorted('/'.join(pair) for pair in WITHOUT_SCALE)})",
    message="this kind has no scale subresource",
    message_cel="self.apiVersion + ' ' + self.kind + ' has no scale subresource'",
    field="kind",
)
A_QUERY = Rule(
    cel="has(self.query) || has(self.preset)",
    message="on a cluster the load comes from Prometheus; give the PromQL of the total load on the target, or a preset",
    field="query",
    missing=True,
)
ONE_QUERY = Rule(cel="!(has(self.query) && has(self.preset))", message="give one of query, preset", field="preset")
ONE_POLICY = Rule(
    cel="!has(self.configMap) || self.name == 'auto'", message="give one of name, configMap", field="configMap"
)
BOUNDS = Rule(
    cel="self.minReplicas <= self.maxReplicas",
    message="above maxReplicas",
    message_cel="'%d is above spec.maxReplicas %d'.format([self.minReplicas, self.maxReplicas])",
    field="minReplicas",
)
FALLBACK_BOUNDS = Rule(
    cel="!has(self.guardrails.fallback.replicas) || (self.guardrails.fallback.replicas >= self.minReplicas"
    " && self.guardrails.fallback.replicas <= self.maxReplicas)",
    message="outside minReplicas..maxReplicas",
    message_cel="'%d is outside minReplicas..maxReplicas %d..%d'.format("
    "[self.guardrails.fallback.replicas, self.minReplicas, self.maxReplicas])",
    field="guardrails.fallback.replicas",
)
AN_EFFECT = Rule(
    cel=" || ".join(f"has(self.{name})" for name in WINDOW_EFFECTS),
    message=f"give one of {', '.join(WINDOW_EFFECTS)}",
    field="action",
    missing=True,
)
WINDOW_BOUNDS = Rule(
    cel="!has(self.guardrails.freezeWindows) || self.guardrails.freezeWindows.all(w,"
    " (!has(w.minReplicas) || (w.minReplicas >= self.minReplicas && w.minReplicas <= self.maxReplicas))"
    " && (!has(w.maxReplicas) || (w.maxReplicas >= self.minReplicas && w.maxReplicas <= self.maxReplicas)))",
    message="replicas of a window outside minReplicas..maxReplicas",
    message_cel="'replicas of a window outside minReplicas..maxReplicas %d..%d'.format("
    "[self.minReplicas, self.maxReplicas])",
    field="guardrails.freezeWindows",
)


# The resource, table by table. Outermost last, as each names the ones inside it.

LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
object_name = Named(rf"{LABEL}(\.{LABEL})*", 253, "a DNS-1123 subdomain")
namespace_name = Named(LABEL, 63, "a DNS-1123 label")
api_version = Named(rf"({LABEL}(\.{LABEL})*/)?v[0-9]+((alpha|beta)[0-9]+)?", 317, "a group/version")
kind = Named(r"[A-Z][A-Za-z0-9]*", 63, "a kind")
query = Query(QUERY_CHARACTERS)

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
    "apiVersion": Field(api_version, "api_version", required=True, about="API group and version, such as apps/v1."),
    "kind": Field(kind, "kind", required=True, about="Kind, such as Deployment or StatefulSet."),
    "name": Field(object_name, "name", required=True, about="Name of the object."),
}

DEMAND: Mapping[str, Field] = {
    "query": Field(
        query,
        "demand_query",
        about="PromQL for the total load on the target, not for the load of one pod; it must give one series. "
        "It may have several lines; write comments (#) in a literal block (|), as in a folded one (>) they do not end. "
        "This or preset is required on a cluster; a dry-run takes the load from its trace instead.",
    ),
    "preset": Field(
        read_preset,
        "demand_preset",
        about="In place of query, and unless it is given of service.badRatioQuery: where the load is measured, from "
        "which the queries are written. They are shown in status.queries.",
    ),
    "targetPerReplica": Field(
        quantity,
        "target_per_replica",
        required=True,
        about="Load for one replica in the query's unit: what one would give an HPA as AverageValue. The reference HPA "
        "runs on it.",
    ),
    "capacityPerReplica": Field(
        quantity,
        "capacity_per_replica",
        about="Load that one ready replica serves within the objective: the first belief, which follows what "
        "service.badRatioQuery measures.",
        absent=f"targetPerReplica / {shown(TARGET_UTILIZATION_RATIO)}",
    ),
    "emptyIs": Field(
        choice(EmptyIs),
        "empty_is",
        about="What an empty result means: Unknown holds the replicas; Zero is for those who know that it means no "
        "load.",
    ),
}

SERVICE: Mapping[str, Field] = {
    "badRatioQuery": Field(
        query,
        "bad_ratio_query",
        about="PromQL for the share of bad requests, 0 to 1; with it the believed capacity of a replica follows what "
        "is measured.",
        absent="that of demand.preset, where it has one",
    ),
    "objectiveSeconds": Field(quantity, "objective_s", about="Seconds within which a request is good."),
}

OBJECTIVE: Mapping[str, Field] = {
    "preset": Field(
        OneOf(PRICE_BY_PRESET),
        "price",
        about="A price by its name: "
        + ", ".join(f"{name} is {shown(price)}" for name, price in PRICE_BY_PRESET.items())
        + ".",
    ),
    "price": Field(
        quantity,
        "price",
        about="Price of bad requests as a number: at 30, one per cent of them costs 30 % of the ideal bill.",
    ),
    "errorBudget": Field(not_yet),
}

CONFIG_MAP: Mapping[str, Field] = {
    "name": Field(object_name, "name", required=True, about="Name of the ConfigMap, as forescale export writes it."),
    "key": Field(
        Named(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", 63, "the name of a policy"),
        "key",
        about="Name of the policy within it, where it holds several: the entries KEY.safetensors and KEY.json.",
        absent="the only one",
    ),
    "sha256": Field(
        Named(r"[0-9a-f]{64}", 64, "a SHA-256 in lower-case hexadecimal digits"),
        "sha256",
        about="SHA-256 of the weights that may be used. Without it a newer policy is taken up as it comes.",
        absent="any",
    ),
}

POLICY_REF: Mapping[str, Field] = {
    "name": Field(
        words(*POLICY_NAMES),
        "policy_name",
        about="default is the shipped network, and what auto stands for today; snvt (the newsvendor rule), quantile "
        "and hpa are rules.",
    ),
    "configMap": Field(
        Build(ConfigMapRef, CONFIG_MAP),
        "config_map",
        about="A trained policy in a ConfigMap of this namespace, which is asked in place of name. It is read again "
        "every 30 s. Until it holds a usable policy, the shipped network answers. A policy that cannot be used leaves "
        "the one before it in charge.",
    ),
}

POLICY_RULE: Mapping[str, Field] = {
    "type": Field(words("Pods", "Percent"), "type", required=True, about="What value counts."),
    "value": Field(
        Within(POLICY_LIMITS["value"]), "value", required=True, about="Most pods, or per cent of them, to change."
    ),
    "periodSeconds": Field(
        Within(POLICY_LIMITS["period_s"]), "period_s", required=True, about="Seconds that the change is counted over."
    ),
}

SCALING_RULES: Mapping[str, Field] = {
    "selectPolicy": Field(
        words("Max", "Min", "Disabled"),
        "select_policy",
        about="Which policy counts: Max is the one that allows most, Min the least; Disabled forbids this direction.",
    ),
    "stabilizationWindowSeconds": Field(
        Within(RULES_LIMITS["stabilization_s"]),
        "stabilization_s",
        about="Seconds of past proposals, of which the most cautious holds.",
        absent="none, as a band brings its own release window",
    ),
    "policies": Field(
        ListOf(Build(PolicyRule, POLICY_RULE), most=MOST_RULES),
        "policies",
        about=f"How much may change in how long; 1 to {MOST_RULES} entries.",
    ),
    "tolerance": Field(
        Within(RULES_LIMITS["tolerance"], quantity),
        "tolerance",
        about="Relative change that is too small to act on: 50m is 5 %.",
        absent="none, as a band holds by itself",
    ),
}


def _without_policies(meaning: str) -> Mapping[str, Field]:
    return {**SCALING_RULES, "policies": replace(SCALING_RULES["policies"], absent=meaning)}


BEHAVIOR: Mapping[str, Field] = {
    "scaleUp": Field(
        Build(ScalingRules, _without_policies("4 pods or 100 % in 15 s, whichever is more")),
        "scale_up",
        about="Limits on adding replicas.",
    ),
    "scaleDown": Field(
        Build(ScalingRules, _without_policies("100 % in 15 s")), "scale_down", about="Limits on removing replicas."
    ),
}

FALLBACK: Mapping[str, Field] = {
    "after": Field(duration, "after_s", about='How long without a usable reading, such as "180s" or "1h30m".'),
    "to": Field(
        choice((FallbackTo.REFERENCE, FallbackTo.HOLD)),
        "to",
        about="What acts then: Reference is the size that the reference HPA would run, Hold changes nothing.",
    ),
    "replicas": Field(as_it_is, "replicas", about="A fixed count in place of to, within minReplicas and maxReplicas."),
}

schedule = Known(
    Named(SCHEDULE, SCHEDULE_CHARACTERS, "a cron schedule (minute hour day month weekday)"), check_schedule
)
time_zone = Known(Named(ZONE, ZONE_CHARACTERS, "a time zone"), zone_of)

FREEZE_WINDOW: Mapping[str, Field] = {
    "schedule": Field(
        schedule,
        "schedule",
        required=True,
        about="When the window opens: cron in five fields (minute, hour, day of the month, month, weekday), such as "
        '"0 8 * * 1-5".',
    ),
    "duration": Field(
        Within(WINDOW_DURATION, duration),
        "duration_s",
        required=True,
        about='How long it stays open, such as "2h" or "1h30m"; hours that pass, whatever the clocks do.',
    ),
    "timeZone": Field(
        time_zone,
        "time_zone",
        about="Whose clocks the schedule is read on: a name of the IANA database, such as Europe/Berlin.",
        absent="UTC",
    ),
    "action": Field(
        OneOf({"Freeze": Reason.FROZEN, "NoScaleDown": Reason.NO_SCALE_DOWN}),
        "hold",
        about="What may not happen while it is open: Freeze changes nothing at all, not even for the bounds; "
        "NoScaleDown removes nothing.",
    ),
    "minReplicas": Field(
        Within(SPEC_LIMITS["min_replicas"]),
        "min_replicas",
        about="In place of action: fewest replicas while it is open, within the policy's own bounds.",
    ),
    "maxReplicas": Field(
        Within(SPEC_LIMITS["max_replicas"]),
        "max_replicas",
        about="In place of action: most replicas while it is open, within the policy's own bounds.",
    ),
}

HEALTHY: Mapping[str, Field] = {
    "query": Field(
        query,
        "query",
        required=True,
        about='PromQL that answers one number other than 0 while all is well, such as min(up{job="db"}).',
    ),
}

GUARDRAILS: Mapping[str, Field] = {
    "floorUtilization": Field(
        percent,
        "floor_utilization_ratio",
        about="Never fewer replicas than present load needs at this share (%) of what a replica serves.",
    ),
    "ceilingRatio": Field(
        quantity, "ceiling_ratio", about="Never more replicas than this times what the reference HPA would run."
    ),
    "staleAfterSeconds": Field(whole_number, "stale_after_s", about="Age at which a reading counts as missing."),
    "fallback": Field(
        Build(Fallback, FALLBACK, at_most_one=("to", "replicas"), arrange=fixed_count),
        "fallback",
        about="What runs the workload while its load stays unknown; it never removes a replica.",
    ),
    "freezeWindows": Field(
        ListOf(
            Build(FreezeWindow, FREEZE_WINDOW, (AN_EFFECT,), at_most_one=tuple(WINDOW_EFFECTS), arrange=one_effect),
            most=MOST_WINDOWS,
            least=0,
        ),
        "windows",
        about="Recurring windows in which less may change, or other bounds hold; each has one of action, minReplicas "
        f"and maxReplicas. Up to {MOST_WINDOWS}.",
    ),
    "requireHealthy": Field(
        ListOf(Build(the_query, HEALTHY), most=MOST_CONDITIONS, least=0),
        "healthy",
        about="What must be known to hold before a replica is removed: each query answers a number other than 0, fresh "
        f"and whole. Up to {MOST_CONDITIONS}.",
    ),
    "minReadyPercent": Field(
        percent, "min_ready_ratio", about="Nothing is removed while a smaller share (%) of the replicas is ready."
    ),
}

SPEC: Mapping[str, Field] = {
    "scaleTargetRef": Field(
        Build(TargetRef, TARGET, rules=(NO_SCALE,)),
        "target",
        required=True,
        about="What is scaled: anything with a scale subresource, in the policy's own namespace.",
    ),
    "minReplicas": Field(as_it_is, "min_replicas", about="Fewest replicas ever."),
    "maxReplicas": Field(as_it_is, "max_replicas", required=True, about="Most replicas ever."),
    "mode": Field(
        choice(Mode, later=("Floor",)),
        "mode",
        about="What may be done with a decision: Shadow reports it and never writes, UpOnly never removes, Auto adds "
        "and removes.",
    ),
    "paused": Field(boolean, "paused", about="Hold whatever the load, and say so."),
    "intervalSeconds": Field(whole_number, "interval_s", about="Seconds between decisions."),
    "demand": Field(
        Group(DEMAND, rules=(A_QUERY, ONE_QUERY)),
        required=True,
        about="The load on the target, and what one replica takes of it.",
    ),
    "service": Field(Group(SERVICE), about="What a bad request is."),
    "startupSeconds": Field(
        quantity,
        "startup_s",
        about="Seconds from the creation of a pod until it serves.",
        absent=f"{shown(DEFAULT_STARTUP_S)}, until it is measured from the target's pods",
    ),
    "promotion": Field(not_yet),
    "objective": Field(
        Group(OBJECTIVE, exactly_one=tuple(OBJECTIVE)), about="What bad requests are worth: one of these forms."
    ),
    "policyRef": Field(Group(POLICY_REF, rules=(ONE_POLICY,)), about="Who is asked for a band of replicas."),
    "behavior": Field(
        Build(Behavior, BEHAVIOR),
        "behavior",
        about="Rate limits, windows and tolerance as in autoscaling/v2. An empty one is not the same as none: it has "
        "the defaults of scaleUp and scaleDown.",
        absent="one decision at most doubles the replicas, or reaches four",
    ),
    "guardrails": Field(Build(ClusterGuardrails, GUARDRAILS), "guardrails", about="Rules that no policy can override."),
}

RESOURCE: Mapping[str, Field] = {
    "apiVersion": Field(words(API_VERSION), "api_version", required=True),
    "kind": Field(words(KIND), "kind", required=True),
    "metadata": Field(Group(METADATA), required=True),
    "spec": Field(Group(SPEC, rules=(BOUNDS, FALLBACK_BOUNDS, WINDOW_BOUNDS)), "spec", required=True),
    "status": Field(unread),  # written by the operator, not read back from a user's file
}

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.crd.freeze_window import FreezeWindow
from controller.crd.resource import PolicyResource, Queries, load_policies, parse_policy
from controller.crd.tables import (
    BEHAVIOR,
    DEMAND,
    FALLBACK,
    FREEZE_WINDOW,
    GUARDRAILS,
    HEALTHY,
    METADATA,
    OBJECTIVE,
    POLICY_REF,
    POLICY_RULE,
    RESOURCE,
    SCALING_RULES,
    SERVICE,
    SPEC,
    TARGET,
    TargetRef,
)
from scaling.decision import Reason
from scaling.errors import InputError
from scaling.hpa_settings import Behavior, PolicyRule, ScalingRules
from scaling.spec import EmptyIs, Fallback, FallbackTo, Guardrails, Mode, ScalingSpec

EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"
GONE = object()

SMALLEST: dict[str, Any] = {
    "apiVersion": "forescale.dev/v1alpha1",
    "kind": "ScalingPolicy",
    "metadata": {"name": "web"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "maxReplicas": 60,
        "demand": {"targetPerReplica": "70"},
    },
}

EVERY_FIELD: dict[str, Any] = {
    "apiVersion": "forescale.dev/v1alpha1",
    "kind": "ScalingPolicy",
    "metadata": {"name": "web", "namespace": "shop", "labels": {"team": "a"}, "generation": 3, "uid": "x"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web.front"},
        "minReplicas": 2,
        "maxReplicas": 50,
        "mode": "UpOnly",
        "paused": True,
        "intervalSeconds": 30,
        "demand": {
            "query": "sum(rate(requests_total[1m]))",
            "preset": None,
            "targetPerReplica": "1500m",
            "capacityPerReplica": 2,
            "emptyIs": "Zero",
        },
        "service": {"badRatioQuery": "1 - good / all", "objectiveSeconds": "0.5"},
        "startupSeconds": "45",
        "promotion": {},
        "objective": {"price": "20"},
        "policyRef": {"name": "snvt", "configMap": None},
        "behavior": {
            "scaleUp": {
                "selectPolicy": "Min",
                "stabilizationWindowSeconds": 30,
                "policies": [
                    {"type": "Pods", "value": 4, "periodSeconds": 60},
                    {"type": "Percent", "value": 10, "periodSeconds": 60},
                ],
                "tolerance": "50m",
            },
            "scaleDown": {"selectPolicy": "Disabled"},
        },
        "guardrails": {
            "floorUtilization": 80,
            "ceilingRatio": "1.5",
            "staleAfterSeconds": 60,
            "fallback": {"after": "1h30m", "to": "Hold"},
            "freezeWindows": [
                {
                    "schedule": "0 8 * * mon-fri",
                    "duration": "10h",
                    "timeZone": "Europe/Berlin",
                    "action": "NoScaleDown",
                },
                {"schedule": "0 0 * * *", "duration": "2h", "minReplicas": 20},
                {"schedule": "0 6 * * *", "duration": "90m", "maxReplicas": 30},
            ],
            "requireHealthy": [{"query": 'min(up{job="db"})'}, {"query": "lag_seconds < bool 5"}],
            "minReadyPercent": 70,
        },
    },
    "status": {"desiredReplicas": 99, "forged": "x" * 1000},
}


def a_body(changes=None, base=SMALLEST):
    """A body with fields set, or removed, at dotted paths; missing objects on the way are made."""
    body = copy.deepcopy(base)
    for path, value in (changes or {}).items():
        *parents, name = path.split("/")
        place = body
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is GONE:
            del place[name]
        else:
            place[name] = value
    return body


def refusal(body):
    with pytest.raises(InputError) as caught:
        parse_policy(body)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 400
    return message


def test_the_smallest_resource_takes_every_default():
    assert parse_policy(SMALLEST) == PolicyResource(
        name="web",
        namespace="default",
        target=TargetRef("apps/v1", "Deployment", "web"),
        queries=Queries(None, None),
        spec=ScalingSpec(max_replicas=60, target_per_replica=70.0),
    )


def test_every_field_of_the_resource_arrives():
    assert parse_policy(EVERY_FIELD) == PolicyResource(
        name="web",
        namespace="shop",
        target=TargetRef("argoproj.io/v1alpha1", "Rollout", "web.front"),
        queries=Queries(
            "sum(rate(requests_total[1m]))", "1 - good / all", ('min(up{job="db"})', "lag_seconds < bool 5")
        ),
        spec=ScalingSpec(
            min_replicas=2,
            max_replicas=50,
            mode=Mode.UP_ONLY,
            paused=True,
            interval_s=30,
            target_per_replica=1.5,
            capacity_per_replica=2.0,
            empty_is=EmptyIs.ZERO,
            startup_s=45.0,
            objective_s=0.5,
            price=20.0,
            policy_name="snvt",
            behavior=Behavior(
                scale_up=ScalingRules("Min", 30, (PolicyRule("Pods", 4, 60), PolicyRule("Percent", 10, 60)), 0.05),
                scale_down=ScalingRules("Disabled"),
            ),
            guardrails=Guardrails(
                floor_utilization_ratio=0.8,
                ceiling_ratio=1.5,
                stale_after_s=60,
                fallback=Fallback(after_s=5400.0, to=FallbackTo.HOLD),
                min_ready_ratio=0.7,
            ),
        ),
        windows=(
            FreezeWindow(
                schedule="0 8 * * mon-fri", duration_s=36_000.0, time_zone="Europe/Berlin", hold=Reason.NO_SCALE_DOWN
            ),
            FreezeWindow(schedule="0 0 * * *", duration_s=7200.0, min_replicas=20),
            FreezeWindow(schedule="0 6 * * *", duration_s=5400.0, max_replicas=30),
        ),
    )


def test_the_body_above_has_every_field_of_the_tables():
    spec = EVERY_FIELD["spec"]
    up = spec["behavior"]["scaleUp"]
    for body, fields, left_out in (
        (EVERY_FIELD, RESOURCE, set()),
        (spec, SPEC, set()),
        (spec["scaleTargetRef"], TARGET, set()),
        (spec["demand"], DEMAND, set()),
        (spec["service"], SERVICE, set()),
        (spec["objective"], OBJECTIVE, {"preset", "errorBudget"}),
        (spec["policyRef"], POLICY_REF, set()),
        (spec["behavior"], BEHAVIOR, set()),
        (up, SCALING_RULES, set()),
        (up["policies"][0], POLICY_RULE, set()),
        (spec["guardrails"], GUARDRAILS, set()),
        (spec["guardrails"]["fallback"], FALLBACK, {"replicas"}),
        (spec["guardrails"]["freezeWindows"][0], FREEZE_WINDOW, {"minReplicas", "maxReplicas"}),
        (spec["guardrails"]["requireHealthy"][0], HEALTHY, set()),
    ):
        assert set(body) == set(fields) - left_out
    assert set(EVERY_FIELD["metadata"]) <= set(METADATA)


def test_reading_leaves_the_body_as_it_was():
    body = copy.deepcopy(EVERY_FIELD)
    parse_policy(body)
    assert body == EVERY_FIELD


def test_null_is_absent_where_a_field_is_optional():
    optional = [name for name, field in SPEC.items() if not field.required]
    assert parse_policy(a_body({f"spec/{name}": None for name in optional})) == parse_policy(SMALLEST)


@pytest.mark.parametrize(
    ("objective", "price"),
    [
        ({"preset": "Cost"}, 10.0),
        ({"preset": "Balanced"}, 30.0),
        ({"preset": "Latency"}, 100.0),
        ({"price": "12.5"}, 12.5),
        ({"price": 12, "preset": None}, 12.0),
    ],
)
def test_an_objective_is_a_price(objective, price):
    assert parse_policy(a_body({"spec/objective": objective})).spec.price == price


def test_an_empty_behavior_is_not_an_absent_one():
    assert parse_policy(a_body({"spec/behavior": {}})).spec.behavior == Behavior()
    assert parse_policy(a_body()).spec.behavior is None


def test_a_fallback_of_replicas_is_a_fixed_count():
    spec = parse_policy(a_body({"spec/guardrails/fallback": {"replicas": 7}})).spec
    assert spec.guardrails.fallback == Fallback(after_s=180.0, to=FallbackTo.REPLICAS, replicas=7)


@pytest.mark.parametrize("query", ['vector("})")', '{__name__=~".+"}', "sum(größe)", "q" * 8192])
def test_a_query_is_kept_as_it_is_written(query):
    body = a_body({"spec/demand/query": query, "spec/service/badRatioQuery": query})
    assert parse_policy(body).queries == Queries(query, query)


@pytest.mark.parametrize(
    ("block", "query"),
    [
        ("|\n  sum(x)\n", "sum(x)"),
        (">\n  sum(\n    x\n  )\n", "sum(\n  x\n)"),
        ("|\n  # of all\n  sum(\n    x # of one\n  ) * 60\n", "# of all\nsum(\n  x # of one\n) * 60"),
        ('"\\tsum(x)\\r\\n\\t+ y"', "sum(x)\r\n\t+ y"),
        ("'sum(x)\r\n  + y'", "sum(x) + y"),
    ],
)
def test_a_query_may_have_several_lines(block, query):
    body = a_body({"spec/demand/query": yaml.safe_load(f"query: {block}")["query"]})
    assert parse_policy(body).queries.demand == query


def test_queries_of_a_policy_are_limited_together():
    query = " + ".join(["x"] * 50)
    body = a_body({"spec/guardrails/requireHealthy": [{"query": query}] * 4})
    assert parse_policy(body).queries.healthy == (query,) * 4
    body = a_body({"spec/guardrails/requireHealthy": [{"query": query}] * 5})
    with pytest.raises(InputError, match=r"spec: the 5 queries have together [0-9]+ operators, limit 200"):
        parse_policy(body)


UNREADABLE = [
    ("spec/demand/query", " \n", "spec.demand.query: holds no query"),
    ("spec/demand/query", "# of all sum(x)", "spec.demand.query: holds no query, but a comment"),
    ("spec/demand/query", 'sum(x{a="b)', 'spec.demand.query: character 6: { is not closed: "{a=\\"b)"'),
    ("spec/service/badRatioQuery", "sum(\nx", "spec.service.badRatioQuery: line 1, character 4: ( is not closed"),
    ("spec/demand/query", "(" * 51 + ")" * 51, "spec.demand.query: more than 50 parentheses within each other"),
]
"""What no schema can say of a query."""


@pytest.mark.parametrize(("path", "query", "message"), UNREADABLE)
def test_a_query_that_cannot_be_read_is_refused_with_the_place_in_it(path, query, message):
    with pytest.raises(InputError, match=re.escape(message)):
        parse_policy(a_body({path: query}))


RULE = {"type": "Pods", "value": 4, "periodSeconds": 60}
WINDOW = {"schedule": "0 8 * * *", "duration": "2h"}
FREEZE = WINDOW | {"action": "Freeze"}
WINDOWS = "spec/guardrails/freezeWindows"
REPLICAS = "1..150000"
BAD_INPUTS = [  # path, value, and what the message must say: where, the value, the limit
    ("spec/minReplicas", 0, f"spec.minReplicas: 0 is outside {REPLICAS}"),
    ("spec/minReplicas", -1, f"spec.minReplicas: -1 is outside {REPLICAS}"),
    ("spec/minReplicas", "3", 'spec.minReplicas: "3" is not a whole number'),
    ("spec/minReplicas", 1.5, "spec.minReplicas: 1.5 is not a whole number"),
    ("spec/minReplicas", True, "spec.minReplicas: true is not a whole number"),
    ("spec/minReplicas", 61, "spec.minReplicas: 61 is above spec.maxReplicas 60"),
    ("spec/minReplicas", 2**31, f"spec.minReplicas: 2147483648 is outside {REPLICAS}"),
    ("spec/policyRef/configMap", {}, "spec.policyRef.configMap.name is required, but missing"),
    ("spec/policyRef/configMap/name", "Web", 'spec.policyRef.configMap.name: "Web" is not a DNS-1123 subdomain'),
    ("spec/policyRef/configMap", {"name": "a", "key": "a/b"}, 'spec.policyRef.configMap.key: "a/b" is not the name of'),
    (
        "spec/policyRef/configMap",
        {"name": "a", "sha256": "ABC"},
        'spec.policyRef.configMap.sha256: "ABC" is not a SHA-256',
    ),
    ("spec/policyRef", {"name": "snvt", "configMap": {"name": "a"}}, "spec.policyRef: give one of name, configMap"),
    ("spec/maxReplicas", GONE, "spec.maxReplicas is required, but missing"),
    ("spec/maxReplicas", 0, f"spec.maxReplicas: 0 is outside {REPLICAS}"),
    ("spec/maxReplicas", 2**31, f"spec.maxReplicas: 2147483648 is outside {REPLICAS}"),
    ("spec/maxReplicas", 2_000_000_000, f"spec.maxReplicas: 2000000000 is outside {REPLICAS}"),
    ("spec/maxReplicas", 99999999999, f"spec.maxReplicas: 99999999999 is outside {REPLICAS}"),
    ("spec/maxReplicas", 7.5, "spec.maxReplicas: 7.5 is not a whole number"),
    ("spec/demand/targetPerReplica", GONE, "spec.demand.targetPerReplica is required, but missing"),
    ("spec/demand/targetPerReplica", 0, "spec.demand.targetPerReplica: 0 is outside 0.001..1000000000"),
    ("spec/demand/targetPerReplica", "-70", "spec.demand.targetPerReplica: -70 is outside 0.001..1000000000"),
    ("spec/demand/targetPerReplica", "abc", 'spec.demand.targetPerReplica: "abc" is not a quantity such as'),
    ("spec/demand/targetPerReplica", "", 'spec.demand.targetPerReplica: "" is not a quantity such as'),
    ("spec/demand/targetPerReplica", "1e400", 'spec.demand.targetPerReplica: "1e400" is above 9223372036854775807'),
    ("spec/demand/targetPerReplica", 1e308, "spec.demand.targetPerReplica: 1e+308 is a float"),
    ("spec/demand/targetPerReplica", [], "spec.demand.targetPerReplica: a list is not a whole number"),
    ("spec/demand/capacityPerReplica", "0", "spec.demand.capacityPerReplica: 0 is outside 0.001..1000000000"),
    ("spec/demand/emptyIs", "zero", 'spec.demand.emptyIs: "zero" is not Unknown or Zero'),
    ("spec/demand/query", "", 'spec.demand.query: "" is not a query of 1..8192 characters'),
    ("spec/demand/query", "q" * 2**20, "spec.demand.query: 1048576 characters, limit 8192"),
    ("spec/demand/query", "a\0b", 'spec.demand.query: "a\\u0000b" holds a control character'),
    ("spec/demand/query", "a\u202eb", 'spec.demand.query: "a\\u202eb" holds a control character'),
    ("spec/demand/query", "a\u00a0b", 'spec.demand.query: "a\\u00a0b" holds a control character, or a space'),
    ("spec/demand/query", 7, "spec.demand.query: 7 is not a query of 1..8192 characters"),
    ("spec/demand/preset", "istio", 'spec.demand.preset: "istio" is not an object'),
    ("spec/demand/preset", {}, "spec.demand.preset.kind is required, but missing"),
    ("spec/demand/preset", {"kind": "Nginx"}, 'preset.kind: "Nginx" is not NginxIngress or Istio or Envoy or'),
    ("spec/demand/preset", {"kind": "Kafka"}, "preset.consumerGroup is required for kind Kafka, but missing"),
    ("spec/demand/preset", {"kind": "Kafka", "consumerGroup": ""}, 'preset.consumerGroup: "" is not a text of 1..253'),
    (
        "spec/demand/preset",
        {"kind": "Envoy", "cluster": "a", "topic": "b"},
        "spec.demand.preset.topic: goes with kind Kafka, not Envoy",
    ),
    (
        "spec/demand/preset",
        {"kind": "Kafka", "consumerGroup": "a", "window": "1m"},
        "preset.window: goes with kind NginxIngress or Istio or Envoy or HttpMetrics or CpuUsage, not Kafka",
    ),
    ("spec/demand/preset", {"kind": "Istio", "window": "9s"}, "spec.demand.preset.window: 9 is outside 10..3600"),
    ("spec/demand/preset", {"kind": "Istio", "workload": 'a"} or x{a="'}, "preset.workload:"),
    ("spec/demand/preset", {"kind": "HttpMetrics", "metric": "a or b"}, 'preset.metric: "a or b" is not a metric'),
    ("spec/demand/preset", {"kind": "HttpMetrics", "statusLabel": "__name__"}, "preset.statusLabel:"),
    ("spec/demand/preset", {"kind": "Istio", "labels": []}, "spec.demand.preset.labels: 0 entries are outside 1..16"),
    ("spec/demand/preset", {"kind": "Istio", "labels": [{"name": "a"}]}, "labels[0].value is required, but missing"),
    ("spec/service/badRatioQuery", "\x1b[2J", 'spec.service.badRatioQuery: "\\u001b[2J" holds'),
    ("spec/service/objectiveSeconds", "0", "spec.service.objectiveSeconds: 0 is outside 0.001..300"),
    (
        "spec/service/objectiveSeconds",
        0.25,
        "spec.service.objectiveSeconds: 0.25 is a float; write a quantity in quotes",
    ),
    ("spec/intervalSeconds", 0, "spec.intervalSeconds: 0 is outside 5..300"),
    ("spec/intervalSeconds", -1, "spec.intervalSeconds: -1 is outside 5..300"),
    ("spec/intervalSeconds", 10**9, "spec.intervalSeconds: 1000000000 is outside 5..300"),
    ("spec/intervalSeconds", 15.5, "spec.intervalSeconds: 15.5 is not a whole number"),
    ("spec/intervalSeconds", 10**400, "spec.intervalSeconds: an integer of 1329 bits is outside the range of 64-bit"),
    ("spec/startupSeconds", "-1", "spec.startupSeconds: -1 is outside 0..3600"),
    ("spec/startupSeconds", "1h", 'spec.startupSeconds: "1h" is not a quantity'),
    ("spec/mode", "auto", 'spec.mode: "auto" is not Shadow or UpOnly or Auto'),
    ("spec/mode", ["Auto"], "spec.mode: a list is not Shadow or UpOnly or Auto"),
    ("spec/paused", "yes", 'spec.paused: "yes" is not true or false'),
    ("spec/objective", {}, "spec.objective: give exactly one of preset, price, errorBudget, not none"),
    (
        "spec/objective",
        {"preset": "Cost", "price": 3},
        "spec.objective: give exactly one of preset, price, errorBudget",
    ),
    ("spec/objective/preset", "Cheap", 'spec.objective.preset: "Cheap" is not Cost or Balanced or Latency'),
    ("spec/objective/price", "0", "spec.objective.price: 0 is outside 1..1000"),
    ("spec/policyRef/name", "../x", 'spec.policyRef.name: "../x" is not auto or default or snvt or hpa or quantile'),
    ("spec/behavior/scaleUp/stabilizationWindowSeconds", 3601, "stabilizationWindowSeconds: 3601 is outside 0..3600"),
    ("spec/behavior/scaleUp/stabilizationWindowSeconds", -1, "stabilizationWindowSeconds: -1 is outside 0..3600"),
    ("spec/behavior/scaleUp/tolerance", "-10m", "spec.behavior.scaleUp.tolerance: -0.01 is outside 0..inf"),
    ("spec/behavior/scaleUp/selectPolicy", "Mean", 'scaleUp.selectPolicy: "Mean" is not Max or Min or Disabled'),
    ("spec/behavior/scaleDown/policies", [], "spec.behavior.scaleDown.policies: 0 entries are outside 1..20"),
    ("spec/behavior/scaleDown/policies", [RULE] * 1000, "scaleDown.policies: 1000 entries are outside 1..20"),
    ("spec/behavior/scaleDown/policies", RULE, "spec.behavior.scaleDown.policies: an object is not a list"),
    (
        "spec/behavior/scaleDown/policies",
        [RULE, RULE | {"periodSeconds": 0}],
        "[1].periodSeconds: 0 is outside 1..1800",
    ),
    ("spec/behavior/scaleDown/policies", [RULE | {"periodSeconds": 1801}], "periodSeconds: 1801 is outside 1..1800"),
    ("spec/behavior/scaleDown/policies", [RULE | {"value": 0}], "[0].value: 0 is outside 1..2147483647"),
    ("spec/behavior/scaleDown/policies", [RULE | {"type": "Pod"}], '[0].type: "Pod" is not Pods or Percent'),
    ("spec/behavior/scaleDown/policies", [{"type": "Pods"}], "policies[0].value is required, but missing"),
    ("spec/guardrails/floorUtilization", 0, "spec.guardrails.floorUtilization: 0 is outside 10..100"),
    ("spec/guardrails/floorUtilization", 101, "spec.guardrails.floorUtilization: 101 is outside 10..100"),
    ("spec/guardrails/floorUtilization", "90", 'spec.guardrails.floorUtilization: "90" is not a whole number'),
    ("spec/guardrails/ceilingRatio", "0.5", "spec.guardrails.ceilingRatio: 0.5 is outside 1..100"),
    ("spec/guardrails/staleAfterSeconds", 0, "spec.guardrails.staleAfterSeconds: 0 is outside 5..3600"),
    ("spec/guardrails/minReadyPercent", 101, "spec.guardrails.minReadyPercent: 101 is outside 0..100"),
    ("spec/guardrails/fallback/after", "180", 'spec.guardrails.fallback.after: "180" is not a duration such as "180s"'),
    ("spec/guardrails/fallback/after", "25h", "spec.guardrails.fallback.after: 90000 is outside 0..86400"),
    ("spec/guardrails/fallback/to", "Replicas", 'spec.guardrails.fallback.to: "Replicas" is not Reference or Hold'),
    ("spec/guardrails/fallback/replicas", 61, "fallback.replicas: 61 is outside minReplicas..maxReplicas 1..60"),
    ("spec/guardrails/fallback", {"to": "Hold", "replicas": "\n"}, 'give one of to, replicas, not Hold and "\\n"'),
    ("spec/guardrails/fallback", {"to": "Hold", "replicas": 3}, "fallback: give one of to, replicas, not Hold and 3"),
    (WINDOWS, [FREEZE] * 21, "spec.guardrails.freezeWindows: 21 entries are outside 0..20"),
    (WINDOWS, FREEZE, "spec.guardrails.freezeWindows: an object is not a list"),
    (
        WINDOWS,
        [FREEZE | {"start": "8"}],
        "freezeWindows[0].start: unknown field; known are schedule, duration, timeZone",
    ),
    (WINDOWS, [{"schedule": "0 8 * * *", "action": "Freeze"}], "freezeWindows[0].duration is required, but missing"),
    (WINDOWS, [FREEZE | {"schedule": "@daily"}], 'freezeWindows[0].schedule: "@daily" is not a cron schedule (minute'),
    (WINDOWS, [FREEZE, FREEZE | {"schedule": "0 0 8 * * *"}], '[1].schedule: "0 0 8 * * *" is not a cron schedule'),
    (
        WINDOWS,
        [FREEZE | {"schedule": "0 " * 70}],
        "is not a cron schedule (minute hour day month weekday) of at most 128",
    ),
    (WINDOWS, [FREEZE | {"duration": "2 h"}], 'freezeWindows[0].duration: "2 h" is not a duration such as "180s"'),
    (WINDOWS, [FREEZE | {"duration": "59s"}], "freezeWindows[0].duration: 59 is outside 60..604800"),
    (WINDOWS, [FREEZE | {"duration": "169h"}], "freezeWindows[0].duration: 608400 is outside 60..604800"),
    (
        WINDOWS,
        [FREEZE | {"timeZone": "../UTC"}],
        'freezeWindows[0].timeZone: "../UTC" is not a time zone of at most 64',
    ),
    (WINDOWS, [WINDOW | {"action": "freeze"}], '[0].action: "freeze" is not Freeze or NoScaleDown'),
    (WINDOWS, [WINDOW], "freezeWindows[0]: give exactly one of action, minReplicas, maxReplicas, not none"),
    (WINDOWS, [FREEZE | {"minReplicas": 5}], "action, minReplicas, maxReplicas, not action and minReplicas"),
    (WINDOWS, [WINDOW | {"minReplicas": 0}], f"freezeWindows[0].minReplicas: 0 is outside {REPLICAS}"),
    (WINDOWS, [WINDOW | {"minReplicas": 61}], "[0].minReplicas: 61 is outside minReplicas..maxReplicas 1..60"),
    (WINDOWS, [FREEZE, WINDOW | {"maxReplicas": 61}], "[1].maxReplicas: 61 is outside minReplicas..maxReplicas 1..60"),
    ("spec/guardrails/requireHealthy", ["up"], 'spec.guardrails.requireHealthy[0]: "up" is not an object'),
    ("spec/guardrails/requireHealthy", [{}], "spec.guardrails.requireHealthy[0].query is required, but missing"),
    ("spec/guardrails/requireHealthy", [{"query": ""}], 'requireHealthy[0].query: "" is not a query of 1..8192'),
    ("spec/guardrails/requireHealthy", [{"query": "up"}] * 11, "requireHealthy: 11 entries are outside 0..10"),
    ("metadata/name", "x" * 254, "is not a DNS-1123 subdomain of at most 253 characters"),
    ("metadata/name", "Wéb", 'metadata.name: "W\\u00e9b" is not a DNS-1123 subdomain'),
    ("metadata/name", "web\n", 'metadata.name: "web\\n" is not a DNS-1123 subdomain'),
    ("metadata/name", "web..a", 'metadata.name: "web..a" is not a DNS-1123 subdomain'),
    ("metadata/name", GONE, "metadata.name is required, but missing"),
    ("metadata/namespace", "kube.system", 'metadata.namespace: "kube.system" is not a DNS-1123 label of at most 63'),
    ("metadata/namespace", "n" * 64, "is not a DNS-1123 label of at most 63 characters"),
    ("metadata", None, "metadata is required, but null"),
    ("spec/scaleTargetRef/apiVersion", "a/b/v1", 'scaleTargetRef.apiVersion: "a/b/v1" is not a group/version'),
    ("spec/scaleTargetRef/kind", "Deployment/../secrets", '"Deployment/../secrets" is not a kind of at most 63'),
    ("spec/scaleTargetRef/name", "a/scale?dryRun=All", '"a/scale?dryRun=All" is not a DNS-1123 subdomain'),
    ("spec/scaleTargetRef/kind", "DaemonSet", "spec.scaleTargetRef: apps/v1 DaemonSet has no scale subresource"),
    ("spec/scaleTargetRef/namespace", "kube-system", "spec.scaleTargetRef.namespace: unknown field"),
    ("spec/scaleTargetRef", GONE, "spec.scaleTargetRef is required, but missing"),
    ("apiVersion", "forescale.dev/v1", 'apiVersion: "forescale.dev/v1" is not forescale.dev/v1alpha1'),
    ("kind", "HorizontalPodAutoscaler", 'kind: "HorizontalPodAutoscaler" is not ScalingPolicy'),
    ("spec", None, "spec is required, but null"),
    ("spec", [], "spec: a list is not an object"),
    ("spec/demand", "sum(x)", 'spec.demand: "sum(x)" is not an object'),
    ("spec/metrics", [], "spec.metrics: unknown field; known are scaleTargetRef, minReplicas"),
]


@pytest.mark.parametrize(
    ("path", "value", "message"), BAD_INPUTS, ids=[f"{n}-{row[0]}" for n, row in enumerate(BAD_INPUTS)]
)
def test_bad_input_is_refused_with_where_what_and_limit(path, value, message):
    assert message in refusal(a_body({path: value}))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("sepc", "sepc: unknown field; did you mean spec?"),
        ("metadata/nmaespace", "metadata.nmaespace: unknown field; did you mean namespace?"),
        ("spec/demnad", "spec.demnad: unknown field; did you mean demand?"),
        ("spec/minreplicas", "spec.minreplicas: unknown field; did you mean minReplicas?"),
        ("spec/scaleTargetRef/nam", "spec.scaleTargetRef.nam: unknown field; did you mean name?"),
        ("spec/demand/querry", "spec.demand.querry: unknown field; did you mean query?"),
        ("spec/service/objectiveSecond", "spec.service.objectiveSecond: unknown field; did you mean objectiveSeconds?"),
        ("spec/objective/prize", "spec.objective.prize: unknown field; did you mean price?"),
        ("spec/policyRef/nmae", "spec.policyRef.nmae: unknown field; did you mean name?"),
        ("spec/behavior/scaleup", "spec.behavior.scaleup: unknown field; did you mean scaleUp?"),
        ("spec/behavior/scaleUp/policy", "spec.behavior.scaleUp.policy: unknown field; did you mean policies?"),
        ("spec/guardrails/ceiling", "spec.guardrails.ceiling: unknown field; did you mean ceilingRatio?"),
        ("spec/guardrails/fallback/afer", "spec.guardrails.fallback.afer: unknown field; did you mean after?"),
    ],
)
def test_a_typo_at_any_depth_is_named_with_its_path(path, message):
    assert refusal(a_body({path: 1}, EVERY_FIELD)) == message


def test_a_typo_in_a_behavior_policy_is_named_with_its_place():
    body = a_body({"spec/behavior/scaleUp/policies": [RULE, RULE | {"period": 15}]})
    message = "spec.behavior.scaleUp.policies[1].period: unknown field; did you mean periodSeconds?"
    assert refusal(body) == message


@pytest.mark.parametrize(
    ("path", "value", "subject"),
    [
        ("spec/mode", "Floor", "spec.mode: Floor"),
        ("spec/promotion", {"from": "Shadow"}, "spec.promotion"),
        ("spec/promotion", False, "spec.promotion"),
        ("spec/objective", {"errorBudget": "0.01"}, "spec.objective.errorBudget"),
    ],
)
def test_what_nothing_acts_on_yet_is_refused_not_skipped(path, value, subject):
    assert refusal(a_body({path: value})) == f"{subject} is not supported yet by forescale 0.1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": "0 25 * * *"}, '[0].schedule: "0 25 * * *" is not a cron schedule: bad hour'),
        ({"schedule": "0 8 * * fri-mon"}, '"0 8 * * fri-mon" is not a cron schedule: bad day-of-week'),
        ({"schedule": "*/0 8 * * *"}, '"*/0 8 * * *" is not a cron schedule: bad minute'),
        ({"schedule": "0 8 31 2 *"}, '"0 8 31 2 *" is not a cron schedule: bad day-of-month'),
        ({"schedule": "0 8 */40 * 5L"}, '"0 8 */40 * 5L" is a cron schedule that never comes'),
        ({"timeZone": "Europe/Atlantis"}, '[0].timeZone: "Europe/Atlantis" is not a time zone of the IANA database'),
        ({"timeZone": "Europe"}, '[0].timeZone: "Europe" is not a time zone of the IANA database'),
    ],
)
def test_a_window_that_only_looks_right_is_refused_here(changes, message):
    """What an API server cannot know; the operator says it in the resource's Ready condition."""
    assert message in refusal(a_body({WINDOWS: [FREEZE | changes]}))


def test_no_windows_and_no_conditions_are_what_is_meant_without_them():
    empty = a_body({WINDOWS: [], "spec/guardrails/requireHealthy": []})
    assert parse_policy(empty) == parse_policy(SMALLEST)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def paths_of(value, path=()):
    """Every place in a body, inner ones too."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths_of(inner, (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    copied = copy.copy(value)
    copied[path[0]] = replaced(value[path[0]], path[1:], new)
    return copied


def assert_read_or_refused_in_one_line(body):
    message = ""
    try:
        parse_policy(body)
    except InputError as error:
        message = str(error)
    assert message.isprintable()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*RESOURCE, *SPEC]) | st.text(max_size=10), JSON, max_size=6))
def test_any_object_is_read_or_refused(body):
    assert_read_or_refused_in_one_line(body)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([path for path in paths_of(EVERY_FIELD) if path]), JSON)
def test_any_value_in_any_place_is_read_or_refused(path, value):
    assert_read_or_refused_in_one_line(replaced(EVERY_FIELD, path, value))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(SPEC)), st.text(max_size=12), JSON)
def test_any_extra_field_is_refused_or_known(group, name, value):
    body = copy.deepcopy(EVERY_FIELD)
    inner = body["spec"][group]
    if isinstance(inner, dict):
        inner[name] = value
    assert_read_or_refused_in_one_line(body)


def test_the_example_of_one_workload_shows_the_defaults_it_names():
    (web,) = load_policies(EXAMPLES / "web.yaml")
    defaults = ScalingSpec(max_replicas=60, target_per_replica=70.0)
    assert (web.namespace, web.name) == ("shop", "web")
    assert web.spec.guardrails == defaults.guardrails
    assert (web.spec.price, web.spec.objective_s) == (defaults.price, defaults.objective_s)
    assert web.queries.bad_ratio is not None


def test_the_fields_an_example_comments_out_can_be_taken_in(tmp_path):
    lines = (EXAMPLES / "web.yaml").read_text().splitlines()
    path = tmp_path / "web.yaml"
    path.write_text("\n".join(re.sub(r"^( +)# ", r"\1", line) for line in lines))
    (web,) = load_policies(path)
    assert (web.spec.startup_s, web.spec.capacity_per_replica, web.spec.interval_s) == (40.0, 100.0, 15)


def test_the_example_of_two_workloads_parses():
    checkout, thumbnails = load_policies(EXAMPLES / "two-workloads.yaml")
    assert (checkout.name, checkout.spec.price, checkout.spec.stated_capacity) == ("checkout", 100.0, 45.0)
    assert (thumbnails.spec.mode, thumbnails.spec.target_per_replica) == (Mode.UP_ONLY, 1.5)
    assert thumbnails.spec.guardrails.fallback == Fallback(after_s=300.0, to=FallbackTo.REPLICAS, replicas=10)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no ScalingPolicy"),
        ("---\n---\n# nothing\n", "holds no ScalingPolicy"),
        ("- a\n", "ScalingPolicy: a list is not an object"),
        ("just text\n", 'ScalingPolicy: "just text" is not an object'),
        ("{}\n", "apiVersion is required, but missing"),
        ("{}\n---\n{}\n", "document 1: apiVersion is required, but missing"),
        ("a: [\n", "line 2: not usable YAML"),
        ("&a {apiVersion: *a}\n", "line 1: not usable YAML: an anchor holds itself"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: web}\n", "holds no ScalingPolicy; only "),
        ("apiVersion: v1\nkind: List\nitems: []\n", "holds no ScalingPolicy"),
    ],
)
def test_a_file_that_holds_no_policy_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "web.yaml"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        load_policies(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert str(caught.value).isprintable()


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: No such file or directory$"):
        load_policies(tmp_path / "none.yaml")


def test_a_file_name_with_a_line_break_stays_on_one_line(tmp_path):
    with pytest.raises(InputError) as caught:
        load_policies(tmp_path / "a\nb.yaml")
    assert str(caught.value).isprintable()


def test_the_same_policy_twice_is_refused(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text("---\n".join([(EXAMPLES / "web.yaml").read_text()] * 2))
    with pytest.raises(InputError, match="ScalingPolicy shop/web is given twice"):
        load_policies(path)


def test_one_name_in_two_namespaces_is_two_policies(tmp_path):
    web = (EXAMPLES / "web.yaml").read_text()
    path = tmp_path / "two.yaml"
    path.write_text("---\n".join([web, web.replace("namespace: shop\n", "namespace: test\n", 1)]))
    assert [policy.namespace for policy in load_policies(path)] == ["shop", "test"]

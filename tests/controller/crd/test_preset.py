from typing import Any

import pytest

from controller.crd.preset import PRESET
from controller.crd.resource import parse_policy
from controller.crd.tables import TargetRef
from controller.promql.presets import PARAMETERS
from tests.controller.crd.structural import filled, refusals
from tests.controller.crd.test_resource import SMALLEST, a_body, refusal
from tests.controller.crd.test_schema import SCHEMA

EVERY_PRESET: list[dict[str, Any]] = [
    {"kind": "NginxIngress", "ingress": "web", "service": "web", "honorLabels": True, "window": "2m"},
    {"kind": "Istio", "workload": "web-v1", "service": "web", "reporter": "waypoint"},
    {"kind": "Envoy", "cluster": "shop/web/80"},
    {"kind": "HttpMetrics", "metric": "requests_total", "statusLabel": "status"},
    {"kind": "CpuUsage", "container": "app", "labels": [{"name": "cluster", "value": "eu-1"}]},
    {"kind": "CpuUsage", "containerLabel": False},
    {"kind": "RabbitMQ", "queueName": "orders", "vhostName": "/", "metric": "rabbitmq_queue_messages_ready"},
    {"kind": "Kafka", "consumerGroup": "orders", "topic": "orders.v1"},
]


def queries(preset, **changes):
    return parse_policy(a_body({"metadata/namespace": "shop", "spec/demand/preset": preset, **changes})).queries


@pytest.mark.parametrize("preset", EVERY_PRESET, ids=[preset["kind"] for preset in EVERY_PRESET])
def test_a_preset_with_every_field_is_taken_and_gives_each_of_them_a_place_in_its_query(preset):
    body = a_body({"spec/demand/preset": preset})
    assert list(refusals(filled(SCHEMA, body), SCHEMA)) == []
    demand = queries(preset).demand
    texts = {name: value for name, value in preset.items() if isinstance(value, str) and name not in ("kind", "window")}
    assert [name for name, value in texts.items() if name != "statusLabel" and value not in demand] == []


def test_the_presets_above_have_every_field_of_the_table():
    assert {name for preset in EVERY_PRESET for name in preset} == set(PRESET)
    assert {parameter.spelled for parameter in PARAMETERS.values()} == set(PRESET) - {"kind", "labels"}


def test_names_come_from_the_target_and_its_namespace():
    assert queries({"kind": "NginxIngress"}).demand == (
        'sum(rate(nginx_ingress_controller_requests{exported_namespace="shop",ingress="web"}[1m]))'
    )


def test_the_objective_says_what_is_late():
    late = queries({"kind": "NginxIngress"}, **{"spec/service/objectiveSeconds": "0.5"}).bad_ratio
    assert 'le="0.5"' in late


def test_a_bad_share_that_the_user_gives_wins():
    own = queries({"kind": "NginxIngress"}, **{"spec/service/badRatioQuery": "1 - good / all"})
    assert own.bad_ratio == "1 - good / all"
    assert own.demand is not None


def test_a_query_and_a_preset_are_one_too_many():
    body = a_body({"spec/demand/query": "up", "spec/demand/preset": {"kind": "Istio"}})
    assert refusal(body) == "spec.demand: give one of query, preset, not query and preset"


def test_neither_is_read_too_for_a_dry_run():
    assert parse_policy(SMALLEST).queries.demand is None
    assert parse_policy(SMALLEST).target == TargetRef("apps/v1", "Deployment", "web")

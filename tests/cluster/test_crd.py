"""ScalingPolicy on a real API server: what it takes, refuses, fills in, explains and prints.

What the schema should do is worked out without a server in tests/controller/test_schema.py; here the same bodies
meet the server, and the two must agree.
"""

import copy
import json
import time
from typing import Any

import pytest
import yaml

from controller.crd.resource import parse_policy
from controller.crd.schema import COLUMNS
from tests.controller.crd.structural import filled
from tests.controller.crd.test_resource import BAD_INPUTS, EVERY_FIELD, EXAMPLES, a_body
from tests.controller.crd.test_schema import DEFINITION, LEFT_TO_CEL, NODES, ON_A_CLUSTER, SCHEMA

PLACE = "/apis/forescale.dev/v1alpha1/namespaces/{namespace}/scalingpolicies"
ON_SERVER: dict[str, Any] = a_body(ON_A_CLUSTER)
NOT_STORED = ["spec/policyRef/configMap", "spec/promotion", "spec/demand/preset"]
"""Not in the schema yet; and nulls, which the server drops."""

NO_FIELD = "<nil>"
NAMED_OTHERWISE = {"metadata/namespace": "namespaces", "apiVersion": 'in version "v1"'}
WITHOUT_THE_VALUE = ("must be of type", "Too long", "unknown field", "cannot unmarshal")
"""The API server's own words for these name the field, and its type or its limit."""
BEYOND_JSON = 10**400
"""A number that the API server's decoder refuses before it knows the field."""

WHEN = "2026-11-23T12:00:00Z"
STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "currentReplicas": 4,
    "desiredReplicas": 6,
    "referenceReplicas": 5,
    "lastScaleTime": WHEN,
    "lastScale": {"fromReplicas": 4, "toReplicas": 6},
    "recentChanges": [{"time": WHEN, "added": 2}],
    "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": WHEN, "reason": "Valid", "message": ""}],
    "lastDecision": {
        "time": WHEN,
        "action": "Add",
        "currentReplicas": 4,
        "proposedReplicas": 6,
        "finalReplicas": 6,
        "reasons": ["BelowBand", "ScaleUpLimit"],
        "band": {"lo": 6, "hi": 8},
        "demand": "312.7",
        "policy": {"name": "default", "sha256": "a" * 64},
        "outOfDistribution": ["demand_rps"],
    },
    "queries": {"demand": "up", "badRatio": "0"},
}


@pytest.fixture(scope="module")
def kubectl(cluster):
    """kubectl on a cluster that knows ScalingPolicy, in the namespace shop; it gives what was printed."""
    for namespace in ("shop", "trials"):
        succeeded(cluster.kubectl("create", "namespace", namespace))
    created = cluster.kubectl("apply", "-f", str(DEFINITION))
    assert succeeded(created) == "customresourcedefinition.apiextensions.k8s.io/scalingpolicies.forescale.dev created\n"
    assert created.stderr == ""
    succeeded(cluster.kubectl("wait", "--for=condition=Established", "crd/scalingpolicies.forescale.dev"))
    wait_until_served(cluster)

    def run(*arguments, stdin=None):
        return succeeded(cluster.kubectl("--namespace=shop", *arguments, stdin=stdin))

    return run


def succeeded(ended):
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def wait_until_served(cluster):
    """An established definition is served, and its schema published, a moment later."""
    for _ in range(100):
        published = cluster.request("GET", "/openapi/v3").body["paths"]
        if cluster.request("GET", place("shop")).code == 200 and "apis/forescale.dev/v1alpha1" in published:
            return
        time.sleep(0.1)
    raise AssertionError("scalingpolicies are not served 10 s after their definition was established")


def place(namespace, **query):
    options = "&".join(f"{name}={value}" for name, value in query.items())
    return PLACE.format(namespace=namespace) + (f"?{options}" if options else "")


def created(cluster, body, **query):
    """The answer to creating a policy in the namespace shop."""
    return cluster.request("POST", place("shop", **query), body)


def tried(cluster, body):
    """The answer to creating a policy as strictly as kubectl does, in a namespace where none is kept."""
    namespace = (body.get("metadata") or {}).get("namespace", "trials")
    return cluster.request("POST", place(namespace, fieldValidation="Strict", dryRun="All"), body)


def fields_of(answer):
    """What a refusal names; that some rules could not be checked then has no field."""
    fields = [cause["field"] for cause in answer.body["details"]["causes"]]
    assert fields[0] != NO_FIELD
    return [field for field in fields if field != NO_FIELD]


def dotted(path):
    return path.replace("/", ".")


def named(name, body=ON_SERVER):
    return a_body({"metadata/name": name}, body)


def stored(kubectl, name):
    return json.loads(kubectl("get", "scalingpolicy", name, "--output=json"))


# What is taken


def test_the_definition_is_structural_and_all_its_names_are_accepted(kubectl):
    status = json.loads(kubectl("get", "crd", "scalingpolicies.forescale.dev", "--output=json"))["status"]
    conditions = {condition["type"]: condition["status"] for condition in status["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert status["acceptedNames"]["shortNames"] == ["scalepol"]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_an_example_is_applied_and_means_the_same_when_read_back(kubectl, path):
    kubectl("apply", "--filename", str(path))
    for document in yaml.safe_load_all(path.read_text()):
        assert parse_policy(stored(kubectl, document["metadata"]["name"])) == parse_policy(document)


def test_every_supported_field_arrives(cluster, kubectl):
    body = a_body({"metadata": {"name": "every-field"}})
    body["spec"] = copy.deepcopy(EVERY_FIELD["spec"])
    for path in NOT_STORED:
        *parents, name = path.split("/")
        group = body
        for parent in parents:
            group = group[parent]
        del group[name]
    answer = created(cluster, body, fieldValidation="Strict")
    assert answer.code == 201, answer.body["message"]
    assert answer.body["spec"] == body["spec"]
    assert parse_policy(answer.body).spec == parse_policy(EVERY_FIELD).spec


@pytest.mark.parametrize(
    "changes",
    [{}, {"spec/guardrails/fallback": {"replicas": 7}}, {"spec/behavior/scaleUp": {}}],
    ids=["smallest", "one-fallback", "empty-behavior"],
)
def test_the_server_fills_in_the_defaults_that_the_schema_states(cluster, kubectl, changes):
    body = a_body(changes, ON_SERVER)
    answer = tried(cluster, body)
    assert answer.code == 201, answer.body["message"]
    assert answer.body["spec"] == filled(SCHEMA, body)["spec"]
    assert parse_policy(answer.body).spec == parse_policy(body).spec


# What is refused


@pytest.mark.parametrize(
    ("path", "value"), [row[:2] for row in BAD_INPUTS], ids=[f"{n}-{row[0]}" for n, row in enumerate(BAD_INPUTS)]
)
def test_a_bad_input_is_refused_by_the_server_and_named(cluster, kubectl, path, value):
    assert tried(cluster, ON_SERVER).code == 201
    answer = tried(cluster, a_body({path: value}, ON_SERVER))
    assert answer.code in (400, 404, 422)
    expected = "cannot unmarshal number" if value == BEYOND_JSON else NAMED_OTHERWISE.get(path, dotted(path))
    assert expected in answer.body["message"]
    told_otherwise = path in NAMED_OTHERWISE or any(words in answer.body["message"] for words in WITHOUT_THE_VALUE)
    if is_shown_as_it_is(value) and not told_otherwise:
        assert str(value) in answer.body["message"]


def is_shown_as_it_is(value):
    return type(value) in (int, float) or (isinstance(value, str) and value.isprintable())


@pytest.mark.parametrize(("path", "value"), LEFT_TO_CEL, ids=[f"{n}-{row[0]}" for n, row in enumerate(LEFT_TO_CEL)])
def test_a_rule_in_cel_refuses_what_the_plain_schema_lets_pass_and_names_the_field(cluster, kubectl, path, value):
    answer = tried(cluster, a_body({path: value}, ON_SERVER))
    assert answer.code == 422
    assert all(field.startswith(dotted(path)) for field in fields_of(answer))


def test_a_policy_without_a_query_is_told_to_name_one(cluster, kubectl):
    answer = tried(cluster, a_body())
    assert answer.code == 422
    assert "spec.demand.query: Required value: on a cluster the load comes from Prometheus" in answer.body["message"]


@pytest.mark.parametrize("path", ["spec/demnad", "spec/minreplicas", "spec/guardrails/ceiling", "spec/promotion"])
def test_an_unknown_field_is_refused_by_kubectl_apply_and_named(cluster, kubectl, path):
    body = a_body({path: 1, "metadata/name": "typo"}, ON_SERVER)
    ended = cluster.kubectl("apply", "--namespace=shop", "--filename=-", stdin=json.dumps(body))
    assert ended.returncode == 1
    assert f'unknown field "{dotted(path)}"' in ended.stderr
    assert cluster.request("GET", f"{place('shop')}/typo").code == 404


# Status


def test_a_full_status_is_taken_and_leaves_the_spec_as_it_was(cluster, kubectl):
    assert set(STATUS) == set(NODES["status"]["properties"])
    assert set(STATUS["lastDecision"]) == set(NODES["status.lastDecision"]["properties"])
    before = created(cluster, named("with-status")).body

    patch = json.dumps({"spec": {"maxReplicas": 1}, "status": STATUS})
    kubectl("patch", "scalepol", "with-status", "--subresource=status", "--type=merge", "--patch", patch)
    after = stored(kubectl, "with-status")
    assert after["status"] == STATUS
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"] == 1


def test_a_status_in_an_applied_policy_is_dropped(cluster, kubectl):
    answer = created(cluster, named("forged") | {"status": STATUS}, fieldValidation="Strict")
    assert answer.code == 201
    assert "status" not in answer.body


@pytest.mark.parametrize(
    ("status", "field"),
    [
        ({"desiredReplicas": -1}, "status.desiredReplicas"),
        ({"lastScaleTime": "yesterday"}, "status.lastScaleTime"),
        ({"lastDecision": {"reasons": ["two words"]}}, "status.lastDecision.reasons[0]"),
    ],
)
def test_a_status_that_does_not_fit_is_refused(cluster, kubectl, status, field):
    created(cluster, named("bad-status"))  # 409 the second time, as well
    path = f"{place('shop')}/bad-status/status"
    answer = cluster.request("PATCH", path, {"status": status}, "application/merge-patch+json")
    assert answer.code == 422
    assert fields_of(answer) == [field]


# What people read


@pytest.mark.parametrize(
    "group",
    ["", ".demand", ".guardrails", ".guardrails.freezeWindows", ".guardrails.fallback", ".behavior.scaleUp.policies"],
)
def test_explain_prints_the_description_of_every_field(kubectl, group):
    node = NODES[f"spec{group}"]
    printed = as_one_line(kubectl("explain", f"scalingpolicy.spec{group}"))
    fields = node.get("properties") or node["items"]["properties"]
    for name, field in fields.items():
        assert name in printed
        assert as_one_line(field["description"]) in printed


def as_one_line(text):
    """Words with one space between them: kubectl breaks lines where it likes."""
    return " ".join(text.split())


@pytest.mark.parametrize("asked", ["scalepol", "scalingpolicies", "autoscaling"])
def test_get_prints_what_was_decided_under_each_name(cluster, kubectl, asked):
    name = f"printed-as-{asked}"
    created(cluster, named(name))
    path = f"{place('shop')}/{name}/status"
    assert cluster.request("PATCH", path, {"status": STATUS}, "application/merge-patch+json").code == 200

    header, *rows = kubectl("get", asked).splitlines()
    assert header.split() == ["NAME", *(column[0].upper() for column in COLUMNS if not column[3])]
    (row,) = [row.split() for row in rows if row.split()[0].rpartition("/")[2] == name]
    assert row[1:-1] == ["web", "Auto", "1", "60", "4", "6", "Add", "ScaleUpLimit", "True"]


def test_a_wide_listing_adds_the_reference(cluster, kubectl):
    created(cluster, named("wide"))
    header = kubectl("get", "scalepol", "wide", "--output=wide").splitlines()[0]
    assert header.split()[-3:] == ["REFERENCE", "READY", "AGE"]


def test_a_policy_that_was_read_can_be_applied_again(kubectl):
    kubectl("apply", "--filename=-", stdin=yaml.safe_dump(named("again")))
    assert kubectl("apply", "--filename=-", stdin=yaml.safe_dump(named("again"))).split()[-1] == "unchanged"

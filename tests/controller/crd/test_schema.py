import re
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.crd import tables
from controller.crd.docs import with_tables
from controller.crd.facts import LIMITS, every_place, spec_place
from controller.crd.fields import Build, Field, Group, ListOf, not_yet
from controller.crd.freeze_window import WINDOW_DURATION
from controller.crd.manifest import read_documents
from controller.crd.resource import load_policies, parse_policy
from controller.crd.schema import COLUMNS, crd, manifest, root, schema_of
from controller.crd.tables import RESOURCE, SPEC
from scaling.decision import Action, Band, Decision, Reason
from scaling.features import FEATURES
from scaling.hpa_settings import POLICY_LIMITS, RULES_LIMITS
from scaling.limits import shown
from scaling.spec import SPEC_LIMITS, Fallback, Guardrails, ScalingSpec
from tests.controller.crd.structural import faults, filled, nodes, refusals, type_of
from tests.controller.crd.test_resource import (
    BAD_INPUTS,
    EVERY_FIELD,
    EXAMPLES,
    FREEZE,
    SMALLEST,
    WINDOW,
    WINDOWS,
    a_body,
)

REPOSITORY = Path(__file__).parents[3]
DEFINITION = REPOSITORY / "deploy" / "helm" / "forescale" / "files" / "scalingpolicies.yaml"
PAGE = REPOSITORY / "docs" / "scalingpolicy.md"

SCHEMA = root()
NODES = dict(nodes(SCHEMA))
ON_A_CLUSTER = {"spec/demand/query": "sum(rate(requests_total[1m]))"}


def rules_of(path: str) -> list[str]:
    return [rule["rule"] for rule in NODES[path].get("x-kubernetes-validations", [])]


def table_rows(page: str) -> dict[str, list[str]]:
    """First cell of each table row, and the cells after it."""
    rows = (re.split(r"(?<!\\) \| ", line.strip("| ")) for line in page.splitlines() if line.startswith("| `"))
    return {first.strip("`"): rest for first, *rest in rows}


# One source


def test_the_file_in_the_chart_is_what_the_generator_writes():
    assert DEFINITION.read_text(encoding="utf-8") == manifest(), "run: python -m controller.crd.schema > " + str(
        DEFINITION.relative_to(REPOSITORY)
    )


def test_the_file_reads_as_the_definition():
    assert read_documents(DEFINITION) == [crd()]
    assert yaml.safe_load(manifest()) == crd()


def test_the_tables_of_the_page_are_what_the_generator_writes():
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_tables(page), "run: python -m controller.crd.docs docs/scalingpolicy.md"


def test_a_page_without_markers_is_not_written_over():
    with pytest.raises(ValueError, match="no markers for the spec table"):
        with_tables("# A page\n")


def tables_with_paths(table, path):
    """Each table that can be reached, with the path of the object that it describes."""
    yield path, table
    for name, field in table.items():
        read = field.read.read if isinstance(field.read, ListOf) else field.read
        if isinstance(read, Group | Build):
            entries = "[]" if isinstance(field.read, ListOf) else ""
            yield from tables_with_paths(read.fields, f"{path}.{name}{entries}")


SPEC_TABLES = list(tables_with_paths(SPEC, "spec"))


def test_every_table_of_the_module_is_reached():
    reached = [*(table for _, table in SPEC_TABLES), RESOURCE, tables.METADATA, tables.SCALING_RULES]
    for value in vars(tables).values():
        if isinstance(value, dict) and all(isinstance(entry, Field) for entry in value.values()):
            assert value in reached, sorted(value)


@pytest.mark.parametrize(("path", "table"), SPEC_TABLES, ids=[path for path, _ in SPEC_TABLES])
def test_schema_and_page_have_the_fields_that_something_acts_on_and_no_other(path, table):
    acted_on = [name for name, field in table.items() if field.read is not not_yet]
    assert list(NODES[path]["properties"]) == acted_on
    assert NODES[path].get("required", []) == [name for name in acted_on if table[name].required]
    rows = table_rows(PAGE.read_text(encoding="utf-8"))
    for name, field in table.items():
        written = f"{path}.{name}".removeprefix("spec.")
        assert (written in rows) == (name in acted_on)
        if field.required and name in acted_on:
            assert rows[written][0] == "required"


def test_every_field_says_what_it_means():
    for path, node in NODES.items():
        if path.startswith(("spec", "status")) and not path.endswith("[]"):
            assert len(node["description"]) > 12, path
            assert node["description"].endswith("."), path


# Structure


def test_the_schema_is_structural_and_bounded():
    left_to_the_api_server = [f"{name}: a text of any length" for name in ("apiVersion", "kind")]
    assert list(faults(SCHEMA)) == left_to_the_api_server


@pytest.mark.parametrize(
    ("node", "fault"),
    [
        ({"type": "object", "nullable": True}, ": nullable does not go with object"),
        ({"type": "object", "$ref": "#/definitions/a"}, ": $ref does not go with object"),
        ({"type": "string", "maxLength": 3, "pattern": "a"}, ": a pattern that fits a part"),
        ({"type": "string"}, ": a text of any length"),
        ({"type": "object", "required": ["a"], "properties": {}}, ": requires what it does not have"),
        ({"type": "integer", "minimum": 1, "default": 0}, ": 0 is outside"),
    ],
)
def test_the_checker_sees_what_is_wrong(node, fault):
    assert list(faults(node)) == [fault]


def test_a_node_without_a_type_is_no_structural_schema():
    with pytest.raises(KeyError, match="type"):
        list(faults({"type": "object", "properties": {"a": {"description": "anything"}}}))


def test_what_is_required_has_no_default():
    for path, node in NODES.items():
        assert not [name for name in node.get("required", ()) if "default" in node["properties"][name]], path


TAKEN = (
    "cm cs ds deploy ep ev hpa ing limits netpol no ns pc pdb po psp pv pvc quota rc rs sa sc sts svc "  # Kubernetes
    "crd crds csr cj "  # and more of it
    "sp saz srv ssp "  # Linkerd
    "so sj ta cta ces "  # KEDA
    "ksvc kservice rt cfg rev kpa pa sks img dm "  # Knative
    "vs dr gw se we wg ap ra pea "  # Istio
    "app apps appset appsets appproj appprojs ro ar at cat exp wf cwf wftmpl cwft cronwf "  # Argo
    "gitrepo ocirepo helmrepo hc hr ks imgrepo imgpol imgauto "  # Flux
    "xrd xrds comp comprev functions usages "  # Crossplane
    "cert certs cr crs "  # cert-manager
    "gtw gc refgrant btlspolicy "  # Gateway API
    "cnp ciliumnp ccnp cep cew cn cid cegp "  # Cilium
    "vpa vpacheckpoint "  # VPA
    "prom smon pmon prb promrule amcfg am ruler sconf "  # Prometheus
    "scp es kb apm ent beat agent ems "  # Elastic
    "pol cpol k kt ku kc bp bsl vsl ex pq cluster clusters mp nodepools nodeclaims fsp"  # of several
)
"""Short names of Kubernetes and of controllers that many clusters have."""


def test_names_and_columns_are_those_people_type_and_read():
    spec = crd()["spec"]
    assert crd()["metadata"]["name"] == "scalingpolicies.forescale.dev"
    assert (spec["names"]["shortNames"], spec["names"]["categories"]) == (["scalepol"], ["autoscaling"])
    assert not set(spec["names"]["shortNames"]) & set(TAKEN.split())
    (version,) = spec["versions"]
    assert version["subresources"] == {"status": {}}
    shown_by_default = [c["name"] for c in version["additionalPrinterColumns"] if not c.get("priority")]
    assert " ".join(shown_by_default) == "Target Mode Min Max Current Desired Action Reason Ready Age"


@pytest.mark.parametrize(("name", "kind", "path", "wide"), COLUMNS, ids=[column[0] for column in COLUMNS])
def test_a_column_shows_a_field_of_its_type(name, kind, path, wide):
    place = re.sub(r"\[(\?.*?|-1:)\]", "[]", path.removeprefix("."))
    if kind == "date":
        assert place == "metadata.creationTimestamp"
    else:
        assert type_of(NODES[place]) == kind


# Defaults

FILLED_IN = {
    "spec.minReplicas": 1,
    "spec.mode": "Auto",
    "spec.paused": False,
    "spec.intervalSeconds": 15,
    "spec.demand.emptyIs": "Unknown",
    "spec.service": {},
    "spec.service.objectiveSeconds": "0.25",
    "spec.policyRef": {},
    "spec.policyRef.name": "auto",
    "spec.behavior.scaleUp.selectPolicy": "Max",
    "spec.behavior.scaleDown.selectPolicy": "Max",
    "spec.guardrails": {},
    "spec.guardrails.floorUtilization": 90,
    "spec.guardrails.ceilingRatio": "2",
    "spec.guardrails.staleAfterSeconds": 120,
    "spec.guardrails.fallback": {},
    "spec.guardrails.fallback.after": "180s",
    "spec.guardrails.minReadyPercent": 50,
}


def test_the_defaults_that_the_api_server_fills_in():
    assert {path: node["default"] for path, node in NODES.items() if "default" in node} == FILLED_IN


@pytest.mark.parametrize("changes", [{}, {"spec/guardrails/fallback": {"replicas": 7}}, {"spec/behavior/scaleUp": {}}])
def test_what_the_api_server_stores_means_what_was_written(changes):
    body = a_body({**ON_A_CLUSTER, **changes})
    stored = filled(SCHEMA, body)
    assert list(refusals(stored, SCHEMA)) == []
    assert parse_policy(stored) == parse_policy(body)


def test_every_default_of_the_dataclasses_is_filled_in_or_stated():
    """`action_price` has no field; the others are stated as text, as they exclude a sibling or are no value."""
    keywords = {place.field.keyword for place in every_place(spec_place()) if "default" in schema_of(place)}
    known = {field.name for kind in (ScalingSpec, Guardrails, Fallback) for field in fields(kind)}
    without_a_value = {
        "max_replicas",
        "target_per_replica",
        "capacity_per_replica",
        "startup_s",
        "behavior",
        "replicas",
    }
    assert known - keywords == without_a_value | {"action_price", "price", "to"}
    assert "Default: preset Balanced." in NODES["spec.objective"]["description"]
    assert "Default: Reference." in NODES["spec.guardrails.fallback.to"]["description"]


@pytest.mark.parametrize("path", ["spec.objective", "spec.guardrails.fallback"])
def test_fields_that_exclude_each_other_are_not_filled_in_and_replaced_as_one(path):
    assert NODES[path]["x-kubernetes-map-type"] == "atomic"
    assert not set(NODES[path].get("default", {})) & set(NODES[path]["properties"])
    assert "default" not in NODES["spec.objective"]


def test_the_page_states_every_default():
    rows = table_rows(PAGE.read_text(encoding="utf-8"))
    for path, default in FILLED_IN.items():
        stated = rows[path.removeprefix("spec.")][0]
        assert stated.strip('`"') == (
            "" if default == {} else str(default).lower() if default is False else str(default)
        )
    assert rows["objective"][0] == "preset Balanced"
    assert rows["demand.capacityPerReplica"][0] == "targetPerReplica / 0.7"
    assert rows["startupSeconds"][0].startswith("60, until")


# Limits

BEHAVIOR_LIMITS = {
    f"spec.behavior.{direction}.{name}": limit
    for direction in ("scaleUp", "scaleDown")
    for name, limit in {
        "policies[].value": POLICY_LIMITS["value"],
        "policies[].periodSeconds": POLICY_LIMITS["period_s"],
        "stabilizationWindowSeconds": RULES_LIMITS["stabilization_s"],
        "tolerance": RULES_LIMITS["tolerance"],
    }.items()
}
WINDOW_LIMITS = {
    "spec.guardrails.freezeWindows[].duration": WINDOW_DURATION,
    "spec.guardrails.freezeWindows[].minReplicas": SPEC_LIMITS["min_replicas"],
    "spec.guardrails.freezeWindows[].maxReplicas": SPEC_LIMITS["max_replicas"],
}
ALL_LIMITS = {path: limit for path, limit in LIMITS.items() if path != "action price"} | BEHAVIOR_LIMITS | WINDOW_LIMITS


def ends_of(path: str) -> tuple[str, str]:
    """The range that a node states, in its integer bounds or its rules."""
    node, rules = NODES[path], " ".join(rules_of(path))
    if node.get("type") == "integer":
        return shown(node["minimum"]), shown(node["maximum"])
    low = re.search(r"(?:>= duration|compareTo\(quantity)\('([0-9.]+)s?'\)\)? ?(?:>= 0)?", rules)
    high = re.search(r"(?:<= duration\('([0-9.]+)s'\)|quantity\('([0-9.]+)'\)\) <= 0)", rules)
    assert low, path
    return low[1], (high[1] or high[2]) if high else "inf"


@pytest.mark.parametrize("path", ALL_LIMITS)
def test_the_schema_and_the_page_state_the_limits_that_the_dataclasses_check(path):
    limit = ALL_LIMITS[path]
    assert ends_of(path) == (shown(limit.low), shown(limit.high))
    meaning = table_rows(PAGE.read_text(encoding="utf-8"))[path.removeprefix("spec.")][-1]
    unit = "s" if NODES[path].get("type") == "string" else ""
    end = f"{shown(limit.low)}{unit} to {shown(limit.high)}{unit}."
    assert meaning.endswith(end if limit.high < float("inf") else f"{shown(limit.low)} or more.")


def test_every_number_of_the_spec_has_a_limit():
    numbers = {p for p, n in NODES.items() if p.startswith("spec") and type_of(n) in ("integer", "int-or-string")}
    assert numbers <= set(ALL_LIMITS)


# Rules in CEL; whether an API server takes and applies them is tested in tests/cluster


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("spec", "self.minReplicas <= self.maxReplicas"),
        ("spec.objective", "[has(self.preset), has(self.price)].exists_one(x, x)"),
        ("spec.guardrails.fallback", "[has(self.to), has(self.replicas)].filter(x, x).size() <= 1"),
        ("spec.demand", "has(self.query) || has(self.preset)"),
        ("spec.demand", "!(has(self.query) && has(self.preset))"),
        ("spec.demand.preset", "has(self.queueName) || !(self.kind in ['RabbitMQ'])"),
        ("spec.demand.preset", "!has(self.service) || self.kind in ['NginxIngress', 'Istio']"),
    ],
)
def test_rules_between_fields(path, rule):
    assert rule in rules_of(path)


def test_rules_name_fields_that_exist():
    for path, node in NODES.items():
        for rule in node.get("x-kubernetes-validations", []):
            named = re.findall(r"self((?:\.[a-zA-Z]+)+)(?![a-zA-Z(])", rule["rule"] + rule.get("messageExpression", ""))
            for name in [*named, *([rule["fieldPath"]] if "fieldPath" in rule else [])]:
                assert f"{path}{name}" in NODES, (path, name)


def test_numbers_are_turned_to_text_only_where_an_api_server_can_bound_the_cost():
    """`string()` of an integer or of a text is refused as too costly, however it is bounded; `format` is not."""
    for path, node in NODES.items():
        for rule in node.get("x-kubernetes-validations", []):
            if "string(" in rule["rule"] + rule.get("messageExpression", ""):
                assert type_of(node) == "int-or-string", path


# Whole resources


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_are_taken_and_mean_the_same_when_stored(path, tmp_path):
    stored = [filled(SCHEMA, document) for document in read_documents(path)]
    assert [list(refusals(body, SCHEMA)) for body in stored] == [[]] * len(stored)
    (tmp_path / "stored.yaml").write_text(yaml.safe_dump_all(stored))
    assert load_policies(tmp_path / "stored.yaml") == load_policies(path)


def test_a_resource_with_every_field_is_taken():
    unsupported = ["spec.promotion"]
    stored = filled(SCHEMA, {name: value for name, value in EVERY_FIELD.items() if name != "status"})
    assert sorted(refusals(stored, SCHEMA)) == sorted(f".{path}: unknown field" for path in unsupported)


LEFT_TO_CEL: list[tuple[str, object]] = [
    ("spec/minReplicas", 61),
    ("spec/policyRef", {"name": "snvt", "configMap": {"name": "a"}}),
    ("spec/demand/targetPerReplica", 0),
    ("spec/demand/targetPerReplica", "-70"),
    ("spec/demand/targetPerReplica", "1e400"),
    ("spec/demand/capacityPerReplica", "0"),
    ("spec/demand/query", "a\u202eb"),
    ("spec/demand/query", "a\u00a0b"),
    ("spec/demand/preset", {"kind": "Kafka"}),
    ("spec/demand/preset", {"kind": "Envoy", "cluster": "a", "topic": "b"}),
    ("spec/demand/preset", {"kind": "Kafka", "consumerGroup": "a", "window": "1m"}),
    ("spec/demand/preset", {"kind": "Istio", "window": "9s"}),
    ("spec/service/objectiveSeconds", "0"),
    ("spec/startupSeconds", "-1"),
    ("spec/objective", {}),
    ("spec/objective", {"preset": "Cost", "price": 3}),
    ("spec/objective/price", "0"),
    ("spec/behavior/scaleUp/tolerance", "-10m"),
    ("spec/guardrails/ceilingRatio", "0.5"),
    ("spec/guardrails/fallback", {"to": "Hold", "replicas": 3}),
    ("spec/guardrails/fallback/after", "25h"),
    ("spec/guardrails/fallback/replicas", 61),
    ("spec/scaleTargetRef/kind", "DaemonSet"),
    *((WINDOWS, [FREEZE | {"duration": text}]) for text in ("59s", "169h")),
    (WINDOWS, [WINDOW]),
    (WINDOWS, [FREEZE | {"minReplicas": 5}]),
    (WINDOWS, [WINDOW | {"minReplicas": 61}]),
    (WINDOWS, [FREEZE, WINDOW | {"maxReplicas": 61}]),
]
"""Bad values that the plain schema lets pass, and a rule must refuse."""

BAD_SPECS = [(path, value) for path, value, _ in BAD_INPUTS if path.startswith("spec")]


@pytest.mark.parametrize(("path", "value"), BAD_SPECS, ids=[f"{n}-{path}" for n, (path, _) in enumerate(BAD_SPECS)])
def test_a_bad_spec_is_refused_by_the_schema_or_left_to_a_known_rule(path, value):
    body = a_body({path: value}, a_body(ON_A_CLUSTER))
    refused = list(refusals(filled(SCHEMA, body), SCHEMA))
    assert bool(refused) != ((path, value) in LEFT_TO_CEL)


# Status


def test_a_decision_fits_into_the_status():
    decision = Decision(0.0, 312.7, 4, 5, Band(6, 8), 6, 6, tuple(Reason), "default", tuple(f.name for f in FEATURES))
    when = datetime(2026, 11, 23, tzinfo=UTC).isoformat()
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": when, "reason": "Valid", "message": ""}
    status: dict[str, Any] = {
        "observedGeneration": 3,
        "currentReplicas": decision.current_replicas,
        "desiredReplicas": decision.final_replicas,
        "referenceReplicas": decision.reference_replicas,
        "lastScaleTime": when,
        "lastScale": {"fromReplicas": 4, "toReplicas": 6},
        "recentChanges": [{"time": when, "added": 2}, {"time": when, "removed": 1}],
        "conditions": [ready],
        "lastDecision": {
            "time": when,
            "action": decision.action.value,
            "currentReplicas": decision.current_replicas,
            "proposedReplicas": decision.proposed_replicas,
            "finalReplicas": decision.final_replicas,
            "reasons": [reason.value for reason in decision.reasons],
            "band": {"lo": 6, "hi": 8},
            "demand": shown(decision.demand),
            "policy": {"name": decision.policy_name, "sha256": "a" * 64},
            "outOfDistribution": list(decision.out_of_distribution),
        },
        "queries": {"demand": "up", "badRatio": "0"},
    }
    assert list(refusals(a_body({**ON_A_CLUSTER, "status": status}, filled(SCHEMA, SMALLEST)), SCHEMA)) == []
    assert NODES["status.lastDecision.action"]["enum"] == [action.value for action in Action]
    assert set(NODES["status.lastDecision"]["properties"]) == set(status["lastDecision"])
    assert set(NODES["status.lastScale"]["properties"]) == {"fromReplicas", "toReplicas"}
    assert set(NODES["status"]["properties"]) == set(status)


def test_a_reason_of_a_later_release_fits_into_the_status_of_this_one():
    node = NODES["status.lastDecision.reasons"]
    assert list(refusals(["FrozenByWindow"], node)) == []
    assert list(refusals(["two words"], node)) != []


def test_the_page_tells_of_every_reason_in_its_order_and_of_no_other():
    page = PAGE.read_text(encoding="utf-8").partition("## Reasons")[2]
    assert list(table_rows(page)) == [reason.value for reason in Reason]

"""The dashboards are what their code makes, and complete."""

import json
import re

import pytest

from controller.operator.exporter import OperatorMetrics
from controller.policy_metrics import GAUGES
from deploy.grafana.dashboards import CHART, FLEET, HERE, POLICY, documents


def panels():
    return [panel for text in documents().values() for panel in json.loads(text)["panels"]]


@pytest.mark.parametrize("folder", [HERE, CHART], ids=["deploy", "chart"])
def test_the_files_are_current(folder):
    written = {path.name: path.read_text() for path in folder.glob("*.json")}
    assert written == documents(), "run `make dashboard`"


def test_every_panel_has_a_query_and_says_what_it_shows():
    for panel in panels():
        assert panel["targets"], panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"]["uid"] == "$datasource", panel["title"]


def test_the_pages_lead_to_each_other():
    for name, text in documents().items():
        (link,) = json.loads(text)["links"]
        assert link["url"] == f"/d/{POLICY if name == f'{FLEET}.json' else FLEET}"
    (table,) = [panel for panel in panels() if panel["type"] == "table"]
    assert f"/d/{POLICY}?var-namespace=" in json.dumps(table)


def test_every_metric_that_is_asked_for_is_exported():
    text = "\n".join(documents().values())
    registry = OperatorMetrics(lambda: 0.0).registry
    known = {family.name for family in registry.collect()} | {f"forescale_policy_{name}" for name, *_ in GAUGES}
    known |= {f"forescale_policy_{name}" for name in ("decision_age_seconds", "data_age_seconds", "reason")}
    asked = set(re.findall(r"forescale_[a-z0-9_]+", text))
    assert {re.sub(r"_(total|bucket)$", "", name) for name in asked} <= known

"""Alert rules: each fires when it should and keeps quiet when it should not, by promtool; each has a runbook."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from scaling.decision import Reason
from tests.cluster.build_controlplane import path_of
from tests.required import require

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "helm" / "forescale" / "files" / "alerts.yaml"
ALERTS = {rule["alert"]: rule for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]}
WEB = 'namespace="shop", policy="web"'
LED = {"forescale_leader": "1x100"}


def of_web(metric, values, more=""):
    return {f"forescale_policy_{metric}{{{WEB}{more}}}": values}


CLAMPED = of_web("desired_replicas", "9x100") | of_web("reason", "1x100", ', reason="TooManyReplicas"')
NOW_AND_THEN = of_web("desired_replicas", "9x100") | of_web(
    "reason", "1x9 _x9 1x9 _x9 1x9 _x49", ', reason="TooManyReplicas"'
)
FIRES: dict[
    str, list[tuple[dict[str, str], str, str]]
] = {  # alert: series by the minute, when it is looked at, the labels that it then has
    "ForescaleDown": [({}, "6m", ""), ({"forescale_leader": "0x100"}, "6m", "")],
    "ForescaleNoDecisions": [(of_web("decision_age_seconds", "0+60x100"), "12m", WEB)],
    "ForescaleStaleData": [(of_web("reason", "1x100", ', reason="MetricStale"'), "6m", f'{WEB}, reason="MetricStale"')],
    "ForescaleFallback": [(of_web("fallback", "1x100"), "6m", WEB)],
    "ForescaleConflict": [(of_web("conflict", "1x100"), "6m", WEB)],
    "ForescaleAlwaysClamped": [(CLAMPED, "95m", WEB)],
    "ForescaleOutOfDistribution": [(of_web("out_of_distribution_ratio", "0.1x100"), "95m", WEB)],
    "ForescalePolicyRejected": [(of_web("rejected", "1x100"), "3m", WEB)],
}
QUIET: dict[str, list[tuple[dict[str, str], str]]] = {
    "ForescaleDown": [(LED, "20m"), ({}, "4m")],
    "ForescaleNoDecisions": [(of_web("decision_age_seconds", "15x100"), "20m")],
    "ForescaleStaleData": [(of_web("reason", "1x100", ', reason="WithinBand"'), "20m")],
    "ForescaleFallback": [(of_web("fallback", "0x100"), "20m"), (of_web("fallback", "1x3 0x90"), "20m")],
    "ForescaleConflict": [(of_web("conflict", "0x100"), "20m")],
    "ForescaleAlwaysClamped": [(NOW_AND_THEN, "95m")],
    "ForescaleOutOfDistribution": [(of_web("out_of_distribution_ratio", "0.1x30 0x70"), "95m")],
    "ForescalePolicyRejected": [(of_web("rejected", "0x100"), "20m")],
}


def a_case(alert, series, at, labels=None):
    """One test as promtool reads it; without labels the alert must not fire."""
    wanted = []
    if labels is not None:
        found = dict(re.findall(r'(\w+)="([^"]*)"', labels)) if labels else {}
        wanted = [{"exp_labels": {**found, **ALERTS[alert]["labels"]}}]
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": wanted}],
    }


def test_each_alert_fires_and_keeps_quiet_as_it_should(tmp_path):
    require("promtool")
    assert set(FIRES) == set(QUIET) == set(ALERTS)
    rules = yaml.safe_load(RULES.read_text())
    for rule in rules["groups"][0]["rules"]:
        del rule["annotations"]  # promtool compares them word by word; they have a test of their own
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(rules))
    cases = [a_case(alert, *each) for alert, rows in FIRES.items() for each in rows]
    cases += [a_case(alert, *each) for alert, rows in QUIET.items() for each in rows]
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["alerts.yaml"], "tests": cases}))
    done = subprocess.run(
        [path_of("promtool"), "test", "rules", str(tmp_path / "test.yaml")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_nothing_wrong_with_the_file():
    require("promtool")
    done = subprocess.run([path_of("promtool"), "check", "rules", str(RULES)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_runbook_that_begins_with_its_name(alert):
    page = ROOT / ALERTS[alert]["annotations"]["runbook_url"]
    assert page.read_text().startswith(f"# {alert}\n")
    assert f"({page.name})" in (page.parent / "index.md").read_text()


def test_the_alert_about_data_names_every_reason_of_a_reading():
    spoken = re.search(r"Metric\(([^)]*)\)", ALERTS["ForescaleStaleData"]["expr"])
    assert spoken is not None
    assert {f"Metric{word}" for word in spoken[1].split("|")} == {
        reason.value for reason in Reason if reason.value.startswith("Metric")
    }

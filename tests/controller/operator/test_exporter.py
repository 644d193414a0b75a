import asyncio
import re
import subprocess
from dataclasses import replace

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from controller.operator.exporter import OperatorMetrics
from controller.policy_metrics import GAUGES, OVERRIDES
from controller.ports import WouldBe
from scaling.decision import Band, Reason
from scaling.features import N_FEATURES
from scaling.observation import Value
from scaling.spec import Mode
from tests.cluster.build_controlplane import path_of
from tests.controller.cluster.test_events import BLIND, COMPETITOR, FALLEN
from tests.controller.cluster.test_status import ADD, NOW_S, REFUSED, a_target, an_outcome, facts, without_scale
from tests.required import require

TWIN = WouldBe(replicas=6, ready=4, latency_p95_s=0.2, bad_ratio=0.01)
QUERY = a_target().resource.queries.demand


def metrics_after(*outcomes, later_s=5.0):
    metrics = OperatorMetrics(lambda: NOW_S + later_s)
    for outcome in outcomes:
        metrics.note(facts(policy_sha256="a" * 64), outcome)
    return metrics


def samples(metrics):
    """Everything that is scraped, by name and the values of its labels, in the order of their names."""
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def of_policy(metrics):
    """What is scraped of the one policy, by its short name."""
    found = samples(metrics)
    return {
        name.removeprefix("forescale_policy_"): value for (name, *labels), value in found.items() if "web" in labels
    }


def test_a_policy_is_shown_as_it_was_decided_on():
    unfamiliar = replace(ADD.decision, out_of_distribution=("demand_rps",), band=Band(6, 8))
    metrics = OperatorMetrics(lambda: NOW_S + 5)
    outcome = replace(ADD, decision=unfamiliar, observation=replace(ADD.observation, bad_ratio=0.02))
    metrics.note(facts(policy_sha256="a" * 64), outcome, newest_s=NOW_S - 1)
    found = of_policy(metrics)
    assert found.pop("floor_replicas") <= found.pop("ceiling_replicas")
    assert found == {
        "desired_replicas": 6,
        "current_replicas": 6,
        "ready_replicas": 4,
        "reference_replicas": 5,
        "demand": 312.7,
        "target_per_replica": 70,
        "fallback": 0,
        "conflict": 0,
        "band_low_replicas": 6,
        "band_high_replicas": 8,
        "bad_ratio": 0.02,
        "out_of_distribution_ratio": 1 / N_FEATURES,
        "rejected": 0,
        "decision_age_seconds": 5,
        "data_age_seconds": 6,
        "reason": 1,
        "info": 1,
    }


@pytest.mark.parametrize(
    ("outcome", "shown"),
    [
        pytest.param(replace(ADD, write=REFUSED), {"current_replicas": 4, "desired_replicas": 6}, id="refused"),
        pytest.param(BLIND, {"demand": None, "fallback": 0}, id="no-reading"),
        pytest.param(FALLEN, {"demand": None, "fallback": 1}, id="fallback"),
        pytest.param(COMPETITOR, {"conflict": 1}, id="conflict"),
        pytest.param(an_outcome(reading=Value(0.0)), {"demand": 0.0}, id="no-load-is-a-load"),
        pytest.param(without_scale(), {"current_replicas": None, "decision_age_seconds": None}, id="no-target"),
    ],
)
def test_what_is_not_known_has_no_sample(outcome, shown):
    found = of_policy(metrics_after(outcome))
    assert {name: found.get(name) for name in shown} == shown


def test_a_dry_run_shows_its_twins_and_nobody_else_does():
    metrics = metrics_after(ADD)
    assert not any(name.startswith("forescale_dry_run") for name, *_ in samples(metrics))
    metrics.note(facts(dry_run=True), ADD, TWIN)
    found = {name: value for (name, *_), value in samples(metrics).items() if name.startswith("forescale_dry_run")}
    assert found == {
        "forescale_dry_run_replicas": 6,
        "forescale_dry_run_ready_replicas": 4,
        "forescale_dry_run_latency_p95_seconds": 0.2,
        "forescale_dry_run_bad_ratio": 0.01,
    }


def test_the_age_of_a_decision_grows_while_there_is_no_other():
    lost = replace(without_scale(), reading=Value(1.0))
    assert of_policy(metrics_after(ADD, lost, later_s=90.0))["decision_age_seconds"] == 90


def test_info_says_who_answers_and_follows_an_edit():
    shadow = an_outcome(target=a_target(Mode.SHADOW))
    infos = [labels for labels in samples(metrics_after(an_outcome(), shadow)) if labels[0].endswith("policy_info")]
    assert infos == [("forescale_policy_info", "Shadow", "shop", "web", "auto", "a" * 64)]


def test_the_series_of_a_policy_go_with_it():
    metrics = metrics_after(ADD, COMPETITOR)
    before = samples(OperatorMetrics(lambda: NOW_S))
    metrics.forget("uid-1")
    metrics.forget("never seen")
    left = set(samples(metrics)) - set(before)
    assert not any("shop" in labels or "web" in labels for labels in left)
    assert of_policy(metrics) == {}


def test_who_leads_no_more_has_nothing_to_say_of_policies():
    metrics = metrics_after(ADD)
    metrics.leads(False)
    metrics.note(facts(), ADD)  # its tick had begun before
    assert of_policy(metrics) == {}
    assert samples(metrics)["forescale_decisions_total", "Add", "BelowBand"] == 2
    metrics.leads(True)
    metrics.note(facts(), ADD)
    assert of_policy(metrics) != {}


def test_decisions_count_by_the_reason_with_the_last_word_and_overrides_by_guard():
    held = (Reason.ABOVE_BAND, Reason.FLOOR_UTILIZATION, Reason.MIN_READY)
    metrics = metrics_after(ADD, an_outcome(reasons=held), an_outcome(reasons=held), without_scale())
    found = samples(metrics)
    assert found["forescale_decisions_total", "Add", "BelowBand"] == 1
    assert found["forescale_decisions_total", "Hold", "MinReady"] == 2
    assert found["forescale_guard_overrides_total", "FloorUtilization"] == 2
    assert found["forescale_undecided_total", "scale"] == 1
    assert Reason.BELOW_BAND not in OVERRIDES


def in_use():
    """Metrics with at least one sample in every family."""
    metrics = metrics_after(ADD, COMPETITOR, without_scale(), an_outcome(reasons=(Reason.MIN_READY,)))
    metrics.note(facts(dry_run=True), ADD, TWIN)
    metrics.decided(0.003)
    metrics.asked_prometheus("query", True, 0.02)
    metrics.asked_prometheus("query_range", False, 5.0)
    metrics.called_api("PATCH", "deployments/scale", "200", 0.01)
    metrics.reported("status", "written")
    metrics.called_api("GET", "other", "QueueFull", 0.0)
    metrics.backed_off("TargetNotFound")
    metrics.watch_restarted()
    metrics.leads(True)
    return metrics


def test_requests_reports_and_leadership_are_counted_by_the_hooks():
    found = samples(in_use())
    assert found["forescale_prometheus_requests_total", "query_range", "failed"] == 1
    assert found["forescale_api_requests_total", "200", "deployments/scale", "PATCH"] == 1
    assert found["forescale_api_request_duration_seconds_count", "deployments/scale", "PATCH"] == 1
    assert found["forescale_api_requests_total", "QueueFull", "other", "GET"] == 1
    assert found["forescale_target_backoffs_total", "TargetNotFound"] == 1
    assert found["forescale_reports_total", "status", "written"] == 1
    assert found["forescale_decision_duration_seconds_sum",] == 0.003
    assert found["forescale_watch_restarts_total",] == 1
    assert found["forescale_leader",] == 1


def test_no_metric_carries_a_query():
    assert QUERY is not None
    assert QUERY.encode() not in generate_latest(in_use().registry)


def test_names_follow_the_conventions_of_prometheus():
    require("promtool")
    text = generate_latest(in_use().registry)
    ended = subprocess.run(
        [path_of("promtool"), "check", "metrics"], input=text, capture_output=True, timeout=300, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    families = set(re.findall(r"# TYPE (\S+)", text.decode()))
    assert {f"forescale_policy_{name}" for name, *_ in GAUGES} < families


def test_the_lag_of_the_event_loop_is_measured(monkeypatch):
    monkeypatch.setattr("controller.operator.exporter.LAG_EVERY_S", 0.01)
    metrics = OperatorMetrics(lambda: NOW_S)

    async def run():
        stop = asyncio.Event()
        watching = asyncio.create_task(metrics.watch_lag(stop))
        while samples(metrics)["forescale_event_loop_lag_seconds_count",] < 2:
            await asyncio.sleep(0.01)
        stop.set()
        await watching

    asyncio.run(run())

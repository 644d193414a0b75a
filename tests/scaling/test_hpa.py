"""Whole syncs of the HPA: what it reads, asks for, says and remembers; and upstream's own facts about it."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.errors import InputError
from scaling.hpa import (
    Behavior,
    HpaSettings,
    HpaSpec,
    HpaState,
    Metric,
    MetricKind,
    PolicyRule,
    ScalingRules,
    Sync,
    Workload,
    conclude,
    plan,
    reconcile,
)
from scaling.hpa_behavior import Recommendation, ScaleEvent
from scaling.hpa_conditions import Conditions, merge_conditions
from scaling.hpa_selector import selector_parses
from tests import hpa_cases

SETTINGS = HpaSettings()
SHARED_CASES = Path(__file__).parents[2] / ".." / "shared" / "hpa" / "cases.json"

QUICK = settings(max_examples=60, deadline=None)
SIZES = st.integers(1, 40)
LOADS = st.lists(st.integers(0, 60_000), min_size=1, max_size=25)
PERIODS_S = st.sampled_from([1, 15, 40, 90])


def demand(total_milli: int) -> Metric:
    return Metric(MetricKind.EXTERNAL_AVERAGE_VALUE, 1000, values_milli=(total_milli,), name="demand")


UNREAD = Metric(MetricKind.EXTERNAL_AVERAGE_VALUE, 1000, name="unread")
UNKNOWN = Metric(MetricKind.UNKNOWN, 0, name="Weather")


def a_spec(*metrics: Metric, **changes: object) -> HpaSpec:
    return HpaSpec(**{"max_replicas": 40, "metrics": metrics, **changes})  # type: ignore[arg-type]


def at(replicas: int, selector: str = "app=web") -> Workload:
    return Workload(replicas, replicas, selector)


def remembering(*entries: tuple[int, float]) -> HpaState:
    return HpaState(tuple(Recommendation(replicas, at_s) for replicas, at_s in entries))


def said(conditions: Conditions) -> dict[str, tuple[bool, str]]:
    return {type_.value: (condition.status, condition.reason.value) for type_, condition in conditions.items()}


def drive(spec: HpaSpec, replicas: int, loads: list[int], interval_s: float = 15.0) -> list[int]:
    """The sizes after each sync, the starting size first."""
    state, sizes = HpaState(), [replicas]
    for step, load in enumerate(loads):
        now_s = step * interval_s
        sync = reconcile(replace(spec, metrics=(demand(load),)), at(sizes[-1]), state, SETTINGS, now_s)
        state = sync.state
        sizes.append(sizes[-1] if sync.desired_replicas is None else sync.desired_replicas)
    return sizes


def test_a_sync_grows_to_what_the_largest_metric_asks_for():
    sync = reconcile(a_spec(demand(9000), demand(12_000)), at(8), HpaState(), SETTINGS, 0.0)
    assert (sync.desired_replicas, sync.rescale) == (12, True)
    assert said(sync.conditions) == {
        "AbleToScale": (True, "SucceededRescale"),
        "ScalingActive": (True, "ValidMetricFound"),
        "ScalingLimited": (False, "DesiredWithinRange"),
    }
    assert [event.message for event in sync.events] == ["New size: 12; reason: external metric demand above target"]


def test_the_first_sync_remembers_the_size_it_found():
    sync = reconcile(a_spec(demand(3000)), at(8), HpaState(), SETTINGS, 100.0)
    assert sync.state == remembering((8, 100.0), (3, 100.0))
    assert (sync.desired_replicas, sync.rescale) == (8, False)
    assert said(sync.conditions)["AbleToScale"] == (True, "ScaleDownStabilized")


def test_an_empty_memory_is_not_a_first_sync():
    sync = reconcile(a_spec(demand(3000)), at(8), remembering(), SETTINGS, 100.0)
    assert sync.desired_replicas == 3
    assert sync.reason == "All metrics below target"


@pytest.mark.parametrize(
    ("metrics", "desired", "active"),
    [
        pytest.param((demand(12_000), UNREAD), 12, (True, "ValidMetricFound"), id="growth-passes"),
        pytest.param((demand(8000), UNREAD), 8, (True, "ValidMetricFound"), id="the-current-size-passes"),
        pytest.param((demand(3000), UNREAD), 8, (False, "FailedGetExternalMetric"), id="shrinking-is-blocked"),
        pytest.param((UNKNOWN, UNREAD), 8, (False, "InvalidMetricSourceType"), id="the-first-failure-is-named"),
    ],
)
def test_a_missing_metric_blocks_shrinking_and_never_growth(metrics, desired, active):
    sync = reconcile(a_spec(*metrics), at(8), remembering(), SETTINGS, 0.0)
    assert sync.desired_replicas == desired
    assert said(sync.conditions)["ScalingActive"] == active
    assert "FailedGetExternalMetric" in [event.reason for event in sync.events]


@pytest.mark.parametrize(
    ("kind", "container", "reason"),
    [
        (MetricKind.RESOURCE_UTILIZATION, "", "FailedGetResourceMetric"),
        (MetricKind.RESOURCE_AVERAGE_VALUE, "app", "FailedGetContainerResourceMetric"),
        (MetricKind.PODS_AVERAGE_VALUE, "", "FailedGetPodsMetric"),
        (MetricKind.OBJECT_VALUE, "", "FailedGetObjectMetric"),
        (MetricKind.OBJECT_AVERAGE_VALUE, "", "FailedGetObjectMetric"),
        (MetricKind.EXTERNAL_VALUE, "", "FailedGetExternalMetric"),
    ],
)
def test_each_source_has_its_own_failure(kind, container, reason):
    sync = reconcile(a_spec(Metric(kind, 50, container=container)), at(8), HpaState(), SETTINGS, 0.0)
    assert said(sync.conditions) == {"AbleToScale": (True, "SucceededGetScale"), "ScalingActive": (False, reason)}
    assert [event.reason for event in sync.events] == [reason, "FailedComputeMetricsReplicas"]


@pytest.mark.parametrize(
    ("replicas", "desired", "reason"),
    [
        pytest.param(60, 40, "Current number of replicas above Spec.MaxReplicas", id="above"),
        pytest.param(1, 2, "Current number of replicas below Spec.MinReplicas", id="below"),
    ],
)
def test_outside_the_bounds_no_metric_is_asked(replicas, desired, reason):
    sync = reconcile(a_spec(UNREAD, min_replicas=2), at(replicas, selector=""), HpaState(), SETTINGS, 0.0)
    assert (sync.desired_replicas, sync.reason) == (desired, reason)
    assert said(sync.conditions) == {"AbleToScale": (True, "SucceededRescale")}


def test_a_target_at_zero_is_left_alone_unless_the_minimum_is_zero():
    sleeping = reconcile(a_spec(demand(9000)), at(0), HpaState(), SETTINGS, 0.0)
    assert (sleeping.desired_replicas, sleeping.rescale, sleeping.events) == (0, False, ())
    assert said(sleeping.conditions)["ScalingActive"] == (False, "ScalingDisabled")
    assert reconcile(a_spec(demand(3000), min_replicas=0), at(0), HpaState(), SETTINGS, 0.0).desired_replicas == 3


@pytest.mark.parametrize(
    ("selector", "shared", "reason", "event"),
    [
        ("", False, "InvalidSelector", "SelectorRequired"),
        ("cheddar cheese", False, "InvalidSelector", "InvalidSelector"),
        ("app=web", True, "AmbiguousSelector", "AmbiguousSelector"),
    ],
)
def test_a_selector_that_cannot_be_used_stops_the_sync(selector, shared, reason, event):
    sync = reconcile(a_spec(demand(9000)), at(8, selector), HpaState(), SETTINGS, 0.0, pods_are_shared=shared)
    assert (sync.desired_replicas, sync.rescale) == (8, False)
    assert said(sync.conditions)["ScalingActive"] == (False, reason)
    assert [warning.reason for warning in sync.events] == [event, "FailedComputeMetricsReplicas"]


def test_an_unreadable_scale_stops_everything():
    sync = reconcile(a_spec(demand(9000)), None, HpaState(), SETTINGS, 0.0)
    assert (sync.current_replicas, sync.desired_replicas, sync.rescale) == (None, None, False)
    assert said(sync.conditions) == {"AbleToScale": (False, "FailedGetScale")}
    assert sync.state == HpaState()


def test_a_failed_write_leaves_the_size_and_stores_no_event():
    spec = a_spec(demand(12_000), behavior=Behavior())
    sync = reconcile(spec, at(8), HpaState(), SETTINGS, 0.0, write_succeeds=False)
    assert (sync.desired_replicas, sync.rescale, sync.state.up_events) == (8, False, ())
    assert said(sync.conditions)["AbleToScale"] == (False, "FailedUpdateScale")
    assert sync.events[-1].message.startswith("New size: 12; reason: external metric demand above target; error: ")


def test_a_plan_is_not_remembered_until_its_write_is():
    spec = a_spec(demand(12_000), behavior=Behavior())
    planned = plan(spec, at(8), HpaState(), SETTINGS, 30.0)
    assert (planned.desired_replicas, planned.rescale, planned.state.up_events) == (12, True, ())
    written = conclude(planned, spec, SETTINGS, 31.0, write_succeeds=True)
    assert written.state.up_events == (ScaleEvent(4, 31.0),)


def test_without_behavior_no_event_is_stored():
    assert reconcile(a_spec(demand(12_000)), at(8), HpaState(), SETTINGS, 0.0).state.up_events == ()


def test_an_empty_behavior_holds_the_period_between_syncs_where_none_holds_only_the_step():
    loads = [40_000] * 4
    assert drive(a_spec(behavior=Behavior()), 1, loads, interval_s=5) == [1, 5, 5, 5, 10]
    assert drive(a_spec(), 1, loads, interval_s=5) == [1, 4, 8, 16, 32]


def test_shrinking_waits_for_the_window_and_then_happens_at_once():
    sizes = drive(a_spec(), 10, [10_000] + [2000] * 22)
    assert sizes[1:22] == [10] * 21  # the last recommendation of 10 is 300 s old at the 21st sync, and still inside
    assert sizes[22:] == [2, 2]


def test_a_negative_total_shrinks_to_the_minimum_and_not_below():
    sync = reconcile(a_spec(demand(-5000), min_replicas=2), at(8), remembering(), SETTINGS, 0.0)
    assert (sync.desired_replicas, sync.state) == (2, remembering((0, 0.0)))
    assert said(sync.conditions)["ScalingLimited"] == (True, "TooFewReplicas")


def test_conditions_that_a_sync_does_not_touch_keep_their_values():
    first = reconcile(a_spec(demand(9000)), at(8), HpaState(), SETTINGS, 0.0)
    second = reconcile(a_spec(UNREAD), at(9), first.state, SETTINGS, 15.0)
    merged = said(merge_conditions(first.conditions, second.conditions))
    assert list(merged) == ["AbleToScale", "ScalingActive", "ScalingLimited"]
    assert merged["ScalingLimited"] == (False, "DesiredWithinRange")
    assert merged["ScalingActive"] == (False, "FailedGetExternalMetric")


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"min_replicas": 5, "max_replicas": 4}, r"minReplicas: 5 is outside 0\.\.4"),
        ({"min_replicas": -1}, r"minReplicas: -1 is outside 0\.\.40"),
        ({"min_replicas": 0, "max_replicas": 0}, "maxReplicas: 0 is below 1"),
    ],
)
def test_bounds_that_no_size_fits_are_refused(bounds, message):
    with pytest.raises(InputError, match=message):
        a_spec(demand(1), **bounds)


def test_an_hpa_without_metrics_is_refused():
    with pytest.raises(InputError, match="metrics: 0 given"):
        reconcile(a_spec(), at(8), HpaState(), SETTINGS, 0.0)


@pytest.mark.parametrize(
    "selector",
    ["app=web", " app == web , tier!=x", "a in (b, c),!d", "x.io/y", "a notin (b)", "n>5", "a=", "a in (,b)", " "],
)
def test_selectors_of_every_form_parse(selector):
    assert selector_parses(selector)


@pytest.mark.parametrize(
    "selector", ["cheddar cheese", "a=b,", "a in ()", "a in b", "=b", "a>b", "!a=b", "-a", "a" * 64, "in=b"]
)
def test_broken_selectors_do_not_parse(selector):
    assert not selector_parses(selector)


@QUICK
@given(SIZES, LOADS, st.integers(0, 5), st.integers(6, 40), st.booleans())
def test_sizes_stay_within_the_bounds_once_there(start, loads, low, high, limited):
    spec = a_spec(min_replicas=low, max_replicas=high, behavior=Behavior() if limited else None)
    sizes = drive(spec, start, loads)
    assert all(low <= size <= high for size in sizes[1:])


@QUICK
@given(SIZES, LOADS, st.integers(1, 9), PERIODS_S, PERIODS_S)
def test_no_period_changes_by_more_than_its_policy(start, loads, value, up_s, down_s):
    up = ScalingRules(policies=(PolicyRule("Pods", value, up_s),))
    down = ScalingRules(stabilization_s=0, policies=(PolicyRule("Pods", value, down_s),))
    sizes = drive(a_spec(min_replicas=0, behavior=Behavior(up, down)), start, loads)
    for after in range(1, len(sizes)):
        if sizes[after] > sizes[after - 1]:
            assert sizes[after] <= sizes[before_period(after, up_s)] + value
        if sizes[after] < sizes[after - 1]:
            assert sizes[after] >= sizes[before_period(after, down_s)] - value


def before_period(after: int, period_s: int) -> int:
    """Index of the size at the start of the period that ends with the sync of `sizes[after]`; syncs are 15 s apart."""
    return max(0, after - 1 - (period_s - 1) // 15)


@QUICK
@given(SIZES, st.lists(st.integers(-9000, 90_000), max_size=3), st.integers(0, 3), st.booleans())
def test_a_missing_metric_never_shrinks_a_workload(replicas, totals, place, limited):
    metrics = [demand(total) for total in totals]
    metrics.insert(min(place, len(metrics)), UNREAD)
    spec = a_spec(*metrics, min_replicas=0, behavior=Behavior() if limited else None)
    sync: Sync = reconcile(spec, at(replicas), remembering(), SETTINGS, 0.0)
    assert sync.desired_replicas is not None
    assert sync.desired_replicas >= replicas


def test_upstreams_own_cases_pass(capsys):
    path = Path(os.environ.get("FORESCALE_HPA_CASES", SHARED_CASES))
    if not path.exists():
        pytest.skip(f"no HPA cases at {path}: set FORESCALE_HPA_CASES to a file of them")
    code = hpa_cases.main([str(path)])
    assert code == 0, capsys.readouterr().out


def a_case(**changes: object) -> dict[str, object]:
    limits = {"current_replicas": 1, "desired_replicas": 9, "max_replicas": 10}
    return {"id": "doubling", "kind": "limit_default", "in": limits, "expect": {"replicas": 4}, **changes}


def run_cases(folder: Path, document: object) -> int:
    path = folder / "cases.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return hpa_cases.main([str(path)])


def test_the_case_runner_prints_a_line_for_each_failure_and_the_sums(tmp_path, capsys):
    wrong = a_case(id="wrong", expect={"replicas": 5, "reason": "ScaleUpLimit"})
    strange = a_case(id="strange", kind="weather")
    torn = a_case(id="torn", **{"in": {"current_replicas": 1, "desired_replicas": 9}})
    assert run_cases(tmp_path, {"cases": [a_case(), wrong, strange, torn]}) == 1
    assert capsys.readouterr().out.splitlines() == [
        "wrong: replicas expected 5, got 4",
        "strange: unknown kind 'weather'",
        "torn: not run: KeyError: 'max_replicas'",
        "1 passed, 3 failed",
    ]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param("{", "cannot be read", id="not-json"),
        pytest.param([], "has no list of cases", id="not-an-object"),
        pytest.param({"cases": [{"id": "x"}]}, "case 1: kind is missing", id="torn-case"),
    ],
)
def test_a_file_that_is_no_list_of_cases_is_one_line_and_code_2(tmp_path, capsys, document, message):
    assert run_cases(tmp_path, document) == 2
    assert message in capsys.readouterr().err
    assert hpa_cases.main([str(tmp_path / "absent.json")]) == 2

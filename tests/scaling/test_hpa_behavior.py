"""Stabilisation, rate limits, bounds and what people may set."""

import pytest

from scaling.errors import InputError
from scaling.hpa import Behavior, HpaSettings, PolicyRule, ScalingRules
from scaling.hpa_behavior import (
    Bounds,
    Limited,
    RateRules,
    Recommendation,
    ScaleEvent,
    limit_with_behavior,
    limit_without_behavior,
    scale_down_limit,
    scale_up_limit,
    stabilize_behavior,
    stabilize_default,
    store_scale_event,
)
from scaling.hpa_conditions import HpaReason
from scaling.hpa_kernels import PERCENT, PODS, SELECT_MAX, limit_down, limit_up
from scaling.hpa_settings import EffectiveRules, effective_down, effective_up

NOW_S = 5000.0
BOUNDS = Bounds(1, 100)


def log(*entries: tuple[int, float]) -> tuple[Recommendation, ...]:
    return tuple(Recommendation(replicas, NOW_S - age_s) for replicas, age_s in entries)


def events(*entries: tuple[int, float]) -> tuple[ScaleEvent, ...]:
    return tuple(ScaleEvent(change, NOW_S - age_s) for change, age_s in entries)


def up(*policies: PolicyRule, select="Max") -> EffectiveRules:
    return effective_up(ScalingRules(select, policies=policies))


def down(*policies: PolicyRule, select="Max") -> EffectiveRules:
    return effective_down(ScalingRules(select, policies=policies), 300)


def pods(value: int, period_s: int = 60) -> PolicyRule:
    return PolicyRule("Pods", value, period_s)


def percent(value: int, period_s: int = 60) -> PolicyRule:
    return PolicyRule("Percent", value, period_s)


def test_without_behavior_the_highest_of_the_window_counts_and_its_edge_is_inside():
    assert stabilize_default(3, log((9, 300), (5, 10)), 300, NOW_S)[0] == 9
    assert stabilize_default(3, log((9, 300.1), (5, 10)), 300, NOW_S)[0] == 5


def test_a_recommendation_takes_the_last_old_slot_or_a_new_one():
    assert stabilize_default(3, log((9, 400), (8, 301), (5, 10)), 300, NOW_S)[1] == log((9, 400), (3, 0), (5, 10))
    assert stabilize_default(3, log((5, 300)), 300, NOW_S)[1] == log((5, 300), (3, 0))


def test_with_behavior_the_edge_of_a_window_is_outside():
    assert stabilize_behavior(5, 2, log((9, 300)), 0, 300, NOW_S)[0] == 2
    assert stabilize_behavior(5, 2, log((4, 299)), 0, 300, NOW_S)[0] == 4


def test_growth_waits_until_the_whole_window_agrees():
    assert stabilize_behavior(5, 9, log((7, 59), (6, 60)), 60, 300, NOW_S)[0] == 7
    assert stabilize_behavior(5, 9, log((3, 10)), 60, 300, NOW_S)[0] == 5  # one asked for less: neither up nor down


def test_the_log_keeps_what_was_asked_for_and_not_what_came_of_it():
    size, kept = stabilize_behavior(5, 9, log((7, 400), (6, 10)), 60, 300, NOW_S)
    assert (size, kept) == (6, log((9, 0), (6, 10)))


def test_a_slot_is_old_only_beyond_both_windows():
    assert len(stabilize_behavior(5, 5, log((5, 100)), 60, 300, NOW_S)[1]) == 2
    assert len(stabilize_behavior(5, 5, log((5, 100)), 300, 60, NOW_S)[1]) == 2
    assert len(stabilize_behavior(5, 5, log((5, 100)), 60, 90, NOW_S)[1]) == 1


@pytest.mark.parametrize(
    ("current", "desired", "bounds", "replicas", "reason"),
    [
        pytest.param(10, 12, (1, 30), 12, "DesiredWithinRange", id="free"),
        pytest.param(10, 25, (1, 30), 20, "ScaleUpLimit", id="doubling"),
        pytest.param(1, 25, (1, 30), 4, "ScaleUpLimit", id="four-at-least"),
        pytest.param(10, 25, (1, 20), 20, "TooManyReplicas", id="a-maximum-at-the-step-is-the-maximum"),
        pytest.param(10, 0, (2, 30), 2, "TooFewReplicas", id="minimum"),
    ],
)
def test_without_behavior_one_sync_doubles_at_most(current, desired, bounds, replicas, reason):
    assert limit_without_behavior(current, desired, Bounds(*bounds), HpaSettings()) == Limited(replicas, reason)


@pytest.mark.parametrize(
    ("select", "limit"), [pytest.param("Max", 20, id="most"), ("Min", 14), pytest.param("Disabled", 10, id="none")]
)
def test_up_policies_are_joined_by_the_select_policy(select, limit):
    rules = up(pods(4), percent(100), select=select)
    assert scale_up_limit(10, (), (), rules, NOW_S) == limit


@pytest.mark.parametrize(
    ("select", "limit"), [pytest.param("Max", 5, id="most"), ("Min", 8), pytest.param("Disabled", 10, id="none")]
)
def test_down_policies_are_joined_by_the_select_policy(select, limit):
    rules = down(pods(2), percent(50), select=select)
    assert scale_down_limit(10, (), (), rules, NOW_S) == limit


def test_percentages_round_so_that_a_change_is_possible_at_all():
    assert scale_up_limit(1, (), (), up(percent(1)), NOW_S) == 2  # ceil(1.01)
    assert scale_down_limit(3, (), (), down(percent(50)), NOW_S) == 1  # trunc(1.5)
    assert scale_down_limit(3, (), (), down(percent(150)), NOW_S) == -1  # towards zero: trunc(-1.5)


def test_each_policy_counts_from_the_size_its_own_period_began_with():
    grown, shrunk = events((6, 10), (3, 70)), events((2, 20))
    assert scale_up_limit(20, grown, shrunk, up(pods(5, 60)), NOW_S) == 20 - 6 + 2 + 5
    assert scale_up_limit(20, grown, shrunk, up(pods(5, 80)), NOW_S) == 20 - 9 + 2 + 5
    assert scale_down_limit(20, grown, shrunk, down(pods(5, 15)), NOW_S) == 20 - 6 - 5


def test_an_event_as_old_as_the_period_no_longer_counts():
    assert scale_up_limit(20, events((6, 60)), (), up(pods(5)), NOW_S) == 25
    assert scale_up_limit(20, events((6, 59.9)), (), up(pods(5)), NOW_S) == 19


@pytest.mark.parametrize(
    ("desired", "bounds", "replicas", "reason"),
    [
        pytest.param(20, (1, 100), 14, "ScaleUpLimit", id="up"),
        pytest.param(20, (1, 14), 14, "TooManyReplicas", id="a-maximum-at-the-limit-is-the-maximum"),
        pytest.param(2, (1, 100), 8, "ScaleDownLimit", id="down"),
        pytest.param(2, (8, 100), 8, "TooFewReplicas", id="a-minimum-at-the-limit-is-the-minimum"),
        pytest.param(12, (1, 100), 12, "DesiredWithinRange", id="free"),
        pytest.param(10, (12, 100), 10, "DesiredWithinRange", id="no-wish-no-limit"),
    ],
)
def test_with_behavior_the_nearer_limit_gives_the_reason(desired, bounds, replicas, reason):
    rules = RateRules(up(pods(4)), down(pods(2)))
    assert limit_with_behavior(10, desired, Bounds(*bounds), rules, (), (), NOW_S) == Limited(replicas, reason)


def test_a_spent_period_holds_the_size_and_never_turns_it_round():
    rules = RateRules(up(pods(4)), down(pods(2)))
    held_up, held_down = Limited(10, HpaReason.SCALE_UP_LIMIT), Limited(10, HpaReason.SCALE_DOWN_LIMIT)
    assert limit_with_behavior(10, 20, BOUNDS, rules, events((9, 5)), (), NOW_S) == held_up
    assert limit_with_behavior(10, 2, BOUNDS, rules, (), events((9, 5)), NOW_S) == held_down
    assert (limit_up(10, 20, 100, 5), limit_down(10, 2, 1, 15)) == (10, 10)


def test_an_event_takes_the_last_slot_that_no_policy_looks_at():
    rules = up(pods(4, 60), percent(100, 15))
    stored = store_scale_event(events((1, 61), (2, 99), (3, 60), (4, 20)), 7, rules, NOW_S)
    assert [(event.change, event.outdated) for event in stored] == [(1, True), (7, False), (3, False), (4, False)]
    assert len(store_scale_event(events((3, 60)), 7, rules, NOW_S)) == 2


def test_the_defaults_are_those_of_the_api_and_the_controller_manager():
    assert effective_up(None) == EffectiveRules(SELECT_MAX, 0.0, (PODS, PERCENT), (4, 100), (15, 15))
    assert effective_down(None, 300) == EffectiveRules(SELECT_MAX, 300.0, (PERCENT,), (100,), (15,))
    assert HpaSettings() == HpaSettings(0.1, 0.1, 300.0, 300.0, 30.0, 2.0, 4.0, True)


def test_a_field_left_out_keeps_its_own_default():
    rules = effective_down(ScalingRules(policies=(pods(1, 600),)), 120)
    assert rules == EffectiveRules(SELECT_MAX, 120.0, (PODS,), (1,), (600,))
    assert effective_up(ScalingRules(stabilization_s=60)).values == (4, 100)


def test_a_behavior_replaces_the_tolerance_of_its_own_direction():
    behavior = Behavior(ScalingRules(tolerance=0.01), ScalingRules())
    settings = HpaSettings().with_tolerances_of(behavior)
    assert (settings.tolerance_up, settings.tolerance_down) == (0.01, 0.1)
    closed = HpaSettings(configurable_tolerance=False)
    assert closed.with_tolerances_of(behavior) == closed


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PolicyRule("Pods", 0, 60), "behavior.policies.value: 0 is outside 1..2147483647"),
        (lambda: PolicyRule("Pods", 1.5, 60), "behavior.policies.value: 1.5 is not a whole number"),  # type: ignore[arg-type]
        (lambda: PolicyRule("Pods", True, 60), "behavior.policies.value: true is not a whole number"),
        (lambda: PolicyRule("Pods", 1, 0), "behavior.policies.periodSeconds: 0 is outside 1..1800"),
        (lambda: PolicyRule("Pods", 1, 1801), "behavior.policies.periodSeconds: 1801 is outside 1..1800"),
        (lambda: PolicyRule("pods", 1, 60), 'behavior.policies.type: "pods" is not one of Pods, Percent'),  # type: ignore[arg-type]
        (lambda: ScalingRules("Most"), 'behavior.selectPolicy: "Most" is not one of Max, Min, Disabled'),  # type: ignore[arg-type]
        (lambda: ScalingRules(stabilization_s=3601), "behavior.stabilizationWindowSeconds: 3601 is outside 0..3600"),
        (lambda: ScalingRules(tolerance=-0.1), "behavior.tolerance: -0.1 is outside 0..inf"),
        (lambda: ScalingRules(tolerance=float("nan")), "behavior.tolerance: nan is not a finite number"),
        (lambda: HpaSettings(tolerance_up=-1), "HPA setting tolerance_up: -1 is outside 0..inf"),
    ],
)
def test_a_bad_rule_is_refused_with_its_value_and_limit(build, message):
    with pytest.raises(InputError) as error:
        build()
    assert str(error.value) == message


@pytest.mark.parametrize("period_s", [1, 1800])
def test_the_ends_of_the_limits_are_allowed(period_s):
    assert PolicyRule("Percent", 1, period_s).period_s == period_s
    assert [ScalingRules(stabilization_s=window_s).stabilization_s for window_s in (0, 3600)] == [0, 3600]

"""spec.behavior around proposals: tolerance, windows, rate limits, and what each says."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.behavior import BehaviorLog, fit_behavior, log_change
from scaling.decision import Reason
from scaling.guardrails import limit, reasons_in
from scaling.hpa_settings import Behavior, PolicyRule, ScalingRules

STEP_S = 15.0


def run(wishes, behavior, start=10, step_s=STEP_S):
    """Sizes before and after each wish, with the reasons, each carried out at once."""
    log, current, steps = BehaviorLog(), start, []
    for index, wanted in enumerate(wishes):
        now_s = index * step_s
        size, reasons, log = fit_behavior(wanted, current, behavior, log, now_s)
        log = log_change(current, size, behavior, log, now_s)
        steps.append((size, reasons))
        current = size
    return steps, log


def sizes(wishes, behavior, start=10):
    return [size for size, _ in run(wishes, behavior, start)[0]]


def pods(value, period_s):
    return PolicyRule("Pods", value, period_s)


def percent(value, period_s):
    return PolicyRule("Percent", value, period_s)


@pytest.mark.parametrize(
    ("current", "wanted", "size", "reasons"),
    [
        pytest.param(10, 20, 20, (), id="twice-the-size-passes"),
        pytest.param(10, 21, 20, (Reason.SCALE_UP_LIMIT,), id="more-is-cut"),
        pytest.param(1, 4, 4, (), id="four-always-pass"),
        pytest.param(1, 9, 4, (Reason.SCALE_UP_LIMIT,), id="small-sizes-reach-four"),
        pytest.param(10, 0, 0, (), id="removals-are-not-limited"),
    ],
)
def test_without_behavior_one_decision_at_most_doubles(current, wanted, size, reasons):
    fitted, bits = limit(wanted, current, current, {}, {})
    assert (fitted, tuple(reasons_in(bits))) == (size, reasons)


def test_without_behavior_nothing_is_logged():
    assert log_change(5, 9, None, BehaviorLog(), 0.0) == BehaviorLog()


def test_an_empty_behavior_holds_nothing_back_but_the_default_rates():
    assert sizes([3, 40, 40, 40], Behavior()) == [3, 7, 14, 28]


@pytest.mark.parametrize(
    ("current", "wanted", "size"), [(10, 11, 10), (10, 12, 12), (10, 9, 9), (100, 90, 90), (0, 1, 1)]
)
def test_a_small_addition_is_within_a_tolerance_for_additions(current, wanted, size):
    behavior = Behavior(scale_up=ScalingRules(tolerance=0.1))
    fitted, reasons, _ = fit_behavior(wanted, current, behavior, BehaviorLog(), 0.0)
    assert fitted == size
    assert reasons == ((Reason.WITHIN_TOLERANCE,) if fitted != wanted else ())


def test_a_hold_within_tolerance_still_counts_for_the_windows():
    behavior = Behavior(scale_down=ScalingRules(tolerance=0.1, stabilization_s=60))
    assert sizes([10, 10, 9, 9, 5, 5, 5, 5, 5], behavior) == [10, 10, 10, 10, 10, 10, 10, 5, 5]


def test_a_removal_waits_until_no_wish_of_its_window_asked_for_more():
    behavior = Behavior(scale_down=ScalingRules(stabilization_s=60))
    steps, _ = run([10, 4, 6, 4, 4, 4, 4], behavior)
    assert [size for size, _ in steps] == [10, 10, 10, 10, 6, 6, 4]
    assert [reasons for _, reasons in steps] == [()] + [(Reason.SCALE_DOWN_STABILIZED,)] * 5 + [()]


def test_an_addition_waits_until_every_wish_of_its_window_asked_for_it():
    behavior = Behavior(scale_up=ScalingRules(stabilization_s=45, policies=(pods(100, 15),)))
    steps, _ = run([10, 30, 25, 40, 40], behavior)
    assert [size for size, _ in steps] == [10, 10, 10, 25, 25]
    held = (Reason.SCALE_UP_STABILIZED,)
    assert [reasons for _, reasons in steps] == [(), held, held, held, held]


def test_a_rate_limit_says_so():
    behavior = Behavior(ScalingRules(policies=(pods(2, 60),)), ScalingRules(policies=(percent(10, 60),)))
    steps, _ = run([20, 20, 20, 20, 20], behavior)
    assert steps[:4] == [(12, (Reason.SCALE_UP_LIMIT,))] * 4
    assert steps[4] == (14, (Reason.SCALE_UP_LIMIT,))
    assert run([1], behavior, start=20)[0] == [(18, (Reason.SCALE_DOWN_LIMIT,))]


def test_a_disabled_direction_holds():
    behavior = Behavior(scale_down=ScalingRules(select_policy="Disabled"))
    assert run([3], behavior)[0] == [(10, (Reason.SCALE_DOWN_LIMIT,))]


def test_changes_are_logged_by_direction_and_old_slots_are_used_again():
    behavior = Behavior(ScalingRules(policies=(pods(50, 30),)), ScalingRules(policies=(pods(50, 30),)))
    _, log = run([5, 9] * 100, behavior)
    assert len(log.up_events) == len(log.down_events) == 2
    assert {event.change for event in log.up_events + log.down_events} == {4}


@pytest.mark.parametrize(("window_s", "most"), [(0, 1), (60, 5), (300, 21)])
def test_the_log_of_wishes_is_as_long_as_its_window(window_s, most):
    behavior = Behavior(scale_down=ScalingRules(stabilization_s=window_s))
    _, log = run([10] * 200, behavior)
    assert len(log.recommendations) <= most + 1


wishes = st.lists(st.integers(0, 300), min_size=1, max_size=60)
rules = st.builds(
    PolicyRule, st.sampled_from(["Pods", "Percent"]), st.integers(1, 100), st.sampled_from([15, 30, 60, 90, 300])
)
directions = st.builds(
    ScalingRules,
    st.sampled_from(["Max", "Min"]),
    st.none() | st.sampled_from([0, 30, 120]),
    st.tuples(rules),
    st.none() | st.floats(0.0, 0.3),
)
behaviors = st.builds(Behavior, directions, directions)


def most_after(start, rule):
    return start + rule.value if rule.type == "Pods" else -(-start * (100 + rule.value) // 100)


def least_after(start, rule):
    return start - rule.value if rule.type == "Pods" else start * (100 - rule.value) // 100


@settings(max_examples=200, deadline=None)
@given(wishes, behaviors, st.integers(1, 100), st.sampled_from([5.0, 15.0, 45.0]))
def test_no_period_ever_sees_more_change_than_its_rule_allows(wishes, behavior, start, step_s):
    up, down = behavior.scale_up.policies[0], behavior.scale_down.policies[0]
    history = [start] + [size for size, _ in run(wishes, behavior, start, step_s)[0]]
    for index, (before, after) in enumerate(pairwise(history), start=1):
        rule = up if after > before else down
        within = int(-(-rule.period_s // step_s))  # changes whose age is the period no longer count
        began_with = history[max(0, index - within)]
        if after > before:
            assert after <= most_after(began_with, rule) + 1  # a product such as 110 * 1.1 may round up
        elif after < before:
            assert after >= least_after(began_with, rule) - 1


@settings(max_examples=200, deadline=None)
@given(wishes, behaviors, st.integers(0, 100))
def test_behavior_only_ever_moves_a_wish_towards_the_present_size(wishes, behavior, start):
    current = start
    steps, _ = run(wishes, behavior, start)
    for wanted, (size, reasons) in zip(wishes, steps, strict=True):
        assert min(current, wanted) <= size <= max(current, wanted)
        assert bool(reasons) == (size != wanted)
        current = size

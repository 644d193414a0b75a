"""What a restart makes of a status."""

from dataclasses import replace

import pytest

from controller.cluster.status import MOST_CHANGES, status_of
from controller.operator.clock import Clock
from controller.operator.policies import PolicyRecord
from controller.operator.restart import restore
from controller.ports import Scale
from controller.reconcile import Outcome
from scaling.behavior import fit_behavior, log_change
from scaling.decide import PolicyState, decide
from scaling.decision import Reason
from scaling.observation import Observation, Value
from tests.controller.cluster.test_status import ADD, NOW_S, a_target, facts
from tests.scaling.builders import ScriptedPolicy


def a_care(target, status, generation=3):
    return PolicyRecord("uid", "shop", "web", generation, adopted_s=0.0, status=status, target=target)


FOUR_A_MINUTE = {"scaleUp": {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}]}}


@pytest.mark.parametrize(("later_s", "allowed"), [(10.0, 8), (70.0, 10)])
def test_a_change_before_the_restart_counts_for_the_rates(later_s, allowed):
    target = a_target(**{"spec/behavior": FOUR_A_MINUTE})
    restore(a_care(target, status_of(ADD, facts())), Clock(lambda: NOW_S + later_s, lambda: NOW_S + later_s))
    wanted, _, _ = fit_behavior(60, 6, target.spec.behavior, target.state.behavior, NOW_S + later_s)
    assert wanted == allowed


@pytest.mark.parametrize(("before_s", "allowed"), [(-10.0, 8), (-30.0, 6)], ids=["our own", "another's after ours"])
def test_a_change_is_counted_once_and_beside_those_that_are_known(before_s, allowed):
    """A log of two added; the status tells of two as well, at NOW_S."""
    target = a_target(**{"spec/behavior": FOUR_A_MINUTE})
    behavior = target.spec.behavior
    target.state.behavior = log_change(2, 4, behavior, target.state.behavior, NOW_S + before_s)
    restore(a_care(target, status_of(ADD, facts())), Clock(lambda: NOW_S + 10, lambda: NOW_S + 10))
    wanted, _, _ = fit_behavior(60, 6, behavior, target.state.behavior, NOW_S + 10)
    assert wanted == allowed


SLOW_UP = {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}]}}
SLOW_DOWN = {"scaleDown": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}]}}


class Lives:
    """An operator on one workload that can be killed after a write of its size and before that of its status."""

    def __init__(self, behavior, replicas, wanted):
        self.spec = {"spec/behavior": behavior, "spec/maxReplicas": 99, "spec/guardrails/ceilingRatio": 100}
        self.replicas, self.wanted, self.now_s = replicas, wanted, NOW_S
        self.status, self.sizes = {}, []

    def live(self, ticks, tells=True):
        """Start, decide so often, and end; `tells`: whether statuses get written."""
        target = a_target(**self.spec)
        restore(a_care(target, self.status), Clock(lambda: self.now_s, lambda: self.now_s))
        for tick in range(ticks):
            holds = (Reason.JUST_STARTED,) if tick == 0 else ()
            seen = Observation(Value(1.0), self.replicas, self.replicas, holds=holds)
            decision = decide(seen, target.spec, target.state, ScriptedPolicy(self.wanted, self.wanted), self.now_s)
            outcome = Outcome(target, Scale(*[self.replicas] * 2), seen.demand, seen, decision, acted=True)
            outcome = outcome if decision.final_replicas != self.replicas else replace(outcome, acted=False)
            if tells:
                self.status = status_of(outcome, replace(facts(self.status), unix_s=self.now_s))
            self.replicas = decision.final_replicas
            self.sizes.append(self.replicas)
            self.now_s += 15.0


@pytest.mark.parametrize(
    ("behavior", "wanted", "sizes"), [(SLOW_UP, 60, {10, 11}), (SLOW_DOWN, 3, {10, 9})], ids=["up", "down"]
)
def test_a_rate_holds_when_killed_again_and_again_before_the_status_is_written(behavior, wanted, sizes):
    lives = Lives(behavior, 10, wanted)
    lives.live(1)
    for _ in range(6):
        lives.live(3, tells=False)
    assert lives.now_s == NOW_S + 15 + 270
    assert set(lives.sizes) == sizes


def test_all_changes_of_the_longest_period_are_restored():
    lives = Lives({"scaleUp": {"policies": [{"type": "Pods", "value": 3, "periodSeconds": 600}]}}, 10, 11)
    lives.live(3)
    lives.wanted = 12
    lives.live(3)
    lives.wanted = 60
    lives.live(30)
    assert lives.sizes[-1] == 13
    assert max(lives.sizes) == 13


def test_a_window_for_scaling_down_begins_anew_at_a_restart():
    lives = Lives({"scaleDown": {"stabilizationWindowSeconds": 300}}, 10, 10)
    lives.live(3)
    lives.wanted = 3
    lives.live(19)
    assert set(lives.sizes) == {10}
    lives.live(40)
    assert lives.sizes[-1] == 3


def test_many_changes_are_listed_within_a_bound_and_none_is_lost():
    rates = [{"type": "Pods", "value": value, "periodSeconds": period_s} for value, period_s in ((1, 15), (99, 1800))]
    lives = Lives({"scaleUp": {"policies": rates, "selectPolicy": "Min"}}, 2, 60)
    lives.live(50)
    told = lives.status["recentChanges"]
    assert len(told) <= MOST_CHANGES
    assert sum(one["added"] for one in told) == lives.replicas - 2 > MOST_CHANGES


def test_a_size_of_an_earlier_generation_says_nothing_of_a_change():
    target = a_target(**{"spec/behavior": FOUR_A_MINUTE})
    restore(a_care(target, status_of(ADD, facts()), generation=4), Clock(lambda: NOW_S, lambda: NOW_S))
    assert target.state.last_replicas is None


def test_an_empty_status_changes_nothing():
    target = a_target()
    restore(a_care(target, {}), Clock(lambda: NOW_S, lambda: NOW_S))
    assert (target.state.last_replicas, target.state.added_s) == (None, None)
    assert target.state.behavior == PolicyState().behavior

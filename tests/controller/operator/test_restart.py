"""What a restart makes of a status."""

import pytest

from controller.cluster.status import status_of
from controller.operator.clock import Clock
from controller.operator.restart import recall
from scaling.behavior import fit_behavior, log_change
from tests.controller.cluster.test_status import ADD, NOW_S, a_target, facts

FOUR_A_MINUTE = {"scaleUp": {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}]}}


@pytest.mark.parametrize(("later_s", "allowed"), [(10.0, 8), (70.0, 10)])
def test_a_change_before_the_restart_counts_for_the_rates(later_s, allowed):
    target = a_target(**{"spec/behavior": FOUR_A_MINUTE})
    recall(target, status_of(ADD, facts()), Clock(lambda: 5.0, lambda: NOW_S + later_s))
    wanted, _, _ = fit_behavior(60, 6, target.spec.behavior, target.state.behavior, NOW_S + later_s)
    assert wanted == allowed


@pytest.mark.parametrize(("before_s", "allowed"), [(-10.0, 8), (-30.0, 6)], ids=["our own", "another's after ours"])
def test_a_change_is_counted_once_and_beside_those_that_are_known(before_s, allowed):
    """A log of two added; the status tells of two as well, at NOW_S."""
    target = a_target(**{"spec/behavior": FOUR_A_MINUTE})
    behavior = target.spec.behavior
    target.state.behavior = log_change(2, 4, behavior, target.state.behavior, NOW_S + before_s)
    recall(target, status_of(ADD, facts()), Clock(lambda: NOW_S + 10, lambda: NOW_S + 10))
    wanted, _, _ = fit_behavior(60, 6, behavior, target.state.behavior, NOW_S + 10)
    assert wanted == allowed

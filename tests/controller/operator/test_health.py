"""When the probes say no."""

from types import SimpleNamespace

import pytest

from controller.operator.clock import Clock
from controller.operator.health import GRACE_S, Health
from controller.operator.policies import Policies
from tests.controller.operator.test_policies import a_body


class Stage:
    """A policy of 15 s that was adopted at 0."""

    def __init__(self):
        self.now_s = 0.0
        self.lease = SimpleNamespace(held=lambda: True, problem="", was_asked_for=True)
        self.watch = SimpleNamespace(is_running=lambda: True, has_begun=lambda: True)
        clock = Clock(lambda: self.now_s, lambda: 0.0)
        self.policies = Policies(clock.now_s)
        self.policies.note(None, a_body())
        (self.record,) = self.policies
        self.health = Health(self.policies, self.lease, self.watch, clock)  # type: ignore[arg-type]
        self.health.wrong()


@pytest.mark.parametrize(
    ("last_evaluated_s", "now_s", "is_well"),
    [(None, 60 + GRACE_S, True), (None, 61 + GRACE_S, False), (100.0, 160.0, True), (100.0, 161.0, False)],
)
def test_a_policy_is_overdue_after_four_intervals(last_evaluated_s, now_s, is_well):
    stage = Stage()
    stage.record.last_evaluated_s, stage.now_s = last_evaluated_s, now_s
    wrong = stage.health.wrong()
    assert (wrong is None) is is_well
    assert is_well or "no look at shop/web" in str(wrong)


def test_a_standby_is_well_and_has_time_after_it_took_over():
    stage = Stage()
    stage.lease.held = lambda: False
    stage.now_s = 10_000.0
    assert stage.health.wrong() is None
    stage.lease.held = lambda: True
    assert stage.health.wrong() is None
    stage.now_s += 200.0
    assert stage.health.wrong() is not None


def test_a_policy_that_cannot_be_read_is_nobodys_delay():
    stage = Stage()
    stage.policies.note("MODIFIED", a_body(generation=2, minReplicas=10))
    stage.now_s = 10_000.0
    assert stage.health.wrong() is None


def test_watches_that_ended_are_unhealthy_and_ones_that_did_not_begin_unready():
    stage = Stage()
    assert stage.health.unready() is None
    stage.watch.has_begun = lambda: False
    assert stage.health.unready() == "the watches have not begun"
    stage.watch.has_begun = lambda: True
    stage.lease.was_asked_for = False
    assert stage.health.unready() == "the Lease has not been asked for yet"
    stage.lease.was_asked_for = True
    stage.lease.problem = "403 Forbidden"
    assert stage.health.unready() == "403 Forbidden"
    stage.watch.is_running = lambda: False
    assert stage.health.wrong() == "the watches have ended"

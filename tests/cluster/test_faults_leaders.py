"""Operators that come and go: a leader is killed, another is frozen in the middle of a decision, one is restarted
twenty times. Who wrote is told by the API server's audit log."""

import time
from itertools import groupby

import pytest

from tests.cluster.hostile import FORWARD, hostile_prometheus
from tests.cluster.scene import wait_for
from tests.cluster.stage import INTERVAL_S, RESUMED_WITHIN_S, SEEN_WITHIN_S, measured, page_of

pytestmark = pytest.mark.slow

RESTARTS, APART_S = 20, 6.0
"""Twenty in two minutes."""
CRASHES = 5
"""Of so many restarts one is a crash: the Lease is not released, and nobody acts until it has lapsed."""

LONGEST_LEASE_S = 15.0
PAUSED_S = 60.0
"""So long a leader is frozen."""

FIRST_DECISION_S = 3 * INTERVAL_S
"""After it has taken over, an instance keeps still for an interval."""


def restarts(stage):
    """An operator that is stopped again as soon as it is up; the workload wants two replicas more all the while."""
    namespace = stage.namespace("restarts")
    subject = stage.subject(namespace, "web", 3)
    operator = stage.an_operator("restarts", f"--namespace={namespace}", "--lease-name=restarts")
    subject.needs(5)
    began_s = time.monotonic()
    try:
        for number in range(RESTARTS):
            operator.start()
            time.sleep(max(0.0, began_s + (number + 1) * APART_S - time.monotonic()))
            if number % CRASHES == CRASHES - 1:
                operator.kill()
            else:
                operator.stop()
        took_s, meanwhile = time.monotonic() - began_s, subject.sizes("restarts")
        operator.start()
        subject.grows_to(5, LONGEST_LEASE_S + RESUMED_WITHIN_S)
        time.sleep(2 * INTERVAL_S)
        return took_s, meanwhile, subject.sizes("restarts")
    finally:
        operator.stop()


@pytest.fixture(scope="module")
def two(shared_stage):
    """Two operators of one Lease, of which the first leads, on a Prometheus whose answers can be kept waiting."""
    namespace = shared_stage.namespace("leaders")
    subject = shared_stage.subject(namespace, "web", 4)
    wishes = (f"--namespace={namespace}", "--lease-name=leaders")
    with hostile_prometheus(FORWARD, shared_stage.scene.prometheus.port) as proxy:
        options = (*wishes, f"--prometheus-url={proxy.url}")
        with shared_stage.operator("one", *options) as one:
            wait_for(lambda: leads(one), bool, LONGEST_LEASE_S)
            with shared_stage.operator("other", *options) as other:
                yield subject, one, other, proxy


def leads(operator):
    return measured(operator, "forescale_leader") == 1.0


def who_wrote(subject):
    """Operators in the order of their turns."""
    return [user for user, _ in groupby(write.user for write in subject.written("one", "other") if write.done)]


def test_a_leader_that_is_killed_is_replaced_within_half_a_minute(shared_stage, two):
    subject, one, other, _ = two
    subject.says("ScalingActive", "True", "ValidMetricFound")
    assert page_of(other, "/healthz").code == page_of(other, "/readyz").code == 200
    assert not leads(other)
    one.kill()
    subject.needs(8)
    wait_for(lambda: leads(other), bool, 30.0)
    subject.grows_to(8, FIRST_DECISION_S + RESUMED_WITHIN_S)
    assert who_wrote(subject) == ["other"]
    shared_stage.check()


def test_a_leader_that_wakes_in_the_middle_of_a_decision_writes_nothing_any_more(shared_stage, two):
    subject, one, other, proxy = two
    one.start()
    wait_for(lambda: leads(other) and not leads(one), bool, SEEN_WITHIN_S)
    subject.grows_to(8)
    proxy.gate.clear()
    subject.needs(12)
    time.sleep(2.0)  # the rate follows
    asked = proxy.asked
    wait_for(lambda: proxy.asked, lambda now: now > asked, SEEN_WITHIN_S)
    other.pause()  # it has asked, and not heard
    paused_s = time.monotonic()
    try:
        proxy.gate.set()
        wait_for(lambda: leads(one), bool, 30.0)
        subject.grows_to(12, FIRST_DECISION_S + RESUMED_WITHIN_S)
        time.sleep(max(0.0, paused_s + PAUSED_S - time.monotonic()))
    finally:
        woken_s = time.time()
        other.resume()
    subject.needs(18)
    subject.grows_to(18)
    time.sleep(INTERVAL_S)
    assert who_wrote(subject) == ["other", "one"]
    assert subject.written("other", since_s=woken_s) == []  # nor has it tried
    assert not leads(other)
    shared_stage.check()


@pytest.mark.story(begin=restarts)
def test_twenty_restarts_in_two_minutes_change_at_most_once(shared_stage):
    took_s, meanwhile, at_last = shared_stage.told(restarts)
    assert took_s < 3 * RESTARTS * APART_S
    assert meanwhile in ([3], [3, 5])
    assert at_last == [3, 5]
    shared_stage.check()

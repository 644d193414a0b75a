"""Operators that come and go: a leader is killed, another is frozen in the middle of a decision, one is restarted
twenty times. Who wrote is told by the API server's audit log."""

import time
from dataclasses import dataclass
from itertools import groupby

import pytest

from tests.cluster.daemon import Daemon
from tests.cluster.door import Door
from tests.cluster.hostile import FORWARD, HostilePrometheus, hostile_prometheus
from tests.cluster.scene import wait_for
from tests.cluster.stage import (
    INTERVAL_S,
    PATIENCE_S,
    SYSTEM,
    Subject,
    measured,
    page_of,
)

pytestmark = pytest.mark.slow

RESTARTS, APART_S = 20, 6.0
"""Twenty in two minutes."""
GROWS = 1.15
"""From one to the next: more than the HPA's tolerance, and below the most that a policy may ask for after twenty."""
CRASHES = 5
"""Of so many restarts one is a crash: the Lease is not released, and nobody acts until it has lapsed."""

PAUSED_S = 60.0
"""So long a leader is frozen."""

LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/leaders"
RELEASED = {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}}
"""As its holder leaves it when that ends well."""
RENEW_DEADLINE_S = API_DEADLINE_S = 10.0
ANSWERED_WITHIN_S = 5.0
RATE_FOLLOWS_S = 6.0
"""The scene's queries take the rate over five."""
GATED_S = 2.0
"""So long an answer of Prometheus is held up: half of the patience that one has with it."""
A_MOMENT_S = 0.8
"""After a Lease has lapsed; with GATED_S it leaves a second until what was asked after that time is given up."""


def restarts(stage):
    """An operator that is stopped again as soon as it is up; each time load needs more than ever before."""
    namespace = stage.namespace("restarts")
    subject = stage.subject(namespace, "web", 3)
    operator = stage.an_operator("restarts", f"--namespace={namespace}", "--lease-name=restarts")
    began_s, ends = time.monotonic(), set()
    try:
        for number in range(RESTARTS):
            subject.needs(round(5 * GROWS**number))
            operator.start()
            time.sleep(max(0.0, began_s + (number + 1) * APART_S - time.monotonic()))
            if number % CRASHES == CRASHES - 1:
                operator.kill()
            else:
                operator.stop()
                assert operator.process is not None
                ends.add(operator.process.returncode)
        meanwhile = subject.sizes("restarts")
        operator.start()
        wait_for(subject.size, lambda seen: seen > meanwhile[-1], PATIENCE_S)
        return meanwhile, ends
    finally:
        operator.stop()


@dataclass
class Two:
    """Two operators of one Lease; the other one's way to the API server has a door, that to Prometheus a gate."""

    subject: Subject
    one: Daemon
    other: Daemon
    door: Door
    proxy: HostilePrometheus


@pytest.fixture(scope="module")
def two(shared_stage):
    """The first one leads."""
    namespace = shared_stage.namespace("leaders")
    subject = shared_stage.subject(namespace, "web", 4)
    wishes = (f"--namespace={namespace}", "--lease-name=leaders")
    with (
        hostile_prometheus(FORWARD, shared_stage.scene.prometheus.port) as proxy,
        shared_stage.door("other") as (door, through_it),
        shared_stage.operator("one", *wishes) as one,
    ):
        wait_for(lambda: leads(one), bool, PATIENCE_S)
        with shared_stage.operator("other", *wishes, f"--prometheus-url={proxy.url}", through_it) as other:
            yield Two(subject, one, other, door, proxy)


def leads(operator):
    return measured(operator, "forescale_leader") == 1.0


def who_wrote(subject):
    """Operators in the order of their turns."""
    return [user for user, _ in groupby(write.user for write in subject.written("one", "other") if write.done)]


def test_a_leader_that_is_killed_is_replaced_within_half_a_minute(shared_stage, two):
    subject, other = two.subject, two.other
    subject.says("ScalingActive", "True", "ValidMetricFound")
    assert page_of(other, "/healthz").code == page_of(other, "/readyz").code == 200
    assert not leads(other)
    two.one.kill()
    subject.needs(8)
    wait_for(lambda: leads(other), bool, PATIENCE_S)
    subject.grows_to(8)
    assert who_wrote(subject) == ["other"]
    shared_stage.check()


def test_a_write_that_comes_when_another_leads_is_refused_for_its_version(shared_stage, two):
    """The leader is frozen while its PATCH is on the way, which comes to the API server a minute later."""
    subject, one, other = two.subject, two.one, two.other
    one.start()
    wait_for(lambda: leads(other) and not leads(one), bool, PATIENCE_S)
    subject.grows_to(8)
    write = two.door.hold("PATCH [^ ]*/deployments/web/scale")
    began_s = time.time()
    subject.needs(12)
    assert write.came.wait(PATIENCE_S)
    other.pause()
    paused_s = time.monotonic()
    try:
        wait_for(lambda: leads(one), bool, PATIENCE_S)
        subject.needs(18)
        subject.grows_to(18)
        time.sleep(max(0.0, paused_s + PAUSED_S - time.monotonic()))
        write.let_through()
        assert write.answered.wait(PATIENCE_S)
    finally:
        other.resume()
    time.sleep(2 * INTERVAL_S)
    (late,) = subject.written("other", since_s=began_s)
    assert (late.code, late.fence is not None) == (409, True)
    assert subject.grows_to(18) == subject.sizes("one", "other")[-1]
    assert who_wrote(subject) == ["other", "one"]
    assert not leads(other)
    shared_stage.check()


def test_a_leader_that_wakes_between_its_decision_and_its_write_does_not_write(shared_stage, two):
    """It is frozen while it asks where Deployments are scaled, as it does before its first write of all. No version
    stands against that write; when it wakes, its last renewal is older than the deadline."""
    subject, one, other = two.subject, two.one, two.other
    begin_afresh(one, other)
    two.proxy.gate.clear()
    subject.needs(30)
    time.sleep(RATE_FOLLOWS_S)
    asked = two.proxy.asked
    wait_for(lambda: two.proxy.asked, lambda now: now > asked, PATIENCE_S)  # its answer is on the way
    renewal, question = two.door.hold("PUT [^ ]*/leases/"), two.door.hold("GET /apis/apps/v1 ")
    lapses_s = time.monotonic() + RENEW_DEADLINE_S  # or earlier
    time.sleep(GATED_S)
    two.proxy.gate.set()
    assert question.came.wait(ANSWERED_WITHIN_S)
    other.pause()
    asked_s, paused_s = time.monotonic(), time.time()
    try:
        question.let_through()
        assert question.answered.wait(ANSWERED_WITHIN_S)
        assert subject.ask("PATCH", LEASE, RELEASED).code == 200
        wait_for(lambda: leads(one), bool, lapses_s - time.monotonic())
        time.sleep(lapses_s + A_MOMENT_S - time.monotonic())
    finally:
        other.resume()
    assert time.monotonic() < asked_s + API_DEADLINE_S  # its question was answered in time
    time.sleep(A_MOMENT_S)
    renewal.let_through()
    subject.grows_to(30)
    time.sleep(INTERVAL_S)
    assert subject.written("other", since_s=paused_s) == []  # nor has it tried
    assert who_wrote(subject)[-1] == "one"
    assert not leads(other)
    shared_stage.check()


def begin_afresh(one, other):
    """The other leads, which has not written yet, and the first waits."""
    other.stop()
    other.start()
    one.stop()
    wait_for(lambda: leads(other), bool, PATIENCE_S)
    one.start()
    wait_for(lambda: measured(other, "forescale_decisions_total"), lambda seen: seen > 2, PATIENCE_S)


@pytest.mark.story(begin=restarts)
def test_twenty_restarts_in_two_minutes_change_at_most_once(shared_stage):
    meanwhile, ends = shared_stage.told(restarts)  # after which it is let be, and acts
    assert ends == {0}  # who is asked to stop does so, and none had to be killed
    assert len(meanwhile) <= 2
    shared_stage.check()

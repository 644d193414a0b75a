"""Faults of what the operator works on: rights that are missing, targets that go, competitors, pods that never come.

One operator with the rights of a Role in each of its namespaces sees them all; what it wrote is told by the API
server's audit log.
"""

import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle

import pytest

from tests.cluster.audit import writes
from tests.cluster.hostile import FORWARD, hostile_prometheus
from tests.cluster.scene import a_deployment, an_hpa, wait_for
from tests.cluster.stage import (
    INTERVAL_S,
    MERGE,
    PATIENCE_S,
    RBAC,
    SETTLED_S,
    SYSTEM,
    Subject,
    a_binding,
    page_of,
)

pytestmark = pytest.mark.slow

USER = "limited"
READS = [
    {"apiGroups": ["forescale.dev"], "resources": ["scalingpolicies"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["keda.sh"], "resources": ["scaledobjects"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
]
SCALES = {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get", "patch"]}
STATUSES = {"apiGroups": ["forescale.dev"], "resources": ["scalingpolicies/status"], "verbs": ["patch"]}
LEASES = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}
RIGHTS = {
    "plain": [*READS, SCALES, STATUSES],
    "doomed": [*READS, SCALES, STATUSES],
    "no-scale": [*READS, STATUSES],
    "no-status": [*READS, SCALES],
    "locked": [],
}
"""Of the operator, by namespace."""

STUCK_S = 125.0
"""Pods are overdue after two minutes without progress."""
RIVAL_PER_S, RIVAL_PER_S_AT_LEAST, HANDS = 50, 2, 3
"""Writes a second that are meant, that a busy machine must leave of them for many in each interval of ours, and
connections that they come over."""
TOLD_WITHIN_S = 2.5
"""The watch tells of an edit; an answer of Prometheus that is held up for so long still counts."""
CONTESTED_WITHIN_S = 120.0
"""A contest shows when two of our writes have been undone or forestalled: within a few decisions, some time on a busy
machine."""


def stuck(stage):
    """Pods that never become ready, and load that grows all the while."""
    namespace = stage.namespace("stuck")
    with stage.operator("stuck", f"--namespace={namespace}", "--lease-name=stuck") as operator:
        subject = stage.subject(namespace, "web", 2, startup_s=3600)
        began_s = time.monotonic()
        for load in (4, 8, 16):
            subject.needs(load)
            time.sleep(STUCK_S / 3)
        time.sleep(max(0.0, began_s + STUCK_S + INTERVAL_S - time.monotonic()))
        before = subject.sizes("stuck")
        subject.needs(90)
        message = subject.says("ScalingLimited", "True", "PodsNotReady")
        time.sleep(2 * INTERVAL_S)
        return before, subject.sizes("stuck"), message, page_of(operator, "/healthz").code


def fought_over(stage):
    """Somebody else sets the size all the time, while our load needs more than that; at first even while a write of
    ours is on its way, which by chance alone would be rare."""
    namespace = stage.namespace("fought-over")
    wishes = (f"--namespace={namespace}", "--lease-name=fighter")
    with stage.door("fighter") as (door, through_it), stage.operator("fighter", *wishes, through_it):
        subject = stage.subject(namespace, "web", 3)
        subject.says("ScalingActive", "True", "ValidMetricFound")
        write = door.hold("PATCH [^ ]*/deployments/web/scale")
        with competitor(subject, (3, 4)) as fight:
            subject.needs(9)
            assert write.came.wait(PATIENCE_S)
            before = len(fight.written)
            wait_for(lambda: len(fight.written), lambda now: now > before + HANDS, INTERVAL_S)
            write.let_through()
            message = subject.says("Conflict", "True", "Contested", CONTESTED_WITHIN_S)
            known_s = time.time()
            time.sleep(SETTLED_S)
            return message, known_s, fight.per_s(), subject.written("fighter"), subject.size()


@dataclass
class Fight:
    """How somebody writes again and again, with so many hands."""

    began_s: float = field(default_factory=time.monotonic)
    written: list[int] = field(default_factory=list)
    """Status codes."""
    over: threading.Event = field(default_factory=threading.Event)

    def per_s(self):
        """Writes a second that were done so far."""
        return self.written.count(200) / (time.monotonic() - self.began_s)

    def hand(self, cluster, path, wanted):
        """One connection; each of them writes at its share of the rate, or as fast as it can."""
        connection = http.client.HTTPSConnection("127.0.0.1", cluster.port, timeout=10.0, context=cluster.tls)
        due_s = time.monotonic()
        for replicas in cycle(wanted):
            body = json.dumps({"spec": {"replicas": replicas}})
            connection.request("PATCH", path, body, {"Content-Type": MERGE})
            answer = connection.getresponse()
            answer.read()
            self.written.append(answer.status)
            due_s = max(due_s + HANDS / RIVAL_PER_S, time.monotonic() - 1.0)
            if self.over.wait(max(0.0, due_s - time.monotonic())):
                break
        connection.close()


@contextmanager
def competitor(subject, wanted):
    """Somebody who sets the size at a rate, up to a bound."""
    fight, cluster = Fight(), subject.scene.cluster
    path = f"{subject.deployment}?fieldManager=competitor"
    with ThreadPoolExecutor(HANDS) as pool:
        hands = [pool.submit(fight.hand, cluster, path, wanted) for _ in range(HANDS)]
        try:
            yield fight
        finally:
            fight.over.set()
    for hand in hands:
        hand.result()


@pytest.fixture(scope="session")  # the stories are told after other modules
def limited(shared_stage):
    """The operator, and the proxy before its Prometheus."""
    make = shared_stage.scene.make
    for namespace, rules in {**RIGHTS, SYSTEM: [LEASES]}.items():
        if namespace != SYSTEM:
            shared_stage.namespace(namespace)
        place = f"{RBAC}/namespaces/{namespace}"
        make(f"{place}/roles", {"metadata": {"name": USER}, "rules": rules})
        make(f"{place}/rolebindings", a_binding(USER, [("User", USER)], USER, "Role"))
    options = [f"--namespace={namespace}" for namespace in RIGHTS]
    with hostile_prometheus(FORWARD, shared_stage.scene.prometheus.port) as proxy:
        wishes = (*options, "--lease-name=limited", f"--prometheus-url={proxy.url}")
        with shared_stage.operator(USER, *wishes, group="nobodies") as operator:
            yield operator, proxy


@pytest.fixture(autouse=True)
def lives_on(shared_stage, limited):
    """The operator runs, is well, and wrote nothing out of bounds."""
    yield
    operator, _ = limited
    assert operator.is_running()
    assert page_of(operator, "/healthz").code == 200
    shared_stage.check()


def served(*subjects):
    """Wait until each is looked at."""
    for subject in subjects:
        subject.says("ScalingActive", "True", "ValidMetricFound")


def test_what_is_forbidden_in_one_namespace_holds_up_no_other(shared_stage, limited):
    subjects = {name: shared_stage.subject(name, "web", 2) for name in RIGHTS if name != "doomed"}
    plain, no_scale, no_status, locked = subjects.values()
    served(plain, no_scale)
    for subject in subjects.values():
        subject.needs(4)
    assert 'cannot patch resource "deployments/scale"' in no_scale.says("AbleToScale", "False", "Forbidden", PATIENCE_S)
    for subject in (plain, no_status):
        subject.grows_to(4)
    plain.says("AbleToScale", "True", "SucceededRescale")
    time.sleep(INTERVAL_S)
    assert [write.code for write in no_scale.written(USER)] in ([403], [403, 403])
    refused = writes(shared_stage.scene.cluster, "scalingpolicies/status", users=[USER], namespace="no-status")
    assert 1 <= len(refused) <= 3
    assert {write.code for write in refused} == {403}
    assert no_status.status() == {}
    assert locked.written(USER) == []
    assert "AbleToScale" not in no_scale.events()
    assert "Forbidden" in no_scale.events()


def test_a_target_that_is_not_there_or_has_no_scale_is_named_and_waited_for(shared_stage, limited):
    scene = shared_stage.scene
    missing = shared_stage.policed(Subject(scene, "plain", "missing", "web-60", 2, {}))
    odd = {"scaleTargetRef": {"apiVersion": "v1", "kind": "ConfigMap", "name": "odd"}}
    odd = shared_stage.policed(Subject(scene, "plain", "odd", "web-60", 2, {}), **odd)
    strange = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deploiment", "name": "strange"}}
    strange = shared_stage.policed(Subject(scene, "plain", "strange", "web-60", 2, {}), **strange)
    missing.needs(4)
    assert "Deployment plain/missing does not exist" in missing.says("Ready", "False", "TargetNotFound")
    assert "no scale subresource" in odd.says("Ready", "False", "NoScaleSubresource")
    assert "Deploiment" in strange.says("Ready", "False", "KindNotFound")
    scene.make("/apis/apps/v1/namespaces/plain/deployments", a_deployment("missing", 2))
    missing.says("Ready", "True", "Served")
    missing.grows_to(4)


def test_a_target_that_is_made_again_is_another_one(shared_stage, limited):
    subject = shared_stage.subject("plain", "again", 2)
    served(subject)
    subject.needs(6)
    subject.grows_to(6)
    subject.ask("DELETE", subject.deployment)
    subject.says("AbleToScale", "False", "TargetNotFound")
    shared_stage.scene.make("/apis/apps/v1/namespaces/plain/deployments", a_deployment("again", 9))
    made_s = time.time()
    subject.says("AbleToScale", "True", "ReadyForNewScale")
    time.sleep(3 * INTERVAL_S)
    # six were enough of the one before, which would go on at once; of the new one that is not known for five minutes
    assert subject.written(USER, since_s=made_s) == []
    subject.needs(12)
    subject.grows_to(12)


def test_while_an_hpa_scales_the_target_too_ours_holds(shared_stage, limited):
    subject = shared_stage.subject("plain", "shared", 2)
    served(subject)
    hpas = "/apis/autoscaling/v2/namespaces/plain/horizontalpodautoscalers"
    shared_stage.scene.make(hpas, an_hpa("shared", 70, maximum=3, app=subject.app))
    assert "shared scales Deployment shared" in subject.says("Conflict", "True", "HorizontalPodAutoscaler")
    subject.needs(8)
    time.sleep(SETTLED_S)
    assert subject.written(USER) == []
    assert subject.ask("DELETE", f"{hpas}/shared").code == 200
    subject.says("Conflict", "False", "NobodyElse")
    subject.grows_to(8)
    assert {"Conflict", "ConflictEnded"} <= set(subject.events())


@pytest.mark.parametrize(
    ("how", "body"), [("DELETE", None), ("PATCH", {"spec": {"mode": "Shadow"}})], ids=["deleted", "edited"]
)
def test_a_policy_that_is_gone_or_another_in_the_middle_of_its_decision_writes_nothing(
    shared_stage, limited, how, body
):
    _, proxy = limited
    subject = shared_stage.subject("plain", f"changed-by-{how.lower()}", 2)
    served(subject)
    proxy.gate.clear()
    try:
        subject.needs(6)
        time.sleep(2.0)  # the rate follows
        asked = proxy.asked
        wait_for(lambda: proxy.asked, lambda now: now > asked, PATIENCE_S)
        assert subject.ask(how, subject.policy, body).code == 200
        time.sleep(TOLD_WITHIN_S)
    finally:
        proxy.gate.set()
    time.sleep(2 * INTERVAL_S)
    assert subject.written(USER) == []
    assert subject.size() == 2


def test_what_the_api_server_cannot_refuse_is_named_and_not_served_until_it_is_put_right(shared_stage, limited):
    subject = shared_stage.subject("plain", "invalid", 2)
    served(subject)
    window = {"schedule": "0 3 * * *", "duration": "1h", "action": "Freeze", "timeZone": "Europe/Atlantis"}
    wrong = {"spec": {"guardrails": {"freezeWindows": [window]}}}
    assert subject.ask("PATCH", subject.policy, wrong).code == 200
    message = subject.says("Ready", "False", "InvalidSpec")
    assert "spec.guardrails.freezeWindows[0].timeZone" in message
    assert "Europe/Atlantis" in message
    subject.needs(6)
    time.sleep(3 * INTERVAL_S)
    assert subject.written(USER) == []
    assert subject.ask("PATCH", subject.policy, {"spec": {"guardrails": {"freezeWindows": None}}}).code == 200
    subject.says("Ready", "True", "Served")
    subject.grows_to(6)


def test_a_namespace_that_ends_takes_its_policies_with_it(shared_stage, limited):
    """A finalizer keeps the Deployment and so the namespace for a while, and the policy that is to go."""
    subject = shared_stage.subject("doomed", "web", 2)
    served(subject)
    kept = {"metadata": {"finalizers": ["forescale.test/kept"]}}
    for path in (subject.deployment, subject.policy):
        assert subject.ask("PATCH", path, kept).code == 200
    assert subject.ask("DELETE", "/api/v1/namespaces/doomed").code == 200
    wait_for(lambda: subject.ask("GET", subject.policy).body["metadata"].get("deletionTimestamp"), bool)
    known = 'namespace="doomed",policy="web"'
    wait_for(lambda: known in page_of(limited[0], "/metrics").body, lambda is_known: not is_known)  # the watch tells
    gone_s = time.time()
    subject.needs(8)
    time.sleep(SETTLED_S)
    assert subject.written(USER, since_s=gone_s) == []
    for path in (subject.deployment, subject.policy):
        assert subject.ask("PATCH", path, {"metadata": {"finalizers": None}}).code == 200
    wait_for(lambda: subject.ask("GET", "/api/v1/namespaces/doomed").code, lambda code: code == 404)


@pytest.mark.story(begin=stuck)
def test_pods_that_never_come_are_not_answered_with_more_of_them(shared_stage):
    before, after, message, health = shared_stage.told(stuck)
    assert before == after
    assert max(after) <= 16
    assert "do not become ready" in message
    assert health == 200


@pytest.mark.story(begin=fought_over)
def test_a_rival_who_never_stops_is_let_be_and_named(shared_stage):
    message, known_s, theirs_per_s, ours, size = shared_stage.told(fought_over)
    assert '"competitor"' in message
    assert theirs_per_s >= RIVAL_PER_S_AT_LEAST
    assert {write.code for write in ours} <= {200, 409}
    assert 409 in {write.code for write in ours}
    assert all(write.fence for write in ours)  # nothing was forced
    assert most_at_once(ours) <= 2  # once more with the version of the moment, then not before the next decision
    assert len(ours) <= 2 * (3 + (ours[-1].asked_s - ours[0].asked_s) / INTERVAL_S)
    assert len([write for write in ours if write.done]) <= 4
    assert [write for write in ours if write.asked_s > known_s + 1.0] == []
    assert size in (3, 4)


def most_at_once(written):
    """Most writes of one decision, which takes moments."""
    times_s = [write.asked_s for write in written]
    return max(sum(0 <= other - first < 0.4 for other in times_s) for first in times_s)

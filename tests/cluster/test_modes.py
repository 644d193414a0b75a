"""What keeps a policy from writing, or from removing: modes, pauses, windows, conditions and conflicts, side by side on
the real operator. And other sources of load and other targets, which change nothing about it.

Load rises and falls, for all of them alike. What was written, and in which direction, is told by the API server's audit
log; status says why.
"""

import time
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import pytest

from tests.cluster.audit import SCALE, removals, sizes, writes
from tests.cluster.scene import wait_for
from tests.cluster.stage import INTERVAL_S, MERGE, PATIENCE_S, TARGET_RPS, Subject

pytestmark = pytest.mark.slow

USER = NAMESPACE = "modes"
APP = "web-63"
SIZE, PEAK = 3, 8
"""Replicas that the load is for, before it ends altogether."""
RELEASED_WITHIN_S = 180.0
"""A band gives up replicas that nobody has asked for in two minutes; this is some more."""
MARGIN_S = 20.0
"""Whoever would remove has done so some intervals after the one that does."""
ALWAYS = {"schedule": "* * * * *", "duration": "1h"}
"""When a window is open."""
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
STATEFUL = "stateful"


def guarded(**guardrails: Any) -> dict[str, Any]:
    """With these guardrails."""
    return {"guardrails": guardrails}


NEVER = {
    "shadow": {"mode": "Shadow"},
    "paused": {"paused": True},
    "frozen": guarded(freezeWindows=[{**ALWAYS, "action": "Freeze"}]),
    "conflict": {},
}
"""What is different about policies by which nothing is written."""

UP_ALONE = {
    "up-only": {"mode": "UpOnly"},
    "no-scale-down": guarded(freezeWindows=[{**ALWAYS, "action": "NoScaleDown"}]),
    "unhealthy": guarded(requireHealthy=[{"query": 'up{job="load"} < bool 1'}]),
    "health-unknown": guarded(requireHealthy=[{"query": 'up{job="load"}'}, {"query": 'up{job="nobody"}'}]),
}
"""... by which replicas are added, and none is removed."""

LABELS = [{"name": "namespace", "value": "default"}, {"name": "app", "value": APP}]
PRESET = {"kind": "HttpMetrics", "window": "10s", "labels": LABELS}
BAD_RATIO = f'0 * sum(rate(http_requests_total{{app="{APP}"}}[5s]))'
BOTH_WAYS = {
    "control": {},
    "healthy": guarded(requireHealthy=[{"query": 'up{job="load"}'}]),
    "bad-ratio": {"service": {"badRatioQuery": BAD_RATIO}},
    "preset": {"demand": {"preset": PRESET, "targetPerReplica": f"{TARGET_RPS:g}"}},
    STATEFUL: {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": STATEFUL}},
}
"""... by which replicas are added and removed."""

WHY = {
    "paused": "Paused",
    "frozen": "Frozen",
    "conflict": "Conflict",
    "up-only": "UpOnly",
    "no-scale-down": "NoScaleDown",
    "unhealthy": "Unhealthy",
    "health-unknown": "Unhealthy",
}
"""Among the reasons that are told when load has ended."""


@dataclass(frozen=True)
class Seen:
    """What came of all of them, by name."""

    sizes: dict[str, list[int]]
    """By the audit log."""
    status: dict[str, dict[str, Any]]

    def directions(self, name: str) -> str:
        """In which replicas were changed, the first one first."""
        ways = ["up" if after > before else "down" for before, after in pairwise(self.sizes[name])]
        return " ".join(way for way, _ in groupby(ways))


def modes(stage):
    """Load for some replicas, for many, for none."""
    stage.namespace(NAMESPACE)
    know_keda(stage)
    load(stage, SIZE)
    with stage.operator(USER, f"--namespace={NAMESPACE}", f"--lease-name={USER}"):
        subjects = {name: made(stage, name, wishes) for name, wishes in {**NEVER, **UP_ALONE, **BOTH_WAYS}.items()}
        for subject in subjects.values():
            subject.says("ScalingActive", "True", "ValidMetricFound")
        load(stage, PEAK)
        wait_for(lambda: small(subjects), lambda names: not names, PATIENCE_S)
        time.sleep(2 * INTERVAL_S)
        stage.scene.load.set([APP], 0.0)
        wait_for(lambda: removals(sizes_of(subjects["control"])), bool, RELEASED_WITHIN_S)
        time.sleep(MARGIN_S)
        told = {name: told_anew(subject) for name, subject in subjects.items()}
        return Seen({name: sizes_of(subject) for name, subject in subjects.items()}, told)


def load(stage, replicas):
    """For so many, of every one of them."""
    stage.scene.load.set([APP], (replicas - 0.5) * TARGET_RPS)


def made(stage, name, wishes):
    """A workload and its policy; who is in conflict has a ScaledObject, too."""
    spec = {"policyRef": {"name": "snvt"}, **wishes}
    if name == "conflict":
        reference = {"metadata": {"name": name}, "spec": {"scaleTargetRef": {"name": name}}}
        body = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", **reference}
        stage.scene.make(f"/apis/keda.sh/v1alpha1/namespaces/{NAMESPACE}/scaledobjects", body)
    if name != STATEFUL:
        return stage.subject(NAMESPACE, name, SIZE, app=APP, **spec)
    stage.scene.make(f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets", a_stateful_set(name))
    return stage.policed(Subject(stage.scene, NAMESPACE, name, APP, SIZE, {}), **spec)


def a_stateful_set(name):
    pod = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "web", "image": "none"}]}}
    wishes = {"replicas": SIZE, "serviceName": name, "podManagementPolicy": "Parallel", "template": pod}
    body = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}}
    return {**body, "spec": {**wishes, "selector": {"matchLabels": {"app": name}}}}


def know_keda(stage):
    """As much of KEDA as a watch on its objects takes."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "scaledobjects", "singular": "scaledobject", "kind": "ScaledObject"}
    wishes = {"group": "keda.sh", "scope": "Namespaced", "names": names, "versions": [version]}
    stage.scene.make(CRDS, {"metadata": {"name": "scaledobjects.keda.sh"}, "spec": wishes})
    path = f"/apis/keda.sh/v1alpha1/namespaces/{NAMESPACE}/scaledobjects"
    wait_for(lambda: stage.scene.cluster.request("GET", path).code, lambda code: code == 200)


def small(subjects):
    """Who should have been made larger, and was not yet."""
    return [name for name in (*UP_ALONE, *BOTH_WAYS) if sizes_of(subjects[name])[-1] < PEAK]


def sizes_of(subject):
    """What was made of a workload."""
    resource = "statefulsets/scale" if subject.name == STATEFUL else SCALE
    where = {"namespace": NAMESPACE, "name": subject.name}
    return sizes(SIZE, writes(subject.scene.cluster, resource, users=[USER], **where))


def told_anew(subject):
    """The status after the next decision: an edit of something else makes it worth telling."""
    answer = subject.scene.cluster.request("PATCH", subject.policy, {"spec": {"maxReplicas": 99}}, MERGE)
    generation = answer.body["metadata"]["generation"]
    return wait_for(subject.status, lambda seen: seen.get("observedGeneration") == generation, PATIENCE_S)


def condition(status, type_):
    """Status and reason."""
    return next((each["status"], each["reason"]) for each in status["conditions"] if each["type"] == type_)


@pytest.mark.story(begin=modes)
def test_what_forbids_a_change_forbids_it_in_its_direction_and_is_named(shared_stage):
    seen = shared_stage.told(modes)
    changed = {name: seen.directions(name) for name in seen.sizes}
    assert changed == {
        **dict.fromkeys(NEVER, ""),
        **dict.fromkeys(UP_ALONE, "up"),
        **dict.fromkeys(BOTH_WAYS, "up down"),
    }
    reasons = {name: seen.status[name]["lastDecision"]["reasons"] for name in WHY}
    assert {name: word for name, word in WHY.items() if word not in reasons[name]} == {}, reasons
    shared_stage.check()


@pytest.mark.story(begin=modes)
def test_status_tells_what_would_be_who_is_in_the_way_and_what_is_asked(shared_stage):
    status = shared_stage.told(modes).status
    (ready,) = [each for each in status["shadow"]["conditions"] if each["type"] == "Ready"]
    assert "nothing is written" in ready["message"]
    assert (status["shadow"]["currentReplicas"], status["shadow"]["desiredReplicas"]) == (SIZE, 1)
    assert condition(status["conflict"], "Conflict") == ("True", "ScaledObject")
    for name in ("unhealthy", "health-unknown"):
        assert condition(status[name], "ScalingLimited") == ("True", "Unhealthy")
    assert condition(status["no-scale-down"], "ScalingLimited") == ("True", "NoScaleDown")
    assert status["bad-ratio"]["queries"]["badRatio"] == BAD_RATIO
    assert status["preset"]["queries"]["demand"] == (
        f'sum(rate(http_requests_total{{namespace="default",app="{APP}"}}[10s]))'
    )

"""Deployments get pods: the real controllers and scheduler, on nodes that kwok plays."""

import json
import time
from contextlib import ExitStack
from datetime import datetime

import pytest

from tests.cluster.companions import STARTUP, add_node, controller_manager, kwok, scheduler
from tests.required import require

STARTUP_S = 4
WITHIN_S = 180


@pytest.fixture(scope="module")
def workloads(cluster):
    """A cluster on which pods come and go."""
    require("kube-controller-manager", "kube-scheduler", "kwok")
    with ExitStack() as stack:
        for companion in (controller_manager, scheduler, kwok):
            stack.enter_context(companion(cluster))
        add_node(cluster, "node-1")
        yield cluster


def a_deployment(name, replicas):
    labels = {"app": name}
    pod = {"labels": labels, "annotations": {STARTUP: f"{STARTUP_S}s"}}
    template = {"metadata": pod, "spec": {"containers": [{"name": "web", "image": "none"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def pods_of(cluster, name):
    return cluster.request("GET", f"/api/v1/namespaces/default/pods?labelSelector=app={name}").body["items"]


def ready_replicas(cluster, name):
    status = cluster.request("GET", f"/apis/apps/v1/namespaces/default/deployments/{name}").body["status"]
    return status.get("readyReplicas", 0)


def wait_for(seen, expected):
    give_up_s = time.monotonic() + WITHIN_S
    while (last := seen()) != expected:
        assert time.monotonic() < give_up_s, f"{last} in place of {expected} after {WITHIN_S} s"
        time.sleep(0.2)


def test_pods_are_ready_after_their_start_up_time_and_go_when_scaled_down(workloads):
    applied = workloads.kubectl("apply", "--filename=-", stdin=json.dumps(a_deployment("web", 3)))
    assert applied.returncode == 0, applied.stderr
    wait_for(lambda: ready_replicas(workloads, "web"), 3)
    for pod in pods_of(workloads, "web"):
        when = {entry["type"]: entry["lastTransitionTime"] for entry in pod["status"]["conditions"]}
        assert seconds(when["Ready"]) - seconds(when["PodScheduled"]) >= STARTUP_S - 1

    workloads.kubectl("scale", "deployment/web", "--replicas=1")
    wait_for(lambda: len(pods_of(workloads, "web")), 1)


def seconds(moment):
    return datetime.fromisoformat(moment).timestamp()

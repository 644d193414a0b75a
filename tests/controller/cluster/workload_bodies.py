"""Bodies and targets for the tests of what is known of workloads, and an API server that answers from a table."""

from typing import Any

from controller.cluster.api import ApiError
from controller.cluster.competitors import HPA, SCALED_OBJECT, Competitors
from controller.crd.resource import parse_policy
from controller.ports import Target


def a_deployment(name="web", replicas=3, version="100", uid="a", kind="Deployment", spec=None, managers=(), **status):
    """A settled workload of so many replicas; `status` says what is different."""
    settled = {"replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas}
    meta = {"namespace": "shop", "name": name, "uid": uid, "resourceVersion": version}
    entries = [a_manager(*each) for each in managers]
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": meta | ({"managedFields": entries} if entries else {}),
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}} | (spec or {}),
        "status": settled | status,
    }


def a_manager(name, time="2026-11-23T12:00:00Z", field="f:replicas"):
    """An entry of managedFields."""
    fields: dict[str, dict[str, dict[str, str]]] = {"f:spec": {field: {}}}
    return {"manager": name, "operation": "Update", "time": time, "subresource": "scale", "fieldsV1": fields}


def a_target(name="web", kind="Deployment", api_version="apps/v1", policy=None, mode="Auto"):
    """A policy's target in the namespace shop."""
    return Target(parse_policy(a_policy(policy or name, name, kind, api_version, mode)))


def a_policy(policy="web", name="web", kind="Deployment", api_version="apps/v1", mode="Auto", created="", uid=""):
    """A ScalingPolicy's body."""
    meta = {"name": policy, "namespace": "shop", "uid": uid or policy, "creationTimestamp": created}
    ref = {"apiVersion": api_version, "kind": kind, "name": name}
    demand = {"query": "up", "targetPerReplica": "70"}
    spec = {"scaleTargetRef": ref, "maxReplicas": 99, "mode": mode, "demand": demand}
    return {"apiVersion": "forescale.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": meta, "spec": spec}


def a_scale(replicas, version="100", uid="a", ready=None, selector="app=web"):
    """An answer of /scale, which leaves out a size of 0."""
    status = {"replicas": replicas if ready is None else ready, "selector": selector}
    meta = {"namespace": "shop", "name": "web", "uid": uid, "resourceVersion": version}
    return {"metadata": meta, "spec": {"replicas": replicas} if replicas else {}, "status": status}


def no_competitors():
    """Those of a cluster without HPAs and ScaledObjects."""
    competitors = Competitors()
    for kind in (HPA, SCALED_OBJECT):
        competitors.keep(kind, "", {}, ())
    return competitors


def an_error(code, message="no", verb="GET", path="/"):
    return ApiError(verb, path, code, "Reason", message)


APPS: dict[str, list[dict[str, Any]]] = {
    "resources": [
        {"name": "deployments", "namespaced": True, "kind": "Deployment"},
        {"name": "deployments/scale", "namespaced": True, "kind": "Scale"},
        {"name": "daemonsets", "namespaced": True, "kind": "DaemonSet"},
        {"name": "replicasets", "namespaced": True, "kind": "ReplicaSet"},
        {"name": "replicasets/scale", "namespaced": True, "kind": "Scale"},
        {"name": "clusterthings", "namespaced": False, "kind": "ClusterThing"},
        {"name": "clusterthings/scale", "namespaced": False, "kind": "Scale"},
    ]
}


OPS = {
    "resources": [
        {"name": "collectors", "namespaced": True, "kind": "Collector"},
        {"name": "collectors/scale", "namespaced": True, "kind": "Scale"},
        {"name": "revisions", "namespaced": True, "kind": "Revision"},
    ]
}
"""A group of an operator's: one kind with a scale, and one without."""


def owned(body, kind="Revision", *managers, controller=True, api_version="ops.dev/v1", bare=False):
    """The body, with an owner, and entries of managedFields for who set its size (name, subresource)."""
    owner = {"apiVersion": api_version, "kind": kind, "name": "o", "uid": "o", "controller": controller}
    fields: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
    entries: list[dict[str, Any]] = [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}]
    for manager, subresource in managers:
        entries.append({"manager": manager, "subresource": subresource, "time": SEEN, "fieldsV1": fields})
    meta = body["metadata"] | {"ownerReferences": [owner]} | ({} if bare else {"managedFields": entries})
    return body | {"metadata": meta}


SEEN = "2026-11-23T12:00:00Z"


class FakeApi:
    """Answers each path with what it is told, the last one again and again; remembers what it was asked."""

    def __init__(self):
        self.answers: dict[str, list[Any]] = {"/apis/apps/v1": [APPS], "/apis/ops.dev/v1": [OPS]}
        self.asked = []
        self.patches = []

    def will(self, path, *answers):
        self.answers[path] = list(answers)

    async def get(self, path, query=None, namespace=""):
        self.asked.append(path)
        return self._next(path)

    async def patch(self, path, body, query=None, within_s=None):
        self.patches.append((path, body() if callable(body) else body, query))
        return self._next(f"PATCH {path}")

    def _next(self, path):
        answers = self.answers.get(path, [an_error(403)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

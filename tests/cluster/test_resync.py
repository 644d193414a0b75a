"""Listings against a real API server: an object that changed without an event is read again."""

import asyncio
import copy

from controller.cluster.api import ApiSettings, KubeApi
from controller.cluster.watched import WatchedWorkloads, Workload
from controller.crd.tables import TargetRef
from controller.operator import resync as module
from controller.operator.resync import Kept, Resync
from controller.operator.told import Told
from tests.cluster.test_controlplane import DEPLOYMENT

NAMESPACE = "resync-tests"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
WEB = TargetRef("apps/v1", "Deployment", "web")


def test_a_change_that_no_event_told_of_is_found_by_a_listing(cluster, monkeypatch):
    monkeypatch.setattr(module, "SETTLES_S", 0.01)
    made = cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    assert made.code == 201
    deployment = cluster.request("POST", DEPLOYMENTS, copy.deepcopy(DEPLOYMENT)).body
    watched = WatchedWorkloads()
    told = Told(watched.note)
    kept = Kept("apps", "v1", "deployments", lambda: (), lambda *_: None, told=told)
    told.note("ADDED", {"apiVersion": "apps/v1", "kind": "Deployment", **deployment})
    cluster.request("PUT", f"{DEPLOYMENTS}/{WEB.name}", {**deployment, "spec": {**deployment["spec"], "replicas": 7}})

    async def run():
        async with KubeApi(ApiSettings(kubeconfig=cluster.kubeconfig)) as api:
            await Resync(api, [kept], [NAMESPACE]).compare()

    asyncio.run(run())
    found = watched.find(NAMESPACE, WEB)
    assert isinstance(found, Workload)
    assert found.replicas == 7

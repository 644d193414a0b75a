"""Reading and writing scales on a real API server; what was written is counted in its audit log."""

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

import pytest

from controller.cluster.api import ApiSettings, KubeApi
from controller.cluster.discovery import Discovery
from controller.cluster.startup import Startups
from controller.cluster.watched import WATCHED, WatchedWorkloads, Workload, read_workload
from controller.cluster.workloads import ClusterWorkloads
from controller.ports import Scale, Target
from scaling.decision import Reason
from scaling.errors import InputError
from tests.cluster.companions import STARTUP, add_node, controller_manager, kwok, scheduler
from tests.cluster.controlplane import Cluster
from tests.controller.cluster.workload_bodies import a_target, no_competitors
from tests.required import require

SHOP = "/apis/apps/v1/namespaces/shop/deployments"
SERVED_WITHIN_S = 180
MOVED_WITHIN_S = 180
MERGE = "application/merge-patch+json"
NAMES = count()

WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                        "labelSelectorPath": ".status.selector",
                    },
                },
            }
        ],
    },
}


@pytest.fixture(scope="module")
def shop(cluster):
    """A namespace, and a kind with a scale that the API server did not bring."""
    cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
    assert cluster.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", WIDGETS).code == 201
    give_up_s = time.monotonic() + SERVED_WITHIN_S
    while cluster.request("GET", "/apis/example.com/v1/namespaces/shop/widgets").code != 200:
        assert time.monotonic() < give_up_s, "widgets are not served"
        time.sleep(0.1)
    return cluster


@dataclass
class Scene:
    """One Deployment of three and an operator of its own user, watching or not."""

    cluster: Cluster
    kinds: tuple[tuple[str, str], ...] = WATCHED
    groups: str = "/O=system:masters"
    name: str = field(default_factory=lambda: f"web-{next(NAMES)}")
    leads: bool = True
    renewed: list[Target] = field(default_factory=list)

    def __post_init__(self):
        self.user = f"operator-of-{self.name}"
        self.target = a_target(self.name)
        self.watched = WatchedWorkloads(kinds=self.kinds)
        self.path = f"{SHOP}/{self.name}"
        self.create()

    def create(self, replicas=3):
        assert self.cluster.request("POST", SHOP, deployment(self.name, replicas)).code == 201
        self.watch()

    def watch(self):
        """Let the watch tell how the Deployment is now."""
        self.watched.note(None, self.cluster.request("GET", self.path).body)

    def competitor(self, replicas, manager="competitor"):
        patch = {"spec": {"replicas": replicas}}
        assert self.cluster.request("PATCH", f"{self.path}/scale?fieldManager={manager}", patch, MERGE).code == 200

    def belongs_to(self, api_version, kind):
        owner = {"apiVersion": api_version, "kind": kind, "name": "o", "uid": "o", "controller": True}
        patch = {"metadata": {"ownerReferences": [owner]}}
        assert self.cluster.request("PATCH", self.path, patch, MERGE).code == 200
        self.watch()

    def read(self):
        return self.run(lambda workloads, api: workloads.scale(self.target, 0.0))

    def status(self, **status):
        assert self.cluster.request("PATCH", f"{self.path}/status", {"status": status}, MERGE).code == 200

    def replicas(self):
        return self.cluster.request("GET", self.path).body["spec"]["replicas"]

    def run(self, use):
        """What comes of using the workloads."""

        async def connected():
            kubeconfig = self.cluster.certificates.kubeconfig(self.cluster.address, f"{self.groups}/CN={self.user}")
            async with KubeApi(ApiSettings(kubeconfig=kubeconfig)) as api:
                competitors = no_competitors()
                args = (api, self.watched, Discovery(api), competitors, lambda: self.leads, self.renewed.append)
                return await use(ClusterWorkloads(*args), api)

        return asyncio.run(connected())

    def asked_to_write(self):
        """Each patch of a scale by this operator: its answer, and the size it asked for."""
        return [
            (event["responseStatus"]["code"], event.get("requestObject", {}).get("spec", {}).get("replicas"))
            for event in self.cluster.audited()
            if event["user"]["username"] == self.user and event["verb"] not in ("get", "list")
        ]


def deployment(name, replicas):
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "none"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def writing(target, replicas, meanwhile=lambda: None):
    """Look, let something happen, write."""

    async def use(workloads, api):
        seen = await workloads.scale(target, 0.0)
        meanwhile()
        refused = await workloads.set_replicas(target, seen, replicas, 0.0)
        return refused and refused.reason, await workloads.scale(target, 15.0)

    return use


def test_a_write_is_one_patch_in_our_name_and_seen_at_once(shop):
    scene = Scene(shop)
    assert scene.run(writing(scene.target, 8)) == (None, Scale(8, 0))
    assert scene.asked_to_write() == [(200, 8)]
    scene.watch()
    record = scene.watched.find("shop", scene.target.resource.target)
    assert isinstance(record, Workload)
    assert (record.replicas, [manager.name for manager in record.managers]) == (8, ["forescale"])


def test_a_rival_who_writes_in_between_is_not_overwritten(shop):
    scene = Scene(shop)
    assert scene.run(writing(scene.target, 8, lambda: scene.competitor(5))) == ("ChangedMeanwhile", Scale(5, 0))
    assert scene.replicas() == 5
    assert scene.asked_to_write() == [(409, 8)]


@pytest.mark.parametrize("kinds", [WATCHED, ()], ids=["watched", "asked for"])
def test_what_its_owners_controller_sized_is_scaled_once_a_scaling_of_it_stays(shop, kinds):
    scene = Scene(shop, kinds=kinds)
    scene.belongs_to("ops.example.com/v1", "Revision")
    assert "belongs to Revision o, and" in scene.read().message
    scene.competitor(5, "kubectl")
    scene.watch()
    assert scene.read().replicas == 5
    patch = {"spec": {"replicas": 3}}  # not through /scale, as a controller does
    assert scene.cluster.request("PATCH", f"{scene.path}?fieldManager=ops", patch, MERGE).code == 200
    scene.watch()
    assert "belongs to Revision o, and ops sets its spec.replicas" in scene.read().message


def test_what_belongs_to_an_object_with_a_scale_is_left_to_that(shop):
    scene = Scene(shop)
    scene.belongs_to("example.com/v1", "Widget")
    assert scene.read().message.endswith("belongs to Widget o, which scales it: name that one instead")


def test_a_status_that_moved_the_version_on_is_no_rival(shop):
    scene = Scene(shop)
    assert scene.run(writing(scene.target, 8, lambda: scene.status(replicas=3, readyReplicas=2)))[0] is None
    assert scene.replicas() == 8
    assert scene.asked_to_write() == [(409, 8), (200, 8)]


def test_without_the_lease_the_server_hears_nothing(shop):
    scene = Scene(shop, leads=False)
    assert scene.run(writing(scene.target, 8))[0] == "NotLeader"
    assert scene.asked_to_write() == []


def test_zero_and_back(shop):
    scene = Scene(shop)
    for replicas in (0, 4):
        assert scene.run(writing(scene.target, replicas))[0] is None
        scene.watch()
        assert scene.replicas() == replicas
    assert scene.run(lambda workloads, api: workloads.scale(scene.target, 0.0)) == Scale(4, 0)


def test_a_deployment_is_scaled_without_a_watch(shop):
    scene = Scene(shop, kinds=())
    scene.status(replicas=3, readyReplicas=1)
    seen, *rest = scene.run(lambda workloads, api: both(workloads, scene.target))
    assert (seen, *rest) == (Scale(3, 3), None, Scale(0, 3), f"app={scene.name}")
    assert scene.asked_to_write() == [(200, 0)]


async def both(workloads, target):
    seen = await workloads.scale(target, 0.0)
    refused = await workloads.set_replicas(target, seen, 0, 0.0)
    return seen, refused, await workloads.scale(target, 15.0), workloads.selector(target)


def test_a_kind_of_the_users_own_is_scaled_by_its_scale(shop):
    scene = Scene(shop)
    place = "/apis/example.com/v1/namespaces/shop/widgets"
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"replicas": 2}}
    assert shop.request("POST", place, widget).code == 201
    target = a_target("w", "Widget", "example.com/v1")

    status = {"status": {"replicas": 2, "selector": "app=w"}}

    def moved():
        assert shop.request("PATCH", f"{place}/w/status", status, MERGE).code == 200

    assert scene.run(writing(target, 6, moved)) == (None, Scale(6, 6, ready_known=False))
    assert shop.request("GET", f"{place}/w").body["spec"]["replicas"] == 6
    assert scene.run(lambda workloads, api: workloads.scale(target, 0.0)) == Scale(6, 2)
    assert [code for code, _ in scene.asked_to_write()] == [409, 200]


@pytest.mark.parametrize(
    ("spec", "seen"),
    [
        ({"replicas": 4}, Scale(4, 4, ready_known=False)),
        ({}, 'the spec replicas field ".spec.replicas" does not exist'),
    ],
)
def test_a_kind_whose_controller_fills_in_no_status_or_no_replicas(shop, spec, seen):
    scene, name = Scene(shop), f"w-{len(str(spec))}"
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}
    assert shop.request("POST", "/apis/example.com/v1/namespaces/shop/widgets", widget).code == 201
    target = a_target(name, "Widget", "example.com/v1")
    found = scene.run(lambda workloads, api: workloads.scale(target, 0.0))
    if isinstance(found, Scale):
        assert found == seen
    else:
        assert found.reason == "InvalidScale"
        assert seen in found.message


@pytest.mark.parametrize(
    ("api_version", "kind", "reason"),
    [
        ("apps/v1", "ControllerRevision", "NoScaleSubresource"),
        ("v1", "Secret", "NoScaleSubresource"),
        ("v1", "Node", "KindNotFound"),
        ("apps/v1", "Deploiment", "KindNotFound"),
        ("apps/v9", "Deployment", "KindNotFound"),
    ],
)
def test_what_has_no_scale_is_refused(shop, api_version, kind, reason):
    scene = Scene(shop)
    target = a_target("w", kind, api_version)
    assert scene.run(lambda workloads, api: workloads.scale(target, 0.0)).reason == reason


def test_a_daemon_set_is_refused_before_anybody_is_asked():
    with pytest.raises(InputError, match="apps/v1 DaemonSet has no scale subresource"):
        a_target(kind="DaemonSet")


def test_a_user_who_may_read_and_not_write_is_told_what_is_missing(shop):
    scene = Scene(shop, groups="/O=readers")
    rule = {"apiGroups": ["apps"], "resources": ["deployments", "deployments/scale"], "verbs": ["get"]}
    granted(shop, f"reads-{scene.name}", scene.user, rule)

    async def use(workloads, api):
        seen = await workloads.scale(scene.target, 0.0)
        return [await workloads.set_replicas(scene.target, seen, 8, 0.0) for _ in range(3)]

    first, *others = scene.run(use)
    assert first.reason == "Forbidden"
    assert first.message.startswith("patch of deployments/scale in namespace shop: ")
    assert f'User "{scene.user}" cannot patch resource "deployments/scale"' in first.message
    assert others == [first, first]
    assert [code for code, _ in scene.asked_to_write()] == [403]
    assert scene.replicas() == 3


def granted(cluster, name, user, *rules):
    group = "rbac.authorization.k8s.io"
    place = f"/apis/{group}/v1/namespaces/shop"
    assert cluster.request("POST", f"{place}/roles", {"metadata": {"name": name}, "rules": rules}).code == 201
    subject = {"kind": "User", "apiGroup": group, "name": user}
    role = {"kind": "Role", "apiGroup": group, "name": name}
    body = {"metadata": {"name": name}, "subjects": [subject], "roleRef": role}
    assert cluster.request("POST", f"{place}/rolebindings", body).code == 201


def test_a_target_made_again_is_another_one(shop):
    scene = Scene(shop)

    def made_again():
        assert shop.request("DELETE", scene.path).code == 200
        assert shop.request("POST", SHOP, deployment(scene.name, 3)).code == 201

    async def use(workloads, api):
        first = await writing(scene.target, 8, made_again)(workloads, api)
        told_before = list(scene.renewed)
        scene.watch()
        return first[0], told_before, await workloads.scale(scene.target, 30.0)

    assert scene.run(use) == ("ChangedMeanwhile", [], Scale(3, 0))
    assert scene.renewed == [scene.target]
    assert scene.replicas() == 3


def test_a_target_that_is_gone_is_not_found(shop):
    scene = Scene(shop)
    refused, _ = scene.run(writing(scene.target, 8, lambda: shop.request("DELETE", scene.path)))
    assert refused == "TargetNotFound"


def test_who_undoes_our_writes_is_known_by_name_and_let_be(shop):
    scene = Scene(shop)

    async def use(workloads, api):
        for now_s in (0.0, 15.0):
            seen = await workloads.scale(scene.target, now_s)
            assert await workloads.set_replicas(scene.target, seen, 8, 0.0) is None
            scene.competitor(3, "argocd-controller")
            scene.watch()
        return await workloads.scale(scene.target, 30.0)

    scale = scene.run(use)
    assert scale.holds == (Reason.CONFLICT,)
    assert '"argocd-controller" set spec.replicas of Deployment' in scale.competitor.message


def test_start_up_is_measured_on_the_pods_that_are_there(shop):
    scene = Scene(shop)
    shop.request("POST", "/api/v1/namespaces/shop/serviceaccounts", {"metadata": {"name": "default"}})
    for number, seconds in enumerate((20, 40, 60)):
        add_pod(shop, scene.name, f"{scene.name}-{number}", seconds)
    add_pod(shop, "another", f"{scene.name}-another", 600)

    async def use(workloads, api):
        startups = Startups(api, workloads.selector)
        seen = await workloads.scale(scene.target, 0.0)
        assert startups.due(scene.target, Scale(seen.replicas, 3), 0.0)
        return await startups.measure(scene.target, 0.0)

    assert scene.run(use) == 40


def add_pod(cluster, app, name, startup_s):
    place = "/api/v1/namespaces/shop/pods"
    spec = {"containers": [{"name": "web", "image": "none"}]}
    pod = cluster.request("POST", place, {"metadata": {"name": name, "labels": {"app": app}}, "spec": spec})
    assert pod.code == 201, pod.body
    ready = datetime.fromisoformat(pod.body["metadata"]["creationTimestamp"]) + timedelta(seconds=startup_s)
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": f"{ready:%Y-%m-%dT%H:%M:%SZ}"}
    status = {"phase": "Running", "conditions": [condition]}
    assert cluster.request("PATCH", f"{place}/{name}/status", {"status": status}, MERGE).code == 200


# With controllers that move pods; last, since they take up what the tests before have left


@pytest.fixture(scope="module")
def moving(shop):
    """The same namespace, in which Deployments get pods."""
    require("kube-controller-manager", "kube-scheduler", "kwok")
    with ExitStack() as stack:
        for companion in (controller_manager, scheduler, kwok):
            stack.enter_context(companion(shop))
        add_node(shop, "node-of-the-shop")
        yield shop


@pytest.mark.parametrize("strategy", ["RollingUpdate", "Recreate"])
def test_a_rollout_is_seen_and_a_scaling_is_not_taken_for_one(moving, strategy):
    path = f"{SHOP}/rolls-{strategy.lower()}"
    body = deployment(path.rpartition("/")[2], 3)
    body["spec"] |= {"strategy": {"type": strategy}}
    body["spec"]["template"]["metadata"]["annotations"] = {STARTUP: "2s"}
    assert moving.request("POST", SHOP, body).code == 201
    assert seen_until(moving, path, 3)[-1] is False
    patched(moving, f"{path}/scale", {"replicas": 6})
    assert set(seen_until(moving, path, 6)) == {False}
    patched(moving, path, {"template": {"metadata": {"annotations": {"release": "2"}}}})
    seen = seen_until(moving, path, 6)
    assert seen[-1] is False
    assert True in seen


def patched(cluster, path, spec):
    assert cluster.request("PATCH", path, {"spec": spec}, MERGE).code == 200


def seen_until(cluster, path, ready):
    """Whether a rollout was in progress, at each look until so many pods are ready, and all of them updated."""
    seen = []
    give_up_s = time.monotonic() + MOVED_WITHIN_S
    while True:
        body = cluster.request("GET", path).body
        status = body["status"]
        seen.append(read_workload(body).rollout)
        observed = status.get("observedGeneration") == body["metadata"]["generation"]
        settled = all(status.get(each) == ready for each in ("replicas", "readyReplicas", "updatedReplicas"))
        if observed and settled and not seen[-1]:
            return seen
        assert time.monotonic() < give_up_s, body["status"]
        time.sleep(0.05)

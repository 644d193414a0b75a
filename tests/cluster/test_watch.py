"""kopf's watches on a real API server: what they tell, and that nothing ends them."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from controller.cluster.api_access import ApiSettings
from controller.operator.watch import Watch, Watched
from tests.cluster.controlplane import control_plane
from tests.cluster.stage import RBAC, a_binding, with_token
from tests.cluster.test_crd import named, place, wait_until_served
from tests.controller.crd.test_schema import DEFINITION


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory):
    """One of our own, as its API server is killed, with the definition and a namespace."""
    with control_plane(tmp_path_factory.mktemp("watched")) as cluster:
        for arguments in (("create", "namespace", "shop"), ("apply", "--filename", str(DEFINITION))):
            ended = cluster.kubectl(*arguments)
            assert ended.returncode == 0, ended.stderr
        wait_until_served(cluster)
        yield cluster


class Told:
    """Events in the order in which they came."""

    def __init__(self):
        self.events: list[tuple[str | None, str]] = []

    def note(self, event, body):
        self.events.append((event, body["metadata"]["name"]))

    async def until(self, name, *events, within_s=180.0):
        """Wait for one of these events about an object."""
        give_up_s = time.monotonic() + within_s
        while not any((event, name) in self.events for event in events):
            assert time.monotonic() < give_up_s, (name, events, self.events)
            await asyncio.sleep(0.1)


def watching(cluster, story, kubeconfig=None):
    async def work():
        told = Told()
        access = ApiSettings(kubeconfig=kubeconfig or Path(cluster.kubeconfig))
        watch = Watch([Watched("forescale.dev", "v1alpha1", "scalingpolicies", told.note)], access)
        watch.start()
        try:
            await story(told, watch)
        finally:
            await watch.stop()
        assert not watch.is_running()
        return told

    return asyncio.run(work())


def make(cluster, name):
    answer = cluster.make(place("shop"), named(name))
    assert answer.code == 201, answer.body


def test_events_are_told_and_a_killed_api_server_ends_nothing(own_cluster):
    cluster = own_cluster
    make(cluster, "listed")

    async def story(told, watch):
        await told.until("listed", None)
        make(cluster, "added")
        await told.until("added", "ADDED")
        cluster.api_server.kill()
        await asyncio.sleep(3)
        cluster.api_server.start()
        make(cluster, "later")
        await told.until("later", "ADDED", None)  # None where all was listed anew
        cluster.request("DELETE", f"{place('shop')}/added")
        await told.until("added", "DELETED")

    watching(cluster, story)


def test_begun_anew_it_lists_everything_again(own_cluster):
    make(own_cluster, "twice")

    async def story(told, watch):
        await told.until("twice", None)
        told.events.clear()
        watch.restart()
        await told.until("twice", None)

    watching(own_cluster, story)


def test_a_token_that_is_still_being_written_is_waited_for(own_cluster, tmp_path):
    cluster, accounts = own_cluster, "/api/v1/namespaces/shop/serviceaccounts"
    assert cluster.request("POST", accounts, {"metadata": {"name": "me"}}).code == 201
    binding = a_binding("me", [("User", "system:serviceaccount:shop:me")], "cluster-admin")
    assert cluster.request("POST", f"{RBAC}/clusterrolebindings", binding).code == 201
    granted = cluster.request("POST", f"{accounts}/me/token", {"spec": {}}).body["status"]["token"]
    make(cluster, "awaited")
    (tmp_path / "token").write_text("")

    async def story(told, watch):
        await asyncio.sleep(3)
        (tmp_path / "token").write_text(granted)
        await told.until("awaited", None)

    watching(cluster, story, with_token(cluster.kubeconfig, tmp_path / "token", tmp_path / "kubeconfig"))


def test_watches_act_for_another_where_the_kubeconfig_says_so(own_cluster, tmp_path):
    cluster = own_cluster
    make(cluster, "seen-by-another")
    binding = a_binding("another", [("User", "another")], "cluster-admin")
    assert cluster.request("POST", f"{RBAC}/clusterrolebindings", binding).code == 201
    content = json.loads(Path(cluster.kubeconfig).read_text())
    content["users"][0]["user"]["as"] = "another"
    (tmp_path / "kubeconfig").write_text(json.dumps(content))

    async def story(told, watch):
        await told.until("seen-by-another", None)

    watching(cluster, story, tmp_path / "kubeconfig")
    by_another = [event for event in cluster.audited() if (event.get("impersonatedUser") or {}).get("username")]
    assert {event["impersonatedUser"]["username"] for event in by_another} == {"another"}
    assert any("watch=true" in event["requestURI"] for event in by_another)


def test_nothing_is_written_on_what_is_watched(own_cluster):
    cluster = own_cluster
    make(cluster, "untouched")

    async def story(told, watch):
        await told.until("untouched", None)
        await asyncio.sleep(2)

    watching(cluster, story)
    body = cluster.request("GET", f"{place('shop')}/untouched").body
    assert body["metadata"]["generation"] == 1
    assert not body["metadata"].get("finalizers")
    assert not body["metadata"].get("annotations")

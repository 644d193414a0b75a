import asyncio

import numpy as np
import pytest

from controller.cluster.backoff import FORBIDDEN, MISSING, SILENT
from controller.cluster.competitors import HPA
from controller.cluster.discovery import Discovery
from controller.cluster.lease import LeaseSettings
from controller.cluster.watched import WatchedWorkloads
from controller.cluster.workloads import KEPT_S, NEWS_KEPT_S, WRITE_WITHIN_S, ClusterWorkloads, ReadOnlyWorkloads
from controller.ports import Refused, Scale, Target
from scaling.decision import Reason
from tests.controller.cluster.test_competitors import an_hpa
from tests.controller.cluster.workload_bodies import (
    FakeApi,
    a_deployment,
    a_policy,
    a_scale,
    a_target,
    an_error,
    no_competitors,
    owned,
)

SCALE = "/apis/apps/v1/namespaces/shop/deployments/web/scale"
SET_SCALE = "/apis/apps/v1/namespaces/shop/replicasets/web/scale"
SET = {"kind": "ReplicaSet"}


class Scene:
    """One target, the API server and the watch as the test wants them, and what came of it."""

    def __init__(self, *bodies, kind="Deployment", mode="Auto"):
        self.api, self.watched, self.competitors = FakeApi(), WatchedWorkloads(), no_competitors()
        self.leads, self.renewed = True, list[Target]()
        self.workloads = ClusterWorkloads(
            self.api, self.watched, Discovery(self.api), self.competitors, lambda: self.leads, self.renewed.append
        )
        self.target = a_target(kind=kind, mode=mode)
        self.tell(*bodies)
        self.watched.keep("apps/v1", "Deployment", "", {}, ())

    def tell(self, *bodies):
        for body in bodies:
            self.watched.note("MODIFIED", body)

    def read(self, now_s=0.0):
        return asyncio.run(self.workloads.scale(self.target, now_s))

    def write(self, replicas, now_s=0.0, seen=None):
        async def run():
            found = await self.workloads.scale(self.target, now_s)
            assert isinstance(found, Scale)
            return await self.workloads.set_replicas(self.target, seen or found, replicas, now_s)

        return asyncio.run(run())

    @property
    def fences(self):
        return [(body["metadata"]["resourceVersion"], body["spec"]["replicas"]) for _, body, _ in self.api.patches]


# Reading what is watched


def test_a_watched_scale_costs_no_request():
    scene = Scene(a_deployment(replicas=3, readyReplicas=2))
    assert scene.read() == Scale(3, 2)
    assert scene.api.asked == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(a_deployment("other"), "TargetNotFound", id="not-there"),
        pytest.param(
            a_deployment() | {"metadata": a_deployment()["metadata"] | {"deletionTimestamp": "now"}},
            "TargetNotFound",
            id="going",
        ),
    ],
)
def test_a_target_that_is_not_there_is_refused(body, reason):
    assert Scene(body).read().reason == reason


def test_a_target_that_the_watch_has_not_told_of_yet_is_refused_as_such():
    scene = Scene()
    scene.watched.keep("apps/v1", "Deployment", "", {"a": "shop/web"}, ())
    assert scene.read().reason == "NotSynced"


def test_what_stands_against_a_change_is_said():
    scene = Scene(a_deployment(updatedReplicas=1))
    scene.competitors.note_policy(None, a_policy("older"))
    scene.competitors.note_policy(None, a_policy("web", created="2026-11-23T12:00:00Z"))
    competitor = Refused("ScalingPolicy", "ScalingPolicy older is older and scales Deployment web already")
    assert scene.read() == Scale(3, 3, (Reason.CONFLICT, Reason.ROLLOUT), competitor)


def test_the_older_of_two_policies_goes_on_and_knows_who_waits():
    scene = Scene(a_deployment())
    scene.competitors.note_policy(None, a_policy("web"))
    scene.competitors.note_policy(None, a_policy("newer", created="2026-11-23T12:00:00Z"))
    found = scene.read()
    assert (found.holds, found.competitor, found.waiting.reason) == ((), None, "TargetShared")


def test_a_policy_in_shadow_has_no_conflict():
    scene = Scene(a_deployment(), mode="Shadow")
    scene.competitors.note_policy(None, a_policy("older"))
    assert scene.read().holds == ()


def test_a_target_made_again_is_told_once_and_before_its_scale():
    scene = Scene(a_deployment(uid="old"))
    scene.read()
    scene.watched.note("DELETED", a_deployment(uid="old"))
    assert scene.read().reason == "TargetNotFound"
    assert scene.renewed == []
    scene.tell(a_deployment(uid="new", version="200"))
    assert [scene.read(), scene.read()] == [Scale(3, 3)] * 2
    assert scene.renewed == [scene.target]


# Reading what is not watched


def test_another_kinds_scale_is_asked_for_and_kept_a_minute():
    scene = Scene(kind="ReplicaSet")
    scene.api.will(SET_SCALE, a_scale(0), a_scale(5, ready=4))
    assert [scene.read(0.0), scene.read(0.7 * KEPT_S), scene.read(1.3 * KEPT_S)] == [Scale(0, 0)] * 2 + [Scale(5, 4)]
    owner = SET_SCALE.removesuffix("/scale")
    assert scene.api.asked == ["/apis/apps/v1", owner, SET_SCALE, owner, SET_SCALE]
    assert scene.workloads.selector(scene.target) == "app=web"


def without(body, *places):
    """The body of a /scale without these parts of its status; all of it for none."""
    status = {name: value for name, value in body["status"].items() if name not in places} if places else None
    return {name: value for name, value in body.items() if name != "status"} | ({"status": status} if status else {})


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(without(a_scale(5)), id="no-status"),
        pytest.param({**a_scale(5), "status": None}, id="status-null"),
        pytest.param({**a_scale(5), "status": {}}, id="status-empty"),
        pytest.param(without(a_scale(5), "replicas"), id="no-replicas"),
        pytest.param(a_scale(5, ready=0) | {"status": {"replicas": None}}, id="replicas-null"),
        pytest.param(a_scale(5, ready=0), id="zero-as-the-api-server-fills-it-in"),
        pytest.param(a_scale(5, ready=0, selector=""), id="zero-and-no-selector"),
    ],
)
def test_readiness_that_is_not_told_is_what_was_asked_for_and_said_to_be_unknown(body):
    scene = Scene(kind="ReplicaSet")
    scene.api.will(SET_SCALE, body)
    assert scene.read() == Scale(5, 5, ready_known=False)


def test_readiness_that_is_not_told_follows_our_own_write():
    scene = Scene(kind="ReplicaSet")
    scene.api.will(SET_SCALE, without(a_scale(5)))
    scene.read()
    scene.api.will(f"PATCH {SET_SCALE}", without(a_scale(8, version="101")))
    assert scene.write(8, seen=Scale(5, 5, uid="a")) is None
    assert scene.read(1.0) == Scale(8, 8, ready_known=False)


def test_zero_is_zero_of_a_workload_whose_replicas_were_told_of_before():
    scene = Scene(kind="ReplicaSet")
    scene.api.will(SET_SCALE, a_scale(5, ready=4), a_scale(5, ready=0))
    assert [scene.read(0.0), scene.read(1.3 * KEPT_S)] == [Scale(5, 4), Scale(5, 0)]


@pytest.mark.parametrize(
    "message",
    [
        'Internal error occurred: the spec replicas field ".spec.replicas" does not exist',
        ".spec.replicas accessor error: two is of the type string, expected int64",
    ],
)
def test_a_custom_resource_without_the_fields_of_its_scale_is_not_an_api_server_that_fails(message):
    scene = Scene(kind="ReplicaSet")
    scene.api.will(SET_SCALE, an_error(500, message))
    refused = scene.read()
    assert refused.reason == "InvalidScale"
    assert message in refused.message


def test_a_deployment_is_asked_for_where_it_is_not_watched():
    api = FakeApi()
    api.will(SCALE, a_scale(5))
    workloads = ReadOnlyWorkloads(api, WatchedWorkloads(kinds=()), Discovery(api), no_competitors())
    assert asyncio.run(workloads.scale(a_target(), 0.0)) == Scale(5, 5)
    assert not hasattr(workloads, "set_replicas")


@pytest.mark.parametrize(
    ("code", "reason", "left_alone_s"),
    [
        (404, "TargetNotFound", MISSING.first_s),
        (403, "Forbidden", FORBIDDEN.first_s),
        (503, "ApiUnavailable", SILENT.first_s),
        (None, "ApiUnavailable", SILENT.first_s),
    ],
)
def test_a_scale_that_cannot_be_read_is_refused_and_left_alone_for_a_while(code, reason, left_alone_s):
    scene = Scene(kind="ReplicaSet")
    scene.api.will(SET_SCALE, an_error(code))
    assert [scene.read(0.0).reason, scene.read(0.7 * left_alone_s).reason] == [reason, reason]
    assert scene.api.asked.count(SET_SCALE) == 1
    scene.read(1.3 * left_alone_s)
    assert scene.api.asked.count(SET_SCALE) == 2


@pytest.mark.parametrize(
    ("code", "reason", "backoff", "words"),
    [
        (404, "TargetNotFound", MISSING, "6 min"),
        (403, "Forbidden", FORBIDDEN, "4 min"),
        (400, "Invalid", MISSING, "6 min"),
        (None, "ApiUnavailable", SILENT, "4 min"),
    ],
)
def test_a_target_that_cannot_be_read_is_asked_for_ever_less_often(code, reason, backoff, words):
    scene = Scene(kind="ReplicaSet")
    scene.api.will(SET_SCALE, an_error(code))
    put_off: list[str] = []
    scene.workloads.on_backoff = put_off.append
    asked_s = []
    for now_s in range(0, 3600, 5):
        before = scene.api.asked.count(SET_SCALE)
        found = scene.read(float(now_s))
        assert (found.reason, found.message.split("; ")[-1]) == (reason, f"the operator looks again within {words}")
        asked_s += [now_s] * (scene.api.asked.count(SET_SCALE) - before)
    pauses_s = np.diff(asked_s)
    assert 0.8 * backoff.first_s <= pauses_s[0] <= 1.2 * backoff.first_s + 5
    assert 0.8 * backoff.longest_s <= pauses_s[-1] <= 1.2 * backoff.longest_s + 5
    assert put_off == [reason] * len(pauses_s)

    scene.api.will(SET_SCALE, a_scale(5))
    assert scene.read(3600.0 + 1.2 * backoff.longest_s) == Scale(5, 5)
    scene.api.will(SET_SCALE, an_error(code))
    scene.read(5000.0)
    scene.read(5000.0 + 1.2 * backoff.first_s)
    assert scene.api.asked.count(SET_SCALE) == len(asked_s) + 3  # from the first pause again


def test_a_replica_set_that_does_not_exist_costs_one_request():
    scene = Scene(kind="ReplicaSet")
    scene.api.will(SET_SCALE.removesuffix("/scale"), an_error(404))
    assert scene.read().reason == "TargetNotFound"
    assert scene.api.asked == ["/apis/apps/v1", SET_SCALE.removesuffix("/scale")]


def test_what_was_not_answered_is_asked_again_once_the_api_server_is_back():
    scene = Scene(kind="ReplicaSet")
    scene.api.will(SET_SCALE, an_error(None))
    for now_s in (0.0, 20.0, 60.0, 140.0):
        scene.read(now_s)
    scene.workloads.ask_again()
    scene.api.will(SET_SCALE, a_scale(5))
    assert scene.read(141.0) == Scale(5, 5)


@pytest.mark.parametrize(("kind", "reason"), [("Deploiment", "KindNotFound"), ("DaemonSets", "KindNotFound")])
def test_a_kind_that_cannot_be_scaled_is_refused(kind, reason):
    assert Scene(kind=kind).read().reason == reason


DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}


@pytest.mark.parametrize(
    ("owners", "found"),
    [
        ([], Scale(5, 5)),
        ([{"kind": "Rollout", "name": "web"}], Scale(5, 5)),
        (
            [{**DEPLOYMENT, "controller": True}],
            Refused("Owned", "ReplicaSet shop/web belongs to Deployment web, which scales it: name that one instead"),
        ),
        (
            [DEPLOYMENT, {"apiVersion": "none.dev/v1", "kind": "Rollout", "name": "r", "controller": True}],
            Refused("Owned", "ReplicaSet shop/web belongs to Rollout r, which scales it: name that one instead"),
        ),
        (an_error(403), Scale(5, 5)),
    ],
)
def test_a_replica_set_that_another_scales_is_left_to_it(owners, found):
    scene = Scene(kind="ReplicaSet")
    whole = owners if isinstance(owners, Exception) else {"metadata": {"ownerReferences": owners}}
    scene.api.will(SET_SCALE, a_scale(5))
    scene.api.will(SET_SCALE.removesuffix("/scale"), whole)
    assert scene.read() == found


def scaled_by_another(kind="Deployment", owner="Collector o"):
    return f"{kind} shop/web belongs to {owner}, which scales it: name that one instead"


def set_by(manager, kind="Deployment", owner="Revision o"):
    return f"{kind} shop/web belongs to {owner}, and {manager} sets its spec.replicas and would undo ours"


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
@pytest.mark.parametrize(
    ("owner", "managers", "words"),
    [
        pytest.param({"kind": "Collector"}, [], scaled_by_another, id="the-owner-has-a-scale"),
        pytest.param({}, [("ops", "")], lambda kind: set_by("ops", kind), id="the-owner-sets-the-size"),
        pytest.param({}, [("kubectl", "scale"), ("ops", "")], lambda kind: set_by("ops", kind), id="and-somebody-else"),
        pytest.param({"bare": True}, [], lambda kind: set_by("its controller", kind), id="who-sets-it-is-not-told"),
        pytest.param({"api_version": "gone.dev/v1"}, [("ops", "")], lambda kind: set_by("ops", kind), id="kind-gone"),
        pytest.param({"api_version": "../v1"}, [("ops", "")], lambda kind: set_by("ops", kind), id="no-api-version"),
        pytest.param(
            {"api_version": "apps/v1", "kind": "DaemonSet"},
            [("ops", "")],
            lambda kind: set_by("ops", kind, "DaemonSet o"),
            id="a-kind-that-never-has-a-scale",
        ),
        pytest.param({}, [], None, id="nobody-sets-the-size"),
        pytest.param({}, [("kubectl", "scale"), ("forescale", "scale")], None, id="only-through-scale"),
        pytest.param({"controller": False}, [("ops", "")], None, id="an-owner-that-controls-nothing"),
    ],
)
def test_a_workload_whose_owner_would_undo_the_size_is_left_to_it(kind, owner, managers, words):
    scene = Scene(kind=kind)
    scene.watched.keep("apps/v1", kind, "", {}, ())
    of = {"kind": "Revision", **owner}
    scene.tell(owned(a_deployment(kind=kind), of.pop("kind"), *managers, **of))
    found = scene.read()
    if words is None:
        assert found == Scale(3, 3)
    else:
        assert found.reason == "Owned"
        assert found.message.startswith(words(kind))


def test_a_policy_in_shadow_shows_what_it_would_do_to_what_another_owns():
    scene = Scene(owned(a_deployment(), "Collector"), mode="Shadow")
    assert scene.read() == Scale(3, 3)


def test_a_target_whose_owner_began_to_set_the_size_meanwhile_is_not_written():
    scene = Scene(owned(a_deployment()))
    seen = scene.read()
    scene.tell(owned(a_deployment(version="101"), "Revision", ("ops", "")))

    async def write():
        return await scene.workloads.set_replicas(scene.target, seen, 8, 0.0)

    refused = asyncio.run(write())
    assert (refused.reason, scene.api.patches) == ("Owned", [])


# Writing


def test_a_write_is_one_patch_fenced_by_the_version_that_was_seen():
    scene = Scene(a_deployment(version="100"))
    scene.api.will(f"PATCH {SCALE}", a_scale(8, "101"))
    assert scene.write(8) is None
    body = {"metadata": {"resourceVersion": "100"}, "spec": {"replicas": 8}}
    assert scene.api.patches == [(SCALE, body, {"fieldManager": "forescale"})]


def test_without_the_lease_nothing_is_written():
    scene = Scene(a_deployment())
    scene.leads = False
    assert scene.write(8).reason == "NotLeader"
    assert scene.api.patches == []


def test_the_lease_is_asked_again_before_the_second_try(monkeypatch):
    scene = Scene(a_deployment())
    scene.api.will(f"PATCH {SCALE}", an_error(409))
    scene.api.will(SCALE, a_scale(3, "105"))
    asked = iter([True, False])
    monkeypatch.setattr(scene.workloads, "_may_write", lambda: next(asked))
    assert scene.write(8).reason == "NotLeader"
    assert len(scene.api.patches) == 1


def test_our_own_write_is_seen_before_the_watch_tells_of_it_and_no_older_news_after():
    scene = Scene(a_deployment(version="100"))
    scene.api.will(f"PATCH {SCALE}", a_scale(8, "102"))
    scene.write(8)
    assert scene.read() == Scale(8, 3)
    scene.tell(a_deployment(replicas=3, version="101", readyReplicas=2))
    assert scene.read() == Scale(8, 2)
    scene.tell(a_deployment(replicas=8, version="102", readyReplicas=2))
    scene.tell(a_deployment(replicas=6, version="103", readyReplicas=2))
    assert scene.read() == Scale(6, 2)


def test_the_next_write_is_fenced_by_our_last_one():
    scene = Scene(a_deployment(version="100"))
    scene.api.will(f"PATCH {SCALE}", a_scale(8, "102"), a_scale(9, "103"))
    scene.write(8)
    scene.write(9)
    assert scene.fences == [("100", 8), ("102", 9)]


def test_a_version_that_moved_on_without_the_size_is_tried_once_more():
    scene = Scene(a_deployment(replicas=3, version="100"))
    scene.api.will(f"PATCH {SCALE}", an_error(409), a_scale(8, "106"))
    scene.api.will(SCALE, a_scale(3, "105"))
    assert scene.write(8) is None
    assert scene.fences == [("100", 8), ("105", 8)]


@pytest.mark.parametrize(
    "found", [a_scale(4, "105"), a_scale(3, "105", uid="new"), an_error(404)], ids=["size", "uid", "gone"]
)
def test_what_changed_meanwhile_is_not_written(found):
    scene = Scene(a_deployment(replicas=3, version="100"))
    scene.api.will(f"PATCH {SCALE}", an_error(409))
    scene.api.will(SCALE, found)
    assert scene.write(8).reason == ("TargetNotFound" if isinstance(found, Exception) else "ChangedMeanwhile")
    assert len(scene.api.patches) == 1


def test_the_size_that_stood_in_the_way_is_the_next_decisions_start():
    scene = Scene(a_deployment(replicas=3, version="100"))
    scene.api.will(f"PATCH {SCALE}", an_error(409))
    scene.api.will(SCALE, a_scale(4, "105"))
    scene.write(8)
    assert scene.read() == Scale(4, 3)


def test_who_is_always_faster_than_our_writes_is_named():
    scene = Scene(a_deployment(replicas=3, version="100"))
    scene.api.will(f"PATCH {SCALE}", an_error(409))
    for now_s, size, version in ((0.0, 4, "105"), (15.0, 3, "110")):
        scene.api.will(SCALE, a_scale(size, version))
        assert scene.write(8, now_s).reason == "ChangedMeanwhile"
        scene.tell(a_deployment(replicas=size, version=version, managers=[("loop", "2026-11-23T12:00:00Z")]))
    scale = scene.read(30.0)
    assert scale.competitor.reason == "Contested"
    assert '"loop"' in scale.competitor.message


def test_a_version_that_keeps_moving_is_not_chased():
    scene = Scene(a_deployment())
    scene.api.will(f"PATCH {SCALE}", an_error(409))
    scene.api.will(SCALE, a_scale(3, "105"))
    assert scene.write(8).reason == "ChangedMeanwhile"
    assert len(scene.api.patches) == 2


def test_a_scale_that_is_not_the_one_that_was_decided_on_costs_no_request():
    scene = Scene(a_deployment(replicas=3))
    refused = scene.write(8, seen=Scale(5, 5, uid="a"))
    said = "Deployment shop/web was at 5 replicas when we decided and is at 3"
    assert refused == Refused("ChangedMeanwhile", said)
    assert scene.api.patches == []


@pytest.mark.parametrize(
    ("code", "reason", "message"),
    [
        (403, "Forbidden", "patch of deployments/scale in namespace shop: no"),
        (404, "TargetNotFound", "Deployment shop/web does not exist"),
        (422, "Invalid", "patch of deployments/scale in namespace shop: no"),
        (429, "ApiUnavailable", "patch of deployments/scale in namespace shop: no"),
        (None, "ApiUnavailable", "patch of deployments/scale in namespace shop: no"),
    ],
)
def test_a_refused_write_says_why(code, reason, message):
    scene = Scene(a_deployment())
    scene.api.will(f"PATCH {SCALE}", an_error(code))
    assert scene.write(8) == Refused(reason, message)
    assert scene.read() == Scale(3, 3)


def test_a_forbidden_write_is_tried_again_soon_and_then_after_minutes():
    scene = Scene(a_deployment())
    scene.api.will(f"PATCH {SCALE}", an_error(403))
    tried = []
    for now_s in range(0, 900, 5):
        before = len(scene.api.patches)
        assert scene.write(8, float(now_s)).reason == "Forbidden"
        tried += [now_s] * (len(scene.api.patches) - before)
    pauses_s = np.diff(tried)
    assert 0.8 * FORBIDDEN.first_s <= pauses_s[0] <= 1.2 * FORBIDDEN.first_s + 5
    assert 0.8 * FORBIDDEN.longest_s <= pauses_s[-1] <= 1.2 * FORBIDDEN.longest_s + 5


@pytest.mark.parametrize(
    ("meanwhile", "replicas", "message"),
    [
        pytest.param(
            lambda scene: scene.tell(a_deployment(version="101", updatedReplicas=1)),
            2,
            "a rollout of Deployment shop/web has begun since we decided",
            id="a-rollout",
        ),
        pytest.param(
            lambda scene: scene.tell(a_deployment(version="101", uid="new")),
            2,
            "Deployment shop/web was made again since we decided",
            id="another-object",
        ),
        pytest.param(
            lambda scene: scene.competitors.note_hpa("ADDED", an_hpa()),
            8,
            "HorizontalPodAutoscaler web-hpa scales Deployment web too; one of the two has to go",
            id="an-hpa",
        ),
        pytest.param(
            lambda scene: setattr(scene.target, "superseded", True),
            8,
            "shop/web was edited or deleted since we decided",
            id="an-edit",
        ),
        pytest.param(
            lambda scene: scene.watched.note("DELETED", a_deployment()),
            8,
            "Deployment shop/web does not exist",
            id="gone",
        ),
    ],
)
def test_what_came_between_a_decision_and_its_write_keeps_it_from_being_sent(meanwhile, replicas, message):
    scene = Scene(a_deployment())
    seen = scene.read()
    meanwhile(scene)
    refused = asyncio.run(scene.workloads.set_replicas(scene.target, seen, replicas, 0.0))
    assert refused is not None
    assert refused.message == message
    assert scene.api.patches == []


def test_a_rollout_that_begins_meanwhile_keeps_nobody_from_adding():
    scene = Scene(a_deployment())
    scene.api.will(f"PATCH {SCALE}", a_scale(8, "102"))
    seen = scene.read()
    scene.tell(a_deployment(version="101", updatedReplicas=1))
    assert asyncio.run(scene.workloads.set_replicas(scene.target, seen, 8, 0.0)) is None
    assert scene.fences == [("101", 8)]


def test_an_edit_while_a_write_waits_for_its_second_try_voids_that(monkeypatch):
    scene = Scene(a_deployment())
    scene.api.will(f"PATCH {SCALE}", an_error(409))
    scene.api.will(SCALE, a_scale(3, "105"))
    get = scene.api.get

    async def edited_meanwhile(path, **wishes):
        scene.target.superseded |= path == SCALE
        return await get(path, **wishes)

    monkeypatch.setattr(scene.api, "get", edited_meanwhile)
    assert scene.write(8).message == "shop/web was edited or deleted since we decided"
    assert len(scene.api.patches) == 1


def test_a_cluster_restored_to_an_older_version_is_believed_again():
    scene = Scene(a_deployment(version="100"))
    scene.api.will(f"PATCH {SCALE}", a_scale(8, "101"), a_scale(9, "51"))
    assert scene.write(8) is None
    scene.watched.note(None, a_deployment(replicas=3, version="50"))  # restored: what is listed is believed
    assert scene.read(1.0) == Scale(8, 3)  # our write may be newer, for all that is known
    assert scene.read(NEWS_KEPT_S + 1.0) == Scale(3, 3)
    assert scene.write(9, NEWS_KEPT_S + 2.0) is None
    assert scene.api.patches[-1][1]["metadata"]["resourceVersion"] == "50"


def test_of_a_kind_that_is_not_watched_a_restored_cluster_is_believed_with_the_next_reading():
    scene = Scene(kind="ReplicaSet")
    scene.api.will(SET_SCALE, a_scale(3, "100"), a_scale(3, "50"))
    scene.api.will(f"PATCH {SET_SCALE}", a_scale(8, "101"))
    assert scene.write(8) is None
    assert scene.read(1.0) == Scale(8, 3)
    assert scene.read(1.3 * KEPT_S) == Scale(3, 3)


def test_another_size_than_was_asked_for_is_not_taken_for_done():
    scene = Scene(a_deployment())
    scene.api.will(f"PATCH {SCALE}", a_scale(5, "101"))
    assert scene.write(8) == Refused("Overruled", "8 replicas were asked for Deployment shop/web, and 5 were set")
    assert scene.read().replicas == 5


def test_a_write_has_to_be_answered_before_another_instance_may_write(monkeypatch):
    scene, given = Scene(a_deployment()), []

    async def patch(path, body, query, within_s):
        given.append(within_s)
        return a_scale(8, "101")

    monkeypatch.setattr(scene.api, "patch", patch)
    scene.write(8)
    times = LeaseSettings(namespace="shop")
    assert given == [WRITE_WITHIN_S]
    assert times.renew_deadline_s + WRITE_WITHIN_S < times.duration_s


def test_nothing_is_decided_before_it_is_known_who_else_scales():
    scene = Scene(a_deployment())
    scene.competitors.keep(HPA, "", {"web-hpa": "shop/web-hpa"}, ())
    assert scene.read().reason == "NotSynced"
    scene.competitors.note_hpa(None, an_hpa())
    assert scene.read().holds == (Reason.CONFLICT,)


def test_somebody_who_undoes_our_writes_is_not_fought():
    scene = Scene(a_deployment(replicas=3, version="100"))
    versions = iter(range(101, 200))
    for now_s in (0.0, 15.0):
        scene.api.will(f"PATCH {SCALE}", a_scale(8, str(next(versions))))
        assert scene.write(8, now_s) is None
        scene.tell(a_deployment(replicas=3, version=str(next(versions)), managers=[("argocd-controller",)]))
    assert scene.read(30.0).holds == (Reason.CONFLICT,)
    assert "argocd-controller" in scene.read(30.0).competitor.message


def test_a_history_that_another_policy_goes_by_is_kept():
    scene = Scene(a_deployment())
    scene.api.will(f"PATCH {SCALE}", a_scale(8, "101"))
    scene.write(8)
    scene.competitors.note_policy(None, a_policy("twin", mode="Shadow"))
    scene.workloads.forget(scene.target)
    assert scene.read().replicas == 8


def test_what_is_forgotten_leaves_nothing_behind():
    scene = Scene(a_deployment())
    scene.api.will(f"PATCH {SCALE}", a_scale(8, "101"))
    scene.write(8)
    scene.workloads.forget(scene.target)
    kept = [value for value in vars(scene.workloads).values() if isinstance(value, dict)]
    assert len(kept) == 4
    assert not any(kept)

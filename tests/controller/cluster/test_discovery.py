import asyncio
import itertools

import pytest

from controller.cluster.backoff import KIND_MISSING, KIND_SILENT
from controller.cluster.discovery import KEPT_S, MOST_GROUPS, REFUSAL_KEPT_S, Discovery, Scalable
from controller.crd.tables import TargetRef
from tests.controller.cluster.workload_bodies import APPS, FakeApi, an_error

WEB = TargetRef("apps/v1", "Deployment", "web")
CORE = (("", "ReplicationController"), ("/scale", "Scale"))


def found(api, ref=WEB, *later_s):
    """What is found now and at each later time."""

    async def run():
        kinds = Discovery(api)
        return [await kinds.find(ref, now_s) for now_s in (0.0, *later_s)]

    return asyncio.run(run())


def test_a_kind_is_found_where_the_server_says_it_is():
    (place,) = found(FakeApi())
    assert place.scale_path("shop", "web") == "/apis/apps/v1/namespaces/shop/deployments/web/scale"


def test_the_core_has_a_folder_of_its_own():
    api = FakeApi()
    names = [{"name": "replicationcontrollers" + end, "namespaced": True, "kind": kind} for end, kind in CORE]
    api.will("/api/v1", {"resources": names})
    assert found(api, TargetRef("v1", "ReplicationController", "web")) == [
        Scalable("/api/v1", "replicationcontrollers")
    ]


@pytest.mark.parametrize(
    ("version", "kind", "reason"),
    [
        ("apps/v1", "Deploiment", "KindNotFound"),
        ("apps/v1", "Scale", "KindNotFound"),
        ("apps/v1", "ClusterThing", "KindNotFound"),
        ("nowhere.dev/v1", "Deployment", "KindNotFound"),
        ("forbidden.dev/v1", "Deployment", "Forbidden"),
        ("broken.dev/v1", "Deployment", "ApiUnavailable"),
        ("silent.dev/v1", "Deployment", "ApiUnavailable"),
    ],
)
def test_what_cannot_be_scaled_is_refused_with_the_cause(version, kind, reason):
    api = FakeApi()
    for group, code in (("nowhere", 404), ("forbidden", 403), ("broken", 503), ("silent", None)):
        api.will(f"/apis/{group}.dev/v1", an_error(code))
    (refused,) = found(api, TargetRef(version, kind, "web"))
    assert refused.reason == reason
    assert version in refused.message


def test_a_kind_without_a_scale_is_refused():
    api = FakeApi()
    api.will("/apis/apps/v1", {"resources": [each for each in APPS["resources"] if "/" not in each["name"]]})
    (refused,) = found(api)
    assert (refused.reason, refused.message) == (
        "NoScaleSubresource",
        "apps/v1 Deployment has no scale subresource",
    )


def test_one_question_serves_all_who_ask_at_once():
    api = FakeApi()

    async def run():
        kinds = Discovery(api)
        await asyncio.gather(*(kinds.find(WEB, 0.0) for _ in range(50)))

    asyncio.run(run())
    assert api.asked == ["/apis/apps/v1"]


@pytest.mark.parametrize("first", [an_error(404), {"resources": []}], ids=["no-group", "no-kind"])
def test_a_refusal_is_believed_for_a_minute(first):
    api = FakeApi()
    api.will("/apis/apps/v1", first, APPS)
    before, within, after = found(api, WEB, REFUSAL_KEPT_S - 1, REFUSAL_KEPT_S + 1)
    assert before == within != after
    assert after == Scalable("/apis/apps/v1", "deployments")


def test_a_server_that_is_back_is_asked_again_at_once():
    api = FakeApi()
    api.will("/apis/apps/v1", an_error(None), APPS)
    assert found(api, WEB, KIND_SILENT.first_s)[-1] == Scalable("/apis/apps/v1", "deployments")


@pytest.mark.parametrize(("code", "backoff"), [(404, KIND_MISSING), (403, KIND_MISSING), (None, KIND_SILENT)])
def test_a_group_that_is_not_there_is_asked_for_ever_less_often(code, backoff):
    api = FakeApi()
    api.will("/apis/apps/v1", an_error(code))

    async def run():
        kinds, asked_s = Discovery(api), []
        for now_s in range(0, 1800):
            before = len(api.asked)
            await kinds.find(WEB, float(now_s))
            asked_s += [now_s] * (len(api.asked) - before)
        kinds.ask_again()
        await kinds.find(WEB, 1800.0)
        return [later - earlier for earlier, later in itertools.pairwise(asked_s)]

    pauses_s = asyncio.run(run())
    assert (pauses_s[0], pauses_s[1], pauses_s[-1]) == (backoff.first_s, 2 * backoff.first_s, backoff.longest_s)
    assert len(api.asked) == len(pauses_s) + 1 + (code is None)  # a silence is over at once


def test_discovery_counts_for_the_namespace_that_needs_it():
    payers = []

    class Api(FakeApi):
        async def get(self, path, query=None, namespace=""):
            payers.append(namespace)
            return await super().get(path, query)

    asyncio.run(Discovery(Api()).find(WEB, 0.0, "shop"))
    assert payers == ["shop"]


@pytest.mark.parametrize(("answer", "is_kept"), [(503, True), (None, True), (403, True), (404, False)])
def test_a_kind_that_was_found_outlives_a_server_that_does_not_answer(answer, is_kept):
    api = FakeApi()
    api.will("/apis/apps/v1", APPS, an_error(answer))
    before, after = found(api, WEB, KEPT_S + 1)
    assert (after == before) is is_kept
    assert len(api.asked) == 2


def test_groups_that_nobody_serves_are_not_remembered_for_ever():
    api = FakeApi()

    async def run():
        kinds = Discovery(api)
        for number in range(1000):
            folder = f"/apis/group-{number}.dev/v1"
            api.will(folder, an_error(404))
            await kinds.find(TargetRef(folder.removeprefix("/apis/"), "Thing", "web"), 60.0 * number)
        return kinds

    kinds = asyncio.run(run())
    assert len(kinds._answers) <= MOST_GROUPS
    assert len(kinds._asking) == 0

import tracemalloc

import pytest

from controller.cluster.watched import (
    MOST_MANAGERS,
    MOST_REQUIREMENTS,
    Manager,
    WatchedWorkloads,
    read_workload,
    selector_query,
)
from controller.crd.tables import TargetRef
from controller.ports import Refused
from tests.controller.cluster.workload_bodies import a_deployment, a_manager

WEB = TargetRef("apps/v1", "Deployment", "web")


def progressing(reason):
    return {"conditions": [{"type": "Available"}, {"type": "Progressing", "reason": reason}]}


def watching(*bodies, **options):
    watched = WatchedWorkloads(**options)
    for body in bodies:
        watched.note("ADDED", body)
    return watched


# What a body says


@pytest.mark.parametrize(
    ("status", "rollout"),
    [
        pytest.param({}, False, id="settled"),
        pytest.param({"replicas": 3, "updatedReplicas": 3, "readyReplicas": 2}, False, id="a-pod-fails"),
        pytest.param({"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}, False, id="scaled-up-not-created-yet"),
        pytest.param({"replicas": 3, "updatedReplicas": 1}, True, id="old-pods-left"),
        pytest.param({"replicas": 4, "updatedReplicas": 1}, True, id="surge"),
        pytest.param({"replicas": 3}, False, id="observed-and-done"),
        pytest.param({"replicas": 3, "updatedReplicas": 0}, True, id="nothing-updated-yet"),
        pytest.param({"replicas": 0, "updatedReplicas": 0} | progressing("NewReplicaSetCreated"), True, id="recreate"),
        pytest.param(progressing("ReplicaSetUpdated"), True, id="new-pods-not-available-yet"),
        pytest.param(
            {"updatedReplicas": 1, "replicas": 1} | progressing("NewReplicaSetAvailable"), False, id="scaling"
        ),
        pytest.param({"updatedReplicas": 1} | progressing("ProgressDeadlineExceeded"), False, id="failed-is-over"),
        pytest.param({"updatedReplicas": 1} | progressing("DeploymentPaused"), True, id="paused-in-the-middle"),
        pytest.param(progressing("DeploymentPaused"), False, id="paused-before"),
    ],
)
def test_a_deployment_rolls_out_while_kubectl_would_wait_but_not_when_it_is_scaled(status, rollout):
    assert read_workload(a_deployment(**status)).rollout is rollout


@pytest.mark.parametrize(
    ("strategy", "replicas", "ready", "rollout"),
    [
        pytest.param("Recreate", 3, 0, True, id="none-is-left"),
        pytest.param("Recreate", 3, 1, False, id="the-first-serves"),
        pytest.param("Recreate", 0, 0, False, id="none-is-wanted"),
        pytest.param("RollingUpdate", 3, 0, False, id="none-is-ready-but-all-were-never-removed"),
    ],
)
def test_pods_that_are_all_recreated_are_a_rollout_also_where_the_controller_forgot_to_say(
    strategy, replicas, ready, rollout
):
    body = a_deployment(replicas=replicas, spec={"strategy": {"type": strategy}})
    body["status"] = {"readyReplicas": ready} | progressing("NewReplicaSetAvailable")
    assert read_workload(body).rollout is rollout


@pytest.mark.parametrize(
    ("status", "strategy", "rollout"),
    [
        pytest.param({}, {}, False, id="settled"),
        pytest.param({"updatedReplicas": 1}, {}, True, id="old-pods-left"),
        pytest.param({"updatedReplicas": 3, "readyReplicas": 2}, {}, True, id="the-last-pod-starts"),
        pytest.param({"updatedReplicas": 2, "readyReplicas": 2}, {"partition": 1}, True, id="above-it-one-starts"),
        pytest.param({"updatedReplicas": 2}, {"partition": 1}, False, id="the-partition-stays-old"),
        pytest.param({"updatedReplicas": 1}, {"partition": 1}, True, id="above-the-partition"),
        pytest.param({"updatedReplicas": 1}, None, False, id="on-delete-never-ends"),
        pytest.param({"updatedReplicas": 1, "updateRevision": "1"}, {}, False, id="one-revision-scaled"),
    ],
)
def test_a_stateful_set_rolls_out_between_two_revisions(status, strategy, rollout):
    way = {"type": "OnDelete"} if strategy is None else {"type": "RollingUpdate", "rollingUpdate": strategy}
    revisions = {"currentRevision": "1", "updateRevision": "2" if status else "1"}
    body = a_deployment(kind="StatefulSet", spec={"updateStrategy": way}, **revisions | status)
    assert read_workload(body).rollout is rollout


def test_what_is_not_said_has_the_default_of_the_api():
    body = {"kind": "Deployment", "metadata": {"uid": "a", "resourceVersion": "1"}}
    record = read_workload(body)
    assert (record.replicas, record.ready, record.selector, record.managers) == (1, 0, "", ())


def test_zero_replicas_are_zero():
    assert read_workload(a_deployment(replicas=0)).replicas == 0


def test_managers_are_those_of_the_replicas():
    body = a_deployment(managers=[("forescale", "2026-11-23T12:00:00Z")])
    body["metadata"]["managedFields"] += [a_manager("kubectl", field="f:template"), {"manager": "empty"}]
    assert read_workload(body).managers == (Manager("forescale", "2026-11-23T12:00:00Z"),)


@pytest.mark.parametrize(
    ("selector", "query"),
    [
        ({}, ""),
        ({"matchLabels": {"tier": "web", "app": "shop"}}, "app=shop,tier=web"),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}, "app in (a,b)"),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}, "app notin (a)"),
        (
            {"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]},
            "a=1,b",
        ),
        ({"matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}, "!b"),
    ],
)
def test_a_selector_is_asked_for_as_kubectl_does(selector, query):
    assert selector_query(selector) == query


# What events come to


@pytest.mark.parametrize(
    ("type_", "version", "replicas"),
    [
        ("MODIFIED", "101", 7),
        ("MODIFIED", "99", 3),
        ("ADDED", "100", 3),
        (None, "5", 7),
    ],
    ids=["newer", "older", "again", "listing-of-a-restored-cluster"],
)
def test_news_count_unless_they_are_old(type_, version, replicas):
    watched = watching(a_deployment(version="100"))
    watched.note(type_, a_deployment(replicas=7, version=version))
    assert watched.find("shop", WEB).replicas == replicas


def test_versions_are_compared_as_numbers():
    watched = watching(a_deployment(version="999"), a_deployment(replicas=7, version="1000"))
    assert watched.find("shop", WEB).replicas == 7


def test_a_deleted_workload_is_dropped_and_a_late_deletion_spares_its_successor():
    watched = watching(a_deployment(uid="old"))
    watched.note("DELETED", a_deployment(uid="old"))
    assert isinstance(watched.find("shop", WEB), Refused)
    watched.note("ADDED", a_deployment(uid="new", version="200"))
    watched.note("DELETED", a_deployment(uid="old", version="150"))
    assert watched.find("shop", WEB).uid == "new"


def test_a_missing_workload_is_not_synced_until_a_listing_has_said_what_there_is():
    watched = watching()
    assert watched.find("shop", WEB).reason == "NotSynced"
    watched.keep("apps/v1", "Deployment", "", {"a": "shop/web"}, frozenset())
    assert watched.find("shop", WEB).reason == "NotSynced"
    assert watched.find("shop", TargetRef("apps/v1", "Deployment", "other")).reason == "TargetNotFound"
    watched.note(None, a_deployment())
    assert watched.find("shop", WEB).replicas == 3
    watched.note("DELETED", a_deployment())
    assert watched.find("shop", WEB).reason == "TargetNotFound"


def test_a_listing_drops_what_is_gone_but_not_what_came_while_it_was_made():
    watched = watching(a_deployment("gone", uid="1"), a_deployment("web", uid="2"))
    before = watched.known("apps/v1", "Deployment")
    watched.note("ADDED", a_deployment("new", uid="3"))
    watched.keep("apps/v1", "Deployment", "", {"2": "shop/web"}, before)
    assert watched.known("apps/v1", "Deployment") == {"2", "3"}


def test_a_listing_of_one_namespace_says_nothing_of_the_others():
    watched = watching(a_deployment(uid="1"))
    watched.keep("apps/v1", "Deployment", "bank", {}, {"1"})
    assert watched.find("shop", WEB).uid == "1"
    assert watched.find("bank", WEB).reason == "TargetNotFound"
    assert watched.find("shop", TargetRef("apps/v1", "Deployment", "other")).reason == "NotSynced"


def test_other_kinds_are_left_alone():
    watched = watching({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {}})
    assert len(watched) == 0
    assert not watched.watches(TargetRef("apps/v1", "ReplicaSet", "web"))


def test_thousands_of_workloads_cost_little():
    watched = WatchedWorkloads()
    tracemalloc.start()
    try:
        for number in range(1000):
            body = a_deployment(f"web-{number}", uid=f"{number:036}", version=str(10**9 + number))
            body["metadata"]["managedFields"] = [a_manager("forescale", f"2026-11-23T12:00:{number % 60:02}Z")]
            body["spec"]["template"] = {"a": "x" * 5000}
            watched.note(None, body)
            del body
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept / 1000 < 1500  # bytes; measured: 940


def test_of_a_hostile_workload_a_bounded_part_is_read():
    entries = [a_manager(f"evil-{number}") for number in range(100_000)]
    labels = {f"label-{number}": "x" for number in range(100_000)}
    body = a_deployment(spec={"selector": {"matchLabels": labels}})
    body["metadata"]["managedFields"] = [*entries, a_manager("latest", "2026-12-01T12:00:00Z")]
    read = read_workload(body)
    assert len(read.managers) == MOST_MANAGERS
    assert read.managers[-1].name == "latest"
    assert read.selector == ""


@pytest.mark.parametrize(
    "selector",
    [
        {"matchLabels": {str(number): "x" for number in range(MOST_REQUIREMENTS + 1)}},
        {"matchExpressions": [{"key": "a", "operator": "Exists"}] * (MOST_REQUIREMENTS + 1)},
        {"matchExpressions": [{"key": "a", "operator": "In", "values": ["x"] * (MOST_REQUIREMENTS + 1)}]},
    ],
)
def test_a_selector_that_fits_in_no_query_counts_as_not_known(selector):
    assert selector_query(selector) == ""

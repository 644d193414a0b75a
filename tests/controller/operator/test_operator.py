"""The operator put together and not run: what one part's news does to the others."""

import asyncio

import pytest

from controller.cluster.api import KubeApi, Listed
from controller.crd.status import rfc3339
from controller.operator.operator import Operator
from controller.operator.settings import OperatorSettings
from controller.ports import Refused
from controller.prometheus.access import PrometheusSettings
from scaling.behavior import BehaviorLog
from scaling.decision import Reason
from scaling.hpa_behavior import ScaleEvent
from scaling.progress import NOTHING_DUE, Progress
from tests.controller.operator.test_policies import a_body

SETTINGS = OperatorSettings(prometheus=PrometheusSettings(url="http://127.0.0.1:9"))


def put_together(story, settings=SETTINGS):
    """What a story with an operator returns."""

    async def run():
        return story(Operator(settings))

    return asyncio.run(run())


def test_a_target_that_is_another_object_is_looked_at_for_the_first_time():
    def story(operator):
        operator._note_policy(None, a_body())
        (record,) = operator.policies
        record.last_evaluated_s, record.remembered, record.startup_s = 1.0, True, 20.0
        record.target.state.memory["steps"] = 9
        operator._reset(record.target)
        return record

    record = put_together(story)
    assert (record.last_evaluated_s, record.remembered, record.startup_s) == (None, False, None)
    assert record.target.holds == (Reason.JUST_STARTED,)
    assert record.target.state.memory["steps"] == 0


@pytest.mark.parametrize("how", ["DELETED", "unlisted", "invalid"])
def test_a_policy_that_is_gone_or_invalid_stands_in_no_others_way(how):
    def story(operator):
        operator._note_policy(None, a_body())
        if how == "unlisted":
            operator.policies.keep("", {}, {"u1"})
        elif how == "DELETED":
            operator._note_policy("DELETED", a_body())
        else:
            operator._note_policy("MODIFIED", a_body(generation=2, minReplicas=10))
        return operator.competitors.known("ScalingPolicy")

    assert put_together(story) == frozenset()


def test_a_policy_that_loses_its_place_to_an_older_one_stands_in_no_others_way():
    def story(operator):
        competitors = []
        for uid, created, event in (("new", "2", None), ("old", "1", None), ("old", "1", "DELETED")):
            body = a_body(uid)
            body["metadata"] |= {"name": uid, "creationTimestamp": f"2026-12-01T08:00:0{created}Z"}
            operator._note_policy(event, body)
            competitors.append(operator.competitors.known("ScalingPolicy"))
        return competitors

    settings = OperatorSettings(prometheus=SETTINGS.prometheus, max_policies_per_namespace=1)
    assert put_together(story, settings) == [{"new"}, {"old"}, {"new"}]


def test_a_policy_whose_edit_no_event_told_of_is_repaired_by_a_listing(monkeypatch):
    monkeypatch.setattr("controller.operator.resync.SETTLES_S", 0.01)
    edited = a_body(generation=2, maxReplicas=5)
    edited["metadata"]["resourceVersion"] = "9"

    async def list_names(self, path):
        return {"u1": Listed("shop/web", "9")} if path.endswith("/scalingpolicies") else {}

    async def get(self, path, query=None, namespace=""):
        return {"apiVersion": edited["apiVersion"], "kind": "ScalingPolicyList", "items": [edited]}

    monkeypatch.setattr(KubeApi, "list_names", list_names)
    monkeypatch.setattr(KubeApi, "get", get)

    async def run():
        operator = Operator(SETTINGS)
        known = a_body()
        known["metadata"]["resourceVersion"] = "7"
        for kind in operator._kinds():
            if kind.plural == "scalingpolicies":
                kind.note("ADDED", known)
        await operator.resync.compare()
        return operator.policies.get("u1")

    record = asyncio.run(run())
    assert (record.generation, record.target.spec.max_replicas) == (2, 5)


def test_who_leads_anew_knows_nothing_of_writes_and_looks_at_all_for_the_first_time():
    def story(operator):
        operator._note_policy(None, a_body())
        (record,) = operator.policies
        record.last_evaluated_s = 1.0
        record.target.state.memory["steps"], record.target.state.unknown_since_s = 9, 1.0
        record.target.state.progress = Progress(most_ready=3, since_s=1.0)
        record.target.state.behavior = BehaviorLog(up_events=(ScaleEvent(4, 1.0),))
        operator._lead(True)
        return record

    record = put_together(story)
    state = record.target.state
    assert record.last_evaluated_s is None
    assert (state.memory["steps"], state.unknown_since_s, state.progress) == (0, None, NOTHING_DUE)
    assert state.behavior.up_events == (ScaleEvent(4, 1.0),)  # which another can have added to, not taken away


def test_who_leads_anew_counts_what_another_leader_changed_and_a_size_that_it_told_of():
    slowly = {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}]}}

    def story(operator):
        operator._note_policy(None, a_body(behavior=slowly))
        body = a_body(behavior=slowly)
        now = rfc3339(operator.clock.unix_s() - 60)
        body["status"] = {"observedGeneration": 1, "currentReplicas": 7, "recentChanges": [{"time": now, "added": 2}]}
        operator._note_policy("MODIFIED", body)
        operator._lead(True)
        (record,) = operator.policies
        return record.target.state, operator.clock.now_s()

    state, now_s = put_together(story)
    (event,) = state.behavior.up_events
    assert event.change == 2
    assert event.at_s == pytest.approx(now_s - 60, abs=3)
    assert state.last_replicas == 7


@pytest.mark.parametrize(("served", "problem"), [((), True), (("kube-system",), False)])
def test_policies_in_kube_system_are_served_for_those_alone_who_name_it(served, problem):
    def story(operator):
        body = a_body()
        body["metadata"]["namespace"] = "kube-system"
        operator._note_policy(None, body)
        return [bool(record.problem) for record in operator.policies]

    settings = OperatorSettings(prometheus=SETTINGS.prometheus, namespaces=served)
    assert put_together(story, settings) == [problem]


def test_before_anything_was_listed_a_target_is_not_synced():
    def story(operator):
        operator._note_policy(None, a_body())
        (record,) = operator.policies
        return operator.workloads.scale(record.target, 0.0)

    async def run():
        return await story(Operator(SETTINGS))

    found = asyncio.run(run())
    assert isinstance(found, Refused)
    assert found.reason == "NotSynced"

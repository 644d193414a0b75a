import asyncio
import logging

import pytest

from controller.cluster.startup import APART_S, FORBIDDEN_RETRY_S, Startups, median_startup_s
from controller.ports import Scale
from scaling.decision import Reason
from tests.controller.cluster.workload_bodies import FakeApi, a_target, an_error

PODS = "/api/v1/namespaces/shop/pods"


def a_pod(seconds=30, ready="True", restarts=0, deleting=False):
    meta = {"creationTimestamp": "2026-11-23T12:00:00Z"} | ({"deletionTimestamp": "…"} if deleting else {})
    when = f"2026-11-23T{12 + seconds // 3600}:{seconds % 3600 // 60:02}:{seconds % 60:02}Z"
    conditions = [{"type": "PodScheduled"}, {"type": "Ready", "status": ready, "lastTransitionTime": when}]
    return {"metadata": meta, "status": {"conditions": conditions, "containerStatuses": [{"restartCount": restarts}]}}


def startups(*answers, selector="app=web"):
    api = FakeApi()
    api.will(PODS, *answers)
    return Startups(api, lambda target: selector), api


def measured(meter, now_s=0.0):
    meter.due(a_target(), Scale(3, 3), now_s)
    return asyncio.run(meter.measure(a_target(), now_s))


@pytest.mark.parametrize(
    ("pods", "seconds"),
    [
        pytest.param([], None, id="none"),
        pytest.param([a_pod(30)], 30, id="one"),
        pytest.param([a_pod(10), a_pod(30), a_pod(500)], 30, id="median"),
        pytest.param([a_pod(10), a_pod(21)], 15.5, id="of-two-the-middle"),
        pytest.param([a_pod(30), a_pod(900, ready="False"), a_pod(900, ready="False")], 30, id="not-ready"),
        pytest.param([a_pod(30), a_pod(900, restarts=1), a_pod(900, restarts=1)], 30, id="restarted"),
        pytest.param([a_pod(30), a_pod(900, deleting=True), a_pod(900, deleting=True)], 30, id="leaving"),
        pytest.param([a_pod(7200)], 3600, id="at-most-an-hour"),
        pytest.param([{"metadata": {}}], None, id="no-status-yet"),
        pytest.param(
            [{"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}], None, id="no-time"
        ),
    ],
)
def test_the_start_up_is_the_median_of_first_starts(pods, seconds):
    assert median_startup_s(pods) == seconds


def test_the_pods_of_the_target_are_listed_once():
    meter, api = startups({"items": [a_pod(40)]})
    assert measured(meter) == 40
    assert api.asked == [PODS]


def test_without_a_selector_nothing_is_listed():
    meter, api = startups(selector="")
    assert measured(meter) is None
    assert api.asked == []


def test_a_measure_is_due_at_adoption_and_after_each_complete_scale_up():
    meter, _ = startups({"items": [a_pod()]})
    due = []
    for step, scale in enumerate([Scale(3, 2), Scale(3, 3), Scale(3, 3), Scale(5, 3), Scale(5, 5), Scale(4, 4)]):
        now_s = step * APART_S
        due.append(meter.due(a_target(), scale, now_s))
        if due[-1]:
            asyncio.run(meter.measure(a_target(), now_s))
    assert due == [False, True, False, False, True, False]


def test_a_long_ramp_is_measured_now_and_then():
    meter, api = startups({"items": [a_pod()]})
    for step in range(40):
        if meter.due(a_target(), Scale(step, step), step * 15.0):
            asyncio.run(meter.measure(a_target(), step * 15.0))
    assert len(api.asked) == 2


@pytest.mark.parametrize("scale", [Scale(0, 0), Scale(3, 3, (Reason.ROLLOUT,))], ids=["nothing-runs", "rollout"])
def test_what_says_nothing_is_waited_for(scale):
    meter, _ = startups()
    assert not meter.due(a_target(), scale, 0.0)
    assert meter.due(a_target(), Scale(3, 3), 15.0)


def test_a_failed_measure_is_made_later():
    meter, _ = startups(an_error(503), {"items": [a_pod(40)]})
    assert measured(meter) is None
    assert not meter.due(a_target(), Scale(3, 3), APART_S - 1)
    assert meter.due(a_target(), Scale(3, 3), APART_S)
    assert measured(meter, APART_S) == 40


def test_forbidden_pods_are_said_once_and_asked_for_rarely(caplog):
    meter, _ = startups(an_error(403))
    with caplog.at_level(logging.INFO):
        for now_s in (0.0, FORBIDDEN_RETRY_S + 1):
            assert measured(meter, now_s) is None
            assert not meter.due(a_target(), Scale(9, 9), now_s + FORBIDDEN_RETRY_S - 1)
    assert [record.message for record in caplog.records] == [
        "start-up is not measured in namespace shop: its pods may not be listed"
    ]


def test_a_target_that_is_another_one_is_measured_anew():
    meter, _ = startups({"items": [a_pod()]})
    assert measured(meter) == 30
    assert not meter.due(a_target(), Scale(3, 3), APART_S)
    meter.forget(a_target())
    assert meter.due(a_target(), Scale(3, 3), 15.0)


def test_a_target_that_is_let_go_while_it_waits_for_its_measure_leaves_nothing_behind():
    meter, api = startups({"items": [a_pod(40)]})
    meter.due(a_target(), Scale(3, 3), 0.0)
    meter.forget(a_target())
    assert asyncio.run(meter.measure(a_target(), 0.0)) is None
    assert api.asked == []
    assert not meter._courses

import asyncio
import itertools
import logging
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from controller.cluster import reporter as module
from controller.cluster.api_answer import ApiError
from controller.cluster.events import NAMESPACE_BURST, OVERALL_BURST
from controller.cluster.reporter import (
    MOST_EVENTS,
    MOST_EVENTS_WAITING,
    MOST_OF_NAMESPACE,
    Reporter,
)
from controller.cluster.status import status_of
from scaling.decision import Reason
from scaling.observation import Value
from tests.controller.cluster.test_events import COMPETITOR
from tests.controller.cluster.test_status import ADD, CALM, an_outcome, facts, merged, without_scale
from tests.virtual_time import run_virtually

PATH = "/apis/forescale.dev/v1alpha1/namespaces/shop/scalingpolicies/web/status"


class ApiServer:
    """Takes statuses and events; `refuse` fails what is written next, `turn` lets it be sent, `gate` be answered."""

    def __init__(self):
        self.statuses, self.events, self.tries = [], [], 0
        self.refuse = None
        self.turn, self.gate = asyncio.Event(), asyncio.Event()
        self.turn.set()
        self.gate.set()
        self.in_flight = self.most_in_flight = 0

    async def patch(self, path, body):
        await self.turn.wait()
        written = body()
        await self._pass()
        self.statuses.append((path, written))
        return {"status": merged({}, written["status"])}

    async def post(self, path, body):
        await self.turn.wait()
        written = body()
        await self._pass()
        self.events.append((path, written))
        return written

    async def _pass(self):
        self.tries += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await self.gate.wait()
        self.in_flight -= 1
        if self.refuse is not None:
            raise self.refuse

    def desired(self):
        return [body["status"].get("desiredReplicas") for _, body in self.statuses]


@asynccontextmanager
async def reporting(leads=lambda: True, **wishes):
    """A reporter at work, and the API server that it writes to."""
    api, stop = ApiServer(), asyncio.Event()
    reporter = Reporter(api, leads, "forescale-0", **wishes)
    running = asyncio.create_task(reporter.run(stop))
    held = api.gate
    yield api, reporter
    held.set()
    stop.set()
    await running


async def settle():
    """Let everything that can happen without time happen."""
    for _ in range(50):
        await asyncio.sleep(0)


async def until(holds):
    """Wait for what comes with time; then what comes at once with it, and should not, is there too."""
    async with asyncio.timeout(5.0):
        while not holds():
            await asyncio.sleep(0.01)
    await settle()


def run(story, **wishes):
    async def told():
        async with reporting(**wishes) as (api, reporter):
            await story(api, reporter)

    run_virtually(told())


def refused(code, reason="Nothing", retry_after_s=None):
    return ApiError("PATCH", PATH, code, reason, "no", retry_after_s)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
    """Pauses that `settle` is through before they end, on a busy machine too."""
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.2)


def test_a_status_is_written_once_and_a_hold_with_moving_demand_writes_nothing():
    async def story(api, reporter):
        for tick in range(20):
            reporter.note(facts(later_s=15 * tick), an_outcome(reading=Value(300.0 + tick)))
            await settle()
        ((path, body),) = api.statuses
        assert path == PATH
        assert set(body) == {"metadata", "status"}
        assert body["metadata"] == {"uid": "uid-1"}
        assert merged({}, body["status"]) == CALM | {"lastDecision": CALM["lastDecision"] | {"demand": "300"}}
        assert api.events == []

    run(story)


def test_a_status_that_stands_there_already_is_not_written_after_a_restart():
    async def story(api, reporter):
        reporter.note(facts(CALM, later_s=600), an_outcome(reading=Value(1.0)))
        await settle()
        assert api.tries == 0

    run(story)


def test_a_change_costs_one_status_and_one_event():
    async def story(api, reporter):
        reporter.note(facts(CALM), ADD)
        reporter.note(facts(CALM, later_s=15), an_outcome(6, 6))
        await settle()
        assert api.desired() == [6]
        ((path, event),) = api.events
        assert path == "/api/v1/namespaces/shop/events"
        assert (event["reason"], event["involvedObject"]["uid"]) == ("Scaled", "uid-1")

    run(story)


def test_the_newest_of_each_policy_is_written_while_ticks_never_wait():
    async def story(api, reporter):
        api.gate.clear()
        policies = [replace(facts(), uid=f"uid-{number}", name=f"web-{number}") for number in range(100)]
        for size in (6, 7, 8):
            for policy in policies:
                policy = replace(policy, unix_s=policy.unix_s + 15 * size)
                reporter.note(policy, an_outcome(size - 1, size, (Reason.BELOW_BAND,)))
            await settle()
        assert api.most_in_flight == MOST_OF_NAMESPACE
        api.gate.set()

        def newest():
            return {path: body["status"]["desiredReplicas"] for path, body in api.statuses}

        await until(lambda: len(newest()) == 100 and set(newest().values()) == {8})
        again = len(api.statuses) - 100  # those under way at the first were written again
        assert 0 < again <= MOST_OF_NAMESPACE
        assert api.most_in_flight == MOST_OF_NAMESPACE

    run(story)


@pytest.mark.parametrize("code", [422, 403, 404, 409, 429, 500, None])
def test_a_refused_status_is_counted_logged_once_and_written_later(code, caplog):
    counted = []

    async def story(api, reporter):
        api.refuse = refused(code, retry_after_s=0.1 if code == 429 else None)
        for number in range(3):
            reporter.note(replace(facts(), uid=f"uid-{number}", name=f"web-{number}"), an_outcome())
        await settle()
        assert api.tries == 3
        api.refuse = None
        await until(lambda: len(api.statuses) >= 3)
        assert len(api.statuses) == 3

    run(story, count=lambda *what: counted.append(what))
    assert counted == [("status", "refused")] * 3 + [("status", "written")] * 3
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "shop/web-0 cannot be written" in line.getMessage()


def test_what_is_noted_during_a_pause_waits_for_its_end_and_goes_in_place_of_the_old():
    async def story(api, reporter):
        api.refuse = refused(403)
        reporter.note(facts(), an_outcome())
        await settle()
        reporter.note(facts(later_s=15), ADD)
        await settle()
        assert api.tries == 2  # one status, one event
        api.refuse = None
        await until(api.desired)
        assert api.desired() == [6]

    run(story)


def test_a_deleted_policy_is_not_written_for():
    async def story(api, reporter):
        api.gate.clear()
        for number in range(MOST_OF_NAMESPACE + 1):
            reporter.note(replace(facts(), uid=f"uid-{number}"), an_outcome())
        await settle()
        reporter.forget(f"uid-{MOST_OF_NAMESPACE}")  # waits
        reporter.note(replace(facts(later_s=15), uid="uid-0"), ADD)
        reporter.forget("uid-0")  # is under way, and had more to say
        reporter.forget("never seen")
        api.gate.set()
        await settle()
        assert len(api.statuses) == MOST_OF_NAMESPACE
        assert 6 not in api.desired()

    run(story)


def test_who_does_not_hold_the_lease_writes_nothing_and_forgets_what_it_meant_to():
    leads = [True]

    async def story(api, reporter):
        api.refuse = refused(500)
        reporter.note(facts(), ADD)
        await settle()
        api.refuse, leads[0], tries = None, False, api.tries
        reporter.note(facts(later_s=15), an_outcome(6, 6))
        await asyncio.sleep(3 * module.FIRST_PAUSE_S)
        assert api.tries == tries

        leads[0] = True  # the other instance has written its own status meanwhile
        theirs = status_of(an_outcome(9, 9), facts(later_s=30))
        reporter.note(facts(theirs, later_s=45), an_outcome(9, 9))
        await settle()
        assert api.tries == tries

    run(story, leads=lambda: leads[0])


@pytest.mark.parametrize("lost", ["the Lease", "the policy"])
def test_what_is_lost_while_a_write_waits_for_its_turn_is_not_written_for(lost):
    holds = [True]

    async def story(api, reporter):
        api.turn.clear()
        reporter.note(facts(CALM), ADD)
        await settle()
        if lost == "the Lease":
            holds[0] = False
        else:
            reporter.forget("uid-1")
        api.turn.set()
        await settle()
        assert api.statuses == []
        assert len(api.events) == (lost != "the Lease")

    run(story, leads=lambda: holds[0])


def test_a_write_says_what_is_newest_when_its_turn_comes():
    async def story(api, reporter):
        api.turn.clear()
        reporter.note(facts(CALM), ADD)
        await settle()
        reporter.note(facts(CALM, later_s=15), an_outcome(6, 9, (Reason.BELOW_BAND,)))
        api.turn.set()
        await settle()
        assert api.desired() == [9]

    run(story)


def test_what_was_not_written_before_the_lease_was_lost_is_told_anew_after():
    leads = [True]

    async def story(api, reporter):
        api.gate.clear()
        for number in range(MOST_OF_NAMESPACE):
            reporter.note(replace(facts(), uid=f"busy-{number}"), an_outcome())
        reporter.note(facts(), ADD)
        await settle()
        leads[0] = False
        api.gate.set()
        await settle()
        assert 6 not in api.desired()

        leads[0] = True
        reporter.note(facts(later_s=15), an_outcome(6, 6))
        await settle()
        assert 6 in api.desired()

    run(story, leads=lambda: leads[0])


@pytest.mark.parametrize("answers", [True, False])
def test_a_last_change_is_still_written_when_stopped_unless_nobody_answers(answers, monkeypatch):
    monkeypatch.setattr(module, "LAST_WORDS_S", 0.05)
    written = []

    async def story(api, reporter):
        reporter.note(facts(), ADD)
        if not answers:
            api.gate = asyncio.Event()  # for ever
        written.append(api.statuses)

    run(story)
    assert len(written[0]) == answers


def test_a_forged_status_is_put_right_and_an_echo_of_ours_is_not():
    async def story(api, reporter):
        reporter.note(facts(), an_outcome())
        await settle()
        ours = merged({}, api.statuses[0][1]["status"])
        reporter.note(facts(ours, later_s=15), an_outcome())
        pruned = ours | {"queries": {}}  # by an older definition, which the answer did not show: put right once
        reporter.note(facts(pruned, later_s=30), an_outcome())
        await settle()
        assert len(api.statuses) == 2

        forged = ours | {"observedGeneration": 99, "conditions": "none"}
        reporter.note(facts(forged, later_s=45), an_outcome())
        await settle()
        assert len(api.statuses) == 3
        assert merged({}, api.statuses[2][1]["status"])["conditions"][0]["reason"] == "Served"

    run(story)


def test_a_field_that_an_older_definition_prunes_is_not_written_again_and_again():
    async def story(api, reporter):
        async def pruning(path, body):
            api.statuses.append((path, body()))
            return {"status": merged({}, api.statuses[-1][1]["status"]) | {"queries": {}}}

        api.patch = pruning
        reporter.note(facts(), an_outcome())
        await settle()
        for tick in range(1, 5):
            told = merged({}, api.statuses[0][1]["status"]) | {"queries": {}}
            reporter.note(facts(told, later_s=15 * tick), an_outcome())
            await settle()
        assert len(api.statuses) == 1

    run(story)


def test_an_event_that_is_refused_is_not_sent_again():
    counted = []

    async def story(api, reporter):
        api.refuse = refused(403)
        reporter.note(facts(CALM), COMPETITOR)
        await settle()
        api.refuse = None
        await until(lambda: api.statuses)
        assert api.events == []

    run(story, count=lambda *what: counted.append(what))
    assert counted == [("status", "refused"), ("event", "refused"), ("status", "written")]


def test_while_the_api_server_is_silent_the_oldest_events_make_room():
    counted: list[tuple[str, str]] = []

    async def story(api, reporter):
        api.gate.clear()
        for number in range(MOST_EVENTS_WAITING + 3):
            reporter.note(replace(facts(CALM), uid=str(number), name=f"web-{number}"), COMPETITOR)
        assert counted == [("event", "dropped")] * 3

    run(story, count=lambda *what: counted.append(what), now_s=itertools.count(step=10).__next__)


def a_policy(namespace, number, later_s=0):
    return replace(facts(later_s=later_s), namespace=namespace, uid=f"{namespace}-{number}", name=f"web-{number}")


def written_in(api, namespace):
    return sum(f"/namespaces/{namespace}/" in path for path, _ in api.statuses)


def test_statuses_of_one_namespace_do_not_wait_behind_those_of_another():
    async def story(api, reporter):
        for number in range(400):
            reporter.note(a_policy("evil", number), an_outcome())
        for number in range(3):
            reporter.note(a_policy("good", number), an_outcome())
        before = []

        async def patch(path, body):
            api.statuses.append((path, body()))
            before.append(written_in(api, "evil") if "/good/" in path else None)
            await asyncio.sleep(0)
            return {"status": {}}

        api.patch = patch
        await until(lambda: written_in(api, "good") == 3)
        assert max(behind for behind in before if behind is not None) <= MOST_OF_NAMESPACE + 3

    run(story)


def test_writes_that_hang_in_one_namespace_leave_room_for_the_others():
    async def story(api, reporter):
        hanging, patch = asyncio.Event(), api.patch

        async def hangs_in_evil(path, body):
            if "/evil/" in path:
                await hanging.wait()
                raise refused(None, "Timeout")
            return await patch(path, body)

        api.patch = hangs_in_evil
        for number in range(40):
            reporter.note(a_policy("evil", number), an_outcome())
        for number in range(40):
            reporter.note(a_policy("good", number), an_outcome())
        await until(lambda: written_in(api, "good") == 40)
        assert reporter._in_flight == {"evil": MOST_OF_NAMESPACE}
        hanging.set()
        hanging.clear()
        await settle()
        assert reporter._in_flight == {"evil": 1}  # until one is answered
        hanging.set()

    run(story)


def test_events_are_sent_while_there_are_statuses_without_end():
    async def story(api, reporter):
        before = []

        async def post(path, body):
            before.append(len(api.statuses))

        api.post = post
        for number in range(60):
            reporter.note(replace(a_policy("evil", number), before=CALM), ADD)
        await until(lambda: len(api.statuses) == 60)
        assert min(before) <= 2 * MOST_OF_NAMESPACE

    run(story)


def test_events_beyond_the_limits_are_counted():
    counted: list[tuple[str, str]] = []

    async def story(api, reporter):
        for number in range(200):
            reporter.note(replace(a_policy("evil", number), before=CALM), COMPETITOR)
        await until(lambda: counted.count(("status", "written")) == 200)

    run(story, count=lambda *what: counted.append(what), now_s=lambda: 0.0)
    sent = counted.count(("event", "written")) + counted.count(("event", "dropped"))
    assert sent == NAMESPACE_BURST + OVERALL_BURST
    assert counted.count(("event", "limited")) == 200 - sent


def test_events_of_many_namespaces_are_bounded_and_the_one_with_the_most_loses():
    counted = []

    async def story(api, reporter):
        api.gate.clear()
        for number in range(MOST_EVENTS_WAITING):
            reporter._announce({"metadata": {"namespace": "evil"}, "number": number})
        for number in range(MOST_EVENTS):
            reporter._announce({"metadata": {"namespace": f"good-{number % 100}"}})
        assert len(reporter._events) == MOST_EVENTS
        assert reporter._events.waiting("evil") < MOST_EVENTS_WAITING / 10
        while reporter._events:
            reporter._events.pop()

    run(story, count=lambda *what: counted.append(what))
    assert counted == [("event", "dropped")] * MOST_EVENTS_WAITING


def test_a_resource_that_cannot_be_read_is_told_and_stops_being_so():
    async def story(api, reporter):
        reporter.note_invalid(facts(), "spec.mode: no")
        reporter.note_invalid(facts(later_s=15), "spec.mode: no")
        await settle()
        assert len(api.statuses) == len(api.events) == 1
        reporter.note(facts(later_s=30), an_outcome())
        await settle()
        assert len(api.statuses) == 2

    run(story)


def test_what_cannot_be_told_keeps_nobody_from_a_decision(caplog):
    async def story(api, reporter):
        reporter.note(replace(facts(), unix_s=float("nan")), without_scale())
        api.refuse = ValueError("a defect")
        reporter.note(facts(), an_outcome())
        await settle()
        api.refuse = None
        await until(lambda: api.statuses)
        assert len(api.statuses) == 1

    run(story)
    assert [record.getMessage() for record in caplog.records] == [
        "no status for shop/web",
        "the status of shop/web cannot be written",
    ]

"""Who is decided on when, what is passed on, and what one policy's trouble does to the others: nothing."""

import asyncio
import contextlib
from dataclasses import dataclass, field

import pytest

from controller.operator.clock import Clock
from controller.operator.loop import Loop
from controller.operator.policies import Policies, PolicyRecord
from controller.ports import Ports, Refused, Scale
from controller.reconcile import Outcome
from controller.windows import wishes_at
from scaling.decision import Action, Reason
from scaling.observation import Unknown, Value
from scaling.policy import RULES
from tests.controller.operator.test_policies import a_body
from tests.virtual_time import run_virtually

INTERVAL_S = 15.0
ALWAYS_FROZEN = {"schedule": "* * * * *", "duration": "1h", "action": "Freeze"}


@dataclass
class World:
    """Both ports, and a clock that tests move."""

    now_s: float = 1000.0
    demand_now: float = 280.0
    scale_now: Scale | Refused = field(default_factory=lambda: Scale(2, 2))
    slow: set[str] = field(default_factory=set)
    unknown: bool = False
    written: list[tuple[str, int]] = field(default_factory=list)

    async def demand(self, target, now_s):
        if target.resource.name in self.slow:
            await asyncio.sleep(3600)
        return Unknown(Reason.METRIC_EMPTY) if self.unknown else Value(self.demand_now, covered=True)

    async def bad_ratio(self, target, now_s):
        return None

    async def healthy(self, target, now_s):
        return True

    async def scale(self, target, now_s):
        return self.scale_now

    async def set_replicas(self, target, seen, replicas, now_s):
        self.written.append((target.resource.name, replicas))
        return


class Asked:
    """Histories that only note who wants one."""

    def __init__(self):
        self.wanted: list[str] = []

    def want(self, record: PolicyRecord, gap_s: float = 0.0) -> None:
        self.wanted.append(record.name)


class Stage:
    """A loop over a world; `pass_s` lets time pass and the loop see it."""

    def __init__(self):
        self.world, self.histories, self.leads = World(), Asked(), True
        clock = Clock(lambda: self.world.now_s, lambda: self.world.now_s)
        self.policies = Policies(clock.now_s)
        self.reported: list[tuple[str, Outcome]] = []
        self.ended: list[float] = []
        self.loop = Loop(
            self.policies,
            Ports(self.world, self.world),
            self.histories,  # type: ignore[arg-type]  # all that the loop asks of them
            clock,
            policy_of=lambda record: RULES["hpa"],
            group_of=lambda target: target.resource.name,
            may_act=lambda: self.leads,
            report=lambda seen: self.reported.extend((record.name, outcome) for record, outcome in seen),
            ended=self.ended.append,
        )
        self.policies.on_change = self.loop.take
        self.policies.on_gone = self.loop.leave

    def add(self, name="web", **spec):
        body = a_body(uid=name, **spec)
        body["metadata"]["name"] = name
        self.policies.note(None, body)

    async def pass_s(self, seconds):
        self.world.now_s += seconds
        stop = asyncio.Event()
        running = asyncio.create_task(self.loop.run(stop))
        await asyncio.sleep(0.05)
        stop.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(running, 0.2)

    def decisions(self, name="web"):
        return [outcome.decision for told, outcome in self.reported if told == name]


def play(story):
    async def on_stage():
        stage = Stage()
        await story(stage)
        return stage

    return run_virtually(on_stage())


def test_the_first_look_changes_nothing_and_the_next_one_acts():
    async def story(stage):
        stage.add()
        (record,) = stage.policies
        record.remembered = True
        for _ in range(2):
            await stage.pass_s(INTERVAL_S)

    stage = play(story)
    first, second = stage.decisions()
    assert first.action is Action.HOLD
    assert Reason.JUST_STARTED in first.reasons
    assert second.action is Action.ADD
    assert stage.world.written == [("web", 4)]


def test_a_policy_waits_for_its_history_but_not_for_ever():
    async def story(stage):
        stage.add()
        for _ in range(6):
            await stage.pass_s(INTERVAL_S)

    stage = play(story)
    assert [Reason.JUST_STARTED in decision.reasons for decision in stage.decisions()] == [True] * 3 + [False] * 3
    assert stage.histories.wanted == ["web"]


def test_without_the_lease_nothing_is_decided():
    async def story(stage):
        stage.leads = False
        stage.add()
        await stage.pass_s(60.0)

    assert play(story).reported == []


def test_a_slow_source_holds_up_nobody_else(monkeypatch):
    monkeypatch.setattr("controller.operator.loop.PATIENCE_S", 0.01)

    async def story(stage):
        stage.world.slow = {"slow"}
        for name in ("slow", "web"):
            stage.add(name)
        for _ in range(3):
            await stage.pass_s(INTERVAL_S)

    stage = play(story)
    assert len(stage.decisions("web")) == 3
    assert stage.decisions("slow") == []


def test_a_calendar_that_cannot_be_read_is_one_policys_trouble(monkeypatch):
    def wishes(resource, unix_s):
        if resource.name == "broken":
            raise OverflowError("date value out of range")
        return wishes_at(resource, unix_s)

    monkeypatch.setattr("controller.operator.loop.wishes_at", wishes)

    async def story(stage):
        for name in ("broken", "web"):
            stage.add(name)
        for _ in range(2):
            await stage.pass_s(INTERVAL_S)

    stage = play(story)
    assert len([decision for decision in stage.decisions("web") if decision]) == 2
    scales = [outcome.scale for name, outcome in stage.reported if name == "broken"]
    assert scales == [Refused("ReadingFailed", "OverflowError: date value out of range")] * 2
    assert stage.policies.named("shop", "broken").in_flight_since_s is None


def test_a_tick_that_ends_late_lets_nothing_go_that_a_later_one_has_in_hand(monkeypatch):
    monkeypatch.setattr("controller.operator.loop.PATIENCE_S", 0.01)
    in_flight_since_s: list[bool] = []

    async def story(stage):
        answers = {"slow": asyncio.Event(), "web": asyncio.Event()}
        real_demand = stage.world.demand

        async def demand(target, now_s):
            await answers[target.resource.name].wait()
            return await real_demand(target, now_s)

        stage.world.demand = demand
        for name in answers:
            stage.add(name)
        answers["web"].set()
        await stage.pass_s(INTERVAL_S)  # web's is there, slow's is waited for
        answers["web"].clear()
        await stage.pass_s(INTERVAL_S)
        answers["slow"].set()
        await asyncio.sleep(0.05)
        in_flight_since_s.extend(stage.policies.get(name).in_flight_since_s is not None for name in answers)
        answers["web"].set()
        await asyncio.sleep(0.05)

    stage = play(story)
    assert in_flight_since_s == [False, True]
    assert (len(stage.decisions("slow")), len(stage.decisions("web"))) == (1, 2)


def test_who_shares_a_tick_with_one_that_hangs_is_told_without_it():
    async def story(stage):
        stage.loop._group_of = lambda target: "one"
        stage.world.slow = {"hangs"}
        for name in ("hangs", "web"):
            stage.add(name)
        stage.world.now_s += INTERVAL_S
        running = asyncio.create_task(stage.loop.run(asyncio.Event()))
        async with asyncio.timeout(5.0):
            while not stage.reported:
                await asyncio.sleep(0.01)
        running.cancel()

    stage = play(story)
    assert (len(stage.decisions("hangs")), len(stage.decisions())) == (0, 1)


def test_a_tick_is_measured_once_from_its_beginning_to_its_last_outcome(monkeypatch):
    monkeypatch.setattr("controller.reconcile.DECIDED_AT_ONCE", 2)

    async def story(stage):
        stage.loop._group_of = lambda target: "one"
        for number in range(7):
            stage.add(f"web-{number}")
        await stage.pass_s(INTERVAL_S)

    stage = play(story)
    assert len(stage.reported) == 7
    assert len(stage.ended) == 1


def test_the_first_look_at_what_was_edited_meanwhile_is_still_to_come():
    async def story(stage):
        stage.add()
        (record,) = stage.policies
        real_demand = stage.world.demand

        async def edited_meanwhile(target, now_s):
            demand = {"query": "sum(y)", "targetPerReplica": "70"}
            stage.policies.note("MODIFIED", a_body(uid="web", generation=2, demand=demand))
            return await real_demand(target, now_s)

        stage.world.demand = edited_meanwhile
        await stage.pass_s(INTERVAL_S)
        assert len(stage.reported) == 1
        assert record.last_evaluated_s is None
        assert record.in_flight_since_s is None

    play(story)


def test_a_stop_gives_a_tick_that_hangs_a_moment_and_no_more(monkeypatch):
    monkeypatch.setattr("controller.operator.loop.LAST_TICK_S", 0.05)

    async def story(stage):
        stage.world.slow = {"web"}
        stage.add()
        stage.world.now_s += INTERVAL_S
        stop = asyncio.Event()
        running = asyncio.create_task(stage.loop.run(stop))
        await asyncio.sleep(0.05)
        stop.set()
        await asyncio.wait_for(running, 5.0)

    assert play(story).reported == []


def test_an_edit_while_a_decision_is_in_hand_voids_it():
    async def story(stage):
        stage.add()
        (record,) = stage.policies
        record.remembered, record.last_evaluated_s = True, 0.0
        real_demand = stage.world.demand

        async def edited_meanwhile(target, now_s):
            reading = await real_demand(target, now_s)
            stage.policies.note("MODIFIED", a_body(uid="web", generation=2, mode="Shadow"))
            return reading

        stage.world.demand = edited_meanwhile
        await stage.pass_s(INTERVAL_S)
        assert record.last_evaluated_s == stage.world.now_s  # who edits all the time is not overdue for that

    stage = play(story)
    assert stage.world.written == []


def test_an_edit_between_preparing_and_deciding_voids_it_and_takes_nobody_elses_decision(monkeypatch):
    async def story(stage):
        for name in ("web", "other"):
            stage.add(name)
        for record in stage.policies:
            record.remembered, record.last_evaluated_s = True, 0.0

        def edited_then(resource, unix_s):
            if resource.name == "web":
                edited = a_body(uid="web", generation=2, guardrails={"freezeWindows": [ALWAYS_FROZEN]})
                asyncio.get_running_loop().call_soon(stage.policies.note, "MODIFIED", edited)
            return wishes_at(resource, unix_s)

        monkeypatch.setattr("controller.operator.loop.wishes_at", edited_then)
        await stage.pass_s(INTERVAL_S)

    stage = play(story)
    assert sorted(name for name, _ in stage.reported) == ["other", "web"]
    assert [name for name, _ in stage.world.written] == ["other"]


@pytest.mark.parametrize("gap_s", [300.0, 1200.0])
def test_after_a_long_gap_the_history_is_asked_for_again(gap_s):
    async def story(stage):
        stage.add()
        (record,) = stage.policies
        record.remembered = True
        stage.histories.wanted.clear()
        await stage.pass_s(INTERVAL_S)
        stage.world.unknown = True
        await stage.pass_s(INTERVAL_S)
        await stage.pass_s(gap_s)
        stage.world.unknown = False
        await stage.pass_s(INTERVAL_S)

    assert play(story).histories.wanted == (["web"] if gap_s > 960 else [])


def test_a_deleted_policy_is_looked_at_no_more():
    async def story(stage):
        stage.add()
        stage.policies.note("DELETED", a_body(uid="web"))
        await stage.pass_s(60.0)

    assert play(story).reported == []

"""One tick over many targets: what each one's decision rests on, what is written, and whom a failure touches."""

import asyncio
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from controller.crd.resource import parse_policy
from controller.ports import Ports, Refused, Scale, Target
from controller.reconcile import OF_A_CONDITION, in_parts, reconcile
from scaling.decision import Action, Reason
from scaling.observation import Reading, Unknown, Value
from scaling.policy import RULES

GONE = Refused("TargetNotFound", "shop/api: no such Deployment")
NOT_THE_SAME = Refused("ScaleChanged", "shop/web: the scale is no longer the one that was seen")


def a_target(name="web", **spec):
    body = {
        "apiVersion": "forescale.dev/v1alpha1",
        "kind": "ScalingPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "maxReplicas": 40,
            "demand": {"targetPerReplica": "70"},
            "service": {"badRatioQuery": "bad"},
            "guardrails": {"requireHealthy": [{"query": "up"}]},
            **spec,
        },
    }
    return Target(parse_policy(body))


@dataclass
class World:
    """Both ports in memory: 280 rps on two ready replicas, for which the reference rule wants four."""

    readings: dict[str, Reading] = field(default_factory=dict)
    scales: dict[str, Scale | Refused] = field(default_factory=dict)
    unhealthy: frozenset[str] = frozenset()
    write: Refused | None = None
    written: dict[str, int] = field(default_factory=dict)

    async def demand(self, target, now_s):
        return self.readings.get(target.resource.name, Value(280.0))

    async def bad_ratio(self, target, now_s):
        return None

    async def healthy(self, target, now_s):
        return target.resource.name not in self.unhealthy

    async def scale(self, target, now_s):
        return self.scales.get(target.resource.name, Scale(2, 2))

    async def set_replicas(self, target, seen, replicas, now_s):
        if self.write is None:
            self.written[target.resource.name] = replicas
        return self.write


def one_tick(world, *targets, policy=RULES["hpa"]):
    """Outcomes in the order of the targets: who comes first in a tick is nobody's promise."""
    outcomes = asyncio.run(reconcile(targets, Ports(world, world), policy, 15.0))
    assert len(outcomes) == len(targets)
    return sorted(outcomes, key=lambda outcome: targets.index(outcome.target))


def test_what_is_decided_is_written():
    world = World()
    (outcome,) = one_tick(world, a_target())
    assert outcome.decision is not None
    assert (outcome.decision.action, outcome.decision.final_replicas) == (Action.ADD, 4)
    assert outcome.changed
    assert world.written == {"web": 4}


def test_only_changes_are_written():
    world = World(readings={"web": Value(140.0)})
    (outcome,) = one_tick(world, a_target())
    assert outcome.decision is not None
    assert outcome.decision.action is Action.HOLD
    assert (outcome.acts, outcome.changed, world.written) == (False, False, {})


def test_shadow_decides_and_is_never_written():
    world = World()
    (outcome,) = one_tick(world, a_target(mode="Shadow"))
    assert outcome.decision is not None
    assert outcome.decision.final_replicas == 4
    assert (outcome.acts, world.written) == (False, {})


def test_a_policy_that_was_replaced_while_it_was_decided_on_writes_nothing():
    world, target = World(), a_target()
    target.superseded = True
    (outcome,) = one_tick(world, target)
    assert outcome.decision is not None
    assert (outcome.acts, world.written) == (False, {})


def test_the_wishes_of_this_moment_count_and_not_those_of_the_resource():
    world, target = World(), a_target()
    target.spec = replace(target.spec, max_replicas=3)
    one_tick(world, target)
    assert world.written == {"web": 3}


def test_readiness_that_is_not_known_is_said_in_every_decision():
    world = World(scales={"web": Scale(5, 5, ready_known=False)})
    (web,) = one_tick(world, a_target())
    assert web.decision is not None
    assert Reason.READINESS_UNKNOWN in web.decision.reasons


def test_one_targets_missing_metric_leaves_the_others_alone():
    world = World(readings={"web": Unknown(Reason.METRIC_EMPTY)})
    web, api = one_tick(world, a_target(), a_target("api"))
    assert web.decision is not None
    assert web.decision.reasons == (Reason.METRIC_EMPTY, Reason.HISTORY_SHORT)
    assert api.changed
    assert world.written == {"api": 4}


def test_without_a_scale_there_is_no_decision_and_the_others_have_theirs():
    world = World(scales={"api": GONE})
    api, web = one_tick(world, a_target("api"), a_target())
    assert (api.scale, api.reading) == (GONE, Value(280.0))
    assert (api.observation, api.decision, api.acts) == (None, None, False)
    assert world.written == {"web": 4}
    assert web.changed


def test_a_target_that_cannot_be_decided_keeps_no_other_from_its_decision(caplog):
    world, broken = World(scales={"api": GONE}), a_target("broken")
    broken.state.memory["recent"] = None
    outcomes = one_tick(world, a_target(), broken, a_target("api"), a_target("shop"))
    assert [outcome.decision is None for outcome in outcomes] == [False, True, True, False]
    assert outcomes[1].failure.startswith("TypeError: ")
    assert outcomes[1].acts is False
    assert "no decision for shop/broken" in caplog.text
    assert world.written == {"web": 4, "shop": 4}


def test_a_source_that_hangs_holds_up_no_other_target():
    class Hanging(World):
        async def demand(self, target, now_s):
            if target.resource.name == "slow":
                await answered.wait()
            return await super().demand(target, now_s)

    async def names_in_parts():
        parts = []
        async for part in in_parts([a_target("slow"), a_target()], Ports(world, world), RULES["hpa"], 15.0, 0.01):
            parts.append([outcome.target.resource.name for outcome in part])
            answered.set()
        return [names for names in parts if names]

    world, answered = Hanging(readings={"web": Value(140.0)}), asyncio.Event()
    assert asyncio.run(names_in_parts()) == [["web"], ["slow"]]


def test_what_hangs_late_holds_up_neither_a_later_reading_nor_what_is_told_of_a_write():
    class Late(World):
        async def demand(self, target, now_s):
            await asyncio.sleep(delays[target.resource.name])
            return await super().demand(target, now_s)

    async def names_in_parts():
        targets = [a_target(name) for name in delays]
        parts = in_parts(targets, Ports(world, world), RULES["hpa"], 15.0, 0.01)
        return [outcome.target.resource.name async for part in parts for outcome in part]

    world, delays = Late(), {"web": 0.0, "hangs": 0.4, "late": 0.1}
    assert asyncio.run(names_in_parts()) == ["web", "late", "hangs"]
    assert list(world.written) == ["web", "late", "hangs"]


@pytest.mark.parametrize("question", ["demand", "bad_ratio", "healthy", "scale"])
def test_a_source_that_raises_keeps_no_other_target_from_its_decision(question, monkeypatch, caplog):
    world = World()
    whole = getattr(world, question)

    async def broken(target, now_s):
        if target.resource.name == "broken":
            raise KeyError("uid")
        return await whole(target, now_s)

    monkeypatch.setattr(world, question, broken)
    web, api, shop = one_tick(world, a_target(), a_target("broken"), a_target("shop"))
    assert api.scale == Refused("ReadingFailed", "KeyError: 'uid'")
    assert (api.decision, api.acts) == (None, False)
    assert web.changed
    assert shop.changed
    assert "nothing is known of shop/broken" in caplog.text


@pytest.mark.parametrize("question", ["bad_ratio", "healthy"])
def test_what_a_policy_does_not_ask_is_not_asked(question, monkeypatch):
    async def asked(target, now_s):
        raise KeyError(question)

    world = World()
    monkeypatch.setattr(world, question, asked)
    (outcome,) = one_tick(world, a_target(service={}, guardrails={}))
    assert outcome.changed


def test_a_write_that_raises_is_a_refused_one_and_keeps_no_other_from_its_own(monkeypatch, caplog):
    world = World()
    whole = world.set_replicas

    async def broken(target, seen, replicas, now_s):
        if target.resource.name == "broken":
            raise KeyError("uid")
        return await whole(target, seen, replicas, now_s)

    monkeypatch.setattr(world, "set_replicas", broken)
    api, web = one_tick(world, a_target("broken"), a_target())
    assert (api.write, api.changed) == (Refused("WritingFailed", "KeyError: 'uid'"), False)
    assert web.changed
    assert "no answer to a write of shop/broken" in caplog.text


def test_many_targets_are_taken_in_turns_that_let_others_run(monkeypatch):
    monkeypatch.setattr("controller.reconcile.READ_AT_ONCE", 3 * (1 + OF_A_CONDITION))  # each has a condition
    monkeypatch.setattr("controller.reconcile.DECIDED_AT_ONCE", 2)

    class Counting(World):
        begun = 0

        async def demand(self, target, now_s):
            self.begun += 1
            return await super().demand(target, now_s)

    async def sizes():
        begun: list[int] = []
        turns = asyncio.get_running_loop().create_task(watch(begun))
        parts = in_parts([a_target(f"web-{n}") for n in range(7)], Ports(world, world), RULES["hpa"], 15.0, None)
        decided = [len(part) async for part in parts]
        turns.cancel()
        return max(after - before for before, after in pairwise([0, *begun])), decided

    async def watch(begun):
        while True:
            begun.append(world.begun)
            await asyncio.sleep(0)

    world = Counting(readings={f"web-{n}": Value(140.0) for n in range(7)})
    assert asyncio.run(sizes()) == (3, [2, 2, 2, 1])


@pytest.mark.parametrize(
    ("mine", "scales", "unhealthy", "holds"),
    [
        ((), (), frozenset(), ()),
        ((Reason.NO_SCALE_DOWN,), (), frozenset(), (Reason.NO_SCALE_DOWN,)),
        ((), (Reason.ROLLOUT,), frozenset(), (Reason.ROLLOUT,)),
        ((), (), frozenset({"web"}), (Reason.UNHEALTHY,)),
        (
            (Reason.FROZEN,),
            (Reason.CONFLICT,),
            frozenset({"web"}),
            (Reason.FROZEN, Reason.CONFLICT, Reason.UNHEALTHY),
        ),
    ],
)
def test_whatever_holds_a_target_is_observed(mine, scales, unhealthy, holds):
    world, target = World(scales={"web": Scale(2, 2, scales)}, unhealthy=unhealthy), a_target()
    target.holds = mine
    (outcome,) = one_tick(world, target)
    assert outcome.observation is not None
    assert outcome.observation.holds == holds


def test_a_write_that_is_refused_stays_in_the_outcome():
    world = World(write=NOT_THE_SAME)
    (outcome,) = one_tick(world, a_target())
    assert outcome.decision is not None
    assert outcome.decision.action is Action.ADD
    assert (outcome.write, outcome.acts, outcome.changed) == (NOT_THE_SAME, True, False)

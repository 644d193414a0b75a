"""How a policy's memory is filled from the past."""

import asyncio
import math

import numpy as np
import pytest

from controller.operator.clock import Clock
from controller.operator.history import DAY_STEPS, HOUR_STEPS, Histories
from controller.operator.policies import Policies
from controller.ports import Refused, Scale, Target
from scaling.workload import DAY_MINUTES, MINUTE_STEPS, STEP_S
from tests.controller.operator.test_policies import a_body
from tests.virtual_time import run_virtually


class Source:
    """A demand of 100 by the step and of 50 by the minute, for as long as it is known."""

    def __init__(self, known_steps=DAY_STEPS):
        self.known_steps = known_steps
        self.asked: list[tuple[int, int]] = []

    async def history(self, target, until_s, steps, steps_per_sample):
        self.asked.append((steps, steps_per_sample))
        known, demand = min(steps, self.known_steps), 100.0 if steps_per_sample == 1 else 50.0
        return [math.nan] * (steps - known) + [demand] * known if known else []


def filled(source, scale=Scale(3, 3), before=lambda record: None):  # noqa: B008  # frozen
    """One policy whose history was wanted, some moments later."""

    async def read(target, now_s):
        return scale

    async def work():
        clock = Clock(lambda: 0.0, lambda: 1_000_000.0)
        policies = Policies(clock.now_s)
        policies.note(None, a_body())
        (record,) = policies
        before(record)
        histories = Histories(source, read, clock)
        histories.want(record)
        working = asyncio.create_task(histories.run())
        while not record.remembered or (source.known_steps and len(source.asked) < 3 and record.target):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5 if source.known_steps > HOUR_STEPS else 0.05)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        return record

    return run_virtually(asyncio.wait_for(work(), 20))


def test_the_hour_comes_before_the_day():
    source = Source()
    record = filled(source)
    assert source.asked == [(HOUR_STEPS, 1), (HOUR_STEPS, 1), (DAY_STEPS, 4)]
    assert record.target.state.memory["steps"] == DAY_STEPS
    assert record.target.state.remembered_until_s == pytest.approx(1_000_000.0, abs=STEP_S)


def test_the_last_hour_is_remembered_by_the_step_and_what_was_before_by_the_minute():
    memory = filled(Source()).target.state.memory
    oldest_first = np.roll(memory["minutes"], -memory["minute"]) / memory["level"]
    newest = HOUR_STEPS // MINUTE_STEPS
    assert oldest_first.tolist() == pytest.approx([0.5] * (DAY_MINUTES - newest) + [1.0] * newest)


def test_what_was_learned_since_is_kept():
    def learn(record):
        record.target.state.memory.update(steps=9, capacity_ratio=1.3)

    assert filled(Source(known_steps=100), before=learn).target.state.memory["capacity_ratio"] == 1.3


def test_a_memory_that_an_edit_dropped_is_not_filled_and_the_new_one_waits_for_its_own():
    class Edited(Source):
        async def history(self, target, until_s, steps, steps_per_sample):
            if not self.asked:
                record.target = Target(target.resource)
            return await super().history(target, until_s, steps, steps_per_sample)

    async def read(target, now_s):
        return Scale(3, 3)

    async def work():
        histories = Histories(Edited(known_steps=100), read, Clock(lambda: 0.0, lambda: 1_000_000.0))
        working = asyncio.create_task(histories.run())
        for _ in range(2):
            histories.want(record)
            await asyncio.sleep(0.2)
            assert record.target is not None
            filled.append((record.remembered, record.target.state.memory["steps"]))
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    policies = Policies(lambda: 0.0)
    policies.note(None, a_body())
    (record,) = policies
    filled: list[tuple[bool, int]] = []
    run_virtually(work())
    assert filled == [(False, 0), (True, 100)]


def test_a_history_that_cannot_be_had_ends_the_waiting_all_the_same():
    record = filled(Source(known_steps=0))
    assert record.remembered
    assert record.target.state.memory["steps"] == 0


def test_what_the_watches_have_not_told_yet_is_waited_for(monkeypatch):
    monkeypatch.setattr("controller.operator.history.SYNC_RETRY_S", 0.01)
    scales = iter([Refused("NotSynced", "")] * 3 + [Scale(3, 3)] * 9)
    seen = []

    async def read(target, now_s):
        seen.append(record.remembered)
        return next(scales)

    async def work():
        histories = Histories(Source(known_steps=100), read, Clock(lambda: 0.0, lambda: 1_000_000.0))
        working = asyncio.create_task(histories.run())
        histories.want(record)
        while not record.remembered:
            await asyncio.sleep(0.01)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    policies = Policies(lambda: 0.0)
    policies.note(None, a_body())
    (record,) = policies
    run_virtually(asyncio.wait_for(work(), 5))
    assert seen[:4] == [False] * 4
    assert record.target is not None
    assert record.target.state.memory["steps"] == 100


def test_without_a_scale_nothing_is_asked_of_prometheus():
    source = Source(known_steps=0)
    assert filled(source, scale=Refused("TargetNotFound", "")).remembered
    assert source.asked == []


def test_whoever_asks_again_for_a_history_that_cannot_be_had_has_it_asked_for_at_once_and_not_more_often(monkeypatch):
    monkeypatch.setattr("controller.operator.history.RETRY_S", 0.1)
    source = Source(known_steps=0)

    async def read(target, now_s):
        return Scale(3, 3)

    async def work():
        histories = Histories(source, read, Clock(lambda: 0.0, lambda: 1_000_000.0))
        working = asyncio.create_task(histories.run())
        for _ in range(3):
            histories.want(record)
            histories.want(record)
            await asyncio.sleep(0.02)
        before = len(source.asked)
        await asyncio.sleep(0.55)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        return before, len(source.asked) - before

    policies = Policies(lambda: 0.0)
    policies.note(None, a_body())
    (record,) = policies
    at_once, later = run_virtually(work())
    assert at_once == 3
    assert 1 <= later <= 5


def a_day_and_then(history, gap_s):
    """Steps remembered after a day was, and this history was asked for again."""

    class Shrunk(Source):
        async def history(self, target, until_s, steps, steps_per_sample):
            self.asked.append((steps, steps_per_sample))
            return [100.0] * steps if len(self.asked) <= 3 else history(steps)

    async def read(target, now_s):
        return Scale(3, 3)

    async def work():
        clock, source = Clock(lambda: 0.0, lambda: 1_000_000.0), Shrunk()
        policies = Policies(clock.now_s)
        policies.note(None, a_body())
        (record,) = policies
        histories = Histories(source, read, clock)
        working = asyncio.create_task(histories.run())
        histories.want(record)
        assert record.target is not None
        state = record.target.state
        while state.memory["steps"] < DAY_STEPS:
            await asyncio.sleep(0.01)
        state.memory["mean_24h"] = 99.0  # of the old memory
        histories.want(record, gap_s)
        while len(source.asked) < 6:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        return state.memory

    return run_virtually(asyncio.wait_for(work(), 20))


@pytest.mark.parametrize("known", [0, 8, 256, 4000])
def test_what_is_remembered_is_never_replaced_by_less(known):
    memory = a_day_and_then(lambda steps: [math.nan] * (steps - known) + [10.0] * min(known, steps), gap_s=1200.0)
    assert (memory["steps"], memory["mean_24h"]) == (DAY_STEPS, 99.0)


def test_a_history_that_has_what_the_gap_hid_replaces_the_bridge_over_it():
    memory = a_day_and_then(lambda steps: [math.nan] * min(40, steps) + [10.0] * (steps - 40), gap_s=1200.0)
    assert memory["mean_24h"] < 99.0

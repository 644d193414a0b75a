import asyncio
import math

import pytest

from controller.cluster.rate_limiter import SHARES, Priority, QueueFullError, RateLimiter, ShedError
from tests.virtual_time import run_virtually

CHANGE, READ, TELL, LEARN = Priority
EVER = math.inf


async def in_order(pace, *wishes):
    """Who got a turn when, asked for in the order of the wishes."""
    order = []

    async def wait(place, kind):
        await pace.turn(kind, EVER)
        order.append(place)

    async with asyncio.TaskGroup() as group:
        for place, kind in enumerate(wishes):
            group.create_task(wait(place, kind))
    return order


def test_what_was_saved_goes_out_as_it_comes_and_then_changes_go_first(monkeypatch):
    monkeypatch.setattr("controller.cluster.rate_limiter.SHARES", dict.fromkeys(SHARES, 0.001))

    async def run():
        return await in_order(RateLimiter(requests_per_s=20, burst=2), READ, READ, TELL, READ, CHANGE, CHANGE, READ)

    assert run_virtually(run()) == [0, 1, 4, 5, 3, 6, 2]


@pytest.mark.parametrize("patient", [TELL, LEARN])
def test_what_is_patient_leaves_what_a_second_brings_to_changes_and_reads(patient):
    async def run():
        pace = RateLimiter(requests_per_s=20, burst=30)
        told = [asyncio.create_task(pace.turn(patient, EVER)) for _ in range(30)]
        await asyncio.sleep(0)
        assert sum(each.done() for each in told) == 10
        changes = [asyncio.create_task(pace.turn(kind, EVER)) for kind in (CHANGE, READ) for _ in range(10)]
        await asyncio.sleep(0)
        assert all(each.done() for each in changes)
        for each in told:
            each.cancel()
        pace.close()

    run_virtually(run())


@pytest.mark.parametrize(("requests_per_s", "burst"), [(500, 1), (500, 2), (50, 30), (500, 1000)])
def test_what_is_patient_has_its_turn_at_any_pace(requests_per_s, burst):
    async def run():
        pace = RateLimiter(requests_per_s, burst)
        pace.pause(CHANGE, 0.0)
        async with asyncio.timeout(5):
            return await in_order(pace, TELL, LEARN)

    assert run_virtually(run()) == [0, 1]


def test_who_gives_up_leaves_the_turn_to_the_next():
    async def run():
        pace = RateLimiter(requests_per_s=20, burst=1)
        await pace.turn(READ, EVER)
        gone = asyncio.create_task(pace.turn(CHANGE, EVER))
        await asyncio.sleep(0)
        gone.cancel()
        return await in_order(pace, READ, CHANGE)

    assert run_virtually(run()) == [1, 0]


def test_a_turn_that_came_too_late_is_given_back():
    async def run():
        pace = RateLimiter(requests_per_s=0.001, burst=1)
        await pace.turn(READ, EVER)
        late = asyncio.create_task(pace.turn(READ, EVER))
        await asyncio.sleep(0)
        pace._tokens = 1.0  # as the refill does after a while
        pace._serve()
        late.cancel()  # between its turn and its going on
        await asyncio.wait_for(pace.turn(READ, EVER), 5)
        pace.close()

    run_virtually(run())


def test_a_pause_ends_with_changes_first():
    async def run():
        pace = RateLimiter(requests_per_s=500, burst=30)
        pace.pause(CHANGE, 0.02)
        return await in_order(pace, LEARN, TELL, READ, CHANGE)

    assert run_virtually(run()) == [3, 2, 1, 0]


def test_a_pause_takes_what_was_saved():
    async def run():
        pace = RateLimiter(requests_per_s=0.001, burst=30)
        pace.pause(CHANGE, 0.0)
        turn = asyncio.create_task(pace.turn(CHANGE, EVER))
        await asyncio.sleep(0.01)
        assert not turn.done()
        turn.cancel()
        pace.close()

    run_virtually(run())


@pytest.mark.parametrize("refused", Priority)
def test_who_is_refused_silences_those_behind_and_nobody_before(refused):
    async def run():
        pace = RateLimiter(requests_per_s=500, burst=2)
        pace.pause(refused, 60)
        for kind in Priority:
            if kind < refused:
                await pace.turn(kind, 0)
                continue
            with pytest.raises(ShedError, match="s of the silence"):
                await pace.turn(kind, 0)
        pace.close()

    run_virtually(run())


async def served_among(monkeypatch, seconds, **crowds):
    """How many requests of each namespace had their turn in so many virtual seconds, of crowds of (kind, number)."""
    pace, clock = a_pace(monkeypatch)
    served = dict.fromkeys(crowds, 0)

    async def wait(namespace, kind):
        await pace.turn(kind, EVER, namespace)
        served[namespace] += 1

    waiting = [
        asyncio.create_task(wait(namespace, kind))
        for namespace, (kind, number) in crowds.items()
        for _ in range(number)
    ]
    for _ in range(round(seconds * 100)):
        clock.now_s += 0.01
        pace._serve()
        await asyncio.sleep(0)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    pace.close()
    return served


class Clock:
    """Goes when it is told to."""

    def __init__(self):
        self.now_s = 1000.0

    def monotonic(self):
        return self.now_s


def a_pace(monkeypatch, requests_per_s=20, burst=30):
    """On virtual time, with its clock."""
    clock = Clock()
    monkeypatch.setattr("controller.cluster.rate_limiter.time", clock)
    return RateLimiter(requests_per_s, burst), clock


@pytest.mark.parametrize("kind", Priority)
def test_namespaces_are_served_in_turn_whatever_one_of_them_asks(kind, monkeypatch):
    crowds = {"evil": (kind, 150), "good": (kind, 10), "fair": (kind, 30)}
    served = run_virtually(served_among(monkeypatch, 2.0, **crowds))
    assert served["good"] == 10
    assert served["fair"] >= 13
    assert served["evil"] <= 30 + served["fair"] + 1  # with the burst, when it was alone


def test_a_namespace_alone_has_the_whole_rate(monkeypatch):
    served = run_virtually(served_among(monkeypatch, 5.0, alone=(READ, 150)))
    assert served["alone"] >= 98


@pytest.mark.parametrize("kind", SHARES)
def test_each_kind_keeps_its_share_beside_changes_without_end(kind, monkeypatch):
    crowds = {"evil": (CHANGE, 200), "good": (kind, 100)}
    served = run_virtually(served_among(monkeypatch, 9.0, **crowds))
    assert served["good"] >= 0.9 * SHARES[kind] * 20 * 9 - 1
    assert served["evil"] >= 0.7 * 20 * 9


def test_a_namespace_waits_with_a_bounded_number_of_requests_and_others_are_not_refused(monkeypatch):
    async def run():
        pace, _ = a_pace(monkeypatch, requests_per_s=1, burst=2)
        waiting = [asyncio.create_task(pace.turn(READ, EVER, "evil")) for _ in range(14)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError, match="12 requests about namespace evil wait already, the limit"):
            await pace.turn(READ, EVER, "evil")
        waiting += [asyncio.create_task(pace.turn(*other)) for other in ((READ, EVER, "good"), (CHANGE, EVER, "evil"))]
        await asyncio.sleep(0)
        waiting[5].cancel()
        await asyncio.sleep(0)
        waiting.append(asyncio.create_task(pace.turn(READ, EVER, "evil")))
        await asyncio.sleep(0)
        assert sum(each.done() for each in waiting) == 3  # two of the burst, and who gave up
        for each in waiting:
            each.cancel()
        pace.close()

    run_virtually(run())


BEHIND = [kind for kind in Priority if kind is not CHANGE]


async def within_s(seconds, pace, kind):
    """Whether a turn comes in time."""
    turn = asyncio.create_task(pace.turn(kind, EVER))
    done, _ = await asyncio.wait([turn], timeout=seconds)
    turn.cancel()
    return bool(done)


@pytest.mark.parametrize("kind", BEHIND)
def test_who_waits_for_long_has_a_turn_however_often_changes_are_refused(kind, monkeypatch):
    monkeypatch.setattr("controller.cluster.rate_limiter.PATIENCE_S", 0.3)

    async def run():
        pace = RateLimiter(requests_per_s=100, burst=30)

        async def refused():
            while True:
                pace.pause(CHANGE, 0.05)
                await pace.turn(CHANGE, EVER)

        refusing = asyncio.create_task(refused())
        await asyncio.sleep(0)
        assert await within_s(5.0, pace, kind)
        refusing.cancel()
        pace.close()

    run_virtually(run())


@pytest.mark.parametrize("kind", BEHIND)
def test_who_waits_for_long_has_a_turn_however_many_changes_there_are(kind, monkeypatch):
    monkeypatch.setattr("controller.cluster.rate_limiter.PATIENCE_S", 0.3)

    async def run():
        pace = RateLimiter(requests_per_s=100, burst=1)
        changes = [asyncio.create_task(pace.turn(CHANGE, EVER)) for _ in range(1000)]
        await asyncio.sleep(0)
        assert await within_s(5.0, pace, kind)
        assert sum(change.done() for change in changes) < len(changes)
        for change in changes:
            change.cancel()
        pace.close()

    run_virtually(run())


@pytest.mark.parametrize("kind", BEHIND)
def test_a_silence_that_it_was_asked_for_itself_is_kept(kind, monkeypatch):
    monkeypatch.setattr("controller.cluster.rate_limiter.PATIENCE_S", 0.02)

    async def run():
        pace = RateLimiter(requests_per_s=500, burst=30)
        pace.pause(kind, 60.0)
        assert not await within_s(0.3, pace, kind)
        pace.close()

    run_virtually(run())

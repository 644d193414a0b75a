import asyncio
import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from controller.cluster.api_answer import ApiError
from controller.cluster.lease import Lease, LeaseSettings, own_identity
from scaling.errors import InputError
from tests.virtual_time import run_virtually

WITHIN_S = 20.0
"""Real seconds until a test gives up; what is tested runs on the test's own clock."""


class Clock:
    """Stands still until it is told otherwise."""

    now_s = 1000.0

    def __call__(self):
        return self.now_s


@dataclass
class FakeLeases:
    """One Lease as the API server keeps it: an update with an old resourceVersion is refused."""

    lease: Any = None
    failure: ApiError | None = None
    hangs: bool = False
    writes: list[str] = field(default_factory=list)
    on_write: Callable[[Any], object] = lambda body: None
    reads: int = 0

    async def get(self, path):
        self.reads += 1
        await self._trouble()
        if self.lease is None:
            raise ApiError("GET", path, 404, "NotFound", "no such lease")
        return copy.deepcopy(self.lease)

    async def post(self, path, body):
        self.on_write(body)
        await self._trouble()
        if self.lease is not None:
            raise ApiError("POST", path, 409, "AlreadyExists", "it is there")
        return self._stored(body, "1")

    async def put(self, path, body):
        self.on_write(body)
        await self._trouble()
        if self.lease is None:
            raise ApiError("PUT", path, 404, "NotFound", "no such lease")
        version = self.lease["metadata"]["resourceVersion"]
        if body["metadata"]["resourceVersion"] != version:
            raise ApiError("PUT", path, 409, "Conflict", "it was modified")
        return self._stored(body, str(int(version) + 1))

    def edit(self, spec=None):
        """Somebody else writes."""
        if spec is not None:
            self.lease["spec"] = spec
        self.lease["metadata"]["resourceVersion"] += "0"

    def _stored(self, body, version):
        self.lease = copy.deepcopy(body) | {"metadata": {**body["metadata"], "resourceVersion": version}}
        self.writes.append(body["spec"]["holderIdentity"])
        return copy.deepcopy(self.lease)

    async def _trouble(self):
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure


@dataclass
class Side:
    """One operator: its lease, its clock, and what it was told."""

    leases: FakeLeases
    name: str
    wishes: dict[str, Any] = field(default_factory=dict)
    told: list[bool] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self):
        settings = LeaseSettings(
            namespace="own", identity=self.name, retry_s=0.005, **{"renew_s": 0.005, **self.wishes}
        )
        self.lease = Lease(self.leases, settings, self.told.append, self.clock)

    async def looked(self):
        """Until it has asked three times more."""
        before = self.leases.reads + len(self.leases.writes)
        await until(lambda: self.leases.reads + len(self.leases.writes) >= before + 3)


@contextlib.asynccontextmanager
async def running(side):
    """Run a side; it is cut off at the end unless it was stopped."""
    task = asyncio.create_task(side.lease.run(side.stop))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(holds):
    async with asyncio.timeout(WITHIN_S):
        while not holds():
            await asyncio.sleep(0.001)


def test_a_lease_that_is_not_there_is_made_and_renewed():
    async def run():
        leases = FakeLeases()
        a = Side(leases, "a")
        assert not a.lease.held()
        async with running(a):
            await until(lambda: len(leases.writes) > 3)
            assert a.lease.held()
        return leases, a

    leases, a = run_virtually(run())
    spec = leases.lease["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("a", 15, 0)
    assert spec["acquireTime"] < spec["renewTime"]
    assert (a.told, a.lease.holder, a.lease.problem) == ([True], "a", "")
    assert leases.reads == 1  # renewals are one request each


def test_who_only_looks_takes_nothing_and_learns_when_it_is_free():
    async def run():
        leases, watcher = FakeLeases(), Side(FakeLeases(), "watcher")
        watcher.lease = Lease(leases, watcher.lease.settings, watcher.told.append, watcher.clock)
        assert not watcher.lease.is_free()  # not known yet
        task = asyncio.create_task(watcher.lease.watch(watcher.stop))
        await until(watcher.lease.is_free)
        async with running(Side(leases, "a")) as acting:
            await until(lambda: not watcher.lease.is_free())
            acting.cancel()
        reads = leases.reads
        await until(lambda: leases.reads > reads + 2)
        watcher.clock.now_s += 14.9
        assert not watcher.lease.is_free()
        watcher.clock.now_s += 0.2
        assert watcher.lease.is_free()  # it died
        watcher.stop.set()
        await task
        return leases, watcher

    leases, watcher = run_virtually(run())
    assert set(leases.writes) == {"a"}
    assert (watcher.lease.held(), watcher.told) == (False, [])


def test_a_silent_holder_is_replaced_when_its_record_has_not_changed_for_its_duration_on_our_clock():
    record = {"holderIdentity": "dead", "leaseDurationSeconds": 15, "leaseTransitions": 3}
    record |= {"renewTime": "2001-01-01T00:00:00.000000Z", "acquireTime": "2001-01-01T00:00:00.000000Z"}
    leases = FakeLeases({"metadata": {"resourceVersion": "7"}, "spec": record})

    async def run():
        b = Side(leases, "b")
        async with running(b):
            await b.looked()
            b.clock.now_s += 14.9
            await b.looked()
            assert (b.lease.held(), b.lease.holder) == (False, "dead")
            leases.edit(record | {"renewTime": "1999-01-01T00:00:00.000000Z"})  # it lives, with a clock of its own
            await b.looked()
            b.clock.now_s += 14.9
            await b.looked()
            assert leases.writes == []
            b.clock.now_s += 0.2
            await until(b.lease.held)

    run_virtually(run())
    assert leases.lease["spec"]["leaseTransitions"] == 4


def test_who_was_stopped_for_a_minute_says_no_before_anything_else_runs_and_finds_the_other():
    async def run():
        leases = FakeLeases()
        a, b = Side(leases, "a"), Side(leases, "b")
        async with running(a):
            await until(a.lease.held)
        a.clock.now_s += 60  # a sleeps: its loop does nothing
        async with running(b):
            await b.looked()
            b.clock.now_s += 15
            await until(b.lease.held)
            assert not a.lease.held()
            async with running(a):
                await until(lambda: a.told == [True, False])
                await until(lambda: a.lease.holder == "b")
                assert not a.lease.held()
                assert b.lease.held()

    run_virtually(run())


def test_who_was_stopped_and_finds_nobody_else_goes_on():
    async def run():
        a = Side(FakeLeases(), "a")
        async with running(a):
            await until(a.lease.held)
            a.clock.now_s += 60
            assert not a.lease.held()
            await until(a.lease.held)
        assert a.told == [True, False, True]

    run_virtually(run())


def test_an_answer_that_came_too_late_counts_from_the_question():
    async def run():
        leases = FakeLeases()
        a = Side(leases, "a")

        def late(body):
            a.clock.now_s += 11

        leases.on_write = late
        async with running(a):
            await until(lambda: leases.writes)
            await a.looked()
            assert not a.lease.held()

    run_virtually(run())


def test_an_api_server_that_fails_ends_it_at_the_renew_deadline_and_no_sooner():
    async def run():
        leases = FakeLeases()
        a = Side(leases, "a")
        async with running(a) as task:
            await until(a.lease.held)
            leases.failure = ApiError("PUT", "/x", 500, "InternalError", "etcd is gone")
            await until(lambda: a.lease.problem)
            assert "500 InternalError: etcd is gone" in a.lease.problem
            a.clock.now_s += 9.9
            assert a.lease.held()
            a.clock.now_s += 0.2
            assert not a.lease.held()
            await until(lambda: a.told == [True, False])
            leases.failure = None
            await until(a.lease.held)
            assert a.lease.problem == ""
            assert not task.done()

    run_virtually(run())


def test_an_api_server_that_hangs_does_not_hide_the_lapse():
    async def run():
        leases = FakeLeases()
        a = Side(leases, "a", {"duration_s": 1.0, "renew_deadline_s": 0.2})
        a.lease = Lease(leases, a.lease.settings, a.told.append, asyncio.get_running_loop().time)
        async with running(a):
            await until(a.lease.held)
            leases.hangs = True
            await until(lambda: a.told == [True, False])
            assert "did not answer" in a.lease.problem
            leases.hangs = False
            await until(a.lease.held)

    run_virtually(run())


def test_a_stop_hands_over_at_once_and_we_stop_before_we_say_so():
    async def run():
        leases = FakeLeases()
        a, b = Side(leases, "a"), Side(leases, "b")
        async with running(a) as task, running(b):
            await until(a.lease.held)
            await b.looked()
            held = []

            def released(body):
                if not body["spec"]["holderIdentity"]:
                    held.append(a.lease.held())

            leases.on_write = released
            a.stop.set()
            await task
            await until(b.lease.held)
            assert held == [False]
            assert leases.writes[leases.writes.index("") + 1] == "b"
            assert a.told == [True, False]

    run_virtually(run())


def test_a_stop_of_one_who_waits_writes_nothing():
    async def run():
        leases = FakeLeases()
        a, b = Side(leases, "a"), Side(leases, "b")
        async with running(a), running(b) as task:
            await until(a.lease.held)
            await b.looked()
            b.stop.set()
            await task
            assert set(leases.writes) == {"a"}

    run_virtually(run())


def test_a_release_that_meets_an_edit_is_tried_again():
    async def run():
        leases = FakeLeases()
        a = Side(leases, "a")
        async with running(a) as task:
            await until(a.lease.held)
            releases = []

            def edited_first(body):
                if not body["spec"]["holderIdentity"]:
                    releases.append(body)
                    if len(releases) == 1:
                        leases.edit()

            leases.on_write = edited_first
            a.stop.set()
            await task
        return leases

    assert run_virtually(run()).lease["spec"]["holderIdentity"] == ""


def test_of_two_who_take_a_free_lease_at_once_the_slower_one_waits_without_a_complaint(caplog):
    async def run():
        leases = FakeLeases({"metadata": {"resourceVersion": "1"}, "spec": {}})
        a = Side(leases, "a")
        leases.on_write = lambda body: leases.edit({"holderIdentity": "b", "leaseDurationSeconds": 15})
        async with running(a):
            await a.looked()
            await until(lambda: a.lease.holder == "b")
            assert (a.told, leases.writes) == ([], [])

    run_virtually(run())
    assert caplog.messages == []


def test_an_edit_of_the_object_by_somebody_else_costs_nothing():
    async def run():
        leases = FakeLeases()
        a = Side(leases, "a")
        async with running(a):
            await until(a.lease.held)
            leases.edit()
            await a.looked()
            assert a.lease.held()
        assert a.told == [True]

    run_virtually(run())


def test_a_lease_that_is_deleted_is_made_anew():
    async def run():
        leases = FakeLeases()
        a = Side(leases, "a")
        async with running(a):
            await until(a.lease.held)
            leases.lease = None
            await until(lambda: leases.lease is not None)
            await until(a.lease.held)

    run_virtually(run())


def test_a_lease_that_is_deleted_is_its_holders_for_as_long_as_that_may_not_know():
    record = {"holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 3}

    async def run():
        leases = FakeLeases({"metadata": {"resourceVersion": "7"}, "spec": record})
        b = Side(leases, "b")
        async with running(b):
            await b.looked()
            leases.lease = None
            b.clock.now_s += 14.9
            await b.looked()
            assert (b.lease.held(), leases.writes) == (False, [])
            b.clock.now_s += 0.2
            await until(b.lease.held)

    run_virtually(run())


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="empty"),
        pytest.param(None, id="none"),
        pytest.param({"holderIdentity": None, "leaseTransitions": "x"}, id="nobody"),
        pytest.param({"holderIdentity": "", "leaseDurationSeconds": 3600}, id="released"),
        pytest.param({"holderIdentity": "b", "leaseDurationSeconds": 0}, id="for-no-time"),
    ],
)
def test_a_record_without_a_holder_is_free(spec):
    async def run():
        a = Side(FakeLeases({"metadata": {"resourceVersion": "1"}, "spec": spec}), "a")
        async with running(a):
            await until(a.lease.held)

    run_virtually(run())


def test_a_record_without_a_duration_stands_for_ours():
    async def run():
        leases = FakeLeases({"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "b"}})
        a = Side(leases, "a")
        async with running(a):
            await a.looked()
            assert not a.lease.held()
            a.clock.now_s += 15
            await until(a.lease.held)

    run_virtually(run())


def test_each_process_is_somebody_else():
    assert own_identity() != own_identity()
    assert LeaseSettings(namespace="n").identity != LeaseSettings(namespace="n").identity


def test_the_times_are_those_of_client_go():
    settings = LeaseSettings(namespace="n")
    assert (settings.duration_s, settings.renew_deadline_s, settings.retry_s) == (15, 10, 2)
    assert settings.renew_s == 3


def test_what_was_renewed_is_left_alone_for_longer_than_what_failed():
    async def run():
        tries: list[Any] = []
        leases = FakeLeases()
        leases.on_write = tries.append
        side = Side(leases, "a", {"renew_s": 0.2})
        async with running(side):
            await until(side.lease.held)
            await asyncio.sleep(0.05)
            assert len(tries) == 1
            leases.failure = ApiError("PUT", "", 500, "InternalError", "no")
            await until(lambda: side.lease.problem)
            await asyncio.sleep(0.1)
            assert len(tries) > 3

    run_virtually(run())


@pytest.mark.parametrize(
    "wish",
    [
        {"renew_deadline_s": 15},
        {"retry_s": 9},
        {"renew_s": 10},
        {"duration_s": 0.5},
        {"retry_s": 0},
        {"duration_s": "15"},
    ],
)
def test_times_that_do_not_fit_are_refused(wish):
    with pytest.raises(InputError, match=r"^lease "):
        LeaseSettings(namespace="n", **wish)

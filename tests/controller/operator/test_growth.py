"""Policies and workloads that come and go ten thousand times leave nothing behind in the operator.

The operator is the real one, all of its parts wired; in place of the API server and Prometheus stand two that answer at
once. Events come in as the watches hand them over, and every policy is decided on, written and reported before it goes.
"""

import asyncio
import gc
import logging
import re
import subprocess
import sys
import tracemalloc
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from controller.cluster.api import Body, KubeApi
from controller.operator import history, policies
from controller.operator.operator import Operator
from controller.operator.process import set_up
from controller.operator.settings import OperatorSettings
from controller.prometheus.access import PrometheusSettings
from controller.prometheus.metrics import PrometheusMetrics
from controller.promql import grouping, matchers
from scaling.observation import Value
from tests.controller.cluster.workload_bodies import APPS, a_deployment, a_scale

AT_ONCE = 50
"""Policies that live side by side."""
FEW, MANY = 2_000, 10_000
DECIDED_ON = 10 * AT_ONCE
"""The first of so many; to decide on all would take minutes where memory is traced."""
INTERVAL_S = 15.0
RESTS = 50
"""Most entries that a dictionary may have more of after many cycles than after a few."""
MOST_GROWN_BYTES, MOST_GROWN_RATIO = 1024 * 1024, 0.05
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment"}


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """No logging: pytest keeps every line."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class World:
    """An API server that does as it is told, and load that needs more than there is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1_800_000_000.0
        self.versions = count(1)
        self.patched, self.posted = Counter[str](), 0
        """Scales and statuses; and events."""
        self.on_patch: dict[str, Callable[[], None]] = {}
        """What happens while the scale of a name is written."""
        for method in (self.get, self.patch, self.post):
            monkeypatch.setattr(KubeApi, method.__name__, method)
        monkeypatch.setattr(PrometheusMetrics, "demand", self.demand)
        monkeypatch.setattr(PrometheusMetrics, "history", self.history)
        monkeypatch.setattr(history, "RETRY_S", 0.1)

    async def get(self, path: str, query: Mapping[str, str] | None = None, namespace: str = "") -> dict[str, Any]:
        """What kinds there are, and no pods."""
        return {**APPS} if path == "/apis/apps/v1" else {"items": []}

    async def patch(
        self, path: str, body: Body, query: Mapping[str, str] | None = None, within_s: float | None = None
    ) -> dict[str, Any]:
        """Done."""
        asked = body() if callable(body) else body
        self.patched[path.rpartition("/")[2]] += 1
        await asyncio.sleep(0)
        if path.endswith("/status"):
            return {"status": asked["status"]}
        name = path.split("/")[-2]
        self.on_patch.pop(name, lambda: None)()
        scale: dict[str, Any] = a_scale(asked["spec"]["replicas"], str(next(self.versions)), uid=f"{name}-uid")
        return scale

    async def post(self, path: str, body: Body, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Done."""
        self.posted += 1
        return dict(body() if callable(body) else body)

    async def demand(self, target: Any, now_s: float) -> Value:
        """For ten replicas."""
        return Value(700.0)

    async def history(self, target: Any, *_: Any) -> list[float]:
        """Of one target in ten it is not known, and asked for again."""
        return [] if target.resource.name.endswith("0") else [700.0] * 8


def an_operator(world: World) -> Operator:
    """It leads, on the world's clock."""
    operator = Operator(OperatorSettings(prometheus=PrometheusSettings(url="http://127.0.0.1:9")))
    operator.clock._uptime = operator.clock._unix = lambda: world.now_s
    operator.clock._offset_s = 0.0
    operator.lease._clock = lambda: world.now_s
    operator.lease._renewed_s = float("inf")
    for kept in operator._records:
        kept.keep("", {}, frozenset())  # nothing is decided before it was listed what there is
    return operator


class Life:
    """What the watches tell of one policy and its workload, from the first to the last."""

    def __init__(self, operator: Operator, world: World, number: int) -> None:
        self.operator, self.world, self.number = operator, world, number
        self.name = f"web-{number}"
        self.generation = 1
        self.target, self.rest = self.name, ("mode", "Auto")

    def comes(self) -> None:
        """Both are made, and for some of them there is a competitor."""
        self.tells_of_workload("ADDED", self.name)
        self.tells_of_policy("ADDED")
        if self.number % 5 == 0:
            self.operator.competitors.note_hpa("ADDED", self.competitor("HorizontalPodAutoscaler"))
        if self.number % 7 == 0:
            self.operator.competitors.note_scaled_object("ADDED", self.competitor("ScaledObject"))

    def goes(self) -> None:
        """In one of the ways in which a policy can go."""
        self.operator.competitors.note_hpa("DELETED", self.competitor("HorizontalPodAutoscaler"))
        self.operator.competitors.note_scaled_object("DELETED", self.competitor("ScaledObject"))
        ways = (self.is_deleted, self.waits_for_a_finalizer, self.is_missing, self.loses_its_workload_first)
        ways[self.number % len(ways)]()

    def is_deleted(self) -> None:
        self.tells_of_policy("DELETED")
        self.tells_of_workload("DELETED", self.name)

    def waits_for_a_finalizer(self) -> None:
        self.tells_of_policy("MODIFIED", deletionTimestamp="2027-01-15T08:00:00Z")
        self.is_deleted()

    def is_missing(self) -> None:
        """No watch tells of its end, but a listing does."""
        self.operator.policies.keep("", {}, {self.uid})
        self.operator.watched.keep("apps/v1", "Deployment", "", {}, {f"{self.name}-uid"})

    def loses_its_workload_first(self) -> None:
        self.tells_of_workload("DELETED", self.name)
        self.tells_of_policy("DELETED")

    @property
    def uid(self) -> str:
        return f"policy-{self.number}"

    def tells_of_policy(self, event: str, **metadata: Any) -> None:
        record = self.operator.policies.get(self.uid)
        name, value = self.rest
        own = {"name": self.name, "namespace": "shop", "uid": self.uid, "generation": self.generation}
        spec = {
            "scaleTargetRef": {**TARGET, "name": self.target},
            "maxReplicas": 100,
            "demand": {"query": "sum(x)", "targetPerReplica": "70"},
            name: value,
        }
        body = {"apiVersion": "forescale.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": own | metadata}
        status = {} if record is None else dict(record.status)
        self.operator._note_policy(event, body | {"spec": spec, "status": status})

    def tells_of_workload(self, event: str, name: str, replicas: int = 3) -> None:
        self.operator.watched.note(event, a_deployment(name, replicas, str(next(self.world.versions)), f"{name}-uid"))

    def competitor(self, kind: str) -> dict[str, Any]:
        metadata = {"name": self.name, "namespace": "shop", "uid": f"{kind}-{self.number}"}
        return {"kind": kind, "metadata": metadata, "spec": {"scaleTargetRef": {**TARGET, "name": self.target}}}


class Crowd:
    """Lives side by side, one crowd after another."""

    def __init__(self, operator: Operator, world: World, life: type[Life]) -> None:
        self.operator, self.world, self.life, self.numbers = operator, world, life, count()

    async def comes_and_goes(self, decisions: int) -> None:
        """So many decisions on each, of which the second one may act."""
        lives = [self.life(self.operator, self.world, next(self.numbers)) for _ in range(AT_ONCE)]
        for life in lives:
            life.comes()
        for _ in range(decisions):
            self.world.now_s += 4 * INTERVAL_S
            await self.operator.loop._tick(list(self.operator.policies), self.world.now_s)
            await settle()
        for life in lives:
            life.goes()
        await settle()


async def settle() -> None:
    """Let all that waits for nothing end."""
    for _ in range(40):
        await asyncio.sleep(0)


def entries(part: object, place: str = "operator", seen: set[int] | None = None) -> Iterator[tuple[str, int]]:
    """How many entries there are in everything that has some, of an object and of what it is made of."""
    seen = set() if seen is None else seen
    if id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, (dict, set, list, deque)):
        yield place, len(part)
        inner = list(part.values()) if isinstance(part, dict) else []
        yield from (entry for each in inner for entry in entries(each, f"{place}[]", seen))
    elif isinstance(part, asyncio.Queue):
        yield place, part.qsize()
    elif type(part).__module__.startswith("controller."):
        names = [*getattr(part, "__dict__", ()), *getattr(part, "__slots__", ())]
        for name in names:
            with suppress(AttributeError):
                yield from entries(getattr(part, name), f"{place}.{name}", seen)


def counted(part: object) -> dict[str, int]:
    """The sum by place."""
    sums: dict[str, int] = {}
    for place, number in entries(part):
        sums[place] = sums.get(place, 0) + number
    return sums


def traced_bytes() -> int:
    """What Python keeps, garbage aside, and aside from texts that are kept up to a bound whatever comes."""
    for texts in (policies._TEXTS, grouping.TEXTS, matchers.ENDINGS):
        texts.clear()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def lived_through(
    world: World, life: type[Life], cycles: tuple[int, ...], decided_on: int = DECIDED_ON
) -> list[tuple[dict[str, int], int]]:
    """Entries and bytes after so many lives each."""
    operator, found, stop = an_operator(world), [], asyncio.Event()
    crowd = Crowd(operator, world, life)
    helpers = [asyncio.create_task(operator.reporter.run(stop)), asyncio.create_task(operator.histories.run())]
    lived = 0
    for wanted in cycles:
        while lived < wanted:
            await crowd.comes_and_goes(0 if lived % decided_on else 2)
            lived += AT_ONCE
        found.append((counted(operator), traced_bytes()))
    for helper in helpers:
        helper.cancel()
    await asyncio.gather(*helpers, return_exceptions=True)
    return found


def grown(few: Mapping[str, int], many: Mapping[str, int]) -> dict[str, int]:
    """What has more entries than it had."""
    return {place: number for place, number in many.items() if number > few.get(place, 0) + RESTS}


@pytest.mark.slow
def test_ten_thousand_policies_that_came_and_went_leave_nothing_behind(monkeypatch):
    world = World(monkeypatch)
    tracemalloc.start()
    try:
        (few, few_bytes), (many, many_bytes) = asyncio.run(lived_through(world, Life, (FEW, MANY)))
    finally:
        tracemalloc.stop()
    decided = MANY * AT_ONCE / DECIDED_ON
    assert world.patched["scale"] > decided / 2  # others have a competitor
    assert world.patched["status"] >= decided
    assert world.posted > 0
    assert grown(few, many) == {}
    assert many_bytes - few_bytes < max(MOST_GROWN_BYTES, MOST_GROWN_RATIO * few_bytes)


def resident_kib() -> int:
    """What the process holds of the machine's memory."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0])


def print_resident_memory() -> None:
    """After a few lives and after many, of an operator alone in its process."""
    logging.disable(logging.CRITICAL)

    async def run() -> list[int]:
        set_up()
        operator, stop = an_operator(world), asyncio.Event()
        crowd, found = Crowd(operator, world, Life), []
        async with asyncio.TaskGroup() as helpers:
            working = [helpers.create_task(work) for work in (operator.reporter.run(stop), operator.histories.run())]
            for lives in (FEW, MANY):
                for number in range(lives // AT_ONCE):
                    await crowd.comes_and_goes(0 if number % 10 else 2)
                found.append(resident_kib())
            for each in working:
                each.cancel()
        return found

    with pytest.MonkeyPatch.context() as patched:
        world = World(patched)
        print(*asyncio.run(run()))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_ten_thousand_policies_that_came_and_went_leave_the_resident_memory_as_it_was():
    script = f"from {__name__} import print_resident_memory; print_resident_memory()"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    few, many = map(int, ended.stdout.split())
    assert many < 1.1 * few


class Unreadable(Life):
    """Edited before it is deleted, so that it cannot be read any more."""

    def goes(self) -> None:
        self.generation, self.rest = 2, ("minReplicas", "many")
        self.tells_of_policy("MODIFIED")
        super().goes()


class Retargeted(Life):
    """Edited before it is deleted, so that it is another workload's."""

    def goes(self) -> None:
        self.generation, self.target = 2, f"{self.name}-blue"
        self.tells_of_policy("MODIFIED")
        super().goes()


class DeletedInTheMiddle(Life):
    """Deleted while its first change of replicas is on the way."""

    def comes(self) -> None:
        self.world.on_patch[self.name] = super().goes
        super().comes()

    def goes(self) -> None:
        if self.world.on_patch.pop(self.name, None) is not None:  # nothing was changed
            super().goes()


@pytest.mark.slow
@pytest.mark.parametrize("life", [Unreadable, Retargeted, DeletedInTheMiddle])
def test_a_policy_leaves_nothing_behind_in_whatever_way_it_goes(monkeypatch, life):
    world = World(monkeypatch)
    (few, _), (many, _) = asyncio.run(lived_through(world, life, (AT_ONCE, 5 * AT_ONCE), decided_on=AT_ONCE))
    assert world.patched["scale"] > 2 * AT_ONCE
    assert grown(few, many) == {}

"""Makes known what was decided: statuses and events, written in the background so that no tick waits for them.

Owns what was last written of each policy, the order of writing, and what happens when the API server refuses. What a
status says is left to `status.py`, what is worth an event to `events.py`.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from controller.cluster.api_answer import ApiError
from controller.cluster.conditions import Facts
from controller.cluster.events import EventLimits, event_body, events_of
from controller.cluster.fair_queue import FairQueue
from controller.cluster.status import Status, essence, invalid_status, is_material, patch_of, status_of
from controller.crd.status import fitting
from controller.crd.tables import API_VERSION
from controller.reconcile import Outcome

log = logging.getLogger(__name__)

MOST_IN_FLIGHT = 16
"""Writes at a time (chosen)."""

MOST_OF_NAMESPACE = 4
"""Of them in one namespace, whose webhook may make each of them hang (chosen)."""

MOST_OF_SLOW_NAMESPACE = 1
"""The same where the latest write was not answered in time (chosen)."""

EVENT_EVERY = 4
"""One write in so many is an event, while statuses wait too (chosen)."""

MOST_EVENTS_WAITING, MOST_EVENTS = 200, 1000
"""Of a namespace, and of all; of more, the oldest of the namespace with the most are dropped: events are news
(chosen)."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 15.0, 300.0
"""After a refusal a policy's status waits so long, doubled up to the limit, with jitter (chosen: first an interval)."""

LAST_WORDS_S = 3.0
"""For what is left when we are stopped; a pod has 15 s to end (chosen)."""

LOG_EVERY_S = 60.0
"""A refusal of one kind is logged once in so long, however many policies meet it."""

Count = Callable[[str, str], None]
"""Told of each `status` and `event`, and that it was `written`, `refused`, `dropped` (too many wait) or `limited`
(too many were sent)."""


class Api(Protocol):
    """What reporting needs of the API server; both raise ApiError, and ask for the body when their turn has come."""

    async def patch(self, path: str, body: Callable[[], Mapping[str, Any]]) -> dict[str, Any]: ...
    async def post(self, path: str, body: Callable[[], Mapping[str, Any]]) -> dict[str, Any]: ...


class _NotOursError(Exception):
    """Nothing is sent: another instance tells the story now, or it has ended."""


@dataclass(slots=True)
class _Page:
    """What is known of one policy's status."""

    facts: Facts
    known: Status = field(default_factory=dict)
    """What it should say: as last written, or waiting to be."""
    seen: Mapping[str, Any] | None = None
    """The watch's last word, as it came."""
    echo: int | None = None
    """The essence of what the API server has, as far as we know: what the watch tells of it is no news."""
    failures: int = 0
    busy: bool = False
    due: bool = False
    """In the queue."""
    waiting: asyncio.TimerHandle | None = None

    def look(self, seen: Mapping[str, Any]) -> None:
        """Take over what the watch tells, where that is not what we wrote ourselves."""
        if seen is self.seen:
            return
        self.seen, fits = seen, fitting(seen)
        told = hash(essence(fits))
        if told != self.echo:
            self.known, self.echo = fits, told


class Reporter:
    """Takes notes of outcomes; `run` writes what is new of them, the newest of each policy, while it may."""

    def __init__(
        self,
        api: Api,
        may_write: Callable[[], bool],
        instance: str,
        count: Count = lambda what, result: None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`may_write`: whether this instance holds the Lease; `instance` names it in events."""
        self._api, self._may_write, self._instance = api, may_write, instance
        self._count, self._now_s = count, now_s
        self._pages: dict[str, _Page] = {}
        self._due: FairQueue[str] = FairQueue()
        """Policies whose status is to be written, by uid; each at most once."""
        self._events: FairQueue[dict[str, Any]] = FairQueue()
        self._in_flight: Counter[str] = Counter()
        """Writes that are under way, by namespace."""
        self._slow: set[str] = set()
        """Namespaces whose latest write was not answered in time."""
        self._statuses_in_row = 0
        self._limits = EventLimits()
        self._has_work = asyncio.Event()
        self._ends = False
        self._logged_s: dict[tuple[int | None, str], float] = {}

    def note(self, facts: Facts, outcome: Outcome) -> None:
        """Take in what a tick came to for one policy; cheap, and never raises."""
        self._note(facts, outcome, lambda full: status_of(outcome, full))

    def note_invalid(self, facts: Facts, problem: str) -> None:
        """Take in that a resource cannot be read, and why in one line."""
        self._note(facts, None, lambda full: invalid_status(problem, full))

    def forget(self, uid: str) -> None:
        """A policy is gone: nothing is written for it any more."""
        self._drop(uid)
        self._limits.forget(uid)

    async def run(self, stop: asyncio.Event) -> None:
        """Write until stopped, then for a moment what is left: a restart reads back when replicas were last changed."""
        workers = [asyncio.create_task(self._work(), name="reporter") for _ in range(MOST_IN_FLIGHT)]
        try:
            await stop.wait()
            self._ends = True
            self._has_work.set()
            await asyncio.wait(workers, timeout=LAST_WORDS_S)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            for uid in list(self._pages):
                self._drop(uid)

    def _note(self, facts: Facts, outcome: Outcome | None, make: Callable[[Facts], Status]) -> None:
        if not self._may_write():
            return
        try:
            self._compare(facts, outcome, make)
        except Exception:  # a status that cannot be told must not keep anybody from a decision
            log.exception("no status for %s/%s", facts.namespace, facts.name)

    def _compare(self, facts: Facts, outcome: Outcome | None, make: Callable[[Facts], Status]) -> None:
        page = self._pages.get(facts.uid)
        if page is None:
            page = self._pages[facts.uid] = _Page(facts)
        page.look(facts.before)
        status = make(replace(facts, before=page.known))
        if not is_material(page.known, status):
            return
        for said in events_of(page.known, status, outcome):
            if self._limits.allow(facts.namespace, facts.uid, said.reason, self._now_s()):
                self._announce(event_body(said, facts, self._instance))
            else:
                self._count("event", "limited")
        page.facts, page.known = facts, status
        self._queue(page)

    def _announce(self, event: dict[str, Any]) -> None:
        self._events.push(event["metadata"]["namespace"], event)
        most = self._events.longest()
        if self._events.waiting(most) > MOST_EVENTS_WAITING or len(self._events) > MOST_EVENTS:
            self._events.pop_of(most)
            self._count("event", "dropped")
        self._has_work.set()

    def _queue(self, page: _Page) -> None:
        """Have the newest status written, unless a write or a pause of this policy ends first and sees to it."""
        if not page.busy and not page.due and page.waiting is None:
            page.due = True
            self._due.push(page.facts.namespace, page.facts.uid)
            self._has_work.set()

    async def _work(self) -> None:
        while True:
            await self._has_work.wait()
            write = self._next_write()
            if write is not None:
                await write
                self._has_work.set()  # for what waited until its namespace has fewer writes under way
            elif self._ends and not self._due and not self._events:
                return
            else:
                self._has_work.clear()

    def _next_write(self) -> Coroutine[Any, Any, None] | None:
        """The next write of a namespace that has not too many under way, from the namespaces in turn."""
        is_events_turn = self._statuses_in_row >= EVENT_EVERY - 1
        event = self._events.pop(self._may_begin) if is_events_turn else None
        uid = self._due.pop(self._may_begin) if event is None else None
        if uid is not None:
            self._statuses_in_row += 1
            page = self._pages[uid]
            page.due = False
            return self._bounded(page.facts.namespace, self._write(uid, page))
        self._statuses_in_row = 0
        event = event or self._events.pop(self._may_begin)
        return None if event is None else self._bounded(event["metadata"]["namespace"], self._send(event))

    def _may_begin(self, namespace: str) -> bool:
        return self._in_flight[namespace] < (MOST_OF_SLOW_NAMESPACE if namespace in self._slow else MOST_OF_NAMESPACE)

    async def _bounded(self, namespace: str, write: Awaitable[None]) -> None:
        """Count a write as one of its namespace while it is under way."""
        self._in_flight[namespace] += 1
        try:
            await write
        finally:
            self._in_flight[namespace] -= 1
            if not self._in_flight[namespace]:
                del self._in_flight[namespace]

    def _note_speed(self, namespace: str, error: Exception | None = None) -> None:
        if isinstance(error, ApiError) and error.reason == "Timeout":
            self._slow.add(namespace)
        else:
            self._slow.discard(namespace)

    async def _write(self, uid: str, page: _Page) -> None:
        status, page.busy = page.known, True

        def body() -> Mapping[str, Any]:
            nonlocal status
            self._check_is_ours(page)
            status = page.known
            return {"metadata": {"uid": uid}, "status": patch_of(status)}  # of no other by that name

        try:
            self._check_is_ours(page)
            answer = await self._api.patch(_place(page.facts), body)
        except _NotOursError:
            if self._pages.get(uid) is page:
                self._drop(uid)
            return
        except Exception as error:
            page.busy = False
            self._note_speed(page.facts.namespace, error)
            self._refused(page, error)
            return
        self._note_speed(page.facts.namespace)
        page.busy, page.failures, page.echo = False, 0, hash(essence(fitting(answer.get("status"))))
        self._count("status", "written")
        if page.known is not status and self._pages.get(uid) is page:
            self._queue(page)

    def _refused(self, page: _Page, error: Exception) -> None:
        self._count("status", "refused")
        self._log("status", page.facts.namespace, page.facts.name, error)
        uid = page.facts.uid
        if self._pages.get(uid) is not page:
            return
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**page.failures) * random.uniform(0.5, 1.0)
        asked_s = error.retry_after_s if isinstance(error, ApiError) else None
        page.failures = min(page.failures + 1, 10)
        page.waiting = asyncio.get_running_loop().call_later(max(pause_s, asked_s or 0.0), self._retry, page)

    def _retry(self, page: _Page) -> None:
        page.waiting = None
        self._queue(page)

    async def _send(self, event: Mapping[str, Any]) -> None:
        """Events are news: one that cannot be sent now is not sent."""
        metadata = event["metadata"]

        def body() -> Mapping[str, Any]:
            self._check_is_ours()
            return event

        try:
            self._check_is_ours()
            await self._api.post(f"/api/v1/namespaces/{metadata['namespace']}/events", body)
        except _NotOursError:
            self._count("event", "dropped")
            return
        except Exception as error:
            self._note_speed(metadata["namespace"], error)
            self._count("event", "refused")
            self._log("event", metadata["namespace"], event["involvedObject"]["name"], error)
            return
        self._note_speed(metadata["namespace"])
        self._count("event", "written")

    def _check_is_ours(self, page: _Page | None = None) -> None:
        """_NotOursError where the Lease was lost, or the policy of this page is gone."""
        if not self._may_write() or (page is not None and self._pages.get(page.facts.uid) is not page):
            raise _NotOursError

    def _drop(self, uid: str) -> None:
        page = self._pages.pop(uid, None)
        if page is None:
            return
        if page.due:
            self._due.remove(page.facts.namespace, uid)
            page.due = False
        if page.waiting is not None:
            page.waiting.cancel()
            page.waiting = None

    def _log(self, what: str, namespace: str, name: str, error: Exception) -> None:
        if not isinstance(error, ApiError):
            log.error("the %s of %s/%s cannot be written", what, namespace, name, exc_info=error)
            return
        kind, now_s = (error.code, error.reason), self._now_s()
        if now_s - self._logged_s.get(kind, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._logged_s[kind] = now_s
            log.warning("the %s of %s/%s cannot be written, nor maybe others: %s", what, namespace, name, error)


def _place(facts: Facts) -> str:
    return f"/apis/{API_VERSION}/namespaces/{facts.namespace}/scalingpolicies/{facts.name}/status"

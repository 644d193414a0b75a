"""Makes known what was decided: statuses and events, written in the background so that no tick waits for them.

Owns what was last written of each policy, the order of writing, and what happens when the API server refuses. What a
status says is left to `status.py`, what is worth an event to `events.py`.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from controller.cluster.api_answer import ApiError
from controller.cluster.conditions import Facts
from controller.cluster.events import EventLimits, event_body, events_of
from controller.cluster.status import Status, essence, invalid_status, is_material, patch_of, status_of
from controller.crd.status import fitting
from controller.crd.tables import API_VERSION
from controller.reconcile import Outcome

log = logging.getLogger(__name__)

MOST_IN_FLIGHT = 4
"""Writes at a time (chosen)."""

MOST_EVENTS_WAITING = 200
"""Of more the oldest are dropped: events are news (chosen)."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 15.0, 300.0
"""After a refusal a policy's status waits so long, doubled up to the limit, with jitter (chosen: first an interval)."""

LAST_WORDS_S = 3.0
"""For what is left when we are stopped; a pod has 15 s to end (chosen)."""

LOG_EVERY_S = 60.0
"""A refusal of one kind is logged once in so long, however many policies meet it."""

Count = Callable[[str, str], None]
"""Told of each `status` and `event`, and that it was `written`, `refused` or `dropped`."""


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
        self._due: dict[str, None] = {}
        self._events: deque[dict[str, Any]] = deque()
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
            if self._limits.allow(facts.uid, said.reason, self._now_s()):
                self._announce(event_body(said, facts, self._instance))
        page.facts, page.known = facts, status
        self._queue(page)

    def _announce(self, event: dict[str, Any]) -> None:
        if len(self._events) >= MOST_EVENTS_WAITING:
            self._events.popleft()
            self._count("event", "dropped")
        self._events.append(event)
        self._has_work.set()

    def _queue(self, page: _Page) -> None:
        """Have the newest status written, unless a write or a pause of this policy ends first and sees to it."""
        if not page.busy and page.waiting is None:
            self._due[page.facts.uid] = None
            self._has_work.set()

    async def _work(self) -> None:
        while True:
            await self._has_work.wait()
            if self._due:
                uid = next(iter(self._due))
                del self._due[uid]
                await self._write(uid, self._pages[uid])
            elif self._events:
                await self._send(self._events.popleft())
            elif self._ends:
                return
            else:
                self._has_work.clear()

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
            self._refused(page, error)
            return
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
            self._count("event", "refused")
            self._log("event", metadata["namespace"], event["involvedObject"]["name"], error)
            return
        self._count("event", "written")

    def _check_is_ours(self, page: _Page | None = None) -> None:
        """_NotOursError where the Lease was lost, or the policy of this page is gone."""
        if not self._may_write() or (page is not None and self._pages.get(page.facts.uid) is not page):
            raise _NotOursError

    def _drop(self, uid: str) -> None:
        page = self._pages.pop(uid, None)
        self._due.pop(uid, None)
        if page is not None and page.waiting is not None:
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

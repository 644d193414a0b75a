"""Lease: which of several operators acts. `held()` is asked right before each write.

A coordination.k8s.io/v1 Lease, taken, renewed and released as client-go does it, with the same times, except that what
has been renewed is left alone for 3 s in place of 2: at rest the Lease is most of what we ask of the API server. Every
update carries the resourceVersion that was seen, so of two who take it one fails. Nobody's clock is compared with
another's: a lease is free when its record has not changed for its duration on OUR clock. What a leader does, and that
it stops when it no longer leads, is left to the caller.

Source: https://github.com/kubernetes/client-go/blob/v0.37.2/tools/leaderelection/leaderelection.go
"""

import asyncio
import contextlib
import logging
import math
import os
import random
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

from controller.cluster.api_answer import ApiError
from controller.cluster.lease_record import Json, duration_of, holder_of, record_of, released, taken
from scaling.errors import InputError
from scaling.limits import Limit, check_limits

log = logging.getLogger(__name__)

JITTER = 1.2
"""Who waits asks again after retry_s * (1 + up to this), so that a crowd does not ask at once; client-go's."""


PATIENCE = 0.4
"""Of the renew deadline, for one attempt: one at 3 s that hangs is given up at 7, and tried again at 9 (chosen)."""


class LeaseApi(Protocol):
    """The part of KubeApi that a Lease needs. Best one of its own, which no other request can hold up."""

    async def get(self, path: str) -> dict[str, Any]: ...

    async def post(self, path: str, body: Json) -> dict[str, Any]: ...

    async def put(self, path: str, body: Json) -> dict[str, Any]: ...


def own_identity() -> str:
    """The pod's name, else the host's, and chance: a restarted container is not the one that held the lease."""
    return f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4()}"


@dataclass(frozen=True, kw_only=True)
class LeaseSettings:
    """Which Lease, as whom, and its times: client-go's defaults."""

    namespace: str
    """The operator's own."""

    name: str = "forescale"
    """One lease for all policies of an installation."""

    identity: str = field(default_factory=own_identity)
    """Written into holderIdentity."""

    duration_s: float = 15.0
    """How long others leave an unchanged lease alone; the record says it in whole seconds, rounded up."""

    renew_deadline_s: float = 10.0
    """How long after a renewal the holder acts. Default: leaves 5 s for a write that has begun."""

    retry_s: float = 2.0
    """Between tries to renew that fail, and between looks of those who wait."""

    renew_s: float = 3.0
    """From a renewal to the next. Default: 20 requests a minute, and after one that hangs there is time for another."""

    def __post_init__(self) -> None:
        check_limits(self, SETTINGS_LIMITS)
        if not self.duration_s > self.renew_deadline_s > max(self.renew_s, JITTER * self.retry_s):
            raise InputError(
                f"lease times: duration {self.duration_s:g} s > renew deadline {self.renew_deadline_s:g} s"
                f" > {JITTER:g} * retry {self.retry_s:g} s and renewal {self.renew_s:g} s does not hold"
            )


SETTINGS_LIMITS = {
    "duration_s": Limit("lease duration", 1, 3600),
    "renew_deadline_s": Limit("lease renew deadline", 0.1, 3600),
    "retry_s": Limit("lease retry", 0.001, 3600),
    "renew_s": Limit("lease renewal", 0.001, 3600),
}


def suspended_too_s() -> float:
    """Seconds on a clock that no one sets and that goes on while the process or the machine sleeps."""
    try:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    except (AttributeError, OSError):  # not Linux, or a sandbox without it
        return time.monotonic()


class Lease:
    """Our side of one Lease; `run` strives for it until it is told to stop."""

    def __init__(
        self,
        api: LeaseApi,
        settings: LeaseSettings,
        on_change: Callable[[bool], None] = lambda held: None,
        clock: Callable[[], float] = suspended_too_s,
    ) -> None:
        self.settings = settings
        self.on_change = on_change
        self.problem = ""
        """Why the Lease cannot be used, in one line; empty while it can, by us or by another."""
        self.was_asked_for = False
        """Whether there was a first answer about it, or none in time."""
        self._api = api
        self._clock = clock
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{settings.namespace}/leases"
        self._path = f"{self._leases}/{settings.name}"
        self._seen: dict[str, Any] = {}  # the object as it was last answered
        self._seen_s = -math.inf  # when its record was first seen so
        self._renewed_s = -math.inf  # when our last successful renewal was sent
        self._told = False
        self._looked = False  # by `watch`

    def held(self) -> bool:
        """Whether we may write now. A process that was stopped for longer than the deadline is told no at once."""
        return self._clock() - self._renewed_s < self.settings.renew_deadline_s

    @property
    def holder(self) -> str:
        """Who held it when it was last seen; empty where nobody did."""
        return holder_of(self._seen)

    async def run(self, stop: asyncio.Event) -> None:
        """Take it when it is free, renew it, and release it at the stop: set that when the last write is done.

        Trouble with the API server is logged and kept in `problem`, and tried again.
        """
        while not stop.is_set():
            self._tell()  # a lapse while we slept
            await self._bounded(self._strive)
            self._tell()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._pause_s())
        was_ours = self.holder == self.settings.identity
        self._renewed_s = -math.inf
        self._tell()
        if was_ours:
            await self._bounded(self._release)

    async def watch(self, stop: asyncio.Event) -> None:
        """Look who holds it, for `is_free`, until told to stop; it is never taken."""
        while not stop.is_set():
            await self._bounded(self._look)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._pause_s())

    def is_free(self) -> bool:
        """Whether nobody else holds it; not before it was seen."""
        return self._looked and not self._is_anothers()

    async def _look(self) -> None:
        try:
            self._observe(await self._api.get(self._path))
        except ApiError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            self._seen = {}
        self._looked = True

    async def _bounded(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """One attempt: not so long that there is no time for a second, and not beyond our lapse."""
        patience_s = min(PATIENCE * self.settings.renew_deadline_s, self._left_s())
        problem = ""
        try:
            async with asyncio.timeout(patience_s):
                await attempt()
        except TimeoutError:
            problem = f"the API server did not answer within {patience_s:.3g} s"
        except ApiError as error:
            if error.code != HTTPStatus.CONFLICT:  # another was faster; the next look shows whom
                problem = str(error)
        self._note(problem)

    async def _strive(self) -> None:
        """Renew what is ours, else look whether it is free, and take it."""
        if self.held() and self.holder == self.settings.identity and await self._renewed_as_seen():
            return
        try:
            self._observe(await self._api.get(self._path))
        except ApiError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            if self._is_anothers():  # it was deleted, and who held it does not know of that yet
                return
            self._renewed_s = -math.inf
            self._seen = {"metadata": {"name": self.settings.name, "namespace": self.settings.namespace}}
            await self._claim(self._api.post, self._leases)
            return
        if self._is_anothers():
            self._renewed_s = -math.inf
        else:
            await self._claim(self._api.put, self._path)

    async def _renewed_as_seen(self) -> bool:
        """The short way: no look first. False where the object is no longer what we saw."""
        try:
            await self._claim(self._api.put, self._path)
        except ApiError as error:
            if error.code not in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
                raise
            return False
        return True

    async def _claim(self, write: Callable[[str, Json], Awaitable[dict[str, Any]]], path: str) -> None:
        """Write ourselves into the record. Held counts from before the request: an answer may be late."""
        asked_s = self._clock()
        lease = taken(self._seen, self.settings.identity, self.settings.duration_s)
        self._observe(await write(path, lease))
        if self.holder == self.settings.identity:
            self._renewed_s = asked_s

    def _is_anothers(self) -> bool:
        if self.holder in ("", self.settings.identity):
            return False
        return self._clock() < self._seen_s + duration_of(self._seen, self.settings.duration_s)

    def _observe(self, answer: dict[str, Any]) -> None:
        """Remember an answer, and when its record was new to us."""
        if record_of(answer) != record_of(self._seen):
            self._seen_s = self._clock()
        self._seen = answer

    async def _release(self) -> None:
        """Leave the record without a holder, so that the next one need not wait; once more if we renewed meanwhile."""
        for may_conflict in (True, False):
            try:
                self._observe(await self._api.get(self._path))
                if self.holder != self.settings.identity:
                    return
                self._observe(await self._api.put(self._path, released(self._seen)))
            except ApiError as error:
                if error.code != HTTPStatus.CONFLICT or not may_conflict:
                    raise
            else:
                log.info("released Lease %s/%s", self.settings.namespace, self.settings.name)
                return

    def _left_s(self) -> float:
        """Until we lapse; without end where we do not hold it."""
        left_s = self._renewed_s + self.settings.renew_deadline_s - self._clock()
        return left_s if left_s > 0 else math.inf

    def _pause_s(self) -> float:
        if self.held():
            return min(self.settings.retry_s if self.problem else self.settings.renew_s, self._left_s())
        return self.settings.retry_s * (1 + JITTER * random.random())

    def _tell(self) -> None:
        held = self.held()
        if held != self._told:
            self._told = held
            log.info("%s Lease %s/%s", "hold" if held else "lost", self.settings.namespace, self.settings.name)
            self.on_change(held)

    def _note(self, problem: str) -> None:
        if problem and not self.problem:
            log.warning("Lease %s/%s: %s", self.settings.namespace, self.settings.name, problem)
        elif self.problem and not problem:
            log.info("Lease %s/%s can be used again", self.settings.namespace, self.settings.name)
        self.problem, self.was_asked_for = problem, True

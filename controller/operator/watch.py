"""kopf's part: watching resources. Its events are handed to the operator's own loop, and nothing is written through it.

Owns kopf's settings and its thread. kopf runs apart from the decisions, in a thread with an event loop of its own,
because it ends on some errors that a watch can meet, and then cancels whatever else runs in its loop. Here it is
started again, and lists everything anew. Only `on.event` is used: no finalizer, no annotation, no status is ever kopf's
to write.

Source: https://github.com/nolar/kopf/blob/1.45.2/kopf/_core/reactor/running.py
"""

import asyncio
import datetime
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import aiohttp
import kopf

from controller.cluster.api import LOGIN_EVERY_S, Watcher
from controller.cluster.api_access import ApiSettings, connection_of
from controller.cluster.api_answer import connection_failure
from controller.cluster.api_path import resource_of
from controller.cluster.api_session import open_session

log = logging.getLogger(__name__)

Note = Callable[[str | None, Mapping[str, Any]], None]
"""Takes an event in: its type, None for a body that was listed, and the body."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""Between two tries, with jitter (chosen: a restarted API server is found again within half a minute)."""

CLOSING_S = 0.25
"""What closed connections with TLS need until they are.

Source: https://github.com/aio-libs/aiohttp/blob/v3.14.5/docs/client_advanced.rst (Graceful Shutdown)
"""

WATCHING, A_WATCH = "multidimensional multitasker", "watcher for "
"""kopf's task that runs the watches, and how the name of each of theirs begins. When the first ends, nothing more is
watched, even if kopf does not return.

Source: https://github.com/nolar/kopf/blob/1.45.2/kopf/_core/reactor/running.py and orchestration.py
"""

LOOK_EVERY_S = 1.0
"""How often it is looked whether that task is there (chosen: well within the five seconds after which kopf cancels all
that is left)."""

ENDS_WITHIN_S = 60.0
"""What kopf may take to end when it is to begin again, before only a new process helps (chosen: five seconds as a
rule)."""

WATCH_EVERY_S = 1.0
"""Between two beginnings of a watch of one place. Chosen: a stream lasts minutes as a rule, and a faulty proxy that
closes each at once would be asked a thousand times a second."""

LOGIN_LASTS = datetime.timedelta(minutes=10)
"""After this the credentials are read again; a service account's token lasts for an hour."""

LOGIN_LASTS_LEAST = datetime.timedelta(seconds=10)
"""However soon an exec plugin says that its credential ends (chosen: a plugin takes a second or two)."""


@dataclass(frozen=True)
class Watched:
    """One kind of resource, and who takes its events."""

    group: str
    version: str
    plural: str
    note: Note


class Watch:
    """Watches until stopped, in a thread of its own; events reach `note` in the event loop that started it."""

    def __init__(
        self,
        watched: Sequence[Watched],
        access: ApiSettings,
        namespaces: Sequence[str] = (),
        on_restart: Callable[[], object] = lambda: None,
        called: Watcher = lambda verb, resource, code, seconds: None,
    ) -> None:
        """Both are called in the thread of the watches: `on_restart` when they ended and are about to begin again, and
        `called` when the head of an answer has come, or none will."""
        self._watched, self._access, self._namespaces = watched, access, namespaces
        self._on_restart, self._called = on_restart, called
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: Callable[[], object] = lambda: None
        self._asked_s: float | None = None
        """Since when what runs is to end."""
        self._watches = False

    def start(self) -> None:
        """Begin; call it in the event loop that takes the events."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self, within_s: float = 5.0) -> None:
        """End; a thread that hangs is left behind, as it writes nothing."""
        self._stop.set()
        self.restart()  # which it does not when it is to stop
        await asyncio.to_thread(self._thread.join, within_s)

    def restart(self) -> None:
        """End what runs, so that it begins again and lists everything."""
        self._asked_s = self._asked_s or time.monotonic()
        with suppress(RuntimeError):  # it has ended by itself just now
            self._end()

    def is_running(self) -> bool:
        """Whether the thread lives, and does not hang when it is to begin again."""
        hangs = self._asked_s is not None and time.monotonic() - self._asked_s > ENDS_WITHIN_S
        return self._thread.is_alive() and not hangs

    def has_begun(self) -> bool:
        """Whether it was let in by the API server and watches, as far as a look every second tells."""
        return self._watches

    def _run(self) -> None:
        pauses = backoffs()
        while not self._stop.is_set():
            began_s, self._asked_s = time.monotonic(), None
            try:
                asyncio.run(self._watch())
            except (Exception, asyncio.CancelledError):
                log.exception("the watches ended; they begin again")
            if time.monotonic() - began_s > LONGEST_PAUSE_S:
                pauses = backoffs()
            if not self._stop.is_set():
                self._on_restart()
                self._stop.wait(next(pauses))

    async def _watch(self) -> None:
        """Let kopf watch until it fails or is told to stop: by a flag of its own loop, as for one of another thread it
        waits in a thread that only that flag ends, and does not return from a failure before."""
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        self._end = partial(loop.call_soon_threadsafe, stop.set)
        if self._stop.is_set():
            return
        looking = asyncio.create_task(self._look_whether_it_watches())
        try:
            await kopf.operator(
                registry=self._registry(),
                settings=settings(clusterwide=not self._namespaces),
                standalone=True,
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
                stop_flag=stop,
            )
        finally:
            self._watches = False
            looking.cancel()
            await asyncio.sleep(CLOSING_S)

    async def _look_whether_it_watches(self) -> None:
        """When kopf has ceased to watch, whoever ended it, count its ending from then and end the watches it left.

        A watch that failed ends kopf and leaves the others. Five seconds later kopf cancels them together with the
        future that stops their streams; whoever waits for an answer and finds that future done takes the cancelling
        for an end of its stream, goes on to the next one, and kopf waits for it for ever.

        Source: https://github.com/nolar/kopf/blob/1.45.2/kopf/_cogs/clients/api.py (stream)
        """
        has_begun = False
        while True:
            tasks = asyncio.all_tasks()
            watches = [task for task in tasks if task.get_name().startswith(A_WATCH)]
            goes_on = any(task.get_name() == WATCHING for task in tasks)
            self._watches = goes_on and bool(watches)
            if has_begun and not goes_on:
                self._asked_s = self._asked_s or time.monotonic()
                for watch in watches:
                    watch.cancel()
                return
            has_begun |= goes_on
            await asyncio.sleep(LOOK_EVERY_S)

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry, backoff=LOGIN_EVERY_S)(self._log_in)  # by itself it would wait a minute
        for kind in self._watched:
            kopf.on.event(kind.group, kind.version, kind.plural, registry=registry)(self._handler(kind.note))
        return registry

    async def _log_in(self, **_: Any) -> kopf.AiohttpSession:
        """With the same session as the rest of us has, opened anew every ten minutes."""
        connection = await connection_of(self._access)
        session = open_session(connection, trace_configs=[tracing(self._called)])
        return kopf.AiohttpSession(
            server=connection.server, aiohttp_session=session, expiration=_login_ends(connection.expires)
        )

    def _handler(self, note: Note) -> Any:
        async def hand_over(event: Mapping[str, Any], **_: Any) -> None:
            assert self._loop is not None
            try:
                self._loop.call_soon_threadsafe(note, event["type"], event["object"])
            except RuntimeError:  # the operator's loop has ended before us
                self._stop.set()

        return hand_over


def settings(clusterwide: bool = True) -> kopf.OperatorSettings:
    """kopf's settings; each differs from its default for a reason."""
    chosen = kopf.OperatorSettings()
    chosen.scanning.disabled = not clusterwide  # takes a ClusterRole, and without it kopf would ask for ever
    chosen.posting.enabled = False  # events are ours to write, and to limit
    chosen.networking.request_timeout = 10  # a hung API server must not stall a watch for five minutes
    chosen.networking.connect_timeout = 5
    chosen.networking.error_backoffs = Backoffs()  # never give up
    chosen.watching.server_timeout = 300  # a watch cannot fall silent for longer
    chosen.watching.client_timeout = 330
    chosen.watching.chunk_size = 100  # with the next: 13 MiB less at 1,000 Deployments than 500 and 1 s
    chosen.queueing.idle_timeout = 0.1  # a task for each object that was just listed, which keeps its body: let go
    chosen.process.ultimate_exiting_timeout = None  # kopf would kill the whole process
    return chosen


def tracing(called: Watcher) -> aiohttp.TraceConfig:
    """Tells of each request, and lets a watch of one place begin only so often: kopf itself goes on at once after a
    stream that ends."""
    began_s: dict[str, float] = {}

    async def begin(_: object, context: SimpleNamespace, params: aiohttp.TraceRequestStartParams) -> None:
        context.verb = "WATCH" if "watch" in params.url.query else params.method
        if context.verb == "WATCH":
            now_s = time.monotonic()
            began_s[params.url.path] = max(now_s, began_s.get(params.url.path, -math.inf) + WATCH_EVERY_S)
            await asyncio.sleep(began_s[params.url.path] - now_s)
        context.began_s = time.monotonic()

    async def answered(_: object, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        tell(context, params, str(params.response.status))

    async def failed(_: object, context: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams) -> None:
        if isinstance(params.exception, Exception):  # and not that it was cancelled
            tell(context, params, connection_failure(params.exception)[0])

    def tell(
        context: SimpleNamespace,
        params: aiohttp.TraceRequestEndParams | aiohttp.TraceRequestExceptionParams,
        code: str,
    ) -> None:
        called(context.verb, resource_of(params.url.path), code, time.monotonic() - context.began_s)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(begin)
    trace.on_request_end.append(answered)
    trace.on_request_exception.append(failed)
    return trace


def _login_ends(expires: datetime.datetime | None) -> datetime.datetime:
    """When to log in again; credentials that end at once must not keep us busy with that."""
    now = datetime.datetime.now(datetime.UTC)
    latest = now + LOGIN_LASTS
    return latest if expires is None else min(latest, max(expires, now + LOGIN_LASTS_LEAST))


class Backoffs:
    """Growing pauses with jitter, without end, from the beginning for each who iterates."""

    def __iter__(self) -> Iterator[float]:
        return backoffs()


def backoffs() -> Iterator[float]:
    """Pauses in seconds, doubled up to a limit, each with a jitter of half of it."""
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s * random.uniform(0.5, 1.0)
        pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)

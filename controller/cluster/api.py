"""KubeApi: one JSON request to the API server, the object of its answer back, or ApiError.

Any path can be asked, since any kind can be scaled; objects stay the dictionaries that came, because the client's
models cost memory and time. Owns the deadline over a whole call, its turn, what may be sent again, and logging in
again. Who is let in is left to `api_access.py`, what an answer says to `api_answer.py`.
"""

import asyncio
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

import aiohttp

from controller.cluster.api_access import ApiSettings, Login, log_in
from controller.cluster.api_answer import ApiError, answer_of, connection_failure
from controller.cluster.api_path import is_safe, namespace_of, resource_of
from controller.cluster.rate_limiter import Priority, QueueFullError, RateLimiter, ShedError
from scaling.errors import InputError

__all__ = ["ApiError", "ApiSettings", "KubeApi", "Watcher"]

log = logging.getLogger(__name__)

Watcher = Callable[[str, str, str, float], None]
"""Told of every request: verb, resource, code and seconds. Without an answer the code is a reason; a request with
Throttled or QueueFull was not sent."""

JSON = "application/json"
Body = Mapping[str, Any] | Callable[[], Mapping[str, Any]]
"""Of a request, or what makes it when its turn has come; what that raises ends the call, and nothing is sent."""

MERGE_PATCH = "application/merge-patch+json"
NAMES_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
NO_QUERY: Mapping[str, str] = MappingProxyType({})

TURN_OF = {"scalingpolicies/status": Priority.TELL, "events": Priority.TELL, "pods": Priority.LEARN}
"""Of what no decision waits for; reads and changes are told apart by their verb."""

MOST_TRIES = 5
"""Of a call that is asked to come back; at a second each they fit the deadline (chosen; client-go has ten)."""

LOGIN_EVERY_S = 2.0
"""Not more often: a server that refuses everybody would make us open connections only (chosen)."""

PAGE, PAGE_BYTES = 200, 2 * 1024 * 1024
"""Objects in one answer of a list, and the most bytes of one. Chosen: to parse them takes 20 ms, in which nothing else
runs. A page of large objects, which tenants can make, is asked for again with half as many."""

MOST_PAGES = 10_000
"""A server that pages on for ever is stopped there (chosen)."""


class Listed(NamedTuple):
    """An object of a list."""

    place: str
    """Its namespace/name."""
    version: str
    """Its resourceVersion."""


@dataclass(frozen=True)
class _Request:
    verb: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    kind: str = JSON
    accept: str = JSON
    within_s: float | None = None
    """How long it may take once it is sent."""
    namespace: str = ""
    """Whose share of the rate it takes, where the path does not say so."""
    most_bytes: int | None = None
    """Of the answer; None for the limit of the settings."""

    @property
    def payer(self) -> str:
        return self.namespace or namespace_of(self.path)

    @property
    def turn(self) -> Priority:
        return TURN_OF.get(resource_of(self.path), Priority.READ if self.verb == "GET" else Priority.CHANGE)

    @property
    def target(self) -> str:
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    @property
    def headers(self) -> dict[str, str]:
        identity = {"Accept": self.accept, "Accept-Encoding": "identity", "User-Agent": "forescale"}
        return identity if self.body is None else {**identity, "Content-Type": self.kind}

    def written(self) -> bytes | None:
        """The body as it is sent."""
        body = self.body() if callable(self.body) else self.body
        return None if body is None else json.dumps(body).encode()

    def failed(self, reason: str, message: str, retry_after_s: float | None = None) -> ApiError:
        """Why no answer came."""
        return ApiError(self.verb, self.path, None, reason, message, retry_after_s)


class KubeApi:
    """One API server; `async with` opens and closes it, and InputError then names what is wrong with the credentials.

    A call takes at most the deadline. Told to come back (429, or 503, with Retry-After) it does so while the deadline
    lasts; refused with 401 it reads the credentials again and asks once more. Nothing else is sent twice: a write whose
    answer was lost may have been done.
    """

    def __init__(self, settings: ApiSettings, watcher: Watcher | None = None) -> None:
        self.settings = settings
        self._watcher = watcher
        self._pace = RateLimiter(settings.requests_per_s, settings.burst)
        self._login: Login | None = None
        self._login_gate = asyncio.Lock()
        self._login_after_s = -math.inf

    async def __aenter__(self) -> Self:
        self._login = await log_in(self.settings)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pace.close()
        if self._login is not None:
            login, self._login = self._login, None
            await login.close()

    async def get(self, path: str, query: Mapping[str, str] = NO_QUERY, namespace: str = "") -> dict[str, Any]:
        """Read an object, or a whole list (`limit` and `continue` are the caller's).

        `namespace`: for whom it is read, where the path does not say so. The rate is shared fairly among namespaces.
        """
        return await self._call(_Request("GET", path, query, namespace=namespace))

    async def patch(
        self, path: str, body: Body, query: Mapping[str, str] = NO_QUERY, within_s: float | None = None
    ) -> dict[str, Any]:
        """Merge-patch; `metadata.resourceVersion` in the body is the fence.

        `within_s`: how long an answer may take once it is sent, which then comes on top of the wait for its turn.
        """
        return await self._call(_Request("PATCH", path, query, body, MERGE_PATCH, within_s=within_s))

    async def post(self, path: str, body: Body, query: Mapping[str, str] = NO_QUERY) -> dict[str, Any]:
        """Create."""
        return await self._call(_Request("POST", path, query, body))

    async def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Replace; `metadata.resourceVersion` in the body is the fence."""
        return await self._call(_Request("PUT", path, body=body))

    async def delete(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Delete; the body are DeleteOptions, with preconditions for instance."""
        return await self._call(_Request("DELETE", path, body=body))

    async def list_names(self, path: str) -> dict[str, Listed]:
        """Return names and versions by uid, page by page; begun again once if the list grows too old meanwhile."""
        try:
            return await self._paged(path)
        except ApiError as error:
            if error.code != HTTPStatus.GONE:
                raise
        return await self._paged(path)

    async def _paged(self, path: str) -> dict[str, Listed]:
        found: dict[str, Listed] = {}
        limit, begins_at = PAGE, ""
        for _ in range(MOST_PAGES):
            try:
                page = await self._page(path, limit, begins_at)
            except ApiError as error:
                if error.reason != "TooLong" or limit == 1:
                    raise
                limit //= 2
                continue
            try:
                found.update(_listed(item) for item in page["items"] or [])
                begins_at = page["metadata"].get("continue") or ""
            except (AttributeError, KeyError, TypeError):
                raise ApiError("GET", path, HTTPStatus.OK, "BadAnswer", "not a list of objects") from None
            if not begins_at:
                return found
            limit = min(PAGE, 2 * limit)
        raise ApiError("GET", path, HTTPStatus.OK, "TooLong", f"more than {MOST_PAGES} pages, the limit")

    async def _page(self, path: str, limit: int, begins_at: str) -> dict[str, Any]:
        query = {"limit": str(limit), **({"continue": begins_at} if begins_at else {})}
        most_bytes = PAGE_BYTES if limit > 1 else None
        return await self._call(_Request("GET", path, query, accept=NAMES_ONLY, most_bytes=most_bytes))

    async def _call(self, request: _Request) -> dict[str, Any]:
        if not is_safe(request.path):
            raise request.failed("BadPath", "the path does not consist of plain names")
        deadline_s = self.settings.deadline_s
        longest_s = deadline_s + (request.within_s or 0.0)
        try:
            async with asyncio.timeout(longest_s):
                return await self._answered(request, time.monotonic() + deadline_s)
        except TimeoutError:
            raise request.failed("Timeout", f"no answer within {longest_s:g} s") from None

    async def _answered(self, request: _Request, until_s: float) -> dict[str, Any]:
        """Ask, and again as long as the server says when; its last refusal is the answer."""
        tries = 0
        while True:
            tries += 1
            try:
                return await self._admitted(request, until_s)
            except ApiError as error:
                if error.code is None or error.retry_after_s is None:
                    raise
                self._pace.pause(request.turn, error.retry_after_s)
                if tries == MOST_TRIES or time.monotonic() + error.retry_after_s > until_s:
                    raise

    async def _admitted(self, request: _Request, until_s: float) -> dict[str, Any]:
        """Ask with credentials that have not expired, and once more if there are newer ones than those refused."""
        login = await self._login_in_turn(request, until_s)
        if login.has_expired() and await self._logged_in_since(login):
            login = self._login or login
        try:
            return await self._sent(login, request)
        except ApiError as error:
            if error.code != HTTPStatus.UNAUTHORIZED or not await self._logged_in_since(login):
                raise
        return await self._sent(await self._login_in_turn(request, until_s), request)

    async def _login_in_turn(self, request: _Request, until_s: float) -> Login:
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(until_s - began_s):
                await self._pace.turn(request.turn, until_s, request.payer)
        except asyncio.CancelledError:  # the deadline of the whole call, as a rule
            self._watch(request, "Throttled", began_s)
            raise
        except TimeoutError:
            self._watch(request, "Throttled", began_s)
            said = f"its turn among {self.settings.requests_per_s:g} requests/s did not come in time"
            raise request.failed("Throttled", said) from None
        except ShedError as error:
            self._watch(request, "QueueFull" if isinstance(error, QueueFullError) else "Throttled", began_s)
            raise request.failed("Throttled", str(error), error.left_s) from None
        if self._login is None:
            raise request.failed("Closed", "the connection to the API server is not open")
        return self._login

    async def _logged_in_since(self, refused: Login) -> bool:
        """Read the credentials again, once for all who were refused with the same ones."""
        async with self._login_gate:
            if self._login is not refused:
                return True
            if time.monotonic() < self._login_after_s:
                return False
            self._login_after_s = time.monotonic() + LOGIN_EVERY_S
            try:
                self._login = await log_in(self.settings)
            except InputError as error:
                log.warning("our credentials were refused or have expired, and they cannot be read again: %s", error)
                return False
        log.info("our credentials were refused or have expired; read again from the %s", refused.source)
        await refused.retire()
        return True

    async def _sent(self, login: Login, request: _Request) -> dict[str, Any]:
        """One request over the wire, reported to the watcher whatever comes of it."""
        began_s, code = time.monotonic(), "Timeout"
        body = request.written()
        try:
            async with (
                asyncio.timeout(request.within_s),
                login.sent(request.verb, request.target, request.headers, body) as response,
            ):
                code = str(response.status)
                return await answer_of(response, request.verb, request.path, self._most_bytes(request))
        except InputError as error:
            code = "Credentials"
            raise request.failed(code, str(error)) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: what cannot be a header or a URL
            late = type(error) is TimeoutError  # ours, and not the client's own about a connection
            limit = f"no answer within {request.within_s or 0.0:g} s"
            code, message = ("Timeout", limit) if late else connection_failure(error)
            raise request.failed(code, message) from None
        finally:
            self._watch(request, code, began_s)

    def _most_bytes(self, request: _Request) -> int:
        limits = (request.most_bytes, self.settings.most_answer_bytes)
        return min(limit for limit in limits if limit is not None)

    def _watch(self, request: _Request, code: str, began_s: float) -> None:
        if self._watcher is not None:
            self._watcher(request.verb, resource_of(request.path), code, time.monotonic() - began_s)


def _listed(item: Mapping[str, Any]) -> tuple[str, Listed]:
    metadata = item["metadata"]
    namespace, name = metadata.get("namespace"), metadata["name"]
    place = f"{namespace}/{name}" if namespace else name
    return metadata["uid"], Listed(place, metadata.get("resourceVersion", ""))

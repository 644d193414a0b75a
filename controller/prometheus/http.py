"""One form to Prometheus, the body of its answer back, or one line about why there is none.

Owns the connection: slots, deadlines, size, compression, method, redirects, TLS, refusals. What a body says is left to
`answer.py`, who is let in to `access.py`, whose turn it is to `slots.py`. A message never repeats a header or a secret.
"""

import asyncio
import math
import re
import ssl
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from controller.causes import because
from controller.prometheus.access import PrometheusSettings, request_headers, secrets_of, tls_context
from controller.prometheus.answer import error_words
from controller.prometheus.slots import FairSlots, QueueFullError
from scaling.decision import Reason
from scaling.errors import InputError
from scaling.limits import shown
from scaling.observation import Unknown

Watcher = Callable[[str, bool, float], None]
"""Told of every request: its endpoint, whether a body came back, and the seconds it took."""


class Body(bytes):
    """The body of a good answer."""

    took_s: float = 0.0
    """How long it took from when the request had a slot."""


@dataclass(frozen=True)
class QueryRefused(Unknown):
    """Prometheus works, but this query it does not answer, or not in a length that is read here."""


@dataclass(frozen=True)
class QueryTooSlow(Unknown):
    """There was no answer in time, ours or that of Prometheus."""

    waited_s: float = field(default=math.inf, compare=False)
    """For how long, from when the request had a slot; less than the deadline where it waited for one."""


@dataclass(frozen=True)
class NotSent(Unknown):
    """The request was not sent in time: others of its namespace were in front of it."""


@dataclass(frozen=True)
class _MethodRefused(Unknown):
    """The server may take the request by another method."""


REFUSALS = (
    *(HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_URI_TOO_LONG),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,  # an error while evaluating, such as too many samples
)

METHOD_REFUSALS = (HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.FORBIDDEN)
"""The last as an RBAC proxy in front of Prometheus may allow reading, which GET is for it, and not POST."""

OTHER_METHOD_AGAIN_S = 60.0
"""Where both methods were refused, the other one is tried once in this time (chosen)."""

MOST_URL_BYTES = 8000
"""Longest URL of a GET for a query that can be divided: most servers and proxies take 8 KiB."""

MOST_BYTES = 64 * 1024
"""Longest body of an answer with one number, after decompression (chosen): a number takes 100 bytes, and an answer of
a few hundred series still tells how many there are."""

MOST_ERROR_BYTES = 16 * 1024
"""Longest body of an error that is read (chosen); of a longer one the status is told."""

RANGE_SLOTS = 8
"""Range queries at a time, of which one namespace alone gets half (chosen): a day of samples each."""

LEAST_SHARE_OF_DEADLINE = 0.05
"""A request that had its slot for less is not called slow (chosen)."""

LONGEST_SILENCE_S = 300.0
"""Most that a Retry-After is obeyed for, so that a wrong one does not silence us for a day (chosen)."""

IDLE_CONNECTION_S = 75.0
"""Kept for longer than the usual interval, so that a tick finds the last one's connections open."""


class Trust(StrEnum):
    """What is known of a query. Each has slots of its own, so that those that hang leave the others alone."""

    KNOWN = "known"
    """It was answered in good time."""

    NEW = "new"
    """It was not answered yet, or not alone."""

    SUSPECT = "suspect"
    """It was too slow, or it spoilt what others asked. Timeouts make the share of these smaller."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One query, and what its answer may cost."""

    endpoint: str
    """`query` or `query_range`."""

    form: Mapping[str, str]
    """The parameters of the query, but for the timeout."""

    deadline_s: float
    """Seconds from the start to the last byte, waiting for a slot included."""

    spent_s: float = 0.0
    """How much of the deadline has passed already."""

    owner: str = ""
    """The namespace whose share of the slots it takes; empty for the operator itself."""

    trust: Trust = Trust.KNOWN
    """What is known of it, which decides with which others of its namespace it shares slots."""

    most_bytes: int = MOST_BYTES
    """Longest answer that is read, after decompression."""

    shared: bool = False
    """It asks for several policies and can be divided."""

    @property
    def share(self) -> str:
        """The owner of its slot."""
        return f"{self.owner} {self.trust}"


class PrometheusHttp:
    """A pool of connections to one Prometheus; `async with` opens and closes it."""

    def __init__(self, settings: PrometheusSettings, watcher: Watcher | None = None) -> None:
        self.settings = settings
        self._base = settings.base_url + "/api/v1/"
        self._tls = tls_context(settings)
        self._watcher = watcher
        self._slots = {
            "query": FairSlots(settings.most_in_flight, time.monotonic),
            "query_range": FairSlots(RANGE_SLOTS, time.monotonic),
        }
        self._silent_until = -math.inf
        self._method, self._other_method_at = "POST", -math.inf
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=self.settings.most_in_flight + RANGE_SLOTS,
            keepalive_timeout=IDLE_CONNECTION_S,
            ssl=self._tls or True,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # the deadline is ours, over all of it
            auto_decompress=False,  # ours stops at the limit
            trust_env=False,  # neither a proxy nor credentials from the environment
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, request: Request) -> Body | Unknown:
        """Return the body of a good answer, or why there is none; never raises for it.

        While a Retry-After lasts nothing is sent.
        """
        left_s = self._silent_until - time.monotonic()
        if left_s > 0:
            return _unknown(f"Prometheus asked not to be asked again; {math.ceil(left_s)} s of that are left")
        began = time.monotonic()
        answer = await self._ask_in_time(request)
        if self._watcher is not None and not isinstance(answer, NotSent):
            self._watcher(request.endpoint, isinstance(answer, bytes), time.monotonic() - began)
        return answer

    async def _ask_in_time(self, request: Request) -> Body | Unknown:
        slots, sent_s, now_s = self._slots[request.endpoint], math.inf, asyncio.get_running_loop().time
        ends_s = now_s() + request.deadline_s - request.spent_s
        try:
            async with asyncio.timeout_at(ends_s), slots.slot(request.share):
                sent_s = now_s()
                answer = await self._ask_by_a_method_that_works(request, ends_s)
        except QueueFullError:
            return _not_sent(request)
        except TimeoutError:
            words, waited_s = f"no answer from Prometheus within {request.deadline_s:g} s", now_s() - sent_s
            was_sent = waited_s > LEAST_SHARE_OF_DEADLINE * request.deadline_s
            answer = QueryTooSlow(Reason.METRIC_ERROR, words, waited_s) if was_sent else _not_sent(request)
        except InputError as error:  # a file with credentials
            answer = _unknown(str(error))
        except (aiohttp.ClientError, OSError) as error:
            answer = _unknown(_connection_words(error))
        if isinstance(answer, Unknown):
            if isinstance(answer, QueryTooSlow) and request.trust is Trust.SUSPECT:
                slots.timed_out(request.share)
            return answer
        slots.answered(request.share)
        body = Body(answer)
        body.took_s = now_s() - sent_s
        return body

    async def _ask_by_a_method_that_works(self, request: Request, ends_s: float) -> bytes | Unknown:
        """Ask by the method that worked last; where the server refuses that one, by the other."""
        used = self._method
        answer = await self._send(request, used, ends_s)
        if not isinstance(answer, _MethodRefused) or time.monotonic() < self._other_method_at:
            return answer
        other = "GET" if used == "POST" else "POST"
        again = await self._send(request, other, ends_s)
        if isinstance(again, bytes | QueryRefused):
            self._method = other
            return again
        self._other_method_at = time.monotonic() + OTHER_METHOD_AGAIN_S
        return answer if isinstance(again, _MethodRefused) else again

    async def _send(self, request: Request, method: str, ends_s: float) -> bytes | Unknown:
        """Send, and once more if the other side had closed the connection: a query changes nothing."""
        try:
            return await self._send_once(request, method, ends_s)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            return await self._send_once(request, method, ends_s)

    async def _send_once(self, request: Request, method: str, ends_s: float) -> bytes | Unknown:
        if self._session is None or self._session.closed:
            return _unknown("the connection to Prometheus is closed")
        headers = request_headers(self.settings)
        left_ms = max(1, round(1000 * (ends_s - asyncio.get_running_loop().time())))
        form = {**request.form, "timeout": f"{left_ms}ms"}  # or it works on for what nobody waits for
        in_url = [*self.settings.all_parameters, *(form.items() if method == "GET" else ())]
        url = self._base + request.endpoint + ("?" if in_url else "") + _encoded(in_url)
        if method == "GET" and request.shared and len(url) > MOST_URL_BYTES:
            return QueryRefused(Reason.METRIC_ERROR, f"a URL of {len(url)} bytes is over {MOST_URL_BYTES}, the limit")
        body = _encoded(list(form.items())).encode("ascii") if method == "POST" else None
        async with self._session.request(
            method, URL(url, encoded=True), data=body, headers=headers | OUR_HEADERS[method], allow_redirects=False
        ) as response:
            if response.status == HTTPStatus.OK:
                return await _read(response, request.most_bytes)
            self._note_silence(response)
            error = await _read(response, MOST_ERROR_BYTES)
            return _no_answer(response.status, error, secrets_of(self.settings, headers))

    def _note_silence(self, response: aiohttp.ClientResponse) -> None:
        if response.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            wait_s = retry_after_s(response.headers.get("Retry-After", ""), time.time())
            self._silent_until = max(self._silent_until, time.monotonic() + wait_s)


IDENTITY = {"Accept-Encoding": "identity"}
"""Answers are short, and compressing them costs both sides more than it saves."""

OUR_HEADERS = {"GET": IDENTITY, "POST": {**IDENTITY, "Content-Type": "application/x-www-form-urlencoded"}}


def _encoded(parameters: list[tuple[str, str]]) -> str:
    return urlencode(parameters, errors="replace")


def retry_after_s(header: str, now_s: float) -> float:
    """Seconds that a Retry-After asks for, 0..LONGEST_SILENCE_S; `now_s` is Unix time.

    Source: https://www.rfc-editor.org/rfc/rfc9110.html#section-10.2.3 (seconds, or a date)
    """
    if re.fullmatch(r"[0-9]{1,9}", header, re.ASCII):
        return min(LONGEST_SILENCE_S, float(header))
    try:
        wait_s = parsedate_to_datetime(header).timestamp() - now_s
    except (ValueError, OverflowError):
        return 0.0
    return min(LONGEST_SILENCE_S, max(0.0, wait_s))


async def _read(response: aiohttp.ClientResponse, most_bytes: int) -> bytes | Unknown:
    """The whole body, never more than the limit of it in memory."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most_bytes:
            return _too_long(most_bytes)
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding == "identity":
        return bytes(body)
    if encoding in ("gzip", "x-gzip"):
        return _unzipped(bytes(body), most_bytes)
    return _unknown("Prometheus answered in an unknown encoding")


def _too_long(most_bytes: int) -> QueryRefused:
    words = f"Prometheus answered more than {most_bytes} bytes, the limit; sum the series in the query"
    return QueryRefused(Reason.METRIC_ERROR, words)


def _unzipped(body: bytes, most_bytes: int) -> bytes | Unknown:
    unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        plain = unzip.decompress(body, most_bytes + 1)
    except zlib.error:
        return _unknown("Prometheus answered what is not gzip, although it says so")
    if len(plain) > most_bytes:
        return _too_long(most_bytes)
    return plain if unzip.eof else _unknown("the answer of Prometheus broke off")


def _no_answer(status: int, body: bytes | Unknown, secrets: tuple[str, ...]) -> Unknown:
    """What a status other than OK means."""
    if 300 <= status < 400:
        return _unknown(f"Prometheus answered {_status_name(status)}; redirects are not followed")
    words = error_words(body, secrets) if isinstance(body, bytes) else ""
    message = f"Prometheus answered {_status_name(status)}{': ' if words else ''}{words}"
    if status in REFUSALS:
        return QueryRefused(Reason.METRIC_ERROR, message)
    if status in METHOD_REFUSALS:
        return _MethodRefused(Reason.METRIC_ERROR, message)
    if status == HTTPStatus.GATEWAY_TIMEOUT or words == "timeout":
        return QueryTooSlow(Reason.METRIC_ERROR, message)
    return _unknown(message)


def _not_sent(request: Request) -> NotSent:
    whose = f"namespace {shown(request.owner)}" if request.owner else "the operator"
    words = f"not sent to Prometheus within {request.deadline_s:g} s: other queries of {whose} take its share"
    return NotSent(Reason.METRIC_ERROR, words)


def _status_name(status: int) -> str:
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def _connection_words(error: aiohttp.ClientError | OSError) -> str:
    """What went wrong, in words of this machine: text that the other side sent may hold anything."""
    match error:
        case aiohttp.ClientConnectorCertificateError(certificate_error=ssl.SSLCertVerificationError() as cause):
            return f"the certificate of Prometheus is not trusted: {cause.verify_message}"
        case aiohttp.ClientConnectorCertificateError():
            return "the certificate of Prometheus is not trusted"
        case aiohttp.ClientConnectorDNSError():
            return f"the host name of Prometheus cannot be resolved{because(error.os_error)}"
        case aiohttp.ClientSSLError():
            return f"no TLS with Prometheus{because(error.os_error)}"
        case aiohttp.ServerDisconnectedError():
            return "Prometheus closed the connection without an answer"
        case aiohttp.ClientPayloadError():
            return "the answer of Prometheus broke off"
        case aiohttp.ClientConnectorError():
            return f"no connection to Prometheus{because(error.os_error)}"
        case OSError():
            return f"the connection to Prometheus failed{because(error)}"
        case aiohttp.ClientResponseError():
            return "what answers in place of Prometheus does not speak HTTP"
    return f"the request to Prometheus failed: {type(error).__name__}"


def _unknown(message: str) -> Unknown:
    return Unknown(Reason.METRIC_ERROR, message)

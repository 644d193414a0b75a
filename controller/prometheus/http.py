"""One form to Prometheus, the body of its answer back, or one line about why there is none.

Owns the connection: deadlines, size, compression, redirects, TLS, refusals. What a body says is left to
`answer.py`, who is let in to `access.py`. A message never repeats a body, a header or a secret.
"""

import asyncio
import math
import re
import ssl
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

import aiohttp

from controller.causes import because
from controller.prometheus.access import PrometheusSettings, request_headers, tls_context
from controller.prometheus.answer import error_words
from scaling.decision import Reason
from scaling.errors import InputError
from scaling.observation import Unknown

Watcher = Callable[[str, bool, float], None]
"""Told of every request: its endpoint, whether a body came back, and the seconds it took."""


@dataclass(frozen=True)
class QueryRefused(Unknown):
    """Prometheus works, but this query it does not answer, or not in a length that is read here."""


@dataclass(frozen=True)
class QueryTooSlow(Unknown):
    """There was no answer in time, ours or that of Prometheus."""


REFUSALS = (
    *(HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_URI_TOO_LONG),
    HTTPStatus.UNPROCESSABLE_ENTITY,  # an error while evaluating, such as too many samples
)

MOST_BYTES = 1024 * 1024
"""Longest body, after decompression: 11,000 samples, the most that Prometheus gives of a series, take 0.6 MiB."""

LONGEST_SILENCE_S = 300.0
"""Most that a Retry-After is obeyed for, so that a wrong one does not silence us for a day (chosen)."""

IDLE_CONNECTION_S = 75.0
"""Kept for longer than the usual interval, so that a tick finds the last one's connections open."""


class PrometheusHttp:
    """A pool of connections to one Prometheus; `async with` opens and closes it."""

    def __init__(self, settings: PrometheusSettings, watcher: Watcher | None = None) -> None:
        self.settings = settings
        self._base = settings.url.rstrip("/") + "/api/v1/"
        self._tls = tls_context(settings)
        self._watcher = watcher
        self._gate = asyncio.Semaphore(settings.most_in_flight)
        self._silent_until = -math.inf
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=self.settings.most_in_flight, keepalive_timeout=IDLE_CONNECTION_S, ssl=self._tls or True
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

    async def post(self, endpoint: str, form: Mapping[str, str], deadline_s: float) -> bytes | Unknown:
        """Return the body of a good answer to `query` or `query_range`, or why there is none; never raises for it.

        While a Retry-After lasts nothing is sent. A deadline counts from here to the last byte.
        """
        left_s = self._silent_until - time.monotonic()
        if left_s > 0:
            return _unknown(f"Prometheus asked not to be asked again; {math.ceil(left_s)} s of that are left")
        began = time.monotonic()
        answer = await self._post_in_time(endpoint, form, deadline_s)
        if self._watcher is not None:
            self._watcher(endpoint, isinstance(answer, bytes), time.monotonic() - began)
        return answer

    async def _post_in_time(self, endpoint: str, form: Mapping[str, str], deadline_s: float) -> bytes | Unknown:
        try:
            async with asyncio.timeout(deadline_s), self._gate:
                return await self._post(endpoint, form)
        except TimeoutError:
            return QueryTooSlow(Reason.METRIC_ERROR, f"no answer from Prometheus within {deadline_s:g} s")
        except InputError as error:  # a file with credentials
            return _unknown(str(error))
        except (aiohttp.ClientError, OSError) as error:
            return _unknown(_connection_words(error))

    async def _post(self, endpoint: str, form: Mapping[str, str]) -> bytes | Unknown:
        """Send, and once more if the other side had closed the connection: a query changes nothing."""
        try:
            return await self._post_once(endpoint, form)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            return await self._post_once(endpoint, form)

    async def _post_once(self, endpoint: str, form: Mapping[str, str]) -> bytes | Unknown:
        if self._session is None or self._session.closed:
            return _unknown("the connection to Prometheus is closed")
        headers = request_headers(self.settings) | OUR_HEADERS
        body = urlencode(form, errors="replace").encode("ascii")
        request = self._session.post(self._base + endpoint, data=body, headers=headers, allow_redirects=False)
        async with request as response:
            if response.status == HTTPStatus.OK:
                return await _read(response)
            self._note_silence(response)
            return _no_answer(response.status, await _read(response))

    def _note_silence(self, response: aiohttp.ClientResponse) -> None:
        if response.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            wait_s = retry_after_s(response.headers.get("Retry-After", ""), time.time())
            self._silent_until = max(self._silent_until, time.monotonic() + wait_s)


OUR_HEADERS = {
    "Content-Type": "application/x-www-form-urlencoded",
    "Accept-Encoding": "identity",  # answers are short, and compressing them costs both sides more than it saves
}


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


async def _read(response: aiohttp.ClientResponse) -> bytes | Unknown:
    """The whole body, never more than the limit of it in memory."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MOST_BYTES:
            return QueryRefused(Reason.METRIC_ERROR, TOO_LONG)
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding == "identity":
        return bytes(body)
    return _unzipped(bytes(body)) if encoding == "gzip" else _unknown("Prometheus answered in an unknown encoding")


TOO_LONG = f"Prometheus answered more than {MOST_BYTES} bytes, the limit; sum the series in the query"


def _unzipped(body: bytes) -> bytes | Unknown:
    unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        plain = unzip.decompress(body, MOST_BYTES + 1)
    except zlib.error:
        return _unknown("Prometheus answered what is not gzip, although it says so")
    if len(plain) > MOST_BYTES:
        return QueryRefused(Reason.METRIC_ERROR, TOO_LONG)
    return plain if unzip.eof else _unknown("the answer of Prometheus broke off")


def _no_answer(status: int, body: bytes | Unknown) -> Unknown:
    """What a status other than OK means."""
    if 300 <= status < 400:
        return _unknown(f"Prometheus answered {_status_name(status)}; redirects are not followed")
    words = error_words(body) if isinstance(body, bytes) else ""
    message = f"Prometheus answered {_status_name(status)}{': ' if words else ''}{words}"
    if status in REFUSALS:
        return QueryRefused(Reason.METRIC_ERROR, message)
    if status == HTTPStatus.GATEWAY_TIMEOUT or words == "timeout":
        return QueryTooSlow(Reason.METRIC_ERROR, message)
    return _unknown(message)


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

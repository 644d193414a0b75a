"""What the API server answered: an object, or why there is none in one line.

Owns size, encoding, JSON, the API's own Status, and the words for connections that fail. Sending and retrying are left
to `api.py`.
"""

import json
import re
import ssl
from http import HTTPStatus
from typing import Any

import aiohttp

from controller.causes import because, one_line

MESSAGE_CHARACTERS = 300
"""Enough for what the API server says about a field, too little to fill a log (chosen)."""

MOST_ERROR_BYTES = 64 * 1024
"""Of an error only its Status is read (chosen)."""

LONGEST_PAUSE_S = 30.0
"""Most that a Retry-After is obeyed for: the API server itself says 1 s, a proxy may say a day (chosen)."""


class ApiError(Exception):
    """A call that brought no object. `code` is None where there was no answer, and `reason` is then one of ours:
    Timeout, Throttled, Unreachable, Untrusted, Disconnected, Credentials, BadPath, Closed."""

    def __init__(
        self,
        verb: str,
        path: str,
        code: int | None,
        reason: str,
        message: str,
        retry_after_s: float | None = None,
    ) -> None:
        self.verb, self.path, self.code = verb, path, code
        self.reason, self.message, self.retry_after_s = reason, message, retry_after_s
        status = reason if code is None else f"{code} {reason}"
        super().__init__(f"{verb} {one_line(path, MESSAGE_CHARACTERS)}: {status}: {message}")


async def answer_of(response: aiohttp.ClientResponse, verb: str, path: str, most_bytes: int) -> dict[str, Any]:
    """The object of a good answer; ApiError for every other."""
    if not 200 <= response.status < 300:
        raise await _refused(response, verb, path)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ApiError(verb, path, response.status, "BadAnswer", "an encoding that nobody asked for")
    body = await _read(response, most_bytes)
    if len(body) > most_bytes:
        raise ApiError(verb, path, response.status, "TooLong", f"more than {most_bytes} bytes, the limit")
    content = _object(body)
    if content is None:
        raise ApiError(verb, path, response.status, "BadAnswer", "not an object in JSON")
    return content


async def _refused(response: aiohttp.ClientResponse, verb: str, path: str) -> ApiError:
    """The API's own reason and message where it sent a Status, else the code's name."""
    if 300 <= response.status < 400:
        return ApiError(verb, path, response.status, "Redirect", "redirects are not followed")
    content = _object(await _read(response, MOST_ERROR_BYTES)) or {}
    reason, message = content.get("reason"), content.get("message")
    if not isinstance(reason, str) or not re.fullmatch(r"[A-Za-z]{1,64}", reason):
        reason = _phrase(response.status).replace(" ", "")
    words = one_line(message, MESSAGE_CHARACTERS) if isinstance(message, str) and message else _phrase(response.status)
    return ApiError(verb, path, response.status, reason, words, _retry_after_s(response))


def _retry_after_s(response: aiohttp.ClientResponse) -> float | None:
    """Seconds, if the server asks to come back: then it has done nothing yet.

    Source: https://github.com/kubernetes/client-go/blob/v0.37.2/rest/request.go (whole seconds only, no dates)
    """
    header = response.headers.get("Retry-After", "")
    if response.status not in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return None
    return min(LONGEST_PAUSE_S, float(header)) if re.fullmatch(r"[0-9]{1,9}", header, re.ASCII) else None


async def _read(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """The body, up to a little more than the limit."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most_bytes:
            break
    return bytes(body)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):  # broken UTF-8 too; a thousand brackets
        return None
    return content if isinstance(content, dict) else None


def connection_failure(error: Exception) -> tuple[str, str]:
    """Reason and message, in words of this machine: text that the other side sent may hold anything."""
    match error:
        case aiohttp.ClientConnectorCertificateError(certificate_error=ssl.SSLCertVerificationError() as cause):
            return "Untrusted", f"its certificate is not trusted: {cause.verify_message}"
        case aiohttp.ClientConnectorCertificateError():
            return "Untrusted", "its certificate is not trusted"
        case aiohttp.ClientConnectorError():  # refused, no such host, no TLS
            return "Unreachable", f"no connection{because(error.os_error)}"
        case TimeoutError():
            return "Unreachable", "no connection in time"
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError():
            return "Disconnected", "the connection was closed before the end of the answer"
        case OSError():
            return "Disconnected", f"the connection failed{because(error)}"
    return "Disconnected", f"what answers does not speak HTTP: {type(error).__name__}"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"

"""What stands before every route: a bearer token, a bound on bodies, and a deadline for reading them.

An ASGI middleware that refuses early: a body that announces too many bytes is not read at all.
"""

import asyncio
import hmac
import json
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = ("/", "/healthz", "/metrics", "/docs", "/openapi.json")
"""Answered without a token: they tell nothing of anybody's workloads and compute nothing."""
OPEN_PREFIX = "/static/"


@dataclass(frozen=True)
class Limits:
    """Bounds on a request."""

    body_bytes: int = 1024 * 1024
    """Most bytes of a body. Default: a batch of 100 without history takes some 60 KiB, one day of history 100 KiB."""

    read_s: float = 10.0
    """Seconds within which a body must have come."""


class Admission:
    """Lets requests through to `app`, or answers 401, 408 or 413 with a line that names the limit."""

    def __init__(self, app: ASGIApp, token: str | None = None, limits: Limits | None = None) -> None:
        self.app, self.limits = app, limits or Limits()
        self._expected = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if not self._is_admitted(scope["path"], headers.get(b"authorization", b"")):
            await _refuse(send, 401, "give the bearer token in the header Authorization", _CHALLENGE)
            return
        announced = headers.get(b"content-length", b"0")
        if not announced.isdigit() or int(announced[:20]) > self.limits.body_bytes:
            await self._too_large(send, announced.decode("latin-1")[:20])
            return
        try:
            body = await asyncio.wait_for(self._body(receive), self.limits.read_s)
        except TimeoutError:
            await _refuse(send, 408, f"the body did not come within {self.limits.read_s:g} s", _CLOSE)
            return
        if len(body) > self.limits.body_bytes:
            await self._too_large(send, f"more than {self.limits.body_bytes}")
            return
        await self.app(scope, _again(body, receive), send)

    def _is_admitted(self, path: str, given: bytes) -> bool:
        if self._expected is None or path in OPEN_PATHS or path.startswith(OPEN_PREFIX):
            return True
        return hmac.compare_digest(given, self._expected)

    async def _body(self, receive: Receive) -> bytes:
        """The whole body, or the first bytes of one that is too large."""
        body = bytearray()
        while len(body) <= self.limits.body_bytes:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        return bytes(body)

    async def _too_large(self, send: Send, size: str) -> None:
        await _refuse(send, 413, f"a body of {size} bytes: the limit is {self.limits.body_bytes}", _CLOSE)


_CLOSE = ((b"connection", b"close"),)
_CHALLENGE = ((b"www-authenticate", b"Bearer"),)


def _again(body: bytes, receive: Receive) -> Receive:
    """What was read, once more; then what comes after it, such as the client's leaving."""
    left = [body]

    async def replay() -> Message:
        return {"type": "http.request", "body": left.pop(), "more_body": False} if left else await receive()

    return replay


async def _refuse(send: Send, status: int, detail: str, more: tuple[tuple[bytes, bytes], ...]) -> None:
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""The one place where HTTP sessions to the API server are built: for our own client and for the watches alike.

Owns TLS, proxies, and the headers that say who asks. Where the values come from is left to `api_access.py`; what is
asked, to those who use a session.
"""

import contextlib
import os
import re
import ssl
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from yarl import URL

from controller.plaintext import is_exposed
from scaling.errors import InputError
from scaling.limits import shown

IDLE_CONNECTION_S = 60.0
"""Kept over several ticks, and closed by us before the API server does it after 90 s.

Source: https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/apiserver/pkg/server/secure_serving.go
"""

TOKEN_KEPT_S = 60.0
"""How long a token that was read from a file is used before the file is read again.

Source: https://github.com/kubernetes/client-go/blob/v0.37.2/transport/token_source.go
"""

MOST_TOKEN_BYTES = 64 * 1024
"""Chosen: a request's headers are rarely allowed more."""

PROXY_SCHEMES = ("http", "https")
PLAIN_HTTP_OPTION = "--allow-plain-http-credentials"

Pem = Path | bytes | None
"""A PEM file, or its content."""


class Token:
    """A bearer token; one that has a file is read again every minute, and kept while the file cannot be read."""

    def __init__(self, text: str = "", file: Path | None = None) -> None:
        """Raises InputError if there is a file that cannot be read and no text in its place."""
        self._text, self._file = text, file
        self._read_s = time.monotonic()
        if file is not None:
            with contextlib.suppress(*[InputError] * bool(text)):
                self._text = self._fresh(file) or text

    def current(self) -> str:
        """The token now; empty without one."""
        if self._file is not None and time.monotonic() - self._read_s >= TOKEN_KEPT_S:
            self._read_s = time.monotonic()
            with contextlib.suppress(InputError):
                self._text = self._fresh(self._file) or self._text
        return self._text

    def _fresh(self, file: Path) -> str:
        try:
            with file.open("rb") as opened:
                content = opened.read(MOST_TOKEN_BYTES + 1).strip()
        except OSError as error:
            raise InputError(f"its token cannot be read: {error.strerror or type(error).__name__}") from None
        if not re.fullmatch(rb"[\x21-\x7e]{0,%d}" % MOST_TOKEN_BYTES, content):
            raise InputError("its token cannot be read: not one line of printable ASCII")
        return content.decode()


NO_TOKEN = Token()


@dataclass(frozen=True, kw_only=True)
class Connection:
    """An API server, and who we are to it."""

    server: str
    source: str
    """Where all this comes from, for messages."""
    authority: Pem = None
    """Whose certificates are trusted. Default: the system's authorities."""
    is_verified: bool = True
    """Whether the server's certificate is checked."""
    tls_server_name: str | None = None
    """The name that is asked for and checked, where it is not the address's host."""
    proxy: str | None = None
    certificate: Pem = None
    key: Pem = field(default=None, repr=False)
    token: Token = field(default=NO_TOKEN, repr=False)
    basic: str = field(default="", repr=False)
    """The Authorization header of a user with a password."""
    impersonated: Sequence[tuple[str, str]] = ()
    """Headers that ask to act for somebody else."""
    is_compressed: bool = True
    """Whether answers may be compressed."""
    expires: datetime | None = None
    """When the credentials end, where that is known."""
    allows_plain_http: bool = False
    """Whether credentials may go over plain http to another machine."""

    def __post_init__(self) -> None:
        server, proxy = _url(self.server, "server", PROXY_SCHEMES), None
        if self.proxy is not None:
            proxy = _url(self.proxy, "proxy-url", PROXY_SCHEMES)
        if server.user is not None or server.password is not None:
            raise InputError("server: holds a user name or password, which belong in the user's entry")
        if not self.is_verified and self.authority is not None:
            raise InputError("insecure-skip-tls-verify: excludes a certificate-authority")
        if self.authorization() and is_exposed(server, proxy) and not self.allows_plain_http:
            raise InputError(
                f"its token or password would go over plain http to {shown(server.host)}; "
                f"use https, or allow it with {PLAIN_HTTP_OPTION}"
            )

    def authorization(self) -> str:
        """The Authorization header of the next request; empty without a token and a password."""
        token = self.token.current()
        return f"Bearer {token}" if token else self.basic

    def tls(self) -> ssl.SSLContext:
        """What certificates are checked with, and our own; raises OSError or ValueError where one cannot be used."""
        with contextlib.ExitStack() as stack:
            authority = self.authority.decode("ascii") if isinstance(self.authority, bytes) else None
            file = self.authority if isinstance(self.authority, Path) else None
            context = ssl.create_default_context(cafile=file, cadata=authority)
            context.verify_flags &= (
                ~ssl.VERIFY_X509_STRICT
            )  # as kubectl: clusters' own authorities are often not strict
            if self.certificate is not None:
                certificate, key = _as_file(self.certificate, stack), _as_file(self.key, stack)
                context.load_cert_chain(certificate, key, _no_password)
        if not self.is_verified:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


def open_session(connection: Connection, most_connections: int = 0, **wishes: Any) -> aiohttp.ClientSession:
    """Open a session in which every request is made as the connection says; whoever opens it closes it.

    `most_connections`: at a time, 0 for any number. `wishes`: further arguments of aiohttp's session.
    Raises InputError where certificates cannot be used.
    """
    try:
        context = connection.tls()
    except (OSError, ValueError) as error:  # ssl.SSLError is one
        raise InputError(f"{connection.source}: its certificates cannot be used: {_cause(error)}") from None
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=most_connections, ssl=context, keepalive_timeout=IDLE_CONNECTION_S),
        proxy=connection.proxy,
        headers={} if connection.is_compressed else {"Accept-Encoding": "identity"},
        middlewares=(_Identity(connection),),
        trust_env=False,  # neither a proxy nor credentials from the environment
        cookie_jar=aiohttp.DummyCookieJar(),
        **wishes,
    )


class _Identity:
    """Says who asks, in every request; to another server than ours nothing is sent, whatever a redirect says."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._origin = URL(connection.server).origin()

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if request.url.origin() != self._origin:
            raise aiohttp.ClientConnectionError("a redirect to another server is not followed")
        request.server_hostname = self._connection.tls_server_name
        if authorization := self._connection.authorization():
            request.headers["Authorization"] = authorization
        for name in {name for name, _ in self._connection.impersonated}:
            request.headers.popall(name, None)
        request.headers.extend(self._connection.impersonated)
        return await handler(request)


def impersonation(user: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The headers that ask to act for the user that a kubeconfig's user names with `as`.

    Raises InputError for a group, uid or extra without a user, which the API server would not see.
    """
    named, rest = user["as"], user["as-uid"] or user["as-groups"] or user["as-user-extra"]
    if rest and not named:
        raise InputError("as: is missing beside as-uid, as-groups or as-user-extra")
    headers = [("Impersonate-User", named)] * bool(named) + [("Impersonate-Uid", user["as-uid"])] * bool(user["as-uid"])
    headers += [("Impersonate-Group", group) for group in user["as-groups"]]
    for key, values in user["as-user-extra"].items():
        headers += [(f"Impersonate-Extra-{_escaped(key)}", value) for value in values]
    return headers


def _escaped(key: str) -> str:
    """A key of as-user-extra as part of a header's name.

    Source: https://github.com/kubernetes/client-go/blob/v0.37.2/transport/round_trippers.go (headerKeyEscape)
    """
    return re.sub(rb"[^!#$&'*+\-.0-9A-Z^_`a-z|~]", lambda byte: b"%%%02X" % byte[0][0], key.encode()).decode()


def _url(text: str, path: str, schemes: Sequence[str]) -> URL:
    """An address with a host; what it holds is not repeated, but for its scheme."""
    try:
        url = URL(text)
    except ValueError:
        raise InputError(f"{path}: is not an address such as https://host:6443") from None
    if url.scheme and url.scheme not in schemes and "://" in text:
        raise InputError(f"{path}: the scheme {shown(url.scheme)} is not supported, only {' and '.join(schemes)}")
    if url.scheme not in schemes or not url.host or not text.isprintable():
        raise InputError(f"{path}: is not an address such as https://host:6443")
    return url


def _as_file(pem: Pem, stack: contextlib.ExitStack) -> str:
    """The path of a PEM, which the ssl module does not take from memory."""
    if not isinstance(pem, bytes):
        return str(pem)
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    path = os.path.join(folder, "pem")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        file.write(pem)
    return path


def _no_password() -> str:
    """Without it OpenSSL would ask the terminal for the password of an encrypted key."""
    raise ValueError("its key is encrypted")


def _cause(error: Exception) -> str:
    """What is wrong, without what is in the file."""
    match error:
        case ssl.SSLError(reason=str() as reason):
            return reason.replace("_", " ").lower()
        case OSError(strerror=str() as words):
            return words
        case UnicodeDecodeError():
            return "not PEM"
        case ValueError() if str(error) == "its key is encrypted":
            return str(error)
    return type(error).__name__

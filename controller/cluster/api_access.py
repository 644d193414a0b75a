"""Which API server, and who we are to it: the pod's service account, else a kubeconfig.

Owns the settings, and the credentials as they stand at one moment. What a kubeconfig may say is left to
`kubeconfig.py`, sessions to `api_session.py`; what is asked, how often and how long, to `api.py`. No token, key or line
of a kubeconfig is in a repr, a log or a message.
"""

import base64
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from controller.cluster.api_session import Connection, Pem, Token, impersonation, open_session
from controller.cluster.exec_plugin import ExecCredential, ask_plugin
from controller.cluster.kubeconfig import Fields, read_kubeconfig
from scaling.errors import InputError
from scaling.limits import Limit, check_limits


@dataclass(frozen=True, kw_only=True)
class ApiSettings:
    """Which API server, and how much it may be asked."""

    kubeconfig: Path | None = None
    """Default: the pod's service account; outside a cluster $KUBECONFIG or ~/.kube/config."""

    context: str | None = None
    """Of the kubeconfig. Default: its current one."""

    deadline_s: float = 10.0
    """Seconds for one call, from asking to the last byte: waiting for a turn, retries and a new login included.
    Default: what the operator may lose to a server that hangs."""

    connect_deadline_s: float = 5.0
    """Seconds for one connection, TLS included. Default: half a call's."""

    requests_per_s: float = 20.0
    """Mean rate of requests. Default: KEDA's, and what a steady cluster's API server is tested with."""

    burst: int = 30
    """Requests at once after a rest. Default: KEDA's."""

    most_connections: int = 10
    """Open at a time; each costs 0.2 MiB. Default: a second's requests, though each took half of one."""

    most_answer_bytes: int = 64 * 1024 * 1024
    """Longest answer. Default: 10,000 Deployments of 6 KiB in one list."""

    allow_plain_http_credentials: bool = False
    """Whether a token or password may go over plain http to another machine. Default: it is refused."""

    def __post_init__(self) -> None:
        check_limits(self, SETTINGS_LIMITS)


SETTINGS_LIMITS = {
    "deadline_s": Limit("API deadline", 0.1, 300),
    "connect_deadline_s": Limit("API connect deadline", 0.1, 300),
    "requests_per_s": Limit("API requests per second", 0.1, 10_000),
    "burst": Limit("API burst", 1, 10_000, whole=True),
    "most_connections": Limit("API connections", 1, 1000, whole=True),
    "most_answer_bytes": Limit("API answer bytes", 1024, 2**30, whole=True),
}

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds the token, the authority and the namespace of its service account."""


def in_cluster() -> bool:
    """Whether this process runs in a pod that has a service account."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and (SERVICE_ACCOUNT / "token").is_file()


def own_namespace() -> str | None:
    """The namespace of the pod that this process runs in; None outside of a cluster."""
    return (SERVICE_ACCOUNT / "namespace").read_text() if in_cluster() else None


class Login:
    """Credentials as they stood at one moment, and the connections of our own client that were opened with them."""

    def __init__(self, connection: Connection, settings: ApiSettings) -> None:
        self.source = connection.source
        self._server = connection.server.rstrip("/")
        self._session = open_session(
            connection,
            settings.most_connections,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_deadline_s),
            auto_decompress=False,  # a short answer must not become a long one
        )
        self._expires = connection.expires
        self._requests = 0
        self._is_retired = False

    @asynccontextmanager
    async def sent(
        self, verb: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request; `target` is path and query, encoded."""
        self._requests += 1
        try:
            # aiohttp itself repeats a PUT or DELETE if a kept connection turns out closed: ours carry a resourceVersion
            async with self._session.request(
                verb, URL(self._server + target, encoded=True), headers=headers, data=body, allow_redirects=False
            ) as response:
                yield response
        finally:
            self._requests -= 1
            await self._close_if_unused()

    def has_expired(self) -> bool:
        """Whether the credentials have ended, as the exec plugin said that they would."""
        return self._expires is not None and datetime.now(UTC) >= self._expires

    async def retire(self) -> None:
        """Close the connections, each as soon as the request on it is answered."""
        self._is_retired = True
        await self._close_if_unused()

    async def close(self) -> None:
        """Close the connections now."""
        await self._session.close()

    async def _close_if_unused(self) -> None:
        if self._is_retired and not self._requests:
            await self.close()


async def log_in(settings: ApiSettings) -> Login:
    """Read the credentials as they are now; InputError says in one line what is wrong with them."""
    return Login(await connection_of(settings), settings)


async def connection_of(settings: ApiSettings) -> Connection:
    """Return the API server, and the credentials as they are now; InputError as in `log_in`."""
    is_pod = settings.kubeconfig is None and settings.context is None and in_cluster()
    files = () if is_pod else _files(settings)
    source = "service account" if is_pod else f"kubeconfig {os.pathsep.join(map(str, files))}"
    try:
        common = {"source": source, "allows_plain_http": settings.allow_plain_http_credentials}
        connection = await _of_kubeconfig(files, settings, common) if files else _of_service_account(common)
        _check_somebody(connection)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    return connection


def _files(settings: ApiSettings) -> tuple[Path, ...]:
    """The kubeconfigs to read; InputError where nobody says which, and there is no home folder to look in."""
    listed = [settings.kubeconfig] if settings.kubeconfig is not None else []
    listed = listed or [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    try:
        return tuple(file.expanduser() for file in listed or [Path("~/.kube/config")])
    except RuntimeError:
        raise InputError("kubeconfig: there is no home folder to look for it in; name a file") from None


def _of_service_account(common: Mapping[str, Any]) -> Connection:
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    port = os.environ.get("KUBERNETES_SERVICE_PORT") or "443"
    return Connection(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        authority=SERVICE_ACCOUNT / "ca.crt",
        token=Token(file=SERVICE_ACCOUNT / "token"),
        **common,
    )


async def _of_kubeconfig(files: tuple[Path, ...], settings: ApiSettings, common: Mapping[str, Any]) -> Connection:
    if not any(file.is_file() for file in files):
        raise InputError("there is no such file, and no service account")
    read = read_kubeconfig(files, settings.context)
    cluster, user = read.cluster, read.user
    _check_user(user)
    given = ExecCredential()
    if user["exec"] is not None and not _needs_no_plugin(user):
        given = await ask_plugin(user["exec"], cluster, settings.deadline_s, _content(_authority(cluster)))
    return Connection(
        server=cluster["server"],
        authority=_authority(cluster),
        is_verified=not cluster["insecure-skip-tls-verify"],
        tls_server_name=cluster["tls-server-name"] or None,
        proxy=cluster["proxy-url"] or None,
        certificate=given.certificate or user["client-certificate-data"] or user["client-certificate"],
        key=given.key or user["client-key-data"] or user["client-key"],
        token=Token(given.token or user["token"], user["tokenFile"]),
        basic=_basic(user),
        impersonated=impersonation(user),
        is_compressed=not cluster["disable-compression"],
        expires=given.expires,
        **common,
    )


def _authority(cluster: Fields) -> Pem:
    authority: Pem = cluster["certificate-authority-data"] or cluster["certificate-authority"]
    return authority


def _content(pem: Pem) -> bytes:
    try:
        return pem.read_bytes() if isinstance(pem, Path) else pem or b""
    except OSError as error:
        raise InputError(f"its certificates cannot be used: {error.strerror or type(error).__name__}") from None


def _check_user(user: Fields) -> None:
    if user["token"] and user["username"]:
        raise InputError("it has both a token and a user name; only one of them can say who we are")
    if user["password"] and not user["username"]:
        raise InputError("username: is missing beside password")
    if _has_certificate(user) and not (user["client-key-data"] or user["client-key"]):
        raise InputError("client-key: is missing beside client-certificate")


def _needs_no_plugin(user: Fields) -> bool:
    return bool(user["token"] or user["tokenFile"] or user["username"]) or _has_certificate(user)


def _has_certificate(user: Fields) -> bool:
    return bool(user["client-certificate-data"] or user["client-certificate"])


def _basic(user: Fields) -> str:
    pair = f"{user['username']}:{user['password']}".encode()
    return f"Basic {base64.b64encode(pair).decode()}" if user["username"] else ""


def _check_somebody(connection: Connection) -> None:
    """Whoever is nobody is refused with 403, and no 403 makes a client log in again; yet a token's file is empty for a
    moment while it is written. Without TLS a proxy says who we are, as `kubectl proxy` does."""
    is_somebody = connection.authorization() or connection.certificate
    if not is_somebody and connection.server.startswith("https:"):
        raise InputError("it has no token, password or certificate, or the token's file is empty")

"""How one gets in to the API server: settings, credentials, certificates, and the connections opened with them.

The service account of the pod, else a kubeconfig; both are read by the official client, which also sets up TLS. What is
asked, how often and how long is left to `api.py`. No token, key or line of a kubeconfig is in a repr, a log or a
message.
"""

import asyncio
import os
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import incluster_config
from yarl import URL

from scaling.errors import InputError
from scaling.limits import Limit, check_limits, shown


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

IDLE_CONNECTION_S = 60.0
"""Kept over several ticks, and closed by us before the API server does it after 90 s.

Source: https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/apiserver/pkg/server/secure_serving.go
"""


def in_cluster() -> bool:
    """Whether this process runs in a pod that has a service account."""
    has_address = bool(os.environ.get(incluster_config.SERVICE_HOST_ENV_NAME))
    return has_address and Path(incluster_config.SERVICE_TOKEN_FILENAME).is_file()


def own_namespace() -> str | None:
    """The namespace of the pod that this process runs in; None outside of a cluster."""
    return Path(incluster_config.SERVICE_TOKEN_FILENAME).with_name("namespace").read_text() if in_cluster() else None


class Login:
    """Credentials as they stood at one moment, and the connections that were opened with them."""

    def __init__(self, configuration: Configuration, source: str) -> None:
        self.source = source
        self._configuration = configuration
        self._pool = _Pool(configuration)
        self._session = self._pool.opened()
        self._requests = 0
        self._is_retired = False

    @asynccontextmanager
    async def sent(
        self, verb: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request; `target` is path and query, encoded. InputError where the credentials cannot be read."""
        self._requests += 1
        try:
            # aiohttp itself repeats a PUT or DELETE if a kept connection turns out closed: ours carry a resourceVersion
            async with self._session.request(
                verb,
                URL(self._configuration.host.rstrip("/") + target, encoded=True),
                headers={**headers, **await self._authorization()},
                data=body,
                allow_redirects=False,
                proxy=self._configuration.proxy,
                server_hostname=self._configuration.tls_server_name,
            ) as response:
                yield response
        finally:
            self._requests -= 1
            await self._close_if_unused()

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

    async def _authorization(self) -> dict[str, str]:
        """The header; the client reads a service account's token again every minute."""
        try:
            value = await self._configuration.get_api_key_with_prefix("BearerToken")
        except (config.ConfigException, OSError, ValueError) as error:
            raise InputError(f"{self.source}: its token cannot be read: {_cause(error)}") from None
        return {"Authorization": value.strip()} if value else {}


class _Pool(RESTClientObject):
    """The client's TLS and connections, without the request that follows redirects."""

    def opened(self) -> aiohttp.ClientSession:
        return self._create_pool_manager()

    def _create_connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(limit=self.maxsize, ssl=self.ssl_context, keepalive_timeout=IDLE_CONNECTION_S)


async def log_in(settings: ApiSettings) -> Login:
    """Read the credentials as they are now; InputError says in one line what is wrong with them."""
    configuration = Configuration(
        connection_pool_maxsize=settings.most_connections,
        client_session_kwargs={
            "timeout": aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_deadline_s),
            "trust_env": False,  # neither a proxy nor credentials from the environment
            "auto_decompress": False,  # a short answer must not become a long one
            "cookie_jar": aiohttp.DummyCookieJar(),
            "read_bufsize": 2**16,  # aiohttp's own; the client's larger one is for watches
        },
    )
    source = await _load(settings, configuration)
    try:
        return Login(configuration, source)
    except (OSError, ValueError) as error:  # ssl.SSLError is one
        raise InputError(f"{source}: its certificates cannot be used: {_cause(error)}") from None


async def configuration_of(settings: ApiSettings) -> Configuration:
    """The address, certificates and credentials as they are now, for another client; InputError as in `log_in`."""
    configuration = Configuration()
    await _load(settings, configuration)
    return configuration


async def token_of(configuration: Configuration) -> str | None:
    """The bearer token in it, alone; None where there is none, as with a password."""
    value = await configuration.get_api_key_with_prefix("BearerToken")
    scheme, _, token = (value or "").strip().partition(" ")
    return token if scheme.lower() == "bearer" else None  # the client writes a service account's in lower case


async def _load(settings: ApiSettings, configuration: Configuration) -> str:
    """Fill in the configuration and say where it came from."""
    if settings.kubeconfig is None and settings.context is None and in_cluster():
        source, path = "service account", None
    else:
        path = str(settings.kubeconfig or os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
        source = f"kubeconfig {path}"
        if not any(Path(part).expanduser().is_file() for part in path.split(os.pathsep)):
            raise InputError(f"{source}: there is no such file, and no service account")
    try:
        async with asyncio.timeout(settings.deadline_s):
            await _read(path, settings.context, configuration)
            names_somebody = await _names_somebody(configuration)
    except TimeoutError:
        raise InputError(f"{source}: no credentials within {settings.deadline_s:g} s") from None
    except Exception as error:  # the client raises whatever comes up in a malformed file, with its lines in the message
        raise InputError(f"{source}: cannot be used: {_cause(error)}") from None
    if not names_somebody:
        raise InputError(f"{source}: it has no token, password or certificate, or the token's file is empty")
    return source


async def _names_somebody(configuration: Configuration) -> bool:
    """Whether who asks with it is somebody. Whoever is nobody is refused with 403, and no 403 makes a client log in
    again; yet a token's file is empty for a moment while it is written. Without TLS a proxy says who we are, as
    `kubectl proxy` does."""
    value = await configuration.get_api_key_with_prefix("BearerToken")
    secret = (value or "").partition(" ")[2].strip()
    return bool(secret or configuration.cert_file) or not configuration.host.startswith("https:")


async def _read(path: str | None, context: str | None, configuration: Configuration) -> None:
    """Let the client read a kubeconfig, or the service account; it has types for its generated half only."""
    if path is None:
        config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
    else:
        await config.load_kube_config(path, context, configuration, persist_config=False)  # type: ignore[no-untyped-call]


def _cause(error: Exception) -> str:
    """What is wrong, without what is in the file: the client's messages may hold a whole user with the token."""
    match error:
        case ssl.SSLError(reason=str() as reason):
            return reason.replace("_", " ").lower()
        case OSError(strerror=str() as words):
            return words
        case config.ConfigException():
            named = re.search(r"Expected (?:key|object with name) (\S+) in ", str(error))
            return f"it has no {shown(named[1])}" if named else "it is not complete"
    return type(error).__name__

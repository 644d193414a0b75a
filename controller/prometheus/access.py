"""Where Prometheus is and how one gets in: address, TLS, credentials, limits.

Owns what an administrator sets for the whole operator; no ScalingPolicy can change any of it. Secrets stay in files
that are read again for every request, so a rotated one needs no restart, and they are in no repr and no message.
"""

import re
import ssl
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from yarl import URL

from controller.plaintext import is_exposed
from scaling.errors import InputError
from scaling.limits import Limit, check_limits, shown


@dataclass(frozen=True)
class BasicAuth:
    """A user name, and the file that holds the password."""

    username: str
    password_file: Path

    def __post_init__(self) -> None:
        if not self.username.isprintable() or not self.username.isascii() or ":" in self.username:
            raise InputError(f"Prometheus user name: {shown(self.username)} is not printable ASCII without a colon")


@dataclass(frozen=True, kw_only=True)
class PrometheusSettings:
    """One server with the Prometheus API: Prometheus itself, Thanos, Mimir, VictoriaMetrics."""

    url: str = field(repr=False)
    """What stands before /api/v1, such as http://prometheus.monitoring:9090 or https://mimir.example/prometheus. What
    follows a ? are parameters, as in `parameters`."""

    parameters: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Names and values that are sent in the URL of every request, such as `dedup` of Thanos or the `namespace` that
    OpenShift's proxy asks for. Default: none."""

    deadline_s: float = 4.0
    """Seconds for one reading, from asking to the last byte, waiting for a free connection included. Default: less than
    the shortest interval between decisions, 5 s."""

    history_deadline_s: float = 30.0
    """Seconds for one range query. Default: a day of a heavy query takes some, and no decision waits for it."""

    most_in_flight: int = 30
    """Requests at a time, of which one namespace alone gets half. Default: 1,000 queries of 50 ms that are spread over
    an interval of 15 s take four; and one namespace cannot fill the 20 that Prometheus runs at a time by default."""

    ca_file: Path | None = None
    """PEM certificates to trust instead of the system's. Read once: a new one needs a restart."""

    token_file: Path | None = None
    """File with a bearer token. Default: none is sent."""

    basic_auth: BasicAuth | None = None
    """User name and password file. Default: none is sent."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """More headers for every request; their values are taken for secrets."""

    tenant: str | None = None
    """Value of X-Scope-OrgID, which Mimir and the like ask for. Default: not sent."""

    allow_plain_http_credentials: bool = False
    """Send credentials without TLS to another machine, where others may read them on the way. Default: refused."""

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return urlsplit(self.url).scheme == "https"

    @property
    def base_url(self) -> str:
        """The URL without parameters, and without a / or the /api/v1 that every request has at its end."""
        return self.url.partition("?")[0].rstrip("/").removesuffix("/api/v1").rstrip("/")

    @property
    def all_parameters(self) -> tuple[tuple[str, str], ...]:
        """Those of the URL and the others."""
        return (*parse_qsl(self.url.partition("?")[2], keep_blank_values=True), *self.parameters)

    def __post_init__(self) -> None:
        check_limits(self, SETTINGS_LIMITS)
        _check_url(self.url)
        _check_parameters(self.all_parameters)
        if self.ca_file is not None and not self.is_tls:
            raise InputError(f"Prometheus CA file {self.ca_file}: the URL {shown(self.url)} is not https")
        if self.token_file is not None and self.basic_auth is not None:
            raise InputError("Prometheus credentials: give a token file or basic auth, not both")
        _check_headers(self)
        _check_transport(self)


SETTINGS_LIMITS = {
    "deadline_s": Limit("Prometheus deadline", 0.1, 300),
    "history_deadline_s": Limit("Prometheus history deadline", 0.1, 300),
    "most_in_flight": Limit("Prometheus requests in flight", 1, 1000, whole=True),
}

TENANT_HEADER = "X-Scope-OrgID"
OUR_HEADERS = {"accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding"}
QUERY_PARAMETERS = {"query", "time", "start", "end", "step", "timeout"}
SECRET_NAME = re.compile("auth|cookie|key|password|secret|token", re.IGNORECASE)
"""Names of headers and parameters whose values are taken for credentials."""
MOST_SECRET_BYTES = 16 * 1024
"""Chosen: the whole header of a request is rarely allowed more."""


def tls_context(settings: PrometheusSettings) -> ssl.SSLContext | None:
    """What certificates are checked with, always; None where the address is not https."""
    if not settings.is_tls:
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise InputError(f"Prometheus CA file {settings.ca_file}: {_cause(error)}") from error


def request_headers(settings: PrometheusSettings) -> dict[str, str]:
    """Headers of the next request, with the credentials as they stand in their files now; InputError names a file."""
    headers = dict(settings.headers)
    if settings.tenant is not None:
        headers[TENANT_HEADER] = settings.tenant
    if settings.token_file is not None:
        headers["Authorization"] = f"Bearer {_read_secret(settings.token_file, 'token')}"
    if settings.basic_auth is not None:
        password = _read_secret(settings.basic_auth.password_file, "password")
        pair = f"{settings.basic_auth.username}:{password}".encode()
        headers["Authorization"] = f"Basic {b64encode(pair).decode('ascii')}"
    return headers


def secrets_of(settings: PrometheusSettings, headers: Mapping[str, str]) -> tuple[str, ...]:
    """What no message may repeat of a request with these headers, as single words."""
    values = [value for name, value in headers.items() if name in settings.headers or name == "Authorization"]
    values += [value for name, value in settings.all_parameters if SECRET_NAME.search(name)]
    words = [word for value in values for word in value.split() if word not in ("Basic", "Bearer")]
    if settings.basic_auth is not None:
        words += b64decode(headers["Authorization"].removeprefix("Basic ")).decode().partition(":")[2].split()
    return tuple(words)


def _read_secret(path: Path, kind: str) -> str:
    """The one line a file holds. A message says which file is wrong, and nothing of what is in it."""
    try:
        with path.open("rb") as file:
            secret = file.read(MOST_SECRET_BYTES + 1).strip()
    except OSError as error:
        raise InputError(f"Prometheus {kind} file {path}: {_cause(error)}") from error
    if not re.fullmatch(rb"[\x20-\x7e]{1,%d}" % MOST_SECRET_BYTES, secret):
        raise InputError(f"Prometheus {kind} file {path}: is not one line of printable ASCII")
    return secret.decode("ascii")


def _check_url(url: str) -> None:
    """Refuse what is no base address; one with a password in it is not repeated."""
    if "@" in url:
        raise InputError("Prometheus URL: holds an @; credentials belong in a token or password file")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port above 65535, half an IPv6 address
        usable = False
    if not usable or not re.fullmatch(r"[\x21-\x7e]+", url) or "#" in url:
        raise InputError(
            f"Prometheus URL: {shown(url.partition('?')[0])} is not an address such as http://prometheus:9090"
        )


def _check_parameters(parameters: tuple[tuple[str, str], ...]) -> None:
    """Refuse those that a query has itself. A value may be a secret and is not repeated."""
    for name, value in parameters:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+(\[\])?", name) or name in QUERY_PARAMETERS:
            raise InputError(f"Prometheus parameter: {shown(name)} is not a parameter that can be added")
        if not value.isprintable():
            raise InputError(f"Prometheus parameter {name}: its value is not one line of printable text")


def _check_transport(settings: PrometheusSettings) -> None:
    """Refuse credentials that would go over the network for everybody to read."""
    if settings.is_tls or settings.allow_plain_http_credentials:
        return
    sent = _credentials(settings)
    if sent and is_exposed(URL(settings.url)):
        raise InputError(
            f"Prometheus credentials ({sent}): {shown(settings.base_url)} is not https, so others could read them on "
            "their way; use https, or allow it with --allow-plain-http-credentials"
        )


def _credentials(settings: PrometheusSettings) -> str:
    """The first kind of credentials that is sent; empty without any."""
    if settings.token_file is not None:
        return "token file"
    if settings.basic_auth is not None:
        return "basic auth"
    for kind, names in (("header", settings.headers), ("parameter", dict(settings.all_parameters))):
        for name in names:
            if SECRET_NAME.search(name):
                return f"{kind} {name}"
    return ""


def _check_headers(settings: PrometheusSettings) -> None:
    taken = set(OUR_HEADERS)
    if settings.token_file or settings.basic_auth:
        taken.add("authorization")
    if settings.tenant is not None:
        taken.add(TENANT_HEADER.lower())
        _check_header(TENANT_HEADER, settings.tenant)
    for name, value in settings.headers.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or name.lower() in taken:
            raise InputError(f"Prometheus header: {shown(name)} is not a header that can be added")
        _check_header(name, value)


def _check_header(name: str, value: str) -> None:
    if not re.fullmatch(r"[\x20-\x7e]+", value):
        raise InputError(f"Prometheus header {name}: its value is not one line of printable ASCII")


def _cause(error: OSError) -> str:
    return error.strerror or type(error).__name__

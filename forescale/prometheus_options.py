"""The options that say where Prometheus is and how one gets in, for every command that reads it."""

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scaling.errors import InputError

if TYPE_CHECKING:
    from controller.prometheus.access import BasicAuth, PrometheusSettings


def _option(name: str, help: str, **more: Any) -> Any:
    return typer.Option(f"--{name}", envvar=f"FORESCALE_{name.upper().replace('-', '_')}", help=help, **more)


OPTIONS: dict[str, tuple[Any, Any]] = {
    "prometheus_url": (
        Annotated[
            str, _option("prometheus-url", "What stands before /api/v1; ?NAME=VALUE is sent too.", metavar="URL")
        ],
        inspect.Parameter.empty,
    ),
    "prometheus_param": (
        Annotated[
            list[str] | None,
            _option(
                "prometheus-param", "Sent with every request, repeatable, such as dedup=true.", metavar="NAME=VALUE"
            ),
        ],
        None,
    ),
    "prometheus_ca_file": (
        Annotated[Path | None, _option("prometheus-ca-file", "Certificates to trust (PEM).", metavar="FILE")],
        None,
    ),
    "prometheus_token_file": (
        Annotated[
            Path | None,
            _option("prometheus-token-file", "Bearer token, read again for every request.", metavar="FILE"),
        ],
        None,
    ),
    "prometheus_username": (
        Annotated[str | None, _option("prometheus-username", "Basic auth; goes with a password file.")],
        None,
    ),
    "prometheus_password_file": (
        Annotated[
            Path | None,
            _option("prometheus-password-file", "Password, read again for every request.", metavar="FILE"),
        ],
        None,
    ),
    "prometheus_header": (
        Annotated[
            list[str] | None,
            _option("prometheus-header", "One more header, repeatable.", metavar="'NAME: VALUE'"),
        ],
        None,
    ),
    "prometheus_tenant": (
        Annotated[str | None, _option("prometheus-tenant", "X-Scope-OrgID, for Mimir and the like.")],
        None,
    ),
    "allow_plain_http_credentials": (
        Annotated[
            bool,
            _option(
                "allow-plain-http-credentials", "Send tokens and passwords over plain http to other machines, too."
            ),
        ],
        False,
    ),
}
"""Each with its default."""

ALLOW = "allow_plain_http_credentials"


def with_prometheus(function: Callable[..., object]) -> Callable[..., object]:
    """The function as one with these options in place of its parameter `prometheus`, which gets the settings.

    It also gets `allow_plain_http_credentials`, if it has such a parameter.
    """
    signature = inspect.signature(function)
    takes_allow = ALLOW in signature.parameters

    @functools.wraps(function)
    def command(**given: Any) -> object:
        chosen = {name: given.pop(name) for name in OPTIONS}
        allow = {ALLOW: chosen[ALLOW]} if takes_allow else {}
        return function(**given, prometheus=prometheus_settings(**chosen), **allow)

    own = [parameter for name, parameter in signature.parameters.items() if name not in ("prometheus", ALLOW)]
    parameters = [
        *(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in OPTIONS.items()
        ),
        *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own),
    ]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def prometheus_settings(
    *,
    prometheus_url: str,
    prometheus_param: Sequence[str] | None = None,
    prometheus_ca_file: Path | None = None,
    prometheus_token_file: Path | None = None,
    prometheus_username: str | None = None,
    prometheus_password_file: Path | None = None,
    prometheus_header: Sequence[str] | None = None,
    prometheus_tenant: str | None = None,
    allow_plain_http_credentials: bool = False,
) -> "PrometheusSettings":
    """What the options say; InputError names the one that cannot be used, and repeats no secret."""
    from controller.prometheus.access import PrometheusSettings

    return PrometheusSettings(
        url=prometheus_url,
        parameters=tuple(_parameter(text) for text in prometheus_param or ()),
        ca_file=prometheus_ca_file,
        token_file=prometheus_token_file,
        basic_auth=_basic_auth(prometheus_username, prometheus_password_file),
        headers=dict(_header(text) for text in prometheus_header or ()),
        tenant=prometheus_tenant,
        allow_plain_http_credentials=allow_plain_http_credentials,
    )


def _basic_auth(username: str | None, password_file: Path | None) -> "BasicAuth | None":
    from controller.prometheus.access import BasicAuth

    if (username is None) != (password_file is None):
        raise InputError("--prometheus-username and --prometheus-password-file go together; only one is given")
    return None if username is None or password_file is None else BasicAuth(username, password_file)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise InputError("--prometheus-header: give 'NAME: VALUE', with a colon")  # the text may be a secret
    return name.strip(), value.strip()


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError("--prometheus-param: give NAME=VALUE, with an equals sign")  # the text may be a secret
    return name, value

"""`forescale operator`: its options; what it does is in `controller.operator`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forescale.common import Common
from forescale.logs import LogFormat, start_logging, usual_format
from scaling.errors import InputError

if TYPE_CHECKING:
    from controller.cluster.workloads import ReadOnlyWorkloads
    from controller.operator.operator import Rehearsal
    from controller.ports import Metrics
    from controller.prometheus.access import BasicAuth


def operator(
    prometheus_url: Annotated[
        str, typer.Option(metavar="URL", envvar="FORESCALE_PROMETHEUS_URL", help="What stands before /api/v1.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Scale simulated twins of the workloads; write status, never a scale.")
    ] = False,
    namespace: Annotated[
        list[str] | None, typer.Option("--namespace", "-n", help="Serve this namespace, repeatable. Default: all.")
    ] = None,
    deny_namespace: Annotated[
        list[str] | None, typer.Option(help="Serve none of this one, repeatable. Default: kube-system.")
    ] = None,
    max_replicas: Annotated[
        int | None, typer.Option(help="Most replicas of any policy. Default: as its maxReplicas says.")
    ] = None,
    max_policies_per_namespace: Annotated[
        int | None, typer.Option(help="Serve the oldest so many of each namespace. Default: all.")
    ] = None,
    allowed_kind: Annotated[
        list[str] | None,
        typer.Option(metavar="GROUP/KIND", help="Scale this kind, repeatable. Default: all that have a scale."),
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: the pod's service account, else what kubectl reads.")
    ] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig. Default: its current one.")] = None,
    lease_namespace: Annotated[
        str, typer.Option(envvar="FORESCALE_LEASE_NAMESPACE", help="Where the Lease is that one operator holds.")
    ] = "forescale-system",
    lease_name: Annotated[
        str, typer.Option(help="Operators of one name take turns; a dry-run has its own.")
    ] = "forescale",
    host: Annotated[
        str,
        typer.Option(
            envvar="FORESCALE_LISTEN_HOST", help="Address of /metrics, /healthz and /readyz; in a pod 0.0.0.0."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="FORESCALE_LISTEN_PORT", help="Their port; 0 takes a free one.")
    ] = 8080,  # a Service named forescale sets FORESCALE_PORT in every pod beside it
    requests_per_second: Annotated[float, typer.Option(help="Requests to the API server, on average.")] = 20.0,
    burst: Annotated[int, typer.Option(help="Requests to the API server at once.")] = 30,
    allow_plain_http_credentials: Annotated[
        bool,
        typer.Option(
            "--allow-plain-http-credentials", help="Send tokens and passwords over plain http to other machines, too."
        ),
    ] = False,
    query_language: Annotated[
        str, typer.Option(metavar="promql|metricsql", help="What queries are checked as before they are asked.")
    ] = "promql",
    enforce_namespace_label: Annotated[
        str | None,
        typer.Option(metavar="LABEL", help="Let queries read only series with this label of the policy's namespace."),
    ] = None,
    prometheus_ca_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificates to trust (PEM).")
    ] = None,
    prometheus_token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Bearer token, read again for every request.")
    ] = None,
    prometheus_username: Annotated[str | None, typer.Option(help="Basic auth; goes with a password file.")] = None,
    prometheus_password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Password, read again for every request.")
    ] = None,
    prometheus_header: Annotated[
        list[str] | None, typer.Option(metavar="'NAME: VALUE'", help="One more header, repeatable.")
    ] = None,
    prometheus_tenant: Annotated[str | None, typer.Option(help="X-Scope-OrgID, for Mimir and the like.")] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error. Default: info; debug with -v, warning with -q.")
    ] = None,
    log_format: Annotated[
        LogFormat | None, typer.Option(help="text, or json: an object a line. Default: json in a pod, else text.")
    ] = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Serve the ScalingPolicies of a cluster until stopped.

    Each option can also be set by the environment variable beside it, lists with commas between their entries.
    """
    from controller.operator.operator import serve
    from controller.operator.query_rules import language
    from controller.operator.settings import OperatorSettings
    from controller.prometheus.access import PrometheusSettings

    settings = OperatorSettings(
        prometheus=PrometheusSettings(
            url=prometheus_url,
            ca_file=prometheus_ca_file,
            token_file=prometheus_token_file,
            basic_auth=_basic_auth(prometheus_username, prometheus_password_file),
            headers=dict(_header(text) for text in prometheus_header or ()),
            tenant=prometheus_tenant,
        ),
        kubeconfig=kubeconfig,
        context=context,
        namespaces=tuple(namespace or ()),
        denied_namespaces=tuple(deny_namespace or OperatorSettings.denied_namespaces),
        max_replicas=max_replicas,
        max_policies_per_namespace=max_policies_per_namespace,
        allowed_kinds=tuple(allowed_kind or ()),
        lease_namespace=lease_namespace,
        lease_name=lease_name,
        host=host,
        port=port,
        requests_per_s=requests_per_second,
        burst=burst,
        allow_plain_http_credentials=allow_plain_http_credentials,
        query_language=language(query_language),
        namespace_label=enforce_namespace_label,
    )
    start_logging(log_level or _usual_level(common), log_format or usual_format())
    serve(settings, _twins if dry_run else None)


def _twins(metrics: "Metrics", reading: "ReadOnlyWorkloads") -> "Rehearsal":
    """A world in which decisions are carried out on simulated twins."""
    from controller.dryrun.twins import Twins, twin_ports
    from controller.operator.operator import Rehearsal

    twins = Twins(reading.scale)
    return Rehearsal(twin_ports(metrics, twins), lambda target: twins.forget(target.name), twins.would_be)


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


def _usual_level(common: Common) -> str:
    return "debug" if common.verbose else "warning" if common.quiet else "info"

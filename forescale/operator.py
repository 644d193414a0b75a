"""`forescale operator`: its options; what it does is in `controller.operator`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forescale.common import Common
from forescale.logs import LogFormat, start_logging, usual_format
from forescale.prometheus_options import with_prometheus

if TYPE_CHECKING:
    from controller.cluster.workloads import ReadOnlyWorkloads
    from controller.operator.operator import Rehearsal
    from controller.ports import Metrics
    from controller.prometheus.access import PrometheusSettings


@with_prometheus
def operator(
    prometheus: "PrometheusSettings",
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
    allow_plain_http_credentials: bool = False,
    query_language: Annotated[
        str, typer.Option(metavar="promql|metricsql", help="What queries are checked as before they are asked.")
    ] = "promql",
    enforce_namespace_label: Annotated[
        str | None,
        typer.Option(metavar="LABEL", help="Let queries read only series with this label of the policy's namespace."),
    ] = None,
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

    settings = OperatorSettings(
        prometheus=prometheus,
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


def _usual_level(common: Common) -> str:
    return "debug" if common.verbose else "warning" if common.quiet else "info"

"""What an administrator sets for the whole operator; no ScalingPolicy can change any of it."""

import re
from dataclasses import dataclass
from pathlib import Path

from controller.operator.query_rules import QueryLanguage
from controller.prometheus.access import PrometheusSettings
from scaling.errors import InputError
from scaling.limits import Limit, check_limits, shown
from scaling.spec import MOST_REPLICAS

LABEL = re.compile(r"(?!__name__)[a-zA-Z_][a-zA-Z0-9_]{0,127}", re.ASCII)
NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

GROUP_KIND = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Z][A-Za-z0-9]{0,62}")


@dataclass(frozen=True, kw_only=True)
class OperatorSettings:
    """One operator."""

    prometheus: PrometheusSettings
    """Where demand is read."""

    kubeconfig: Path | None = None
    """File with the API server and our credentials. Default: the pod's service account, else what kubectl reads."""

    context: str | None = None
    """Which of the kubeconfig's contexts. Default: its current one."""

    namespaces: tuple[str, ...] = ()
    """Where policies are served. Default: everywhere."""

    denied_namespaces: tuple[str, ...] = ("kube-system",)
    """Where they are not, unless `namespaces` names them. Default: where a wrong size can take the cluster down."""

    max_replicas: int | None = None
    """Most replicas of any policy; one that asks for more is served up to this. Default: as its maxReplicas says."""

    max_policies_per_namespace: int | None = None
    """Of more, the oldest are served. Default: all."""

    allowed_kinds: tuple[str, ...] = ()
    """Discovery that may be scaled, as GROUP/KIND, or KIND of the core group. Default: all that have a scale."""

    lease_namespace: str = "forescale-system"
    """Where the Lease is that one of several operators holds. Default: where the chart installs."""

    lease_name: str = "forescale"
    """Name of the Lease; two operators with different names would both act."""

    host: str = "127.0.0.1"
    """Address of the pages /metrics, /healthz and /readyz. Default: nobody but this machine; in a pod 0.0.0.0."""

    port: int = 8080
    """Port of the pages; 0 takes a free one, which the log names."""

    requests_per_s: float = 20.0
    """Requests a second to the API server, on average. Default: what Kubernetes' own controllers are shipped with."""

    burst: int = 30
    """Requests that may follow each other at once. Default: as KEDA is shipped."""

    allow_plain_http_credentials: bool = False
    """Whether tokens and passwords may go over plain http to another machine. Default: that is refused."""

    query_language: QueryLanguage = QueryLanguage.PROMQL
    """What queries are checked as before they are asked. Default: what every server understands."""

    namespace_label: str | None = None
    """Label that every selector of a query must match with the policy's namespace. Default: queries read all series."""

    def __post_init__(self) -> None:
        if self.namespace_label is not None and not LABEL.fullmatch(self.namespace_label):
            raise InputError(f"--enforce-namespace-label: {shown(self.namespace_label)} is not a label of series")
        check_limits(self, SETTINGS_LIMITS)
        for option, name in (
            ("--lease-namespace", self.lease_namespace),
            ("--lease-name", self.lease_name),
            *(("--namespace", namespace) for namespace in self.namespaces),
            *(("--deny-namespace", namespace) for namespace in self.denied_namespaces),
        ):
            if not NAMESPACE.fullmatch(name):
                raise InputError(f"{option}: {shown(name)} is not a DNS-1123 label of at most 63 characters")
        for kind in self.allowed_kinds:
            if not GROUP_KIND.fullmatch(kind):
                raise InputError(f"--allowed-kind: {shown(kind)} is not GROUP/KIND, as apps/Deployment")


SETTINGS_LIMITS = {
    "max_replicas": Limit("--max-replicas", 1, MOST_REPLICAS, whole=True, optional=True),
    "max_policies_per_namespace": Limit("--max-policies-per-namespace", 1, 1_000_000, whole=True, optional=True),
    "port": Limit("--port", 0, 65535, whole=True),
    "requests_per_s": Limit("--requests-per-second", 0.1, 10_000),
    "burst": Limit("--burst", 1, 100_000, whole=True),
}

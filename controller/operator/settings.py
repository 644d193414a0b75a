"""What an administrator sets for the whole operator; no ScalingPolicy can change any of it."""

import re
from dataclasses import dataclass
from pathlib import Path

from controller.prometheus.access import PrometheusSettings
from scaling.errors import InputError
from scaling.limits import Limit, check_limits, shown

NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


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

    def __post_init__(self) -> None:
        check_limits(self, SETTINGS_LIMITS)
        for option, name in (
            ("--lease-namespace", self.lease_namespace),
            ("--lease-name", self.lease_name),
            *(("--namespace", namespace) for namespace in self.namespaces),
            *(("--deny-namespace", namespace) for namespace in self.denied_namespaces),
        ):
            if not NAMESPACE.fullmatch(name):
                raise InputError(f"{option}: {shown(name)} is not a DNS-1123 label of at most 63 characters")


SETTINGS_LIMITS = {
    "port": Limit("--port", 0, 65535, whole=True),
    "requests_per_s": Limit("--requests-per-second", 0.1, 10_000),
    "burst": Limit("--burst", 1, 100_000, whole=True),
}

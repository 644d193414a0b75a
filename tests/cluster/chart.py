"""The Helm chart as Helm installs it: rendered, checked by the real API server, the operator under its account."""

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.build_controlplane import path_of
from tests.cluster.controlplane import Cluster

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "forescale"
NAMESPACE = "forescale-system"
URL = "prometheus.url=http://127.0.0.1:9090"
TIMEOUT_S = 120.0

PROFILES = {
    "cluster-active": (),
    "cluster-shadow": ("rbac.mode=Shadow",),
    "namespaced-active": ("rbac.scope=Namespaced", "namespaces={default}"),
    "namespaced-shadow": ("rbac.scope=Namespaced", "namespaces={default}", "rbac.mode=Shadow"),
}
EVERYTHING = (
    "api.enabled=true",
    "api.tokenSecret=api-token",
    "metrics.serviceMonitor=true",
    "metrics.alerts=true",
    "metrics.runbookUrl=https://docs.example.org/forescale",
    "dashboards.enabled=true",
    "metrics.labels.release=prometheus",
    "prometheus.tokenSecret=prometheus-token",
    "prometheus.tenant=shop",
    "operator.dryRun=true",
    "training.job=true",
    "training.schedule=0 3 * * 0",
    "training.runsClaim=runs",
    "training.tracesClaim=traces",
    "tuning.workers=3",
    "tuning.storageSecret=study",
    "operator.maxReplicas=100",
    "operator.maxPoliciesPerNamespace=50",
    "operator.enforceNamespaceLabel=namespace",
    "operator.extraArgs={--log-level=debug}",
    "imagePullSecrets={registry}",
    "rbac.extraScaleTargets[0].apiGroup=argoproj.io",
    "rbac.extraScaleTargets[0].resource=rollouts",
)
"""Every part of the chart that is off by default, and every option."""


@dataclass(frozen=True)
class Helm:
    """Helm for one cluster."""

    cluster: Cluster
    folder: Path
    """Of its own data."""

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run it in the chart's namespace."""
        homes = {f"HELM_{kind}_HOME": str(self.folder / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        command = [path_of("helm"), f"--kubeconfig={self.cluster.kubeconfig}", f"--namespace={NAMESPACE}", *arguments]
        return subprocess.run(
            command, env=os.environ | homes, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )

    def did(self, *arguments: str) -> str:
        """What it printed; it must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rendered(self, *values: str) -> list[dict[str, Any]]:
        """The objects of the chart."""
        text = self.did("template", "forescale", str(CHART), *sets((URL, *values)))
        return [body for body in yaml.safe_load_all(text) if body]


def sets(values: Iterable[str]) -> list[str]:
    """Values as options of Helm; what looks like a time or a number stays a text."""
    return [word for value in values for word in ("--set", value)]


def a_definition(group: str, version: str, kind: str, plural: str) -> dict[str, Any]:
    """A definition that takes any object of a kind: stands in for one of another project."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    versions = [{"name": version, "served": True, "storage": True, "schema": schema}]
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": versions}
    metadata = {"name": f"{plural}.{group}"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": spec,
    }


def as_account(cluster: Cluster, account: str, folder: Path) -> Path:
    """A kubeconfig with a token of a ServiceAccount of the chart's namespace."""
    made = cluster.kubectl("create", "token", account, f"--namespace={NAMESPACE}", "--duration=1h")
    assert made.returncode == 0, made.stderr
    config = json.loads(Path(cluster.kubeconfig).read_text())
    config["users"][0]["user"] = {"token": made.stdout.strip()}
    file = folder / f"{account}.kubeconfig"
    file.write_text(json.dumps(config))
    file.chmod(0o600)
    return file

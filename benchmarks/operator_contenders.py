"""Who scales the workloads of `benchmarks.operator`: the operator, and beside it the real HPA controller.

Each is a process of its own that comes to workloads at rest, and takes one object for each of them.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from benchmarks.operator_ground import TARGET_RPS, Ground
from benchmarks.operator_meter import samples_of
from controller.crd.tables import API_VERSION, KIND
from tests.cluster.companions import controller_manager
from tests.cluster.daemon import Daemon, running
from tests.cluster.load_exporter import NAMESPACE
from tests.cluster.scene import HPAS, OPERATOR_USER, POLICIES, an_hpa, operator

MOST_REPLICAS = 10
HPA_USER = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"


@dataclass(frozen=True)
class Contender:
    """One who scales."""

    name: str
    user: str
    """Whom the audit log names."""
    started: Callable[[Ground, int], AbstractContextManager[Daemon]]
    """Runs it; the number is the interval in seconds."""
    path: str
    """Where its objects are made."""
    body: Callable[[str, int], dict[str, Any]]
    """The object for a workload."""
    has_decided: Callable[[Ground, Daemon], int]
    """For how many it has come to a first decision."""
    has_pages: bool = False
    """Whether it measures its own latencies."""


def ours() -> Contender:
    """The operator as it is shipped."""
    return Contender(
        "forescale",
        OPERATOR_USER,
        lambda ground, interval_s: running(operator(ground.scene)),
        POLICIES,
        _a_policy,
        _decided_by_us,
        has_pages=True,
    )


def hpa(name: str, *options: str) -> Contender:
    """The HPA controller alone in a kube-controller-manager."""

    def started(ground: Ground, interval_s: int) -> AbstractContextManager[Daemon]:
        alone = "--controllers=horizontal-pod-autoscaler-controller"
        sync = f"--horizontal-pod-autoscaler-sync-period={interval_s}s"
        return controller_manager(ground.cluster, [alone, sync, *options])

    return Contender(name, HPA_USER, started, HPAS, _an_hpa, _decided_by_hpa)


def rivals() -> tuple[Contender, ...]:
    """The HPA controller as it is shipped, and with as many requests as it likes."""
    lifted = ("--kube-api-qps=10000", "--kube-api-burst=10000")
    return hpa("HPA, shipped limits"), hpa("HPA, limits lifted", *lifted)


def port_of(daemon: Daemon) -> int:
    """Where the operator's pages are."""
    return next(int(word.removeprefix("--port=")) for word in daemon.command if word.startswith("--port="))


def _a_policy(name: str, interval_s: int) -> dict[str, Any]:
    query = f'sum(queue_length{{namespace="{NAMESPACE}",app="{name}"}})'
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": 1,
        "maxReplicas": MOST_REPLICAS,
        "intervalSeconds": interval_s,
        "demand": {"query": query, "targetPerReplica": str(TARGET_RPS)},
    }
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}


def _an_hpa(name: str, interval_s: int) -> dict[str, Any]:
    return an_hpa(name, TARGET_RPS, MOST_REPLICAS, app=name)


def _decided_by_us(ground: Ground, daemon: Daemon) -> int:
    samples = samples_of(port_of(daemon))
    return sum(1 for name, _ in samples if name == "forescale_policy_desired_replicas")


def _decided_by_hpa(ground: Ground, daemon: Daemon) -> int:
    hpas = ground.cluster.request("GET", HPAS).body["items"]
    return sum(1 for each in hpas if each.get("status", {}).get("currentMetrics"))

"""What joins a control plane to make pods of Deployments: kube-controller-manager, kube-scheduler, and kwok's nodes.

kwok plays the kubelet: its pods run nothing, and become ready as the stages in kwok_stages.yaml say. The real HPA
controller is part of kube-controller-manager.

Source: https://github.com/kubernetes-sigs/kwok/tree/v0.8.0/kustomize/stage
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from ssl import SSLContext

from tests.cluster.build_controlplane import path_of
from tests.cluster.controlplane import Cluster
from tests.cluster.daemon import Daemon, free_ports, running
from tests.cluster.loopback import is_healthy, trusting_anyone

STAGES = Path(__file__).parent / "kwok_stages.yaml"
STARTUP = "forescale.dev/startup"
"""Annotation of a pod: how long kwok lets it take until it is ready, such as "20s"; at once without."""


@contextmanager
def controller_manager(cluster: Cluster, options: Sequence[str] = ()) -> Iterator[Daemon]:
    """kube-controller-manager; its HPA controller takes `--horizontal-pod-autoscaler-sync-period` and its like."""
    keys = cluster.certificates
    signing = [
        f"--service-account-private-key-file={keys.service_accounts()}",
        f"--root-ca-file={keys.authority.certificate}",
        "--use-service-account-credentials",
    ]
    with running(_of_kubernetes("kube-controller-manager", cluster, [*signing, *options])) as daemon:
        yield daemon


@contextmanager
def scheduler(cluster: Cluster, options: Sequence[str] = ()) -> Iterator[Daemon]:
    """kube-scheduler."""
    with running(_of_kubernetes("kube-scheduler", cluster, options)) as daemon:
        yield daemon


@contextmanager
def kwok(cluster: Cluster) -> Iterator[Daemon]:
    """kwok, as the kubelet of every node."""
    (port,) = free_ports(1)
    kubeconfig = cluster.certificates.kubeconfig(cluster.address, "/O=system:masters/CN=kwok")
    options = [f"--config={STAGES}", "--manage-all-nodes=true", "--node-lease-duration-seconds=40"]
    own = [f"--kubeconfig={kubeconfig}", f"--server-address=127.0.0.1:{port}"]
    with running(_companion("kwok", cluster, [*own, *options], port, None)) as daemon:
        yield daemon


def add_node(cluster: Cluster, name: str, pods: int = 1000) -> None:
    """A node with room for so many pods."""
    room = {"cpu": "1000", "memory": "4Ti", "pods": str(pods)}
    status = {"allocatable": room, "capacity": room}
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": status}
    answer = cluster.request("POST", "/api/v1/nodes", body)
    if answer.code != 201:
        raise RuntimeError(f"node {name}: {answer.body}")


def _of_kubernetes(name: str, cluster: Cluster, options: Sequence[str]) -> Daemon:
    (port,) = free_ports(1)
    kubeconfig = cluster.certificates.kubeconfig(cluster.address, f"/CN=system:{name}")
    own = [f"--kubeconfig={kubeconfig}", "--leader-elect=false", "--bind-address=127.0.0.1", f"--secure-port={port}"]
    folder = f"--cert-dir={cluster.folder / name}"
    return _companion(name, cluster, [*own, folder, *options], port, trusting_anyone())


def _companion(name: str, cluster: Cluster, options: Sequence[str], port: int, tls: SSLContext | None) -> Daemon:
    is_ready = partial(is_healthy, port, tls, "/healthz")
    return Daemon(name, [path_of(name), *options], cluster.folder / f"{name}.log", is_ready)

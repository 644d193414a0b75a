"""The whole scene on one machine: a control plane with nodes, Prometheus scraping played load, workloads under it.

`scene(folder, wishes)` starts it all and stops it in reverse order. The operator is not part of it: `operator` makes a
process of it that a test starts, pauses and kills as it likes, and `an_hpa` an HPA for the real controller beside it.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.cluster.companions import STARTUP, add_node, controller_manager, kwok, scheduler
from tests.cluster.controlplane import Cluster, control_plane
from tests.cluster.daemon import Daemon, free_ports
from tests.cluster.load_exporter import NAMESPACE, Load, LoadExporter, load_exporter, steady
from tests.cluster.loopback import is_healthy
from tests.cluster.metrics_adapter import metrics_adapter
from tests.cluster.prometheus import SCRAPE_INTERVAL_S, Prometheus, prometheus

CRDS = Path(__file__).parents[2] / "deploy/helm/forescale/files/scalingpolicies.yaml"
NEEDED = ("etcd", "kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler", "kwok", "prometheus")
"""Programs that a scene starts."""

OPERATOR = (sys.executable, "-m", "forescale", "operator")
OPERATOR_USER = "forescale"
"""Whom the audit log names, unless a test has operators of several names."""

METRIC = "http_requests_per_second"
"""What HPAs of the scene read, selected by the label app."""

HPA_SYNC_S = 15
"""Source: kube-controller-manager --horizontal-pod-autoscaler-sync-period, default 15 s (Kubernetes v1.37)."""

WITHIN_S = 180.0


@dataclass(frozen=True)
class Wishes:
    """What a scene is like."""

    load: Load = field(default_factory=lambda: steady(100.0))
    """What the applications are asked for, once it is told to play."""
    apps: int = 1
    """Applications with load: `web`, or `web-0` and so on. Workloads are made one by one, with `deploy`."""
    speed_up: float = 1.0
    """Seconds of the load in a second."""
    scrape_interval_s: int = SCRAPE_INTERVAL_S
    rate_window_s: int = 5
    """Of the queries in `demand`: at least four scrapes, or a lost one leaves a gap."""
    hpa_sync_s: int = HPA_SYNC_S
    controller_manager: Sequence[str] = ()
    """More options of kube-controller-manager."""
    api_server: Sequence[str] = ()
    """More options of kube-apiserver."""
    nodes: int = 1
    """Each has room for 1,000 pods."""


@dataclass
class Scene:
    """What runs."""

    folder: Path
    wishes: Wishes
    cluster: Cluster
    prometheus: Prometheus
    load: LoadExporter
    parts: Mapping[str, Daemon]
    """Every process by name."""

    def demand(self, app: str = "web") -> str:
        """The query of an application's requests/s."""
        return _demand(f'namespace="{NAMESPACE}",app="{app}"', self.wishes.rate_window_s)

    def make(self, path: str, body: Mapping[str, Any]) -> None:
        """Create an object, or RuntimeError with what is wrong."""
        answer = self.cluster.make(path, body)
        if answer.code not in (200, 201):
            raise RuntimeError(f"{path}: {answer.body}")

    def deploy(self, name: str, replicas: int, startup_s: float = 0.0) -> None:
        """A Deployment whose pods take so long until they are ready."""
        self.make(DEPLOYMENTS, a_deployment(name, replicas, startup_s))

    def replicas(self, name: str) -> tuple[int, int]:
        """Pods that a Deployment is asked for, and ready ones."""
        body = self.cluster.request("GET", f"{DEPLOYMENTS}/{name}").body
        return body["spec"]["replicas"], body["status"].get("readyReplicas", 0)


DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
HPAS = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers"
POLICIES = f"/apis/forescale.dev/v1alpha1/namespaces/{NAMESPACE}/scalingpolicies"


@contextmanager
def scene(folder: Path, wishes: Wishes | None = None) -> Iterator[Scene]:
    """All of it, ready, with its data in an empty folder; ScalingPolicy is known and there is no workload yet."""
    wanted = wishes or Wishes()
    places = {name: folder / name for name in ("cluster", "prometheus", "load")}
    for place in places.values():
        place.mkdir()
    with ExitStack() as stack:
        cluster = stack.enter_context(control_plane(places["cluster"], wanted.api_server))
        load = stack.enter_context(load_exporter(places["load"], wanted.load, wanted.apps, speed_up=wanted.speed_up))
        scraping = prometheus(places["prometheus"], {"load": load.port}, wanted.scrape_interval_s)
        metrics = stack.enter_context(scraping)
        parts = [cluster.etcd, cluster.api_server, load.daemon, metrics.daemon]
        sync = f"--horizontal-pod-autoscaler-sync-period={wanted.hpa_sync_s}s"
        parts.append(stack.enter_context(controller_manager(cluster, [sync, *wanted.controller_manager])))
        parts += [stack.enter_context(companion(cluster)) for companion in (scheduler, kwok)]
        templates = {METRIC: _demand("$matchers", wanted.rate_window_s)}
        parts.append(stack.enter_context(metrics_adapter(cluster, metrics.url, templates)))
        _furnish(cluster, wanted.nodes)
        yield Scene(folder, wanted, cluster, metrics, load, {part.name: part for part in parts})


def operator(scene: Scene, *options: str, name: str = OPERATOR_USER, command: Sequence[str] = OPERATOR) -> Daemon:
    """An operator for this scene, not started; ready once its /readyz says so.

    It is an administrator by its name, which the audit log shows; the rights that the chart gives are tested elsewhere.
    """
    (port,) = free_ports(1)
    kubeconfig = scene.cluster.certificates.kubeconfig(scene.cluster.address, f"/O=system:masters/CN={name}")
    own = [f"--kubeconfig={kubeconfig}", f"--prometheus-url={scene.prometheus.url}", f"--port={port}", *options]
    return Daemon(name, [*command, *own], scene.folder / f"{name}.log", partial(is_healthy, port, None, "/readyz"))


def wait_for(seen: Callable[[], Any], expected: Callable[[Any], bool], within_s: float = WITHIN_S) -> Any:
    """What is seen once it is as expected; TimeoutError with the last of it if that takes too long."""
    give_up_s = time.monotonic() + within_s
    while not expected(last := seen()):
        if time.monotonic() > give_up_s:
            raise TimeoutError(f"still {last!r} after {within_s:.0f} s")
        time.sleep(0.2)
    return last


def a_deployment(name: str, replicas: int, startup_s: float = 0.0) -> dict[str, Any]:
    """A Deployment whose pods take so long until they are ready."""
    pod = {"labels": {"app": name}, "annotations": {STARTUP: f"{startup_s:g}s"}}
    template = {"metadata": pod, "spec": {"containers": [{"name": "web", "image": "none"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def an_hpa(name: str, target_rps: int, maximum: int, app: str = "web", **spec: Any) -> dict[str, Any]:
    """An HPA of the Deployment of its name, on the requests/s of an application, so many for each replica."""
    metric = {"name": METRIC, "selector": {"matchLabels": {"app": app}}}
    target = {"type": "AverageValue", "averageValue": str(target_rps)}
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    metrics = [{"type": "External", "external": {"metric": metric, "target": target}}]
    wishes = {"scaleTargetRef": reference, "minReplicas": 1, "maxReplicas": maximum, "metrics": metrics, **spec}
    body = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name}}
    return {**body, "spec": wishes}


def _demand(matchers: str, window_s: int) -> str:
    return f"sum(rate(http_requests_total{{{matchers}}}[{window_s}s]))"


def _furnish(cluster: Cluster, nodes: int) -> None:
    for number in range(nodes):
        add_node(cluster, f"node-{number}")
    applied = cluster.kubectl("apply", "--filename", str(CRDS))
    if applied.returncode != 0:
        raise RuntimeError(f"kubectl apply --filename {CRDS}: {applied.stderr.strip()}")
    wait_for(lambda: cluster.request("GET", POLICIES).code, lambda code: code == 200)  # Established comes before it

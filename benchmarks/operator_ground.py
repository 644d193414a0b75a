"""The ground of `benchmarks.operator`: a real control plane and a real Prometheus with N workloads, and nothing else.

No pods: neither a scheduler nor a controller of Deployments runs, since thousands of pods are a load of their own. The
bench writes the status of a Deployment in their place, once, and again after its size was changed. What is measured
here is left to `operator_meter.py`, who scales to `operator_contenders.py`.
"""

import asyncio
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.cluster.api import KubeApi
from controller.cluster.api_access import ApiSettings
from tests.cluster.build_controlplane import path_of
from tests.cluster.controlplane import Cluster, control_plane
from tests.cluster.load_exporter import NAMESPACE, LoadExporter, app_names, load_exporter, steady
from tests.cluster.metrics_adapter import metrics_adapter
from tests.cluster.prometheus import prometheus
from tests.cluster.scene import CRDS, DEPLOYMENTS, METRIC, POLICIES, Scene, Wishes, a_deployment, wait_for

REST_RPS, STEP_RPS, TARGET_RPS = 100.0, 300.0, 70
"""Load of a workload at rest and after a step, and what a replica takes (chosen: 2 replicas hold the one, not the
other)."""

REPLICAS = 2
LIVES_S = 4 * 3600.0
"""The load exporter ends by itself after this; longer than the longest bench."""

AT_ONCE = 8
"""Requests in flight while objects are made (chosen: more do not make the API server faster on 2 cores)."""

DAY_S, SAMPLED_S = 86_400, 60
"""How long the load has been at rest when the bench begins, and between two samples of that."""

BACKFILLED_WITHIN_S = 300.0
AUDIT_MB = 10_000
"""Size at which the audit log would begin anew, and what was counted of it be lost."""

UNLIMITED_RPS = 10_000.0
"""Requests a second that the bench itself may send."""

Write = tuple[str, str, dict[str, Any]]
"""post, patch or delete; a path; a body."""


@dataclass
class Ground:
    """What runs, and the names of its workloads."""

    scene: Scene
    names: list[str]

    @property
    def cluster(self) -> Cluster:
        """The control plane."""
        return self.scene.cluster

    def write(self, writes: Sequence[Write]) -> None:
        """Send these as the cluster's administrator, a few at a time; the first refusal is raised."""
        asyncio.run(_write(ApiSettings(kubeconfig=self.cluster.kubeconfig, **PACE), writes))

    def settle(self, names: Sequence[str], replicas: int) -> None:
        """Make workloads this big, with all of it ready."""
        self.write([("patch", f"{DEPLOYMENTS}/{name}", {"spec": {"replicas": replicas}}) for name in names])
        self.note_ready(dict.fromkeys(names, replicas))

    def note_ready(self, sizes: Mapping[str, int]) -> None:
        """Say that all pods are there, as the controllers would."""
        self.write([("patch", f"{DEPLOYMENTS}/{name}/status", {"status": _status(n)}) for name, n in sizes.items()])


PACE: dict[str, Any] = {
    "requests_per_s": UNLIMITED_RPS,
    "burst": AT_ONCE,
    "most_connections": AT_ONCE,
    "deadline_s": 60.0,
}


@contextmanager
def ground(folder: Path, count: int, scrape_s: int) -> Iterator[Ground]:
    """So many workloads at rest, with their load in a Prometheus that scrapes it every `scrape_s`."""
    places = {name: folder / name for name in ("cluster", "prometheus", "load")}
    for place in places.values():
        place.mkdir()
    with ExitStack() as stack:
        cluster = stack.enter_context(control_plane(places["cluster"], [f"--audit-log-maxsize={AUDIT_MB}"]))
        load = stack.enter_context(load_exporter(places["load"], steady(REST_RPS), count, for_s=LIVES_S))
        _remember_a_day(places["prometheus"], load)
        metrics = stack.enter_context(prometheus(places["prometheus"], {"load": load.port}, scrape_s))
        templates = {METRIC: "sum(queue_length{$matchers})"}
        parts = [cluster.etcd, cluster.api_server, load.daemon, metrics.daemon]
        parts.append(stack.enter_context(metrics_adapter(cluster, metrics.url, templates)))
        scene = Scene(folder, Wishes(apps=count), cluster, metrics, load, {part.name: part for part in parts})
        own = Ground(scene, app_names("web", count))
        _furnish(own)
        yield own


def _remember_a_day(folder: Path, load: LoadExporter) -> None:
    """Give a Prometheus that is not started yet what it would have scraped until now: adopting reads a day of it."""
    now_s = int(time.time())
    moments = range(now_s - DAY_S, now_s - SAMPLED_S, SAMPLED_S)
    text = folder / "yesterday.txt"
    with text.open("w") as lines:
        lines.write("# TYPE queue_length gauge\n")
        for app in load.apps:
            labels = f'namespace="{NAMESPACE}",app="{app}",instance="127.0.0.1:{load.port}",job="load"'
            lines.writelines(f"queue_length{{{labels}}} {REST_RPS} {at_s}\n" for at_s in moments)
        lines.write("# EOF\n")
    make = [
        path_of("promtool"),
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        "--quiet",
        str(text),
        str(folder / "data"),
    ]
    subprocess.run(make, check=True, timeout=BACKFILLED_WITHIN_S)
    text.unlink()


def _furnish(own: Ground) -> None:
    applied = own.cluster.kubectl("apply", "--filename", str(CRDS))
    if applied.returncode != 0:
        raise RuntimeError(f"kubectl apply --filename {CRDS}: {applied.stderr.strip()}")
    wait_for(lambda: own.cluster.request("GET", POLICIES).code, lambda code: code == 200)
    own.scene.make("/api/v1/namespaces", {"metadata": {"name": "forescale-system"}})
    own.write([("post", DEPLOYMENTS, a_deployment(name, REPLICAS)) for name in own.names])
    own.note_ready(dict.fromkeys(own.names, REPLICAS))
    shown = len(own.names)
    wait_for(lambda: own.scene.prometheus.number("count(queue_length)"), lambda series: series == shown)


def _status(replicas: int) -> dict[str, Any]:
    """A Deployment's whose newest template runs everywhere."""
    conditions = [
        {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
        {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
    ]
    sizes = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    return {**dict.fromkeys(sizes, replicas), "conditions": conditions}


async def _write(settings: ApiSettings, writes: Sequence[Write]) -> None:
    waiting = iter(writes)

    async def work(api: KubeApi) -> None:
        for verb, path, body in waiting:
            await getattr(api, verb)(path, body)

    async with KubeApi(settings) as api:
        await asyncio.gather(*(work(api) for _ in range(AT_ONCE)))

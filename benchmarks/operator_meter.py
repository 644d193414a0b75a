"""What a process costs and what it asked for: read from the kernel, the audit log and pages of metrics.

Nothing here is the word of who is measured, but for the histograms of its own latencies.
"""

import http.client
import json
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.controlplane import Cluster
from tests.cluster.loopback import ask
from tests.cluster.scene import DEPLOYMENTS

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
MIB = 1024.0
"""KiB in one."""

WATCH_S = 4 * 3600
"""The watch of scales ends by itself after this."""


def cpu_s(pid: int) -> float:
    """Processor time of a process so far, all threads together.

    Source: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html (utime and stime, after the name in parentheses)
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> tuple[float, float]:
    """Resident memory of a process, now and at its peak."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return tuple(int(lines[name].split()[0]) / MIB for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


@dataclass(frozen=True)
class Asked:
    """What somebody asked of the API server: requests by verb, those about Leases apart."""

    verbs: Mapping[str, int]
    leases: int

    @property
    def total(self) -> int:
        """All requests but those about Leases."""
        return sum(self.verbs.values())

    @property
    def writes(self) -> int:
        """Of these, those that change something."""
        return sum(count for verb, count in self.verbs.items() if verb in WRITES)


class AuditLog:
    """The API server's audit log, read from a mark on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._from = 0

    def mark(self) -> None:
        """What was written until now does not count."""
        self._from = self._path.stat().st_size

    def asked(self, user: str) -> Asked:
        """What a user was answered since the mark."""
        verbs: Counter[str] = Counter()
        leases = 0
        for event in self._events():
            if event["user"].get("username") != user or event["stage"] != "ResponseComplete":
                continue
            if event.get("objectRef", {}).get("resource") == "leases":
                leases += 1
            else:
                verbs[event["verb"]] += 1
        return Asked(dict(sorted(verbs.items())), leases)

    def _events(self) -> Iterator[dict[str, Any]]:
        with self._path.open("rb") as log:
            log.seek(self._from)
            for line in log:
                if line.endswith(b"\n"):
                    yield json.loads(line)


Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""A page of metrics: by name and labels."""


def samples_of(port: int) -> Samples:
    """The page /metrics of a port on the loopback."""
    text = ask(port, None, "GET", "/metrics").body
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum over all series of a name that have these labels."""
    wanted = set(labels.items())
    return sum(value for (each, has), value in samples.items() if each == name and wanted <= set(has))


def quantile_s(before: Samples, after: Samples, name: str, q: float) -> float:
    """A quantile of what a histogram took in between two pages, interpolated as Prometheus does; NaN for nothing."""
    buckets: Counter[float] = Counter()
    for (each, has), value in after.items():
        if each == f"{name}_bucket":
            buckets[float(dict(has)["le"])] += value - before.get((each, has), 0.0)  # type: ignore[assignment]
    return interpolated(sorted(buckets.items()), q)


def interpolated(buckets: Sequence[tuple[float, float]], q: float) -> float:
    """A quantile of cumulated counts by upper bound."""
    if not buckets or buckets[-1][1] <= 0:
        return math.nan
    rank, low, below = q * buckets[-1][1], 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            return low if math.isinf(bound) else low + (bound - low) * (rank - below) / max(count - below, 1e-9)
        low, below = bound, count
    return low


class ScaleWatch:
    """When each Deployment's spec.replicas was seen to change, by a watch of our own."""

    def __init__(self, cluster: Cluster) -> None:
        listed = cluster.request("GET", DEPLOYMENTS).body
        self.sizes = {item["metadata"]["name"]: item["spec"]["replicas"] for item in listed["items"]}
        self.changed_s: dict[str, list[float]] = {}
        """Unix times of all changes, in order."""
        query = f"watch=1&resourceVersion={listed['metadata']['resourceVersion']}&timeoutSeconds={WATCH_S}"
        self._connection = http.client.HTTPSConnection("127.0.0.1", cluster.port, context=cluster.tls)
        self._connection.request("GET", f"{DEPLOYMENTS}?{query}")
        self._answer = self._connection.getresponse()
        threading.Thread(target=self._follow, daemon=True).start()

    def since(self, begin_s: float, names: Sequence[str]) -> dict[str, float]:
        """Of these, the ones that changed since a moment, and when first."""
        since = {name: [at_s for at_s in self.changed_s.get(name, ()) if at_s >= begin_s] for name in names}
        return {name: changes_s[0] for name, changes_s in since.items() if changes_s}

    def _follow(self) -> None:
        """Until the API server ends; the thread is a daemon, as nobody else can wake it."""
        try:
            for line in self._answer:
                now_s, item = time.time(), json.loads(line)["object"]
                name, replicas = item["metadata"]["name"], item.get("spec", {}).get("replicas")
                if replicas != self.sizes.get(name):
                    self.sizes[name] = replicas
                    self.changed_s.setdefault(name, []).append(now_s)
        except (OSError, ValueError, http.client.HTTPException):
            return

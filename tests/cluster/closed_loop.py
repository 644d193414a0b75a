"""The closed loop, recorded: one load, a Deployment that the operator scales and an equal one under the real HPA.

`record` plays a load through a scene and takes down what happened second by second: requests as the exporter counted
them, replicas as the API server has them, everything else as Prometheus has it, and from the audit log when the HPA
controller read its metric. Nothing comes from the operator's own log. What the curves say beside the simulator is left
to curves.py, how they look to picture.py; `python -m tests.cluster.closed_loop` does all three.
"""

import argparse
import json
import math
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sim.traces import read_load_csv
from tests.cluster.daemon import Daemon, running
from tests.cluster.load_exporter import NAMESPACE, Load, a_peak
from tests.cluster.loopback import ask
from tests.cluster.metrics_adapter import PLACE
from tests.cluster.scene import (
    DEPLOYMENTS,
    HPA_SYNC_S,
    HPAS,
    POLICIES,
    Scene,
    Wishes,
    an_hpa,
    operator,
    scene,
    wait_for,
)

OURS, HPA = "web", "web-hpa"
"""The two Deployments."""

TARGET_RPS, CAPACITY_RPS = 70, 100.0
"""For a replica: what is asked for, and what it can serve at a target utilisation of 0.7, the default."""

COUNTER = re.compile(r'^http_requests_total\{[^}]*app="web"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True)
class Setting:
    """What is played, and how fast everybody is."""

    load: Load = field(default_factory=lambda: a_peak(400.0, 1600.0, 1500.0))
    """It is played once."""
    name: str = "the built-in peak"
    startup_s: float = 20.0
    """Until a new pod is ready."""
    interval_s: int = HPA_SYNC_S
    """Between decisions, and between syncs of the HPA controller."""
    scrape_interval_s: int = 15
    rate_window_s: int = 60
    """Defaults: what users run, and what the simulator assumes."""
    scale_down: Mapping[str, Any] | None = None
    """behavior.scaleDown of both; the default waits 5 min."""
    most: int = 30
    """Replicas."""
    settled_s: float = 75.0
    """The first value is played so long before: the rate's window is full, and the HPA has seen it."""

    @property
    def length_s(self) -> float:
        """Of the play."""
        return len(self.load.values) * self.load.interval_s

    @property
    def wishes(self) -> Wishes:
        """The scene that it is played in."""
        return Wishes(
            self.load,
            scrape_interval_s=self.scrape_interval_s,
            rate_window_s=self.rate_window_s,
            hpa_sync_s=self.interval_s,
        )

    @property
    def first(self) -> int:
        """Replicas to begin with: what the first value needs."""
        return math.ceil(float(self.load.values[0]) / TARGET_RPS)

    def policy(self, query: str) -> dict[str, Any]:
        """The ScalingPolicy of ours."""
        spec: dict[str, Any] = {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": OURS},
            "minReplicas": 1,
            "maxReplicas": self.most,
            "intervalSeconds": self.interval_s,
            "demand": {"query": query, "targetPerReplica": str(TARGET_RPS)},
        }
        if self.scale_down is not None:
            spec["behavior"] = {"scaleDown": self.scale_down}
        metadata = {"name": OURS, "namespace": NAMESPACE}
        return {"apiVersion": "forescale.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": metadata, "spec": spec}

    def hpa(self) -> dict[str, Any]:
        """The HPA of the other."""
        body = an_hpa(HPA, TARGET_RPS, self.most)
        if self.scale_down is not None:
            body["spec"]["behavior"] = {"scaleDown": self.scale_down}
        return body


@dataclass(frozen=True)
class Course:
    """One Deployment, a number for each second."""

    replicas: list[int]
    """spec.replicas."""
    ready: list[int]


@dataclass(frozen=True)
class Recording:
    """A run, a number for each second from the beginning of the play on; None where there was no answer."""

    name: str
    step_s: float
    """Between decisions and between syncs."""
    arrived_rps: list[float]
    """As the exporter counted."""
    asked_rps: list[float | None]
    """As the demand query answered."""
    desired: list[float | None]
    reference: list[float | None]
    """Replicas of the last decision, and of the HPA's rule on what the operator read, from the operator's metrics."""
    courses: dict[str, Course]
    syncs: list[tuple[float, float]]
    """When the HPA controller read its metric, in seconds of the play, and the answer."""

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self)))


def read_recording(path: Path) -> Recording:
    """A recording that was written."""
    body = json.loads(path.read_text())
    courses = {name: Course(**course) for name, course in body.pop("courses").items()}
    return Recording(**{**body, "courses": courses, "syncs": [tuple(sync) for sync in body["syncs"]]})


def record(stage: Scene, setting: Setting) -> Recording:
    """Deploy both, start the operator, play the load once and take everything down."""
    for name in (OURS, HPA):
        stage.deploy(name, setting.first, setting.startup_s)
    stage.make("/api/v1/namespaces", {"metadata": {"name": "forescale-system"}})
    stage.make(HPAS, setting.hpa())
    stage.make(POLICIES, setting.policy(stage.demand()))
    with running(operator(stage)) as ours:
        stage.prometheus.scrape({"operator": port_of(ours)})
        for name in (OURS, HPA):
            wait_for(partial(stage.replicas, name), lambda seen: 0 < seen[0] == seen[1])
        time.sleep(setting.settled_s)
        began_s = time.time()
        stage.load.play()
        seen = _watch(stage, began_s, setting.length_s)
        return _recording(stage, setting, began_s, seen)


def port_of(daemon: Daemon) -> int:
    """Where an operator serves its pages."""
    return next(int(word.removeprefix("--port=")) for word in daemon.command if word.startswith("--port="))


@dataclass(frozen=True)
class _Look:
    """One look at the API server and the exporter."""

    time_s: float
    arrived: float
    courses: dict[str, tuple[int, int]]


def _watch(stage: Scene, began_s: float, length_s: float) -> list[_Look]:
    """Look every second."""
    looks: list[_Look] = []
    while (time_s := time.time() - began_s) < length_s + 1.0:  # what arrived is a difference
        page = ask(stage.load.port, None, "GET", "/metrics").body
        counted = COUNTER.search(page)
        assert counted is not None
        looks.append(_Look(time_s, float(counted[1]), _sizes(stage)))
        time.sleep(max(0.0, began_s + math.floor(time.time() - began_s) + 1.0 - time.time()))
    return looks


def _sizes(stage: Scene) -> dict[str, tuple[int, int]]:
    items = stage.cluster.request("GET", DEPLOYMENTS).body["items"]
    return {
        item["metadata"]["name"]: (item["spec"]["replicas"], item["status"].get("readyReplicas", 0)) for item in items
    }


def _recording(stage: Scene, setting: Setting, began_s: float, looks: Sequence[_Look]) -> Recording:
    seconds = np.arange(math.floor(setting.length_s))
    times_s = np.array([look.time_s for look in looks])
    last = np.clip(np.searchsorted(times_s, seconds, side="right") - 1, 0, None)
    counts = np.interp(np.arange(len(seconds) + 1), times_s, [look.arrived for look in looks])

    def course(name: str) -> Course:
        sizes = [looks[place].courses[name] for place in last]
        return Course([replicas for replicas, _ in sizes], [ready for _, ready in sizes])

    def asked(query: str) -> list[float | None]:
        end_s = began_s + len(seconds) - 1
        answers = {round(at_s - began_s): value for at_s, value in stage.prometheus.series(query, began_s, end_s, 1.0)}
        return [answers.get(second) for second in range(len(seconds))]

    return Recording(
        name=setting.name,
        step_s=setting.interval_s,
        arrived_rps=np.diff(counts).round(3).tolist(),
        asked_rps=asked(stage.demand()),
        desired=asked("forescale_policy_desired_replicas"),
        reference=asked("forescale_policy_reference_replicas"),
        courses={name: course(name) for name in (OURS, HPA)},
        syncs=_syncs(stage, began_s, len(seconds)),
    )


def _syncs(stage: Scene, began_s: float, length_s: float) -> list[tuple[float, float]]:
    """When the HPA controller asked the API server for its metric, and what Prometheus knew at that moment."""
    syncs = []
    for event in stage.cluster.audited():
        if event["requestURI"].startswith(f"{PLACE}/namespaces/"):
            at_s = datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()
            answer = stage.prometheus.series(stage.demand(), at_s, at_s, 1.0)
            if answer and at_s < began_s + length_s:
                syncs.append((at_s - began_s, answer[0][1]))
    return sorted(syncs)


def part_of(path: Path, from_s: float, length_s: float, times: float) -> Load:
    """A part of a recorded load, larger than it was."""
    trace = read_load_csv(path)
    first, count = round(from_s / trace.interval_s), max(2, round(length_s / trace.interval_s))
    return Load(trace.values[first : first + count] * times, trace.interval_s)


def main() -> int:
    """Record, compare and draw; or draw what was recorded."""
    from tests.cluster.curves import table_of
    from tests.cluster.picture import draw

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trace", type=Path, help="CSV of t_seconds,value; the built-in peak if none")
    parser.add_argument("--from-minute", type=float, default=0.0, help="of the trace")
    parser.add_argument("--minutes", type=float, default=25.0, help="of the trace, at most 27")
    parser.add_argument("--times", type=float, default=1.0, help="so many times as large")
    parser.add_argument("--recording", type=Path, required=True, metavar="FILE", help="is written, or drawn if there")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="where closed-loop.png and hpa-twin.png go")
    wishes = parser.parse_args()
    if not wishes.recording.exists():
        setting = Setting()
        if wishes.trace is not None:
            load = part_of(wishes.trace, wishes.from_minute * 60, wishes.minutes * 60, wishes.times)
            begin, end = wishes.from_minute, wishes.from_minute + wishes.minutes
            name = f"{wishes.trace.name.partition('.')[0]}, minutes {begin:g} to {end:g}, times {wishes.times:g}"
            setting = replace(setting, load=load, name=name)
        with tempfile.TemporaryDirectory() as folder, scene(Path(folder), setting.wishes) as stage:
            record(stage, setting).write(wishes.recording)
    recording = read_recording(wishes.recording)
    print(table_of(recording))
    if wishes.pictures is not None:
        draw(recording, wishes.pictures)
    return 0


if __name__ == "__main__":
    sys.exit(main())

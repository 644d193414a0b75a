"""`make cluster-demo`: the whole scene on one machine, for a person to watch, until the load has been played.

Starts what scene.py starts and the operator, shows what `kubectl get scalingpolicies --watch` says, and stops all of
it by pid, on Ctrl-C too. Everything is on the loopback and in one temporary folder, which goes with it.
"""

import argparse
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from scaling.errors import InputError
from sim.traces import read_load_csv
from tests.cluster.build_controlplane import absent, path_of
from tests.cluster.closed_loop import port_of
from tests.cluster.daemon import Daemon, running
from tests.cluster.load_exporter import MOST_S, Load, a_peak
from tests.cluster.scene import NEEDED, POLICIES, Scene, Wishes, operator, scene, wait_for

APP = "web"
STARTUP_S = 10.0
INTERVAL_S = 5
SCRAPE_INTERVAL_S, RATE_WINDOW_S = 2, 10
PEAK_REPLICAS = 12
"""What the load's peak needs (chosen: a curve that can be seen, and few enough pods for any machine)."""

SCALE_DOWN = {"stabilizationWindowSeconds": 30, "policies": [{"type": "Percent", "value": 50, "periodSeconds": 15}]}
"""Faster than the default of 5 min, for whoever waits for it."""

MOST_MINUTES = MOST_S / 60 - 5
"""The exporter ends by itself; five minutes are for the start, and for looking around."""

KUBECTL_WITHIN_S = 5.0


@dataclass(frozen=True)
class Show:
    """What is played."""

    load: Load
    minutes: float
    speed_up: float
    """Seconds of the load in a second."""
    keep: bool
    """Go on after it."""

    @property
    def target_rps(self) -> float:
        """For one replica, so that the peak of what is played needs PEAK_REPLICAS."""
        shown = self.load.values[: math.ceil(self.minutes * 60 * self.speed_up / self.load.interval_s)]
        return max(0.01, float(f"{shown.max() / PEAK_REPLICAS:.2g}"))

    def policy(self, query: str) -> dict[str, Any]:
        """The ScalingPolicy."""
        spec = {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": APP},
            "maxReplicas": 3 * PEAK_REPLICAS,
            "intervalSeconds": INTERVAL_S,
            "demand": {"query": query, "targetPerReplica": f"{self.target_rps:g}"},
            "behavior": {"scaleDown": SCALE_DOWN},
        }
        kind = {"apiVersion": "forescale.dev/v1alpha1", "kind": "ScalingPolicy"}
        return {**kind, "metadata": {"name": APP}, "spec": spec}


def main() -> int:
    """Play the show; 1 where that cannot be."""
    show = _asked()
    reason = absent(NEEDED)
    if reason is not None:
        print(f"cluster-demo: {reason}", file=sys.stderr)
        return 1
    parts: list[Daemon] = []
    with tempfile.TemporaryDirectory(prefix="forescale-demo-") as folder, _stoppable():
        try:
            _play(Path(folder), show, parts)
        except KeyboardInterrupt:
            _say("\nstopping")
    left = [part.name for part in parts if part.is_running()]
    _say(f"still running: {', '.join(left)}" if left else f"stopped: {', '.join(part.name for part in parts)}")
    return 1 if left else 0


def _play(folder: Path, show: Show, parts: list[Daemon]) -> None:
    began_s = time.monotonic()
    _say("starting etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok and Prometheus")
    wishes = Wishes(show.load, speed_up=show.speed_up, scrape_interval_s=SCRAPE_INTERVAL_S, rate_window_s=RATE_WINDOW_S)
    with scene(folder, wishes) as stage:
        stage.make("/api/v1/namespaces", {"metadata": {"name": "forescale-system"}})
        stage.deploy(APP, max(1, math.ceil(float(show.load.values[0]) / show.target_rps)), STARTUP_S)
        stage.make(POLICIES, show.policy(stage.demand(APP)))
        ours = operator(stage)
        parts += [*stage.parts.values(), ours]
        with running(ours):
            stage.prometheus.scrape({"operator": port_of(ours)})
            wait_for(partial(stage.replicas, APP), lambda seen: 0 < seen[0] == seen[1])
            _say(f"everything runs after {time.monotonic() - began_s:.0f} s\n\n{_places(stage, ours, show)}\n")
            _watch(stage, show)


def _places(stage: Scene, ours: Daemon, show: Show) -> str:
    """Where to look."""
    peak = show.target_rps * PEAK_REPLICAS
    return (
        f"kubectl     export KUBECONFIG={stage.cluster.kubeconfig}\n"
        f"            {path_of('kubectl')} get scalingpolicies,deployments,pods\n"
        f"Prometheus  {stage.prometheus.url}/api/v1/query?query=forescale_policy_desired_replicas\n"
        "            (without its web pages, which the Go module does not have)\n"
        f"operator    http://127.0.0.1:{port_of(ours)}/metrics\n"
        f"its log     {ours.log}\n\n"
        f"One replica is meant for {show.target_rps:g} requests/s and starts in {STARTUP_S:g} s. The load goes up to "
        f"{peak:.3g} requests/s;\nit is played for {show.minutes:g} min. Ctrl-C stops everything."
    )


def _watch(stage: Scene, show: Show) -> None:
    """Play the load, and show what kubectl says meanwhile."""
    stage.load.play()
    with _told(stage):
        time.sleep(show.minutes * 60)
        if show.keep:
            _say("the load has been played and stays where it is; Ctrl-C stops everything")
            time.sleep(MOST_S)


@contextmanager
def _told(stage: Scene) -> Iterator[None]:
    """Print each line of a watch as it comes, with the time of the play, the load and the pods that are ready."""
    command = [
        path_of("kubectl"),
        f"--kubeconfig={stage.cluster.kubeconfig}",
        f"--cache-dir={stage.folder / 'kubectl'}",
    ]
    _say("$ kubectl get scalingpolicies --watch")
    kubectl = subprocess.Popen(
        [*command, "get", "scalingpolicies", "--watch"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C is for us
        env=os.environ | {"KUBERC": "off"},
    )
    printer = threading.Thread(target=_print_lines, args=(kubectl, stage, time.monotonic()), daemon=True)
    printer.start()
    try:
        yield
    finally:
        kubectl.terminate()
        with suppress(subprocess.TimeoutExpired):
            kubectl.wait(KUBECTL_WITHIN_S)
        kubectl.kill()
        kubectl.wait()
        printer.join(KUBECTL_WITHIN_S)


def _print_lines(kubectl: "subprocess.Popen[str]", stage: Scene, began_s: float) -> None:
    assert kubectl.stdout is not None
    with kubectl.stdout:
        for line in kubectl.stdout:
            if line.startswith("NAME"):
                _say(f"{'TIME':>5} {'REQUESTS/S':>10} {'READY':>5}   {line.rstrip()}")
                continue
            seconds = int(time.monotonic() - began_s)
            _say(f"{seconds // 60:>2}:{seconds % 60:02} {_load_and_ready(stage)}   {line.rstrip()}")


def _load_and_ready(stage: Scene) -> str:
    try:
        demand, (_, ready) = stage.prometheus.number(stage.demand(APP)), stage.replicas(APP)
    except (OSError, RuntimeError, KeyError):  # all of it is being stopped
        return f"{'':>10} {'':>5}"
    return f"{'' if demand is None else format(demand, ',.1f'):>10} {ready:>5}"


@contextmanager
def _stoppable() -> Iterator[None]:
    """One signal to stop becomes a KeyboardInterrupt; further ones do not disturb the stopping."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(*_: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _asked() -> Show:
    parser = argparse.ArgumentParser(prog="make cluster-demo ARGS=…", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8.0, help=f"how long it plays, at most {MOST_MINUTES:g}")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="CSV of t_seconds,value; a peak and back if none")
    parser.add_argument("--speed-up", type=float, default=1.0, help="seconds of the trace in a second")
    parser.add_argument("--keep", action="store_true", help="go on afterwards, until Ctrl-C")
    wishes = parser.parse_args()
    if not 0 < wishes.minutes <= MOST_MINUTES:
        parser.error(f"--minutes: {wishes.minutes:g} is outside 0 to {MOST_MINUTES:g}")
    if not 0 < wishes.speed_up < math.inf:
        parser.error(f"--speed-up: {wishes.speed_up:g} is not a number over 0")
    if wishes.trace is None:  # the peak's hour in that time
        return Show(a_peak(), wishes.minutes, 60 / wishes.minutes, wishes.keep)
    try:
        trace = read_load_csv(wishes.trace)
    except InputError as error:
        parser.error(str(error))
    return Show(Load(trace.values, trace.interval_s), wishes.minutes, wishes.speed_up, wishes.keep)


def _say(words: str) -> None:
    print(words, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""The workload the HPA looks at: its scale, its pods, their samples, and which pods a calculation may count.

Source: `groupPods` and `getReadyPodsCount` in
https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/controller/podautoscaler/replica_calculator.go; Succeeded
pods are ignored as by the code after v1.34, where older versions counted them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from scaling.hpa_settings import HpaSettings

CPU = "cpu"
TERMINAL_PHASES = ("Failed", "Succeeded")


@dataclass(frozen=True)
class Pod:
    """What the HPA reads of a pod. Times are on the clock of `now_s`."""

    name: str
    phase: str = "Running"
    ready: bool | None = True
    """The Ready condition; None where the pod has none."""
    ready_changed_s: float = 0.0
    """When the Ready condition last changed."""
    started_s: float | None = 0.0
    """status.startTime; None where it is absent."""
    deleted: bool = False
    request_milli: int | None = None
    """The resource request of the container(s) in question; None where one of them has none."""


@dataclass(frozen=True)
class PodSample:
    """One pod's usage: an average over the `window_s` that ended at `at_s`."""

    value_milli: int
    at_s: float = 0.0
    window_s: float = 60.0


@dataclass(frozen=True)
class Workload:
    """What /scale says, and the pods under its selector."""

    spec_replicas: int
    status_replicas: int
    selector: str
    pods: tuple[Pod, ...] = ()


@dataclass(frozen=True)
class PodGroups:
    """How many pods count in full, and the names of those that do not."""

    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


def group_pods(
    pods: tuple[Pod, ...], samples: Mapping[str, PodSample], resource: str, settings: HpaSettings, now_s: float
) -> PodGroups:
    """Sort pods into ready, unready (too early to believe), missing (no sample) and ignored (on their way out)."""
    groups: dict[str, set[str]] = {"ready": set(), "unready": set(), "missing": set(), "ignored": set()}
    ready = 0
    for pod in pods:
        group = _group_of(pod, samples.get(pod.name), resource, settings, now_s)
        groups[group].add(pod.name)
        ready += group == "ready"
    return PodGroups(ready, *(frozenset(groups[name]) for name in ("unready", "missing", "ignored")))


def running_and_ready(pods: tuple[Pod, ...]) -> int:
    """Pods that serve now; a pod being deleted still counts here, as it does upstream."""
    return sum(pod.phase == "Running" and pod.ready is True for pod in pods)


def _group_of(pod: Pod, sample: PodSample | None, resource: str, settings: HpaSettings, now_s: float) -> str:
    if pod.deleted or pod.phase in TERMINAL_PHASES:
        return "ignored"
    if pod.phase == "Pending":
        return "unready"
    if sample is None:
        return "missing"
    return "unready" if resource == CPU and _cpu_is_unready(pod, sample, settings, now_s) else "ready"


def _cpu_is_unready(pod: Pod, sample: PodSample, settings: HpaSettings, now_s: float) -> bool:
    """CPU alone is distrusted early on: starting up burns it without serving."""
    if pod.ready is None or pod.started_s is None:
        return True
    if now_s - pod.started_s < settings.cpu_initialization_s:
        return not pod.ready or sample.at_s < pod.ready_changed_s + sample.window_s
    never_ready = pod.started_s + settings.initial_readiness_delay_s > pod.ready_changed_s
    return not pod.ready and never_ready

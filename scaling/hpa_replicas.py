"""How many replicas one metric asks for.

Owns the arithmetic of every metric kind on int64 milli-units: totals saturate, divisions truncate towards zero, and
ratios are float64. Which pods count is `scaling.hpa_pods`; what becomes of the proposals is `scaling.hpa`.

Source: https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/controller/podautoscaler/replica_calculator.go and
https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/controller/podautoscaler/metrics/utilization.go
Newer than v1.34: at status.replicas 0 the reported usage is 0, and a utilization saturates. One difference is meant:
upstream takes a negative running total of an External AverageValue for an overflow and asks for 2^31-1 replicas; here
a negative total stays negative, and only a total beyond int64 saturates.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from scaling.errors import InputError
from scaling.hpa_kernels import MAX_REPLICAS, average_value_replicas, capped_ceil, value_replicas, within_tolerance
from scaling.hpa_pods import Pod, PodGroups, PodSample, Workload, group_pods, running_and_ready
from scaling.hpa_settings import HpaSettings

MAX_INT64 = 2**63 - 1


class MetricKind(StrEnum):
    """A metric's source and the type of its target."""

    RESOURCE_UTILIZATION = "resource_utilization"
    RESOURCE_AVERAGE_VALUE = "resource_average_value"
    PODS_AVERAGE_VALUE = "pods_average_value"
    OBJECT_VALUE = "object_value"
    OBJECT_AVERAGE_VALUE = "object_average_value"
    EXTERNAL_VALUE = "external_value"
    EXTERNAL_AVERAGE_VALUE = "external_average_value"
    UNKNOWN = "unknown"


class MetricFailure(StrEnum):
    """Why a metric gives no replica count."""

    NO_METRICS = "no_metrics_returned"
    NO_MATCH = "metrics_match_no_pod"
    MISSING_REQUEST = "missing_request"
    NO_PODS = "no_pods"
    UNKNOWN_KIND = "unknown_kind"


class MetricError(Exception):
    """A metric from which nothing can be concluded; never a reason to scale down."""

    def __init__(self, failure: MetricFailure, message: str) -> None:
        super().__init__(message)
        self.failure = failure


@dataclass(frozen=True)
class Metric:
    """One entry of spec.metrics together with what was read for it in this sync."""

    kind: MetricKind
    target: int
    """Percent for a utilization, milli-units for everything else."""
    values_milli: tuple[int, ...] | None = None
    """Object and External: one value a series; None if the reading failed."""
    samples: Mapping[str, PodSample] | None = None
    """Resource and Pods: by pod, containers already summed; None if the reading failed."""
    name: str = ""
    resource: str = ""
    container: str = ""
    """Set for a ContainerResource metric."""

    def __post_init__(self) -> None:
        if self.kind is not MetricKind.UNKNOWN and not 1 <= self.target <= MAX_INT64:
            raise InputError(f"{self.kind} metric {self.name!r} target: {self.target} is outside 1..{MAX_INT64}")


@dataclass(frozen=True)
class Calculation:
    """A metric's proposal and the usage that status reports for it."""

    replicas: int
    usage_milli: int
    """The average per pod; the total for a Value target."""
    utilization_percent: int | None = None


def calculate_replicas(metric: Metric, workload: Workload, settings: HpaSettings, now_s: float) -> Calculation:
    """What one metric asks for; raises MetricError where it cannot be told."""
    match metric.kind:
        case MetricKind.EXTERNAL_AVERAGE_VALUE | MetricKind.OBJECT_AVERAGE_VALUE:
            return _from_average_value(metric, workload.status_replicas, settings)
        case MetricKind.EXTERNAL_VALUE | MetricKind.OBJECT_VALUE:
            return _from_value(metric, workload, settings)
        case MetricKind.UNKNOWN:
            raise MetricError(MetricFailure.UNKNOWN_KIND, f"unknown metric source type {metric.name!r}")
    return _from_pods(metric, workload, settings, now_s)


def _from_average_value(metric: Metric, status_replicas: int, settings: HpaSettings) -> Calculation:
    """The pods play no part: a total over a target per replica, held at status.replicas inside the tolerance."""
    total = _total_milli(metric)
    replicas = average_value_replicas(
        float(total), float(metric.target), status_replicas, settings.tolerance_up, settings.tolerance_down
    )
    return Calculation(replicas, _usage_per_replica(total, status_replicas))


def _from_value(metric: Metric, workload: Workload, settings: HpaSettings) -> Calculation:
    total = _total_milli(metric)
    ratio = float(total) / float(metric.target)
    current, up, down = workload.spec_replicas, settings.tolerance_up, settings.tolerance_down
    if current != 0 and not within_tolerance(ratio, down, up):
        _require_pods(workload.pods)
    return Calculation(value_replicas(ratio, current, running_and_ready(workload.pods), up, down), total)


def _from_pods(metric: Metric, workload: Workload, settings: HpaSettings, now_s: float) -> Calculation:
    """Average over the pods that can be believed; the others are then filled in against the direction of change."""
    if not metric.samples:
        raise _no_metrics(metric)
    _require_pods(workload.pods)

    groups = group_pods(workload.pods, metric.samples, metric.resource, settings, now_s)
    left_out = groups.ignored | groups.unready
    usage = {name: sample.value_milli for name, sample in metric.samples.items() if name not in left_out}
    if not usage:
        raise MetricError(MetricFailure.NO_METRICS, "did not receive metrics for targeted pods (pods might be unready)")

    gauge = _gauge_for(metric, workload.pods)
    reading = gauge.read(usage)
    replicas = _weigh(reading.ratio, usage, groups, gauge, workload.spec_replicas, settings)
    return Calculation(replicas, reading.average_milli, reading.percent)


def _weigh(
    ratio: float,
    usage: dict[str, int],
    groups: PodGroups,
    gauge: "UtilizationGauge | AverageGauge",
    current: int,
    settings: HpaSettings,
) -> int:
    """From the ratio of the believed pods to replicas; doubt about the others only ever makes the change smaller."""
    scale_up_with_unready = bool(groups.unready) and ratio > 1.0
    if not scale_up_with_unready and not groups.missing:
        held = within_tolerance(ratio, settings.tolerance_down, settings.tolerance_up)
        return current if held else capped_ceil(ratio * groups.ready)

    filled = usage | _filled_in(ratio, groups, gauge)
    again = gauge.read(filled).ratio
    turned_round = ratio < 1.0 < again or again < 1.0 < ratio
    if turned_round or within_tolerance(again, settings.tolerance_down, settings.tolerance_up):
        return current
    replicas = capped_ceil(again * len(filled))
    against = (again < 1.0 and replicas > current) or (again > 1.0 and replicas < current)
    return current if against else replicas


def _filled_in(ratio: float, groups: PodGroups, gauge: "UtilizationGauge | AverageGauge") -> dict[str, int]:
    """Pods without a sample count as on target when shrinking and as idle when growing; unready ones as idle."""
    if ratio < 1.0:
        return {name: gauge.on_target_milli(name) for name in groups.missing}
    if ratio > 1.0:
        return dict.fromkeys(groups.missing | groups.unready, 0)
    return {}


@dataclass(frozen=True)
class Reading:
    """Usage measured against a target."""

    ratio: float
    average_milli: int
    percent: int | None


@dataclass(frozen=True)
class AverageGauge:
    """Usage per pod against a target per pod. Samples of pods nobody knows count too, as upstream."""

    target_milli: int

    def read(self, usage: Mapping[str, int]) -> Reading:
        """Truncate the average before it becomes a ratio."""
        average = _truncating_division(sum(usage.values()), len(usage))
        return Reading(float(average) / float(self.target_milli), average, None)

    def on_target_milli(self, _pod: str) -> int:
        """What a pod uses that is exactly on target."""
        return self.target_milli


@dataclass(frozen=True)
class UtilizationGauge:
    """Usage in percent of the requests against a target percentage; samples of unknown pods are passed over."""

    target_percent: int
    requests: Mapping[str, int]

    def read(self, usage: Mapping[str, int]) -> Reading:
        """Truncate to whole percent before it becomes a ratio: a ratio of sums, not a mean of ratios."""
        known = [name for name in usage if name in self.requests]
        requested = sum(self.requests[name] for name in known)
        if requested == 0:
            raise MetricError(MetricFailure.NO_MATCH, "no metrics returned matched known pods")
        used = sum(usage[name] for name in known)
        percent = min(_truncating_division(100 * used, requested), MAX_REPLICAS)
        return Reading(float(percent) / float(self.target_percent), _truncating_division(used, len(known)), percent)

    def on_target_milli(self, pod: str) -> int:
        """All of the pod's request, or more where the target itself is above 100 %."""
        return self.requests[pod] * max(100, self.target_percent) // 100


def _gauge_for(metric: Metric, pods: tuple[Pod, ...]) -> UtilizationGauge | AverageGauge:
    if metric.kind is not MetricKind.RESOURCE_UTILIZATION:
        return AverageGauge(metric.target)
    requests: dict[str, int] = {}
    for pod in pods:
        if pod.request_milli is None:
            message = f"missing request for {metric.resource} in a container of pod {pod.name}"
            raise MetricError(MetricFailure.MISSING_REQUEST, message)
        requests[pod.name] = pod.request_milli
    return UtilizationGauge(metric.target, requests)


def _total_milli(metric: Metric) -> int:
    """Sum of all series, stopping at the int64 bounds."""
    if not metric.values_milli:
        raise _no_metrics(metric)
    total = 0
    for value in metric.values_milli:
        total += value
        if abs(total) > MAX_INT64:
            return MAX_INT64 if total > 0 else -MAX_INT64
    return total


def _usage_per_replica(total_milli: int, status_replicas: int) -> int:
    if float(total_milli) >= float(MAX_INT64):
        return MAX_INT64
    return math.ceil(float(total_milli) / float(status_replicas)) if status_replicas else 0


def _no_metrics(metric: Metric) -> MetricError:
    """Missing is not zero: a failed reading and an empty answer are the same."""
    return MetricError(MetricFailure.NO_METRICS, f"no metrics returned for {metric.kind} {metric.name}".rstrip())


def _require_pods(pods: tuple[Pod, ...]) -> None:
    if not pods:
        raise MetricError(MetricFailure.NO_PODS, "no pods returned by selector while calculating replica count")


def _truncating_division(dividend: int, divisor: int) -> int:
    """Divide as Go does: towards zero."""
    return dividend // divisor if dividend >= 0 else -(-dividend // divisor)

"""From several metrics to one proposal: the largest, unless a missing metric forbids it.

Source: `computeReplicasForMetrics` in
https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/controller/podautoscaler/horizontal.go
"""

from dataclasses import dataclass

from scaling.errors import InputError
from scaling.hpa_conditions import HpaReason
from scaling.hpa_pods import Workload
from scaling.hpa_replicas import Metric, MetricError, MetricKind, calculate_replicas
from scaling.hpa_settings import HpaSettings

FAILURE_REASONS = {
    MetricKind.RESOURCE_UTILIZATION: HpaReason.FAILED_GET_RESOURCE_METRIC,
    MetricKind.RESOURCE_AVERAGE_VALUE: HpaReason.FAILED_GET_RESOURCE_METRIC,
    MetricKind.PODS_AVERAGE_VALUE: HpaReason.FAILED_GET_PODS_METRIC,
    MetricKind.OBJECT_VALUE: HpaReason.FAILED_GET_OBJECT_METRIC,
    MetricKind.OBJECT_AVERAGE_VALUE: HpaReason.FAILED_GET_OBJECT_METRIC,
    MetricKind.EXTERNAL_VALUE: HpaReason.FAILED_GET_EXTERNAL_METRIC,
    MetricKind.EXTERNAL_AVERAGE_VALUE: HpaReason.FAILED_GET_EXTERNAL_METRIC,
    MetricKind.UNKNOWN: HpaReason.INVALID_METRIC_SOURCE_TYPE,
}


@dataclass(frozen=True)
class Failure:
    """A metric that gave no proposal."""

    reason: HpaReason
    message: str


@dataclass(frozen=True)
class Proposal:
    """The largest size that any metric asks for, which metric that was, and what failed meanwhile."""

    replicas: int
    """Negative where a total is."""
    metric: str
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class Blocked:
    """No proposal: every metric failed, or one failed and the others would shrink the workload."""

    failures: tuple[Failure, ...]


def propose(metrics: tuple[Metric, ...], workload: Workload, settings: HpaSettings, now_s: float) -> Proposal | Blocked:
    """Ask every metric. A missing one never blocks growth and always blocks shrinking."""
    if not metrics:
        raise InputError("metrics: 0 given, at least 1 is needed")
    asked: list[tuple[int, str]] = []
    failures: list[Failure] = []
    for metric in metrics:
        try:
            asked.append((calculate_replicas(metric, workload, settings, now_s).replicas, _words(metric)))
        except MetricError as error:
            failures.append(Failure(_failure_reason(metric), str(error)))

    replicas, words = max(asked, key=lambda ask: ask[0], default=(0, ""))
    if not asked or (failures and replicas < workload.spec_replicas):
        return Blocked(tuple(failures))
    return Proposal(replicas, words, tuple(failures))


def _failure_reason(metric: Metric) -> HpaReason:
    reason = FAILURE_REASONS[metric.kind]
    is_container = metric.container and reason is HpaReason.FAILED_GET_RESOURCE_METRIC
    return HpaReason.FAILED_GET_CONTAINER_RESOURCE_METRIC if is_container else reason


def _words(metric: Metric) -> str:
    """How a SuccessfulRescale event names a metric."""
    match metric.kind:
        case MetricKind.RESOURCE_UTILIZATION:
            container = " container" if metric.container else ""
            return f"{metric.resource}{container} resource utilization (percentage of request)"
        case MetricKind.RESOURCE_AVERAGE_VALUE:
            return f"{metric.resource} resource"
        case MetricKind.PODS_AVERAGE_VALUE:
            return f"pods metric {metric.name}"
        case MetricKind.OBJECT_VALUE:
            return f"object metric {metric.name}"
    return f"external metric {metric.name}"

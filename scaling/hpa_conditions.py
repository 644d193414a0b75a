"""What an HPA says about itself: condition types, reasons and events, spelt as Kubernetes spells them.

Source: https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/controller/podautoscaler/horizontal.go
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class ConditionType(StrEnum):
    """The conditions in the order in which status lists them."""

    ABLE_TO_SCALE = "AbleToScale"
    SCALING_ACTIVE = "ScalingActive"
    SCALING_LIMITED = "ScalingLimited"


class HpaReason(StrEnum):
    """Every reason of a condition or an event."""

    FAILED_GET_SCALE = "FailedGetScale"
    SUCCEEDED_GET_SCALE = "SucceededGetScale"
    SCALE_DOWN_STABILIZED = "ScaleDownStabilized"
    SCALE_UP_STABILIZED = "ScaleUpStabilized"
    READY_FOR_NEW_SCALE = "ReadyForNewScale"
    FAILED_UPDATE_SCALE = "FailedUpdateScale"
    SUCCEEDED_RESCALE = "SucceededRescale"

    SCALING_DISABLED = "ScalingDisabled"
    INVALID_SELECTOR = "InvalidSelector"
    AMBIGUOUS_SELECTOR = "AmbiguousSelector"
    FAILED_GET_RESOURCE_METRIC = "FailedGetResourceMetric"
    FAILED_GET_CONTAINER_RESOURCE_METRIC = "FailedGetContainerResourceMetric"
    FAILED_GET_PODS_METRIC = "FailedGetPodsMetric"
    FAILED_GET_OBJECT_METRIC = "FailedGetObjectMetric"
    FAILED_GET_EXTERNAL_METRIC = "FailedGetExternalMetric"
    INVALID_METRIC_SOURCE_TYPE = "InvalidMetricSourceType"
    VALID_METRIC_FOUND = "ValidMetricFound"

    TOO_FEW_REPLICAS = "TooFewReplicas"
    TOO_MANY_REPLICAS = "TooManyReplicas"
    SCALE_UP_LIMIT = "ScaleUpLimit"
    SCALE_DOWN_LIMIT = "ScaleDownLimit"
    DESIRED_WITHIN_RANGE = "DesiredWithinRange"

    SELECTOR_REQUIRED = "SelectorRequired"
    FAILED_COMPUTE_METRICS_REPLICAS = "FailedComputeMetricsReplicas"
    FAILED_RESCALE = "FailedRescale"
    SUCCESSFUL_RESCALE = "SuccessfulRescale"


@dataclass(frozen=True)
class Condition:
    """One condition's state and why."""

    status: bool
    reason: HpaReason
    message: str = ""

    @property
    def status_text(self) -> str:
        """`True` or `False`, as the API writes it."""
        return str(self.status)


Conditions = Mapping[ConditionType, Condition]


@dataclass(frozen=True)
class HpaEvent:
    """A Kubernetes event to record on the HPA."""

    warning: bool
    reason: HpaReason
    message: str


def merge_conditions(before: Conditions, newest: Conditions) -> Conditions:
    """The conditions after a sync: those it did not touch keep their old values."""
    merged = {**before, **newest}
    return {type_: merged[type_] for type_ in ConditionType if type_ in merged}

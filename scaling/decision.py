"""What was decided and why: the values that status, events, metrics and reports are views of."""

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What a decision does to the replica count."""

    ADD = "Add"
    REMOVE = "Remove"
    HOLD = "Hold"


class Reason(StrEnum):
    """Why a decision came out as it did; a closed set, in the order in which steps can add them."""

    # the reading
    METRIC_EMPTY = "MetricEmpty"
    METRIC_NAN = "MetricNaN"
    METRIC_STALE = "MetricStale"
    METRIC_ERROR = "MetricError"
    METRIC_IMPLAUSIBLE = "MetricImplausible"
    METRIC_PARTIAL = "MetricPartial"
    HISTORY_SHORT = "HistoryShort"
    READINESS_UNKNOWN = "ReadinessUnknown"
    # what answered in place of the policy
    OUT_OF_DISTRIBUTION = "OutOfDistribution"
    POLICY_UNUSABLE = "PolicyUnusable"
    FALLBACK_REFERENCE = "FallbackReference"
    FALLBACK_REPLICAS = "FallbackReplicas"
    # what the policy wanted
    BELOW_BAND = "BelowBand"
    WITHIN_BAND = "WithinBand"
    ABOVE_BAND = "AboveBand"
    # what stands against a change, whatever anybody wants
    PAUSED = "Paused"
    CONFLICT = "Conflict"
    FROZEN = "Frozen"
    # what the envelope adjusted
    SCALED_TO_ZERO = "ScaledToZero"
    CEILING_RATIO = "CeilingRatio"
    FLOOR_UTILIZATION = "FloorUtilization"
    MIN_READY = "MinReady"
    UP_ONLY = "UpOnly"
    PODS_NOT_READY = "PodsNotReady"
    ROLLOUT = "Rollout"
    UNHEALTHY = "Unhealthy"
    NO_SCALE_DOWN = "NoScaleDown"
    JUST_STARTED = "JustStarted"
    FALLBACK_KEPT = "FallbackKept"
    WITHIN_TOLERANCE = "WithinTolerance"
    SCALE_UP_STABILIZED = "ScaleUpStabilized"
    SCALE_DOWN_STABILIZED = "ScaleDownStabilized"
    SCALE_UP_LIMIT = "ScaleUpLimit"
    SCALE_DOWN_LIMIT = "ScaleDownLimit"
    TOO_FEW_REPLICAS = "TooFewReplicas"
    TOO_MANY_REPLICAS = "TooManyReplicas"


@dataclass(frozen=True)
class Band:
    """A policy's answer: add up to `lo`, remove down to `hi`, hold between them (replicas)."""

    lo: int
    hi: int


@dataclass(frozen=True)
class Decision:
    """One decision, with what was proposed, what was chosen and each reason between them."""

    time_s: float
    demand: float | None  # in the demand query's unit; None when there was no usable reading
    current_replicas: int
    reference_replicas: int  # what the reference HPA would run
    band: Band | None  # None when no policy was asked
    proposed_replicas: int
    final_replicas: int
    reasons: tuple[Reason, ...]
    policy_name: str
    out_of_distribution: tuple[str, ...] = ()  # names of features outside the ranges seen in training

    @property
    def action(self) -> Action:
        """What this decision does to the current replicas."""
        if self.final_replicas == self.current_replicas:
            return Action.HOLD
        return Action.ADD if self.final_replicas > self.current_replicas else Action.REMOVE

"""What is exported of a policy and of its decisions, by the operator and by dry-runs alike: one dashboard fits both.

Owns names and labels. A policy's gauges are one small record, made into samples when somebody scrapes: for 5,000
policies 2 MiB, where prometheus_client's own gauges take 44 and twice the time to scrape.
"""

import platform
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from controller.ports import WouldBe
from scaling.decision import Band, Decision, Reason
from scaling.envelope import Envelope
from scaling.features import N_FEATURES
from scaling.guardrails import REASONS

OVERRIDES = tuple(reason for reason in REASONS if reason not in (Reason.JUST_STARTED, Reason.SCALE_UP_LIMIT))
"""Reasons by which a guard changed what a policy wanted."""


class PolicySample(NamedTuple):
    """What is exported of one policy; None has no sample."""

    namespace: str
    policy: str
    desired: int | None
    current: int | None
    ready: int | None
    reference: int | None
    demand: float | None
    target: float
    decided_s: float | None
    fallback: bool
    conflict: bool
    band: Band | None
    envelope: Envelope | None
    bad_ratio: float | None
    newest_s: float | None
    """When the newest sample behind the load was taken."""
    reasons: tuple[Reason, ...]
    unfamiliar: float
    rejected: bool
    policy_ref: str
    sha256: str
    mode: str
    would_be: WouldBe | None


class DecisionCounters:
    """Counts decisions by action and reason, and those that a guard changed, in a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        about = "Decisions taken, by the reason that had the last word."
        self._decisions = Counter("forescale_decisions", about, ("action", "reason"), registry=registry)
        about = "Decisions that a guard changed."
        self._overrides = Counter("forescale_guard_overrides", about, ("guard",), registry=registry)

    def note(self, decision: Decision) -> None:
        """Count one decision."""
        self._decisions.labels(decision.action.value, decision.reasons[-1].value if decision.reasons else "").inc()
        for reason in decision.reasons:
            if reason in OVERRIDES:
                self._overrides.labels(reason.value).inc()


def register_build(registry: CollectorRegistry) -> None:
    """Export what runs."""
    build = Gauge("forescale_build_info", "What runs.", ("version", "python"), registry=registry)
    build.labels(_version(), platform.python_version()).set(1)


def _version() -> str:
    try:
        return version("forescale")
    except PackageNotFoundError:  # a checkout that was not installed
        return "unknown"


def unfamiliar_ratio(decision: Decision | None) -> float:
    """Share of the network's inputs outside what it was trained on; 0 without a decision."""
    return 0.0 if decision is None else len(decision.out_of_distribution) / N_FEATURES


Read = Callable[[PolicySample], float | None]

GAUGES: tuple[tuple[str, str, Read], ...] = (
    ("desired_replicas", "Replicas that the last decision chose.", lambda record: record.desired),
    (
        "current_replicas",
        "Replicas that the target's scale asks for, the last decision carried out.",
        lambda record: record.current,
    ),
    ("ready_replicas", "Replicas that serve.", lambda record: record.ready),
    ("reference_replicas", "Replicas that the reference HPA would run.", lambda record: record.reference),
    ("demand", "Load on the target, in the unit of the policy's query.", lambda record: record.demand),
    ("target_per_replica", "Load that one replica is meant to take, in the same unit.", lambda record: record.target),
    (
        "band_low_replicas",
        "Replicas up to which the policy adds.",
        lambda record: None if record.band is None else record.band.lo,
    ),
    (
        "band_high_replicas",
        "Replicas down to which the policy removes.",
        lambda record: None if record.band is None else record.band.hi,
    ),
    (
        "floor_replicas",
        "Fewest replicas that the guards allow.",
        lambda record: None if record.envelope is None else record.envelope.floor,
    ),
    (
        "ceiling_replicas",
        "Most replicas that the guards allow.",
        lambda record: None if record.envelope is None else record.envelope.ceiling,
    ),
    ("bad_ratio", "Measured share of bad requests.", lambda record: record.bad_ratio),
    ("fallback", "Whether the declared fallback acts, for want of a reading.", lambda record: record.fallback),
    ("conflict", "Whether somebody else scales the target.", lambda record: record.conflict),
    (
        "out_of_distribution_ratio",
        "Share of the network's inputs outside what it was trained on.",
        lambda record: record.unfamiliar,
    ),
    (
        "rejected",
        "Whether the policy that policyRef names cannot be used, so that another one answers.",
        lambda record: record.rejected,
    ),
)


TWIN_GAUGES: tuple[tuple[str, str, Callable[[WouldBe], float]], ...] = (
    ("replicas", "Replicas that the twin of a dry-run has.", lambda twin: twin.replicas),
    ("ready_replicas", "Replicas of the twin that serve.", lambda twin: twin.ready),
    ("latency_p95_seconds", "95 % of the twin's requests are faster.", lambda twin: twin.latency_p95_s),
    ("bad_ratio", "Share of the twin's requests over the objective or dropped.", lambda twin: twin.bad_ratio),
)


class PolicyCollector(Collector):
    """Makes samples of the records, one family after the other, so that few of them live at a time."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self.records: dict[str, PolicySample] = {}

    def describe(self) -> list[Metric]:
        """Nothing beforehand: registering then scrapes nothing."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families; records may come and go meanwhile, in another thread."""
        records = list(self.records.values())
        labels = [{"namespace": record.namespace, "policy": record.policy} for record in records]
        for name, about, read in GAUGES:
            yield _family(f"policy_{name}", about, labels, map(read, records))
        now_s = self._now_s()
        ages = (None if record.decided_s is None else max(0.0, now_s - record.decided_s) for record in records)
        yield _family("policy_decision_age_seconds", "Seconds since the last decision.", labels, ages)
        ages = (None if record.newest_s is None else max(0.0, now_s - record.newest_s) for record in records)
        yield _family(
            "policy_data_age_seconds", "Seconds since the newest sample of the load, as last measured.", labels, ages
        )
        reasons = [(of, reason) for of, record in zip(labels, records, strict=True) for reason in record.reasons]
        yield _family(
            "policy_reason",
            "Reasons of the last decision; always 1.",
            [{**of, "reason": reason.value} for of, reason in reasons],
            (1 for _ in reasons),
        )
        yield _family(
            "policy_info",
            "What the policy asks for, and the SHA-256 of the network that answers; always 1.",
            [{**each, **_info(record)} for each, record in zip(labels, records, strict=True)],
            (1 for _ in records),
        )
        if any(record.would_be for record in records):
            yield from self._twins(records, labels)

    def _twins(self, records: Sequence[PolicySample], labels: Sequence[dict[str, str]]) -> Iterator[Metric]:
        for name, about, read in TWIN_GAUGES:
            values = (None if record.would_be is None else read(record.would_be) for record in records)
            yield _family(f"dry_run_{name}", about, labels, values)


def _info(record: PolicySample) -> dict[str, str]:
    return {"policy_ref": record.policy_ref, "sha256": record.sha256, "mode": record.mode}


def _family(name: str, about: str, labels: Sequence[dict[str, str]], values: Iterator[float | None]) -> Metric:
    family = GaugeMetricFamily(f"forescale_{name}", about)
    family.samples = [
        Sample(family.name, of, float(value)) for of, value in zip(labels, values, strict=True) if value is not None
    ]
    return family

"""A dry-run's own Prometheus metrics, on a port while it runs, under the operator's names.

`controller.policy_metrics` has the names that both share. Only a dry-run knows what an HPA and the clairvoyant cost.
"""

from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry, Gauge

from controller.crd.resource import PolicyResource
from controller.frame import Frame
from controller.policy_metrics import DecisionCounters, PolicyCollector, PolicySample, register_build, unfamiliar_ratio
from controller.ports import WouldBe
from forescale.metrics_page import metrics_page
from scaling.decision import Decision, Reason
from scaling.policy import Policy

FALLBACKS = {Reason.FALLBACK_REFERENCE, Reason.FALLBACK_REPLICAS}


class Exporter:
    """Serves the newest frame of each workload; use it as a context manager."""

    def __init__(self, port: int, host: str) -> None:
        self._port, self._host = port, host
        self.registry = CollectorRegistry()
        self._now_s = 0.0
        self._policies = PolicyCollector(lambda: self._now_s)
        self.registry.register(self._policies)
        register_build(self.registry)
        self._decided = DecisionCounters(self.registry)
        about, labels = "Replica-hours used since the start.", ("namespace", "policy", "autoscaler")
        self._hours = Gauge("forescale_dry_run_replica_hours", about, labels, registry=self.registry)
        self._counted: Decision | None = None

    def __enter__(self) -> Self:
        self._page = metrics_page(self._port, self._host, self.registry)
        self._page.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._page.__exit__(kind, error, trace)

    def update(self, resource: PolicyResource, policy: Policy, frame: Frame) -> None:
        """Take a workload's newest step in."""
        self._now_s = frame.time_s
        self._policies.records[f"{resource.namespace}/{resource.name}"] = _record(resource, policy, frame)
        for autoscaler, hours in (
            ("forescale", frame.replica_hours),
            ("hpa", frame.hpa_replica_hours),
            ("clairvoyant", frame.clairvoyant_replica_hours),
        ):
            self._hours.labels(resource.namespace, resource.name, autoscaler).set(hours)
        if frame.has_decided and frame.decision is not self._counted:  # steps can be shorter than intervals
            self._counted = frame.decision
            self._decided.note(frame.decision)


def _record(resource: PolicyResource, policy: Policy, frame: Frame) -> PolicySample:
    decision, spec = frame.decision, resource.spec
    return PolicySample(
        namespace=resource.namespace,
        policy=resource.name,
        desired=decision.final_replicas,
        current=decision.final_replicas,
        ready=frame.ready,
        reference=decision.reference_replicas,
        demand=decision.demand,
        target=spec.target_per_replica,
        decided_s=decision.time_s if frame.has_decided else None,
        fallback=not FALLBACKS.isdisjoint(decision.reasons),
        conflict=False,
        band=decision.band,
        envelope=frame.envelope,
        bad_ratio=frame.bad_ratio,
        newest_s=None,
        reasons=decision.reasons if frame.has_decided else (),
        unfamiliar=unfamiliar_ratio(decision),
        rejected=False,
        policy_ref=resource.policy_ref,
        sha256=policy.sha256,
        mode=spec.mode.value,
        would_be=WouldBe(decision.final_replicas, frame.ready, frame.latency_p95_s, frame.bad_ratio),
    )

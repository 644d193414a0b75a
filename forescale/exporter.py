"""A dry-run's own Prometheus metrics, on a port while it runs, under the operator's names.

`controller.policy_metrics` has the names that both share. Only a dry-run knows what an HPA and the clairvoyant cost.
"""

from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from controller.crd.resource import PolicyResource
from controller.frame import Frame
from controller.policy_metrics import DecisionCounters, PolicyCollector, PolicyRecord, register_build, unfamiliar_ratio
from controller.ports import WouldBe
from scaling.decision import Decision, Reason
from scaling.errors import InputError
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
        try:
            self._server, self._thread = start_http_server(self._port, self._host, self.registry)
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or "no such address"
            raise InputError(f"--metrics-port: {self._host}:{self._port} cannot be listened on ({why})") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

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


def _record(resource: PolicyResource, policy: Policy, frame: Frame) -> PolicyRecord:
    decision, spec = frame.decision, resource.spec
    return PolicyRecord(
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
        unfamiliar=unfamiliar_ratio(decision),
        policy_ref=spec.policy_name,
        sha256=policy.sha256,
        mode=spec.mode.value,
        would_be=WouldBe(decision.final_replicas, frame.ready, frame.latency_p95_s, frame.bad_ratio),
    )

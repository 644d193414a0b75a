"""What one step of a dry-run looks like to whoever watches it."""

from dataclasses import dataclass

from scaling.decision import Decision
from scaling.envelope import Envelope

NOT_YET = "none yet"
"""Name of the policy of what is shown before the first decision."""


@dataclass(frozen=True)
class Frame:
    """One step: what was decided, how it serves, and what the same load has cost each side so far."""

    time_s: float  # since the start of the run
    demand_rps: float
    decision: Decision
    ready: int
    latency_p95_s: float
    bad_ratio: float  # share of requests over the objective or dropped in the last minute, as a query would see it
    bad_ratio_last_hour: float
    hpa_replicas: int  # what an HPA of its own runs at this step, beside ours
    replica_hours: float  # paid for up to and with this step
    hpa_replica_hours: float
    clairvoyant_replica_hours: float
    envelope: Envelope | None = None  # what the guards left of any answer; None before the first decision

    @property
    def has_decided(self) -> bool:
        """False before the first decision is due: `decision` then only says what runs."""
        return self.decision.policy_name != NOT_YET

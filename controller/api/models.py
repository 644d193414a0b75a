"""Requests and answers of the recommendation API, as its OpenAPI document describes them.

Counts are replicas, times are seconds, and loads have the unit of `targetPerReplica`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat
from pydantic.alias_generators import to_camel

from controller.crd.schema import root
from scaling.decision import Action, Reason
from scaling.spec import MOST_REPLICAS

MOST_HISTORY = 5_760
"""A day of 15 s steps: what a policy remembers."""
MOST_DECISIONS = 100
"""In one request (chosen: some 20 ms of computing)."""

Replicas = Annotated[int, Field(ge=0, le=MOST_REPLICAS, strict=True)]
Load = Annotated[FiniteFloat, Field(ge=0, strict=True)]


def _spec_schema(schema: dict[str, Any]) -> None:
    """Describe `spec` as the CustomResourceDefinition does; nothing is scaled here, so no target is required."""
    spec = _without_extensions(root()["properties"]["spec"])
    spec["required"] = [name for name in spec["required"] if name != "scaleTargetRef"]
    schema.update(spec)


def _without_extensions(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_extensions(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _without_extensions(value) for key, value in schema.items() if not key.startswith("x-kubernetes")}


class Model(BaseModel):
    """Fields are spelled as in Kubernetes, and unknown ones are refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class ObservationIn(Model):
    """What is known of the workload now."""

    demand: Load | None = Field(description="Total load on the workload; null if it is not known, which holds.")
    current_replicas: Replicas = Field(description="Replicas asked for now.")
    ready_replicas: Replicas | None = Field(default=None, description="Replicas that serve. Default: all of them.")
    bad_ratio: Annotated[FiniteFloat, Field(ge=0, le=1, strict=True)] | None = Field(
        default=None, description="Share of bad requests, where it is measured."
    )
    history: Annotated[list[Load | None], Field(max_length=MOST_HISTORY)] = Field(
        default=[],
        description="Past demand, one value every 15 s, oldest first, null for a gap. It ends just before now.",
    )


class DecisionRequest(Model):
    """One workload: what its owner wishes, and what is known of it."""

    spec: dict[str, Any] = Field(
        description="The `spec` of a ScalingPolicy. `scaleTargetRef` and queries may be left out.",
        json_schema_extra=_spec_schema,
    )
    observation: ObservationIn


class BatchRequest(Model):
    """Several workloads, decided on together."""

    requests: Annotated[list[DecisionRequest], Field(min_length=1, max_length=MOST_DECISIONS)]


class BandOut(Model):
    """Add up to `lo`, remove down to `hi`, hold between them."""

    lo: int
    hi: int


class EnvelopeOut(Model):
    """What any policy's answer is kept within: the floor for the present load, and the ceiling."""

    floor: int
    ceiling: int


class PolicyOut(Model):
    """Who was asked for a band."""

    name: str
    kind: Literal["network", "rule"]
    sha256: str | None = Field(default=None, description="SHA-256 of a network's weights.")
    about: str = ""


class DecisionOut(Model):
    """One decision."""

    action: Action
    current_replicas: int
    final_replicas: int = Field(description="What the workload should run.")
    proposed_replicas: int = Field(description="What the policy asked for, before guards, behavior and bounds.")
    reference_replicas: int = Field(description="What an HPA with the same target would run.")
    band: BandOut | None = Field(description="The policy's answer; null when no policy was asked.")
    envelope: EnvelopeOut | None = Field(description="Null without a demand.")
    reasons: list[Reason] = Field(description="Why, in the order in which they came up.")
    policy: PolicyOut
    out_of_distribution: list[str] = Field(description="Features outside the ranges of the network's training.")


class BatchOut(Model):
    """Decisions in the order of the requests."""

    decisions: list[DecisionOut]


class PoliciesOut(Model):
    """Policies that `policyRef.name` can name."""

    policies: list[PolicyOut]


class PredictRequest(BaseModel):
    """A little cluster of ten servers, as small demo services describe it."""

    model_config = ConfigDict(extra="forbid")

    normalized_servers: Annotated[FiniteFloat, Field(ge=0, le=1, strict=True)] = Field(
        description="Servers that run, of ten: 0.5 is five."
    )
    current_load: Annotated[FiniteFloat, Field(ge=0, le=1000, strict=True)] = Field(
        description="Requests over what the running servers can serve; above 1 they are overloaded."
    )


class PredictOut(BaseModel):
    """What to do next."""

    action_code: Literal[0, 1, 2]
    action_name: Literal["DO_NOTHING", "ADD_SERVER", "REMOVE_SERVER"]


class SimulationRequest(Model):
    """A load and what its owner wishes; forescale and an HPA serve it in the simulated cluster."""

    generate: Literal["day", "flash-crowd", "weekly", "on-off", "noisy", "idle"] | None = Field(
        default=None, description="A generated load. Default: day, unless `load` is given."
    )
    load: Annotated[list[Load], Field(min_length=20, max_length=MOST_HISTORY)] | None = Field(
        default=None, description="A load of your own: one value for each `stepSeconds`."
    )
    step_seconds: Annotated[int, Field(ge=15, le=3600, strict=True)] = 60
    hours: Annotated[FiniteFloat, Field(ge=0.5, le=24, strict=True)] = Field(
        default=6, description="Of a generated load."
    )
    seed: Annotated[int, Field(ge=0, le=2**31, strict=True)] = 0
    price: Annotated[FiniteFloat, Field(ge=1, le=1000, strict=True)] = Field(
        default=30, description="Price of bad requests: at 30, one per cent of them costs 30 % of the ideal bill."
    )
    startup_seconds: Annotated[int, Field(ge=0, le=600, strict=True)] = 45


class SideOut(Model):
    """How one of the two fared."""

    replicas: list[int]
    replica_hours: float
    bad_percent: float
    changes: int


class StepOut(Model):
    """One decision of forescale, on the grid of the answer."""

    reasons: list[Reason]
    lo: int | None
    hi: int | None
    proposed: int


class SimulationOut(Model):
    """Both runs on one grid of times."""

    time_s: list[float]
    demand: list[float]
    capacity_per_replica: float
    unit: str
    forescale: SideOut
    hpa: SideOut
    decisions: list[StepOut]


class Problem(BaseModel):
    """What was wrong with a request, in one line that names the value and the limit."""

    detail: str


class Health(BaseModel):
    """The service answers."""

    status: Literal["ok"] = "ok"

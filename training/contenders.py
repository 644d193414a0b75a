"""Who is compared: every rival and our own policies, each as one row of a fleet.

HPA rows run the exact HPA without guards; rows of ours run inside the envelope, as in the operator.
"""

from dataclasses import dataclass
from typing import Any

from scaling.newsvendor import PROBABILITIES
from scaling.spec import MOST_REPLICAS, ScalingSpec
from scaling.terms import terms_of
from sim.cluster import capacity_rps
from sim.rivals import Rule

NO_ENVELOPE = {"floor_utilization": 1e9, "ceiling_ratio": 1e9, "min_ready_ratio": 0.0}
"""Terms under which no guard ever changes anything."""


@dataclass(frozen=True)
class Contender:
    """One policy in the comparison."""

    name: str
    rule: Rule
    argument: float = 0.0
    price: float = 30.0
    target: float = 0.7  # utilisation that its HPA part aims at
    window: int = 20  # syncs of 15 s over which that part stabilises downwards
    trained: bool = False  # answers come from the network
    enveloped: bool = False  # guards apply, as in the operator


def _ours(name: str, trained: bool) -> tuple[Contender, ...]:
    prices = {"": 30.0, "-cost": 10.0, "-latency": 100.0}
    return tuple(
        Contender(name + suffix, Rule.ANSWERS, price=price, trained=trained, enveloped=True)
        for suffix, price in prices.items()
    )


RIVALS: tuple[Contender, ...] = (
    *(Contender(f"hpa-{percent}", Rule.HPA, target=percent / 100) for percent in (50, 60, 70, 80)),
    Contender("hpa-last-season", Rule.LAST_SEASON),
    Contender("hpa-holt-winters", Rule.HOLT_WINTERS),
    Contender("quantile-95", Rule.QUANTILE, PROBABILITIES.index(0.95)),
    Contender("quantile-99", Rule.QUANTILE, PROBABILITIES.index(0.99)),
    Contender("step-80-30", Rule.STEP),
    *_ours("snvt", trained=False),
)
"""All that need no file; the static peak and the clairvoyant depend on the trace and are added per trace."""


def judged(policy_name: str) -> tuple[Contender, ...]:
    """The policy that is judged, at three prices, under its own name; `judged-NAME` if a rival has that one."""
    taken = {rival.name for rival in RIVALS} | {"static-peak", "clairvoyant"}
    prefix = "judged-" if taken & {contender.name for contender in _ours(policy_name, trained=True)} else ""
    return _ours(prefix + policy_name, trained=True)


HINDSIGHT: tuple[Contender, ...] = tuple(
    Contender(f"hpa-{percent}/{15 * window}s", Rule.HPA, target=percent / 100, window=window)
    for percent in range(20, 100, 5)
    for window in (1, 4, 20, 40)
)
"""The grid that an HPA is tuned over in hindsight, per trace and price: targets 20..95 %, down-windows 15..600 s."""


def terms_row(contender: Contender, params: dict[str, float]) -> tuple[Any, ...]:
    """A contender's terms on a cluster, in the order of `scaling.terms.TERMS`."""
    capacity = capacity_rps(params)
    spec = ScalingSpec(
        max_replicas=MOST_REPLICAS,
        target_per_replica=contender.target * capacity,
        capacity_per_replica=capacity,
        price=contender.price,
        startup_s=params["startup_s"],
    )
    terms = terms_of(spec) | {"reference_window": contender.window}
    return tuple((terms if contender.enveloped else terms | NO_ENVELOPE).values())

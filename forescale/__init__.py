"""forescale: Kubernetes autoscaling that has learned to see load coming.

`import forescale` loads nothing of weight: what it offers is imported when it is first used. docs/python-api.md shows
how the functions are used. `gymnasium.make("forescale/Cluster-v0")` works after the import.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from forescale.environments import register_environments
from forescale.shadows import refuse_shadows

if TYPE_CHECKING:
    from controller.crd.resource import PolicyResource as ScalingPolicy
    from forescale.api import DryRun, dry_run, load_policy, read_policy
    from scaling.decide import PolicyState, decide
    from scaling.decision import Decision
    from scaling.errors import InputError
    from scaling.observation import Observation, Unknown, Value
    from scaling.spec import ScalingSpec

__all__ = [
    "Decision",
    "DryRun",
    "InputError",
    "Observation",
    "PolicyState",
    "ScalingPolicy",
    "ScalingSpec",
    "Unknown",
    "Value",
    "__version__",
    "decide",
    "dry_run",
    "load_policy",
    "read_policy",
]

__version__ = "0.1.0"

refuse_shadows(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
register_environments()

_PLACES = {
    "Decision": "scaling.decision:Decision",
    "DryRun": "forescale.api:DryRun",
    "InputError": "scaling.errors:InputError",
    "Observation": "scaling.observation:Observation",
    "PolicyState": "scaling.decide:PolicyState",
    "ScalingPolicy": "controller.crd.resource:PolicyResource",
    "ScalingSpec": "scaling.spec:ScalingSpec",
    "Unknown": "scaling.observation:Unknown",
    "Value": "scaling.observation:Value",
    "decide": "scaling.decide:decide",
    "dry_run": "forescale.api:dry_run",
    "load_policy": "forescale.api:load_policy",
    "read_policy": "forescale.api:read_policy",
}
"""Where each name comes from: module and name there."""


def __getattr__(name: str) -> Any:
    """Import a name of `__all__` when it is first used."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, inner = _PLACES[name].partition(":")
    value = globals()[name] = getattr(importlib.import_module(module), inner)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Whose a workload is: the object that controls it, and whether that one sets its size.

Pure. A controller that sets spec.replicas of what it owns undoes every write of ours. Who does it in spite of all that
is said here, `manager_conflicts.py` finds out.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.causes import one_line
from controller.crd.tables import WITHOUT_SCALE, TargetRef
from controller.ports import Refused

OWNED = "Owned"

NAME_CHARACTERS = 63
"""Of a kind, a name or a manager in a message (chosen)."""

SCALE = "scale"
"""The subresource; who writes through it, as we do, sets a size once and does not keep it."""

NOBODY_KNOWN = "its controller"
"""Where there are no managedFields, which tell who sets the size."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The controller of a workload, by metadata.ownerReferences."""

    api_version: str
    kind: str
    name: str
    sets_size: str
    """Who sets spec.replicas for it, as managedFields says; empty where nobody does but through /scale."""

    @property
    def named(self) -> str:
        """Its kind and name for people."""
        return f"{one_line(self.kind, NAME_CHARACTERS)} {one_line(self.name, NAME_CHARACTERS)}"

    @property
    def ref(self) -> TargetRef | None:
        """It as a target; None where it is known to have no scale."""
        if (self.api_version, self.kind) in WITHOUT_SCALE:
            return None
        return TargetRef(api_version=self.api_version, kind=self.kind, name=self.name)


def owner_of(body: Mapping[str, Any]) -> Owner | None:
    """The controller of an object; an owner that is no controller only keeps it from being garbage."""
    meta = body["metadata"]
    for each in meta.get("ownerReferences") or ():
        if each.get("controller"):
            sets_size = _sets_size(meta.get("managedFields") or ())
            return Owner(each.get("apiVersion", ""), each["kind"], each["name"], sets_size)
    return None


def scaled_by_owner(named: str, owner: Owner) -> Refused:
    """The refusal of a workload whose owner has a scale itself; `named`: the workload for people."""
    return Refused(OWNED, f"{named} belongs to {owner.named}, which scales it: name that one instead")


def set_by_owner(named: str, owner: Owner) -> Refused | None:
    """The refusal of a workload whose size is set for its owner; None where nobody sets it."""
    if not owner.sets_size:
        return None
    undoing = f"{one_line(owner.sets_size, NAME_CHARACTERS)} sets its spec.replicas and would undo ours"
    way_out = "where kubectl scale changes the size and it stays, forescale scales it"
    return Refused(OWNED, f"{named} belongs to {owner.named}, and {undoing}; {way_out}")


def _sets_size(entries: Any) -> str:
    """The manager that last set spec.replicas other than through /scale."""
    if not entries:
        return NOBODY_KNOWN
    setting = [each for each in entries if "f:replicas" in (each.get("fieldsV1") or {}).get("f:spec", {})]
    others = [each for each in setting if each.get("subresource") != SCALE]
    latest = max(others, key=lambda each: str(each.get("time", "")), default=None)
    return "" if latest is None else latest.get("manager") or NOBODY_KNOWN

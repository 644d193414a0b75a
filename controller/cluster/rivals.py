"""Who else scales a target: an HPA, a ScaledObject, another ScalingPolicy, or somebody who undoes our writes.

Owns whether a target is ours alone, and whether that is known. Watches tell of the others' objects; of those who have
none, `contests.py` knows. What a conflict does to a decision is left to `scaling`. A policy in Shadow never writes and
is in nobody's way.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from controller.cluster.contests import Contests
from controller.cluster.roll import Roll
from controller.crd.tables import KIND, TargetRef
from controller.ports import Refused, Target
from scaling.spec import Mode

HPA = "HorizontalPodAutoscaler"
SCALED_OBJECT = "ScaledObject"
TargetKey = tuple[str, str, str, str]
"""Namespace, API group, kind and name: a rival may name another version of the same group."""

PAUSED, PAUSED_REPLICAS = "autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas"
FALSE_WORDS = frozenset(("0", "f", "F", "FALSE", "false", "False"))
"""What Go's strconv.ParseBool reads as false."""

TARGET_SHARED = "TargetShared"


@dataclass(frozen=True, slots=True)
class _Rival:
    """An object that scales a target, as it says itself."""

    key: TargetKey | None
    """Of its target; None where it scales nothing."""
    kind: str
    namespace: str
    name: str
    created: str = ""
    shadow: bool = False

    @property
    def age(self) -> tuple[str, str]:
        """The oldest first; of two created in the same second the first by name."""
        return self.created, self.name


class Rivals:
    """All who scale something, by what they scale."""

    def __init__(self) -> None:
        self._by_uid: dict[str, _Rival] = {}
        self._on: defaultdict[TargetKey, dict[str, _Rival]] = defaultdict(dict)
        self.contests = Contests()
        self._rolls = {HPA: Roll(), SCALED_OBJECT: Roll()}
        self._unlisted: dict[str, str] = {}
        """Why the latest listing of a kind failed."""

    def note_hpa(self, type_: str | None, body: Mapping[str, Any]) -> None:
        """Take in an event of an HPA; one that names no apiVersion cannot scale anything but the core's kinds."""
        self._note(type_, body, HPA, _target_ref(body))

    def note_scaled_object(self, type_: str | None, body: Mapping[str, Any]) -> None:
        """Take in an event of a KEDA ScaledObject, whose target is a Deployment unless it says otherwise.

        A paused one has no HPA and scales nothing, as `is_paused` says.
        """
        ref = _target_ref(body)
        if ref is None or is_paused(body["metadata"].get("annotations") or {}):
            self._note(type_, body, SCALED_OBJECT, None)
        else:
            whole = {"apiVersion": ref.get("apiVersion") or "apps/v1", "kind": ref.get("kind") or "Deployment"}
            self._note(type_, body, SCALED_OBJECT, {**ref, **whole})

    def note_policy(self, type_: str | None, body: Mapping[str, Any]) -> None:
        """Take in an event of a ScalingPolicy; one that is not valid scales nothing: tell it as DELETED."""
        self._note(type_, body, KIND, _target_ref(body))

    def drop(self, uid: str) -> None:
        """Forget one that is gone."""
        rival = self._by_uid.pop(uid, None)
        if rival is not None and rival.key is not None:
            del self._on[rival.key][uid]
            if not self._on[rival.key]:
                del self._on[rival.key]

    def known(self, kind: str) -> frozenset[str]:
        """The uids of all that was told of a kind, for `keep`."""
        return frozenset(uid for uid, rival in self._by_uid.items() if rival.kind == kind)

    def keep(self, kind: str, namespace: str, listed: Mapping[str, str], known_before: Collection[str]) -> None:
        """Drop what a full listing (uid to namespace/name) of a namespace, or of all for "", no longer has.

        `known_before`: `known` as it was before the listing.
        """
        for uid in self.known(kind) & frozenset(known_before) - listed.keys():
            if namespace in ("", self._by_uid[uid].namespace):
                self.drop(uid)
        self._rolls[kind].call(namespace, listed, self.known(kind))
        self._unlisted.pop(kind, None)

    def note_unlisted(self, kind: str, why: str) -> None:
        """Take in why a listing failed."""
        self._unlisted[kind] = why

    def unknown(self, target: Target) -> Refused | None:
        """Why it is not known yet whether an HPA or a ScaledObject scales a target; None once it is."""
        if target.spec.mode is Mode.SHADOW:
            return None
        namespace = target.resource.namespace
        for kind, roll in self._rolls.items():
            if not roll.is_called(namespace):
                why = self._unlisted.get(kind, "they have not been listed yet")
                return Refused("NotSynced", f"whether a {kind} scales it is not known: {why}")
            awaited = roll.awaited_in(namespace)
            if awaited is not None:
                return Refused("NotSynced", f"whether {kind} {awaited} scales it is not known: no watch told of it yet")
        return None

    def is_shared(self, target: Target) -> bool:
        """Whether another policy names the same target."""
        on = self._on.get(_key(target.resource.namespace, target.resource.target), {})
        return any(rival.kind == KIND and rival.name != target.resource.name for rival in on.values())

    def of(self, target: Target, now_s: float) -> Refused | None:
        """Who is in this target's way, or None: the cause as a condition's reason, and one sentence for people."""
        if target.spec.mode is Mode.SHADOW:
            return None
        resource = target.resource
        key = _key(resource.namespace, resource.target)
        scaled = f"{resource.target.kind} {resource.target.name}"
        rivals = sorted(self._on.get(key, {}).values(), key=lambda rival: (rival.kind != SCALED_OBJECT, rival.age))
        for rival in rivals:  # KEDA's HPA is no news beside the ScaledObject that it stands for
            if rival.kind != KIND:
                return Refused(rival.kind, f"{rival.kind} {rival.name} scales {scaled} too; one of the two has to go")
        contested = self.contests.of((resource.namespace, resource.target), now_s)
        return self._older(target, scaled) or contested

    def waiting(self, target: Target) -> Refused | None:
        """Which newer policies name this target too and hold since this one is older, for people; None without any."""
        acting = self._acting(target)
        if len(acting) < 2 or acting[0] != target.resource.name:
            return None
        more = f" and {len(acting) - 2} more" * (len(acting) > 2)
        scaled = f"{target.resource.target.kind} {target.resource.target.name}"
        said = f"{KIND} {acting[1]}{more} would scale {scaled} too; this policy is older and goes on"
        return Refused(TARGET_SHARED, said)

    def _older(self, target: Target, scaled: str) -> Refused | None:
        """The oldest goes on: were both to stop, a copy made by accident would take a workload's scaling away."""
        acting = self._acting(target)
        if not acting or acting[0] == target.resource.name:
            return None
        return Refused(KIND, f"{KIND} {acting[0]} is older and scales {scaled} already")

    def _acting(self, target: Target) -> list[str]:
        """The names of the policies on a target that are not in Shadow, the oldest first."""
        if target.spec.mode is Mode.SHADOW:
            return []
        on = self._on.get(_key(target.resource.namespace, target.resource.target), {})
        acting = [rival for rival in on.values() if rival.kind == KIND and not rival.shadow]
        return [rival.name for rival in sorted(acting, key=lambda rival: rival.age)]

    def _note(self, type_: str | None, body: Mapping[str, Any], kind: str, ref: Mapping[str, Any] | None) -> None:
        meta, spec = body["metadata"], body.get("spec") or {}
        self.drop(meta["uid"])
        if kind in self._rolls:
            self._rolls[kind].tell(meta["uid"])
        if type_ == "DELETED":
            return
        key = None if ref is None else _key_of(meta["namespace"], ref)
        shadow = spec.get("mode") == Mode.SHADOW
        rival = _Rival(key, kind, meta["namespace"], meta["name"], meta.get("creationTimestamp", ""), shadow)
        self._by_uid[meta["uid"]] = rival
        if key is not None:
            self._on[key][meta["uid"]] = rival


def is_paused(annotations: Mapping[str, str]) -> bool:
    """Whether a ScaledObject with these annotations scales nothing, as KEDA reads them.

    `paused` is a boolean of Go, and any other text means that it is paused. `paused-replicas` comes first: with it KEDA
    scales the target to that number, and keeps it there. `paused-scale-in` and `paused-scale-out` leave an HPA that
    scales the other way.

    Source: https://github.com/kedacore/keda/blob/v2.19.0/apis/keda/v1alpha1/scaledobject_types.go
    (NeedToBePausedByAnnotation)
    """
    paused = annotations.get(PAUSED)
    return PAUSED_REPLICAS not in annotations and paused is not None and paused not in FALSE_WORDS


def _target_ref(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    ref = (body.get("spec") or {}).get("scaleTargetRef")
    return ref if isinstance(ref, Mapping) else None


def _key_of(namespace: str, ref: Mapping[str, Any]) -> TargetKey:
    return namespace, _group(ref.get("apiVersion", "")), ref.get("kind", ""), ref.get("name", "")


def _key(namespace: str, ref: TargetRef) -> TargetKey:
    return namespace, _group(ref.api_version), ref.kind, ref.name


def _group(api_version: str) -> str:
    """Empty for the core."""
    return api_version.rpartition("/")[0]

"""Who else scales a target: an HPA, a ScaledObject, another ScalingPolicy, or somebody who undoes our writes.

Owns whether a target is ours alone, and whether that is known. The watches show the objects of other autoscalers;
`manager_conflicts.py` finds writers without an object. What a conflict does to a decision is left to `scaling`. In mode
Shadow a policy never writes, so it competes with nobody.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from controller.cluster.manager_conflicts import ManagerConflicts
from controller.cluster.sync_state import SyncState
from controller.crd.tables import KIND, TargetRef
from controller.ports import Refused, Target
from scaling.spec import Mode

HPA = "HorizontalPodAutoscaler"
SCALED_OBJECT = "ScaledObject"
TargetKey = tuple[str, str, str, str]
"""Namespace, API group, kind and name: a competitor may name another version of the same group."""

PAUSED, PAUSED_REPLICAS = "autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas"
FALSE_WORDS = frozenset(("0", "f", "F", "FALSE", "false", "False"))
"""What Go's strconv.ParseBool reads as false."""

TARGET_SHARED = "TargetShared"


@dataclass(frozen=True, slots=True)
class _Competitor:
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


class Competitors:
    """All who scale something, by what they scale."""

    def __init__(self) -> None:
        self._by_uid: dict[str, _Competitor] = {}
        self._on: defaultdict[TargetKey, dict[str, _Competitor]] = defaultdict(dict)
        self.manager_conflicts = ManagerConflicts()
        self._sync_states = {HPA: SyncState(), SCALED_OBJECT: SyncState()}
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
        competitor = self._by_uid.pop(uid, None)
        if competitor is not None and competitor.key is not None:
            del self._on[competitor.key][uid]
            if not self._on[competitor.key]:
                del self._on[competitor.key]

    def known(self, kind: str) -> frozenset[str]:
        """The uids of all that was told of a kind, for `keep`."""
        return frozenset(uid for uid, competitor in self._by_uid.items() if competitor.kind == kind)

    def keep(self, kind: str, namespace: str, listed: Mapping[str, str], known_before: Collection[str]) -> None:
        """Drop what a full listing (uid to namespace/name) of a namespace, or of all for "", no longer has.

        `known_before`: `known` as it was before the listing.
        """
        for uid in self.known(kind) & frozenset(known_before) - listed.keys():
            if namespace in ("", self._by_uid[uid].namespace):
                self.drop(uid)
        self._sync_states[kind].on_listed(namespace, listed, self.known(kind))
        self._unlisted.pop(kind, None)

    def note_unlisted(self, kind: str, why: str) -> None:
        """Take in why a listing failed."""
        self._unlisted[kind] = why

    def unknown(self, target: Target) -> Refused | None:
        """Why it is not known yet whether an HPA or a ScaledObject scales a target; None once it is."""
        if target.spec.mode is Mode.SHADOW:
            return None
        namespace = target.resource.namespace
        for kind, sync_state in self._sync_states.items():
            if not sync_state.has_listed(namespace):
                why = self._unlisted.get(kind, "they have not been listed yet")
                return Refused("NotSynced", f"whether a {kind} scales it is not known: {why}")
            awaited = sync_state.unseen_in(namespace)
            if awaited is not None:
                return Refused("NotSynced", f"whether {kind} {awaited} scales it is not known: no watch told of it yet")
        return None

    def is_shared(self, target: Target) -> bool:
        """Whether another policy names the same target."""
        on = self._on.get(_key(target.resource.namespace, target.resource.target), {})
        return any(competitor.kind == KIND and competitor.name != target.resource.name for competitor in on.values())

    def of(self, target: Target, now_s: float) -> Refused | None:
        """Who is in this target's way, or None: the cause as a condition's reason, and one sentence for people."""
        if target.spec.mode is Mode.SHADOW:
            return None
        resource = target.resource
        key = _key(resource.namespace, resource.target)
        scaled = f"{resource.target.kind} {resource.target.name}"
        competitors = sorted(self._on.get(key, {}).values(), key=lambda each: (each.kind != SCALED_OBJECT, each.age))
        for competitor in competitors:  # KEDA's HPA is no news beside the ScaledObject that it stands for
            if competitor.kind != KIND:
                return Refused(
                    competitor.kind,
                    f"{competitor.kind} {competitor.name} scales {scaled} too; one of the two has to go",
                )
        contested = self.manager_conflicts.of((resource.namespace, resource.target), now_s)
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
        acting = [competitor for competitor in on.values() if competitor.kind == KIND and not competitor.shadow]
        return [competitor.name for competitor in sorted(acting, key=lambda competitor: competitor.age)]

    def _note(self, type_: str | None, body: Mapping[str, Any], kind: str, ref: Mapping[str, Any] | None) -> None:
        meta, spec = body["metadata"], body.get("spec") or {}
        self.drop(meta["uid"])
        if kind in self._sync_states:
            self._sync_states[kind].on_seen(meta["uid"])
        if type_ == "DELETED":
            return
        key = None if ref is None else _key_of(meta["namespace"], ref)
        shadow = spec.get("mode") == Mode.SHADOW
        competitor = _Competitor(key, kind, meta["namespace"], meta["name"], meta.get("creationTimestamp", ""), shadow)
        self._by_uid[meta["uid"]] = competitor
        if key is not None:
            self._on[key][meta["uid"]] = competitor


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

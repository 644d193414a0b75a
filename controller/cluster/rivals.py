"""Who else scales a target: an HPA, a ScaledObject, another ScalingPolicy, or somebody who undoes our writes.

Owns whether a target is ours alone. Watches tell of the others' objects, `workloads.py` of the scale and of our writes;
what a conflict does to a decision is left to `scaling`. A policy in Shadow never writes and is in nobody's way.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from controller.cluster.watched import Workload, is_newer
from controller.crd.tables import KIND, TargetRef
from controller.ports import Refused, Target
from scaling.limits import shown
from scaling.spec import Mode

MANAGER = "forescale"
"""Our name in managedFields."""

HPA = "HorizontalPodAutoscaler"
SCALED_OBJECT = "ScaledObject"
CONTESTED = "Contested"

CONTESTED_S = 600.0
"""So long two undone writes belong together, and so long we keep off afterwards. Chosen: several rounds of a GitOps
controller (Argo CD looks every three minutes), and short enough for a person to wait for."""

MOST_UNDONE = 2
"""Undone writes that make a contest; a single `kubectl scale` is a person's wish, and the next decision's start."""

TargetKey = tuple[str, str, str, str]
"""Namespace, API group, kind and name: a rival may name another version of the same group."""


@dataclass(frozen=True, slots=True)
class _Rival:
    """An object that scales a target, as it says itself."""

    key: TargetKey
    kind: str
    name: str
    created: str = ""
    shadow: bool = False

    @property
    def age(self) -> tuple[str, str]:
        """The oldest first; of two created in the same second the first by name."""
        return self.created, self.name


@dataclass(slots=True)
class _Contest:
    """The history of our writes to one target."""

    ours: Workload | None = None
    """Our latest write, until it is undone."""
    undone_s: tuple[float, ...] = ()
    """When we saw the latest ones undone."""
    until_s: float = 0.0
    by: str = ""


class Rivals:
    """All who scale something, by what they scale."""

    def __init__(self) -> None:
        self._by_uid: dict[str, _Rival] = {}
        self._on: defaultdict[TargetKey, dict[str, _Rival]] = defaultdict(dict)
        self._contests: dict[TargetKey, _Contest] = {}

    def note_hpa(self, type_: str | None, body: Mapping[str, Any]) -> None:
        """Take in an event of an HPA; one that names no apiVersion cannot scale anything but the core's kinds."""
        self._note(type_, body, HPA, lambda spec: spec["scaleTargetRef"])

    def note_scaled_object(self, type_: str | None, body: Mapping[str, Any]) -> None:
        """Take in an event of a KEDA ScaledObject, whose target is a Deployment unless it says otherwise."""
        default = {"apiVersion": "apps/v1", "kind": "Deployment"}
        self._note(type_, body, SCALED_OBJECT, lambda spec: default | spec["scaleTargetRef"])

    def note_policy(self, type_: str | None, body: Mapping[str, Any]) -> None:
        """Take in an event of a ScalingPolicy; one that is not valid scales nothing: tell it as DELETED."""
        self._note(type_, body, KIND, lambda spec: spec["scaleTargetRef"])

    def known(self, kind: str) -> frozenset[str]:
        """The uids of all rivals of a kind, for `keep`."""
        return frozenset(uid for uid, rival in self._by_uid.items() if rival.kind == kind)

    def keep(self, kind: str, listed: Collection[str], known_before: Collection[str]) -> None:
        """Drop what a full listing (of uids) no longer has; `known_before`: `known` as it was before the listing."""
        for uid in self.known(kind) & frozenset(known_before) - frozenset(listed):
            self._drop(uid)

    def note_write(self, namespace: str, ref: TargetRef, written: Workload) -> None:
        """Remember what we made of a target."""
        self._contests.setdefault(_key(namespace, ref), _Contest()).ours = written

    def note_scale(self, namespace: str, ref: TargetRef, seen: Workload, now_s: float) -> None:
        """Compare what is there with what we wrote; to be told at each look, at least once between two writes."""
        contest = self._contests.get(_key(namespace, ref))
        if (
            contest is None
            or contest.ours is None
            or not is_newer(seen.resource_version, contest.ours.resource_version)
        ):
            return
        latest = max(seen.managers, key=lambda each: (each.time, each.name != MANAGER), default=None)
        still_ours = latest is not None and latest.name == MANAGER  # written without our knowing, by an answer lost
        if seen.replicas == contest.ours.replicas or still_ours:
            return
        recent = [at_s for at_s in contest.undone_s if now_s - at_s < CONTESTED_S]
        contest.ours, contest.undone_s = None, (*recent, now_s)
        if len(contest.undone_s) >= MOST_UNDONE:
            contest.until_s, contest.by = now_s + CONTESTED_S, latest.name if latest is not None else ""

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
        return self._older(rivals, resource.name, scaled) or self._contested(key, scaled, now_s)

    def forget(self, namespace: str, ref: TargetRef) -> None:
        """Drop the history of our writes to a target that is no longer under care."""
        self._contests.pop(_key(namespace, ref), None)

    def _older(self, rivals: Collection[_Rival], name: str, scaled: str) -> Refused | None:
        """The oldest goes on: were both to stop, a copy made by accident would take a workload's scaling away."""
        acting = [rival for rival in rivals if rival.kind == KIND and not rival.shadow]
        if not acting or acting[0].name == name:
            return None
        return Refused(KIND, f"{KIND} {acting[0].name} is older and scales {scaled} already")

    def _contested(self, key: TargetKey, scaled: str, now_s: float) -> Refused | None:
        contest = self._contests.get(key)
        if contest is None or now_s >= contest.until_s:
            return None
        who = shown(contest.by) if contest.by else "somebody"
        times = len(contest.undone_s)
        return Refused(CONTESTED, f"{who} undid {times} of our writes to spec.replicas of {scaled} within 10 minutes")

    def _note(
        self,
        type_: str | None,
        body: Mapping[str, Any],
        kind: str,
        ref_of: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    ) -> None:
        meta, spec = body["metadata"], body.get("spec") or {}
        self._drop(meta["uid"])
        if type_ == "DELETED" or not isinstance(spec.get("scaleTargetRef"), Mapping):
            return
        ref = ref_of(spec)
        key = meta["namespace"], _group(ref.get("apiVersion", "")), ref.get("kind", ""), ref.get("name", "")
        shadow = spec.get("mode") == Mode.SHADOW
        rival = _Rival(key, kind, meta["name"], meta.get("creationTimestamp", ""), shadow)
        self._by_uid[meta["uid"]] = self._on[key][meta["uid"]] = rival

    def _drop(self, uid: str) -> None:
        rival = self._by_uid.pop(uid, None)
        if rival is not None:
            del self._on[rival.key][uid]
            if not self._on[rival.key]:
                del self._on[rival.key]


def _key(namespace: str, ref: TargetRef) -> TargetKey:
    return namespace, _group(ref.api_version), ref.kind, ref.name


def _group(api_version: str) -> str:
    """Empty for the core."""
    return api_version.rpartition("/")[0]

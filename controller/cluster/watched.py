"""What the watches told of workloads: of each a small record, so that thousands cost neither requests nor memory.

Owns what a Deployment's or StatefulSet's body means: replicas, readiness, whether a rollout is under way, who set the
size. Who watches and relists is left to the caller, what is made of a record to `workloads.py` and `competitors.py`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from controller.cluster.owners import Owner, owner_of
from controller.cluster.sync_state import SyncState, is_within
from controller.crd.tables import TargetRef
from controller.ports import Refused

WATCHED = (("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"))
"""What nearly every target is. All others are asked for one by one: a watch on every kind there is would cost more."""

ROLLING = frozenset({"NewReplicaSetCreated", "FoundNewReplicaSet", "ReplicaSetUpdated"})
"""Reasons of a Deployment's Progressing condition until its newest template runs everywhere; a scaling alone leaves it
at NewReplicaSetAvailable.

Source: https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/controller/deployment/progress.go
"""

DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"


MOST_MANAGERS = 1000
"""Entries of managedFields that are read. Chosen: a workload has some ten; who writes more slows nobody down."""

MOST_REQUIREMENTS = 100
"""Labels in a selector; a larger one does not fit into a query, and counts as not known (chosen)."""


class Manager(NamedTuple):
    """Who set spec.replicas, as managedFields says."""

    name: str
    time: str
    """UTC in whole seconds; sorts as text."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What is kept of a workload."""

    uid: str
    resource_version: str
    """Fence of the next write."""
    replicas: int
    """Asked for, spec.replicas."""
    ready: int
    """Serving; of what is not watched, all that exist."""
    selector: str
    """Of its pods, as a query says it; empty where it is not known."""
    rollout: bool = False
    deleting: bool = False
    """Asked to go, while its pods or a finalizer keep it."""
    managers: tuple[Manager, ...] = ()
    ready_known: bool = True
    """Whether it was told how many serve."""
    owner: Owner | None = None


class WatchedWorkloads:
    """The workloads of the watched kinds, in the state that the latest event told."""

    def __init__(self, kinds: Collection[tuple[str, str]] = WATCHED) -> None:
        self._of: dict[tuple[str, str], dict[str, Workload]] = {kind: {} for kind in kinds}
        self._sync_states = {kind: SyncState() for kind in kinds}

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def watches(self, ref: TargetRef) -> bool:
        """Whether what is said here of this kind is all there is to say."""
        return (ref.api_version, ref.kind) in self._of

    def find(self, namespace: str, ref: TargetRef) -> Workload | Refused:
        """The workload of a watched kind; NotSynced until `keep` has said what there is."""
        place = f"{namespace}/{ref.name}"
        kind = ref.api_version, ref.kind
        found = self._of[kind].get(place)
        if found is not None:
            return found
        sync_state = self._sync_states[kind]
        if not sync_state.has_listed(namespace) or sync_state.is_unseen(place):
            return Refused("NotSynced", f"the watch has not told of {ref.kind} {place} yet")
        return Refused("TargetNotFound", f"{ref.kind} {place} does not exist")

    def note(self, type_: str | None, body: Mapping[str, Any]) -> None:
        """Take in an event; one that is older than what is known changes nothing."""
        kind, meta = (body["apiVersion"], body["kind"]), body["metadata"]
        if kind not in self._of:
            return
        place = f"{meta['namespace']}/{meta['name']}"
        known = self._of[kind].get(place)
        self._sync_states[kind].on_seen(meta["uid"])
        if type_ == "DELETED":
            if known is not None and known.uid == meta["uid"]:
                del self._of[kind][place]
            return
        if known is not None and type_ is not None and not is_newer(meta["resourceVersion"], known.resource_version):
            return  # a listing is believed whatever its version: a restored cluster counts from an earlier one
        self._of[kind][place] = read_workload(body)

    def known(self, api_version: str, kind: str) -> frozenset[str]:
        """The uids of all that is known of a kind: what `keep` wants to have been told before it was listed."""
        return frozenset(record.uid for record in self._of[api_version, kind].values())

    def keep(
        self, api_version: str, kind: str, namespace: str, listed: Mapping[str, str], known_before: Collection[str]
    ) -> None:
        """Drop what a full listing (uid to namespace/name) of a namespace, or of all for "", no longer has: a watch
        that was away missed its deletion.

        `known_before`: `known` as it was before the listing, since what came while it was made is not in it.
        """
        records = self._of[api_version, kind]
        gone = frozenset(known_before) - listed.keys()
        for place in [place for place, record in records.items() if record.uid in gone and is_within(place, namespace)]:
            del records[place]
        self._sync_states[api_version, kind].on_listed(namespace, listed, self.known(api_version, kind))


def is_newer(version: str, than: str) -> bool:
    """Whether a resourceVersion is the later of two; whole numbers can be compared, of others any change counts.

    Source: https://github.com/kubernetes/apimachinery/blob/v0.37.2/pkg/util/resourceversion/resourceversion.go
    """
    if version.isdecimal() and than.isdecimal():
        return int(version) > int(than)
    return version != than


def read_workload(body: Mapping[str, Any]) -> Workload:
    """The record of a Deployment, a StatefulSet, or what is built like them."""
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    rolls = stateful_set_rolls if body["kind"] == "StatefulSet" else deployment_rolls
    return Workload(
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        replicas=spec.get("replicas", 1),
        ready=status.get("readyReplicas", 0),
        selector=selector_query(spec.get("selector") or {}),
        rollout=rolls(spec, status),
        deleting="deletionTimestamp" in meta,
        managers=tuple(_managers(meta.get("managedFields") or ())),
        owner=owner_of(body),
    )


def deployment_rolls(spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Whether a rollout is in progress: as `kubectl rollout status` has it, but a scaling is none.

    Pods of an older template are left, or the controller says that the newest has not run everywhere yet. A rollout
    past its deadline has failed and is over. A template that the controller has not seen yet has moved no pod.

    With strategy Recreate it is in progress also while no pod is ready, whatever the reason: if the controller's note
    of the new ReplicaSet meets a conflict, it never makes another (getNewReplicaSet), and the sum of zero old and zero
    new pods is a complete Deployment to it (syncRolloutStatus), with a load that has gone down since nobody serves.

    Sources: https://github.com/kubernetes/kubectl/blob/v0.37.2/pkg/polymorphichelpers/rollout_status.go
    https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/controller/deployment/sync.go
    """
    conditions = status.get("conditions") or ()
    progress = next((each.get("reason") for each in conditions if each["type"] == "Progressing"), None)
    if progress == DEADLINE_EXCEEDED:
        return False
    return progress in ROLLING or _old_pods(status) > 0 or _is_recreated(spec, status)


def stateful_set_rolls(spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """The same of a StatefulSet; those that a partition keeps as they are count as done, and OnDelete never rolls.

    Its controller makes the two revisions one when all pods are of the newest and ready, unless a partition is set.

    Source: https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/controller/statefulset/stateful_set_utils.go
    (completeRollingUpdate)
    """
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete" or status.get("updateRevision") == status.get("currentRevision"):
        return False
    partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    some_unready = status.get("readyReplicas", 0) < status.get("replicas", 0)
    return partition == 0 or some_unready or _old_pods(status) > partition


def selector_query(selector: Mapping[str, Any]) -> str:
    """A label selector in the form of a query; empty where it selects nothing in particular."""
    labels, expressions = selector.get("matchLabels") or {}, selector.get("matchExpressions") or ()
    if len(labels) + len(expressions) > MOST_REQUIREMENTS or any(map(_is_large, expressions)):
        return ""
    equal = [f"{label}={value}" for label, value in labels.items()]
    return ",".join(sorted(equal) + [_expression(each) for each in expressions])


def _is_large(requirement: Mapping[str, Any]) -> bool:
    return len(requirement.get("values") or ()) > MOST_REQUIREMENTS


def _expression(requirement: Mapping[str, Any]) -> str:
    label, values = str(requirement["key"]), ",".join(requirement.get("values") or ())
    forms = {
        "In": f"{label} in ({values})",
        "NotIn": f"{label} notin ({values})",
        "Exists": label,
        "DoesNotExist": f"!{label}",
    }
    return forms[requirement["operator"]]


def _is_recreated(spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    strategy = (spec.get("strategy") or {}).get("type")
    return strategy == "Recreate" and spec.get("replicas", 1) > 0 and not status.get("readyReplicas")


def _old_pods(status: Mapping[str, Any]) -> int:
    return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))


def _managers(entries: Sequence[Mapping[str, Any]]) -> list[Manager]:
    return [
        Manager(entry.get("manager", ""), entry.get("time", ""))
        for entry in entries[-MOST_MANAGERS:]  # sorted by time
        if "f:replicas" in (entry.get("fieldsV1") or {}).get("f:spec", {})
    ]

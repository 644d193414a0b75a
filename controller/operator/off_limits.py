"""What no policy may scale, however valid it is: the operator itself, and what an administrator excluded by namespace
or kind.

A policy in their way is not served, and its status says why.
"""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from controller.cluster.api_access import own_namespace
from controller.crd.resource import PolicyResource
from controller.crd.tables import TargetRef
from controller.promql.pod_names import HASH
from scaling.errors import InputError
from scaling.limits import shown

log = logging.getLogger(__name__)

GENERATED = f"(-{HASH}{{1,10}})?-{HASH}{{5}}|-[0-9]+"
"""What a pod's name has after that of its Deployment, ReplicaSet or StatefulSet (`pod_names.py`)."""


@dataclass(frozen=True)
class Pod:
    """The pod that we run in."""

    namespace: str
    name: str


def own_pod(environment: Mapping[str, str] = os.environ) -> Pod | None:
    """Return the pod that the downward API names in POD_NAME and POD_NAMESPACE; None outside of a cluster.

    The namespace of the service account stands in for POD_NAMESPACE. The host's name does not stand in for POD_NAME:
    with `hostNetwork` it is the node's.
    """
    namespace, name = environment.get("POD_NAMESPACE") or own_namespace(), environment.get("POD_NAME")
    if namespace is not None and not name:
        log.warning("POD_NAME is not set: a policy that scales the operator itself would not be refused")
    return Pod(namespace, name) if namespace is not None and name else None


@dataclass(frozen=True)
class OffLimits:
    """What is not served."""

    namespaces: frozenset[str] = frozenset()
    pod: Pod | None = None
    kinds: tuple[str, ...] = ()
    """The kinds that may be scaled, as GROUP/KIND, or KIND of the core group; empty for all that have a scale."""

    def check(self, resource: PolicyResource) -> None:
        """Raise InputError, which says why in one line, for a policy that is not served."""
        if resource.namespace in self.namespaces:
            raise InputError(f"metadata.namespace: policies in {resource.namespace} are not served (--deny-namespace)")
        kind = _group_kind(resource.target)
        if self.kinds and kind not in self.kinds:
            allowed = ", ".join(self.kinds)
            raise InputError(
                f"spec.scaleTargetRef: {shown(kind)} is not among the kinds allowed (--allowed-kind {allowed})"
            )
        if self.pod is not None and self._is_ours(self.pod, resource):
            target = resource.target
            raise InputError(f"spec.scaleTargetRef: {target.kind} {target.name} is forescale itself ({self.pod.name})")

    def _is_ours(self, pod: Pod, resource: PolicyResource) -> bool:
        ours = re.fullmatch(f"{re.escape(resource.target.name)}({GENERATED})", pod.name)
        return ours is not None and resource.namespace == pod.namespace


def _group_kind(target: TargetRef) -> str:
    group = target.api_version.rpartition("/")[0]
    return f"{group}/{target.kind}" if group else target.kind

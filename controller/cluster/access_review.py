"""What we are allowed: asked of the API server at the start, so that a missing right is told once and not found out by
failing.

Source: https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/api/authorization/v1/types.go
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from controller.cluster.api_answer import ApiError


class Asks(Protocol):
    """What asking needs of the API server; raises ApiError."""

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Right:
    """One verb on one resource, and what it is for."""

    verb: str
    group: str
    resource: str
    purpose: str
    name: str = ""
    """The one object that it is needed on. Default: any."""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f'.{self.group}' * bool(self.group)} ({self.purpose})"


def _rights(verbs: str, group: str, resources: str, purpose: str) -> tuple[Right, ...]:
    return tuple(Right(verb, group, resource, purpose) for resource in resources.split() for verb in verbs.split())


READING = (
    *_rights("list watch", "forescale.dev", "scalingpolicies", "what to serve"),
    *_rights("patch", "forescale.dev", "scalingpolicies/status", "status"),
    *_rights("list watch", "apps", "deployments statefulsets", "sizes and readiness"),
    *_rights("get", "apps", "replicasets", "whose they are"),
    *_rights("list watch", "autoscaling", "horizontalpodautoscalers", "conflicts"),
    *_rights("list watch", "keda.sh", "scaledobjects", "conflicts"),
    *_rights("list", "", "pods", "measured start-up"),
    *_rights("get", "", "configmaps", "trained policies of policyRef.configMap"),
    *_rights("create", "", "events", "events"),
)
WRITING = _rights("get patch", "apps", "deployments/scale statefulsets/scale", "scaling")
"""Not for a dry-run."""


def leading(lease: str) -> tuple[Right, ...]:
    """Return the rights that the Lease of this name needs, in its namespace."""
    rights = _rights("create get update", "coordination.k8s.io", "leases", "one of several acts")
    return tuple(right if right.verb == "create" else replace(right, name=lease) for right in rights)


EVERYWHERE = (*_rights("list watch", "apiextensions.k8s.io", "customresourcedefinitions", "kinds that come later"),)
"""Where not just some namespaces are served."""


async def missing(api: Asks, rights: Collection[Right], namespaces: Collection[str]) -> list[str]:
    """The rights that we do not have in these namespaces, or in all without any, in words.

    Empty where the API server does not answer, which says nothing.
    """
    places = [(right, namespace) for right in rights for namespace in namespaces or ("",)]
    allowed = await asyncio.gather(*(_is_allowed(api, right, namespace) for right, namespace in places))
    return [
        f"{right}{f' in {namespace}' * bool(namespace)}"
        for (right, namespace), is_allowed in zip(places, allowed, strict=True)
        if not is_allowed
    ]


async def _is_allowed(api: Asks, right: Right, namespace: str) -> bool:
    resource, _, subresource = right.resource.partition("/")
    attributes = {"verb": right.verb, "group": right.group, "resource": resource, "subresource": subresource}
    body = {"spec": {"resourceAttributes": {**attributes, "namespace": namespace, "name": right.name}}}
    try:
        answer = await api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
    except ApiError:
        return True
    return bool(answer.get("status", {}).get("allowed"))

"""What we are allowed: asked of the API server at the start, so that a missing right is told once and not found out by
failing.

Source: https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/api/authorization/v1/types.go
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
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

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f'.{self.group}' * bool(self.group)} ({self.purpose})"


READING = (
    Right("list", "forescale.dev", "scalingpolicies", "what to serve"),
    Right("watch", "forescale.dev", "scalingpolicies", "what to serve"),
    Right("patch", "forescale.dev", "scalingpolicies/status", "status"),
    Right("list", "apps", "deployments", "sizes"),
    Right("watch", "apps", "deployments", "sizes"),
    Right("list", "apps", "statefulsets", "sizes"),
    Right("watch", "apps", "statefulsets", "sizes"),
    Right("watch", "autoscaling", "horizontalpodautoscalers", "conflicts"),
    Right("list", "", "pods", "measured start-up"),
    Right("create", "", "events", "events"),
)
WRITING = (
    Right("patch", "apps", "deployments/scale", "scaling"),
    Right("patch", "apps", "statefulsets/scale", "scaling"),
)
"""Not for a dry-run."""


async def missing(api: Asks, rights: Collection[Right], namespaces: Collection[str]) -> list[str]:
    """The rights that we do not have, in words; empty where the API server does not answer, which says nothing."""
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
    body = {"spec": {"resourceAttributes": {**attributes, "namespace": namespace}}}
    try:
        answer = await api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
    except ApiError:
        return True
    return bool(answer.get("status", {}).get("allowed"))

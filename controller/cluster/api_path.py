"""Paths of the API server: which are safe to send, and what they are called in our own metrics."""

import re

SAFE_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._:~-]+)+")
"""Segments of names only: a name from a user's resource can neither add a query nor climb to another resource."""

RESOURCES = frozenset(
    {
        *("deployments", "statefulsets", "replicasets", "pods", "namespaces", "configmaps", "events", "leases"),
        *("scalingpolicies", "horizontalpodautoscalers", "scaledobjects", "customresourcedefinitions"),
        *("selfsubjectaccessreviews", "selfsubjectrulesreviews"),
    }
)
"""What we ask about ourselves; other kinds, which users name as targets, share one label."""

SUBRESOURCES = frozenset({"scale", "status"})


def is_safe(path: str) -> bool:
    """Whether a path says what it seems to say."""
    return SAFE_PATH.fullmatch(path) is not None


def resource_of(path: str) -> str:
    """A label from a small fixed set: "deployments/scale", "leases", "other", or "discovery" where it names nothing."""
    match path.strip("/").split("/"):
        case ["api", _, *rest] | ["apis", _, _, *rest] if rest:
            pass
        case _:
            return "discovery"
    if rest[0] == "namespaces" and len(rest) > 2:
        rest = rest[2:]
    resource = rest[0] if rest[0] in RESOURCES else "other"
    return f"{resource}/{rest[2]}" if len(rest) > 2 and rest[2] in SUBRESOURCES else resource


def namespace_of(path: str) -> str:
    """Return the namespace that a path is in; empty for none."""
    match path.strip("/").split("/"):
        case ["api", _, "namespaces", namespace, _, *_] | ["apis", _, _, "namespaces", namespace, _, *_]:
            return namespace
    return ""

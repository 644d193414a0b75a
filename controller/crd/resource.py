"""A ScalingPolicy resource as values: the only place that translates between the resource's spelling and ours.

Owns the reading of bodies and files. The resource's fields are in `tables.py`, how a table of them is read in
`fields.py`; defaults and limits are in `scaling.spec`. A field that nothing acts on in this release is refused, never
skipped in silence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.crd.fields import an_object, read_fields
from controller.crd.manifest import read_documents
from controller.crd.tables import KIND, RESOURCE, TargetRef
from scaling.errors import InputError
from scaling.limits import shown
from scaling.spec import ScalingSpec


@dataclass(frozen=True)
class Queries:
    """PromQL of the resource, as written; the dry-run takes demand from its trace and asks none of them."""

    demand: str | None = None
    """Total load on the target; a cluster needs it."""

    bad_ratio: str | None = None
    """Share of bad requests, from which the capacity of a replica is fitted."""


@dataclass(frozen=True)
class PolicyResource:
    """One ScalingPolicy, read and found valid."""

    name: str
    namespace: str
    target: TargetRef
    queries: Queries
    spec: ScalingSpec


def parse_policy(body: Mapping[str, Any]) -> PolicyResource:
    """Read a resource body; raises InputError with one line that names the field's path, the value and the limit."""
    found = read_fields(body, "", RESOURCE)
    wishes = found["spec"]
    return PolicyResource(
        name=found["name"],
        namespace=found.get("namespace", "default"),
        target=wishes.pop("target"),
        queries=Queries(wishes.pop("demand_query", None), wishes.pop("bad_ratio_query", None)),
        spec=ScalingSpec(**wishes),
    )


def load_policies(path: Path) -> list[PolicyResource]:
    """Read every ScalingPolicy of a YAML file; raises InputError with one line that starts with the file's name."""
    try:
        documents = read_documents(path)
        if not documents:
            raise InputError(f"holds no {KIND}")
        policies = [_parse_document(document, number, len(documents)) for number, document in enumerate(documents, 1)]
        _refuse_duplicates(policies)
    except InputError as error:
        name = str(path) if str(path).isprintable() else shown(str(path))
        raise InputError(f"{name}: {error}") from error
    return policies


def _parse_document(document: object, number: int, documents: int) -> PolicyResource:
    try:
        return parse_policy(an_object(document, ""))
    except InputError as error:
        raise InputError(f"document {number}: {error}" if documents > 1 else str(error)) from error


def _refuse_duplicates(policies: list[PolicyResource]) -> None:
    seen = set()
    for policy in policies:
        if (policy.namespace, policy.name) in seen:
            raise InputError(f"{KIND} {policy.namespace}/{policy.name} is given twice")
        seen.add((policy.namespace, policy.name))

"""Judges manifests before they reach a cluster: what the operator would refuse, and what it would serve badly.

Owns what holds between the fields of a valid policy; fields, types and ranges are `controller.crd`'s.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from controller.crd.documents import Document, documents_of, files_of
from controller.crd.manifest import STDIN
from controller.crd.resource import PolicyResource, parse_policy
from controller.crd.tables import KIND
from controller.operator.query_rules import QueryRules
from scaling.errors import InputError, problems_of
from scaling.spec import ScalingSpec

FIELD = re.compile(r"[A-Za-z][\w.\[\]\"-]*(?=: | is required| is not supported)")


@dataclass(frozen=True)
class Rules:
    """What an administrator asks of policies."""

    queries: QueryRules = field(default_factory=QueryRules)
    max_replicas: int | None = None
    """The operator's own ceiling, `--max-replicas`; None for none."""


@dataclass(frozen=True)
class Problem:
    """Why the operator would not serve a document as it is written."""

    file: str
    document: str
    """Where in the file, as in `document 2: items[0]`; empty for the only object."""
    policy: str
    field: str
    """Path of the field; empty where it is about the file."""
    message: str
    """One line with field, value and limit."""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.document, self.message) if part)


@dataclass(frozen=True)
class Checked:
    """What files hold."""

    policies: list[PolicyResource] = field(default_factory=list)
    """The valid ones, and those with problems between their fields."""
    problems: list[Problem] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Objects of other kinds, by place and name."""
    places: dict[tuple[str, str], str] = field(default_factory=dict)
    """Where each policy stands, by namespace and name."""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "valid": not self.problems,
            "policies": [_summary(policy) for policy in self.policies],
            "problems": [asdict(problem) for problem in self.problems],
            "skipped": self.skipped,
        }


def check(paths: Iterable[Path], recursive: bool, rules: Rules) -> Checked:
    """Read files and folders and judge every policy in them; nothing is raised for what they hold."""
    checked, paths = Checked(), list(paths)
    for document in _documents(paths, recursive, checked.problems):
        if document.is_foreign:
            checked.skipped.append(f"{document.place}: {document.label}")
        else:
            _judge(document, rules, checked)
    if not checked.policies and not checked.problems:
        names = ", ".join("stdin" if path == STDIN else str(path) for path in paths)
        checked.problems.append(Problem(names, "", "", "", f"holds no {KIND}"))
    return checked


def between_fields(policy: PolicyResource, rules: Rules) -> Iterator[str]:
    """What is wrong with a policy whose fields are valid one by one."""
    spec = policy.spec
    if policy.queries.demand is None:
        yield "spec.demand is required to hold query or preset: the operator has nothing to ask"
    yield from rules.queries.problems(policy)
    if spec.capacity_per_replica is not None and spec.target_per_replica > spec.capacity_per_replica:
        yield (
            f"spec.demand.targetPerReplica: {spec.target_per_replica:g} is above capacityPerReplica "
            f"{spec.capacity_per_replica:g}: at the target every replica would be overloaded"
        )
    if rules.max_replicas is not None and spec.max_replicas > rules.max_replicas:
        yield f"spec.maxReplicas: {spec.max_replicas} is above {rules.max_replicas}, the operator's --max-replicas"


def served_between(spec: ScalingSpec) -> tuple[float, float]:
    """The load that minReplicas and that maxReplicas serve, in the query's unit."""
    return spec.min_replicas * spec.stated_capacity, spec.max_replicas * spec.stated_capacity


def _documents(paths: Iterable[Path], recursive: bool, problems: list[Problem]) -> Iterator[Document]:
    for path in paths:
        try:
            files = files_of(path, recursive)
        except InputError as error:
            problems.append(_of_file(str(path), error))
            continue
        for file in files:
            try:
                yield from documents_of(file)
            except InputError as error:
                problems.append(_of_file(str(file), error))


def _of_file(name: str, error: InputError) -> Problem:
    file, _, message = str(error).partition(": ")
    return Problem(file or name, "", "", "", message)


def _judge(document: Document, rules: Rules, checked: Checked) -> None:
    try:
        if not isinstance(document.value, dict):
            raise InputError(f"{KIND}: {type(document.value).__name__} is not an object")
        policy = parse_policy(document.value)
    except InputError as error:
        checked.problems.extend(_problem(document, document.label, line) for line in problems_of(error))
        return
    lines = list(between_fields(policy, rules))
    if (policy.namespace, policy.name) in checked.places:
        first = checked.places[policy.namespace, policy.name]
        lines.append(f"metadata.name: {policy.namespace}/{policy.name} is given twice (first in {first})")
    name = f"{KIND} {policy.namespace}/{policy.name}"
    checked.problems.extend(_problem(document, name, line) for line in lines)
    checked.places.setdefault((policy.namespace, policy.name), document.place)
    checked.policies.append(policy)


def _problem(document: Document, policy: str, line: str) -> Problem:
    path = FIELD.match(line)
    return Problem(document.file, document.position, policy, path[0] if path else "", line)


def _summary(policy: PolicyResource) -> dict[str, Any]:
    low, high = served_between(policy.spec)
    return {
        "namespace": policy.namespace,
        "name": policy.name,
        "target": f"{policy.target.kind} {policy.target.name}",
        "min_replicas": policy.spec.min_replicas,
        "max_replicas": policy.spec.max_replicas,
        "load_at_min_replicas": low,
        "load_at_max_replicas": high,
        "demand_query": policy.queries.demand,
        "bad_ratio_query": policy.queries.bad_ratio,
        "healthy_queries": list(policy.queries.healthy),
    }

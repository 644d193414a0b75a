"""What an administrator lets queries be: their language, and the label by which each reads its own namespace alone.

A policy whose query does not keep the rules is not served, and its status says why.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from controller.crd.resource import PolicyResource, Queries
from controller.promql.grammar import refusal
from controller.promql.tenancy import enforced
from scaling.errors import InputError
from scaling.limits import shown


class QueryLanguage(StrEnum):
    """What the server understands; of MetricsQL only the structure is checked."""

    PROMQL = "promql"
    METRICSQL = "metricsql"


@dataclass(frozen=True)
class QueryRules:
    """The rules for the queries of all policies."""

    language: QueryLanguage = QueryLanguage.PROMQL
    namespace_label: str | None = None
    """The label of series that every selector must match with the policy's namespace; None for no such rule."""

    def applied(self, resource: PolicyResource) -> PolicyResource:
        """Return the policy with the queries that may be asked; InputError, which names the field, if one may not."""
        checked = {path: self._checked(path, query, resource.namespace) for path, query in _paths(resource.queries)}
        healthy = tuple(checked[_healthy(place)] for place in range(len(resource.queries.healthy)))
        demand, bad_ratio = (checked.get(path) for path in (resource.queries.demand_path, resource.queries.bad_path))
        return replace(resource, queries=replace(resource.queries, demand=demand, bad_ratio=bad_ratio, healthy=healthy))

    def problems(self, resource: PolicyResource) -> Iterator[str]:
        """Why queries of the policy may not be asked, a line for each."""
        for path, query in _paths(resource.queries):
            try:
                self._checked(path, query, resource.namespace)
            except InputError as error:
                yield str(error)

    def _checked(self, path: str, query: str, namespace: str) -> str:
        try:
            if self.namespace_label is not None:
                return enforced(query, self.namespace_label, namespace)
        except InputError as error:
            raise InputError(f"{path}: {error} (--enforce-namespace-label)") from error
        why = refusal(query) if self.language is QueryLanguage.PROMQL else None
        if why is not None:
            raise InputError(f"{path}: {why}")
        return query


def language(word: str) -> QueryLanguage:
    """Read the word of an option; raises InputError for one that there is not."""
    if word not in list(QueryLanguage):
        raise InputError(f"--query-language: {shown(word)} is not {' or '.join(QueryLanguage)}")
    return QueryLanguage(word)


def _paths(queries: Queries) -> Iterator[tuple[str, str]]:
    """Each query with the field that it is from."""
    if queries.demand is not None:
        yield queries.demand_path, queries.demand
    if queries.bad_ratio is not None:
        yield queries.bad_path, queries.bad_ratio
    for place, query in enumerate(queries.healthy):
        yield _healthy(place), query


def _healthy(place: int) -> str:
    return f"spec.guardrails.requireHealthy[{place}].query"

"""A ScalingPolicy resource as values: the only place that translates between the resource's spelling and ours.

Owns the reading of bodies and files. The resource's fields are in `tables.py`, how a table of them is read in
`fields.py`; defaults and limits are in `scaling.spec`. A field that nothing acts on in this release is refused, never
skipped in silence.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from controller.crd.config_map import ConfigMapRef
from controller.crd.documents import Document, documents_of, files_of
from controller.crd.fields import an_object, read_fields
from controller.crd.freeze_window import FreezeWindow
from controller.crd.manifest import MESSAGE_CHARACTERS
from controller.crd.tables import KIND, RESOURCE, ClusterGuardrails, TargetRef
from controller.promql.presets import Preset, Subject, bad_ratio_query, demand_query, hint
from controller.promql.structure import unreadable_together
from scaling.errors import CombinedInputError, InputError, problems_of
from scaling.limits import shown
from scaling.spec import ScalingSpec

PRESET_PATH = "spec.demand.preset"


@dataclass(frozen=True)
class Queries:
    """PromQL of the resource, as written or from its preset; the dry-run takes demand from its trace and asks none."""

    demand: str | None = None
    """Total load on the target; a cluster needs it."""

    bad_ratio: str | None = None
    """Share of bad requests, from which the capacity of a replica is fitted."""

    healthy: tuple[str, ...] = ()
    """What must answer a number other than 0 before a replica is removed."""

    demand_path: str = "spec.demand.query"
    """The field that the demand's query is from."""

    bad_path: str = "spec.service.badRatioQuery"
    """The field that the query for bad requests is from."""

    hint: str = ""
    """What to look at when the demand's query finds no series; empty for a query that the user wrote."""


@dataclass(frozen=True)
class PolicyResource:
    """One ScalingPolicy, read and found valid."""

    name: str
    namespace: str
    target: TargetRef
    queries: Queries
    spec: ScalingSpec

    config_map: ConfigMapRef | None = None
    """Where the trained policy is that is asked in place of `spec.policy_name`."""

    windows: tuple[FreezeWindow, ...] = ()
    """When less may change than the spec says; `controller.windows` tells which are open."""

    @property
    def policy_ref(self) -> str:
        """The policy that it names, in one word."""
        return self.spec.policy_name if self.config_map is None else f"configmap/{self.config_map.name}"


def parse_policy(body: Mapping[str, Any]) -> PolicyResource:
    """Read a resource body; raises InputError with one line that names the field's path, the value and the limit."""
    found = read_fields(body, "", RESOURCE)
    wishes = found["spec"]
    guardrails: ClusterGuardrails = wishes.pop("guardrails", ClusterGuardrails())
    preset: Preset | None = wishes.pop("demand_preset", None)
    config_map: ConfigMapRef | None = wishes.pop("config_map", None)
    policy = PolicyResource(
        name=found["name"],
        namespace=found.get("namespace", "default"),
        target=wishes.pop("target"),
        queries=Queries(wishes.pop("demand_query", None), wishes.pop("bad_ratio_query", None), guardrails.healthy),
        spec=ScalingSpec(**wishes, guardrails=guardrails.of_a_decision()),
        config_map=config_map,
        windows=guardrails.windows,
    )
    _check_policy_ref(policy)
    _check_windows(policy)
    _check_queries(policy.queries)
    return policy if preset is None else _with_queries_of(preset, policy)


@dataclass(frozen=True)
class Loaded:
    """What files hold."""

    policies: list[PolicyResource]
    skipped: list[str]
    """Objects of other kinds, as in `shop.yaml: document 1: Service shop/web`."""


def load_files(paths: Iterable[Path], recursive: bool = False) -> Loaded:
    """Read the ScalingPolicies of files and folders; `-` is stdin, `recursive` goes into folders below.

    Raises InputError with one line that starts with the file's name: for what cannot be read, a policy that is not
    valid or given twice, and if there is no policy at all.
    """
    paths = list(paths)
    documents = [document for path in paths for file in files_of(path, recursive) for document in documents_of(file)]
    ours = [document for document in documents if not document.is_foreign]
    skipped = [f"{document.place}: {document.label}" for document in documents if document.is_foreign]
    if not ours:
        named = ", ".join(_shown_path(path) for path in paths)
        only = f"; only {', '.join(skipped)}"[:MESSAGE_CHARACTERS] if skipped else ""
        raise InputError(f"{named}: holds no {KIND}{only}")
    policies = [parse_document(document) for document in ours]
    _refuse_duplicates(ours, policies)
    return Loaded(policies, skipped)


def load_policies(path: Path) -> list[PolicyResource]:
    """Read every ScalingPolicy of a file; raises as `load_files` does."""
    return load_files([path]).policies


def parse_document(document: Document) -> PolicyResource:
    """Read a document; raises InputError whose every line starts with the document's place."""
    try:
        return parse_policy(an_object(document.value, ""))
    except InputError as error:
        raise CombinedInputError([f"{document.place}: {problem}" for problem in problems_of(error)]) from error


def _with_queries_of(preset: Preset, policy: PolicyResource) -> PolicyResource:
    """The policy with what the preset asks; a query for the bad share that the user gave stays."""
    if policy.queries.demand is not None:
        raise InputError("spec.demand: give one of query, preset, not query and preset")
    api_group = policy.target.api_version.rpartition("/")[0]
    subject = Subject(policy.namespace, api_group, policy.target.kind, policy.target.name)
    queries = replace(policy.queries, demand=demand_query(preset, subject), demand_path=PRESET_PATH, hint=hint(preset))
    if queries.bad_ratio is None:
        bad_ratio = bad_ratio_query(preset, subject, policy.spec.objective_s)
        queries = replace(queries, bad_ratio=bad_ratio, bad_path=f"{PRESET_PATH} (bad requests)")
    return replace(policy, queries=queries)


def _check_policy_ref(policy: PolicyResource) -> None:
    if policy.config_map is not None and policy.spec.policy_name != "auto":
        name = shown(policy.spec.policy_name)
        raise InputError(f"spec.policyRef: give one of name, configMap, not {name} and {policy.config_map.name}")


def _check_windows(policy: PolicyResource) -> None:
    """The bounds of a window are within the policy's own."""
    low, high = policy.spec.min_replicas, policy.spec.max_replicas
    for index, window in enumerate(policy.windows):
        for name, replicas in (("minReplicas", window.min_replicas), ("maxReplicas", window.max_replicas)):
            if replicas is not None and not low <= replicas <= high:
                place = f"spec.guardrails.freezeWindows[{index}].{name}"
                raise InputError(f"{place}: {replicas} is outside minReplicas..maxReplicas {low}..{high}")


def _check_queries(queries: Queries) -> None:
    """All of a policy's queries are read one after the other, while others wait."""
    given = [query for query in (queries.demand, queries.bad_ratio, *queries.healthy) if query is not None]
    why = unreadable_together(given)
    if why is not None:
        raise InputError(f"spec: the {len(given)} queries have together {why}")


def _refuse_duplicates(documents: Sequence[Document], policies: Sequence[PolicyResource]) -> None:
    places: dict[tuple[str, str], str] = {}
    for document, policy in zip(documents, policies, strict=True):
        name = (policy.namespace, policy.name)
        if name in places:
            first = f" (first as {places[name]})" if places[name] != document.file else ""
            raise InputError(f"{document.place}: {KIND} {'/'.join(name)} is given twice{first}")
        places[name] = document.place


def _shown_path(path: Path) -> str:
    return str(path) if str(path).isprintable() else shown(str(path))

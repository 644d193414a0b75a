"""Which objects -f names: lists, other kinds, folders and stdin, as kubectl has them."""

import io
import json
from pathlib import Path

import pytest
import yaml

from controller.crd.documents import documents_of, files_of
from controller.crd.resource import load_files
from scaling.errors import InputError, problems_of

POLICY = {
    "apiVersion": "forescale.dev/v1alpha1",
    "kind": "ScalingPolicy",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "maxReplicas": 20,
        "demand": {"query": "sum(rate(http_requests_total[1m]))", "targetPerReplica": "70"},
    },
}
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"}}


def named(name: str) -> dict[str, object]:
    return {**POLICY, "metadata": {"name": name, "namespace": "shop"}}


def a_list(*items: object, kind: str = "List", version: str = "v1") -> dict[str, object]:
    return {"apiVersion": version, "kind": kind, "metadata": {"resourceVersion": ""}, "items": list(items)}


@pytest.fixture
def a_file(tmp_path):
    def write(*documents: object, name: str = "shop.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(yaml.safe_dump_all(documents) if path.suffix != ".json" else json.dumps(documents[0]))
        return Path(path)

    return write


def names(*paths: Path, recursive: bool = False) -> list[str]:
    return [policy.name for policy in load_files(paths, recursive).policies]


def test_lists_of_any_kind_are_opened_and_other_kinds_skipped_by_name(a_file):
    bare = {key: value for key, value in named("d").items() if key not in ("apiVersion", "kind")}
    path = a_file(
        SERVICE,
        a_list(named("a"), SERVICE, a_list(named("b"))),
        None,
        a_list(named("c"), bare, kind="ScalingPolicyList", version="forescale.dev/v1alpha1"),
    )
    loaded = load_files([path])
    assert [policy.name for policy in loaded.policies] == ["a", "b", "c", "d"]
    assert loaded.skipped == [
        f"{path}: document 1: Service shop/web",
        f"{path}: document 2: items[1]: Service shop/web",
    ]


def test_what_kubectl_get_prints_is_read(a_file):
    """Status, managed fields and the rest that the API server adds."""
    stored = {
        **POLICY,
        "metadata": {
            **POLICY["metadata"],  # type: ignore[dict-item]
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
            "creationTimestamp": "2026-11-01T00:00:00Z",
            "generation": 3,
            "managedFields": [
                {"manager": "kubectl", "fieldsV1": {"f:spec": {".": {}}}, "time": "2026-11-01T00:00:00Z"}
            ],
            "resourceVersion": "1",
            "uid": "8a4f0e52-0000-4000-8000-000000000000",
        },
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "currentReplicas": 3},
    }
    assert names(a_file(a_list(stored))) == ["web"]


@pytest.mark.parametrize(
    ("version", "kind", "message"),
    [
        ("forescale.dev/v1alpha1", "ScalingPolcy", "kind: "),
        ("forescale.dev/v1", "ScalingPolicy", "apiVersion: "),
        (None, "ScalingPolicy", "apiVersion is required"),
    ],
)
def test_what_is_nearly_a_policy_is_refused_and_not_skipped(a_file, version, kind, message):
    with pytest.raises(InputError, match=message):
        load_files([a_file({**POLICY, "apiVersion": version, "kind": kind}, POLICY)])


def test_every_problem_of_a_document_is_known_with_its_place(a_file):
    broken = {**POLICY, "spec": {**POLICY["spec"], "mode": "Full", "minReplica": 1}}  # type: ignore[dict-item]
    path = a_file(SERVICE, a_list(POLICY, broken))
    with pytest.raises(InputError) as caught:
        load_files([path])
    place = f"{path}: document 2: items[1]: spec."
    assert [problem.startswith(place) for problem in problems_of(caught.value)] == [True, True]
    assert "minReplica: unknown field; did you mean minReplicas?" in problems_of(caught.value)[0]
    assert 'mode: "Full"' in problems_of(caught.value)[1]


def test_a_folder_is_read_in_order_and_below_it_on_demand(a_file, tmp_path):
    a_file(named("b"), name="b.yml")
    a_file(named("a"), name="a.yaml")
    a_file(named("c"), name="c.json")
    a_file(named("no"), name="notes.txt")
    a_file(named("z"), name="below/z.yaml")
    assert names(tmp_path) == ["a", "b", "c"]
    assert names(tmp_path, recursive=True) == ["a", "b", "z", "c"]
    assert [path.name for path in files_of(tmp_path / "notes.txt")] == ["notes.txt"]


def test_a_folder_without_manifests_is_refused_by_name(tmp_path, a_file):
    a_file(named("z"), name="below/z.yaml")
    with pytest.raises(InputError, match=r"no \.json, \.yaml, \.yml in this folder \(-R looks below it\)"):
        files_of(tmp_path)


def test_a_policy_in_two_files_is_refused_with_both(a_file):
    first, second = a_file(POLICY, name="a.yaml"), a_file(POLICY, name="b.yaml")
    with pytest.raises(InputError, match=r"b\.yaml: ScalingPolicy shop/web is given twice \(first as .*a\.yaml\)"):
        load_files([first, second])


def test_stdin_is_named_in_messages(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"apiVersion: [\n")))
    with pytest.raises(InputError, match="stdin: line 2: not usable YAML"):
        documents_of(Path("-"))


def test_lists_within_lists_are_bounded(a_file):
    deep = "{" + '"kind":"List","items":[{' * 200 + "}]" * 200 + "}"
    path = a_file(POLICY)
    path.write_text(deep)
    with pytest.raises(InputError, match="more than 64 levels"):
        documents_of(path)


def test_a_word_that_yaml_reads_as_true_or_false_is_explained(a_file):
    path = a_file(POLICY)
    path.write_text(path.read_text().replace("namespace: shop", "namespace: no"))
    with pytest.raises(InputError, match=r"false is not .*yes, no, on and off as true and false"):
        load_files([path])

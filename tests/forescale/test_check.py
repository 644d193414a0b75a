"""`forescale check` and `forescale crd`: what they say of files, and how they end."""

import csv
import io
import json
from pathlib import Path

import pytest
import yaml

from controller.crd.schema import manifest
from forescale import cli

ROOT = Path(__file__).parents[2]
GOOD = """
apiVersion: forescale.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: web, namespace: shop}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 60
  demand:
    query: sum(rate(x[1m]))
    targetPerReplica: "70"
    capacityPerReplica: "100"
"""
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n"


@pytest.fixture
def a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(content: str, name: str = "web.yaml") -> str:
        (tmp_path / name).write_text(content)
        return name

    return write


def checked(capsys, *options: str) -> tuple[int, str, str]:
    code = cli.run(["check", *options])
    return (code, *capsys.readouterr())


@pytest.mark.parametrize("path", ["deploy/examples", "deploy/examples/web.yaml"])
def test_the_shipped_examples_have_no_problems(capsys, path):
    code, out, err = checked(capsys, "-f", str(ROOT / path))
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].endswith("no problems")


def test_each_problem_is_a_line_with_file_document_field_value_and_limit(a_file, capsys):
    broken = GOOD.replace("maxReplicas: 60", "maxReplicas: 6000000").replace("minReplicas: 2", "minReplicas: -1")
    typed = GOOD.replace("maxReplicas: 60", "maxReplica: 60\n  mode: Full")
    code, out, err = checked(capsys, "-f", a_file("---\n".join([SERVICE, broken, typed])))
    assert code == 2
    assert err == "skipped web.yaml: document 1: Service shop/web\n"
    assert out.splitlines() == [
        "web.yaml: document 2: spec.minReplicas: -1 is outside 1..150000",
        "web.yaml: document 2: spec.maxReplicas: 6000000 is outside 1..150000",
        "web.yaml: document 3: spec.maxReplica: unknown field; did you mean maxReplicas?",
        "web.yaml: document 3: spec.maxReplicas is required, but missing",
        'web.yaml: document 3: spec.mode: "Full" is not Shadow or UpOnly or Auto',
        "0 policies, 5 problems",
    ]


@pytest.mark.parametrize(
    ("change", "options", "field", "message"),
    [
        (("rate(x[1m])", "rate(x[1m]"), [], "spec.demand.query", ""),
        (("rate(x[1m])", "raet(x[1m])"), [], "spec.demand.query", "is not valid PromQL"),
        (('"70"', '"170"'), [], "spec.demand.targetPerReplica", "170 is above capacityPerReplica 100"),
        (("query: sum(rate(x[1m]))\n    ", ""), [], "spec.demand", "required"),
        (("maxReplicas: 60", "maxReplicas: 61"), ["--max-replicas", "60"], "spec.maxReplicas", "61 is above 60"),
    ],
)  # fmt: skip
def test_what_the_operator_would_refuse_or_serve_badly_is_a_problem(a_file, capsys, change, options, field, message):
    code, out, _ = checked(capsys, "-f", a_file(GOOD.replace(*change)), *options)
    assert code == 2
    assert out.startswith(f"web.yaml: {field}")
    assert message in out


def test_metricsql_is_taken_where_it_is_asked_for(a_file, capsys):
    file = a_file(GOOD.replace("sum(rate(x[1m]))", "sum(rate(x[1m])) default 0"))
    assert checked(capsys, "-f", file)[0] == 2
    assert checked(capsys, "-f", file, "--query-language", "metricsql")[0] == 0
    assert checked(capsys, "-f", file, "--query-language", "sql")[2].startswith("forescale: error: --query-language")


def test_a_file_that_cannot_be_read_is_a_problem_beside_the_others(a_file, capsys):
    a_file("a: [\n", "a.yaml")
    a_file(GOOD.replace("60", "x"), "b.yaml")
    code, out, _ = checked(capsys, "-f", ".", "-f", "none.yaml")
    assert code == 2
    assert [line.partition(":")[0] for line in out.splitlines()[:-1]] == ["a.yaml", "b.yaml", "none.yaml"]


def test_a_policy_in_two_places_is_a_problem(a_file, capsys):
    files = ["-f", a_file(GOOD), "-f", a_file(GOOD, "again.yaml")]
    assert checked(capsys, *files)[1].startswith(
        "again.yaml: metadata.name: shop/web is given twice (first in web.yaml)"
    )


def test_files_without_a_policy_are_a_problem(a_file, capsys):
    code, out, _ = checked(capsys, "-f", a_file(SERVICE))
    assert (code, out.splitlines()[0]) == (2, "web.yaml: holds no ScalingPolicy")
    assert checked(capsys)[0] == 2


def test_verbose_shows_the_queries_of_a_preset_and_what_is_served(a_file, capsys):
    preset = GOOD.replace("query: sum(rate(x[1m]))", "preset: {kind: HttpMetrics}")
    code, out, _ = checked(capsys, "-f", a_file(preset), "-v")
    assert code == 0
    assert "2 to 60 replicas serve a load of 200 to 6,000" in out
    assert 'demand: sum(rate(http_requests_total{namespace="shop",service="web"}[1m]))' in out


@pytest.mark.parametrize("form", ["json", "yaml", "csv"])
def test_documents_for_programs_are_all_that_stands_on_stdout(a_file, capsys, form):
    code, out, err = checked(capsys, "-f", a_file(GOOD.replace("60", "0") + "---\n" + SERVICE), "-o", form)
    assert (code, err) == (2, "")
    if form == "csv":
        (problem,) = csv.DictReader(io.StringIO(out))
    else:
        found = json.loads(out) if form == "json" else yaml.safe_load(out)
        assert (found["valid"], found["skipped"]) == (False, ["web.yaml: document 2: Service shop/web"])
        (problem,) = found["problems"]
    assert problem["document"] == "document 1"
    assert problem["field"] == "spec.maxReplicas"
    code, out, err = checked(capsys, "-f", a_file(GOOD), "-o", form, "-q")
    assert (code, err) == (0, "")


def test_the_definition_is_printed_from_the_package(capsys):
    assert cli.run(["crd"]) == 0
    assert capsys.readouterr().out == manifest()

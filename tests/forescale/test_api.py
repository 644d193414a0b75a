"""`import forescale`: cheap, and a dry-run as a function that is the command's, prints nothing and writes nothing."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forescale
from forescale import cli
from tests.forescale.commands import ROOT

DOCS = ROOT / "docs" / "python-api.md"
BODY: dict[str, Any] = {
    "apiVersion": "forescale.dev/v1alpha1",
    "kind": "ScalingPolicy",
    "metadata": {"name": "checkout"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
        "minReplicas": 2,
        "maxReplicas": 40,
        "demand": {"query": "sum(rate(http_requests_total[1m]))", "targetPerReplica": "50"},
    },
}
VALUES = 400 + 200 * np.sin(np.arange(120) / 20)


def fresh(code: str) -> str:
    """What a new interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout


# the import


def test_the_import_loads_nothing_but_the_standard_library():
    loaded = fresh("import sys; import forescale; print(sorted({name.partition('.')[0] for name in sys.modules}))")
    foreign = {name for name in json.loads(loaded.replace("'", '"')) if name not in sys.stdlib_module_names}
    assert {name for name in foreign if not name.startswith(("_", "sitecustom"))} <= {"forescale"}


def test_every_name_that_is_offered_is_there_and_documented():
    for name in forescale.__all__:
        assert getattr(forescale, name) is not None, name
        assert name in dir(forescale)
    with pytest.raises(AttributeError, match="module 'forescale' has no attribute 'dryrun'"):
        _ = forescale.dryrun


def test_the_command_line_leaves_the_function_in_its_place():
    assert cli.run(["dry-run", "--help"]) == 0
    assert callable(forescale.dry_run)


def test_the_version_is_that_of_the_package():
    project = (ROOT / "pyproject.toml").read_text()
    assert f'\nversion = "{forescale.__version__}"\n' in project


# a dry-run


def test_the_function_gives_what_the_command_prints(capsys):
    assert cli.run(["dry-run", "--generate", "on-off", "--hours", "1", "--seed", "3", "--no-report", "-o", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    ours = json.loads(forescale.dry_run(generate="on-off", hours=1, seed=3).to_json())
    assert printed.pop("command").startswith("forescale dry-run")
    assert ours.pop("command") == ""
    assert ours == printed


def test_nothing_is_printed_and_no_file_is_written(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    forescale.dry_run(BODY, trace=VALUES * 1e6)  # the command would warn of its unit
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_the_same_arguments_give_the_same_result_whatever_else_draws_chance():
    first = forescale.dry_run(BODY, trace=VALUES, seed=5)
    np.random.seed(1)
    assert forescale.dry_run(BODY, trace=VALUES, seed=5).to_json() == first.to_json()
    assert forescale.dry_run(BODY, trace=VALUES, seed=6).to_json() != first.to_json()


def test_it_runs_within_an_event_loop_as_in_a_notebook():
    async def cell():
        return forescale.dry_run(BODY, trace=VALUES)

    assert asyncio.run(cell()).to_json() == forescale.dry_run(BODY, trace=VALUES).to_json()


def test_a_policy_comes_as_a_file_a_mapping_or_an_object(tmp_path):
    path = tmp_path / "checkout.yaml"
    path.write_text(json.dumps(BODY))
    of_mapping = forescale.dry_run(BODY, trace=VALUES).to_json()
    assert forescale.dry_run(path, trace=VALUES).to_json() == of_mapping
    assert forescale.dry_run(str(path), trace=VALUES).to_json() == of_mapping
    assert forescale.dry_run(forescale.read_policy(BODY), trace=VALUES).to_json() == of_mapping


def test_a_load_comes_as_values_points_rows_dates_or_a_file(tmp_path):
    times_s = 15.0 * np.arange(len(VALUES))
    path = tmp_path / "array.csv"
    path.write_text("t_seconds,value\n" + "".join(f"{t},{float(v)!r}\n" for t, v in zip(times_s, VALUES, strict=True)))
    runs = [
        forescale.dry_run(BODY, trace=trace).series["forescale_replicas"].tolist()
        for trace in (
            VALUES,
            VALUES.tolist(),
            (times_s, VALUES),
            (times_s + 1.7e9, VALUES),
            np.column_stack((times_s, VALUES)),
            (np.datetime64("2026-11-01T00:00") + times_s.astype("timedelta64[s]"), VALUES),
            path,
        )
    ]
    assert all(run == runs[0] for run in runs)
    assert len(runs[0]) == len(VALUES)


def test_series_have_one_entry_a_step_a_unit_each_and_cannot_be_changed():
    result = forescale.dry_run(BODY, trace=VALUES)
    assert set(result.series) == set(result.units)
    assert {series.shape for series in result.series.values()} == {(len(VALUES),)}
    assert result.series["demand"].tolist() == VALUES.tolist()
    assert result.series["time_s"].tolist() == (15.0 * np.arange(len(VALUES))).tolist()
    assert result.units["demand"] == "requests/s"
    assert result.units["hpa_latency_p95_s"] == "s"
    with pytest.raises(ValueError, match="read-only"):
        result.series["demand"][0] = 1.0


def test_summary_and_comparisons_follow_from_the_series():
    result = forescale.dry_run(BODY, trace=VALUES)
    for name in ("forescale", "hpa", "clairvoyant"):
        hours = result.series[f"{name}_replicas"].sum() * 15 / 3600
        bad = result.series[f"{name}_bad_requests"].sum() / result.series[f"{name}_requests"].sum()
        assert result.summary[name]["replica_hours"] == pytest.approx(hours)
        assert result.summary[name]["bad_ratio"] == pytest.approx(bad)
    ours, hpa = result.summary["forescale"], result.summary["hpa"]
    assert ours["j30"] == pytest.approx(ours["cost"] + 30 * ours["bad_ratio"])
    assert result.comparisons["hpa"]["j30"] == pytest.approx(ours["j30"] / hpa["j30"])
    assert set(result.comparisons) == {"hpa", "clairvoyant"}
    assert "replica-hours against the HPA's" in repr(result)


def test_decisions_have_their_reasons():
    result = forescale.dry_run(BODY, trace=VALUES)
    assert len(result.decisions) == len(VALUES) - 1
    assert all(decision.reasons for decision in result.decisions)


def test_another_policy_decides_where_one_is_given():
    rule = forescale.dry_run(BODY, trace=VALUES, policy="hpa")
    same = forescale.dry_run(BODY, trace=VALUES, policy=forescale.load_policy("hpa"))
    assert rule.to_json() == same.to_json()
    folder = Path(forescale.__file__).parents[1] / "controller" / "policies"
    network = forescale.dry_run(BODY, trace=VALUES, policy=folder)
    assert {decision.policy_name for decision in rule.decisions} == {"hpa"}
    assert {decision.policy_name for decision in network.decisions} == {"default"}
    assert json.loads(network.to_json())["policy"]["sha256"] == forescale.load_policy(folder).sha256


def test_a_report_is_written_where_it_is_asked_for(tmp_path):
    page = forescale.dry_run(BODY, trace=VALUES).report(tmp_path / "report")
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"report.html", "report.png"}
    assert "checkout" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"trace": [1.0]}, r"^trace: 1 values, must be 2\.\.2000000$"),
        ({"trace": [1.0, -2.0]}, r"^trace: value 1 is -2\.0, must be within 0\.\.1e\+12$"),
        ({"trace": [1.0, np.nan, 3.0]}, r"^trace: value 1 is nan, must be within 0\.\.1e\+12$"),
        ({"trace": ["a", "b"]}, r"^trace: values are not numbers"),
        ({"trace": np.ones((3, 3))}, r"^trace: values have 2 dimensions, must have 1$"),
        ({"trace": ([0, 15, 45], [1, 1, 1])}, r"^trace: time 2 is 30 s after the one before, the usual step is"),
        ({"trace": ([0, 15, 0], [1, 1, 1])}, r"^trace: time 2 is -15 s after the one before"),
        ({"trace": ([0, 15], [1, 1, 1])}, r"^trace: 2 times and 3 values, must be as many$"),
        ({"trace": ([0, 1e9], [1, 1])}, r"^trace: values are 1e\+09 s apart, must be 1\.\.86400 s$"),
        ({"trace": "nowhere.csv"}, r"^nowhere\.csv: cannot be read"),
        ({"trace": VALUES, "generate": "day"}, r"^trace and generate 'day': give one of them$"),
        ({"generate": "tide"}, r"'tide' is not one of day"),
        ({"seed": -1}, r"^seed: -1 is not a whole number from 0 on$"),
        ({"seed": 1.5}, r"^seed: 1\.5 is not a whole number from 0 on$"),
        ({"policy": "nowhere"}, r"^policy folder nowhere: cannot be read"),
        ({"resource": 7}, r"^resource: int is not a file, a mapping or a ScalingPolicy$"),
        ({"resource": {**BODY, "spec": {**BODY["spec"], "maxReplicas": 0}}}, r"spec\.maxReplicas: 0"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(arguments, line):
    with pytest.raises(forescale.InputError, match=line) as refused:
        forescale.dry_run(**arguments)
    assert "\n" not in str(refused.value)


def test_a_file_with_two_policies_is_refused_with_their_names(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(f"{json.dumps(BODY)}\n---\n{json.dumps({**BODY, 'metadata': {'name': 'cart'}})}\n")
    with pytest.raises(forescale.InputError, match=r"holds 2 ScalingPolicies \(checkout, cart\), expected 1"):
        forescale.dry_run(path)


# the documentation


def test_the_documented_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    examples = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 4
    for example in examples:
        exec(example, names)
    assert names["decision"].final_replicas > 10  # type: ignore[attr-defined]
    assert names["result"].resource.name == "checkout"  # type: ignore[attr-defined]
    assert "replica-hours" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []

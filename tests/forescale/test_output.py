"""One clean document on stdout, in each form."""

import csv
import io
import json

import pytest
import yaml

from forescale import cli
from forescale.output import OutputFormat, rendered
from tests.forescale.commands import forescale, run_python

NAMES = ["forescale", "hpa", "clairvoyant"]
DRY_RUN = ("dry-run", "--hours", "0.2", "--history-hours", "1", "--no-report")


def test_json_and_yaml_say_the_same():
    document = {"name": "no", "ratio": 0.5, "none": None, "text": "\N{EN DASH}", "entries": [1, 2]}
    assert json.loads(rendered(OutputFormat.JSON, document, [])) == document
    assert yaml.safe_load(rendered(OutputFormat.YAML, document, [])) == document


def test_csv_is_a_table_with_a_heading_and_empty_cells():
    rows: list[dict[str, object]] = [{"name": "a,b", "cost": None}, {"name": "c", "cost": 1.5}]
    assert rendered(OutputFormat.CSV, {}, rows) == 'name,cost\n"a,b",\nc,1.5\n'


def test_a_number_that_json_lacks_is_a_fault():
    with pytest.raises(ValueError, match="JSON"):
        rendered(OutputFormat.YAML, {"cost": float("nan")}, [])


@pytest.mark.parametrize("options", [("-o", "json"), ("--json",), ("-o", "yaml"), ("-o", "csv"), ("-o", "json", "-q")])
def test_stdout_of_a_dry_run_is_one_document(tmp_path, options):
    done = forescale(*DRY_RUN, *options, cwd=tmp_path)
    assert done.returncode == 0
    assert bool(done.stderr) == ("-q" not in options)
    if "csv" in options:
        assert [row["policy"] for row in csv.DictReader(io.StringIO(done.stdout))] == NAMES
    else:
        assert list(yaml.safe_load(done.stdout)["policies"]) == NAMES  # JSON is YAML


def test_a_quiet_dry_run_shows_its_result_alone(tmp_path):
    done = forescale(*DRY_RUN, "-q", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "forescale used" in done.stdout
    assert "00:00:00" not in done.stdout


def test_two_forms_at_once_are_refused(capsys):
    assert cli.run([*DRY_RUN, "--json", "-o", "csv"]) == 2
    assert "--json and -o csv: give one of them" in capsys.readouterr().err
    assert cli.run([*DRY_RUN, "-o", "xml"]) == 2
    assert "json" in capsys.readouterr().err


def test_evaluate_prints_one_document_too(tmp_path):
    (tmp_path / "steps.csv").write_text("t_seconds,value\n" + "".join(f"{15 * k},{50 + k % 9}\n" for k in range(40)))
    env = {"FORESCALE_PLAIN": "1"}
    command = ["-m", "forescale", "evaluate", "--traces", str(tmp_path)]
    for form, count in (
        ("json", lambda text: len(json.loads(text)["rows"])),
        ("csv", lambda text: text.count("\n") - 1),
    ):
        done = run_python([*command, "-o", form], cwd=tmp_path, env=env)
        assert done.returncode == 0
        assert count(done.stdout) > 5

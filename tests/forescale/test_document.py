"""The dry-run's document: every field is documented, has its unit's size, and agrees with the others."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forescale import cli
from forescale.failures import version

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "dry-run.md").read_text()
PER_POLICY = re.compile(r"^((?:series\.)?policies)\.(?:forescale|hpa|clairvoyant)\.")


def paths(value: Any, path: str = "") -> Iterator[str]:
    """Every field's path, as the page writes it."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inner in value:
            yield from paths(inner, f"{path}[]")
    else:
        yield PER_POLICY.sub(r"\1.*.", path)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A real run of half an hour."""
    out = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(out)
        printed = _printed(["dry-run", "--hours", "0.5", "--seed", "3", "--no-report", "-o", "json"], out / "run.json")
    found: dict[str, Any] = json.loads(printed)
    return found


def _printed(arguments: list[str], path: Path) -> str:
    from contextlib import redirect_stdout

    with path.open("w") as file, redirect_stdout(file):
        assert cli.run(arguments) == 0
    return path.read_text()


def test_the_page_has_every_field_of_a_document_and_no_other(document):
    documented = set(re.findall(r"^\| `([^`]+)` \|", PAGE, flags=re.MULTILINE))
    assert documented == set(paths(document)) | {"workloads"}


def test_a_document_says_what_it_was_made_with(document):
    assert document["schema_version"] == 1
    assert document["forescale_version"] == version()
    assert document["command"] == "forescale dry-run --hours 0.5 --seed 3 --no-report --output json"
    assert (document["seed"], document["workload"], document["policy"]["name"]) == (3, "shop/web", "default")
    manifest = json.loads((ROOT / "controller" / "policies" / "default.json").read_text())
    assert document["policy"]["sha256"] == manifest["sha256"]


def test_j_is_cost_and_bad_at_its_price(document):
    for figures in document["policies"].values():
        for name, price in (("j", document["price"]), ("j10", 10.0), ("j30", 30.0), ("j100", 100.0)):
            assert figures[name] == pytest.approx(figures["cost_ratio"] + price * figures["bad_ratio"])
    assert document["policies"]["clairvoyant"]["cost_ratio"] == pytest.approx(1.0)


def test_the_series_add_up_to_the_figures(document):
    step_s, demand = document["series"]["step_s"], document["series"]["demand"]
    assert len(demand) * step_s == 1800.0
    for name, series in document["series"]["policies"].items():
        figures = document["policies"][name]
        assert {len(values) for values in series.values()} == {len(demand)}
        assert sum(series["replicas"]) * step_s / 3600 == pytest.approx(figures["replica_hours"])
        bad = sum(series["bad_requests"]) / sum(series["requests"])
        assert bad == pytest.approx(figures["bad_ratio"], abs=1e-5)
        assert np.array(series["requests"]) / np.array(demand) == pytest.approx(
            series["requests"][0] / demand[0], rel=1e-4
        )


def test_decisions_hold_what_they_were_made_from(document):
    first = document["decisions"][0]
    assert first["band"][0] <= first["band"][1]
    assert first["demand"] > 0
    assert len(document["decisions"]) == 119
    assert all(decision["reasons"] for decision in document["decisions"])


def test_several_workloads_share_one_heading(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = str(ROOT / "deploy" / "examples" / "two-workloads.yaml")
    arguments = ["dry-run", "-f", file, "--hours", "0.1", "--no-report", "-o", "json"]
    document = json.loads(_printed(arguments, tmp_path / "run.json"))
    assert list(document["workloads"]) == ["shop/checkout", "shop/thumbnails"]
    first = document["workloads"]["shop/checkout"]
    assert {name: document[name] for name in first} == first
    assert "seed" not in first
    assert document["workloads"]["shop/thumbnails"]["target_per_replica"] == 1.5


def test_a_rule_has_no_network_to_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = (ROOT / "deploy" / "examples" / "web.yaml").read_text()
    (tmp_path / "web.yaml").write_text(example.replace("# policyRef: {name: auto}", "policyRef: {name: hpa}"))
    arguments = ["dry-run", "-f", "web.yaml", "--hours", "0.1", "--no-report", "-o", "json"]
    document = json.loads(_printed(arguments, tmp_path / "run.json"))
    assert document["policy"] == {"name": "hpa", "sha256": None}
    assert document["command"] == "forescale dry-run --file web.yaml --hours 0.1 --no-report --output json"

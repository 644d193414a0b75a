"""The summary's arithmetic, by hand."""

import hashlib
import io
import json
import math
from pathlib import Path

import pytest
from rich.console import Console

import controller
import forescale
from controller.policy_choice import policy_named
from forescale.comparison import document, judged_line, summarise, summary_tables, write_comparison
from scaling.policy import RULES
from sim.measures import Measures
from training.evaluate import EvaluateConfig, Row

DEFAULT_WEIGHTS = Path(controller.__file__).with_name("policies") / "default.safetensors"


def a_row(
    trace: str,
    policy: str,
    cost: float,
    bad_ratio: float,
    actions: int = 9,
    trace_class: str = "calm",
    strange: float = 0.0,
) -> Row:
    measures = Measures(3600.0 * cost, cost, bad_ratio, actions)
    return Row(trace, trace_class, "fine", policy, measures, strange, policy == "ours")


ROWS = [
    a_row("a", "hpa-70", 1.5, 0.0),
    a_row("a", "ours", 1.2, 0.01, strange=0.25),
    a_row("b", "hpa-70", 2.0, 0.10, trace_class="bursty"),
    a_row("b", "ours", 3.0, 0.0, actions=39, trace_class="bursty"),
]


def test_ratios_are_geometric_means_over_traces():
    ours = summarise(ROWS)["all"]["ours"]
    assert ours["j30_over_hpa_70"] == pytest.approx(math.sqrt((1.5 / 1.5) * (3.0 / 5.0)))
    assert ours["j100_over_hpa_70"] == pytest.approx(math.sqrt((2.2 / 1.5) * (3.0 / 12.0)))
    assert ours["actions_over_hpa_70"] == pytest.approx(math.sqrt(1.0 * 4.0))
    assert ours["cost_mean"] == pytest.approx(2.1)


def test_classes_are_summarised_apart():
    summary = summarise(ROWS)
    assert set(summary) == {"all", "calm", "bursty", "fine"}
    assert summary["calm"]["ours"]["traces"] == 1
    assert summary["bursty"]["ours"]["bad_ratio_mean"] == 0.0


def test_the_written_document_has_rows_with_all_measures(tmp_path):
    write_comparison(document(ROWS, policy_named("default"), EvaluateConfig()), tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["rows"][1] == {
        "trace": "a",
        "class": "calm",
        "resolution": "fine",
        "policy": "ours",
        "judged": True,
        "cost": 1.2,
        "bad_ratio": 0.01,
        "actions": 9,
        "j10": pytest.approx(1.3),
        "j30": pytest.approx(1.5),
        "j100": pytest.approx(2.2),
        "pod_seconds": pytest.approx(4320.0),
        "out_of_distribution_ratio": 0.25,
    }
    assert set(written["summary"]) == {"all", "calm", "bursty", "fine"}


def test_the_document_names_the_policy_and_how_it_was_judged():
    found = document(ROWS, policy_named("default"), EvaluateConfig(days=2.0, seed=7))
    assert found["policy"] == {
        "name": "default",
        "sha256": hashlib.sha256(DEFAULT_WEIGHTS.read_bytes()).hexdigest(),
        "out_of_distribution_ratio": pytest.approx(0.125),
    }
    assert found["config"] == {"mean_pods": 30.0, "startup_s": 45.0, "days": 2.0, "hindsight": False, "seed": 7}
    assert found["schema"] == 1
    assert found["version"] == forescale.__version__


def test_a_line_says_which_policy_was_judged():
    sha256 = hashlib.sha256(DEFAULT_WEIGHTS.read_bytes()).hexdigest()
    line = judged_line(policy_named("default"), ROWS)
    assert line == f"judged: default (sha256 {sha256}), out of distribution in 12.5 % of its decisions"
    assert judged_line(RULES["snvt"], ROWS).startswith("judged: snvt (a rule without weights), ")


def test_tables_show_the_best_policy_first():
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(summary_tables(ROWS)[0])
    lines = console.export_text().splitlines()
    assert [line.split()[0] for line in lines if line.split()[:1] in (["ours"], ["hpa-70"])] == ["ours", "hpa-70"]

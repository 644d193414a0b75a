"""The summary's arithmetic, by hand."""

import io
import json
import math

import pytest
from rich.console import Console

from forescale.comparison import summarise, summary_tables, write_comparison
from sim.measures import Measures
from training.evaluate import Row


def a_row(trace: str, policy: str, cost: float, bad_ratio: float, actions: int = 9, trace_class: str = "calm") -> Row:
    return Row(trace, trace_class, "fine", policy, Measures(3600.0 * cost, cost, bad_ratio, actions))


ROWS = [
    a_row("a", "hpa-70", 1.5, 0.0),
    a_row("a", "ours", 1.2, 0.01),
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
    write_comparison(ROWS, tmp_path / "out.json")
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["rows"][1] == {
        "trace": "a",
        "class": "calm",
        "resolution": "fine",
        "policy": "ours",
        "cost": 1.2,
        "bad_ratio": 0.01,
        "actions": 9,
        "j10": pytest.approx(1.3),
        "j30": pytest.approx(1.5),
        "j100": pytest.approx(2.2),
        "pod_seconds": pytest.approx(4320.0),
    }
    assert set(document["summary"]) == {"all", "calm", "bursty", "fine"}


def test_tables_show_the_best_policy_first():
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(summary_tables(ROWS)[0])
    lines = console.export_text().splitlines()
    assert [line.split()[0] for line in lines if line.split()[:1] in (["ours"], ["hpa-70"])] == ["ours", "hpa-70"]

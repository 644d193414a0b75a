"""What a comparison comes to: its summary, as tables and as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

import forescale
from forescale import words
from forescale.files import write_whole
from scaling.errors import InputError
from scaling.policy import Policy
from sim.measures import PRICES
from training.evaluate import EvaluateConfig, Row

SCHEMA = 1
"""Version of the JSON document's form."""

REFERENCE = "hpa-70"
"""Costs are also given over this one's: the target that most people set."""


def summary_tables(rows: Sequence[Row]) -> list[Table]:
    """One table for all traces and one a class; calm and bursty are never pooled without being shown apart."""
    return [_table(group, entries) for group, entries in summarise(rows).items()]


def write_comparison(document: Mapping[str, Any], path: Path) -> None:
    """Write the document, whole or not at all."""
    write_whole(path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())


def document(rows: Sequence[Row], policy: Policy, config: EvaluateConfig) -> dict[str, Any]:
    """The comparison as JSON values: which policy was judged and how, every row, and the summary."""
    return {
        "schema": SCHEMA,
        "version": forescale.__version__,
        "policy": {"name": policy.name, "sha256": policy.sha256, "out_of_distribution_ratio": _replaced(rows)},
        "config": asdict(config),
        "rows": [row.document() for row in rows],
        "summary": summarise(rows),
    }


SCORES = ("cost_mean", "bad_ratio_mean", *(f"j{price:g}_over_hpa_70" for price in PRICES))
"""Of the summary, what a policy's manifest keeps."""


def scores_in(path: Path, sha256: str) -> dict[str, float]:
    """Return the judged policy's scores from a document that `write_comparison` wrote.

    Raises InputError if the file is no such document, or judges other weights than those with this SHA-256.
    """
    try:
        found = json.loads(path.read_text())
        judged = found["policy"]["sha256"]
        name = min((row["policy"] for row in found["rows"] if row["judged"]), key=len)  # others: at another price
        figures = found["summary"]["all"][name]
        scores = {score: float(figures[score]) for score in SCORES}
    except OSError as error:
        raise InputError(f"--evaluation: {path}: cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"--evaluation: {path}: is not what forescale evaluate writes with --json") from error
    if judged != sha256:
        raise InputError(f"--evaluation: {path}: judges weights {str(judged)[:8]}…, the run has {sha256[:8]}…")
    return scores


def judged_line(policy: Policy, rows: Sequence[Row]) -> str:
    """Which policy was judged: its name, the sha256 of its weights, and how often SNVT stood in for it."""
    weights = f"sha256 {policy.sha256}" if policy.sha256 else "a rule without weights"
    share = words.percent(_replaced(rows), 1)
    return f"judged: {policy.name} ({weights}), out of distribution in {share} of its decisions"


def _replaced(rows: Sequence[Row]) -> float:
    """Share of the judged policy's decisions in which SNVT stood in for it: the mean over its rows."""
    return float(np.mean([row.out_of_distribution_ratio for row in rows if row.judged]))


def summarise(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, float]]]:
    """Figures by group (all, each class, each resolution) and policy.

    cost, bad_ratio, J: mean and median over the group's traces; `j30_over_hpa_70` and the like: geometric mean over
    traces of the ratio to an HPA at 70 %; actions likewise.
    """
    groups = {"all": list(rows)}
    for row in rows:
        groups.setdefault(row.trace_class, []).append(row)
        groups.setdefault(row.resolution, []).append(row)
    return {name: _summarise_group(members) for name, members in groups.items()}


def _summarise_group(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    reference = {row.trace: row for row in rows if row.policy == REFERENCE}
    policies: dict[str, list[Row]] = {}
    for row in rows:
        policies.setdefault(row.policy, []).append(row)
    return {name: _figures(members, reference) for name, members in policies.items()}


def _figures(rows: Sequence[Row], reference: dict[str, Row]) -> dict[str, float]:
    beside = [reference[row.trace].measures for row in rows]
    ours = [row.measures for row in rows]
    figures: dict[str, float] = {"traces": float(len(rows))}
    for name, values in (
        ("cost", [m.cost for m in ours]),
        ("bad_ratio", [m.bad_ratio for m in ours]),
        *((f"j{price:g}", [m.j(price) for m in ours]) for price in PRICES),
    ):
        figures[f"{name}_mean"] = float(np.mean(values))
        figures[f"{name}_median"] = float(np.median(values))
    for price in PRICES:
        ratios = [m.j(price) / b.j(price) for m, b in zip(ours, beside, strict=True)]
        figures[f"j{price:g}_over_hpa_70"] = _geometric_mean(ratios)
        figures[f"j{price:g}_better_than_hpa_70"] = float(sum(ratio < 1 for ratio in ratios))
    figures["actions_over_hpa_70"] = _geometric_mean(
        [(m.actions + 1) / (b.actions + 1) for m, b in zip(ours, beside, strict=True)]
    )
    return figures


def _geometric_mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def _table(group: str, entries: dict[str, dict[str, float]]) -> Table:
    traces = max(int(figures["traces"]) for figures in entries.values())
    table = Table(title=f"{group}: {traces} traces", title_justify="left", box=None)
    table.add_column("policy")
    for column in ("cost", "bad %", "median", "J10", "J30", "J100", "J30 better", "actions"):
        table.add_column(column, justify="right")
    for name, figures in sorted(entries.items(), key=lambda item: item[1]["j30_over_hpa_70"]):
        table.add_row(name, *_cells(figures))
    table.caption = "cost over the clairvoyant; J and actions over hpa-70 (geometric means)"
    return table


def _cells(figures: dict[str, Any]) -> list[str]:
    return [
        f"{figures['cost_mean']:.2f}",
        f"{100 * figures['bad_ratio_mean']:.2f}",
        f"{100 * figures['bad_ratio_median']:.2f}",
        *(f"{figures[f'j{price:g}_over_hpa_70']:.3f}" for price in PRICES),
        f"{figures['j30_better_than_hpa_70']:.0f}/{figures['traces']:.0f}",
        f"{figures['actions_over_hpa_70']:.2f}",
    ]

"""The report of a run as a picture and as one self-contained page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from forescale import words
from forescale.canvas import DARK, LIGHT, png, svg
from forescale.charts import end_s, panels, sheet
from forescale.files import make_folder, write_whole
from forescale.provenance import Provenance
from forescale.summary import (
    CLAIRVOYANT,
    COLUMNS,
    FORESCALE,
    HPA,
    Row,
    cells,
    headline,
    hold_reasons,
    rows,
    scaling_actions,
)
from scaling.decision import Action, Decision
from sim.measures import Run

MOST_ACTIONS = 1000
"""Scaling actions that the page lists, chosen: more would make it slow to open, and `-o json` has them all."""


@dataclass(frozen=True)
class ReportPaths:
    """Where a report was written."""

    png: Path
    html: Path


def write_report(
    run: Run, decisions: Sequence[Decision], folder: Path, origin: Provenance | None = None
) -> ReportPaths:
    """Write report.png and report.html into a folder; both are drawn before either is written.

    Raises InputError if the folder cannot be made or written to.
    """
    picture, page = png(sheet(run, decisions)), render_page(run, decisions, origin).encode()
    make_folder(folder)
    return ReportPaths(write_whole(folder / "report.png", picture), write_whole(folder / "report.html", page))


def render_page(run: Run, decisions: Sequence[Decision], origin: Provenance | None = None) -> str:
    """The report as HTML that asks for nothing from outside: charts are inline SVG in the page's own colours."""
    environment = Environment(
        loader=PackageLoader("forescale"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        run=run,
        headline=headline(run),
        facts=_facts(run, decisions),
        made_with=[] if origin is None else _made_with(origin),
        tiles=_tiles(rows(run)),
        figures=[(panel, Markup(svg(panel, end_s(run)))) for panel in panels(run, decisions)],
        columns=COLUMNS,
        table=[cells(row) for row in rows(run)],
        light=LIGHT,
        dark=DARK,
        **_decision_tables(decisions),
    )


def _facts(run: Run, decisions: Sequence[Decision]) -> list[str]:
    names = sorted({decision.policy_name for decision in decisions})
    return [
        *([f"policy {', '.join(names)}"] if names else []),
        f"{words.span(end_s(run))} in {len(run.demand_rps):,} steps of {run.step_s:g} s",
        f"objective {words.duration(run.objective_s)}",
        f"one replica serves {words.rate(run.capacity_rps)} {run.unit}",
    ]


def _made_with(origin: Provenance) -> list[tuple[str, str]]:
    """What makes the run repeatable, as pairs of a name and a text."""
    pairs = (
        ("forescale", origin.version),
        ("command", origin.command),
        ("seed", str(origin.seed)),
        ("policy", origin.policy_name),
        ("SHA-256 of its network", origin.policy_sha256),
    )
    return [(name, text) for name, text in pairs if text]


def _tiles(table: Sequence[Row]) -> list[dict[str, str]]:
    """The four figures that a reader wants first: ours large, the rivals' beside it."""
    column = {"replica-hours": 1, "bad requests": 4, "scaling actions": 5, "J(30)": 7}
    texts = {row.name: cells(row) for row in table}
    return [
        {"name": name, "ours": texts[FORESCALE][k], "hpa": texts[HPA][k], "clairvoyant": texts[CLAIRVOYANT][k]}
        for name, k in column.items()
    ]


def _decision_tables(decisions: Sequence[Decision]) -> dict[str, Any]:
    actions = scaling_actions(decisions)
    n_holds = sum(decision.action is Action.HOLD for decision in decisions)
    return {
        "actions": [_action(decision) for decision in actions[:MOST_ACTIONS]],
        "n_actions": len(actions),
        "n_holds": n_holds,
        "holds": [
            (words.REASONS[reason].clause, f"{count:,}", words.percent(count / n_holds, 1))
            for reason, count in hold_reasons(decisions)
        ],
    }


def _action(decision: Decision) -> dict[str, str]:
    return {
        "time": words.clock(decision.time_s),
        "kind": decision.action.value,
        "move": words.move(decision),
        "replicas": f"{decision.current_replicas} → {decision.final_replicas}",
        "band": words.band(decision.band),
        "reference": str(decision.reference_replicas),
        "why": words.clauses(decision.reasons),
    }

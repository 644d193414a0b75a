"""A dry-run from end to end: each workload driven and watched, then tables, reports and JSON.

What a run is, `controller.dryrun.rehearsal` owns; which options there are, `forescale.dry_run_command`.
"""

import importlib.resources
import math
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from controller.crd.resource import PolicyResource, load_files, load_policies
from controller.dryrun.rehearsal import Load, Watcher, run_policy
from controller.frame import Frame
from controller.policy_choice import policy_in, policy_of
from forescale.exporter import Exporter
from forescale.files import make_folder
from forescale.live import LiveTable, summary_table
from forescale.load import LoadRequest, Loads, warning
from forescale.output import OutputFormat, write_document
from forescale.pace import Pace
from forescale.provenance import Provenance, provenance
from forescale.summary import document, figures, heading, headline
from scaling.decision import Decision
from scaling.policy import Policy
from scaling.workload import STEP_S
from sim.measures import Run

WIDTH_WITHOUT_TERMINAL = 120
"""Columns of a log; chosen: the summary needs 80."""


@dataclass(frozen=True)
class Rehearsal:
    """What a dry-run was asked to do."""

    files: Sequence[Path]
    load: LoadRequest
    policy: Path | None = None  # folder of an exported policy; None: the one that each resource names
    speed: float = 0.0
    report: Path | None = None  # None: no report
    output: OutputFormat = OutputFormat.TEXT
    quiet: bool = False  # show nothing while it runs
    recursive: bool = False  # read folders below those of `files`
    metrics_port: int | None = None  # None: no metrics
    metrics_host: str = "127.0.0.1"
    command: str = ""  # for the report and the document


@dataclass(frozen=True)
class Outcome:
    """One workload's run."""

    resource: PolicyResource
    run: Run
    decisions: list[Decision]
    origin: Provenance

    @property
    def name(self) -> str:
        """Namespace and name."""
        return full_name(self.resource)


def rehearse(rehearsal: Rehearsal) -> None:
    """Run every workload and show what came of it. Raises InputError before the first step if it cannot."""
    resources = _resources(rehearsal.files, rehearsal.recursive, _on_stderr(rehearsal.quiet))
    policy = None if rehearsal.policy is None else policy_in(rehearsal.policy)
    source, pace = Loads(rehearsal.load), Pace(rehearsal.speed)
    loads = [source.of(full_name(resource), resource.spec, step_s(resource.spec.interval_s)) for resource in resources]
    if rehearsal.report is not None:
        make_folder(rehearsal.report)  # refuse before the run what would fail after it

    for resource, load in zip(resources, loads, strict=True):
        doubt = warning(load, resource.spec, source.unit)
        if doubt is not None:
            print(f"forescale: warning: {full_name(resource)}: {doubt}", file=sys.stderr, flush=True)

    silent = rehearsal.quiet and rehearsal.output is not OutputFormat.TEXT
    progress, console = _console(rehearsal.output, rehearsal.quiet), _console(rehearsal.output, silent)
    with ExitStack() as stack:
        port, host = rehearsal.metrics_port, rehearsal.metrics_host
        exporter = None if port is None else stack.enter_context(Exporter(port, host))
        stage = _Stage(rehearsal, policy, progress, pace, exporter, len(resources), source.unit)
        outcomes = [_drive(*pair, stage) for pair in zip(resources, loads, strict=True)]
    for outcome in outcomes:
        _conclude(outcome, _folder(rehearsal.report, outcome, len(outcomes)), console)
    if rehearsal.output is not OutputFormat.TEXT:
        write_document(rehearsal.output, document_of(outcomes, source.unit), _rows(outcomes))


def step_s(interval_s: float) -> float:
    """Step of the simulation: a whole part of the control interval, at most the memory's own step."""
    return interval_s / math.ceil(interval_s / STEP_S)


def _resources(files: Sequence[Path], recursive: bool, console: Console) -> list[PolicyResource]:
    if not files:
        return example()
    loaded = load_files(files, recursive)
    for skipped in loaded.skipped:
        console.print(f"skipped {skipped}", markup=False, soft_wrap=True)
    return loaded.policies


def example() -> list[PolicyResource]:
    """The policy that a dry-run takes where none is named."""
    with importlib.resources.as_file(importlib.resources.files("forescale") / "examples" / "web.yaml") as file:
        return load_policies(file)


def _console(output: OutputFormat, quiet: bool) -> Console:
    """Where people look: stdout, or stderr while stdout carries a document."""
    on_stderr = output is not OutputFormat.TEXT
    console = Console(stderr=on_stderr, highlight=False, quiet=quiet)
    if console.is_terminal:
        return console
    return Console(stderr=on_stderr, highlight=False, quiet=quiet, width=WIDTH_WITHOUT_TERMINAL)


def _on_stderr(quiet: bool) -> Console:
    return Console(stderr=True, highlight=False, quiet=quiet)


@dataclass(frozen=True)
class _Stage:
    """What all workloads of a dry-run share."""

    rehearsal: Rehearsal
    policy: Policy | None
    console: Console
    pace: Pace
    exporter: Exporter | None
    workloads: int
    unit: str  # of the load


def outcome_of(
    resource: PolicyResource, load: Load, request: LoadRequest, policy: Policy, on_frame: Watcher, unit: str
) -> Outcome:
    """Run one workload, whose load counts `unit`; `on_frame` is called after every step."""
    run, decisions = run_policy(resource, load, request.seed, on_frame, policy)
    titled = replace(run, title=title_of(resource, request), unit=unit)
    return Outcome(resource, titled, decisions, provenance(policy, "", request.seed))


def title_of(resource: PolicyResource, request: LoadRequest) -> str:
    """The workload and its load in a few words."""
    return f"{full_name(resource)}, {request.label}"


def _drive(resource: PolicyResource, load: Load, stage: _Stage) -> Outcome:
    request = stage.rehearsal.load
    policy = stage.policy or policy_of(resource)
    title, objective_s = title_of(resource, request), resource.spec.objective_s
    with LiveTable(
        title, len(load.demand), load.step_s, objective_s, stage.console, runs=stage.workloads, unit=stage.unit
    ) as live:

        def on_frame(frame: Frame) -> None:
            stage.pace.wait(frame.time_s)
            live.update(frame)
            if stage.exporter is not None:
                stage.exporter.update(resource, policy, frame)

        stage.pace.start()
        outcome = outcome_of(resource, load, request, policy, on_frame, stage.unit)
    return replace(outcome, origin=replace(outcome.origin, command=stage.rehearsal.command))


def _conclude(outcome: Outcome, folder: Path | None, console: Console) -> None:
    console.print(outcome.run.title, style="bold", markup=False, soft_wrap=True)
    console.print(summary_table(outcome.run, console.width))
    console.print(headline(outcome.run), soft_wrap=True)
    if folder is not None:
        from forescale.report import write_report  # matplotlib only where a report is wanted

        paths = write_report(outcome.run, outcome.decisions, folder, outcome.origin)
        console.print(f"report: {paths.html} and {paths.png}", markup=False, soft_wrap=True)


def _folder(report: Path | None, outcome: Outcome, n_workloads: int) -> Path | None:
    """The report's folder, one below it for each of several workloads."""
    if report is None or n_workloads == 1:
        return report
    return report / outcome.name.replace("/", ".")


def document_of(outcomes: Sequence[Outcome], unit: str) -> dict[str, Any]:
    """The first workload's document; several workloads stand under `workloads`, the first among them."""
    documents = {
        outcome.name: document(outcome.run, outcome.decisions, outcome.resource.spec, outcome.origin, unit)
        for outcome in outcomes
    }
    first = {**heading(outcomes[0].origin), "workload": outcomes[0].name, **documents[outcomes[0].name]}
    return first if len(outcomes) == 1 else {**first, "workloads": documents}


def _rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """One row for each policy on each workload."""
    return [
        {"workload": outcome.name, "policy": name, **of_policy}
        for outcome in outcomes
        for name, of_policy in figures(outcome.run, outcome.resource.spec.price).items()
    ]


def full_name(resource: PolicyResource) -> str:
    return f"{resource.namespace}/{resource.name}"

"""`forescale evaluate`: its options and its table; what is measured is in `training.evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from forescale.common import Common
from forescale.output import OUTPUT, OutputFormat, write_document

WIDTH_WITHOUT_TERMINAL = 120
"""Columns of a log; chosen: the tables need 100."""


def evaluate(
    traces: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of traces: CSV of t_seconds,value, gzip or plain. Default: a generated day of each scenario.",
        ),
    ] = None,
    output: OUTPUT = OutputFormat.TEXT,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write what -o json prints to a file as well.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the policy to judge. Default: the shipped one.")
    ] = None,
    mean_pods: Annotated[float, typer.Option(min=1.0, max=1000.0, help="Scale traces to this mean, in pods.")] = 30.0,
    startup: Annotated[float, typer.Option(min=1.0, max=900.0, help="Start-up of a pod, seconds.")] = 45.0,
    days: Annotated[float | None, typer.Option(min=0.01, help="At most so many days of each trace.")] = None,
    hindsight: Annotated[
        bool,
        typer.Option("--hindsight", help="Also an HPA tuned in hindsight per trace and price: 64 rows more each."),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of noise and of the fill between coarse samples.")] = 0,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Traces at a time, each in a process.")] = 1,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Spread traces over a Ray cluster: HOST:PORT, auto, or local for a new one."
        ),
    ] = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Run every rival and a policy over a folder of traces and compare what they cost and how well they serve."""
    from rich.console import Console
    from rich.progress import Progress

    from controller.policy_choice import TRAINED, policy_in, policy_named
    from forescale.comparison import document, judged_line, summary_tables, write_comparison
    from forescale.extras import RAY, require
    from forescale.files import make_folder
    from sim.generated_traces import generated_traces
    from sim.traces import load_folder
    from training.evaluate import EvaluateConfig, evaluate_part, parts_of
    from training.evaluate import evaluate as run_comparison
    from training.fan_out import executor

    if ray is not None:
        require(RAY, "--ray")
    if json_file is not None:
        make_folder(json_file.parent)
    judged = policy_named(TRAINED) if policy is None else policy_in(policy)
    config = EvaluateConfig(mean_pods=mean_pods, startup_s=startup, days=days, hindsight=hindsight, seed=seed)
    terminal = Console(stderr=True)
    with Progress(console=terminal, transient=True, disable=common.quiet or not terminal.is_terminal) as bar:
        task = bar.add_task("steps")
        loads = load_folder(traces) if traces else generated_traces(days or 1.0, seed)
        if workers == 1 and ray is None:
            rows = run_comparison(
                loads, judged, config, lambda step, steps: bar.update(task, completed=step, total=steps)
            )
        else:
            rows = []
            parts = parts_of(loads, judged, config)
            for done, part in enumerate(executor(workers, ray).map(evaluate_part, parts), start=1):
                bar.update(task, completed=done, total=len(parts))
                rows += part
    if json_file is not None:
        write_comparison(document(rows, judged, config), json_file)
    if output is not OutputFormat.TEXT:
        write_document(output, document(rows, judged, config), [row.document() for row in rows])
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH_WITHOUT_TERMINAL)
    console.print(judged_line(judged, rows), markup=False, soft_wrap=True)
    for table in summary_tables(rows):
        console.print(table)

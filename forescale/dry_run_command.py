"""`forescale dry-run`: its options; what it does is in `forescale.rehearsal`."""

from pathlib import Path
from typing import Annotated

import typer

from forescale.common import Common
from forescale.files import FILES, RECURSIVE
from forescale.output import JSON_ALIAS, OUTPUT, OutputFormat, chosen

DEFAULT_REPORT = Path("forescale-report")
MEAN_HELP = (
    "Scale the load to this mean, in the unit of the policy's query. "
    "Default: the trace's own; ten replicas' worth of targetPerReplica of a generated load."
)


def dry_run(
    context: typer.Context,
    file: FILES = None,
    recursive: RECURSIVE = False,
    policy: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of an exported policy. Default: the one that each resource names."),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Load from a CSV of times and values, as Grafana exports it; gzip or plain."),
    ] = None,
    column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Series of a trace with several, by its column's name.")
    ] = None,
    generate: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Generated load: day (default), flash-crowd, weekly, on-off, noisy, idle."),
    ] = None,
    hours: Annotated[
        float | None, typer.Option(help="Length of the run. Default: 24 generated hours, or the whole trace.")
    ] = None,
    history_hours: Annotated[
        float | None,
        typer.Option(help="Load before the run that the policy remembers. Default: 48 generated hours, 0 of a trace."),
    ] = None,
    mean_rps: Annotated[float | None, typer.Option(help=MEAN_HELP)] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of load and cluster; the same seed, the same run.")] = 0,
    speed: Annotated[float, typer.Option(help="0: as fast as possible; 1: real time; N: N times as fast.")] = 0.0,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for report.html and report.png; one each below it for several. "
            "Default: forescale-report, where the extra report is installed.",
        ),
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report.")] = False,
    output: OUTPUT = OutputFormat.TEXT,
    as_json: JSON_ALIAS = False,
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve Prometheus metrics on this port during the run.")
    ] = None,
    metrics_host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address that --metrics-port listens on; 0.0.0.0 is all.")
    ] = "127.0.0.1",
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Run ScalingPolicies against a simulated cluster and show what an HPA would have done with the same load.

    Without -f it runs an example.
    """
    from forescale.load import LoadRequest
    from forescale.provenance import command_line
    from forescale.rehearsal import Rehearsal, rehearse

    request = LoadRequest(trace, column, generate, hours, mean_rps, history_hours, seed)
    folder = None if no_report else report_folder(report, common.quiet)
    form, command = chosen(output, as_json), command_line(context)
    rehearse(
        Rehearsal(
            file or [],
            request,
            policy,
            speed,
            report=folder,
            output=form,
            quiet=common.quiet,
            recursive=recursive,
            metrics_port=metrics_port,
            metrics_host=metrics_host,
            command=command,
        )
    )


def report_folder(wanted: Path | None, quiet: bool = False) -> Path | None:
    """Where the report goes. Without the extra that draws it there is none, unless the user asked for one.

    `quiet`: do not say how to get it.

    Raises InputError with the command that installs the extra.
    """
    from forescale.extras import REPORT, is_installed, needs, require

    if wanted is not None:
        require(REPORT, "--report")
        return wanted
    if all(is_installed(module) for module in REPORT):
        return DEFAULT_REPORT
    if not quiet:
        typer.echo(f"no report: {needs('it', 'report')}", err=True)
    return None

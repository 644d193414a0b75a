"""`forescale tune`: its options; the search is in `training.tuning`, its workers in `training.fan_out`."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forescale.common import Common
from forescale.output import OUTPUT, OutputFormat, write_document
from scaling.errors import InputError

if TYPE_CHECKING:
    from training.tuning import StudyConfig


class What(StrEnum):
    """What to do with a study."""

    RUN = "run"
    REPORT = "report"


def tune(
    what: Annotated[What, typer.Argument(help="Search, or report on a study.")] = What.RUN,
    study: Annotated[str, typer.Option(help="Name of the study within its storage.")] = "forescale",
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="FORESCALE_STORAGE",
            help="Where the study is: sqlite:///FILE, or postgresql://USER@HOST/DATABASE for several machines. "
            "Default: study.db in --out.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the best policy and the report.")] = Path(
        "runs/tune"
    ),
    name: Annotated[str, typer.Option(help="Name of the best policy, and of its files.")] = "tuned",
    trials: Annotated[int, typer.Option(min=1, help="Trials of the whole study, by all workers together.")] = 50,
    steps: Annotated[int, typer.Option(min=1, help="Environment steps of each trial.")] = 1_000_000,
    rows: Annotated[int, typer.Option(min=1, help="Clusters stepped together.")] = 1024,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search and of every trial.")] = 0,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Trials at a time.")] = 1,
    worker: Annotated[
        int,
        typer.Option(
            min=0, envvar="JOB_COMPLETION_INDEX", help="Number of this process among several, as in an Indexed Job."
        ),
    ] = 0,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Run the workers on a Ray cluster: HOST:PORT, auto, or local for a new one."
        ),
    ] = None,
    config_map: Annotated[
        str | None,
        typer.Option("--configmap", metavar="CONFIGMAP", help="Also write the best policy as DIR/CONFIGMAP.yaml."),
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="Namespace of the ConfigMap. Default: that of the current context.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Create or replace the ConfigMap in the cluster.")] = False,
    output: OUTPUT = OutputFormat.TEXT,
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Search for better training settings with Optuna, and export the best policy.

    Several processes and machines that name one --storage and --study work on it together.
    """
    from forescale.extras import RAY, TUNING, require
    from forescale.files import make_folder

    require((*TUNING, *(RAY if ray else ())), "forescale tune")
    from forescale.export_command import check_publishing
    from training.tuning import StudyConfig

    check_publishing(config_map, namespace, apply)
    place = storage or f"sqlite:///{make_folder(out).absolute()}/study.db"
    config = StudyConfig(name=study, storage=place, trials=trials, total_steps=steps, rows=rows, seed=seed)
    if what is What.REPORT:
        _report(config, make_folder(out), output)
        return
    _search(config, worker, workers, ray, common.quiet)
    _export(config, make_folder(out), name)
    if config_map is not None:
        from forescale.export_command import publish

        publish(out, name, config_map, namespace, apply)


def _search(config: "StudyConfig", worker: int, workers: int, ray: str | None, quiet: bool) -> None:
    from training.fan_out import executor
    from training.tuning import open_study, work

    study = open_study(config)  # before any worker begins, so that what is wrong is said once
    if not quiet:
        typer.echo(f"study {config.name}: {config.trials} trials of {config.total_steps:,} steps, {workers} at a time")
    if workers == 1 and ray is None:
        work(config, worker, (lambda line: None) if quiet else typer.echo)
        return
    for _ in executor(workers, ray).map(partial(work_as, config), range(worker, worker + workers)):
        pass
    if not quiet:
        from training.tuning import finished

        typer.echo(f"study {config.name}: {finished(study)} of {config.trials} done")


def work_as(config: "StudyConfig", worker: int) -> int:
    """One worker in a process of its own; returns its number."""
    from training.tuning import work

    work(config, worker, typer.echo)
    return worker


def _export(config: "StudyConfig", folder: Path, name: str) -> None:
    from training.tuning import export_best, open_study

    best = export_best(open_study(config), name, folder)
    typer.echo(
        f"best: trial {best.number}, cost over the newsvendor rule {best.value:.4f}: {folder / name}.safetensors"
    )


def _report(config: "StudyConfig", folder: Path, output: OutputFormat) -> None:
    from forescale.extras import REPORT, require
    from training.tuning import draw_report, open_known_study, summary

    require(REPORT, "forescale tune report")
    study = open_known_study(config)
    found = summary(study)
    if not found["best"]:
        raise InputError(f"study {config.name}: no trial has ended yet, nothing to report")
    files = draw_report(study, folder)
    if output is not OutputFormat.TEXT:
        write_document(output, found, found["best"])
        return
    states = ", ".join(f"{count} {state}" for state, count in found["trials"].items() if count)
    typer.echo(f"study {config.name}: {states}")
    for row in found["best"]:
        shown = ", ".join(f"{key} {value:.4g}" for key, value in row.items() if key not in ("trial", "cost_over_snvt"))
        typer.echo(f"trial {row['trial']}: cost over the newsvendor rule {row['cost_over_snvt']:.4f} ({shown})")
    typer.echo(f"drawn: {', '.join(str(file) for file in files)}")

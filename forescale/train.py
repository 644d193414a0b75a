"""`forescale train`: its options; what it does is in `training`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forescale.common import Common

if TYPE_CHECKING:
    from training.config import TrainConfig

FAILED = 1
"""Exit code of a run that diverged."""


def train(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Run folder: model, config, checkpoint and TensorBoard events.")
    ] = Path("runs/default"),
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Environment steps over all clusters, rounded up to whole updates. Default: 8,000,000."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of demand, clusters, exploration and weights. Default: 0.")
    ] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Clusters stepped together. Default: 1024.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in the folder of --out from its last checkpoint.")
    ] = False,
    resume_or_begin: Annotated[
        bool, typer.Option("--resume-or-begin", help="The same, but begin a run where there is none, as in a Job.")
    ] = False,
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0.0, max=1440.0, help="Minutes between two checkpoints; 0: one after each update.")
    ] = 1.0,
    no_progress: Annotated[
        bool, typer.Option("--no-progress", help="Show a line a minute in place of the progress bar.")
    ] = False,
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve Prometheus metrics on this port during the run.")
    ] = None,
    metrics_host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address that --metrics-port listens on; 0.0.0.0 is all.")
    ] = "127.0.0.1",
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Train a policy by PPO in the simulated fleet; `tensorboard --logdir DIR` watches it."""
    from forescale.extras import TRAINING, require
    from forescale.files import make_folder

    require(TRAINING, "forescale train")
    from forescale.metrics_page import metrics_page
    from training.callbacks import TrainingDivergedError
    from training.checkpoint import resumed_config
    from training.config import TrainConfig
    from training.run_folder import is_begun, is_finished
    from training.train import Watch
    from training.train import resume as resume_training
    from training.train import train as run_training

    given: dict[str, Any] = {"total_steps": steps, "seed": seed, "rows": rows}
    asked = {name: value for name, value in given.items() if value is not None}
    resume = resume or (resume_or_begin and is_begun(out))
    config = resumed_config(out, asked) if resume else TrainConfig(**asked)
    if resume and is_finished(out):
        typer.echo(f"finished before: {out / 'model.zip'}; next: forescale export {out}")
        return
    if not common.quiet:
        typer.echo(plan(config))
    begin = resume_training if resume else run_training
    try:
        with metrics_page(metrics_port, metrics_host) as registry:
            say = typer.echo if no_progress and not common.quiet else None
            watch = Watch(bar=not (no_progress or common.quiet), say=say, registry=registry)
            folder = begin(config, make_folder(out), watch, checkpoint_s=60 * checkpoint_minutes)
    except TrainingDivergedError as error:
        typer.echo(f"forescale: error: training diverged: {error}; {out} keeps what was saved before", err=True)
        raise typer.Exit(FAILED) from error
    typer.echo(f"trained: {folder / 'model.zip'}; next: forescale export {folder}")


def plan(config: "TrainConfig") -> str:
    """What a run will do, in one line: updates, their size, and the whole steps that they take."""
    asked = "" if config.steps_run == config.total_steps else f" ({config.total_steps:,} asked for)"
    updates = f"{config.updates:,} update{'s' if config.updates > 1 else ''}"
    size = f"{config.update_steps:,} steps each ({config.rows:,} clusters x {config.rollout_steps})"
    return f"training: {updates} of {size}, {config.steps_run:,} steps in all{asked}"

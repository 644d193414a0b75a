"""`forescale train` and `forescale export`: their options; what they do is in `training`."""

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
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0.0, max=1440.0, help="Minutes between two checkpoints; 0: one after each update.")
    ] = 1.0,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Show no progress bar.")] = False,
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Train a policy by PPO in the simulated fleet; `tensorboard --logdir DIR` watches it."""
    from forescale.extras import TRAINING, require
    from forescale.files import make_folder

    require(TRAINING, "forescale train")
    from training.callbacks import TrainingDivergedError
    from training.checkpoint import resumed_config
    from training.config import TrainConfig
    from training.run_folder import is_finished
    from training.train import resume as resume_training
    from training.train import train as run_training

    given: dict[str, Any] = {"total_steps": steps, "seed": seed, "rows": rows}
    asked = {name: value for name, value in given.items() if value is not None}
    config = resumed_config(out, asked) if resume else TrainConfig(**asked)
    if resume and is_finished(out):
        typer.echo(f"finished before: {out / 'model.zip'}; next: forescale export {out}")
        return
    if not common.quiet:
        typer.echo(plan(config))
    begin = resume_training if resume else run_training
    try:
        folder = begin(
            config, make_folder(out), progress=not (no_progress or common.quiet), checkpoint_s=60 * checkpoint_minutes
        )
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


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `forescale train` wrote.")],
    name: Annotated[str, typer.Option(help="The policy's name, and that of its files.")] = "default",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for NAME.safetensors and NAME.json.")] = Path(
        "policies"
    ),
) -> None:
    """Write a trained policy as safetensors and a JSON manifest, which is all that the controller reads."""
    from forescale.extras import TRAINING, require

    require(TRAINING, "forescale export")
    from training.export import export as export_run

    export_run(run, name, out)
    typer.echo(f"exported: {out / name}.safetensors and {out / name}.json")

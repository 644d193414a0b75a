"""`forescale train` and `forescale export`: their options; what they do is in `training`."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Run folder: model, config and TensorBoard events.")] = Path(
        "runs/default"
    ),
    steps: Annotated[int, typer.Option(min=1, help="Environment steps over all clusters.")] = 8_000_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of demand, clusters, exploration and weights.")] = 0,
    rows: Annotated[int, typer.Option(min=1, help="Clusters stepped together.")] = 1024,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Show no progress bar.")] = False,
) -> None:
    """Train a policy by PPO in the simulated fleet; `tensorboard --logdir DIR` watches it."""
    from forescale.extras import TRAINING, require
    from forescale.files import make_folder

    require(TRAINING, "forescale train")
    from training.config import TrainConfig
    from training.train import train as run_training

    config = TrainConfig(total_steps=steps, seed=seed, rows=rows)
    folder = run_training(config, make_folder(out), progress=not no_progress)
    typer.echo(f"trained: {folder / 'model.zip'}; next: forescale export {folder}")


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

"""`forescale export`: its options; what is in the files is in `training.export` and `controller.policy_config_map`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from forescale.files import write_whole
from scaling.errors import InputError


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `forescale train` wrote.")],
    name: Annotated[str, typer.Option(help="The policy's name, and that of its files.")] = "default",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for NAME.safetensors and NAME.json.")] = Path(
        "policies"
    ),
    evaluation: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What `forescale evaluate --json FILE` wrote: scores for the manifest."),
    ] = None,
    config_map: Annotated[
        str | None,
        typer.Option(
            "--configmap",
            metavar="CONFIGMAP",
            help="Also write DIR/CONFIGMAP.yaml, a ConfigMap that spec.policyRef.configMap can name.",
        ),
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="Namespace of the ConfigMap. Default: that of the current context.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Create the ConfigMap in the cluster, or replace it (server-side apply).")
    ] = False,
) -> None:
    """Write a trained policy as safetensors and a JSON manifest, which is all that the operator reads."""
    from forescale.extras import TRAINING, require

    check_publishing(config_map, namespace, apply)
    require(TRAINING, "forescale export")
    from forescale.comparison import scores_in
    from training.export import export as export_run

    export_run(run, name, out, None if evaluation is None else partial(scores_in, evaluation))
    typer.echo(f"exported: {out / name}.safetensors and {out / name}.json")
    if config_map is not None:
        publish(out, name, config_map, namespace, apply)


def check_publishing(config_map: str | None, namespace: str | None, apply: bool) -> None:
    """Raise InputError for options that do not fit together, before anything is done."""
    from controller.crd.tables import object_name
    from forescale.extras import KUBERNETES, require

    if config_map is None and (apply or namespace is not None):
        raise InputError(f"{'--apply' if apply else '--namespace'}: needs --configmap, the name of the ConfigMap")
    if config_map is not None:
        object_name(config_map, "--configmap")
    if apply:
        require(KUBERNETES, "--apply")


def publish(folder: Path, name: str, config_map: str, namespace: str | None, apply: bool) -> None:
    """Write a policy's files in a folder as a ConfigMap beside them, and apply it if asked."""
    body = _config_map(folder, name, config_map, namespace)
    _publish(body, folder / f"{config_map}.yaml", apply)


def _config_map(folder: Path, name: str, config_map: str, namespace: str | None) -> dict[str, Any]:
    from controller.policy_config_map import config_map_of
    from controller.policy_store import MANIFEST, WEIGHTS
    from scaling.policy import feature_schema
    from scaling.policy_file import parse_policy

    weights, manifest = (folder / f"{name}{suffix}" for suffix in (WEIGHTS, MANIFEST))
    files = weights.read_bytes(), manifest.read_bytes()
    body = config_map_of(parse_policy(*files, feature_schema(), name), *files, config_map)
    if namespace is not None:
        body["metadata"]["namespace"] = namespace
    return body


def _publish(body: dict[str, Any], file: Path, apply: bool) -> None:
    write_whole(file, yaml.safe_dump(body, sort_keys=False).encode())
    if not apply:
        typer.echo(f"ConfigMap written: {file}; next: kubectl apply --server-side --filename {file}")
        return
    from forescale.config_map import apply_config_map

    where, sha256 = apply_config_map(body), body["metadata"]["annotations"]["forescale.dev/sha256"]
    typer.echo(f"ConfigMap applied: {where}, weights sha256 {sha256}")

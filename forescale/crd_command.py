"""`forescale crd`: the CustomResourceDefinition that this release reads."""

import typer


def crd() -> None:
    """Print the CustomResourceDefinition that this release reads, for kubectl apply --server-side -f -."""
    from controller.crd.schema import manifest

    typer.echo(manifest(), nl=False)

"""`forescale serve`: its options; what is served is in `controller.api`."""

from typing import Annotated

import typer

from forescale.common import Common
from scaling.errors import InputError

LEAST_TOKEN = 16
"""Characters: shorter ones can be guessed."""


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; in a container 0.0.0.0.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Its port; 0 takes a free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="FORESCALE_API_TOKEN", help="Bearer token that requests must carry. Give it by the variable."
        ),
    ] = None,
    max_connections: Annotated[int, typer.Option(min=1, max=10_000, help="Connections at once.")] = 200,
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Serve the recommendation API and its page until stopped: what forescale would decide, over HTTP."""
    from forescale.extras import API, require

    require(API, "serve")
    if token is not None and (len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable()):
        raise InputError(f"--token: {len(token)} characters, needs {LEAST_TOKEN} or more of printable ASCII")
    import uvicorn

    from controller.api.app import create_app
    from forescale.simulation import simulate

    level = "debug" if common.verbose else "warning" if common.quiet else "info"
    uvicorn.run(
        create_app(simulate, token or None),
        host=host,
        port=port,
        log_level=level,
        limit_concurrency=max_connections,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=5,
        server_header=False,
    )

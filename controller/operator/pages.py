"""What the operator serves over HTTP: metrics for Prometheus, and probes for the kubelet.

Owns the port. What is healthy and ready is told by whoever can know; a stuck event loop tells nobody anything, so that
a probe meets its own deadline.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from scaling.errors import InputError

Trouble = Callable[[], str | None]
"""What is wrong, in one line; None while nothing is."""

INDEX = """forescale operator

/metrics  for Prometheus
/healthz  503 with one line when decisions are overdue
/readyz   503 with one line until it can decide
"""


@asynccontextmanager
async def pages(
    host: str, port: int, registry: CollectorRegistry, health: Trouble, ready: Trouble
) -> AsyncIterator[int]:
    """Serve while inside, and yield the port, which the system chose for 0; InputError where it cannot be listened on.

    `health`: why the process should be restarted. `ready`: why it cannot decide yet.
    """
    app = web.Application()
    app.router.add_get("/", _index)
    app.router.add_get("/metrics", _Metrics(registry).answer)
    app.router.add_get("/healthz", _probe(health))
    app.router.add_get("/readyz", _probe(ready))
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        yield await _listen(runner, host, port)
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> int:
    try:
        await web.TCPSite(runner, host, port).start()
    except (OSError, OverflowError) as error:
        words = error.strerror if isinstance(error, OSError) else "no such port"
        raise InputError(f"metrics port: {host}:{port} cannot be listened on ({words})") from error
    found: int = runner.addresses[0][1]
    return found


async def _index(request: web.Request) -> web.Response:
    return web.Response(text=INDEX)


def _probe(trouble: Trouble) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        wrong = trouble()
        return web.Response(text="ok\n") if wrong is None else web.Response(text=f"{wrong}\n", status=503)

    return answer


class _Metrics:
    """Writes the metrics in a thread, as thousands of policies take a while; one answer at a time."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._turn = asyncio.Lock()

    async def answer(self, request: web.Request) -> web.Response:
        encode, kind = choose_encoder(request.headers.get("Accept", ""))
        async with self._turn:
            body = await asyncio.to_thread(encode, self._registry)
        return web.Response(body=body, headers={"Content-Type": kind})

"""A server on the loopback that answers as it is told, and the client in front of it."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from controller.prometheus.access import PrometheusSettings
from controller.prometheus.http import PrometheusHttp
from controller.prometheus.metrics import PrometheusMetrics

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def a_body(kind: Any, result: Any, **more: Any) -> bytes:
    """A good answer of the query API."""
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **more}).encode()


def a_vector(*values: str, **more: Any) -> bytes:
    """An instant query's answer with a series for each value."""
    series = [{"metric": {"pod": str(place)}, "value": [1.5, value]} for place, value in enumerate(values)]
    return a_body("vector", series, **more)


def ages(*ages_s: float, **more: Any) -> bytes:
    """An age query's answer."""
    series = [{"metric": {"selector": str(place)}, "value": [1.5, str(age)]} for place, age in enumerate(ages_s)]
    return a_body("vector", series, **more)


def asks_for_coverage(query: str) -> bool:
    """Whether it is a query of `coverage.py`."""
    return "max_over_time((time() - " in query


@dataclass
class Stub:
    """Answers every request with the same body and remembers what it was asked."""

    body: bytes = a_vector("7")
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    age_body: bytes = ages(3.0)  # of queries that ask for an age
    coverage_body: bytes = a_body("vector", [])  # of queries that ask how samples cover a range
    requests: list[tuple[str, dict[str, str], dict[str, str]]] = field(default_factory=list)

    @property
    def forms(self) -> list[dict[str, str]]:
        """What was asked."""
        return [form for _, form, _ in self.requests]

    @property
    def readings(self) -> list[str]:
        """Queries that were asked for a reading."""
        return [form["query"] for form in self.forms if "timestamp(" not in form["query"]]

    @property
    def checks(self) -> list[str]:
        """Queries that were asked for an age."""
        asked = [form["query"] for form in self.forms if "timestamp(" in form["query"]]
        return [query for query in asked if not asks_for_coverage(query)]

    @property
    def coverage_checks(self) -> list[str]:
        """Queries that were asked for how samples cover a range."""
        return [form["query"] for form in self.forms if asks_for_coverage(form["query"])]

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a form."""
        form = {name: value for name, (value,) in parse_qs(await request.text()).items()}
        self.requests.append((request.path, form, dict(request.headers)))
        text = form.get("query", "")
        body = self.age_body if "timestamp(" in text else self.body
        if asks_for_coverage(text):
            body = self.coverage_body
        return web.Response(status=self.status, body=body, headers=self.headers)


@contextlib.asynccontextmanager
async def serving(handler: Handler, tls: Any = None) -> AsyncIterator[int]:
    """Run a handler on a free port of the loopback."""
    server = web.Server(handler)
    runner = web.ServerRunner(server, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def raw_serving(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]):
    """Run what writes bytes of its own to each connection; hanging up is left to it, or to the end."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def settings_for(port: int, **wishes: Any) -> PrometheusSettings:
    """Settings for a server on the loopback."""
    return PrometheusSettings(**{"url": f"http://127.0.0.1:{port}", "deadline_s": 2.0, **wishes})


@contextlib.asynccontextmanager
async def metrics_of(
    port: int, clock: Callable[[], float] = lambda: 0.0, **wishes: Any
) -> AsyncIterator[PrometheusMetrics]:
    """The client in front of a server on the loopback."""
    async with PrometheusHttp(settings_for(port, **wishes)) as http:
        yield PrometheusMetrics(http, clock)


def free_ports(count: int) -> Sequence[int]:
    """Ports of the loopback that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports

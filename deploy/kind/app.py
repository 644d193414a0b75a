"""The quickstart's sample application: it serves 20 requests a second, one after the other, and counts them.

A request that waits for more than half a second counts as bad.
"""

import argparse
import asyncio
import time

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, generate_latest

SERVICE_S = 0.05
OBJECTIVE_S = 0.5
MOST_WAITING = 200
"""Requests that wait at most; more are refused, and bad."""


class App:
    """One server with a queue."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.turn = asyncio.Lock()
        self.waiting = 0
        self.requests = Counter("http_requests", "Requests.", registry=self.registry)
        self.bad = Counter("http_requests_bad", "Requests over half a second, or refused.", registry=self.registry)

    async def serve(self, request: web.Request) -> web.Response:
        """Answer when its turn has come."""
        self.requests.inc()
        if self.waiting >= MOST_WAITING:
            self.bad.inc()
            return web.Response(status=503, text="busy\n")
        began_s = time.monotonic()
        self.waiting += 1
        try:
            async with self.turn:
                await asyncio.sleep(SERVICE_S)
        finally:
            self.waiting -= 1
        if time.monotonic() - began_s > OBJECTIVE_S:
            self.bad.inc()
        return web.Response(text="served\n")

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus' page."""
        return web.Response(body=generate_latest(self.registry), content_type="text/plain")

    async def healthy(self, request: web.Request) -> web.Response:
        """Ready as soon as it listens."""
        return web.Response(text="ok\n")


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--host", default="0.0.0.0")
    wishes = parser.parse_args()
    own, pages = App(), web.Application()
    pages.add_routes([web.get("/", own.serve), web.get("/metrics", own.metrics), web.get("/healthz", own.healthy)])
    web.run_app(pages, host=wishes.host, port=wishes.port, print=None, access_log=None)


if __name__ == "__main__":
    main()

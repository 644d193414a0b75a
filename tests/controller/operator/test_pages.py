import asyncio

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge

from controller.operator.pages import pages
from scaling.errors import InputError


class Operator:
    """Whose health is told, and whose metrics are served."""

    def __init__(self):
        self.registry = CollectorRegistry()
        Gauge("forescale_leader", "Whether.", registry=self.registry).set(1)
        self.health = self.ready = None

    def serving(self, port=0):
        return pages("127.0.0.1", port, self.registry, lambda: self.health, lambda: self.ready)


def get(path, accept="*/*", **told):
    """Status, content type and text of one page."""

    async def asked():
        operator = Operator()
        vars(operator).update(told)
        async with operator.serving() as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            response = await session.get(path, headers={"Accept": accept})
            return response.status, response.headers["Content-Type"], await response.text()

    return asyncio.run(asked())


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_probe_passes_while_nothing_is_wrong(path):
    assert get(path) == (200, "text/plain; charset=utf-8", "ok\n")


def test_each_probe_names_its_own_trouble_in_one_line():
    late = "shop/web was last looked at 75 s ago, the limit is 60 s"
    assert get("/healthz", health=late)[::2] == (503, f"{late}\n")
    assert get("/readyz", health=late)[0] == 200
    assert get("/readyz", ready="policies are not listed yet")[::2] == (503, "policies are not listed yet\n")


@pytest.mark.parametrize(
    ("accept", "kind", "last"),
    [
        ("*/*", "text/plain; version=", "forescale_leader 1.0\n"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=1.0.0", "# EOF\n"),
    ],
)
def test_metrics_come_in_the_format_that_is_asked_for(accept, kind, last):
    status, served, text = get("/metrics", accept)
    assert status == 200
    assert served.startswith(kind)
    assert text.endswith(last)


def test_the_index_names_the_pages_and_nothing_else_is_there():
    assert all(f"{path} " in get("/")[2] for path in ("/metrics", "/healthz", "/readyz"))
    assert get("/debug")[0] == 404


def test_a_port_that_is_taken_is_named_and_a_closed_one_is_free_again():
    async def run():
        async with Operator().serving() as port:
            with pytest.raises(InputError, match=f"127.0.0.1:{port} cannot be listened on"):
                async with Operator().serving(port):
                    pass
        async with Operator().serving(port) as again:
            assert again == port

    asyncio.run(run())


def test_a_port_that_cannot_be_is_named():
    async def run():
        async with Operator().serving(99_999):
            pass

    with pytest.raises(InputError, match="99999 cannot be listened on"):
        asyncio.run(run())


def test_an_open_connection_does_not_hold_up_the_end():
    async def run():
        serving = Operator().serving()
        port = await serving.__aenter__()
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.wait_for(serving.__aexit__(None, None, None), 30.0)  # aiohttp alone would wait a minute
        writer.close()

    asyncio.run(run())

"""An API server over TLS on the loopback and proxies before it, which remember how they were come to."""

import asyncio
import contextlib
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.controller.prometheus.stub import serving

SERVER_NAME = "api.internal"
"""The only name on the server's certificate."""


@dataclass(frozen=True)
class Pki:
    """An authority, and the certificates of a server, a proxy and a client."""

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "ca.pem"

    def pair(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of `server`, `proxy` or `client`."""
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def context(self, name: str = "server") -> ssl.SSLContext:
        """Of a server, which takes a client's certificate and does without one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.pair(name))
        context.load_verify_locations(self.authority)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context


def make_pki(folder: Path) -> Pki:
    """Make all of it with the openssl command."""
    new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    ca = "-extensions v3_ca -addext keyUsage=critical,keyCertSign -subj /CN=test-ca"
    (folder / "server.ext").write_text(f"subjectAltName=DNS:{SERVER_NAME}")
    (folder / "proxy.ext").write_text("subjectAltName=IP:127.0.0.1")
    (folder / "client.ext").write_text("extendedKeyUsage=clientAuth")
    commands = [f"req -x509 {new_key} -keyout ca.key -out ca.pem -days 2 {ca}"]
    for name in ("server", "proxy", "client"):
        commands.append(f"req {new_key} -keyout {name}.key -out {name}.csr -subj /CN={name}")
        signing = f"-in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext"
        commands.append(f"x509 -req {signing} -out {name}.pem")
    commands.append("ec -in client.key -aes128 -passout pass:secret -out encrypted.key")
    for command in commands:
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    return Pki(folder)


@dataclass
class Gateway:
    """What was asked for over the wire."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    proxied: list[dict[str, str]] = field(default_factory=list)
    """Headers of what a proxy was asked, with the target as `target`."""
    redirect: str = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer any request, and remember who asked and how."""
        transport = request.transport
        assert transport is not None
        peer = (transport.get_extra_info("peercert") or {}).get("subject", ())
        self.requests.append(
            {
                "path": request.path,
                "client": dict(part[0] for part in peer).get("commonName"),
                "headers": [(name.lower(), value) for name, value in request.headers.items()],
            }
        )
        if self.redirect:
            return web.Response(status=302, headers={"Location": self.redirect})
        return web.json_response({"ok": True})

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        """Be a proxy that lets everybody through to one port, whatever name is asked for."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        self.proxied.append({"target": head[0].split()[1], **headers})
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_copied(reader, to_writer), _copied(to_reader, writer), return_exceptions=True)


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while block := await reader.read(2**16):
            writer.write(block)
            await writer.drain()
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def gateway(pki: Pki | None) -> AsyncIterator[tuple[Gateway, int]]:
    """A server with such a record, over TLS if it has a certificate, and its port."""
    stands = Gateway()
    async with serving(stands.answer, pki.context() if pki else None) as port:
        yield stands, port


@contextlib.asynccontextmanager
async def proxy(stands: Gateway, port: int, pki: Pki | None = None) -> AsyncIterator[int]:
    """A proxy before the server, itself over TLS if it has a certificate; its port."""
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(stands.connect(reader, writer, port)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=pki.context("proxy") if pki else None)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def a_kubeconfig(folder: Path, cluster: Mapping[str, Any], user: Mapping[str, Any], **context: Any) -> Path:
    """A kubeconfig (JSON is YAML) with one cluster, user and context."""
    content = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", **context}}],
        "current-context": "x",
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(content))
    return file

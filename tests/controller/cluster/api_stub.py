"""An API server on the loopback that answers as it is told, and the client in front of it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from controller.cluster.api import ApiSettings, KubeApi, Watcher

TOKEN = "s3cr3t-t0ken"


def a_status(reason: str, message: str) -> bytes:
    """What the API server says when it refuses."""
    return json.dumps({"kind": "Status", "status": "Failure", "reason": reason, "message": message}).encode()


@dataclass(frozen=True)
class Said:
    """One answer."""

    status: int = 200
    body: bytes = b'{"kind": "Thing"}'
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0


@dataclass
class ApiStub:
    """Gives its answers in order, the last one again and again, and remembers what it was asked."""

    answers: list[Said] = field(default_factory=lambda: [Said()])
    token: str | None = None
    """The only token that is let in, where one is given."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method, and path with query."""
    bodies: list[tuple[str, Any]] = field(default_factory=list)
    """Content type and object of those requests that brought one."""
    headers: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        self.asked.append((request.method, request.path_qs))
        self.headers.append(dict(request.headers))
        if request.can_read_body:
            self.bodies.append((request.content_type, await request.json()))
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401, body=a_status("Unauthorized", "Unauthorized"))
        said = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        await asyncio.sleep(said.after_s)
        return web.Response(status=said.status, body=said.body, headers=said.headers)


def kubeconfig(folder: Path, server: str, **user: str) -> Path:
    """A kubeconfig (JSON is YAML); the user has TOKEN unless told otherwise."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": user or {"token": TOKEN}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "me"}}],
        "current-context": "test",
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(content))
    return file


@contextlib.asynccontextmanager
async def api_on(port: int, folder: Path, watcher: Watcher | None = None, **wishes: Any) -> AsyncIterator[KubeApi]:
    """The client in front of a server on the loopback."""
    file = kubeconfig(folder, f"http://127.0.0.1:{port}")
    async with KubeApi(ApiSettings(**{"kubeconfig": file, "deadline_s": 5.0, **wishes}), watcher) as api:
        yield api

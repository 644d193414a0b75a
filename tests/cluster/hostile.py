"""A Prometheus that answers wrongly on purpose, in threads of the test: malformed, slow, or not at all.

Its bodies are the ones that tests/controller/prometheus knows to be no reading.
"""

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer

from tests.controller.prometheus.stub import a_vector
from tests.controller.prometheus.test_answer import test_anything_else_is_unknown_with_a_reason as no_readings

BODIES: dict[str, bytes] = {case.id: case.values[0] for mark in no_readings.pytestmark for case in mark.args[1]}
"""By name, what is answered with status 200."""

BODIES |= {"too-large": a_vector("1e309"), "hexadecimal": a_vector("0x10"), "partial-nothing": a_vector(warnings=["x"])}

STATUSES = {f"status-{code}": code for code in (302, 400, 401, 403, 404, 422, 429, 500, 502, 503)}
"""By name, what is answered with an empty body."""

WAYS = ("refuse", "hang", "drip", "hang-up", "reset", "no-http")
"""How there is no answer: nobody listens; nothing comes, or a byte at a time; the connection ends; nonsense comes."""

MANNERS = (*BODIES, *STATUSES, *WAYS)
FORWARD = "forward"
"""The manner of a proxy: what the Prometheus behind it says."""
DRIP_S = 0.1
PATIENCE_S = 10.0
"""Longest that a client may take over its request (chosen)."""


class HostilePrometheus:
    """Answers every request in the manner it is set to, one of MANNERS; `asked` counts them.

    With a Prometheus behind it, it can be a proxy that is hostile to some: `manners` by a label's value, such as
    "hang" for every query with the matcher `job!="hang"`.
    """

    def __init__(self, manner: str, behind: int | None = None) -> None:
        """`behind`: port of a Prometheus."""
        self.port, self.asked = 0, 0
        self.behind = behind
        self.manners: dict[str, str] = {}
        self.gate = threading.Event()
        """While it is not set, answers of the Prometheus behind wait."""
        self.gate.set()
        self._server: _Server | None = None
        self.manner = manner

    @property
    def url(self) -> str:
        """Its address, which stays the same."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def manner(self) -> str:
        """How it answers now."""
        return self._manner

    @manner.setter
    def manner(self, manner: str) -> None:
        """From now on answer so; whoever still waits for an answer loses the connection."""
        if manner not in MANNERS and (manner != FORWARD or self.behind is None):
            raise ValueError(f"{manner!r} is not one of {', '.join(MANNERS)}")
        self.close()
        self._manner = manner
        self._server = _Server(self)
        self.port = self._server.server_address[1]
        if manner == "refuse":
            self.close()

    def manner_to(self, request: bytes) -> str:
        """How a request is answered."""
        marked = (manner for value, manner in self.manners.items() if f"%22{value}%22".encode() in request)
        return next(marked, self.manner)

    def close(self) -> None:
        """Listen no more, and end what is under way."""
        if self._server is not None:
            self._server.close()
            self._server = None


@contextmanager
def hostile_prometheus(manner: str = "empty", behind: int | None = None) -> Iterator[HostilePrometheus]:
    """A server on a free port of the loopback, to be set to one manner after another."""
    hostile = HostilePrometheus(manner, behind)
    try:
        yield hostile
    finally:
        hostile.close()


class _Server(ThreadingTCPServer):
    """Serves one manner from its making until it is closed."""

    allow_reuse_address = True

    def __init__(self, owner: HostilePrometheus) -> None:
        super().__init__(("127.0.0.1", owner.port), _Conversation)
        self.owner, self.closing = owner, threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        """End every conversation and wait for its thread."""
        self.closing.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Conversation(StreamRequestHandler):
    """One request, one answer, and the connection ends."""

    server: _Server
    timeout = PATIENCE_S

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the client left
            request = self._take_request()
            self.server.owner.asked += 1
            self._answer(self.server.owner.manner_to(request), request)

    def _take_request(self) -> bytes:
        length, lines = 0, [self.rfile.readline(65536), b"Connection: close\r\n"]
        while (line := self.rfile.readline(65536)).strip():
            lines.append(line)
            if found := re.match(rb"content-length: *(\d+)", line, re.IGNORECASE):
                length = int(found[1])
        return b"".join([*lines, b"\r\n", self.rfile.read(length)])

    def _answer(self, manner: str, request: bytes) -> None:
        if manner == FORWARD:
            self._forward(request)
        elif manner in BODIES:
            self._send(200, BODIES[manner])
        elif manner in STATUSES:
            self._send(STATUSES[manner], b"")
        elif manner == "no-http":
            self.wfile.write(b"\xff\x00\x01\r\n\r\n")
        elif manner == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif manner == "hang":
            self.server.closing.wait()
        elif manner == "drip":
            self._drip(a_vector("7"))

    def _forward(self, request: bytes) -> None:
        port = self.server.owner.behind
        assert port is not None
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as behind:
            behind.sendall(request)
            answer = b"".join(iter(lambda: behind.recv(65536), b""))
        if self.server.owner.gate.wait(PATIENCE_S):
            self.wfile.write(answer)

    def _send(self, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} so\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def _drip(self, body: bytes) -> None:
        """Promise more than what comes, so that it never ends well."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        for byte in body * 1000:
            self.wfile.write(bytes([byte]))
            if self.server.closing.wait(DRIP_S):
                return

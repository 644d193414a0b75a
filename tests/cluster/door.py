"""A door to the API server that one operator goes through, in a thread of the test: a request can be held at it.

It speaks TLS on both sides, and shows the API server the certificate of its one user. Whatever is not held goes through
as it comes, watches too. What is held goes on when it is let, though whoever sent it may have given up.
"""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ssl import SSLContext

CHUNK = 65536
HELD_AT_MOST_S = 300.0
"""Longer than any test waits (chosen)."""


@dataclass
class Hold:
    """Requests that begin so wait at the door until they are let through."""

    beginning: re.Pattern[bytes]
    came: threading.Event = field(default_factory=threading.Event)
    """Set as soon as one waits, with all of its body."""
    opened: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)
    """Set as soon as an answer to one is on its way to who asked."""

    def let_through(self) -> None:
        """Now, and from now on."""
        self.opened.set()


class Door:
    """Listens on a port of the loopback from `door` on."""

    def __init__(self, behind: int, serving: SSLContext, asking: SSLContext) -> None:
        """`behind`: port of the API server; `asking`: TLS of the user who comes through the door."""
        self._behind, self._serving, self._asking = behind, serving, asking
        self._holds: list[Hold] = []
        self._ready, self._over = threading.Event(), threading.Event()
        self.port = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="door")

    @property
    def url(self) -> str:
        """The API server's address, for who goes through."""
        return f"https://127.0.0.1:{self.port}"

    def hold(self, beginning: str) -> Hold:
        """From now on requests whose first line begins like this pattern wait; of several patterns the first counts."""
        hold = Hold(re.compile(beginning.encode()))
        self._holds = [*self._holds, hold]
        return hold

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Listen no more, and end what is under way."""
        self._over.set()
        for hold in self._holds:
            hold.let_through()
        self._thread.join()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._conversation, "127.0.0.1", 0, ssl=self._serving)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await asyncio.to_thread(self._over.wait)
        server.close()

    async def _conversation(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Requests follow each other, so that each begins a chunk. One that was held goes over a connection of its own,
        as the API server may have given up the one that it would have come over."""
        behind: _Behind | None = None
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                hold = next((each for each in self._holds if each.beginning.match(chunk)), None)
                if hold is not None:
                    chunk = await _whole(chunk, reader)
                    hold.came.set()
                    if behind is not None:
                        behind.close()
                    await asyncio.to_thread(hold.opened.wait, HELD_AT_MOST_S)
                if behind is None or hold is not None:
                    asking = asyncio.open_connection("127.0.0.1", self._behind, ssl=self._asking)
                    behind = _Behind(*await asking, writer, hold)
                behind.writer.write(chunk)
                await behind.writer.drain()
        if behind is not None:
            behind.close()
        writer.close()


class _Behind:
    """A connection to the API server, whose answers go to who asked; what ends it ends that one's, too."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
        hold: Hold | None,
    ) -> None:
        self.writer = writer
        self._answering = asyncio.create_task(self._answer(reader, client, hold))

    def close(self) -> None:
        self._answering.cancel()
        self.writer.close()

    async def _answer(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, hold: Hold | None) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                client.write(chunk)
                if hold is not None:
                    hold.answered.set()
                await client.drain()
        client.close()


async def _whole(chunk: bytes, reader: asyncio.StreamReader) -> bytes:
    """A request with its body."""
    head, _, body = chunk.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    left = int(length[1]) - len(body) if length else 0
    return chunk + await reader.readexactly(left)


@contextmanager
def door(behind: int, serving: SSLContext, asking: SSLContext) -> Iterator[Door]:
    """A door that is open."""
    own = Door(behind, serving, asking)
    own.start()
    try:
        yield own
    finally:
        own.stop()

"""A raw scripted server: what arrives is recorded byte for byte, what leaves is exactly what the test wrote.

In: a handler coroutine, ready answers (`answering`), or a golden transcript (`transcript`). Out: `RawServer`, with the
address in `url` and everything received in `connections` and `requests`.
Limits: one process, loopback only; a request that the peer reads whole is at most `MAX_REQUEST` bytes.
RFC: none on purpose; the framing that `RawConnection.request` understands is that of RFC 9112 section 6.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl as ssl_module
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType

from yarl import URL

MAX_REQUEST = 64 * 2**20
"""Bytes of one request that a peer is willing to hold: far above any test body."""

STEP_TIMEOUT = 20.0
"""Seconds that a scripted step waits before the test is told that it hangs."""


class RawRequest:
    """One request as it came over the wire."""

    __slots__ = ("body", "head", "trailer", "wire_body")

    def __init__(self, head: bytes, body: bytes, wire_body: bytes, trailer: bytes = b"") -> None:
        self.head = head
        self.body = body
        self.wire_body = wire_body
        self.trailer = trailer

    @property
    def raw(self) -> bytes:
        """The head and the body, framing included."""
        return self.head + self.wire_body

    @property
    def line(self) -> str:
        """The request line without its line end."""
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def method(self) -> str:
        return self.line.split(" ", 1)[0]

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The field lines in order, names as they were spelled."""
        pairs = []
        for line in self.head.split(b"\r\n")[1:]:
            if line:
                name, _, value = line.partition(b":")
                pairs.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))
        return pairs

    def field(self, name: str) -> str | None:
        """The value of the first field with that name, or None."""
        wanted = name.lower()
        for key, value in self.fields:
            if key.lower() == wanted:
                return value
        return None

    def __repr__(self) -> str:
        return f"<RawRequest {self.line!r} body={len(self.body)}>"


class RawConnection:
    """One accepted connection, seen from the scripted side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number
        self.received = bytearray()
        self.requests: list[RawRequest] = []
        self.eof = False

    async def read(self, n: int = 65536) -> bytes:
        """Whatever came next, b'' at the end or after a reset."""
        try:
            data = await self.reader.read(n)
        except (ConnectionError, ssl_module.SSLError):
            data = b""
        self.received += data
        if not data:
            self.eof = True
        return data

    async def until(self, mark: bytes) -> bytes:
        """Everything up to and including `mark`; raises asyncio.IncompleteReadError when the peer leaves first."""
        data = await self.reader.readuntil(mark)
        self.received += data
        return data

    async def exactly(self, n: int) -> bytes:
        """Exactly n bytes; raises asyncio.IncompleteReadError when the peer leaves first."""
        data = await self.reader.readexactly(n)
        self.received += data
        return data

    async def head(self) -> RawRequest | None:
        """The next request's head alone, or None when the peer has left."""
        try:
            head = await self.until(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError, ssl_module.SSLError) as exc:
            self.received += getattr(exc, "partial", b"")
            self.eof = True
            return None
        request = RawRequest(head, b"", b"")
        self.requests.append(request)
        return request

    async def body(self, request: RawRequest) -> RawRequest:
        """Read the body that the head of `request` announces into it."""
        if "chunked" in (request.field("Transfer-Encoding") or "").lower():
            body, wire = bytearray(), bytearray()
            while True:
                size_line = await self.until(b"\r\n")
                wire += size_line
                size = int(size_line.split(b";")[0], 16)
                if size == 0:
                    break
                piece = await self.exactly(size + 2)
                wire += piece
                body += piece[:-2]
            trailer = bytearray()
            while (line := await self.until(b"\r\n")) != b"\r\n":
                trailer += line
            wire += trailer + b"\r\n"
            request.body, request.wire_body, request.trailer = bytes(body), bytes(wire), bytes(trailer)
        elif length := request.field("Content-Length"):
            request.body = request.wire_body = await self.exactly(int(length))
        return request

    async def request(self) -> RawRequest | None:
        """The next request with its body, or None when the peer has left."""
        request = await self.head()
        if request is None:
            return None
        try:
            return await self.body(request)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.eof = True
            return None

    async def send(self, data: bytes) -> None:
        """Write and wait until the kernel has it; a peer that has left is not an error here."""
        if self.writer.is_closing():  # uvloop raises RuntimeError where asyncio ignores the write
            return
        with contextlib.suppress(ConnectionError, ssl_module.SSLError):
            self.writer.write(data)
            await self.writer.drain()

    async def send_each(self, data: bytes, step: int = 1) -> None:
        """Write in pieces of `step` bytes, giving the loop a turn after each."""
        for start in range(0, len(data), step):
            await self.send(data[start : start + step])
            await asyncio.sleep(0)

    async def wait_closed_by_peer(self) -> bool:
        """Read to the end; True when the peer ended the connection within `STEP_TIMEOUT`."""
        try:
            async with asyncio.timeout(STEP_TIMEOUT):
                while await self.read():
                    pass
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """End the connection in order (FIN)."""
        self.writer.close()

    def reset(self) -> None:
        """End the connection with a reset (RST)."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Handler = Callable[[RawConnection], Awaitable[None]]


class RawServer:
    """A listening scripted server; use with `async with`. A handler that raises fails the test at exit."""

    def __init__(
        self,
        handler: Handler,
        *,
        ssl: ssl_module.SSLContext | None = None,
        host: str = "127.0.0.1",
        path: str | None = None,
    ) -> None:
        self.handler = handler
        self.ssl = ssl
        self.host = host
        self.path = path
        self.port = 0
        self.connections: list[RawConnection] = []
        self.failures: list[BaseException] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> URL:
        """The root URL of this server."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return URL(f"{'https' if self.ssl else 'http'}://{host}:{self.port}/")

    @property
    def requests(self) -> list[RawRequest]:
        """All requests of all connections, connection by connection."""
        return [request for connection in self.connections for request in connection.requests]

    async def _run(self, connection: RawConnection) -> None:
        try:
            await self.handler(connection)
        except asyncio.CancelledError:
            raise
        except (asyncio.IncompleteReadError, ConnectionError, ssl_module.SSLError):
            connection.eof = True
        except BaseException as exc:
            self.failures.append(exc)
        finally:
            connection.writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = RawConnection(reader, writer, len(self.connections))
        self.connections.append(connection)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await self._run(connection)
        finally:
            self._tasks.discard(task)

    async def __aenter__(self) -> RawServer:
        if self.path is not None:
            self._server = await asyncio.start_unix_server(self._accept, self.path, limit=MAX_REQUEST, ssl=self.ssl)
        else:
            self._server = await asyncio.start_server(
                self._accept, self.host, 0, limit=MAX_REQUEST, ssl=self.ssl, backlog=512
            )
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self.connections:
            connection.writer.transport.abort()
        # A handler that is cancelled while it is told of a reset would never look at the reset: let it hear first.
        for _ in range(3):
            await asyncio.sleep(0)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STEP_TIMEOUT)
        for _ in range(3):  # aborted transports tell their protocols on the next turns
            await asyncio.sleep(0)
        if exc is None and self.failures:
            raise self.failures[0]


def raw_server(
    handler: Handler, *, ssl: ssl_module.SSLContext | None = None, host: str = "127.0.0.1", path: str | None = None
) -> RawServer:
    """A server whose every connection runs `handler`."""
    return RawServer(handler, ssl=ssl, host=host, path=path)


def answering(*answers: bytes | None, close: bool = False, then_close: bool = False) -> Handler:
    """A handler that reads whole requests and gives the answers in turn, the last one for ever.

    The turn is counted over all connections. None closes the connection without an answer; `close` closes after
    each answer, `then_close` after the last one.
    """
    turn = 0

    async def handler(connection: RawConnection) -> None:
        nonlocal turn
        while await connection.request() is not None:
            answer = answers[min(turn, len(answers) - 1)]
            turn += 1
            if answer is None:
                return
            await connection.send(answer)
            if close or (then_close and turn >= len(answers)):
                return

    return handler


def response(
    status: int | str = 200,
    body: bytes = b"",
    *fields: tuple[str, str],
    reason: str = "OK",
    length: bool = True,
    version: str = "1.1",
) -> bytes:
    """The bytes of one plain response, with Content-Length unless told otherwise."""
    lines = [f"HTTP/{version} {status} {reason}"]
    lines += [f"{name}: {value}" for name, value in fields]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunks(*pieces: bytes, trailer: bytes = b"", end: bool = True) -> bytes:
    """The pieces as a chunked body (RFC 9112 section 7.1)."""
    coded = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return coded + (b"0\r\n" + trailer + b"\r\n" if end else b"")


class TranscriptMismatch(AssertionError):
    """What the client sent is not what the transcript says."""


def parse_transcript(text: str) -> list[tuple[str, bytes]]:
    r"""Steps of a golden transcript: `C:` lines are expected, `S:` lines are sent, `S!` is `close` or `reset`.

    A line ends in CR LF unless it ends in a backslash; escapes (\r, \n, \x00, \t, \\) are understood. Blank lines and
    lines that start with `#` are skipped. `C: *` skips the rest of a head, up to and including its empty line.
    """
    steps: list[tuple[str, bytes]] = []
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        mark, rest = stripped[:2], stripped[2:].removeprefix(" ")
        if mark == "S!":
            steps.append((rest.strip(), b""))
            continue
        if mark not in ("C:", "S:"):
            raise ValueError(f"a transcript line starts with 'C:', 'S:' or 'S!', not {stripped[:20]!r}")
        if mark == "C:" and rest == "*":
            steps.append(("rest-of-head", b""))
            continue
        whole = not (rest.endswith("\\") and not rest.endswith("\\\\"))
        data = (rest if whole else rest[:-1]).encode("latin-1", "backslashreplace").decode("unicode_escape")
        payload = data.encode("latin-1") + (b"\r\n" if whole else b"")
        kind = "expect" if mark == "C:" else "send"
        if steps and steps[-1][0] == kind == "send":
            steps[-1] = (kind, steps[-1][1] + payload)
        else:
            steps.append((kind, payload))
    return steps


def transcript(text: str) -> Handler:
    """A handler that plays a golden transcript and raises TranscriptMismatch where the client departs from it.

    `{port}` in a `C:` line stands for the server's port.
    """
    steps = parse_transcript(text)

    async def handler(connection: RawConnection) -> None:
        port = str(connection.writer.get_extra_info("sockname")[1]).encode()
        for number, (kind, payload) in enumerate(steps):
            async with asyncio.timeout(STEP_TIMEOUT):
                if kind == "expect":
                    await _expect(connection, payload.replace(b"{port}", port), number)
                elif kind == "rest-of-head":
                    while await connection.until(b"\r\n") != b"\r\n":
                        pass
                elif kind == "send":
                    await connection.send(payload)
                elif kind == "reset":
                    connection.reset()
                    return
                else:
                    return
        await connection.read()

    return handler


async def _expect(connection: RawConnection, wanted: bytes, number: int) -> None:
    if wanted.endswith(b"\n"):
        got = await connection.until(b"\n")
    else:
        got = await connection.exactly(len(wanted))
    if got != wanted:
        raise TranscriptMismatch(f"step {number}: expected {wanted!r}, the client sent {got!r}")

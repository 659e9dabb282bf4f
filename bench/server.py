"""A local HTTP server that costs next to nothing, so that what is measured is the client.

Every answer is built before the first connection; a request costs one ``find`` and one ``write``.  It trusts its
client: it is for benchmarks on the loopback and for nothing else.  Prints one line of JSON when it listens (ports, path
of the CA certificate, the size of each answer) and serves until its standard input ends.

Paths: ``/small`` ``/json`` ``/read`` ``/chunks`` (prebuilt), ``/stream/N`` (N bytes), ``POST /post`` and ``POST /sink``
(body of any size, Content-Length or chunked, read and dropped), ``/barrier/N`` (answers when N requests wait in it).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import ssl
import sys
import tempfile
from pathlib import Path
from typing import cast

from . import cases
from .processes import new_event_loop, pin_to

BLOCK = bytes(256 * cases.KIB)
WRITE_HIGH_WATER = 1 * cases.MIB
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)
LAST_CHUNK = b"0\r\n\r\n"
SMALL_BODY = b'{"id": 4211, "status": "ready", "queue": 17}'


def head(content_type: str, framing: str) -> bytes:
    """Return a response head of nine fields, as an API behind a proxy sends it."""
    fields = (
        "Server: nginx/1.25.3",
        "Date: Tue, 04 Mar 2025 10:20:30 GMT",
        f"Content-Type: {content_type}",
        framing,
        "Connection: keep-alive",
        "Vary: Accept-Encoding",
        "Cache-Control: no-cache, private",
        'ETag: "5f3c1c2a-2c"',
        "X-Request-Id: 9b2f0a64c9f84a0fa3d1",
    )
    return ("HTTP/1.1 200 OK\r\n" + "".join(f"{field}\r\n" for field in fields) + "\r\n").encode()


def whole(body: bytes, content_type: str = "application/json; charset=utf-8") -> bytes:
    return head(content_type, f"Content-Length: {len(body)}") + body


def prebuilt() -> dict[bytes, bytes]:
    """Return the complete answer for each fixed path."""
    chunk = b"%x\r\n%s\r\n" % (cases.SMALL_CHUNK_BYTES, b"c" * cases.SMALL_CHUNK_BYTES)
    return {
        b"/small": whole(SMALL_BODY),
        b"/post": whole(SMALL_BODY),
        b"/sink": whole(SMALL_BODY),
        b"/json": whole(cases.json_document(10 * cases.KIB)),
        b"/read": whole(bytes(cases.READ_BYTES), "application/octet-stream"),
        b"/chunks": head("text/plain", "Transfer-Encoding: chunked") + chunk * cases.SMALL_CHUNKS + LAST_CHUNK,
    }


ANSWERS = prebuilt()


class Barrier:
    """Holds requests until enough of them wait, then answers all: that many connections exist at once."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Transport] = []

    def arrive(self, transport: asyncio.Transport, count: int) -> None:
        self.waiting.append(transport)
        if len(self.waiting) >= count:
            for waiting in self.waiting:
                waiting.write(ANSWERS[b"/small"])
            self.waiting.clear()


class Connection(asyncio.Protocol):
    """One client connection: requests in, prebuilt answers out."""

    __slots__ = ("barrier", "body_left", "buffer", "chunked_tail", "path", "paused", "stream_left", "transport")

    def __init__(self, barrier: Barrier) -> None:
        self.barrier = barrier
        self.buffer = b""
        self.path = b""
        self.body_left = 0
        self.chunked_tail: bytes | None = None
        self.stream_left = 0
        self.paused = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.pump()

    def pump(self) -> None:
        """Write blocks of a stream until it ends or the transport is full."""
        while self.stream_left and not self.paused:
            size = min(self.stream_left, len(BLOCK))
            self.stream_left -= size
            self.transport.write(BLOCK if size == len(BLOCK) else BLOCK[:size])

    def data_received(self, data: bytes) -> None:
        idle = not self.buffer and not self.body_left and self.chunked_tail is None
        if idle and data.startswith(b"GET ") and data.find(b"\r\n\r\n") == len(data) - 4:
            self.answer(data[4 : data.index(b" ", 4)])
            return
        self.buffer += data
        while self.buffer and self.take_one():
            pass

    def take_one(self) -> bool:
        """Take a request head or a piece of a body from the buffer; False when more bytes are needed."""
        if self.body_left:
            taken = min(self.body_left, len(self.buffer))
            self.buffer = self.buffer[taken:]
            self.body_left -= taken
            if not self.body_left:
                self.answer(self.path)
            return True
        if self.chunked_tail is not None:
            # The clients of these benchmarks send no byte pattern in a chunked body that looks like the last chunk.
            tail = (self.chunked_tail + self.buffer)[-len(LAST_CHUNK) :]
            self.buffer = b""
            self.chunked_tail = None if tail == LAST_CHUNK else tail
            if self.chunked_tail is None:
                self.answer(self.path)
            return True
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        request, self.buffer = self.buffer[:end], self.buffer[end + 4 :]
        self.path = request.split(b" ", 2)[1]
        if CHUNKED.search(request):
            self.chunked_tail = b""
        elif (length := CONTENT_LENGTH.search(request)) and int(length[1]):
            self.body_left = int(length[1])
        else:
            self.answer(self.path)
        return True

    def answer(self, path: bytes) -> None:
        known = ANSWERS.get(path)
        if known is not None:
            self.transport.write(known)
        elif path.startswith(b"/stream/"):
            self.stream_left = int(path[8:])
            self.transport.write(head("application/octet-stream", f"Content-Length: {self.stream_left}"))
            self.pump()
        elif path.startswith(b"/barrier/"):
            self.barrier.arrive(self.transport, int(path[9:]))
        else:
            raise SystemExit(f"the benchmark server has no path {path!r}")


def answer_sizes() -> dict[str, int]:
    """Return the number of bytes on the wire of each answer, for the bare clients that only count them."""
    sizes = {path.decode(): len(answer) for path, answer in ANSWERS.items()}
    length = cases.STREAM_BYTES
    sizes[f"/stream/{length}"] = len(head("application/octet-stream", f"Content-Length: {length}")) + length
    return sizes


def tls_context(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server context for 127.0.0.1 and the file with the authority that signed its certificate."""
    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    ca_file = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return context, ca_file


async def serve(directory: Path) -> None:
    """Listen on two free ports of 127.0.0.1, plain and TLS, until standard input ends."""
    loop = asyncio.get_running_loop()
    barrier = Barrier()
    context, ca_file = tls_context(directory)
    plain = await loop.create_server(lambda: Connection(barrier), "127.0.0.1", 0, backlog=2048)
    tls = await loop.create_server(lambda: Connection(barrier), "127.0.0.1", 0, ssl=context, backlog=2048)
    ready = {
        "plain": f"http://127.0.0.1:{plain.sockets[0].getsockname()[1]}",
        "tls": f"https://127.0.0.1:{tls.sockets[0].getsockname()[1]}",
        "ca_file": str(ca_file),
        "sizes": answer_sizes(),
    }
    print(json.dumps(ready), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the benchmark answers on the loopback.")
    parser.add_argument("--core", type=int, help="pin the process to this core")
    options = parser.parse_args()
    pin_to(options.core)
    with tempfile.TemporaryDirectory() as directory, contextlib.closing(new_event_loop("uvloop", "asyncio")) as loop:
        loop.run_until_complete(serve(Path(directory)))


if __name__ == "__main__":
    main()

"""Crowds of clients for one server: the same scenes run small with the other tests and large in the soak tests.

In: how many of everything. Out: assertions about what each client got; `Site` is the application they talk to.
Limits: no scene asserts seconds, but for the end of a server; what should not wait is shown by what waits on it.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import logging
import os
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from tests.web.raw_client import RawClient, RawResponse
from tests.web.raw_site import web_module

MIB = 2**20
PIECE = bytes(range(256)) * 1024
"""What large bodies are made of."""

LINGER_NOT = struct.pack("ii", 1, 0)
"""SO_LINGER that ends a connection with a reset."""

KINDS = 5
"""Requests that `Load` has: quick, slow, large, streamed, and with a body."""

DEPTH = 8
"""Unanswered requests of a client that sends further ones without waiting."""

AT_ONCE = 64
"""Connections that are opened at the same time: below any backlog."""


def resident(process: int | str = "self") -> int:
    """Bytes of memory that a process has now."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        pytest.skip("the size of a process is read from /proc")
    return pages * os.sysconf("SC_PAGE_SIZE")


class Largest:
    """The size of this process, looked at often while the block runs."""

    def __init__(self, allowed: int) -> None:
        self.allowed = allowed

    async def _watch(self) -> None:
        while True:
            self.most = max(self.most, resident())
            await asyncio.sleep(0.01)

    async def __aenter__(self) -> Largest:
        gc.collect()
        self.first = self.most = resident()
        self._watching = asyncio.ensure_future(self._watch())
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._watching.cancel()
        await asyncio.wait([self._watching])
        grown = max(self.most, resident()) - self.first
        if exc is None:
            print(f"grew by {grown / MIB:.1f} MiB")
            assert grown < self.allowed, f"grew by {grown / MIB:.1f} MiB"


class Site:
    """An application on loopback, see the handlers; `begun` has the numbers of their requests."""

    def __init__(self, *, client_max_size: int = MIB, shutdown_timeout: float = 20.0, **options: Any) -> None:
        self.web: Any = web_module()
        self.begun: set[str] = set()
        self.accepted: set[int] = set()
        self.told = 0
        self.file: Path | None = None
        self.app = self.web.Application(client_max_size=client_max_size)
        plain = (self.hello, self.echo, self.form, self.boom, self.wait, self.large, self.sum, self.read, self.fetch)
        for handler in (*plain, self.pour, self.whole, self.trickle, self.forever, self.polite):
            self.app.router.add_route("*", f"/{handler.__name__}", handler)
        logger = logging.getLogger("tests.load")
        logger.disabled = True  # of the handler that fails on purpose
        self.runner = self.web.AppRunner(
            self.app, access_log=None, logger=logger, shutdown_timeout=shutdown_timeout, **options
        )
        self.port = 0

    async def hello(self, request: Any) -> Any:
        number = request.query_string
        self.begun.add(number)
        return self.web.Response(text=f"hello {number}")

    async def echo(self, request: Any) -> Any:
        self.begun.add(request.query_string)
        return self.web.Response(body=await request.read())

    async def form(self, request: Any) -> Any:
        fields = await request.post()
        return self.web.Response(text=f"{fields['name']} {len(fields['file'].file.read())}")

    async def boom(self, request: Any) -> Any:
        raise RuntimeError("on purpose")

    async def wait(self, request: Any) -> Any:
        self.begun.add(request.query_string)
        await asyncio.sleep(0.03)
        return self.web.Response(text=f"waited {request.query_string}")

    async def large(self, request: Any) -> Any:
        self.begun.add(request.query_string)
        return self.web.Response(body=PIECE * 4)

    async def sum(self, request: Any) -> Any:
        """Reads a body in pieces."""
        length = 0
        async for piece in request.content.iter_any():
            length += len(piece)
        return self.web.Response(text=str(length))

    async def read(self, request: Any) -> Any:
        return self.web.Response(text=str(len(await request.read())))

    async def pour(self, request: Any) -> Any:
        """As many bytes as the query says."""
        response = self.web.StreamResponse()
        await response.prepare(request)
        for _ in range(int(request.query_string) // len(PIECE)):
            await response.write(PIECE)
        return response

    async def whole(self, request: Any) -> Any:
        """As many bytes as the query says, in one piece."""
        return self.web.Response(body=PIECE * (int(request.query_string) // len(PIECE)))

    async def trickle(self, request: Any) -> Any:
        """A short stream."""
        self.begun.add(request.query_string)
        response = self.web.StreamResponse()
        await response.prepare(request)
        for _ in range(5):
            await response.write(b"drop ")
            await asyncio.sleep(0.005)
        return response

    async def fetch(self, request: Any) -> Any:
        return self.web.FileResponse(self.file)

    async def forever(self, request: Any) -> Any:
        """A stream that does not look whether the server ends."""
        response = self.web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 100)
            await asyncio.sleep(0.01)

    async def polite(self, request: Any) -> Any:
        """A stream that ends when it is told to."""
        response = self.web.StreamResponse()
        await response.prepare(request)
        assert not request.shutting_down
        await response.write(b"one")
        await request.wait_for_shutdown()
        assert request.shutting_down
        self.told += 1
        await response.write(b"bye")
        return response

    async def __aenter__(self) -> Site:
        await self.runner.setup()
        server = self.runner.server
        take = server.connection_made

        def connection_made(handler: Any, transport: asyncio.Transport) -> None:
            self.accepted.add(transport.get_extra_info("peername")[1])
            take(handler, transport)

        server.connection_made = connection_made
        site = self.web.TCPSite(self.runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        self.port = self.runner.addresses[0][1]
        return self

    @property
    def connections(self) -> int:
        server = self.runner.server
        return 0 if server is None else len(server.connections)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.runner.shutdown_timeout = 0.1
        await self.runner.cleanup()


def message(path: str, body: bytes | None = None, *fields: str, method: str = "") -> bytes:
    """A request."""
    lines = [f"{method or ('GET' if body is None else 'POST')} {path} HTTP/1.1", "Host: load.test", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


FORM = (
    b'--B\r\nContent-Disposition: form-data; name="name"\r\n\r\nload\r\n'
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + b"f" * 5000 + b"\r\n--B--\r\n"
)


async def opened(port: int, receive_buffer: int = 0) -> RawClient:
    """A connection; a small receive buffer makes a slow reader felt."""
    sock = socket.socket()
    try:
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=receive_buffer or 2**16)
    except BaseException:
        sock.close()
        raise
    return RawClient(reader, writer, sock.fileno())


async def opened_with(port: int, data: bytes) -> RawClient:
    """A connection on which a request is sent before anything else can happen: the first kilobyte of it at least."""
    sock = socket.socket()
    try:
        sock.settimeout(20)
        sock.connect(("127.0.0.1", port))
        sent = sock.send(data[:1000])
        sock.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=sock)
    except BaseException:
        sock.close()
        raise
    writer.write(data[sent:])
    return RawClient(reader, writer, sock.fileno())


async def closed(*clients: RawClient) -> None:
    for client in clients:
        client.writer.transport.abort()
    for _ in range(3):
        await asyncio.sleep(0)


async def crowd(count: int, make: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """`make(0)` to `make(count - 1)`, a few at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(n: int) -> Any:
        async with gate:
            return await make(n)

    return list(await asyncio.gather(*(one(n) for n in range(count))))


# ---- fast and slow clients


async def fast_and_slow(fast: int, slow: int, rounds: int) -> None:
    """No slow client is done before all fast ones are, since its last byte waits for them: nobody may wait for it."""
    async with Site() as site:
        fast_are_done = asyncio.Event()
        finished: list[str] = []
        moving: Counter[str] = Counter()

        async def trickle(client: RawClient, number: int) -> None:
            """Send head and body byte by byte."""
            data = message("/echo", b"slow %d" % number)
            for at in range(len(data) - 1):
                client.writer.write(data[at : at + 1])
                moving[f"trickle {number}"] += 1
                await asyncio.sleep(0)
            await fast_are_done.wait()
            client.writer.write(data[-1:])
            answer = await client.response()
            assert (answer.status, answer.body) == (200, b"slow %d" % number)
            finished.append("slow")

        async def sip(client: RawClient, number: int) -> None:
            """Read a large body in sips, and not its end."""
            client.writer.write(message("/large"))
            head = await client.until(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
            left = len(PIECE) * 4
            digest = hashlib.sha256()
            while left:
                piece = await client.reader.read(min(left, 1000))
                assert piece
                digest.update(piece)
                left -= len(piece)
                moving[f"sip {number}"] += 1
                if moving[f"sip {number}"] == 20:
                    await fast_are_done.wait()
                elif not fast_are_done.is_set():
                    await asyncio.sleep(0)
            assert digest.digest() == hashlib.sha256(PIECE * 4).digest()
            finished.append("slow")

        async def dash(client: RawClient, number: int) -> None:
            for n in range(rounds):
                if n % 2:
                    text = b"%d of %d" % (n, number)
                    client.writer.write(message("/echo", text))
                else:
                    text = b"hello %d.%d" % (number, n)
                    client.writer.write(message(f"/hello?{number}.{n}"))
                answer = await client.response()
                assert (answer.status, answer.body) == (200, text)
            finished.append("fast")

        slow_clients = await crowd(slow, lambda n: opened(site.port, 4096 if n % 2 else 0))
        fast_clients = await crowd(fast, lambda n: opened(site.port))
        try:
            assert len(site.accepted) == fast + slow
            slowly = [
                asyncio.ensure_future((sip if n % 2 else trickle)(client, n)) for n, client in enumerate(slow_clients)
            ]
            await asyncio.sleep(0)
            await asyncio.gather(*(dash(client, n) for n, client in enumerate(fast_clients)))
            assert finished == ["fast"] * fast
            assert site.connections == fast + slow
            assert len(moving) == slow, "each slow client was served meanwhile"
            fast_are_done.set()
            await asyncio.gather(*slowly)
            assert finished[fast:] == ["slow"] * slow
            # All are kept alive, and good for another one.
            again = await crowd(fast, lambda n: exchange(fast_clients[n], message(f"/hello?again{n}")))
            assert [answer.body for answer in again] == [b"hello again%d" % n for n in range(fast)]
        finally:
            await closed(*slow_clients, *fast_clients)


async def exchange(client: RawClient, data: bytes) -> RawResponse:
    client.writer.write(data)
    return await client.response()


# ---- many requests


def kinds() -> list[tuple[bytes, int, bytes | None]]:
    """What a mixed crowd sends, and gets."""
    text = json.dumps({"n": list(range(50))}).encode()
    return [
        (message("/hello?1"), 200, b"hello 1"),
        (message("/echo", text, "Content-Type: application/json"), 200, text),
        (message("/nowhere"), 404, None),
        (message("/boom"), 500, None),
        (message("/form", FORM, "Content-Type: multipart/form-data; boundary=B"), 200, b"load 5000"),
        (message("/echo", b"2" * 70_000), 200, b"2" * 70_000),
        (message("/hello?1", None, "X-Some: thing", "Cookie: a=b; c=d"), 200, b"hello 1"),
    ]


class Mix:
    """One client after the other, or one that stays: mixed requests, each answer looked at."""

    def __init__(self, site: Site, *, fresh: bool) -> None:
        self.site = site
        self.fresh = fresh
        self.client: RawClient | None = None
        self.connections = 0

    async def some(self, count: int) -> None:
        mixed = kinds()
        for n in range(count):
            data, status, body = mixed[n % len(mixed)]
            if self.client is None:
                self.client = await opened(self.site.port)
                self.connections += 1
            answer = await exchange(self.client, data)
            assert answer.status == status, answer
            if body is not None:
                assert answer.body == body
            if self.fresh or answer.get("Connection") == "close":
                await self.end(reset=n % 2 == 0)
        await self.end(reset=False)

    async def end(self, *, reset: bool) -> None:
        if self.client is None:
            return
        client, self.client = self.client, None
        if reset:
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        await closed(client)


# ---- large bodies, by a client in a thread


def upload(port: int, total: int, path: str, *, chunked: bool = False) -> tuple[bytes, int]:
    """Send a body as long as the server takes it; return the answer and how much of the body was sent before it."""
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {total}"
    sent = 0
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.settimeout(60)
        sock.sendall(message(path, None, framing, method="POST"))
        try:
            while sent < total:
                sock.sendall(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE)
                sent += len(PIECE)
                if answered(sock):
                    break
            else:
                if chunked:
                    sock.sendall(b"0\r\n\r\n")
        except ConnectionError:
            pass
        answer = b""
        while b"\r\n\r\n" not in answer and (piece := sock.recv(65536)):
            answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < length and (piece := sock.recv(65536)):
            body += piece
        return head + b"\r\n\r\n" + body, sent


def answered(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        sock.settimeout(60)


def download(port: int, path: str) -> int:
    """Receive a body up to the end of the connection; return its size, framing included."""
    buffer = bytearray(MIB)
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.settimeout(60)
        sock.sendall(message(path, None, "Connection: close"))
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(65536)
        assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head[:200]
        total = len(head) - head.index(b"\r\n\r\n") - 4
        while got := sock.recv_into(buffer):
            total += got
        return total


async def upload_streamed(size: int, allowed: int) -> None:
    async with Site() as site:
        await asyncio.to_thread(upload, site.port, MIB, "/sum")
        for chunked in (False, True):
            async with Largest(allowed):
                answer, sent = await asyncio.to_thread(upload, site.port, size, "/sum", chunked=chunked)
            assert sent == size
            assert answer.endswith(b"\r\n\r\n%d" % size)


async def upload_refused(size: int, allowed: int) -> int:
    """A body over the limit of one MiB; return the most that was sent in vain."""
    async with Site() as site:
        most = 0
        for chunked in (False, True):
            async with Largest(allowed):
                answer, sent = await asyncio.to_thread(upload, site.port, size, "/read", chunked=chunked)
            assert answer.startswith(b"HTTP/1.1 413 "), answer[:200]
            most = max(most, sent)
        # One that waits for the answer before it sends anything gets it.
        client = await opened(site.port)
        refused = await exchange(client, message("/read", None, f"Content-Length: {size}", method="POST"))
        assert refused.status == 413
        await closed(client)
        return most


async def download_streamed(size: int, allowed: int) -> None:
    async with Site() as site:
        await asyncio.to_thread(download, site.port, f"/pour?{MIB}")
        async with Largest(allowed):
            got = await asyncio.to_thread(download, site.port, f"/pour?{size}")
        pieces = size // len(PIECE)
        assert got == size + pieces * len(b"%x\r\n\r\n" % len(PIECE)) + len(b"0\r\n\r\n")


async def download_file(size: int, allowed: int, path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(size)
    async with Site() as site:
        site.file = path
        async with Largest(allowed):
            assert await asyncio.to_thread(download, site.port, "/fetch") == size


# ---- the end under load


class Load:
    """Clients that send all the time until they are not served any more; what became of each request is counted.

    answered   the whole answer came
    refused    no connection any more: nothing was lost
    late       a connection that had been served, and had been idle for the server's patience (0.2 s), was closed while
               a request was on its way on it: not a byte of an answer, and no handler has begun; no more than one for
               each connection that stays, and none where an answer has said `Connection: close`
    dropped    the system made the connection, but the server never saw it; only clients outside of the server's loop
               can be as quick as that
    lost       anything else: a reset or an end without an answer, or in the middle of one
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.tally: Counter[str] = Counter()
        self.answered: set[str] = set()
        self.told_to_close = 0
        self.begun_sips = 0
        self.trouble: list[str] = []
        self._number = 0

    async def has_answered(self, count: int) -> None:
        """Wait until the clients, which may run in another thread, have had that many answers."""
        while self.tally["answered"] < count:  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    def request(self, kind: int) -> tuple[str, bytes, bytes]:
        self._number += 1
        number = f"{id(self)}.{self._number}"
        if kind == 0:
            return number, message(f"/hello?{number}"), f"hello {number}".encode()
        if kind == 1:
            return number, message(f"/wait?{number}"), f"waited {number}".encode()
        if kind == 2:
            return number, message(f"/large?{number}"), PIECE * 4
        if kind == 3:
            return number, message(f"/trickle?{number}"), b"drop " * 5
        return number, message(f"/echo?{number}", PIECE), PIECE

    async def attempt(self, client: RawClient, kind: int) -> bool:
        """One request on a connection that stays; tell whether there can be another one."""
        number, data, wanted = self.request(kind)
        client.writer.write(data)
        return await self.outcome(client, number, wanted, used=True)

    async def outcome(self, client: RawClient, number: str, wanted: bytes, *, used: bool) -> bool:
        port = client.writer.get_extra_info("sockname")[1]
        before = len(client.received)
        try:
            answer = await client.response()
        except (asyncio.IncompleteReadError, ConnectionError) as exc:
            partial = len(client.received) - before + len(getattr(exc, "partial", b""))
            if partial or number in self.site.begun:
                self.lose(number, f"{partial} bytes, then {exc!r}")
            elif used:
                self.tally["late"] += 1
            elif port not in self.site.accepted:
                self.tally["dropped"] += 1
            else:
                self.lose(number, repr(exc))
            return False
        if (answer.status, answer.body) != (200, wanted):
            self.lose(number, f"{answer.line} with {len(answer.body)} bytes")
            return False
        self.tally["answered"] += 1
        self.answered.add(number)
        if answer.get("Connection") == "close":
            self.told_to_close += 1
            return False
        return True

    def lose(self, number: str, how: str) -> None:
        self.tally["lost"] += 1
        self.trouble.append(f"{number}: {how}")

    async def fresh(self, kind: int) -> None:
        """A connection for each request, until none is accepted."""
        while True:
            number, data, wanted = self.request(kind)
            try:
                client = await opened_with(self.site.port, data)
            except ConnectionRefusedError:
                self.tally["refused"] += 1
                return
            except ConnectionError:
                self.tally["dropped"] += 1
                return
            try:
                await self.outcome(client, number, wanted, used=False)
            finally:
                await closed(client)

    async def staying(self, kind: int, pause: float | None = None) -> None:
        """One connection for all, until it is closed."""
        number, data, wanted = self.request(kind)
        client = await opened_with(self.site.port, data)
        try:
            going_on = await self.outcome(client, number, wanted, used=False)
            while going_on:
                if pause is not None:
                    await asyncio.sleep(pause)
                going_on = await self.attempt(client, kind)
        finally:
            await closed(client)

    async def sipping(self, size: int, *, sends_on: bool) -> None:
        """One large body, read so slowly that it is not in the buffers of the system when the server stops."""
        client = await opened(self.site.port, 4096)
        try:
            client.writer.write(message(f"/whole?{size}"))
            head = await client.until(b"\r\n\r\n")
            self.begun_sips += 1
            got = 0
            while got < size and (piece := await client.reader.read(min(4096, size - got))):
                got += len(piece)
                if sends_on:
                    client.writer.write(message("/hello"))
                if got % 65536 < 4096:
                    await asyncio.sleep(0.001)
            if got != size or not head.startswith(b"HTTP/1.1 200 "):
                self.lose("sip", f"{got} of {size}")
            else:
                self.tally["answered"] += 1
        except ConnectionError as exc:
            self.lose("sip", repr(exc))
        finally:
            await closed(client)

    async def pipelining(self, kind: int) -> None:
        """Send further requests without waiting for answers, up to one that is the last."""
        client = await opened(self.site.port)
        sent: list[tuple[str, bytes]] = []

        async def send() -> None:
            try:
                while True:
                    while len(sent) - done >= DEPTH:  # noqa: ASYNC110
                        await asyncio.sleep(0.001)
                    number, data, wanted = self.request(kind)
                    sent.append((number, wanted))
                    client.writer.write(data)
                    await client.writer.drain()
            except ConnectionError:
                pass

        done = 0
        sending = asyncio.ensure_future(send())
        try:
            while True:
                answer = await client.response()
                number, wanted = sent[done]
                done += 1
                if (answer.status, answer.body) != (200, wanted):
                    self.lose(number, f"{answer.line} with {len(answer.body)} bytes, pipelined")
                    break
                self.tally["answered"] += 1
                self.answered.add(number)
                if answer.get("Connection") == "close":
                    self.told_to_close += 1
                    break
        except (asyncio.IncompleteReadError, ConnectionError) as exc:
            number = sent[done][0] if done < len(sent) else "none"
            if number in self.site.begun:
                self.lose(number, f"pipelined: {exc!r}")
            else:
                self.tally["late"] += 1
        finally:
            sending.cancel()
            await asyncio.wait([sending])
            await closed(client)


def check(site: Site, load: Load, *, late: int, dropped: bool = False) -> None:
    """Nothing was lost, and each request that a handler began has had its whole answer."""
    print(dict(load.tally), "told to close:", load.told_to_close)
    assert not load.tally["lost"], load.trouble[:5]
    assert site.begun <= load.answered, sorted(site.begun - load.answered)[:5]
    assert load.tally["answered"] == len(load.answered)
    assert load.tally["late"] <= late
    if not dropped:
        assert not load.tally["dropped"]


async def stop_under_load(fresh: int, staying: int, pausing: int, pipelining: int, before: int) -> None:
    """Stop in the middle, when `before` requests were answered; the clients are in the loop of the server."""
    async with Site(stream_grace=20.0) as site:
        load, rare, quick = Load(site), Load(site), Load(site)
        clients = [asyncio.ensure_future(load.fresh(n % KINDS)) for n in range(fresh)]
        clients += [asyncio.ensure_future(load.staying(n % KINDS)) for n in range(staying)]
        clients += [asyncio.ensure_future(rare.staying(n % KINDS, pause=0.35)) for n in range(pausing)]
        clients += [asyncio.ensure_future(quick.pipelining((0, 1, 2)[n % 3])) for n in range(pipelining)]
        await load.has_answered(before)
        await site.runner.cleanup()
        await asyncio.gather(*clients)
        numbers = site.begun
        for each, late in ((load, staying), (rare, pausing), (quick, pipelining)):
            site.begun = {number for number in numbers if number.startswith(f"{id(each)}.")}
            check(site, each, late=late)
        assert load.tally["refused"] == fresh
        assert load.told_to_close >= staying - load.tally["late"]
        assert quick.told_to_close == pipelining - quick.tally["late"]
        assert site.connections == 0


async def stop_with_slow_readers(count: int, size: int, *, sends_on: bool) -> None:
    """Answers that a handler was done with long ago, but that the client has not taken yet, come to their end.

    Also for one that sends further requests: closing with unread input would destroy what is on its way.
    """
    async with Site() as site:
        load = Load(site)
        clients = [asyncio.ensure_future(load.sipping(size, sends_on=sends_on)) for _ in range(count)]
        while load.begun_sips < count:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await site.runner.cleanup()
        await asyncio.gather(*clients)
        assert load.tally == Counter(answered=count), load.trouble[:5]


async def stop_seen_from_elsewhere(fresh: int, staying: int, before: int) -> None:
    """The same with clients in a thread of their own, with a loop of their own."""
    async with Site(stream_grace=20.0) as site:
        load = Load(site)

        async def clients() -> None:
            await asyncio.gather(
                *(load.fresh(n % KINDS) for n in range(fresh)), *(load.staying(n % KINDS) for n in range(staying))
            )

        elsewhere = asyncio.ensure_future(asyncio.to_thread(asyncio.run, clients()))
        await load.has_answered(before)
        await site.runner.cleanup()
        await elsewhere
        check(site, load, late=staying, dropped=True)
        assert load.tally["refused"] + load.tally["dropped"] >= fresh


async def stop_with_streams(idle: int, streams: int, polite: int) -> float:
    """Return how many seconds a server takes to end that has idle and streaming connections only."""
    async with Site(shutdown_timeout=60) as site:
        idlers = await crowd(idle, lambda n: opened(site.port))
        for n in range(0, idle, 2):  # half of them have been served
            assert (await exchange(idlers[n], message(f"/hello?{n}"))).status == 200
        streaming = await crowd(streams, lambda n: opened(site.port))
        ending = await crowd(polite, lambda n: opened(site.port))
        try:
            for client in streaming:
                client.writer.write(message("/forever"))
            for client in ending:
                client.writer.write(message("/polite"))
            for client in [*streaming, *ending]:
                await client.until(b"\r\n\r\n")
            answers = [asyncio.ensure_future(client.rest()) for client in ending]
            rests = [asyncio.ensure_future(client.rest()) for client in [*idlers, *streaming]]
            loop = asyncio.get_running_loop()
            began = loop.time()
            await site.runner.cleanup()
            took = loop.time() - began
            assert site.told == polite
            assert await asyncio.gather(*answers) == [b"3\r\none\r\n3\r\nbye\r\n0\r\n\r\n"] * polite
            ends = await asyncio.gather(*rests)
            assert ends[:idle] == [b""] * idle
            assert not any(end.endswith(b"0\r\n\r\n") for end in ends[idle:]), "a stream was cut, and it shows"
            return took
        finally:
            await closed(*idlers, *streaming, *ending)

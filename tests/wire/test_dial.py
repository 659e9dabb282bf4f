"""wire.dial: connections over real sockets and real TLS on loopback."""

from __future__ import annotations

import asyncio
import errno
import math
import socket
import ssl
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
import trustme

from fairlead.wire import dial
from fairlead.wire.dial import Dialling, connect_deadline, connect_socket, open_connection, start_tls
from fairlead.wire.sockets import AddrInfoType, numeric_addr_info

LOOPBACK = "127.0.0.1"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("peer.example", LOOPBACK).configure_cert(context)
    return context


@pytest.fixture
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


class Line(asyncio.Protocol):
    """A protocol that says hello and keeps what it gets."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.made: list[asyncio.BaseTransport] = []
        self.some = asyncio.get_running_loop().create_future()
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.made.append(transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not self.some.done():
            self.some.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


class Echo(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Mute(asyncio.Protocol):
    """Accepts and says nothing; knows when the other side left."""

    def __init__(self, heard: asyncio.Event, lost: asyncio.Event) -> None:
        self.heard = heard
        self.lost = lost

    def data_received(self, data: bytes) -> None:
        self.heard.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


class Garbage(asyncio.Protocol):
    """Answers a TLS greeting with something that is not TLS."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        self.transport.close()


@asynccontextmanager
async def serving(factory: Any, host: str = LOOPBACK, tls: ssl.SSLContext | None = None, port: int = 0) -> Any:
    server = await asyncio.get_running_loop().create_server(factory, host, port, ssl=tls)
    try:
        yield numeric_addr_info(host, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await server.wait_closed()


def refusing_address() -> AddrInfoType:
    """Return an address on which nobody listens."""
    with closing(socket.socket()) as sock:
        sock.bind((LOOPBACK, 0))
        return numeric_addr_info(*sock.getsockname())


async def hello(transport: Any, protocol: Line) -> None:
    transport.write(b"hello")
    await protocol.some
    assert protocol.received == b"hello"
    transport.close()
    await protocol.lost


class Recorder:
    """A socket factory that remembers its sockets, to show that all are closed."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []

    def __call__(self, info: AddrInfoType) -> socket.socket:
        self.sockets.append(socket.socket(info[0], info[1], info[2]))
        return self.sockets[-1]

    def all_closed(self) -> bool:
        return all(sock.fileno() == -1 for sock in self.sockets)


# --- TCP --------------------------------------------------------------------------------------------------------------


async def test_a_plain_connection_is_opened_and_its_phases_told() -> None:
    phases: list[str] = []
    async with serving(Echo) as info:
        loop = asyncio.get_running_loop()
        transport, protocol = await open_connection(loop, Line, [info], Dialling(), on_phase=phases.append)
        assert protocol.made == [transport]
        assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        await hello(transport, protocol)
    assert phases == ["connect"]


async def test_ipv6_loopback_is_reached() -> None:
    try:
        with closing(socket.socket(socket.AF_INET6)) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 loopback here")
    async with serving(Echo, "::1") as info:
        await hello(*await open_connection(asyncio.get_running_loop(), Line, [info], Dialling()))


async def test_a_refusing_address_is_passed_over() -> None:
    recorder = Recorder()
    async with serving(Echo) as info:
        dialling = Dialling(socket_factory=recorder)
        transport, protocol = await open_connection(
            asyncio.get_running_loop(), Line, [refusing_address(), info], dialling
        )
        assert transport.get_extra_info("peername") == info[4]
        await hello(transport, protocol)
    assert len(recorder.sockets) == 2
    assert recorder.all_closed()


async def test_when_all_refuse_the_error_names_the_addresses() -> None:
    addresses = [refusing_address(), refusing_address()]
    with pytest.raises(ConnectionRefusedError) as caught:
        await open_connection(asyncio.get_running_loop(), Line, addresses, Dialling())
    assert caught.value.errno == errno.ECONNREFUSED


async def test_the_local_address_is_bound() -> None:
    with closing(socket.socket()) as probe:
        try:
            probe.bind(("127.0.0.2", 0))
        except OSError:
            pytest.skip("only one loopback address here")
    async with serving(Echo) as info:
        dialling = Dialling(local_addrs=[numeric_addr_info("127.0.0.2", 0)])
        transport, protocol = await open_connection(asyncio.get_running_loop(), Line, [info], dialling)
        assert transport.get_extra_info("sockname")[0] == "127.0.0.2"
        await hello(transport, protocol)


async def test_a_local_address_that_is_not_ours_is_an_error_and_closes_the_socket() -> None:
    recorder = Recorder()
    dialling = Dialling(local_addrs=[numeric_addr_info("192.0.2.1", 0)], socket_factory=recorder)
    with pytest.raises(OSError, match="error while attempting to bind on address"):
        await connect_socket(asyncio.get_running_loop(), [refusing_address()], dialling)
    assert recorder.all_closed()


async def test_no_address_is_an_error() -> None:
    with pytest.raises(OSError, match="no address to connect to"):
        await open_connection(asyncio.get_running_loop(), Line, [], Dialling())


async def test_a_protocol_factory_that_fails_closes_the_socket() -> None:
    def broken() -> Line:
        raise LookupError("no protocol today")

    recorder = Recorder()
    async with serving(Echo) as info:
        with pytest.raises(LookupError, match="no protocol today"):
            await open_connection(asyncio.get_running_loop(), broken, [info], Dialling(socket_factory=recorder))
    assert recorder.all_closed()


@pytest.mark.parametrize(
    ("dialling", "expected"),
    [
        (Dialling(), "::1 10.0.0.1 ::2"),
        (Dialling(first_family_count=2), "::1 ::2 10.0.0.1"),
        (Dialling(first_family_count=0), "::1 ::2 10.0.0.1"),
        (Dialling(attempt_delay=None), "::1 ::2 10.0.0.1"),
        (Dialling(attempt_delay=None, first_family_count=1), "::1 10.0.0.1 ::2"),
    ],
)
def test_the_order_of_attempts_follows_the_settings(dialling: Dialling, expected: str) -> None:
    given = [numeric_addr_info(host, 80) for host in ("::1", "::2", "10.0.0.1")]
    assert " ".join(info[4][0] for info in dialling.ordered(given)) == expected


# --- TLS --------------------------------------------------------------------------------------------------------------


async def test_a_tls_connection_is_opened_and_its_phases_told(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    phases: list[str] = []
    async with serving(Echo, tls=server_tls) as info:
        transport, protocol = await open_connection(
            asyncio.get_running_loop(),
            Line,
            [info],
            Dialling(tls_shutdown_timeout=1.0),
            tls=client_tls,
            server_hostname="peer.example",
            on_phase=phases.append,
        )
        assert transport.get_extra_info("ssl_object").server_hostname == "peer.example"
        await hello(transport, protocol)
    assert phases == ["connect", "tls"]


async def test_a_wrong_name_is_a_verification_error_and_closes_the_socket(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    recorder = Recorder()
    async with serving(Echo, tls=server_tls) as info:
        with pytest.raises(ssl.SSLCertVerificationError):
            await open_connection(
                asyncio.get_running_loop(),
                Line,
                [info],
                Dialling(socket_factory=recorder),
                tls=client_tls,
                server_hostname="other.example",
            )
        for _ in range(3):
            await asyncio.sleep(0)
        assert recorder.all_closed()


async def test_when_tls_fails_at_one_address_the_next_one_is_tried(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with serving(Garbage) as bad, serving(Echo, tls=server_tls) as good:
        transport, protocol = await open_connection(
            asyncio.get_running_loop(), Line, [bad, good], Dialling(), tls=client_tls, server_hostname="peer.example"
        )
        assert transport.get_extra_info("peername") == good[4]
        await hello(transport, protocol)


async def test_the_tls_error_is_told_rather_than_a_later_refusal(client_tls: ssl.SSLContext) -> None:
    async with serving(Garbage) as bad:
        with pytest.raises(ssl.SSLError, match="WRONG_VERSION_NUMBER"):
            await open_connection(
                asyncio.get_running_loop(),
                Line,
                [bad, refusing_address()],
                Dialling(attempt_delay=None),
                tls=client_tls,
                server_hostname="peer.example",
            )


async def test_tls_starts_inside_an_open_connection(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    loop = asyncio.get_running_loop()
    async with serving(Echo, tls=server_tls) as info:
        plain, before = await open_connection(loop, Line, [info], Dialling())
        protocol = Line()
        transport = await start_tls(loop, plain, protocol, client_tls, server_hostname="peer.example")
        assert protocol.made == [transport]
        await hello(transport, protocol)
        assert not before.received


async def test_tls_that_does_not_start_aborts_the_connection(client_tls: ssl.SSLContext) -> None:
    loop, heard, lost = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    async with serving(lambda: Mute(heard, lost)) as info:
        plain, _ = await open_connection(loop, Line, [info], Dialling())
        task = asyncio.create_task(start_tls(loop, plain, Line(), client_tls, server_hostname="peer.example"))
        await heard.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await lost.wait()


async def test_a_connection_that_closes_during_the_handshake_is_an_error(client_tls: ssl.SSLContext) -> None:
    loop = asyncio.get_running_loop()
    async with serving(Garbage) as info:
        plain, _ = await open_connection(loop, Line, [info], Dialling())
        with pytest.raises(OSError):
            await start_tls(loop, plain, Line(), client_tls, server_hostname="peer.example")


# --- Limits and cancellation ------------------------------------------------------------------------------------------


async def test_a_limit_is_kept_to_the_millisecond_or_rounded_up_over_the_threshold() -> None:
    class Hands:
        @staticmethod
        def time() -> float:
            return 100.25

    loop: Any = Hands()
    assert connect_deadline(loop, 3.0, 5.0).when() == 103.25
    assert connect_deadline(loop, 6.0, 5.0).when() == 107
    assert connect_deadline(loop, 6.0).when() == 106.25
    for none in (None, 0, 0.0):
        assert connect_deadline(loop, none).when() is None
    assert math.isinf(connect_deadline.__defaults__[0])  # type: ignore[index]


@pytest.mark.parametrize("tick", range(12))
async def test_cancellation_at_any_turn_closes_all_sockets(
    tick: int, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    recorder = Recorder()
    async with serving(Echo, tls=server_tls) as info:
        task = asyncio.create_task(
            open_connection(
                asyncio.get_running_loop(),
                Line,
                [refusing_address(), info],
                Dialling(socket_factory=recorder, attempt_delay=0.0),
                tls=client_tls,
                server_hostname="peer.example",
            )
        )
        for _ in range(tick):
            await asyncio.sleep(0)
        task.cancel()
        try:
            transport, protocol = await task
        except asyncio.CancelledError:
            pass
        else:
            transport.abort()
            await protocol.lost
        for _ in range(5):
            await asyncio.sleep(0)
        assert recorder.all_closed()


async def test_cancellation_during_the_handshake_closes_the_connection(client_tls: ssl.SSLContext) -> None:
    heard, lost, recorder = asyncio.Event(), asyncio.Event(), Recorder()
    phases: list[str] = []
    async with serving(lambda: Mute(heard, lost)) as info:
        task = asyncio.create_task(
            open_connection(
                asyncio.get_running_loop(),
                Line,
                [info],
                Dialling(socket_factory=recorder),
                tls=client_tls,
                server_hostname="peer.example",
                on_phase=phases.append,
            )
        )
        await heard.wait()
        assert phases == [dial.PHASE_CONNECT, dial.PHASE_TLS]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await lost.wait()
        assert recorder.all_closed()


class HangsUp(asyncio.Protocol):
    """Ends the connection properly when a greeting comes."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.close()


async def test_an_end_during_the_handshake_says_so(client_tls: ssl.SSLContext) -> None:
    loop = asyncio.get_running_loop()
    said = "the peer closed the connection during the TLS handshake"
    async with serving(HangsUp) as info:
        with pytest.raises(ConnectionResetError, match=said) as caught:
            await open_connection(loop, Line, [info], Dialling(), tls=client_tls, server_hostname="peer.example")
        assert caught.value.errno == errno.ECONNRESET
        plain, _ = await open_connection(loop, Line, [info], Dialling())
        with pytest.raises(ConnectionResetError, match=said):
            await start_tls(loop, plain, Line(), client_tls, server_hostname="peer.example")

"""client.tcp: what a user of TCPConnector meets, over real sockets, real TLS and a scripted resolver."""

from __future__ import annotations

import asyncio
import errno
import functools
import socket
import ssl
from contextlib import closing
from typing import Any

import pytest
from tests.peers.raw import RawConnection, answering, raw_server, response
from tests.peers.tls import client_context, fingerprint, server_context

import fairlead
from fairlead.wire.dns import AbstractResolver

OK = response(200, b"hello")
LOOPBACK = "127.0.0.1"

# Made once: each default context reads the authorities of the system.
trusting = functools.cache(client_context)


def address(host: str, port: int, name: str = "h") -> Any:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return {"hostname": name, "host": host, "port": port, "family": family, "proto": 0, "flags": 0}


class ScriptedResolver(AbstractResolver):
    """Gives the scripted answers in turn, the last one for ever; an exception is raised, None waits for ever."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.closed = False
        self.waiting = asyncio.Event()

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> Any:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            self.waiting.set()
            await asyncio.get_running_loop().create_future()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def close(self) -> None:
        self.closed = True


class SocketLog:
    """A socket factory that remembers what it made."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.infos: list[Any] = []

    def __call__(self, info: Any) -> socket.socket:
        self.infos.append(info)
        self.sockets.append(socket.socket(info[0], info[1], info[2]))
        return self.sockets[-1]

    @property
    def all_closed(self) -> bool:
        return all(sock.fileno() == -1 for sock in self.sockets)


def dead_port() -> int:
    """Return a port on which nobody listens."""
    with closing(socket.socket()) as sock:
        sock.bind((LOOPBACK, 0))
        port: int = sock.getsockname()[1]
        return port


async def fetch(connector: fairlead.BaseConnector, url: Any, **options: Any) -> bytes:
    """Get ``url`` once through a connector that stays open."""
    async with fairlead.ClientSession(connector=connector, connector_owner=False) as session:
        async with session.get(url, **options) as answer:
            body: bytes = await answer.read()
            return body


# --- The constructor --------------------------------------------------------------------------------------------------


def test_outside_a_loop_there_is_no_connector() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        fairlead.TCPConnector()


async def test_the_defaults_are_those_of_aiohttp() -> None:
    async with fairlead.TCPConnector() as connector:
        assert connector.family == socket.AF_UNSPEC
        assert connector.use_dns_cache is True
        assert (connector.limit, connector.limit_per_host, connector.force_close) == (100, 0, False)
        assert connector.allowed_protocol_schema_set == {"", "http", "https", "ws", "wss", "tcp"}


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"ssl": "x"}, TypeError, "ssl should be SSLContext, bool, Fingerprint or None, got 'x' instead"),
        ({"ssl": 1}, TypeError, "ssl should be SSLContext"),
        ({"fingerprint": b"x" * 20}, ValueError, "md5 and sha1 are insecure"),
        ({"fingerprint": b"x"}, ValueError, "fingerprint has invalid length"),
        ({"verify_ssl": False, "ssl": False}, ValueError, "mutually exclusive"),
        ({"ssl": False, "fingerprint": b"x" * 32}, ValueError, "mutually exclusive"),
        ({"local_addr": "127.0.0.1"}, TypeError, "local_addr should be a"),
        ({"force_close": True, "keepalive_timeout": 1}, ValueError, "keepalive_timeout cannot be set"),
        ({"limit": -1}, ValueError, "limit must be 0"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_arguments_that_make_no_sense_are_refused_by_name(options: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        fairlead.TCPConnector(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"verify_ssl": False}, "verify_ssl is deprecated"),
        ({"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}, "ssl_context is deprecated"),
        ({"fingerprint": b"x" * 32}, "fingerprint is deprecated"),
        ({"ssl_shutdown_timeout": 1.0}, "ssl_shutdown_timeout parameter is deprecated"),
    ],
)
async def test_deprecated_arguments_warn_the_caller(options: Any, words: str) -> None:
    with pytest.warns(DeprecationWarning, match=words) as caught:
        connector = fairlead.TCPConnector(**options)
    assert caught[0].filename == __file__
    await connector.close()


async def test_the_dns_cache_is_cleared_for_host_and_port_or_as_a_whole() -> None:
    async with fairlead.TCPConnector() as connector:
        connector.clear_dns_cache()
        connector.clear_dns_cache("h", 80)
        for half in [("h", None), (None, 80)]:
            with pytest.raises(ValueError, match="either both host and port or none of them are allowed"):
                connector.clear_dns_cache(*half)


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["connector", "request"])
@pytest.mark.parametrize("kind", ["context", "off", "fingerprint"])
async def test_https_with_every_kind_of_trust(where: str, kind: str) -> None:
    trust = {"context": trusting(), "off": False, "fingerprint": fairlead.Fingerprint(fingerprint())}[kind]
    on_connector = {"ssl": trust} if where == "connector" else {}
    on_request = {"ssl": trust} if where == "request" else {}
    async with (
        raw_server(answering(OK), ssl=server_context()) as server,
        fairlead.TCPConnector(**on_connector) as connector,
    ):
        assert await fetch(connector, server.url, **on_request) == b"hello"


async def test_an_untrusted_certificate_is_a_typed_error_with_advice() -> None:
    async with (
        raw_server(answering(OK), ssl=server_context(foreign=True)) as server,
        fairlead.TCPConnector() as connector,
    ):
        with pytest.raises(fairlead.ClientConnectorCertificateError) as caught:
            await fetch(connector, server.url)
        error = caught.value
        assert isinstance(error, ssl.SSLCertVerificationError)
        assert isinstance(error.certificate_error, ssl.SSLCertVerificationError)
        assert str(error).startswith(
            f"Cannot connect to host 127.0.0.1:{server.port} ssl:True [SSLCertVerificationError"
        )
        assert f"The certificate of 127.0.0.1:{server.port} was refused" in "\n".join(error.__notes__)
        assert connector.in_use == 0


async def test_the_expected_name_is_the_one_the_caller_gives() -> None:
    async with (
        raw_server(answering(OK), ssl=server_context("inner.example")) as server,
        fairlead.TCPConnector(ssl=trusting()) as connector,
    ):
        assert await fetch(connector, server.url, server_hostname="inner.example") == b"hello"
        with pytest.raises(fairlead.ClientConnectorCertificateError, match=r"127\.0\.0\.1"):
            await fetch(connector, server.url)


async def test_the_dot_of_the_root_is_no_part_of_the_name_to_verify() -> None:
    async with raw_server(answering(OK), ssl=server_context("h.example")) as server:
        resolver = ScriptedResolver([address(LOOPBACK, server.port)])
        async with fairlead.TCPConnector(ssl=trusting(), resolver=resolver) as connector:
            assert await fetch(connector, f"https://h.example.:{server.port}/") == b"hello"
    assert resolver.asked == ["h.example."]


async def test_another_certificate_than_the_pinned_one_closes_the_connection() -> None:
    log = SocketLog()
    async with (
        raw_server(answering(OK), ssl=server_context()) as server,
        fairlead.TCPConnector(ssl=fairlead.Fingerprint(b"x" * 32), socket_factory=log) as connector,
    ):
        with pytest.raises(fairlead.ServerFingerprintMismatch) as caught:
            await fetch(connector, server.url)
        assert (caught.value.expected, caught.value.got) == (b"x" * 32, fingerprint())
        assert (caught.value.host, caught.value.port) == (LOOPBACK, server.port)
        assert connector.in_use == 0
    for _ in range(3):
        await asyncio.sleep(0)
    assert log.all_closed
    assert server.requests == []


async def test_a_peer_that_speaks_no_tls_is_an_ssl_error() -> None:
    async def handler(connection: RawConnection) -> None:
        await connection.read()
        await connection.send(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    async with raw_server(handler) as server, fairlead.TCPConnector() as connector:
        with pytest.raises(fairlead.ClientConnectorSSLError, match="WRONG_VERSION_NUMBER"):
            await fetch(connector, server.url.with_scheme("https"))


# --- Names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (OSError(None, "no such name"), "no such name"),
        (UnicodeError("label too long"), "label too long"),
        ([], "the resolver found no address"),
        (TimeoutError(errno.ETIMEDOUT, "name server timed out"), "name server timed out"),
    ],
)
async def test_a_name_that_leads_nowhere_is_a_dns_error(answer: Any, words: str) -> None:
    async with fairlead.TCPConnector(resolver=ScriptedResolver(answer)) as connector:
        with pytest.raises(fairlead.ClientConnectorDNSError, match=words) as caught:
            await fetch(connector, "http://h.example:81/")
        assert (caught.value.host, caught.value.port) == ("h.example", 81)


async def test_a_resolver_that_gives_up_in_time_is_a_timeout() -> None:
    async with fairlead.TCPConnector(resolver=ScriptedResolver(TimeoutError("too slow"))) as connector:
        with pytest.raises(fairlead.ConnectionTimeoutError):
            await fetch(connector, "http://h.example/")


async def test_a_family_that_the_host_does_not_have_is_named() -> None:
    async with fairlead.TCPConnector(family=socket.AF_INET6) as connector:
        with pytest.raises(fairlead.ClientConnectorError, match=r"no IPv6 address among 127\.0\.0\.1"):
            await fetch(connector, "http://127.0.0.1:81/")


async def test_the_family_is_asked_for_and_others_are_left_out() -> None:
    async with raw_server(answering(OK)) as server:
        log = SocketLog()
        resolver = ScriptedResolver([address("::1", server.port), address(LOOPBACK, server.port)])
        async with fairlead.TCPConnector(family=socket.AF_INET, resolver=resolver, socket_factory=log) as connector:
            assert await fetch(connector, f"http://h.example:{server.port}/") == b"hello"
    assert [info[4] for info in log.infos] == [(LOOPBACK, server.port)]


async def test_a_cached_address_that_fails_is_dropped_and_the_host_resolved_anew() -> None:
    gone, log = dead_port(), SocketLog()
    async with raw_server(answering(OK)) as first, raw_server(answering(OK)) as second:
        resolver = ScriptedResolver(
            [address(LOOPBACK, first.port)], [address(LOOPBACK, gone)], [address(LOOPBACK, second.port)]
        )
        async with fairlead.TCPConnector(resolver=resolver, force_close=True, socket_factory=log) as connector:
            url = "http://h.example:81/"
            assert await fetch(connector, url) == b"hello"
            connector.clear_dns_cache("h.example", 81)
            # Not from the cache: the failure counts, and the answer is dropped.
            with pytest.raises(fairlead.ClientConnectorError):
                await fetch(connector, url)
            assert await fetch(connector, url) == b"hello"
            assert len(resolver.asked) == 3
    assert [info[4][1] for info in log.infos] == [first.port, gone, second.port]
    assert log.all_closed


async def test_a_request_survives_the_move_of_a_cached_host() -> None:
    log = SocketLog()
    async with raw_server(answering(OK)) as second:
        async with raw_server(answering(OK)) as first:
            resolver = ScriptedResolver([address(LOOPBACK, first.port)], [address(LOOPBACK, second.port)])
            connector = fairlead.TCPConnector(resolver=resolver, force_close=True, socket_factory=log)
            assert await fetch(connector, "http://h.example:81/") == b"hello"
        assert await fetch(connector, "http://h.example:81/") == b"hello"
        await connector.close()
    assert len(resolver.asked) == 2
    assert [info[4][1] for info in log.infos] == [first.port, first.port, second.port]


async def test_addresses_that_failed_are_not_tried_again_at_once() -> None:
    log = SocketLog()
    async with raw_server(answering(OK)) as first:
        resolver = ScriptedResolver([address(LOOPBACK, first.port)])
        connector = fairlead.TCPConnector(resolver=resolver, force_close=True, socket_factory=log)
        await fetch(connector, "http://h.example:81/")
    with pytest.raises(fairlead.ClientConnectorError):
        await fetch(connector, "http://h.example:81/")
    await connector.close()
    assert len(resolver.asked) == 2
    assert len(log.infos) == 2


async def test_a_name_that_is_gone_by_then_does_not_hide_the_first_error() -> None:
    async with raw_server(answering(OK)) as first:
        resolver = ScriptedResolver([address(LOOPBACK, first.port)], OSError(None, "no such name"))
        connector = fairlead.TCPConnector(resolver=resolver, force_close=True)
        await fetch(connector, "http://h.example:81/")
    with pytest.raises(fairlead.ClientConnectorError) as caught:
        await fetch(connector, "http://h.example:81/")
    await connector.close()
    assert caught.value.errno == errno.ECONNREFUSED


async def test_traces_hear_of_the_lookup() -> None:
    heard: list[str] = []
    config = fairlead.TraceConfig()
    for name in ("dns_cache_hit", "dns_cache_miss", "dns_resolvehost_start", "dns_resolvehost_end"):

        async def note(session: Any, context: Any, params: Any, name: str = name) -> None:
            heard.append(f"{name} {params.host}")

        getattr(config, f"on_{name}").append(note)
    async with raw_server(answering(OK)) as server:
        resolver = ScriptedResolver([address(LOOPBACK, server.port)])
        connector = fairlead.TCPConnector(resolver=resolver, force_close=True)
        async with fairlead.ClientSession(connector=connector, trace_configs=[config]) as session:
            for _ in range(2):
                async with session.get("http://h.example:81/") as answer:
                    await answer.read()
    assert heard == [
        "dns_cache_miss h.example",
        "dns_resolvehost_start h.example",
        "dns_resolvehost_end h.example",
        "dns_cache_hit h.example",
    ]


# --- Settings of the connection ---------------------------------------------------------------------------------------


async def test_the_local_address_is_bound() -> None:
    peers: list[Any] = []

    async def handler(connection: RawConnection) -> None:
        peers.append(connection.writer.get_extra_info("peername"))
        await answering(OK)(connection)

    async with raw_server(handler) as server, fairlead.TCPConnector(local_addr=(LOOPBACK, 0)) as connector:
        assert await fetch(connector, server.url) == b"hello"
    assert peers[0][0] == LOOPBACK


async def test_a_local_address_that_is_not_ours_is_a_connector_error() -> None:
    async with fairlead.TCPConnector(local_addr=("192.0.2.1", 0)) as connector:
        with pytest.raises(fairlead.ClientConnectorError, match="error while attempting to bind on address"):
            await fetch(connector, f"http://127.0.0.1:{dead_port()}/")


async def test_an_error_of_the_socket_factory_is_a_connector_error() -> None:
    def factory(info: Any) -> socket.socket:
        raise OSError(errno.EMFILE, "out of sockets")

    async with fairlead.TCPConnector(socket_factory=factory) as connector:
        with pytest.raises(fairlead.ClientConnectorError, match="out of sockets"):
            await fetch(connector, "http://127.0.0.1:81/")


async def test_a_refused_connection_names_the_host() -> None:
    port = dead_port()
    async with fairlead.TCPConnector() as connector:
        with pytest.raises(fairlead.ClientConnectorError, match=f"Cannot connect to host 127.0.0.1:{port}") as caught:
            await fetch(connector, f"http://127.0.0.1:{port}/")
        assert caught.value.errno == errno.ECONNREFUSED
        assert isinstance(caught.value.os_error, ConnectionRefusedError)
        assert connector.in_use == 0


async def test_a_handshake_over_its_time_says_so() -> None:
    async def handler(connection: RawConnection) -> None:
        await connection.wait_closed_by_peer()

    log = SocketLog()
    async with raw_server(handler) as server, fairlead.TCPConnector(socket_factory=log) as connector:
        with pytest.raises(fairlead.ConnectionTimeoutError, match=r"TLS handshake.*sock_connect=0\.05"):
            await fetch(connector, server.url.with_scheme("https"), timeout=fairlead.ClientTimeout(sock_connect=0.05))
        assert connector.in_use == 0
    assert log.all_closed


# --- Seams that packages override -------------------------------------------------------------------------------------


async def test_a_subclass_may_lead_every_name_elsewhere() -> None:
    class Redirecting(fairlead.TCPConnector):
        async def _resolve_host(self, host: str, port: int, traces: Any = None) -> Any:
            return [address(LOOPBACK, server.port, host)]

    async with raw_server(answering(OK)) as server, Redirecting() as connector:
        assert await fetch(connector, "http://anything.example/") == b"hello"
    assert server.requests[0].field("Host") == "anything.example"


async def test_a_subclass_may_open_the_connection_itself() -> None:
    seen: dict[str, Any] = {}

    class OwnSocket(fairlead.TCPConnector):
        async def _wrap_create_connection(
            self, *args: Any, addr_infos: Any, req: Any, timeout: Any, client_error: Any = None, **kwargs: Any
        ) -> Any:
            seen.update(kwargs, addr_infos=addr_infos, client_error=client_error)
            sock = socket.create_connection(addr_infos[0][4])
            sock.setblocking(False)
            return await self._loop.create_connection(*args, sock=sock, **kwargs)

    async with (
        raw_server(answering(OK), ssl=server_context()) as server,
        OwnSocket(ssl=trusting()) as connector,
    ):
        assert await fetch(connector, server.url) == b"hello"
    assert seen["server_hostname"] == LOOPBACK
    assert isinstance(seen["ssl"], ssl.SSLContext)
    assert seen["client_error"] is fairlead.ClientConnectorError
    assert seen["addr_infos"] == [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (LOOPBACK, server.port))]


# --- Closing and cancellation -----------------------------------------------------------------------------------------


async def test_a_resolver_of_the_callers_stays_open() -> None:
    resolver = ScriptedResolver([])
    async with fairlead.TCPConnector(resolver=resolver):
        pass
    assert not resolver.closed


async def test_closing_ends_lookups_with_an_error() -> None:
    resolver = ScriptedResolver(None)
    connector = fairlead.TCPConnector(resolver=resolver)
    task = asyncio.create_task(fetch(connector, "http://h.example/"))
    await resolver.waiting.wait()
    await connector.close()
    with pytest.raises(fairlead.ClientConnectionError, match="Connector is closed"):
        await task


@pytest.mark.parametrize("tick", range(0, 40, 3))
async def test_cancellation_at_any_turn_of_a_connection_leaves_nothing_open(tick: int) -> None:
    log = SocketLog()
    async with raw_server(answering(OK), ssl=server_context()) as server:
        resolver = ScriptedResolver([address(LOOPBACK, server.port)])
        connector = fairlead.TCPConnector(ssl=trusting(), resolver=resolver, socket_factory=log)
        url = f"https://localhost:{server.port}/"
        task = asyncio.create_task(fetch(connector, url))
        for _ in range(tick):
            await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        assert connector.in_use == 0
        assert await fetch(connector, url) == b"hello"
        await connector.close()
    assert log.all_closed

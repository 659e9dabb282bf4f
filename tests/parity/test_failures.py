"""Parity of what can go wrong below HTTP: refused, unresolved, TLS of every kind, and time limits in each phase."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from tests.parity.compare import OK, Names, Observation, Options, options_of, outcome, same
from tests.peers import tls
from tests.peers.raw import RawConnection, answering, raw_server

LIMIT = 0.1
"""Seconds of the time limits under test: short, and far above what the loopback needs."""


async def get(lib: Any, url: Any, names: Names, session: Options = {}, **options: Any) -> Any:  # noqa: B006
    async def ask() -> Any:
        async with lib.ClientSession(**options_of(session, lib)) as client:
            async with client.get(url, **options) as r:
                return [r.status, await r.read()]

    return await outcome(names, ask())


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "address": ("http://127.0.0.1:1/", {}),
    "name": ("http://localhost:1/", {}),
    "https": ("https://127.0.0.1:1/", {}),
    "https unverified": ("https://127.0.0.1:1/", {"ssl": False}),
    "ws": ("ws://127.0.0.1:1/", {}),
    "server hostname": ("https://127.0.0.1:1/", {"server_hostname": "x"}),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refused(name: str) -> None:
    url, options = REFUSED[name]

    async def scenario(lib: Any) -> Observation:
        return {"seen": await get(lib, url, Names(), **options)}

    await same(f"refused/{name}", scenario)


async def test_refused_connector_error() -> None:
    async def scenario(lib: Any) -> Observation:
        async with lib.ClientSession() as session:
            try:
                await session.get("http://127.0.0.1:1/")
            except lib.ClientConnectorError as exc:
                return {
                    "text": str(exc),
                    "facts": [exc.host, exc.port, exc.ssl, exc.errno, exc.strerror, type(exc.os_error).__name__],
                    "args": len(exc.args),
                    "key": list(exc._conn_key._fields),
                }
        raise AssertionError("the port was not refused")

    await same("refused/facts", scenario)


class NoNames:
    """Makes a resolver of `lib` that knows no name."""

    @staticmethod
    def of(lib: Any, exc: BaseException) -> Any:
        class Resolver(lib.abc.AbstractResolver):  # type: ignore[misc]
            async def resolve(self, host: str, port: int = 0, family: int = 0) -> Any:
                raise exc

            async def close(self) -> None:
                pass

        return Resolver()


UNKNOWN: list[Exception] = [OSError(None, "no such name"), socket.gaierror(-2, "unknown"), ValueError("odd")]


@pytest.mark.parametrize("error", UNKNOWN, ids=repr)
async def test_unresolved(error: Exception) -> None:
    async def scenario(lib: Any) -> Observation:
        connector = lib.TCPConnector(resolver=NoNames.of(lib, error))
        return {"seen": await get(lib, "http://nosuch.example/", Names(), {"connector": connector})}

    await same(f"unresolved/{type(error).__name__}", scenario)


async def test_unresolved_text() -> None:
    async def scenario(lib: Any) -> Observation:
        connector = lib.TCPConnector(resolver=NoNames.of(lib, OSError(None, "no such name")))
        async with lib.ClientSession(connector=connector) as session:
            try:
                await session.get("http://nosuch.example/")
            except lib.ClientConnectorDNSError as exc:
                return {"text": str(exc), "facts": [exc.host, exc.port, exc.ssl, exc.errno, exc.strerror]}
        raise AssertionError("the name was resolved")

    await same("unresolved/facts", scenario)


async def test_unix_socket_missing() -> None:
    async def scenario(lib: Any) -> Observation:
        names = Names()
        found = await get(lib, "http://x/", names, {"connector": lib.UnixConnector("/nonexistent/socket")})
        return {"seen": found}

    await same("refused/unix", scenario)


# --- TLS -------------------------------------------------------------------------------------------------------------


def contexts() -> dict[str, tuple[dict[str, Any], Any]]:
    trusting = tls.client_context
    return {
        "trusted": ({}, lambda lib: {"ssl": trusting()}),
        "unknown authority": ({}, lambda lib: {}),
        "unverified": ({}, lambda lib: {"ssl": False}),
        "foreign": ({"foreign": True}, lambda lib: {"ssl": trusting()}),
        "expired": ({"expired": True}, lambda lib: {"ssl": trusting()}),
        "other name": ({"names": ("other.test",)}, lambda lib: {"ssl": trusting()}),
        "other name asked for": (
            {"names": ("other.test",)},
            lambda lib: {"ssl": trusting(), "server_hostname": "other.test"},
        ),
        "fingerprint": ({}, lambda lib: {"ssl": lib.Fingerprint(tls.fingerprint())}),
        "fingerprint wrong": ({}, lambda lib: {"ssl": lib.Fingerprint(b"\0" * 32)}),
        "client certificate": ({"client_certificate": True}, lambda lib: {"ssl": trusting(certificate=True)}),
    }


@pytest.mark.parametrize("name", contexts())
async def test_tls(name: str) -> None:
    server_options, client_options = contexts()[name]

    async def scenario(lib: Any) -> Observation:
        names = Names()
        asked = dict(server_options)
        context = tls.server_context(*asked.pop("names", ()), **asked)
        async with raw_server(answering(OK), ssl=context) as server:
            names.learn(server, "PORT")
            return {
                "request": await get(lib, server.url, names, **client_options(lib)),
                "connector": await get(
                    lib, server.url, names, {"connector": lib.TCPConnector(ssl=client_options(lib).get("ssl", True))}
                ),
            }

    await same(f"tls/{name}", scenario)


async def test_tls_certificate_error_facts() -> None:
    async def scenario(lib: Any) -> Observation:
        async with raw_server(answering(OK), ssl=tls.server_context()) as server:
            async with lib.ClientSession() as session:
                try:
                    await session.get(server.url)
                except lib.ClientConnectorCertificateError as exc:
                    return {
                        "facts": [exc.host, exc.port == server.port, exc.ssl, type(exc.certificate_error).__name__],
                        "starts": str(exc).startswith(f"Cannot connect to host 127.0.0.1:{server.port} ssl:True ["),
                        "args": len(exc.args),
                    }
        raise AssertionError("the certificate was accepted")

    await same("tls/facts", scenario)


async def test_tls_to_a_plain_server_and_back() -> None:
    async def scenario(lib: Any) -> Observation:
        names = Names()

        async def plain(connection: RawConnection) -> None:
            await connection.read()
            await connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        async with raw_server(plain) as server:
            names.learn(server, "PORT")
            return {"to plain": await get(lib, f"https://127.0.0.1:{server.port}/", names)}

    await same("tls/to plain", scenario)


# --- time limits -----------------------------------------------------------------------------------------------------


async def silent(connection: RawConnection) -> None:
    await connection.wait_closed_by_peer()


async def headless(connection: RawConnection) -> None:
    await connection.request()
    await connection.wait_closed_by_peer()


async def stalling(connection: RawConnection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    await connection.wait_closed_by_peer()


async def interim(connection: RawConnection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 103 Early\r\n\r\n")
    await connection.wait_closed_by_peer()


PHASES = {"headers": headless, "body": stalling, "interim": interim}


@pytest.mark.parametrize(
    ("phase", "kind"),
    [("headers", "total"), ("headers", "sock_read"), ("body", "total"), ("body", "sock_read"), ("interim", "total")],
)
async def test_time_limits_while_reading(phase: str, kind: str) -> None:
    async def scenario(lib: Any) -> Observation:
        names = Names()
        async with raw_server(PHASES[phase]) as server:
            names.learn(server, "PORT")
            timeout = lib.ClientTimeout(**{kind: LIMIT})
            return {
                "request": await get(lib, server.url, names, timeout=timeout),
                "session": await get(lib, server.url, names, {"timeout": timeout}),
            }

    await same(f"timeout/{phase} {kind}", scenario)


async def test_a_number_as_a_time_limit_is_the_total() -> None:
    async def scenario(lib: Any) -> Observation:
        names = Names()
        async with raw_server(headless) as server:
            names.learn(server, "PORT")
            return {"seen": await get(lib, server.url, names, timeout=LIMIT)}

    await same("timeout/number", scenario)


@pytest.mark.parametrize("kind", ["total", "connect"])
async def test_time_limits_while_waiting_for_the_pool(kind: str) -> None:
    async def scenario(lib: Any) -> Observation:
        names = Names()
        async with raw_server(stalling) as server:
            names.learn(server, "PORT")
            async with lib.ClientSession(connector=lib.TCPConnector(limit=1)) as session:
                async with session.get(server.url):
                    timeout = lib.ClientTimeout(**{kind: LIMIT})
                    return {"seen": await outcome(names, lambda: session.get(server.url, timeout=timeout))}

    await same(f"timeout/pool {kind}", scenario)


@contextmanager
def full_backlog() -> Iterator[int]:
    """The port of a listener that completes no further handshake (on Linux)."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            yield listener.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()


@pytest.mark.parametrize("kind", ["total", "connect", "sock_connect"])
async def test_time_limits_while_connecting(kind: str) -> None:
    async def scenario(lib: Any) -> Observation:
        names = Names()
        with full_backlog() as port:
            names.known[str(port)] = "PORT"
            url = f"http://127.0.0.1:{port}/"
            return {"seen": await get(lib, url, names, timeout=lib.ClientTimeout(**{kind: LIMIT}))}

    await same(f"timeout/connecting {kind}", scenario)


@pytest.mark.parametrize("kind", ["total", "connect", "sock_connect"])
async def test_time_limits_in_the_tls_handshake(kind: str) -> None:
    async def scenario(lib: Any) -> Observation:
        names = Names()
        async with raw_server(silent) as server:
            names.learn(server, "PORT")
            url = f"https://127.0.0.1:{server.port}/"
            return {"seen": await get(lib, url, names, timeout=lib.ClientTimeout(**{kind: LIMIT}))}

    await same(f"timeout/handshake {kind}", scenario)


async def test_a_time_limit_does_not_outlive_its_response() -> None:
    async def scenario(lib: Any) -> Observation:
        names, seen = Names(), Observation()
        async with raw_server(answering(OK)) as server:
            names.learn(server, "PORT")
            async with lib.ClientSession(timeout=lib.ClientTimeout(total=LIMIT, sock_read=LIMIT)) as session:
                for i in range(2):
                    async with session.get(server.url) as r:
                        await asyncio.sleep(LIMIT * 1.5)
                        seen[f"read {i}"] = await outcome(names, r.read)
            seen["connections"] = len(server.connections)
        return seen

    await same("timeout/after the answer", scenario)


@asynccontextmanager
async def dripping(pause: float, n: int) -> AsyncIterator[Any]:
    async def handler(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % n)
        for _ in range(n):
            await asyncio.sleep(pause)
            await connection.send(b"x")
        await connection.read()

    async with raw_server(handler) as server:
        yield server


async def test_sock_read_starts_anew_with_each_byte_and_total_does_not() -> None:
    async def scenario(lib: Any) -> Observation:
        names, seen = Names(), Observation()
        async with dripping(LIMIT / 3, 6) as server:
            names.learn(server, "PORT")
            for kind in ("sock_read", "total"):
                seen[kind] = await get(lib, server.url, names, timeout=lib.ClientTimeout(**{kind: LIMIT}))
        return seen

    await same("timeout/dripping", scenario)

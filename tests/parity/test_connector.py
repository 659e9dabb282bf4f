"""Parity of how connections are made: name lookups and their cache, addresses in turn, unix sockets, own sockets."""

from __future__ import annotations

import asyncio
import io
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest
from tests.parity.compare import BRIEFLY, OK, Names, Observation, outcome, same
from tests.peers import tls
from tests.peers.raw import RawServer, answering, raw_server, response

CLOSING = response(200, b"ok", ("Connection", "close"))


def resolver(lib: Any, asked: list[Any], ports: list[int], *, wait: asyncio.Event | None = None) -> Any:
    """A resolver of `lib` that answers with loopback addresses on `ports` and writes down what it was asked."""

    class Resolver(lib.abc.AbstractResolver):  # type: ignore[misc]
        async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
            asked.append(f"{host} {int(family)}")
            if wait is not None:
                await wait.wait()
            return [
                {"hostname": host, "host": "127.0.0.1", "port": p, "family": socket.AF_INET, "proto": 0, "flags": 0}
                for p in ports
            ]

        async def close(self) -> None:
            asked.append("closed")

    return Resolver()


async def get(session: Any, url: str) -> Any:
    async with session.get(url) as r:
        return [r.status, await r.read()]


LOOKUPS: dict[str, dict[str, Any]] = {
    "default": {},
    "no cache": {"use_dns_cache": False},
    "ttl 0": {"ttl_dns_cache": 0},
    "ttl none": {"ttl_dns_cache": None},
    "ttl long": {"ttl_dns_cache": 60},
    "family": {"family": socket.AF_INET},
}


@pytest.mark.parametrize("name", LOOKUPS)
async def test_lookups(name: str) -> None:
    async def scenario(lib: Any) -> Observation:
        names, asked = Names(), []  # type: tuple[Names, list[Any]]
        async with raw_server(answering(CLOSING)) as server:
            connector = lib.TCPConnector(resolver=resolver(lib, asked, [server.port]), **LOOKUPS[name])
            async with lib.ClientSession(connector=connector) as session:
                seen = [await outcome(names, get(session, f"http://{h}.example/")) for h in ("a", "a", "b", "a")]
                connector.clear_dns_cache("a.example", 80)
                seen.append(await outcome(names, get(session, "http://a.example/")))
                seen.append(await outcome(names, get(session, "http://b.example/")))
                connector.clear_dns_cache()
                seen.append(await outcome(names, get(session, "http://b.example/")))
                seen.append(await outcome(names, lambda: connector.clear_dns_cache("a.example")))
                facts = [connector.use_dns_cache, int(connector.family)]
        return {"seen": seen, "asked": asked, "facts": facts}

    await same(f"lookup/{name}", scenario)


async def test_lookups_at_a_time_are_one() -> None:
    async def scenario(lib: Any) -> Observation:
        names, asked, go = Names(), [], asyncio.Event()  # type: tuple[Names, list[Any], asyncio.Event]
        async with raw_server(answering(CLOSING)) as server:
            connector = lib.TCPConnector(resolver=resolver(lib, asked, [server.port], wait=go))
            async with lib.ClientSession(connector=connector) as session:
                tasks = [asyncio.ensure_future(get(session, "http://a.example/")) for _ in range(4)]
                for _ in range(5):
                    await asyncio.sleep(0)
                tasks[0].cancel()
                await asyncio.sleep(0)
                go.set()
                seen = [await outcome(names, task) for task in tasks[1:]]
        return {"seen": seen, "asked": asked}

    await same("lookup/shared", scenario)


async def test_addresses_are_tried_in_turn_and_rotated() -> None:
    async def scenario(lib: Any) -> Observation:
        names, asked = Names(), []  # type: tuple[Names, list[Any]]
        async with raw_server(answering(CLOSING)) as one, raw_server(answering(CLOSING)) as two:
            connector = lib.TCPConnector(resolver=resolver(lib, asked, [1, one.port, two.port]))
            async with lib.ClientSession(connector=connector) as session:
                seen = [await outcome(names, get(session, "http://a.example/")) for _ in range(4)]
            used = [len(server.connections) > 0 for server in (one, two)]
        return {"seen": seen, "asked": asked, "used": used}

    await same("lookup/several", scenario)


async def test_all_addresses_refuse() -> None:
    async def scenario(lib: Any) -> Observation:
        names, asked = Names(), []  # type: tuple[Names, list[Any]]
        connector = lib.TCPConnector(resolver=resolver(lib, asked, [1, 2]))
        async with lib.ClientSession(connector=connector) as session:
            seen = [await outcome(names, get(session, "http://a.example/")) for _ in range(2)]
        return {"seen": seen, "asked": asked[-1]}

    await same("lookup/all refuse", scenario)


async def test_no_address() -> None:
    async def scenario(lib: Any) -> Observation:
        names, asked = Names(), []  # type: tuple[Names, list[Any]]
        connector = lib.TCPConnector(resolver=resolver(lib, asked, []))
        async with lib.ClientSession(connector=connector) as session:
            return {"seen": await outcome(names, get(session, "http://a.example/"))}

    await same("lookup/none", scenario)


async def test_numeric_hosts_are_not_looked_up() -> None:
    async def scenario(lib: Any) -> Observation:
        names, asked = Names(), []  # type: tuple[Names, list[Any]]
        async with raw_server(answering(OK)) as server:
            names.learn(server, "PORT")
            connector = lib.TCPConnector(resolver=resolver(lib, asked, [1]))
            async with lib.ClientSession(connector=connector) as session:
                seen = await outcome(names, get(session, str(server.url)))
        return {"seen": seen, "asked": asked}

    await same("lookup/numeric", scenario)


async def test_unix_sockets() -> None:
    async def scenario(lib: Any) -> Observation:
        names = Names()
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder, "s"))
            async with RawServer(answering(OK), path=path) as server:
                connector = lib.UnixConnector(path)
                async with lib.ClientSession(connector=connector) as session:
                    seen = [await outcome(names, get(session, "http://any.example/p")) for _ in range(2)]
                    facts = [connector.path == path, sorted(connector.allowed_protocol_schema_set), connector.closed]
                    bad = await outcome(names, get(session, "ftp://any.example/"))
                    allowed = await outcome(names, get(session, "unix://any.example/"))
                    sent = [q.head for q in server.requests]
        return {"seen": seen, "facts": facts, "sent": names.plain(sent), "bad": bad, "allowed": allowed}

    await same("socket/unix", scenario)


async def test_own_sockets() -> None:
    async def scenario(lib: Any) -> Observation:
        names, made = Names(), []  # type: tuple[Names, list[Any]]

        def factory(info: Any) -> socket.socket:
            made.append([int(info[0]), int(info[1]), names.plain(info[4])])
            return socket.socket(*info[:3])

        async with raw_server(answering(CLOSING)) as server:
            names.learn(server, "PORT")
            connector = lib.TCPConnector(socket_factory=factory)
            async with lib.ClientSession(connector=connector) as session:
                seen = await outcome(names, get(session, str(server.url)))
        return {"seen": seen, "made": made}

    await same("socket/factory", scenario)


@pytest.mark.parametrize("local", [("127.0.0.1", 0), ("127.0.0.2", 0), ("192.0.2.1", 0)], ids=lambda a: a[0])
async def test_local_addresses(local: tuple[str, int]) -> None:
    async def scenario(lib: Any) -> Observation:
        names = Names()
        async with raw_server(answering(CLOSING)) as server:
            names.learn(server, "PORT")
            async with lib.ClientSession(connector=lib.TCPConnector(local_addr=local)) as session:
                seen = await outcome(names, get(session, str(server.url)))
            peers = [c.writer.get_extra_info("peername")[0] for c in server.connections]
        return {"seen": seen, "peers": peers}

    await same(f"socket/local {local[0]}", scenario)


async def test_connections_are_shared_by_what_makes_them_equal() -> None:
    trusting = tls.client_context()
    other = tls.client_context()
    asks: list[dict[str, Any]] = [
        {"ssl": trusting},
        {"ssl": trusting},
        {"ssl": other},
        {"ssl": False},
        {"ssl": trusting, "server_hostname": "localhost"},
        {"ssl": trusting},
        {"ssl": False},
    ]

    async def scenario(lib: Any) -> Observation:
        async with raw_server(answering(OK), ssl=tls.server_context()) as server:
            async with lib.ClientSession() as session:
                for i, options in enumerate(asks):
                    async with session.get(f"{server.url}{i}", **options) as r:
                        await r.read()
            return {"served": [[q.target for q in c.requests] for c in server.connections]}

    await same("socket/keys", scenario)


async def test_schemes_of_connectors() -> None:
    async def scenario(lib: Any) -> Observation:
        tcp, base, unix = lib.TCPConnector(), lib.BaseConnector(), lib.UnixConnector("/x")
        seen = {
            type(connector).__name__: [
                sorted(connector.allowed_protocol_schema_set), connector.limit, connector.limit_per_host,
                connector.force_close, connector.closed,
            ]
            for connector in (tcp, base, unix)
        }  # fmt: skip
        for connector in (tcp, base, unix):
            await connector.close()
        async with lib.TCPConnector() as entered:
            seen["entered"] = entered.closed
        seen["left"] = entered.closed
        return seen

    await same("socket/schemes", scenario)


FILES: dict[str, Any] = {
    "binary file": lambda folder: Path(folder, "f").open("rb"),
    "text file": lambda folder: Path(folder, "f").open(),
    "bytesio": lambda folder: io.BytesIO(b"abc"),
    "stringio": lambda folder: io.StringIO("abc"),
}


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a form"])
@pytest.mark.parametrize("name", FILES)
async def test_what_becomes_of_uploaded_files(name: str, inside: bool) -> None:
    async def scenario(lib: Any) -> Observation:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "f").write_bytes(b"file content")
            async with raw_server(answering(OK)) as server, lib.ClientSession() as session:
                file = FILES[name](folder)
                async with session.post(server.url, data={"f": file} if inside else file) as r:
                    await r.read()
                for _ in range(25):  # a thread may do it
                    if file.closed:
                        break
                    await asyncio.sleep(BRIEFLY)
                closed = file.closed
                file.close()
        return {"closed": closed}

    await same(f"upload file/{name} {inside}", scenario)

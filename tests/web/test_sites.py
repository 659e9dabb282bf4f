"""Sites: names, ports, what is bound, and that stopping loses no connection that was made."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.web.both import Log, same

import fairlead
from fairlead import web
from fairlead.web import sites as sites_module

unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


@asynccontextmanager
async def runner_of(handler: Any = hello, **options: Any) -> AsyncIterator[web.AppRunner]:
    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None, **options)
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()


async def ask(address: Any) -> bytes:
    opening = (
        asyncio.open_unix_connection(address) if isinstance(address, str) else asyncio.open_connection(*address[:2])
    )
    reader, writer = await opening
    writer.write(REQUEST)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


# --- names and states ------------------------------------------------------------------------------------------------


async def test_names_ports_and_refusals_are_the_same(tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    async def scenario(web: Any, log: Log) -> None:
        app = web.Application()
        runner = web.AppRunner(app)
        log.tried("before set-up", lambda: web.TCPSite(runner))
        await runner.setup()
        for host in (None, "", "127.0.0.1", "::1", "localhost"):
            for port in (None, 0, 80, 443, 8081):
                for context in (None, tls):
                    site = web.TCPSite(runner, host, port, ssl_context=context)
                    log.add(host, port, context is None, site.name, site.port)
        log.tried("port text", lambda: web.TCPSite(runner, "127.0.0.1", "80").name)
        log.tried("shutdown_timeout", lambda: web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=1.0).name)
        for path in (str(tmp_path / "a"), tmp_path / "b"):
            for context in (None, tls):
                log.add(web.UnixSite(runner, path, ssl_context=context).name)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await log.awaited("stop before start", site.stop())
        log.add(runner.sites, runner.addresses)
        await log.awaited("start", site.start())
        log.add(site.port > 0, site.name.startswith("http://127.0.0.1:"), site.name.endswith(f":{site.port}"))
        log.add(len(runner.sites), runner.addresses == [("127.0.0.1", site.port)])
        await log.awaited("start again", site.start())
        await log.awaited("stop", site.stop())
        await log.awaited("stop again", site.stop())
        log.add(len(runner.sites), runner.addresses)
        await log.awaited("start after stop", site.start())
        await runner.cleanup()
        log.add(len(runner.sites), runner.addresses, runner.server)

    await same(scenario)


async def test_an_address_in_use_is_an_error_of_the_system() -> None:
    async with runner_of() as runner:
        first = web.TCPSite(runner, "127.0.0.1", 0)
        await first.start()
        with pytest.raises(OSError, match=r"in use"):
            await web.TCPSite(runner, "127.0.0.1", first.port).start()
        assert runner.addresses == [("127.0.0.1", first.port)]


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="no SO_REUSEPORT here")
async def test_a_port_can_be_shared() -> None:
    async with runner_of() as runner:
        first = web.TCPSite(runner, "127.0.0.1", 0, reuse_port=True, reuse_address=True)
        await first.start()
        second = web.TCPSite(runner, "127.0.0.1", first.port, reuse_port=True)
        await second.start()
        assert runner.addresses == [("127.0.0.1", first.port)] * 2


async def test_each_kind_of_site_serves(tmp_path: Path) -> None:
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    async with runner_of() as runner:
        kinds: list[web.BaseSite] = [web.TCPSite(runner, "127.0.0.1", 0), web.SockSite(runner, bound)]
        if hasattr(socket, "AF_UNIX"):
            kinds.append(web.UnixSite(runner, tmp_path / "a"))
        for site in kinds:
            await site.start()
            assert len(site.addresses) == 1
            assert (await ask(site.addresses[0])).endswith(b"\r\n\r\nhello")
        assert runner.sites == set(kinds)
        assert kinds[1].name == f"http://127.0.0.1:{bound.getsockname()[1]}"
    assert bound.fileno() == -1


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_a_socket_of_ipv6_has_a_name_with_brackets() -> None:
    with socket.socket(socket.AF_INET6) as bound:
        try:
            bound.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 here")
        async with runner_of() as runner:
            site = web.SockSite(runner, bound)
            assert site.name == f"http://[::1]:{bound.getsockname()[1]}"


@unix
async def test_a_socket_of_unix_has_a_name_with_its_path(tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path)
        async with runner_of() as runner:
            site = web.SockSite(runner, bound)
            assert site.name == f"http://unix:{path}:"
            await site.start()
            assert (await ask(path)).endswith(b"hello")


@unix
async def test_the_file_of_a_unix_site_goes_when_the_site_stops(tmp_path: Path) -> None:
    path = tmp_path / "a"
    async with runner_of() as runner:
        site = web.UnixSite(runner, path)
        await site.start()
        assert path.is_socket()
        assert runner.addresses == [str(path)]
        await site.stop()
        assert not path.exists()
        await site.start()
        assert (await ask(str(path))).endswith(b"hello")
    assert not path.exists()


@unix
async def test_the_file_of_the_next_server_stays(tmp_path: Path) -> None:
    path = tmp_path / "a"
    async with runner_of() as old, runner_of() as new:
        first, second = web.UnixSite(old, path), web.UnixSite(new, str(path))
        await first.start()
        await second.start()
        await first.stop()
        assert path.is_socket()
        assert (await ask(str(path))).endswith(b"hello")
    assert not path.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
async def test_an_abstract_name_has_no_file() -> None:
    async with runner_of() as runner:
        name = f"\0fairlead-{os.getpid()}"
        site = web.UnixSite(runner, name)
        await site.start()
        # uvloop binds such a name and can not connect to one.
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(name)
            sock.sendall(REQUEST)
            assert (await asyncio.to_thread(received, sock)).endswith(b"hello")
        await site.stop()


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes are there")
async def test_a_named_pipe_needs_windows() -> None:
    async with runner_of() as runner:
        with pytest.raises(RuntimeError, match=r"^Named Pipes only available in proactor loop"):
            web.NamedPipeSite(runner, r"\\.\pipe\a")


async def test_a_site_of_ones_own_uses_the_protected_names() -> None:
    class Mine(web.BaseSite):
        __slots__ = ("_host",)

        def __init__(self, runner: web.BaseRunner, host: str) -> None:
            super().__init__(runner, ssl_context=None, backlog=7)
            self._host = host

        @property
        def name(self) -> str:
            return f"mine://{self._host}"

        async def start(self) -> None:
            await super().start()
            server = self._runner.server
            assert server is not None
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(server, self._host, 0, ssl=self._ssl_context, backlog=self._backlog)

    async with runner_of() as runner:
        site = Mine(runner, "127.0.0.1")
        await site.start()
        assert (runner.sites, site.name) == ({site}, "mine://127.0.0.1")
        assert (await ask(runner.addresses[0])).endswith(b"hello")
        await site.stop()
        assert runner.addresses == []


# --- stopping --------------------------------------------------------------------------------------------------------


def connected(port: int, count: int) -> list[socket.socket]:
    """Make connections that the kernel has accepted and the loop has not, each with a request that was sent."""
    made = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port), timeout=5)
        sock.sendall(REQUEST)
        made.append(sock)
    return made


def received(sock: socket.socket) -> bytes:
    with sock:
        data = b""
        while piece := sock.recv(65536):
            data += piece
    return data


@pytest.mark.parametrize("count", [1, 40])
async def test_what_waits_to_be_accepted_is_served(count: int) -> None:
    async with runner_of() as runner:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        made = connected(site.port, count)
        await site.stop()
        answers = await asyncio.gather(*(asyncio.to_thread(received, sock) for sock in made))
    assert {answer[-5:] for answer in answers} == {b"hello"}
    with pytest.raises(ConnectionRefusedError):
        await ask(("127.0.0.1", site.port))


async def test_a_cleanup_serves_what_waits_to_be_accepted() -> None:
    async with runner_of() as runner:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        made = connected(site.port, 20)
        await runner.cleanup()
        answers = await asyncio.gather(*(asyncio.to_thread(received, sock) for sock in made))
    assert {answer[-5:] for answer in answers} == {b"hello"}


async def test_what_is_accepted_last_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites_module, "LAST_ACCEPTS", 2)
    async with runner_of() as runner:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        made: list[socket.socket] = []

        async def stop_accepting(sockets: Any) -> None:
            made.extend(connected(site.port, 3))

        monkeypatch.setattr(sites_module, "_stop_accepting", stop_accepting)
        await site.stop()
        answers = await asyncio.gather(*(asyncio.to_thread(received, sock) for sock in made), return_exceptions=True)
    served = [answer for answer in answers if isinstance(answer, bytes) and answer.endswith(b"hello")]
    assert len(served) == 2


async def test_what_is_accepted_last_may_be_gone_already() -> None:
    async with runner_of() as runner:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        gone, stays = connected(site.port, 2)
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.close()
        await site.stop()
        assert (await asyncio.to_thread(received, stays)).endswith(b"hello")


async def test_tls_is_spoken_with_those_that_are_accepted_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites_module, "HANDSHAKE_WAIT", 0.3)
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)

    def ask_securely(sock: socket.socket) -> bytes:
        with client.wrap_socket(sock, server_hostname="127.0.0.1") as tls:
            tls.sendall(REQUEST)
            return b"".join(iter(lambda: tls.recv(1000), b""))

    async with runner_of() as runner:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server)
        await site.start()
        made: list[socket.socket] = []

        async def stop_accepting(sockets: Any) -> None:
            made.extend(socket.create_connection(("127.0.0.1", site.port), timeout=5) for _ in range(2))
            answers.append(asyncio.create_task(asyncio.to_thread(ask_securely, made[0])))

        answers: list[asyncio.Task[bytes]] = []
        monkeypatch.setattr(sites_module, "_stop_accepting", stop_accepting)
        await site.stop()
        assert (await answers[0]).endswith(b"hello")
        with made[1] as mute:
            assert await asyncio.to_thread(mute.recv, 1) == b""


async def test_a_cancelled_stop_stops() -> None:
    async with runner_of() as runner:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        task = asyncio.create_task(site.stop())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ConnectionRefusedError):
            await ask(("127.0.0.1", site.port))


@pytest.mark.skipif(sys.platform == "win32", reason="dup shares no queue there")
async def test_a_shared_socket_leaves_what_waits_to_the_others() -> None:
    with socket.socket() as shared:
        shared.bind(("127.0.0.1", 0))
        shared.listen()
        port = shared.getsockname()[1]
        async with runner_of() as runner:
            site = sites_module.SharedSockSite(runner, shared.dup())
            await site.start()
            assert (await ask(("127.0.0.1", port))).endswith(b"hello")
            await site.stop()
            (waiting,) = connected(port, 1)
            shared.settimeout(5)
            accepted, _ = await asyncio.to_thread(shared.accept)
            with accepted, waiting:
                assert accepted.recv(100) == REQUEST


async def test_connections_stay_when_a_site_stops() -> None:
    async with runner_of() as runner:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with fairlead.ClientSession() as session:
            async with session.get(site.name) as response:
                assert response.status == 200
            await site.stop()
            async with session.get(site.name) as response:
                assert await response.text() == "hello"

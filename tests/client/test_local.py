"""client.local: sockets by path."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.peers.raw import answering, raw_server, response

import fairlead

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix domain sockets here")

OK = response(200, b"hello")


async def test_requests_go_to_the_path_and_name_the_host_of_the_url(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    async with raw_server(answering(OK), path=path) as server:
        async with fairlead.ClientSession(connector=fairlead.UnixConnector(path)) as session:
            for _ in range(2):
                async with session.get("http://any.example/x") as answer:
                    assert await answer.read() == b"hello"
    assert [request.field("Host") for request in server.requests] == ["any.example"] * 2
    assert len(server.connections) == 1


async def test_the_path_and_the_schemes_are_told(tmp_path: Path) -> None:
    async with fairlead.UnixConnector("/some/path") as connector:
        assert connector.path == "/some/path"
        assert "unix" in connector.allowed_protocol_schema_set


async def test_the_settings_of_the_pool_are_passed_on() -> None:
    async with fairlead.UnixConnector("p", force_close=True, limit=3, limit_per_host=2) as connector:
        assert (connector.force_close, connector.limit, connector.limit_per_host) == (True, 3, 2)


async def test_a_missing_socket_names_its_path(tmp_path: Path) -> None:
    path = str(tmp_path / "missing")
    async with fairlead.ClientSession(connector=fairlead.UnixConnector(path)) as session:
        with pytest.raises(fairlead.ClientConnectorError) as caught:
            await session.get("http://any.example/")
    assert str(caught.value) == f"Cannot connect to unix socket {path} ssl:default [No such file or directory]"
    assert type(caught.value).__name__ == "UnixClientConnectorError"
    assert isinstance(caught.value.os_error, FileNotFoundError)


async def test_a_socket_over_its_time_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*args: Any, **kwargs: Any) -> Any:
        await asyncio.get_running_loop().create_future()

    connector = fairlead.UnixConnector("/some/path")
    monkeypatch.setattr(type(asyncio.get_running_loop()), "create_unix_connection", never)
    async with fairlead.ClientSession(connector=connector) as session:
        with pytest.raises(fairlead.ConnectionTimeoutError, match=r"no connection to '/some/path'.*sock_connect=0\.01"):
            await session.get("http://any.example/", timeout=fairlead.ClientTimeout(sock_connect=0.01))
        assert connector.in_use == 0


@pytest.mark.skipif(sys.platform == "win32", reason="here there are named pipes")
async def test_named_pipes_need_windows() -> None:
    with pytest.raises(RuntimeError, match="Named Pipes only available in proactor loop under windows"):
        fairlead.NamedPipeConnector(r"\\.\pipe\x")


async def test_a_loop_with_pipes_is_asked_for_the_pipe() -> None:
    asked: list[str] = []

    class PipeLoop:
        """The running loop with the one method that the proactor loop has on top."""

        def __getattr__(self, name: str) -> Any:
            return getattr(asyncio.get_running_loop(), name)

        async def create_pipe_connection(self, factory: Any, path: str) -> Any:
            asked.append(path)
            raise FileNotFoundError(2, "no such pipe")

    loop: Any = PipeLoop()
    connector = fairlead.NamedPipeConnector(r"\\.\pipe\x", loop=loop)
    assert connector.path == r"\\.\pipe\x"
    assert "npipe" in connector.allowed_protocol_schema_set
    async with fairlead.ClientSession(connector=connector) as session:
        with pytest.raises(fairlead.ClientConnectorError, match="no such pipe"):
            await session.get("http://any.example/")
    assert asked == [r"\\.\pipe\x"]

"""client.tcp through HTTP proxies: forwarding, tunnels, credentials, refusals."""

from __future__ import annotations

import asyncio
import base64
import functools
import socket
import ssl
from contextlib import closing
from typing import Any

import pytest
from tests.peers.raw import RawConnection, answering, raw_server, response
from tests.peers.tls import client_context, fingerprint, server_context
from yarl import URL

import fairlead

OK = response(200, b"hello")
LOOPBACK = "127.0.0.1"

# Made once: each default context reads the authorities of the system.
trusting = functools.cache(client_context)
CREDENTIALS = "Basic " + base64.b64encode(b"user:pass").decode()


def dead_port() -> int:
    """Return a port on which nobody listens."""
    with closing(socket.socket()) as sock:
        sock.bind((LOOPBACK, 0))
        port: int = sock.getsockname()[1]
        return port


def tunnelling(port: int, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> Any:
    """Return a handler for a proxy that leads every tunnel to ``port`` on this machine."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def handler(connection: RawConnection) -> None:
        request = await connection.head()
        if request is None:
            return
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        try:
            await connection.send(answer)
            await asyncio.gather(copy(connection.reader, writer), copy(reader, connection.writer))
        finally:
            writer.transport.abort()

    return handler


async def fetch(url: Any, **options: Any) -> bytes:
    async with fairlead.ClientSession() as session:
        async with session.get(url, **options) as answer:
            body: bytes = await answer.read()
            return body


# --- Forwarding -------------------------------------------------------------------------------------------------------


async def test_http_is_forwarded_with_the_whole_url_as_target() -> None:
    async with raw_server(answering(OK)) as proxy:
        assert await fetch("http://origin.example:81/a?b=c#d", proxy=proxy.url) == b"hello"
    assert proxy.requests[0].line == "GET http://origin.example:81/a?b=c HTTP/1.1"
    assert proxy.requests[0].field("Host") == "origin.example:81"


@pytest.mark.parametrize("how", ["url", "argument", "field"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_credentials_go_with_each_forwarded_request(how: str) -> None:
    async with raw_server(answering(OK)) as proxy, fairlead.ClientSession() as session:
        options: dict[str, Any] = {
            "url": {"proxy": proxy.url.with_user("user").with_password("pass")},
            "argument": {"proxy": proxy.url, "proxy_auth": fairlead.BasicAuth("user", "pass")},
            "field": {"proxy": proxy.url, "proxy_headers": {"Proxy-Authorization": CREDENTIALS}},
        }[how]
        for _ in range(2):
            async with session.get("http://origin.example/", **options) as answer:
                await answer.read()
    assert [request.field("Proxy-Authorization") for request in proxy.requests] == [CREDENTIALS] * 2
    assert [request.field("Authorization") for request in proxy.requests] == [None] * 2
    assert len(proxy.connections) == 1


async def test_http_is_forwarded_over_tls_to_the_proxy() -> None:
    async with raw_server(answering(OK), ssl=server_context()) as proxy:
        assert await fetch("http://origin.example/", proxy=proxy.url, ssl=trusting()) == b"hello"
    assert proxy.requests[0].line == "GET http://origin.example/ HTTP/1.1"


# --- Tunnels ----------------------------------------------------------------------------------------------------------


async def test_https_goes_through_a_tunnel_that_the_proxy_cannot_look_into() -> None:
    async with raw_server(answering(OK), ssl=server_context("origin.example")) as origin:
        async with raw_server(tunnelling(origin.port)) as proxy:
            body = await fetch(
                f"https://origin.example:{origin.port}/secret",
                proxy=proxy.url.with_user("user").with_password("pass"),
                proxy_headers={"X-For-Proxy": "1"},
                headers={"X-For-Origin": "2"},
                ssl=trusting(),
            )
    assert body == b"hello"
    asked = proxy.requests[0]
    assert asked.line == f"CONNECT origin.example:{origin.port} HTTP/1.1"
    assert asked.field("Host") == f"origin.example:{origin.port}"
    assert (asked.field("Proxy-Authorization"), asked.field("X-For-Proxy")) == (CREDENTIALS, "1")
    assert asked.field("X-For-Origin") is None
    served = origin.requests[0]
    assert served.line == "GET /secret HTTP/1.1"
    assert (served.field("Proxy-Authorization"), served.field("X-For-Proxy")) == (None, None)
    assert served.field("X-For-Origin") == "2"


async def test_the_tunnel_is_reused() -> None:
    trust = trusting()
    async with raw_server(answering(OK), ssl=server_context("origin.example")) as origin:
        async with raw_server(tunnelling(origin.port)) as proxy, fairlead.ClientSession() as session:
            for _ in range(2):
                async with session.get("https://origin.example/", proxy=proxy.url, ssl=trust) as answer:
                    assert await answer.read() == b"hello"
    assert len(proxy.connections) == 1
    assert len(origin.requests) == 2
    assert proxy.requests[0].line == "CONNECT origin.example:443 HTTP/1.1"


async def test_tls_goes_through_tls() -> None:
    async with raw_server(answering(OK), ssl=server_context("origin.example")) as origin:
        async with raw_server(tunnelling(origin.port), ssl=server_context()) as proxy:
            assert await fetch("https://origin.example/", proxy=proxy.url, ssl=trusting()) == b"hello"


async def test_the_certificate_in_the_tunnel_is_verified() -> None:
    async with raw_server(answering(OK), ssl=server_context("origin.example")) as origin:
        async with raw_server(tunnelling(origin.port)) as proxy:
            with pytest.raises(fairlead.ClientConnectorCertificateError) as caught:
                await fetch("https://other.example/", proxy=proxy.url, ssl=trusting())
    assert caught.value.host == "other.example"
    assert "The certificate of other.example:443 was refused" in caught.value.__notes__[0]


async def test_the_fingerprint_in_the_tunnel_is_checked() -> None:
    async with raw_server(answering(OK), ssl=server_context("origin.example")) as origin:
        async with raw_server(tunnelling(origin.port)) as proxy:
            pin = fairlead.Fingerprint(fingerprint("origin.example"))
            assert await fetch("https://origin.example/", proxy=proxy.url, ssl=pin) == b"hello"
            with pytest.raises(fairlead.ServerFingerprintMismatch) as caught:
                await fetch("https://origin.example/", proxy=proxy.url, ssl=fairlead.Fingerprint(b"x" * 32))
    assert caught.value.got == fingerprint("origin.example")


# --- Refusals ---------------------------------------------------------------------------------------------------------


async def refused_by(answer: bytes | None) -> Exception:
    """Return the error of a request through a proxy that gives this answer to CONNECT; None hangs up."""

    async def handler(connection: RawConnection) -> None:
        await connection.head()
        if answer is not None:
            await connection.send(answer)

    async with raw_server(handler) as proxy, fairlead.TCPConnector() as connector:
        async with fairlead.ClientSession(connector=connector, connector_owner=False) as session:
            with pytest.raises(fairlead.ClientError) as caught:
                await session.get("https://origin.example/", proxy=proxy.url)
            assert connector.in_use == 0
    return caught.value


@pytest.mark.parametrize(("status", "reason"), [(407, "Who are you"), (502, "No route"), (201, "Created")])
async def test_another_status_than_200_is_an_error_with_the_answer(status: int, reason: str) -> None:
    error = await refused_by(response(status, b"body", ("Proxy-Authenticate", "Basic"), reason=reason))
    assert isinstance(error, fairlead.ClientHttpProxyError)
    assert (error.status, error.message) == (status, reason)
    assert error.headers is not None
    assert error.headers["proxy-authenticate"] == "Basic"
    assert error.request_info.method == "CONNECT"
    assert error.request_info.url == URL("https://origin.example/")
    assert error.request_info.real_url.host == LOOPBACK


async def test_an_answer_that_is_not_http_is_an_error() -> None:
    error = await refused_by(b"SSH-2.0-OpenSSH\r\n\r\n")
    assert isinstance(error, fairlead.ClientHttpProxyError)
    assert "answer to CONNECT is not usable" in error.message
    assert error.status == 400


async def test_bytes_before_the_tunnel_is_used_are_an_error() -> None:
    error = await refused_by(b"HTTP/1.1 200 OK\r\n\r\ninjected")
    assert isinstance(error, fairlead.ClientHttpProxyError)
    assert "8 bytes before the tunnel was used" in error.message


async def test_a_proxy_that_hangs_up_is_an_error() -> None:
    error = await refused_by(None)
    assert isinstance(error, fairlead.ServerDisconnectedError)
    assert "before it answered CONNECT" in str(error)


async def test_a_proxy_that_cannot_be_reached_is_a_proxy_error() -> None:
    port = dead_port()
    for url in ("http://origin.example/", "https://origin.example/"):
        with pytest.raises(fairlead.ClientProxyConnectionError) as caught:
            await fetch(url, proxy=f"http://127.0.0.1:{port}")
        assert (caught.value.host, caught.value.port) == (LOOPBACK, port)


async def test_a_proxy_without_address_is_a_dns_error() -> None:
    with pytest.raises(fairlead.ClientConnectorDNSError) as caught:
        await fetch("http://origin.example/", proxy="http://no-such-name.invalid:3128")
    assert caught.value.host == "no-such-name.invalid"


async def test_a_proxy_of_another_kind_is_refused_by_its_scheme() -> None:
    async def through_socks(request: fairlead.ClientRequest, handler: Any) -> fairlead.ClientResponse:
        # A middleware gets past the check of the argument.
        request.proxy = URL("socks5://127.0.0.1:1080")
        answer: fairlead.ClientResponse = await handler(request)
        return answer

    said = "expected an http:// or https:// proxy, got 'socks5'"
    with pytest.raises(fairlead.ClientProxyConnectionError, match=said):
        await fetch("https://origin.example/", middlewares=[through_socks])


async def test_a_field_that_would_inject_others_is_refused_before_it_is_sent() -> None:
    async with raw_server(answering(OK)) as proxy:
        with pytest.raises(ValueError, match=r"."):
            await fetch("https://origin.example/", proxy=proxy.url, proxy_headers={"X": "a\r\nY: z"})
    assert proxy.requests == []


async def test_a_proxy_that_never_answers_is_left_after_the_connect_limit() -> None:
    left = asyncio.get_running_loop().create_future()

    async def handler(connection: RawConnection) -> None:
        await connection.head()
        left.set_result(await connection.wait_closed_by_peer())

    async with raw_server(handler) as proxy:
        with pytest.raises(fairlead.ConnectionTimeoutError):
            await fetch(
                "https://origin.example/", proxy=proxy.url, timeout=fairlead.ClientTimeout(connect=0.1, sock_connect=5)
            )
        assert await left is True


@pytest.mark.parametrize("tick", range(0, 40, 3))
async def test_cancellation_at_any_turn_of_a_tunnel_leaves_nothing_open(tick: int) -> None:
    async with raw_server(answering(OK), ssl=server_context("origin.example")) as origin:
        async with raw_server(tunnelling(origin.port)) as proxy, fairlead.TCPConnector() as connector:
            async with fairlead.ClientSession(connector=connector, connector_owner=False) as session:

                async def get() -> bytes:
                    async with session.get("https://origin.example/", proxy=proxy.url, ssl=trusting()) as answer:
                        body: bytes = await answer.read()
                        return body

                task = asyncio.create_task(get())
                for _ in range(tick):
                    await asyncio.sleep(0)
                task.cancel()
                try:
                    await task
                except asyncio.CancelledError:
                    pass
                assert connector.in_use == 0
                assert await get() == b"hello"

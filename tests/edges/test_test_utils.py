"""Test servers, their client, test cases and mocked requests: what they open, and that they give it up again."""

from __future__ import annotations

import asyncio
import io
import ipaddress
import socket
import ssl
import unittest
import warnings
from collections.abc import AsyncIterator
from typing import Any
from unittest import mock

import pytest
import trustme
from yarl import URL

import fairlead
from fairlead import test_utils, web
from fairlead.test_utils import (
    AioHTTPTestCase,
    BaseTestServer,
    RawTestServer,
    TestClient,
    TestServer,
    get_port_socket,
    get_unused_port_socket,
    loop_context,
    make_mocked_coro,
    make_mocked_request,
    setup_test_loop,
    teardown_test_loop,
    unittest_run_loop,
    unused_port,
)
from fairlead.wire.streams import StreamReader


async def echo(request: web.BaseRequest) -> web.Response:
    body = await request.text()
    return web.Response(text=f"{request.method} {request.path_qs} {body} {request.headers.get('Cookie', '')}".strip())


def make_app(**signals: Any) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", echo)
    for name, receiver in signals.items():
        getattr(app, name).append(receiver)
    return app


def listens(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((host, port)) == 0


# ---- servers


async def test_a_server_from_start_to_close() -> None:
    app = make_app()
    server = TestServer(app)
    assert (server.started, server.closed, server.port, server.host, server.scheme) == (
        False,
        False,
        None,
        "127.0.0.1",
        "",
    )
    await server.start_server()
    assert (server.started, server.closed, server.scheme) == (True, False, "http")
    port = server.port
    assert port is not None
    assert isinstance(server.handler, web.Server)
    assert isinstance(server.runner, web.AppRunner)
    assert listens(port)
    await server.start_server()
    assert server.port == port
    await server.close()
    assert (server.started, server.closed, server.port) == (True, True, None)
    assert not listens(port)
    await server.close()
    assert app.frozen


@pytest.mark.parametrize("path", ["/x?y=1", "x", "", "/a#f", URL("/a b"), "/%2F%20"])
async def test_urls_of_a_server(path: str | URL) -> None:
    async with TestServer(make_app()) as server:
        assert server.make_url(path) == URL(f"http://127.0.0.1:{server.port}").join(URL(path))


@pytest.mark.parametrize("url", ["http://a/b", "//h/x", URL("http://x/")])
async def test_absolute_urls_are_refused_unless_asked_for(url: str | URL) -> None:
    async with TestServer(make_app()) as server:
        with pytest.raises(AssertionError, match=r"a path at the server .* is expected"):
            server.make_url(url)
    async with TestServer(make_app(), skip_url_asserts=True) as server:
        made = server.make_url(url)
        assert str(made) == (f"http://127.0.0.1:{server.port}//h/x" if url == "//h/x" else str(url))
        assert server.make_url("x").path == "/x"


def test_what_needs_a_running_server_says_so() -> None:
    server = TestServer(make_app())
    with pytest.raises(AssertionError, match="start_server"):
        server.make_url("/")
    with pytest.raises(AssertionError, match="not started"):
        _ = server.handler


async def test_what_needs_an_open_server_says_so() -> None:
    async with TestServer(make_app()) as server:
        pass
    with pytest.raises(AssertionError, match="close"):
        server.make_url("/")
    with pytest.raises(AssertionError, match="closed"):
        _ = server.handler


def test_plain_with_is_refused() -> None:
    with pytest.raises(TypeError, match="async with"):
        with TestServer(make_app()):  # type: ignore[attr-defined]
            pass


async def test_plain_with_of_a_client_is_refused() -> None:
    client = TestClient(TestServer(make_app()))
    with pytest.raises(TypeError, match="async with"):
        with client:  # type: ignore[attr-defined]
            pass
    await client.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
async def test_hosts(host: str) -> None:
    if host == "::1" and not ipv6_works():
        pytest.skip("no IPv6 here")
    async with TestClient(TestServer(make_app(), host=host)) as client:
        assert client.make_url("/").host == host
        ipaddress.ip_address(client.host)
        async with client.get("/") as response:
            assert await response.text() == "GET /"


def ipv6_works() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_a_port_of_ones_own() -> None:
    port = unused_port()
    async with TestServer(make_app(), port=port) as server:
        assert server.port == port


async def test_a_socket_of_ones_own() -> None:
    made: list[tuple[str, int, socket.AddressFamily]] = []

    def factory(host: str, port: int, family: socket.AddressFamily) -> socket.socket:
        made.append((host, port, family))
        return get_unused_port_socket("127.0.0.1")

    async with TestServer(make_app(), host="somewhere", port=1, socket_factory=factory) as server:
        assert made == [("somewhere", 1, socket.AF_INET)]
        assert server.host == "127.0.0.1"


async def test_tls() -> None:
    authority = trustme.CA()
    server_side, client_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    authority.configure_trust(client_side)
    server = TestServer(make_app())
    await server.start_server(ssl=server_side)
    assert server.scheme == "https"
    async with TestClient(server) as client, client.get("/", ssl=client_side) as response:
        assert response.url.scheme == "https"
        assert await response.text() == "GET /"


async def test_options_reach_the_server() -> None:
    server = TestServer(make_app())
    await server.start_server(keepalive_timeout=3, access_log=None, shutdown_timeout=1.5)
    protocol = server.handler()
    assert (protocol.keepalive_timeout, protocol.access_log) == (3, None)
    assert server.handler.handler_cancellation
    await server.close()
    raw = RawTestServer(echo)
    await raw.start_server(shutdown_timeout=1.5, handler_cancellation=False, max_headers=7)
    assert (raw.handler().max_headers, raw.handler.handler_cancellation) == (7, False)
    assert raw.handler().debug
    await raw.close()


async def test_the_handler_of_a_client_that_leaves_is_cancelled() -> None:
    entered, left = asyncio.Event(), asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        raise AssertionError("nobody sets the event")

    async with RawTestServer(slow) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await entered.wait()
        writer.close()
        await writer.wait_closed()
        await left.wait()
        assert await reader.read() == b""


async def test_a_raw_server_gives_base_requests() -> None:
    kinds: list[type] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        kinds.append(type(request))
        return web.Response()

    async with TestClient(RawTestServer(handler)) as client:
        async with client.get("/") as response:
            assert response.status == 200
        assert isinstance(client.server.runner, web.ServerRunner)
        assert client.app is None
    assert kinds == [web.BaseRequest]


async def test_a_start_up_that_fails_leaves_nothing_open() -> None:
    steps: list[str] = []

    async def context(app: web.Application) -> AsyncIterator[None]:
        steps.append("entered")
        yield
        steps.append("left")

    async def fail(app: web.Application) -> None:
        raise RuntimeError("broken start-up")

    server = TestServer(make_app(cleanup_ctx=context, on_startup=fail))
    with pytest.raises(RuntimeError, match="broken start-up"):
        async with server:
            raise AssertionError("not reached")
    assert steps == ["entered", "left"]
    assert not server.started

    client = TestClient(TestServer(make_app(on_startup=fail)))
    with pytest.raises(RuntimeError, match="broken start-up"):
        async with client:
            raise AssertionError("not reached")
    assert client.session.closed


async def test_an_address_that_can_not_be_bound_leaves_nothing_open() -> None:
    cleaned: list[bool] = []

    async def cleanup(app: web.Application) -> None:
        cleaned.append(True)

    server = TestServer(make_app(on_cleanup=cleanup), host="192.0.2.1")
    with pytest.raises(OSError):
        await server.start_server()
    assert cleaned == [True]
    assert not server.started


async def test_a_runner_of_ones_own() -> None:
    class Custom(BaseTestServer):
        given: dict[str, Any] = {}

        async def _make_runner(self, **kwargs: Any) -> web.BaseRunner:
            self.given = kwargs
            return web.ServerRunner(web.Server(echo))

        async def __aenter__(self) -> Custom:
            await self.start_server(loop=self._loop, debug=False)
            return self

    async with Custom(loop=asyncio.get_running_loop()) as server, TestClient(server) as client:
        assert server.given == {"debug": False, "handler_cancellation": True}
        async with client.get("/own") as response:
            assert await response.text() == "GET /own"


def test_a_server_without_a_runner_is_abstract() -> None:
    with pytest.raises(TypeError, match="_make_runner"):
        BaseTestServer()  # type: ignore[abstract]


# ---- the client


@pytest.mark.parametrize("method", "get post options head put patch delete".split())
async def test_verbs(method: str) -> None:
    async with TestClient(TestServer(make_app())) as client:
        expected = "" if method == "head" else f"{method.upper()} /a?b=c"
        async with getattr(client, method)("/a", params={"b": "c"}) as response:
            assert isinstance(response, fairlead.ClientResponse)
            assert await response.text() == expected
        response = await getattr(client, method)("/a?b=c")
        assert await response.text() == expected
        async with client.request(method.upper(), URL("/a?b=c")) as response:
            assert await response.text() == expected


async def test_bodies_headers_and_session_options() -> None:
    async with TestClient(
        TestServer(make_app()), cookies={"a": "b"}, headers={"X": "y"}, timeout=fairlead.ClientTimeout(total=3)
    ) as client:
        assert client.session.timeout.total == 3
        assert client.session.headers["X"] == "y"
        async with client.post("/", data=b"body") as response:
            assert await response.text() == "POST / body a=b"


async def test_cookies_of_an_address_are_kept() -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        response = web.Response(text=request.cookies.get("count", "0"))
        response.set_cookie("count", str(int(request.cookies.get("count", "0")) + 1))
        return response

    async with TestClient(RawTestServer(handler)) as client:
        for expected in ("0", "1", "2"):
            async with client.get("/") as response:
                assert await response.text() == expected
    async with TestClient(RawTestServer(handler), cookie_jar=fairlead.DummyCookieJar()) as client:
        for _ in range(2):
            async with client.get("/") as response:
                assert await response.text() == "0"


async def test_facts_of_a_client() -> None:
    app = make_app()
    server = TestServer(app)
    async with TestClient(server) as client:
        assert client.server is server
        assert client.app is app
        assert (client.host, client.port) == (server.host, server.port)
        assert client.make_url("/q") == server.make_url("/q")
        assert client.session.cookie_jar.unsafe
        async with client.session.get(client.make_url("/s")) as response:
            assert await response.text() == "GET /s"


async def test_close_gives_up_everything() -> None:
    client = TestClient(TestServer(make_app()))
    await client.start_server()
    response = await client.get("/")
    await client.close()
    assert response.closed
    assert client.session.closed
    assert client.server.closed
    assert client.port is None
    await client.close()
    with pytest.raises(AssertionError):
        await client.get("/")


async def test_close_goes_on_after_an_error() -> None:
    async def fail(app: web.Application) -> None:
        raise RuntimeError("broken cleanup")

    client = TestClient(TestServer(make_app(on_cleanup=fail)))
    await client.start_server()
    port = client.port
    assert port is not None
    with pytest.raises(RuntimeError, match="broken cleanup"):
        await client.close()
    assert client.session.closed
    assert client.server.closed
    assert not listens(port)


async def test_an_unread_stream_does_not_hold_up_the_end() -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 4096)
            await asyncio.sleep(0)

    async with asyncio.timeout(10):
        async with TestClient(RawTestServer(endless)) as client:
            response = await client.get("/")
            assert response.status == 200


@pytest.mark.parametrize(
    "wrong", [None, "http://x", web.Application, object()], ids=["none", "text", "class", "object"]
)
async def test_a_client_takes_test_servers_only(wrong: Any) -> None:
    with pytest.raises(TypeError, match="server must be TestServer instance"):
        TestClient(wrong)


async def test_an_absolute_url_is_refused_when_it_is_awaited() -> None:
    async with TestClient(TestServer(make_app())) as client:
        call = client.get("http://example.org/")
        with pytest.raises(AssertionError, match=r"example\.org"):
            await call


async def test_a_call_that_is_never_awaited_can_be_closed() -> None:
    async with TestClient(TestServer(make_app())) as client:
        client.get("/").close()


async def test_two_clients_of_one_server() -> None:
    async with TestServer(make_app()) as server:
        first, second = TestClient(server), TestClient(server)
        for client in (first, second):
            await client.start_server()
            async with client.get("/") as response:
                assert response.status == 200
        await first.close()
        assert server.closed
        await second.close()


# ---- sockets


def test_sockets() -> None:
    with get_unused_port_socket("127.0.0.1") as sock:
        host, port = sock.getsockname()
        assert (host, port > 0, sock.type, sock.family) == ("127.0.0.1", True, socket.SOCK_STREAM, socket.AF_INET)
        if test_utils.REUSE_ADDRESS:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        sock.listen()
        with pytest.raises(OSError):
            get_port_socket("127.0.0.1", port, socket.AF_INET)
    assert unused_port() > 0


# ---- unittest


class Passing(AioHTTPTestCase):
    async def get_application(self) -> web.Application:
        return make_app()

    async def test_request(self) -> None:
        async with self.client.get("/x") as response:
            assert await response.text() == "GET /x"
        assert self.client.server is self.server
        assert self.client.app is self.app
        assert self.loop is asyncio.get_running_loop()

    def test_plain(self) -> None:
        assert self.server.started


class OldNames(AioHTTPTestCase):
    steps: list[str] = []

    def get_app(self) -> web.Application:
        return make_app()

    async def setUpAsync(self) -> None:
        self.steps.append("set up")
        await super().setUpAsync()

    async def tearDownAsync(self) -> None:
        await super().tearDownAsync()
        self.steps.append(f"torn down {self.client.session.closed}")

    async def test_request(self) -> None:
        async with self.client.get("/x") as response:
            assert response.status == 200


class WithoutApplication(AioHTTPTestCase):
    async def test_nothing(self) -> None:
        raise AssertionError("not reached")


class BrokenStart(AioHTTPTestCase):
    async def get_application(self) -> web.Application:
        async def fail(app: web.Application) -> None:
            raise RuntimeError("broken start-up")

        return make_app(on_startup=fail)

    async def test_nothing(self) -> None:
        raise AssertionError("not reached")


for _case in (Passing, OldNames, WithoutApplication, BrokenStart):
    _case.__test__ = False  # type: ignore[attr-defined]


def run_case(case: type[unittest.TestCase]) -> unittest.TestResult:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
        return unittest.TextTestRunner(stream=io.StringIO(), warnings="error").run(suite)


def test_test_cases() -> None:
    result = run_case(Passing)
    assert (result.testsRun, result.failures, result.errors) == (2, [], [])


def test_test_cases_of_old() -> None:
    OldNames.steps.clear()
    result = run_case(OldNames)
    assert (result.testsRun, result.failures, result.errors) == (1, [], [])
    assert OldNames.steps == ["set up", "torn down True"]


@pytest.mark.parametrize(
    ("case", "error"),
    [(WithoutApplication, "Did you forget to define get_application()?"), (BrokenStart, "broken start-up")],
)
def test_test_cases_that_can_not_start(case: type[unittest.TestCase], error: str) -> None:
    result = run_case(case)
    assert (result.testsRun, result.failures, len(result.errors)) == (1, [], 1)
    assert f"RuntimeError: {error}" in result.errors[0][1]


def test_the_decorator_of_old_warns() -> None:
    async def test(self: Any) -> None:
        """Do nothing."""

    with pytest.warns(DeprecationWarning, match="unittest_run_loop"):
        assert unittest_run_loop(test) is test


# ---- loops


def test_loops() -> None:
    with loop_context() as loop:
        assert asyncio.get_event_loop_policy().get_event_loop() is loop
    assert loop.is_closed()
    made: list[asyncio.AbstractEventLoop] = []

    def factory() -> asyncio.AbstractEventLoop:
        made.append(asyncio.SelectorEventLoop())
        return made[-1]

    with pytest.raises(ZeroDivisionError), loop_context(factory, fast=True) as loop:
        assert made == [loop]
        _ = 1 / 0
    assert loop.is_closed()


def test_a_loop_ends_its_generators() -> None:
    steps: list[str] = []

    async def generator() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.sleep(0)
            steps.append("ended")

    running = generator()

    async def begin() -> None:
        await anext(running)

    loop = setup_test_loop()
    loop.run_until_complete(begin())
    teardown_test_loop(loop)
    assert steps == ["ended"]
    teardown_test_loop(loop)


# ---- mocks


def test_a_mocked_request_outside_of_a_loop() -> None:
    request = make_mocked_request("get", "/a b?c=d", headers={"Token": "x", "Cookie": "e=f", "Host": "h.org"})
    assert isinstance(request, web.Request)
    assert (request.method, request.path, request.path_qs, request.raw_path) == (
        "GET",
        "/a b",
        "/a%20b?c=d",
        "/a b?c=d",
    )
    assert (request.host, request.scheme, request.remote, request.keep_alive) == ("h.org", "http", None, True)
    assert (dict(request.query), dict(request.cookies), dict(request.match_info)) == ({"c": "d"}, {"e": "f"}, {})
    assert request.raw_headers == ((b"Token", b"x"), (b"Cookie", b"e=f"), (b"Host", b"h.org"))
    assert not request.can_read_body
    assert request.transport is request.protocol.transport
    assert request.get_extra_info("peername", "nobody") == "nobody"
    assert not request.shutting_down


def test_facts_that_a_mocked_request_is_given() -> None:
    transport, protocol, writer = mock.Mock(), mock.Mock(), mock.Mock()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    app = web.Application()
    request = make_mocked_request(
        "GET",
        "/",
        match_info={"a": "b"},
        version=fairlead.HttpVersion10,
        closing=True,
        app=app,
        sslcontext=context,
        client_max_size=5,
        client_max_fields=6,
    )
    assert (request.version, request.keep_alive, request.app) == (fairlead.HttpVersion10, False, app)
    assert (request.client_max_size, request.client_max_fields) == (5, 6)
    assert (dict(request.match_info), request.secure) == ({"a": "b"}, True)
    assert request.transport.get_extra_info("sslcontext") is context  # type: ignore[union-attr]
    request = make_mocked_request("GET", "/", transport=transport, writer=writer)
    assert request.transport is transport
    assert request.writer is writer
    request = make_mocked_request("GET", "/", protocol=protocol)
    assert request.protocol is protocol


def test_the_application_of_a_mocked_request_takes_items() -> None:
    request = make_mocked_request("GET", "/")
    request.app["key"] = "value"
    assert request.app["key"] == "value"
    with pytest.raises(KeyError):
        _ = request.app["other"]
    assert isinstance(request.app, web.Application)


def test_the_route_of_a_mocked_request() -> None:
    request = make_mocked_request("GET", "/")
    assert request.match_info.handler is request.match_info.route.handler


@pytest.mark.parametrize(("coding", "chunked"), [("chunked", True), ("gzip, Chunked", True), ("", False)])
def test_a_chunked_mocked_request(coding: str, chunked: bool) -> None:
    request = make_mocked_request("POST", "/", headers={"Transfer-Encoding": coding} if coding else None)
    with pytest.warns(DeprecationWarning, match="message is deprecated"):
        assert request.message.chunked is chunked


async def test_a_handler_with_a_mocked_request() -> None:
    payload = StreamReader(mock.Mock(), 2**16, loop=asyncio.get_running_loop())
    payload.feed_data(b'{"a": 1}')
    payload.feed_eof()
    request = make_mocked_request("POST", "/", headers={"Content-Type": "application/json"}, payload=payload)
    assert await request.json() == {"a": 1}
    response = await echo(make_mocked_request("GET", "/x"))
    assert response.text == "GET /x"


@pytest.mark.parametrize("kind", [web.Response, web.StreamResponse])
async def test_a_response_to_a_mocked_request(kind: type[web.StreamResponse]) -> None:
    request = make_mocked_request("GET", "/")
    prepared: list[web.StreamResponse] = []

    async def note(request: web.Request, response: web.StreamResponse) -> None:
        prepared.append(response)

    app = web.Application()
    app.on_response_prepare.append(note)
    app.on_response_prepare.freeze()
    request = make_mocked_request("GET", "/", app=app)
    response = kind()
    assert await response.prepare(request) is request.writer
    if kind is web.StreamResponse:
        await response.write(b"piece")
        request.writer.write.assert_called_with(b"piece")  # type: ignore[attr-defined]
    await response.write_eof()
    assert request.writer.write_eof.called  # type: ignore[attr-defined]
    assert response.body_length == 0
    assert prepared == [response]


async def test_mocked_coroutines() -> None:
    answer = make_mocked_coro(5)
    assert await answer(1, a=2) == 5
    answer.assert_called_once_with(1, a=2)
    assert await make_mocked_coro(None)() is None
    with pytest.raises(ValueError, match="given"):
        await make_mocked_coro(raise_exception=ValueError("given"))()
    with pytest.raises(KeyError):
        await make_mocked_coro(raise_exception=KeyError)()


async def test_websockets_of_a_test_client_are_closed_with_it() -> None:
    ended: list[int | None] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        ws: web.WebSocketResponse[bool] = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            await ws.send_str(message.data)
        ended.append(ws.close_code)
        return ws

    app = web.Application()
    app.router.add_get("/", handler)
    async with TestClient(TestServer(app)) as client:
        first = await client.ws_connect("/")
        await first.send_str("a")
        assert await first.receive_str() == "a"
        async with client.ws_connect("/", decode_text=False) as second:
            await second.send_str("b")
            assert await second.receive_str() == b"b"
        assert (first.closed, second.closed) == (False, True)
    assert first.closed
    assert ended == [1000, 1000]

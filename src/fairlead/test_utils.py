"""What tests of servers and clients need: servers on a free port, a client for them, requests without a server.

    async with TestClient(TestServer(app)) as client:
        async with client.get("/") as response:
            assert response.status == 200

In: an application, or a handler of requests. Out: real connections on the loopback interface; nothing is simulated but
what `make_mocked_request` makes. A test client gives up what it has opened in one `close()`: responses, its session and
its server.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import os
import socket
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload
from unittest import IsolatedAsyncioTestCase, mock

from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from . import hdrs
from .client.cookiejar import AbstractCookieJar, CookieJar
from .client.response import ClientResponse
from .client.session import ClientSession
from .client.ws import ClientWebSocketResponse
from .codec.events import HttpVersion, HttpVersion11
from .keys import UNSET
from .signals import Signal
from .typedefs import StrOrURL
from .web.app import Application
from .web.message import RawRequestMessage
from .web.request import BaseRequest, Request
from .web.routes import UrlMappingMatchInfo
from .web.runner import AppRunner, BaseRunner, ServerRunner
from .web.server import Server
from .web.sites import SockSite
from .web.stream_response import StreamResponse
from .wire.streams import EMPTY_PAYLOAD, StreamReader

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = (
    "REUSE_ADDRESS",
    "AioHTTPTestCase",
    "BaseTestServer",
    "RawTestServer",
    "TestClient",
    "TestServer",
    "get_port_socket",
    "get_unused_port_socket",
    "loop_context",
    "make_mocked_coro",
    "make_mocked_request",
    "setup_test_loop",
    "teardown_test_loop",
    "unittest_run_loop",
    "unused_port",
)

REUSE_ADDRESS = os.name == "posix" and sys.platform != "cygwin"
"""Whether sockets get SO_REUSEADDR: elsewhere it would let two servers share a port."""

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
SocketFactory = Callable[[str, int, socket.AddressFamily], socket.socket]

_T = TypeVar("_T")
_Request = TypeVar("_Request", bound=BaseRequest)
_ApplicationNone = TypeVar("_ApplicationNone", Application, None)


def get_unused_port_socket(host: str, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    """Return a socket that is bound to a free port of `host`; close it, or give it to a server."""
    return get_port_socket(host, 0, family)


def get_port_socket(host: str, port: int, family: socket.AddressFamily) -> socket.socket:
    """Return a stream socket that is bound to `host` and `port`; raises OSError when that can not be."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if REUSE_ADDRESS:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def unused_port() -> int:
    """Return a port of the loopback interface that nobody listened at just now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


# ---- servers


class BaseTestServer(ABC):
    """A server for a test; subclasses say what it runs, in `_make_runner`."""

    __test__ = False

    def __init__(
        self,
        *,
        scheme: str = "",
        loop: asyncio.AbstractEventLoop | None = None,
        host: str = "127.0.0.1",
        port: int | None = None,
        skip_url_asserts: bool = False,
        socket_factory: SocketFactory = get_port_socket,
        **kwargs: Any,
    ) -> None:
        """Prepare a server at `host` and `port`, any free one by default.

        `scheme` is that of the URLs that `make_url` gives; with `skip_url_asserts` it gives absolute URLs back and
        takes paths that look like one ("//x").
        """
        self._loop = loop
        self.runner: BaseRunner | None = None
        self._root: URL | None = None
        self.host = host
        self.port = port
        self._closed = False
        self.scheme = scheme
        self.skip_url_asserts = skip_url_asserts
        self.socket_factory = socket_factory
        self._ssl: SSLContext | None = None

    async def start_server(self, loop: asyncio.AbstractEventLoop | None = None, **kwargs: Any) -> None:
        """Listen; nothing happens when that was done already.

        `ssl` is the TLS context; the other arguments are those of the runner and of `web.Server`. A handler is
        cancelled when its client leaves, unless `handler_cancellation=False` is given. Errors of the start-up come out
        as they are, and nothing is left open then.
        """
        if self.runner is not None:
            return
        if loop is not None:
            self._loop = loop
        self._ssl = kwargs.pop("ssl", None)
        kwargs.setdefault("handler_cancellation", True)
        runner = self.runner = await self._make_runner(**kwargs)
        try:
            await runner.setup()
            await self._listen(runner)
        except BaseException:
            self.runner = None
            await runner.cleanup()
            raise

    async def _listen(self, runner: BaseRunner) -> None:
        host = self.host
        try:
            version = ipaddress.ip_address(host).version
        except ValueError:
            version = 4
        family = socket.AF_INET6 if version == 6 else socket.AF_INET
        sock = self.socket_factory(host, self.port or 0, family)
        try:
            self.host, self.port = sock.getsockname()[:2]
            site = SockSite(runner, sock=sock, ssl_context=self._ssl)
            await site.start()
        except BaseException:
            sock.close()
            raise
        if not self.scheme:
            self.scheme = "https" if self._ssl else "http"
        self._root = URL.build(scheme=self.scheme, host=host, port=self.port)

    @abstractmethod
    async def _make_runner(self, **kwargs: Any) -> BaseRunner:
        """Return a runner that was not set up yet; `kwargs` are what `start_server` was given."""

    def make_url(self, path: StrOrURL) -> URL:
        """Return the URL of a path at this server; AssertionError for an absolute URL and while nothing listens."""
        root = self._root
        assert root is not None, "the server does not listen: start_server() comes first, and close() was the end"
        if self.skip_url_asserts and str(path).startswith("/"):
            return URL(str(root) + str(path))
        url = URL(path)
        if url.absolute and self.skip_url_asserts:
            return url
        assert not url.absolute, f"a path at the server {root} is expected, not the absolute URL {url}"
        return root.join(url)

    @property
    def started(self) -> bool:
        """Whether `start_server` has been called."""
        return self.runner is not None

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return self._closed

    @property
    def handler(self) -> Server:
        """The `web.Server` that makes the protocols of connections; AssertionError while there is none."""
        assert self.runner is not None, "the server was not started"
        server = self.runner.server
        assert server is not None, "the server was closed"
        return server

    async def close(self) -> None:
        """Stop the server and end all connections; closing it again does nothing.

        Errors of the application's cleanup come out when all is done.
        """
        if self.started and not self.closed:
            assert self.runner is not None
            self._closed = True
            self._root = None
            self.port = None
            await self.runner.cleanup()

    def __enter__(self) -> None:
        raise TypeError("Use async with instead")

    def __exit__(  # noqa: B027
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Only there so that `with` gets as far as the error of `__enter__`."""

    async def __aenter__(self) -> Self:
        await self.start_server(loop=self._loop)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class TestServer(BaseTestServer):
    """A server that runs an application."""

    def __init__(
        self, app: Application, *, scheme: str = "", host: str = "127.0.0.1", port: int | None = None, **kwargs: Any
    ) -> None:
        """Prepare a server of `app`; see `BaseTestServer`."""
        self.app = app
        super().__init__(scheme=scheme, host=host, port=port, **kwargs)

    async def _make_runner(self, **kwargs: Any) -> BaseRunner:
        return AppRunner(self.app, **kwargs)


class RawTestServer(BaseTestServer):
    """A server that gives all requests to one handler, without an application."""

    def __init__(
        self,
        handler: Callable[[BaseRequest], Awaitable[StreamResponse]],
        *,
        scheme: str = "",
        host: str = "127.0.0.1",
        port: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Prepare a server of `handler`; see `BaseTestServer`."""
        self._handler = handler
        super().__init__(scheme=scheme, host=host, port=port, **kwargs)

    async def _make_runner(self, debug: bool = True, **kwargs: Any) -> ServerRunner:
        options = {name: kwargs.pop(name) for name in ("handle_signals", "shutdown_timeout") if name in kwargs}
        server = Server(self._handler, loop=self._loop, debug=debug, **kwargs)
        return ServerRunner(server, **options)


# ---- the client


class Call(Coroutine[Any, Any, _T], Generic[_T]):
    """What the verbs of a `TestClient` return: await it for the response, or enter it to have that released after."""

    __slots__ = ("_coro", "_entered")

    def __init__(self, coro: Coroutine[Any, Any, _T]) -> None:
        self._coro = coro
        self._entered: Any = None

    def send(self, value: Any) -> Any:
        return self._coro.send(value)

    def throw(self, *args: Any) -> Any:
        return self._coro.throw(*args)

    def close(self) -> None:
        self._coro.close()

    def __await__(self) -> Generator[Any, None, _T]:
        return self._coro.__await__()

    def __iter__(self) -> Generator[Any, None, _T]:
        return self.__await__()

    async def __aenter__(self) -> _T:
        self._entered = await self._coro
        return await self._entered.__aenter__()  # type: ignore[no-any-return]

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._entered.__aexit__(exc_type, exc, tb)


class TestClient(Generic[_Request, _ApplicationNone]):
    """A client of one test server, which it starts and closes; takes paths where a session takes URLs."""

    __test__ = False

    @overload
    def __init__(
        self: TestClient[Request, Application],
        server: TestServer,
        *,
        cookie_jar: AbstractCookieJar | None = None,
        **kwargs: Any,
    ) -> None: ...
    @overload
    def __init__(
        self: TestClient[_Request, None],
        server: BaseTestServer,
        *,
        cookie_jar: AbstractCookieJar | None = None,
        **kwargs: Any,
    ) -> None: ...
    def __init__(
        self,
        server: BaseTestServer,
        *,
        cookie_jar: AbstractCookieJar | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        **kwargs: Any,
    ) -> None:
        """Make a client of `server`, in a running loop; further arguments are those of `ClientSession`.

        The default cookie jar keeps cookies of IP addresses as well, since that is where test servers are. Raises
        TypeError for what is no test server.
        """
        if not isinstance(server, BaseTestServer):
            raise TypeError(f"server must be TestServer instance, found type: {type(server)!r}")
        self._server = server
        self._loop = loop
        if cookie_jar is None:
            cookie_jar = CookieJar(unsafe=True, loop=loop)
        self._session = ClientSession(loop=loop, cookie_jar=cookie_jar, **kwargs)
        self._closed = False
        self._responses: list[ClientResponse] = []
        self._websockets: list[ClientWebSocketResponse[Any]] = []

    async def start_server(self) -> None:
        """Start the server, unless it runs."""
        await self._server.start_server(loop=self._loop)

    @property
    def host(self) -> str:
        """The host of the server."""
        return self._server.host

    @property
    def port(self) -> int | None:
        """The port of the server; None before it was started and after it was closed."""
        return self._server.port

    @property
    def server(self) -> BaseTestServer:
        """The server."""
        return self._server

    @property
    def app(self) -> _ApplicationNone:
        """The application of the server; None when it has none."""
        return getattr(self._server, "app", None)  # type: ignore[return-value]

    @property
    def session(self) -> ClientSession:
        """The session behind the client, which takes URLs: use `make_url` for those of the server."""
        return self._session

    def ws_connect(
        self, path: StrOrURL, *, decode_text: bool = True, **kwargs: Any
    ) -> Call[ClientWebSocketResponse[Any]]:
        """Open a WebSocket to the server; arguments and errors are those of `ClientSession.ws_connect`."""
        return Call(self._ws_connect(path, decode_text=decode_text, **kwargs))

    async def _ws_connect(self, path: StrOrURL, **kwargs: Any) -> ClientWebSocketResponse[Any]:
        websocket = await self._session.ws_connect(self.make_url(path), **kwargs)
        self._websockets.append(websocket)
        return websocket

    def make_url(self, path: StrOrURL) -> URL:
        """Return the URL of a path at the server."""
        return self._server.make_url(path)

    async def _request(self, method: str, path: StrOrURL, **kwargs: Any) -> ClientResponse:
        response = await self._session.request(method, self.make_url(path), **kwargs)
        self._responses.append(response)
        return response

    def request(self, method: str, path: StrOrURL, **kwargs: Any) -> Call[ClientResponse]:
        """Send a request to the server; arguments and errors are those of `ClientSession.request`."""
        return Call(self._request(method, path, **kwargs))

    def get(self, path: StrOrURL, **kwargs: Any) -> Call[ClientResponse]:
        """Send a GET request."""
        return Call(self._request(hdrs.METH_GET, path, **kwargs))

    def post(self, path: StrOrURL, **kwargs: Any) -> Call[ClientResponse]:
        """Send a POST request."""
        return Call(self._request(hdrs.METH_POST, path, **kwargs))

    def options(self, path: StrOrURL, **kwargs: Any) -> Call[ClientResponse]:
        """Send an OPTIONS request."""
        return Call(self._request(hdrs.METH_OPTIONS, path, **kwargs))

    def head(self, path: StrOrURL, **kwargs: Any) -> Call[ClientResponse]:
        """Send a HEAD request."""
        return Call(self._request(hdrs.METH_HEAD, path, **kwargs))

    def put(self, path: StrOrURL, **kwargs: Any) -> Call[ClientResponse]:
        """Send a PUT request."""
        return Call(self._request(hdrs.METH_PUT, path, **kwargs))

    def patch(self, path: StrOrURL, **kwargs: Any) -> Call[ClientResponse]:
        """Send a PATCH request."""
        return Call(self._request(hdrs.METH_PATCH, path, **kwargs))

    def delete(self, path: StrOrURL, **kwargs: Any) -> Call[ClientResponse]:
        """Send a DELETE request."""
        return Call(self._request(hdrs.METH_DELETE, path, **kwargs))

    async def close(self) -> None:
        """Close all responses, the session and the server; closing it again does nothing.

        An error of one step does not keep the next from being done.
        """
        if self._closed:
            return
        self._closed = True
        try:
            for response in self._responses:
                response.close()
            for websocket in self._websockets:
                await websocket.close()
        finally:
            try:
                await self._session.close()
            finally:
                await self._server.close()

    def __enter__(self) -> None:
        raise TypeError("Use async with instead")

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Only there so that `with` gets as far as the error of `__enter__`."""

    async def __aenter__(self) -> Self:
        try:
            await self.start_server()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()


# ---- unittest


class AioHTTPTestCase(IsolatedAsyncioTestCase):
    """A test case with an application, its server and a client: `self.app`, `self.server` and `self.client`."""

    async def get_application(self) -> Application:
        """Return the application to test; subclasses override this."""
        return self.get_app()

    def get_app(self) -> Application:
        """Return the application to test; the old way, from before `get_application`."""
        raise RuntimeError("Did you forget to define get_application()?")

    async def asyncSetUp(self) -> None:
        """Start the server; call it first when overriding it."""
        return await self.setUpAsync()

    async def setUpAsync(self) -> None:
        """Do what `asyncSetUp` does; the old name."""
        self.loop = asyncio.get_running_loop()
        self.app = await self.get_application()
        self.server = await self.get_server(self.app)
        self.client = await self.get_client(self.server)
        try:
            await self.client.start_server()
        except BaseException:
            # unittest does not tear down what was not set up.
            await self.client.close()
            raise

    async def asyncTearDown(self) -> None:
        """Close the client and the server; call it last when overriding it."""
        return await self.tearDownAsync()

    async def tearDownAsync(self) -> None:
        """Do what `asyncTearDown` does; the old name."""
        await self.client.close()

    async def get_server(self, app: Application) -> TestServer:
        """Return the server of the application."""
        return TestServer(app, loop=self.loop)

    async def get_client(self, server: TestServer) -> TestClient[Request, Application]:
        """Return the client of the server."""
        return TestClient(server, loop=self.loop)


def unittest_run_loop(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Return `func`: a test case runs coroutine functions by itself (deprecated)."""
    warnings.warn(
        "Decorator `@unittest_run_loop` is not needed: AioHTTPTestCase runs coroutine functions",
        DeprecationWarning,
        stacklevel=2,
    )
    return func


# ---- loops


@contextlib.contextmanager
def loop_context(
    loop_factory: LoopFactory = asyncio.new_event_loop, fast: bool = False
) -> Iterator[asyncio.AbstractEventLoop]:
    """Give a new loop, set as the current one, and close it after; see `teardown_test_loop`."""
    loop = setup_test_loop(loop_factory)
    try:
        yield loop
    finally:
        teardown_test_loop(loop, fast=fast)


def setup_test_loop(loop_factory: LoopFactory = asyncio.new_event_loop) -> asyncio.AbstractEventLoop:
    """Return a new loop that is set as the current one of this thread."""
    loop = loop_factory()
    asyncio.set_event_loop(loop)
    return loop


def teardown_test_loop(loop: asyncio.AbstractEventLoop, fast: bool = False) -> None:
    """Close a loop, and collect garbage unless it is to be `fast`, so that a test's warnings are its own."""
    if not loop.is_closed():
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    if not fast:
        gc.collect()
    asyncio.set_event_loop(None)


# ---- requests without a server


def _create_app_mock() -> mock.MagicMock:
    """Make an application that takes items, and whose signal can be sent."""
    items: dict[Any, Any] = {}
    app = mock.MagicMock(spec=Application, _debug=False)
    app.__getitem__.side_effect = items.__getitem__
    app.__setitem__.side_effect = items.__setitem__
    app.on_response_prepare = Signal(app)
    app.on_response_prepare.freeze()
    return app


def _create_transport(sslcontext: SSLContext | None = None) -> mock.Mock:
    """Make a transport that knows its TLS context and nothing else."""

    def get_extra_info(key: str, default: Any = None) -> Any:
        return sslcontext if key == "sslcontext" else default

    transport = mock.Mock()
    transport.get_extra_info.side_effect = get_extra_info
    transport.is_closing.return_value = False
    transport.get_write_buffer_size.return_value = 0
    return transport


def _create_writer(transport: Any) -> mock.Mock:
    """Make a writer that takes everything and writes nothing."""
    writer = mock.Mock()
    for name in ("write", "write_eof", "write_headers", "drain"):
        setattr(writer, name, make_mocked_coro(None))
    writer.transport = transport
    writer.length = None
    writer.buffer_size = writer.output_size = 0
    return writer


def make_mocked_coro(return_value: Any = UNSET, raise_exception: Any = UNSET) -> Any:
    """Return a mock that can be called and awaited; it returns one thing or raises the other."""

    async def answer(*args: Any, **kwargs: Any) -> Any:
        if raise_exception is UNSET:
            return return_value
        # An instance, or a class like `ValueError`.
        raise raise_exception

    return mock.Mock(wraps=answer)


def make_mocked_request(
    method: str,
    path: str,
    headers: Any = None,
    *,
    match_info: Any = UNSET,
    version: HttpVersion = HttpVersion11,
    closing: bool = False,
    app: Any = None,
    writer: Any = UNSET,
    protocol: Any = UNSET,
    transport: Any = UNSET,
    payload: StreamReader = EMPTY_PAYLOAD,
    sslcontext: SSLContext | None = None,
    client_max_size: int = 1024**2,
    client_max_fields: int = 1000,
    loop: Any = ...,
) -> Request:
    """Return a request for the unit test of a handler; what stands around it is made of mocks unless it is given.

    `path` is the request target, `closing` says that the client wants to close the connection, `payload` is the body.
    """
    if loop is ...:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = mock.Mock()
            loop.create_future.return_value = ()
    fields: CIMultiDict[str] = CIMultiDict(headers or ())
    message = RawRequestMessage(
        method.upper(),
        path,
        version,
        CIMultiDictProxy(fields),
        tuple(
            (name.encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape"))
            for name, value in fields.items()
        ),
        closing,
        None,
        False,
        "chunked" in fields.get(hdrs.TRANSFER_ENCODING, "").lower(),
        URL(path),
    )
    if app is None:
        app = _create_app_mock()
    if transport is UNSET:
        transport = _create_transport(sslcontext)
    if writer is UNSET:
        writer = _create_writer(transport)
    if protocol is UNSET:
        protocol = mock.Mock()
        protocol.max_field_size = protocol.max_line_length = protocol.max_line_size = 8190
        protocol.max_headers = 128
        protocol.transport = transport
        protocol.writer = writer
        protocol.ssl_context = sslcontext
        protocol.peername = transport.get_extra_info("peername")
        protocol.sockname = ("127.0.0.1", 80)
        protocol.shutting_down = protocol.writing_paused = False
        protocol.switch.return_value = b""
    request = Request(
        message,
        payload,
        protocol,
        writer,
        mock.Mock(),
        loop,
        client_max_size=client_max_size,
        client_max_fields=client_max_fields,
    )
    handler = mock.Mock()
    route = mock.Mock(handler=handler, _handler=handler)
    match = UrlMappingMatchInfo({} if match_info is UNSET else match_info, route)
    match.add_app(app)
    request.set_match_info(match)
    return request

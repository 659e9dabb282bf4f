"""`ClientSession`: the front door of the client.

In: defaults for many calls, then calls.  Out: responses.  A session owns a connector (the pool), a cookie jar and the
header lines that its plain requests share; it makes no decision of its own about a request.

A session must be closed (`async with` does it).  One that is dropped open says where it was made, and closes its
connections.
"""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Sequence
from http.cookies import BaseCookie
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, TypedDict, TypeVar

from multidict import CIMultiDict, MultiDict, MultiDictProxy, getversion, istr
from yarl import URL

from .. import hdrs
from ..codec.events import HttpVersion, HttpVersion11
from ..codec.urls import merge_params, origin_of, same_origin
from ..errors import InvalidUrlClientError, NonHttpUrlClientError
from ..message.body import JsonBytesPayload, JsonPayload, Payload
from ..wire.exchange import Exchange
from . import follow
from .auth import BasicAuth
from .connector import BaseConnector
from .cookiejar import AbstractCookieJar, CookieJar
from .options import UNSET, Plan, session_plan, warn_about_auth
from .reconnect import BACKOFF, Backoff, Reconnection, may_pass
from .request import ClientRequest, checked_method, configure
from .response import ClientResponse
from .tcp import TCPConnector
from .template import OCTETS, SMALL_BODY, Fields, Route, Template, body_fields, small_body
from .timeouts import DEFAULT_TIMEOUT, ClientTimeout, ClientWSTimeout, check_session_timeout
from .tracing import Trace
from .ws import MAX_MSG_SIZE, ClientWebSocketResponse, connect, ws_timeout

if TYPE_CHECKING:
    from typing import Unpack

    from ..typedefs import LooseCookies, LooseHeaders, Query, StrOrURL
    from ..wire.tls import Fingerprint, SSLContext
    from .request import UploadTracker
    from .tracing import TraceConfig

TEMPLATE_LIMIT: Final = 1024
"""Servers whose shared header lines a session remembers."""

ROUTE_LIMIT: Final = 1024
"""URLs whose request heads a session remembers."""

ROUTE_LENGTH: Final = 2048
"""Characters of a request target that is remembered: longer ones are rarely asked for twice."""

T_co = TypeVar("T_co", covariant=True)


class _RequestOptions(TypedDict, total=False):
    """The options of one call."""

    params: Query
    data: Any
    json: Any
    cookies: LooseCookies | None
    headers: LooseHeaders | None
    skip_auto_headers: Iterable[str] | None
    auth: BasicAuth | None
    allow_redirects: bool
    max_redirects: int
    compress: str | bool | None
    chunked: bool | None
    expect100: bool
    raise_for_status: bool | Callable[[ClientResponse], Awaitable[None]] | None
    read_until_eof: bool
    proxy: StrOrURL | None
    proxy_auth: BasicAuth | None
    timeout: ClientTimeout | float | None
    verify_ssl: bool | None
    fingerprint: bytes | None
    ssl_context: SSLContext | None
    ssl: SSLContext | bool | Fingerprint
    server_hostname: str | None
    proxy_headers: LooseHeaders | None
    trace_request_ctx: object
    read_bufsize: int | None
    auto_decompress: bool | None
    max_line_size: int | None
    max_field_size: int | None
    max_headers: int | None
    middlewares: Sequence[Any] | None
    upload_tracker: UploadTracker | None


class _BaseRequestContextManager(Coroutine[Any, Any, T_co], Generic[T_co]):
    """What the verbs return: await it for the response, or enter it to have the response released at the end."""

    __slots__ = ("_coro", "_resp")

    def __init__(self, coro: Coroutine[Any, Any, T_co]) -> None:
        self._coro: Coroutine[Any, Any, T_co] = coro

    def send(self, arg: None) -> Any:
        return self._coro.send(arg)

    def throw(self, *args: Any) -> Any:
        return self._coro.throw(*args)

    def close(self) -> None:
        return self._coro.close()

    def __await__(self) -> Generator[Any, None, T_co]:
        return self._coro.__await__()

    def __iter__(self) -> Generator[Any, None, T_co]:
        return self.__await__()

    async def __aenter__(self) -> T_co:
        response: Any = await self._coro
        self._resp: T_co = response
        if type(response) is ClientResponse:  # the usual class: its __aenter__ does this and nothing else
            response.in_context = True
            return self._resp
        return await response.__aenter__()  # type: ignore[no-any-return]

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        response: Any = self._resp
        if type(response) is ClientResponse and response.settled:
            return  # it has given its connection back
        await response.__aexit__(exc_type, exc, tb)


class _RequestContextManager(_BaseRequestContextManager[ClientResponse]):
    """A call that has been prepared."""

    __slots__ = ()


class _WSRequestContextManager(_BaseRequestContextManager[ClientWebSocketResponse[Any]]):
    """A WebSocket that is about to be opened: await it, or enter it to have it closed at the end."""

    __slots__ = ()


class _SessionRequestContextManager:
    """A call on a session of its own, which is closed with the response."""

    __slots__ = ("_coro", "_resp", "_session")

    def __init__(self, coro: Coroutine[Any, Any, ClientResponse], session: ClientSession) -> None:
        self._coro = coro
        self._resp: ClientResponse | None = None
        self._session = session

    async def __aenter__(self) -> ClientResponse:
        try:
            self._resp = await self._coro
        except BaseException:
            await self._session.close()
            raise
        return self._resp

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        assert self._resp is not None
        self._resp.close()
        await self._session.close()


class ClientSession:
    """A session: connections, cookies and defaults that calls share."""

    ATTRS = frozenset(
        {"_base_url", "_connector", "_cookie_jar", "_default_headers", "_loop", "_timeout", "requote_redirect_url"}
    )

    _connector: BaseConnector | None = None
    _created_at: tuple[str, int] | None = None
    _source_traceback: traceback.StackSummary | None = None

    def __init__(
        self,
        base_url: StrOrURL | None = None,
        *,
        connector: BaseConnector | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        cookies: LooseCookies | None = None,
        headers: LooseHeaders | None = None,
        proxy: StrOrURL | None = None,
        proxy_auth: BasicAuth | None = None,
        skip_auto_headers: Iterable[str] | None = None,
        auth: BasicAuth | None = None,
        json_serialize: Callable[[Any], str] = json.dumps,
        json_serialize_bytes: Callable[[Any], bytes] | None = None,
        request_class: type[ClientRequest] = ClientRequest,
        response_class: type[ClientResponse] = ClientResponse,
        ws_response_class: type[ClientWebSocketResponse[Any]] = ClientWebSocketResponse,
        version: HttpVersion = HttpVersion11,
        cookie_jar: AbstractCookieJar | None = None,
        connector_owner: bool = True,
        raise_for_status: bool | Callable[[ClientResponse], Awaitable[None]] = False,
        read_timeout: float | None = UNSET,
        conn_timeout: float | None = None,
        timeout: ClientTimeout | None = UNSET,
        auto_decompress: bool = True,
        trust_env: bool = False,
        requote_redirect_url: bool = True,
        trace_configs: list[TraceConfig] | None = None,
        read_bufsize: int = Plan.read_bufsize,
        max_line_size: int = Plan.max_line_size,
        max_field_size: int = Plan.max_field_size,
        max_headers: int = Plan.max_headers,
        fallback_charset_resolver: Callable[[ClientResponse, bytes], str] = lambda response, body: "utf-8",
        middlewares: Sequence[Any] = (),
        ssl_shutdown_timeout: float | None = UNSET,
    ) -> None:
        """Make a session; raises RuntimeError without a running loop, TypeError and ValueError for wrong arguments."""
        self._base_url, self._base_origin = _check_base_url(base_url)
        self._loop = _loop_for(loop, connector)
        self._timeout = _check_timeouts(timeout, read_timeout, conn_timeout)
        if connector is None:
            connector = TCPConnector(loop=self._loop, ssl_shutdown_timeout=ssl_shutdown_timeout)
        elif connector.loop is not self._loop:
            raise RuntimeError("Session and connector has to use same event loop")
        if auth is not None:
            warn_about_auth(stacklevel=3)
            if not isinstance(auth, BasicAuth):
                raise TypeError("BasicAuth() tuple is required instead")
        self._cookie_jar = CookieJar(loop=self._loop) if cookie_jar is None else cookie_jar
        if cookies:
            self._cookie_jar.update_cookies(cookies)
        self._default_headers: CIMultiDict[str] = CIMultiDict(headers or ())
        self._skip_auto_headers = frozenset(map(istr, skip_auto_headers or ()))
        self._connector_owner = connector_owner
        self._default_auth = auth
        self._version = version
        self._json_serialize = json_serialize
        self._json_serialize_bytes = json_serialize_bytes
        self._request_class = request_class
        self._response_class = response_class
        self._ws_response_class = ws_response_class
        self._trust_env = trust_env
        self._requote_redirect_url = requote_redirect_url
        self._resolve_charset = fallback_charset_resolver
        self._trace_configs = trace_configs or []
        for config in self._trace_configs:
            config.freeze()
        self._defaults = session_plan(
            timeout=self._timeout,
            raise_for_status=raise_for_status,
            auto_decompress=auto_decompress,
            read_bufsize=read_bufsize,
            max_line_size=max_line_size,
            max_field_size=max_field_size,
            max_headers=max_headers,
            middlewares=middlewares,
            proxy=proxy,
            proxy_auth=proxy_auth,
        )
        self._headers_version = -1  # of the default fields that the templates were made from
        self._shown = False  # and the caller can change them, or the traces
        self._templates: dict[tuple[str, str | None], Template] = {}
        self._routes: dict[StrOrURL, Route] = {}
        self._plain = (
            auth is None
            and not trust_env
            and request_class is ClientRequest
            and version == HttpVersion11
            and not trace_configs
            and type(self._cookie_jar) is CookieJar
            and response_class.__init__ is ClientResponse.__init__
            and response_class.start is ClientResponse.start
            and connector.takes_plain
        )
        self._connector = connector
        self._created_at = _caller()
        if self._loop.get_debug():
            self._source_traceback = traceback.extract_stack(sys._getframe(1))

    def __init_subclass__(cls) -> None:
        warnings.warn(
            f"Inheritance class {cls.__name__} from ClientSession is discouraged", DeprecationWarning, stacklevel=2
        )

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        connector = self._connector
        if connector is None or connector.closed:
            return
        if self._connector_owner:
            connector.shut_down()  # first: warnings may be errors
        where = "" if self._created_at is None else f", created at {self._created_at[0]}:{self._created_at[1]}"
        _warn(
            f"Unclosed client session {self!r}{where}; use `async with` or `await session.close()`",
            ResourceWarning,
            source=self,
        )
        if self._loop.is_closed():
            return
        context: dict[str, Any] = {"client_session": self, "message": "Unclosed client session"}
        if self._source_traceback is not None:
            context["source_traceback"] = self._source_traceback
        self._loop.call_exception_handler(context)

    async def __aenter__(self) -> ClientSession:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.close()

    # ---- verbs

    def request(self, method: str, url: StrOrURL, **kwargs: Unpack[_RequestOptions]) -> _RequestContextManager:
        """Send a request; await the result for the response, or use it with `async with`.

        Every option of the verbs is one of these keyword arguments.  Raises, when awaited: InvalidUrlClientError,
        NonHttpUrlClientError, TypeError and ValueError for wrong arguments, before anything is sent;
        ClientConnectionError and its kin when there is no connection or it fails; ClientResponseError for a malformed
        response; TooManyRedirects; TimeoutError and its kin.  Cancellation closes the connection that is in use.
        """
        if type(method) is not str and isinstance(method, str):
            method = method.upper()  # of an enumeration, say, whose members format as something else
        return _RequestContextManager(self._request(method, url, **kwargs))

    def get(self, url: StrOrURL, *, allow_redirects: bool = True, **kwargs: Any) -> _RequestContextManager:
        """Send a GET request."""
        if not kwargs and allow_redirects is True:
            return _RequestContextManager(self._request("GET", url))
        return _RequestContextManager(self._request("GET", url, allow_redirects=allow_redirects, **kwargs))

    def options(self, url: StrOrURL, *, allow_redirects: bool = True, **kwargs: Any) -> _RequestContextManager:
        """Send an OPTIONS request."""
        return _RequestContextManager(self._request("OPTIONS", url, allow_redirects=allow_redirects, **kwargs))

    def head(self, url: StrOrURL, *, allow_redirects: bool = False, **kwargs: Any) -> _RequestContextManager:
        """Send a HEAD request; redirects are not followed unless asked for."""
        return _RequestContextManager(self._request("HEAD", url, allow_redirects=allow_redirects, **kwargs))

    def post(self, url: StrOrURL, *, data: Any = None, **kwargs: Any) -> _RequestContextManager:
        """Send a POST request."""
        return _RequestContextManager(self._request("POST", url, data=data, **kwargs))

    def put(self, url: StrOrURL, *, data: Any = None, **kwargs: Any) -> _RequestContextManager:
        """Send a PUT request."""
        return _RequestContextManager(self._request("PUT", url, data=data, **kwargs))

    def patch(self, url: StrOrURL, *, data: Any = None, **kwargs: Any) -> _RequestContextManager:
        """Send a PATCH request."""
        return _RequestContextManager(self._request("PATCH", url, data=data, **kwargs))

    def delete(self, url: StrOrURL, **kwargs: Any) -> _RequestContextManager:
        """Send a DELETE request."""
        return _RequestContextManager(self._request("DELETE", url, **kwargs))

    def ws_connect(
        self,
        url: StrOrURL,
        *,
        method: str = hdrs.METH_GET,
        protocols: Iterable[str] = (),
        timeout: ClientWSTimeout | float | None = UNSET,
        receive_timeout: float | None = None,
        autoclose: bool = True,
        autoping: bool = True,
        heartbeat: float | None = None,
        auth: BasicAuth | None = None,
        origin: str | None = None,
        params: Query = None,
        headers: LooseHeaders | None = None,
        proxy: StrOrURL | None = None,
        proxy_auth: BasicAuth | None = None,
        ssl: SSLContext | bool | Fingerprint = True,
        verify_ssl: bool | None = None,
        fingerprint: bytes | None = None,
        ssl_context: SSLContext | None = None,
        server_hostname: str | None = None,
        proxy_headers: LooseHeaders | None = None,
        compress: int = 0,
        max_msg_size: int = MAX_MSG_SIZE,
        decode_text: bool = True,
    ) -> _WSRequestContextManager:
        """Open a WebSocket; await the result, or use it with `async with`, which closes it.

        `protocols`: subprotocols that are offered.  `timeout`: limits of receiving and closing.  `autoclose`,
        `autoping`: answer close and ping frames.  `heartbeat`: seconds after which a silent peer is pinged; it is given
        up at one and a half times as many.  `compress`: window of the compression that is offered, 9 to 15 bits, 0 for
        none.  `max_msg_size`: bytes of a message, 0 for any; a larger one closes with 1009.  `decode_text=False` leaves
        text as bytes.  The other options are those of a request.  Raises, when awaited: WSServerHandshakeError when the
        server declines, with its answer; ValueError for a wrong `compress`; and what a request raises.
        """
        return _WSRequestContextManager(
            self._ws_connect(
                url,
                method=method,
                protocols=protocols,
                timeout=ws_timeout(timeout, receive_timeout, stacklevel=3),
                autoclose=autoclose,
                autoping=autoping,
                heartbeat=heartbeat,
                auth=auth,
                origin=origin,
                params=params,
                headers=headers,
                proxy=proxy,
                proxy_auth=proxy_auth,
                ssl=ssl,
                verify_ssl=verify_ssl,
                fingerprint=fingerprint,
                ssl_context=ssl_context,
                server_hostname=server_hostname,
                proxy_headers=proxy_headers,
                compress=compress,
                max_msg_size=max_msg_size,
                decode_text=decode_text,
            )
        )

    def ws_connect_forever(
        self,
        url: StrOrURL,
        *,
        backoff: Backoff = BACKOFF,
        headers: LooseHeaders | Callable[[], LooseHeaders | Awaitable[LooseHeaders]] | None = None,
        retry: Callable[[Exception], bool] = may_pass,
        on_failure: Callable[[Reconnection, float], object] | None = None,
        **options: Any,
    ) -> Reconnection:
        """Open a WebSocket again whenever it has ended: `async for ws in session.ws_connect_forever(url)`.

        Each turn of the loop gets an open WebSocket, which is closed when the next one is asked for; `break` leaves the
        last one to the caller, `async with` around the result closes it.  `backoff` says how long to wait before the
        next attempt.
        `headers` may be a function, or a coroutine function, that is asked for fresh ones before each attempt.
        `retry(error)` says whether a failed attempt is worth another one: by default lost connections, timeouts and
        statuses like 503 are, and anything else is raised.  `on_failure(reconnection, delay)` is told before each wait.
        `options` are those of `ws_connect`.  Cancellation ends the loop and leaves nothing open but the last WebSocket.
        """

        async def open_socket(headers: LooseHeaders | None) -> ClientWebSocketResponse[Any]:
            return await self.ws_connect(url, headers=headers, **options)

        return Reconnection(open_socket, backoff=backoff, headers=headers, retry=retry, on_failure=on_failure)

    async def _ws_connect(self, url: StrOrURL, *, method: str, **options: Any) -> ClientWebSocketResponse[Any]:
        """Open a WebSocket: the one place that leads to it."""
        return await connect(self, method, url, response_class=self._ws_response_class, **options)

    async def _request(self, method: str, str_or_url: StrOrURL, **options: Any) -> ClientResponse:
        """Make a call: the one place that all verbs lead to."""
        plan = self._defaults if not options or options == _FOLLOW else self._defaults.merged(options)
        if plan.plain and self._plain:
            exchange = self._send_plain(method, str_or_url, plan)
            if exchange is not None:
                try:
                    await exchange.head_waiter()
                except BaseException as exc:
                    route: Route = exchange.what  # type: ignore[assignment]
                    return await follow.recover(self, plan, exchange, route, exc)
                head = exchange.head
                response = self._response_class.of_plain(self, plan, exchange)
                if _SET_COOKIE in head.headers or (300 < head.status < 400 and plan.allow_redirects):  # type: ignore[union-attr]
                    return await follow.after(self, plan, response, exchange.started(self._loop.time()))
                if plan.raise_for_status:
                    await follow.check_status(plan, response)
                return response
        return await self._request_in_full(method, str_or_url, plan)

    def _send_plain(self, method: str, str_or_url: StrOrURL, plan: Plan) -> Exchange | None:
        """Send a plain request on an idle connection; None when it is not plain or there is no such connection."""
        if self._shown and not self._is_unchanged():
            return None
        try:
            route = self._routes.get(str_or_url)
        except TypeError:  # it is no URL, as the full way says
            return None
        if route is None or plan.params is not None:
            route = self._make_route(str_or_url, plan.params)
            if route is None:
                return None
        if plan.bare and not self._cookie_jar.stored:  # type: ignore[attr-defined]
            data = route.heads.get(method)
            if data is None:
                if method not in _METHODS:
                    return None
                data = self._remember_head(route, method)
            added = None
        else:
            if method not in _METHODS:
                return None
            added = self._plain_parts(route, method, plan)
            if added is None:
                return None
            data = route.encode(method, added[0])
            if added[1] is not None:
                data += added[1]
        started = self._loop.time()
        link = self._connector.take(route.host, started)  # type: ignore[union-attr, arg-type]
        if link is None:
            return None
        exchange = Exchange(link, self._connector, method, plan.read_bufsize)  # type: ignore[arg-type]
        exchange.what = route
        if plan.usual:
            total = exchange.total = plan.total
            if total is not None:
                exchange.deadline = started + total
        else:
            configure(exchange, plan, started)
        if added is not None:
            exchange.added = added
        try:
            link.begin(exchange, plan.limits)
            link.transport.write(data)  # type: ignore[union-attr]
        except BaseException:
            exchange.abort()
            raise
        return exchange

    def _remember_head(self, route: Route, method: str) -> bytes:
        head = route.encode(method, body_fields(method, None, "", route.template.send_type))
        route.heads[method] = head
        return head

    def _plain_parts(self, route: Route, method: str, plan: Plan) -> tuple[Fields, bytes | None] | None:
        """Return what a plain request adds to its template: fields and body; None for a body that is not plain."""
        body: bytes | None = None
        media_type = OCTETS
        if plan.json is not None:
            body, media_type = self.encode_json(plan.json), "application/json"
            if len(body) > SMALL_BODY:
                return None
        elif plan.data is not None:
            small = small_body(plan.data)
            if small is None:
                return None
            body, media_type = small
        extra = body_fields(method, body, media_type, route.template.send_type)
        jar = self._cookie_jar
        cookie = jar.cookie_header(route.url) if jar.stored else ""  # type: ignore[attr-defined]
        return ((hdrs.COOKIE, cookie), *extra) if cookie else extra, body

    def plain_request(self, exchange: Exchange, plan: Plan) -> ClientRequest:
        """Make the ClientRequest of a plain request, as it was sent: cookies and defaults may have changed since."""
        route: Route = exchange.what  # type: ignore[assignment]
        added: Any = exchange.added
        if added is None:
            added = body_fields(exchange.method, None, "", route.template.send_type), None
        return ClientRequest.from_route(self, exchange.method, route, plan, *added)

    async def _request_in_full(self, method: str, str_or_url: StrOrURL, plan: Plan) -> ClientResponse:
        connector = self.open_connector()
        url = self._build_url(str_or_url)
        if url.scheme not in connector.allowed_protocol_schema_set:
            raise NonHttpUrlClientError(url)
        if method not in _METHODS:
            method = checked_method(method)
        return await follow.run(self, method, url, plan)

    def _build_url(self, str_or_url: StrOrURL) -> URL:
        try:
            url = str_or_url if type(str_or_url) is URL else URL(str_or_url)
        except ValueError as exc:
            raise InvalidUrlClientError(str_or_url) from exc
        if self._base_url is not None and not url.absolute:
            return self._base_url.join(url)
        return url

    # ---- what the calls ask of their session

    def _make_route(self, str_or_url: StrOrURL, params: Any) -> Route | None:
        """Prepare a URL for plain requests; None when they must be made in full, which also says what is wrong."""
        try:
            url = merge_params(self._build_url(str_or_url), params)
            place = (url.scheme, url.raw_authority)
            template = self._templates.get(place) or self._make_template(url, place)
            if not template.plain:
                return None
            route = Route(url, template)
        except (ValueError, TypeError, InvalidUrlClientError):
            return None
        if params is None and len(route.target) <= ROUTE_LENGTH:
            if len(self._routes) >= ROUTE_LIMIT:
                self._routes.clear()
            self._routes[str_or_url] = route
        return route

    def _make_template(self, url: URL, place: tuple[str, str | None]) -> Template:
        if len(self._templates) >= TEMPLATE_LIMIT:
            self._templates.clear()
        skip = frozenset(name.lower() for name in self._skip_auto_headers)
        template = self._templates[place] = Template(url, self._default_headers, skip)
        connector = self.open_connector()
        if url.raw_user is not None or url.raw_password is not None or url.scheme not in _HTTP_SCHEMES:
            template.plain = False
        template.host = connector.host(template.key)
        return template

    def _is_unchanged(self) -> bool:
        """Forget what was made from the default fields when the caller has changed them; False when traces were added.

        Both can be reached by properties, and what was reached may have been kept.
        """
        if self._trace_configs:
            return False
        version = getversion(self._default_headers)  # type: ignore[arg-type]
        if version != self._headers_version:
            self._templates.clear()
            self._routes.clear()
            self._headers_version = version
        return True

    def open_connector(self) -> BaseConnector:
        """Return the connector; raises RuntimeError when the session was closed meanwhile."""
        connector = self._connector
        if connector is None or connector.closed:
            raise RuntimeError("Session is closed")
        return connector

    def make_traces(self, plan: Plan) -> list[Trace]:
        """Bind the trace configurations to a call."""
        return [
            Trace(self, config, config.trace_config_ctx(trace_request_ctx=plan.trace_request_ctx))
            for config in self._trace_configs
        ]

    def merged_headers(self, headers: LooseHeaders | None) -> CIMultiDict[str]:
        """Return the session's fields with those of a call: a field of the call replaces all of that name."""
        merged = self._default_headers.copy()
        if headers:
            if not isinstance(headers, (MultiDictProxy, MultiDict)):
                headers = CIMultiDict(headers)
            added: set[str] = set()
            for name, value in headers.items():
                if name in added:
                    merged.add(name, value)
                else:
                    merged[name] = value
                    added.add(name)
        return merged

    def skipped(self, skip_auto_headers: Iterable[str] | None) -> set[str] | None:
        """Return the default fields that a call leaves out."""
        skip: set[str] = set(self._skip_auto_headers)
        if skip_auto_headers is not None:
            skip.update(istr(name) for name in skip_auto_headers)
        return skip or None

    def cookies_for(self, url: URL, cookies: LooseCookies | None, origin: URL) -> BaseCookie[str]:
        """Return the cookies of the jar for a URL, with those of a call unless it has left their origin."""
        found = self._cookie_jar.filter_cookies(url)
        if cookies is not None and same_origin(url, origin):
            own = CookieJar(loop=self._loop, quote_cookie=self._cookie_jar.quote_cookie)
            own.update_cookies(cookies)
            for name, morsel in own.filter_cookies(url).items():
                dict.__setitem__(found, name, morsel)
        return found

    def default_auth_for(self, url: URL) -> BasicAuth | None:
        """Return the session's credentials; with a base URL they are for its origin only."""
        if self._default_auth is None or (self._base_origin is not None and origin_of(url) != self._base_origin):
            return None
        return self._default_auth

    def encode_json(self, value: Any) -> bytes:
        """Serialise a value the way that this session does."""
        if self._json_serialize_bytes is not None:
            return self._json_serialize_bytes(value)
        return self._json_serialize(value).encode("utf-8")

    def json_payload(self, value: Any) -> Payload:
        """Make a payload of a value."""
        if self._json_serialize_bytes is not None:
            return JsonBytesPayload(value, dumps=self._json_serialize_bytes)
        return JsonPayload(value, dumps=self._json_serialize)

    def resolve_charset(self, response: ClientResponse, body: bytes) -> str:
        """Ask `fallback_charset_resolver`."""
        return self._resolve_charset(response, body)

    # ---- facts

    @property
    def closed(self) -> bool:
        """Whether the session was closed or detached."""
        return self._connector is None or self._connector.closed

    @property
    def connector(self) -> BaseConnector | None:
        """The connector, None after `close()` and `detach()`."""
        return self._connector

    @property
    def cookie_jar(self) -> AbstractCookieJar:
        """The cookie jar."""
        return self._cookie_jar

    @property
    def version(self) -> HttpVersion:
        """The HTTP version of requests."""
        return self._version

    @property
    def requote_redirect_url(self) -> bool:
        """Whether redirect targets are quoted anew."""
        return self._requote_redirect_url

    @requote_redirect_url.setter
    def requote_redirect_url(self, value: bool) -> None:
        warnings.warn("session.requote_redirect_url modification is deprecated #2778", DeprecationWarning, stacklevel=2)
        self._requote_redirect_url = value

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the session."""
        return self._loop

    @property
    def timeout(self) -> ClientTimeout:
        """The default limits of calls."""
        return self._timeout

    @property
    def headers(self) -> CIMultiDict[str]:
        """The default header fields; they may be changed."""
        self._shown = True
        return self._default_headers

    @property
    def skip_auto_headers(self) -> frozenset[istr]:
        """The default fields that are left out."""
        return self._skip_auto_headers

    @property
    def auth(self) -> BasicAuth | None:
        """The default credentials."""
        return self._default_auth

    @property
    def json_serialize(self) -> Callable[[Any], str]:
        """What turns values into JSON."""
        return self._json_serialize

    @property
    def connector_owner(self) -> bool:
        """Whether closing the session closes the connector."""
        return self._connector_owner

    @property
    def raise_for_status(self) -> bool | Callable[[ClientResponse], Awaitable[None]]:
        """What is done about statuses of 400 and more."""
        return self._defaults.raise_for_status

    @property
    def auto_decompress(self) -> bool:
        """Whether bodies are decoded by their Content-Encoding."""
        return self._defaults.auto_decompress

    @property
    def trust_env(self) -> bool:
        """Whether proxies and credentials are taken from the environment."""
        return self._trust_env

    @property
    def trace_configs(self) -> list[TraceConfig]:
        """The trace configurations."""
        self._shown = True
        return self._trace_configs

    @property
    def request_class(self) -> type[ClientRequest]:
        """The class of requests."""
        return self._request_class

    @property
    def response_class(self) -> type[ClientResponse]:
        """The class of responses."""
        return self._response_class

    # ---- end

    async def close(self) -> None:
        """Close the session, and its connector if it owns it; wait for the connections to end."""
        connector = self._connector
        if connector is not None and not connector.closed:
            if self._connector_owner:
                await connector.close()
            self._connector = None
            self._plain = False

    def detach(self) -> None:
        """Let go of the connector without closing it; the session counts as closed."""
        self._plain = False
        self._connector = None


_FOLLOW: Final = {"allow_redirects": True}
_HTTP_SCHEMES: Final = frozenset({"http", "https"})
_SET_COOKIE = hdrs.SET_COOKIE

_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


def _check_base_url(base_url: StrOrURL | None) -> tuple[URL | None, Any]:
    if base_url is None:
        return None, None
    url = base_url if isinstance(base_url, URL) else URL(base_url)
    if not url.absolute:
        raise ValueError("URL should be absolute")
    if not url.path.endswith("/"):
        raise ValueError("base_url must have a trailing '/'")
    return url, origin_of(url)


def _loop_for(loop: asyncio.AbstractEventLoop | None, connector: BaseConnector | None) -> asyncio.AbstractEventLoop:
    if loop is not None:
        return loop
    return asyncio.get_running_loop() if connector is None else connector.loop


def _check_timeouts(timeout: Any, read_timeout: Any, conn_timeout: float | None) -> ClientTimeout:
    """Merge the two deprecated arguments into the timeout."""
    if timeout is UNSET and read_timeout is UNSET and conn_timeout is None:
        return DEFAULT_TIMEOUT
    if timeout is not UNSET and (read_timeout is not UNSET or conn_timeout is not None):
        name, field = ("read_timeout", "total") if read_timeout is not UNSET else ("conn_timeout", "connect")
        raise ValueError(f"{name} and timeout parameters conflict, please setup timeout.{field}")
    if timeout is not UNSET:
        return check_session_timeout(timeout)
    limits = DEFAULT_TIMEOUT
    total, connect = limits.total, limits.connect
    if read_timeout is not UNSET:
        warnings.warn("read_timeout is deprecated, use timeout argument instead", DeprecationWarning, stacklevel=3)
        total = read_timeout
    if conn_timeout is not None:
        warnings.warn("conn_timeout is deprecated, use timeout argument instead", DeprecationWarning, stacklevel=3)
        connect = conn_timeout
    return ClientTimeout(total=total, connect=connect, sock_connect=limits.sock_connect)


_PACKAGE: Final = __name__.partition(".")[0] + "."


def _caller() -> tuple[str, int] | None:
    """Return file and line of the first frame outside this package."""
    frame: FrameType | None = sys._getframe(1).f_back
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(_PACKAGE):
        frame = frame.f_back
    return None if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def request(
    method: str,
    url: StrOrURL,
    *,
    version: HttpVersion = HttpVersion11,
    connector: BaseConnector | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
    **kwargs: Any,
) -> _SessionRequestContextManager:
    """Make one call on a session of its own; use it with `async with`.

    A connector that is given stays open; otherwise one is made for this call and closed after it.
    """
    owner = connector is None
    if connector is None:
        connector = TCPConnector(loop=loop, force_close=True)
    session = ClientSession(loop=loop, version=version, connector=connector, connector_owner=owner)
    return _SessionRequestContextManager(session._request(method, url, **kwargs), session)

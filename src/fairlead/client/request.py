"""One request: `ClientRequest`, from arguments to bytes on a link.

In: method, URL and the options of a call.  Out: a head, a body, and the exchange that carries them.

There are two ways to make one.  A plain call, which asks for nothing special, is sent from its session's `Route`
without any ClientRequest; one is made from the route when somebody asks for it.  Everything else goes through the
constructor, field by field, in the order in which the fields are sent: Host, the caller's fields, the
defaults that the caller did not set, Cookie, Authorization, Content-*, Transfer-Encoding, Expect, Connection.

Limits: bodies up to SMALL_BODY bytes leave in one write with the head; larger ones are sent by a task of their own, so
that an early answer is seen.  A request that expects 100 (Continue) waits CONTINUE_TIMEOUT seconds for it.

RFC 9110 §6, §7, §10.1; RFC 9112 §3.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from http.cookies import Morsel, SimpleCookie
from typing import TYPE_CHECKING, Any, Final

from multidict import CIMultiDict, CIMultiDictProxy, MultiDict, MultiDictProxy
from yarl import URL

from .. import hdrs
from ..codec.coding import accept_encoding
from ..codec.cookies import parse_cookie_header
from ..codec.events import HttpVersion, HttpVersion10, HttpVersion11
from ..codec.fields import serialise_head
from ..codec.grammar import TOKEN
from ..codec.urls import absolute_form, authority_form, merge_params, origin_form
from ..errors import ClientConnectionError, ClientConnectionResetError, UploadAbortedError
from ..keys import ConnectionKey, RequestInfo
from ..message.body import BytesPayload, Payload, get_payload
from ..message.body import LookupError as NoPayload
from ..message.formdata import FormData
from ..wire.exchange import Exchange
from ..wire.writer import StreamWriter
from .auth import BasicAuth
from .env import basicauth_from_netrc, netrc_from_env
from .options import Plan
from .response import ClientResponse
from .template import BODY_DEFAULTS, OCTETS, SMALL_BODY, Fields, Route, auto_headers, checked_host
from .timeouts import limit_of

if TYPE_CHECKING:
    from ..wire.tls import Fingerprint, SSLContext
    from .connector import Connection
    from .session import ClientSession
    from .tracing import Trace

UPLOAD_PIECE: Final = 262144
"""Bytes of a large body in memory that are written at once."""

CONTINUE_TIMEOUT: Final = 5.0
"""Seconds to wait for 100 (Continue): RFC 9110 §10.1.1 says not to wait indefinitely, some servers never answer."""

CODINGS: Final = ("deflate", "gzip", "br", "zstd")
"""What a request body can be compressed with."""


class UploadTracker:
    """Watch the upload of one request: pass a new one as `upload_tracker`.

    Raises RuntimeError when it is created without a running loop or used for a second request.
    """

    __slots__ = ("_answered", "_attempts", "_complete", "_sending", "_used", "_writer")

    def __init__(self) -> None:
        self._complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writer: StreamWriter | None = None
        self._attempts = 0
        self._used = False
        self._sending = False  # by a task, beside the wait for the response
        self._answered = False  # there will be no other attempt

    @property
    def bytes_written(self) -> int:
        """Bytes of the body that the current attempt has handed to the transport."""
        return 0 if self._writer is None else self._writer.body_size

    @property
    def attempts(self) -> int:
        """How often the request was sent: more than once after a redirect or a retry."""
        return self._attempts

    @property
    def upload_complete(self) -> asyncio.Future[None]:
        """Done when the body was sent whole; UploadAbortedError when it never will be."""
        return self._complete

    def claim(self) -> None:
        """Bind the tracker to a call."""
        if self._used:
            raise RuntimeError("An UploadTracker observes one request: make a new one for each")
        self._used = True

    def attempt(self, writer: StreamWriter) -> None:
        """Follow a new attempt."""
        self._attempts += 1
        self._writer = writer
        self._sending = True

    def attempt_ended(self, *, complete: bool) -> None:
        """Record the end of an attempt: an incomplete one counts if no other follows."""
        self._sending = False
        if complete:
            self.finish()
        elif self._answered:
            self._abort()

    def finish(self) -> None:
        """Record that the body was sent whole."""
        self._sending = False
        if not self._complete.done():
            self._complete.set_result(None)

    def call_ended(self) -> None:
        """Record that the call has its response or has failed: there will be no other attempt."""
        self._answered = True
        if not self._sending:
            self._abort()

    def _abort(self) -> None:
        if not self._complete.done():
            self._complete.set_exception(UploadAbortedError("The request body was never fully sent"))
            self._complete.exception()  # whoever does not ask need not be told


def checked_method(method: str) -> str:
    """Return the method in upper case; raises ValueError for anything but a token (RFC 9110 §9.1)."""
    match = TOKEN.match(method)
    if match is None or match.end() != len(method):
        wrong = method[match.end()] if match is not None else method[:1]
        raise ValueError(f"Method cannot contain non-token characters {method!r} (found at least {wrong!r})")
    return method.upper()


def checked_coding(compress: str | bool | None) -> str | None:
    """Return the content coding that `compress` asks for; raises ValueError for an unknown one."""
    if not compress:
        return None
    coding = compress if isinstance(compress, str) else "deflate"
    if coding not in CODINGS:
        raise ValueError(f"compress must be True or one of {', '.join(CODINGS)}, got {compress!r}")
    return coding


class _DefaultHeaders(Mapping[str, str]):
    """The default fields, looked up when first asked for: Accept-Encoding depends on what is installed."""

    def __getitem__(self, name: str) -> str:
        defaults: dict[str, str] = {hdrs.ACCEPT: "*/*", hdrs.ACCEPT_ENCODING: accept_encoding()}
        return defaults[name]

    def __iter__(self) -> Iterator[str]:
        return iter((hdrs.ACCEPT, hdrs.ACCEPT_ENCODING))

    def __len__(self) -> int:
        return 2


class ClientRequest:
    """A request that is about to be sent; middlewares may still change its fields and body."""

    GET_METHODS = {hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS, hdrs.METH_TRACE}
    POST_METHODS = {hdrs.METH_PATCH, hdrs.METH_POST, hdrs.METH_PUT}
    ALL_METHODS = GET_METHODS | POST_METHODS | {hdrs.METH_DELETE}
    DEFAULT_HEADERS: Mapping[str, str] = _DefaultHeaders()

    # What is not set on an instance has its default here.
    method = hdrs.METH_GET
    url: URL
    original_url: URL
    auth: BasicAuth | None = None
    chunked: bool | None = None
    compress: str | None = None
    loop: asyncio.AbstractEventLoop
    params: Any = None
    proxy: URL | None = None
    proxy_auth: BasicAuth | None = None
    proxy_headers: CIMultiDict[str] | None = None
    response_class: type[ClientResponse] = ClientResponse
    server_hostname: str | None = None
    version: HttpVersion = HttpVersion11
    plan: Plan = Plan()
    started: float | None = None
    phase: str | None = None
    fresh = False
    """Whether an idle connection will not do: the one before turned out to be dead."""

    _session: ClientSession | None = None
    _ssl: SSLContext | bool | Fingerprint = True
    _route: Route | None = None
    _headers: CIMultiDict[str] | None = None
    _extra: tuple[tuple[str, str], ...] = ()
    _body: bytes | Payload | None = None
    _skip_auto_headers: frozenset[str] = frozenset()
    _expect_continue = False
    _traces: list[Trace] = []
    _key: ConnectionKey | None = None
    _exchange: Exchange | None = None
    _sending = False
    _close_when_sent = False
    _response: weakref.ref[ClientResponse] | None = None  # the response holds the request

    def __init__(
        self,
        method: str,
        url: URL,
        *,
        params: Any = None,
        headers: Any = None,
        skip_auto_headers: Iterable[str] | None = None,
        data: Any = None,
        cookies: Any = None,
        auth: BasicAuth | None = None,
        version: HttpVersion | str = HttpVersion11,
        compress: str | bool | None = None,
        chunked: bool | None = None,
        expect100: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        response_class: type[ClientResponse] | None = None,
        proxy: URL | None = None,
        proxy_auth: BasicAuth | None = None,
        timer: Any = None,
        session: ClientSession | None = None,
        ssl: SSLContext | bool | Fingerprint = True,
        proxy_headers: Any = None,
        traces: list[Trace] | None = None,
        trust_env: bool = False,
        server_hostname: str | None = None,
    ) -> None:
        self.method = checked_method(method)
        self.original_url = merge_params(url, params)
        self.url = self.original_url.with_fragment(None)
        self.loop = loop or asyncio.get_running_loop()
        self._session = session
        self._ssl = ssl
        self.server_hostname = server_hostname
        if response_class is not None:
            self.response_class = response_class
        self._headers = CIMultiDict()
        self.update_version(version)
        self.update_host(self.url)
        self.update_headers(headers)
        self.update_auto_headers(skip_auto_headers)
        self.update_cookies(cookies)
        self.compress = checked_coding(compress)
        self.chunked = chunked
        self.update_content_encoding(data)
        self.update_auth(auth, trust_env)
        self.update_proxy(proxy, proxy_auth, proxy_headers)
        self.update_body_from_data(data)
        if data is not None or self.method not in self.GET_METHODS:
            self.update_transfer_encoding()
        self.update_expect_continue(expect100)
        if traces:
            self._traces = traces

    @classmethod
    def from_route(
        cls, session: ClientSession, method: str, route: Route, plan: Plan, extra: Fields, body: bytes | None
    ) -> ClientRequest:
        """Build a plain request; `extra` are the fields that it adds to those of its template."""
        self = cls.__new__(cls)
        self.method = method
        self.original_url = route.url
        self.url = route.bare_url
        self.loop = session.loop
        self.plan = plan
        self._session = session
        self._route = route
        self._body = body
        self._extra = extra
        self.response_class = session.response_class
        return self

    # ---- facts

    @property
    def response(self) -> ClientResponse | None:
        """The response, once there is one and as long as somebody else holds it."""
        return None if self._response is None else self._response()

    @property
    def headers(self) -> CIMultiDict[str]:
        """The header fields; they may be changed until the request is sent."""
        headers = self._headers
        if headers is None:
            assert self._route is not None
            headers = self._headers = self._route.template.headers.copy()
            headers.extend(self._extra)
        return headers

    @headers.setter
    def headers(self, value: CIMultiDict[str]) -> None:
        self._headers = value

    @property
    def session(self) -> ClientSession:
        """The session that sends the request."""
        assert self._session is not None
        return self._session

    @property
    def host(self) -> str:
        """The host of the URL, IDNA-encoded."""
        host = self.url.raw_host
        assert host is not None
        return host

    @property
    def port(self) -> int | None:
        """The port of the URL, or the scheme's default."""
        return self.url.port

    @property
    def ssl(self) -> SSLContext | bool | Fingerprint:
        """How to verify the server: True, False, a context or a fingerprint."""
        return self._ssl

    @property
    def skip_auto_headers(self) -> CIMultiDict[None]:
        """The default fields that are left out."""
        return CIMultiDict((name, None) for name in sorted(self._skip_auto_headers))

    def is_ssl(self) -> bool:
        """Tell whether the URL asks for TLS."""
        return self.url.scheme in ("https", "wss")

    @property
    def connection_key(self) -> ConnectionKey:
        """What a connection must match to carry this request."""
        key = self._key
        if key is None:
            key = self._make_key() if self._route is None else self._route.template.key
            self._key = key
        return key

    def _make_key(self) -> ConnectionKey:
        headers = self.proxy_headers
        digest = None if not headers else hash(tuple(headers.items()))
        return ConnectionKey(
            self.host, self.port, self.is_ssl(), self._ssl, self.proxy, self.proxy_auth, digest, self.server_hostname
        )

    @property
    def request_info(self) -> RequestInfo:
        """What responses and errors remember of this request."""
        return RequestInfo(self.url, self.method, CIMultiDictProxy(self.headers), self.original_url)

    @property
    def body(self) -> bytes | Payload:
        """The body: b"" for none, else a payload."""
        body = self._body
        if body is None:
            return b""
        if isinstance(body, bytes):
            body = self._body = BytesPayload(body, content_type=self.headers.get(hdrs.CONTENT_TYPE, OCTETS))
        return body

    @body.setter
    def body(self, value: Any) -> None:
        self.update_body_from_data(value)

    # ---- building, one group of fields after the other

    def update_host(self, url: URL) -> None:
        """Take host and credentials of the URL."""
        host = checked_host(url)
        if url.raw_user is not None or url.raw_password is not None:
            self.auth = BasicAuth._make((url.user or "", url.password or "", "latin1"))
        self.headers[hdrs.HOST] = host

    def update_version(self, version: HttpVersion | str) -> None:
        """Take the HTTP version, also as text such as "1.1"."""
        if isinstance(version, str):
            try:
                major, minor = (int(part) for part in version.split("."))
            except ValueError:
                raise ValueError(f"Can not parse http version number: {version}") from None
            version = HttpVersion(major, minor)
        self.version = version

    def update_headers(self, headers: Any) -> None:
        """Add the caller's fields; a field given twice as a pair is sent twice."""
        if not headers:
            return
        if isinstance(headers, (dict, MultiDictProxy, MultiDict)):
            headers = headers.items()
        own = self.headers
        for name, value in headers:
            if name.lower() == "host":
                own[hdrs.HOST] = value
            else:
                own.add(name, value)

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        """Add the default fields that the caller neither set nor skips."""
        skip = frozenset(name.lower() for name in skip_auto_headers or ())
        self._skip_auto_headers = skip
        headers = self.headers
        for name, value in auto_headers().items():
            if name not in headers and name.lower() not in skip:
                headers[name] = value

    def update_cookies(self, cookies: Any) -> None:
        """Merge cookies with those of a Cookie field that the caller set; the cookies win."""
        if not cookies:
            return
        merged: SimpleCookie = SimpleCookie()
        field = self.headers.pop(hdrs.COOKIE, None)
        if field is not None:
            merged.update(parse_cookie_header(field))
        pairs = cookies.items() if isinstance(cookies, Mapping) else cookies
        for name, value in pairs:
            if isinstance(value, Morsel):
                # A cookie of a jar may be quoted in its own way: keep it to the letter.
                dict.__setitem__(merged, name, plain_morsel(value))
            else:
                merged[name] = value
        self.headers[hdrs.COOKIE] = merged.output(header="", sep=";").strip()

    def update_content_encoding(self, data: Any) -> None:
        """Announce the compression of the body."""
        if not data:
            self.compress = None
        elif self.headers.get(hdrs.CONTENT_ENCODING):
            if self.compress:
                raise ValueError("compress can not be set if Content-Encoding header is set")
        elif self.compress:
            self.headers[hdrs.CONTENT_ENCODING] = self.compress
            self.chunked = True  # the compressed length is not known

    def update_auth(self, auth: BasicAuth | None, trust_env: bool = False) -> None:
        """Set Authorization from the argument, the URL or, with `trust_env`, the netrc file."""
        if auth is None:
            auth = self.auth
        if auth is None and trust_env and hdrs.AUTHORIZATION not in self.headers and self.url.host is not None:
            try:
                auth = basicauth_from_netrc(netrc_from_env(), self.url.host)
            except LookupError:
                pass
        if auth is None:
            return
        if not isinstance(auth, BasicAuth):
            raise TypeError("BasicAuth() tuple is required instead")
        self.headers[hdrs.AUTHORIZATION] = auth.encode()

    def update_proxy(self, proxy: URL | None, proxy_auth: BasicAuth | None, proxy_headers: Any) -> None:
        """Take the proxy and what to send to it."""
        self.proxy = proxy
        if proxy is None:
            self.proxy_auth = None
            self.proxy_headers = None
            return
        if proxy_auth is not None and not isinstance(proxy_auth, BasicAuth):
            raise ValueError("proxy_auth must be None or BasicAuth() tuple")
        self.proxy_auth = proxy_auth
        if proxy_headers is not None and not isinstance(proxy_headers, (MultiDict, MultiDictProxy)):
            proxy_headers = CIMultiDict(proxy_headers)
        self.proxy_headers = proxy_headers

    def update_body_from_data(self, body: Any, _stacklevel: int = 3) -> None:
        """Take a body in any form that a payload can be made of."""
        if body is None:
            self._body = None
            typed = BODY_DEFAULTS.get(self.method, False)
            if typed is not None and hdrs.CONTENT_LENGTH not in self.headers and not self.chunked:
                self.headers[hdrs.CONTENT_LENGTH] = "0"
            if typed and self._may_set_type():
                self.headers[hdrs.CONTENT_TYPE] = OCTETS
            return
        if isinstance(body, FormData):
            body = body()
        try:
            payload = get_payload(body, disposition=None) if not isinstance(body, Payload) else body
        except NoPayload:
            payload = FormData(body)()
        self._body = payload
        headers = self.headers
        size = payload.size
        coding = headers.get(hdrs.TRANSFER_ENCODING)
        if not self.chunked and hdrs.CONTENT_LENGTH not in headers and coding is None:
            if size is None:
                self.chunked = True
            else:
                headers[hdrs.CONTENT_LENGTH] = str(size)
        for name, value in payload.headers.items():
            if name in headers or name.lower() in self._skip_auto_headers:
                continue
            headers[name] = value

    async def update_body(self, body: Any) -> None:
        """Replace the body: the old one is closed, the fields that describe it are set anew."""
        old, self._body = self._body, None
        if isinstance(old, Payload):
            await old.close()
        for name in (hdrs.CONTENT_LENGTH, hdrs.TRANSFER_ENCODING):
            self.headers.pop(name, None)
        self.chunked = None
        self.update_body_from_data(body)
        self.update_transfer_encoding()

    def _may_set_type(self) -> bool:
        return hdrs.CONTENT_TYPE not in self.headers and "content-type" not in self._skip_auto_headers

    def update_transfer_encoding(self) -> None:
        """Decide between the chunked coding and a length (RFC 9112 §6)."""
        headers = self.headers
        coding = headers.get(hdrs.TRANSFER_ENCODING, "").lower()
        if "chunked" in coding:
            if self.chunked and self._body is not None and hdrs.CONTENT_LENGTH not in headers and self.compress is None:
                raise ValueError('chunked can not be set if "Transfer-Encoding: chunked" header is set')
            self.chunked = True
            headers.pop(hdrs.CONTENT_LENGTH, None)
        elif self.chunked:
            if hdrs.CONTENT_LENGTH in headers:
                raise ValueError("chunked can not be set if Content-Length header is set")
            headers[hdrs.TRANSFER_ENCODING] = "chunked"

    def update_expect_continue(self, expect: bool = False) -> None:
        """Ask for 100 (Continue) before the body is sent (RFC 9110 §10.1.1)."""
        if expect:
            self.headers[hdrs.EXPECT] = "100-continue"
            self._expect_continue = True
        elif self.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
            self._expect_continue = True

    # ---- sending

    def _target(self) -> str:
        if self.method == hdrs.METH_CONNECT:
            return authority_form(self.url)
        if self.proxy is not None and not self.is_ssl():
            return absolute_form(self.url)
        return origin_form(self.url)

    def encode_head(self) -> bytes:
        """Serialise request line and header section; raises ValueError for what must not be sent."""
        if self._route is not None and self._headers is None:
            return self._route.encode(self.method, self._extra)
        headers = self.headers
        version = self.version
        if hdrs.CONNECTION not in headers and version == HttpVersion10:
            headers[hdrs.CONNECTION] = "keep-alive"
        start = f"{self.method} {self._target()} HTTP/{version.major}.{version.minor}"
        return serialise_head(start, headers.items())

    def content_length(self) -> int | None:
        """Return the announced length of the body, None for a chunked one; raises ValueError for a malformed field."""
        value = self.headers.get(hdrs.CONTENT_LENGTH)
        if value is None:
            return None
        if not (value.isascii() and value.isdecimal()):
            raise ValueError(f"Invalid Content-Length header: {value!r}")
        return int(value)

    def check(self) -> bytes:
        """Return the head as it is sent; raises ValueError or TypeError for one that must not be."""
        head = self.encode_head()
        if self._headers is not None:
            announced = self.content_length()
            body = self._body
            size = body.size if isinstance(body, Payload) else len(body or b"")
            if announced is not None and size is not None and announced > size and not self.chunked:
                raise ValueError(
                    f"Content-Length announces {announced} bytes, but the body has {size}: "
                    "the server would wait for the rest"
                )
        return head

    async def send(self, conn: Connection) -> ClientResponse:
        """Send the request on a connection; return its response, whose head has not been received yet.

        Raises ValueError or TypeError for a head that must not be sent, ClientConnectionResetError when the connection
        is gone.  A large body goes on being sent after the return.
        """
        link = conn.protocol
        transport = conn.transport
        if link is None or transport is None or transport.is_closing():
            conn.close()
            raise ClientConnectionResetError("Cannot write to closing transport: the connection was lost")
        try:
            head = self.check()
        except BaseException:
            conn.release()
            raise
        plan = self.plan
        exchange = Exchange(link, conn, self.method, plan.read_bufsize)
        exchange.what = self.original_url
        link.begin(exchange, plan.limits)
        configure(exchange, plan, link.loop.time() if self.started is None else self.started)
        writer: StreamWriter | None = None
        try:
            body = self._body
            if body is None and self.chunked is None and plan.upload_tracker is None and not self._traces:
                transport.write(head)
            elif type(body) is bytes and plan.upload_tracker is None and not self._traces:
                transport.write(head + body)
            else:
                writer = await self._start_upload(exchange, conn, link, head)
        except BaseException as exc:
            exchange.abort()
            if exchange.error is not None and isinstance(exc, ClientConnectionResetError):
                raise exchange.error from exc  # why the connection is gone
            raise
        self._exchange = exchange
        response = self.response_class.for_exchange(self, exchange, writer)
        self._response = weakref.ref(response)
        return response

    async def _start_upload(self, exchange: Exchange, conn: Connection, link: Any, head: bytes) -> StreamWriter:
        """Send the head, and the body with it or by a task."""
        on_chunk = None
        if self._traces:
            for trace in self._traces:
                await trace.send_request_headers(self.method, self.url, self.headers)
            if any(trace.wants_chunks for trace in self._traces):
                on_chunk = self._trace_chunk
        writer = StreamWriter(link, link.loop, on_chunk)
        writer.set_head(head)
        tracker = self.plan.upload_tracker
        if tracker is not None:
            tracker.attempt(writer)
        if self.chunked:
            writer.enable_chunking()
        else:
            writer.length = self.content_length()
        if self.compress:
            writer.enable_compression(self.compress)
        body = self._body
        if isinstance(body, BytesPayload) and (body.size or 0) <= SMALL_BODY and not self._expect_continue:
            body = await body.as_bytes()
        if body is None or (isinstance(body, bytes) and not self._expect_continue):
            try:
                await writer.write_eof(body or b"")
            except ClientConnectionResetError:
                if not writer.output_size:
                    raise
                return writer  # something was sent: the reading side says what became of it
            if tracker is not None:
                tracker.finish()
            return writer
        exchange.uploading = True
        if self._expect_continue:
            exchange.continued = link.loop.create_future()
            writer.send_headers()
        exchange.upload = link.loop.create_task(self._upload(exchange, conn, writer, body))
        if tracker is not None:
            exchange.upload.add_done_callback(lambda _: tracker.attempt_ended(complete=not exchange.uploading))
        return writer

    async def _upload(self, exchange: Exchange, conn: Connection, writer: StreamWriter, body: bytes | Payload) -> None:
        """Send the body; runs as a task beside the wait for the response."""
        text = repr(conn)
        self._sending = True
        try:
            if exchange.continued is not None and not await self._may_continue(exchange):
                return
            await self.write_bytes(writer, conn, None)
            await writer.write_eof()
            if writer.length:
                raise ValueError(f"the body ended {writer.length} bytes before its Content-Length")
            exchange.uploading = False
            exchange.read_at = exchange.link.loop.time()
        except (ClientConnectionResetError, OSError) as exc:
            if not exchange.link.connected:
                return  # the reading side reports the end of the connection, or an early answer
            exchange.fail(_upload_error(text, exc))
        except asyncio.CancelledError:
            # By the exchange, which is over; or by somebody else, and then the request can not be completed.
            exchange.upload = None
            exchange.fail(ClientConnectionError("The upload of the request body was cancelled"))
            raise
        except Exception as exc:
            exchange.fail(_upload_error(text, exc))
        finally:
            self._sending = False
            if self._close_when_sent:
                await self.close()

    async def _may_continue(self, exchange: Exchange) -> bool:
        """Wait for 100 (Continue); False when a final response came instead."""
        assert exchange.continued is not None
        try:
            async with asyncio.timeout(CONTINUE_TIMEOUT):
                return await asyncio.shield(exchange.continued)
        except TimeoutError:
            return not exchange.ended

    async def write_bytes(self, writer: StreamWriter, conn: Connection, content_length: int | None = None) -> None:
        """Write the body; never more bytes than Content-Length announces."""
        body = self._body
        if body is None:
            return
        if content_length is None and not self.chunked:
            content_length = writer.length
        if isinstance(body, BytesPayload):
            body = await body.as_bytes()
        if isinstance(body, bytes):
            view = memoryview(body)
            if content_length is not None:
                view = view[:content_length]
            for start in range(0, len(view), UPLOAD_PIECE):
                await writer.write(view[start : start + UPLOAD_PIECE])
        else:
            await body.write_with_length(writer, content_length)

    async def _trace_chunk(self, chunk: bytes) -> None:
        for trace in self._traces:
            await trace.send_request_chunk_sent(self.method, self.url, chunk)

    def replayable(self) -> bool:
        """Tell whether the request can be sent once more: its body is not a stream that has been read."""
        body = self._body
        return body is None or isinstance(body, bytes) or not body.consumed

    def payload(self) -> Payload | None:
        """Return the body as a payload, None when there is none."""
        return None if self._body is None else self.body  # type: ignore[return-value]

    async def wait_upload(self) -> None:
        """Wait until an upload that was given up has let go of the body."""
        upload = None if self._exchange is None else self._exchange.upload
        if upload is not None and not upload.done():
            upload.cancel()
            await asyncio.wait([upload])

    def terminate(self) -> None:
        """Stop sending the body."""
        response = self.response
        if response is not None:
            response.close()

    async def close(self) -> None:
        """Let go of the body, when it has been sent."""
        if self._sending:
            self._close_when_sent = True
        elif isinstance(self._body, Payload):
            await self._body.close()

    def __str__(self) -> str:
        return f"{self.method} {self.original_url}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self.original_url}>"


def configure(exchange: Exchange, plan: Plan, started: float) -> None:
    """Set what an exchange does by the options of its call."""
    timeout = plan.timeout
    if not plan.read_until_eof:
        exchange.read_until_eof = False
    if not plan.auto_decompress:
        exchange.auto_decompress = False
    exchange.watch(
        started=started,
        total=plan.total,
        read_limit=limit_of(timeout.sock_read),
        ceil_threshold=timeout.ceil_threshold,
    )


def plain_morsel(morsel: Morsel[str]) -> Morsel[str]:
    """Copy a morsel without its attributes: they are not sent."""
    from ..codec.cookies import preserve_morsel_with_coded_value

    return preserve_morsel_with_coded_value(morsel)


def _upload_error(connection: str, exc: BaseException) -> ClientConnectionError:
    error = ClientConnectionError(f"Failed to send bytes into the underlying connection {connection}: {exc!r}")
    error.__cause__ = exc
    return error


ClientHandlerType = Callable[[ClientRequest], Awaitable[ClientResponse]]
ClientMiddlewareType = Callable[[ClientRequest, ClientHandlerType], Awaitable[ClientResponse]]

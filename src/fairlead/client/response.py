"""One response: `ClientResponse`.

In: an exchange whose request has been sent.  Out: status, header fields, and the body as a stream or whole.

The connection goes back to the pool by itself when the body has been received to its end, whether or not it has been
read; `release()` and `close()` give up on a body that has not.  What was received whole stays readable after the
`async with` block; what was not raises ClientConnectionError that says so.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import warnings
from collections.abc import Callable, Generator, Sequence
from http.cookies import SimpleCookie
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from multidict import CIMultiDict, CIMultiDictProxy, MultiDict, MultiDictProxy
from yarl import URL

from .. import hdrs
from ..codec.cookies import parse_set_cookie_headers
from ..codec.disposition import content_disposition_filename, parse_content_disposition
from ..codec.events import HttpVersion
from ..codec.links import parse_links
from ..codec.mime import is_expected_content_type, parse_content_type
from ..errors import (
    ClientConnectionError,
    ClientError,
    ClientOSError,
    ClientResponseError,
    ContentTypeError,
    HttpProcessingError,
    UploadAbortedError,
)
from ..keys import RequestInfo
from ..wire.streams import StreamReader
from .connector import BaseConnector, Connection

if TYPE_CHECKING:
    from ..wire.exchange import Exchange
    from ..wire.h1_link import H1ClientLink
    from ..wire.writer import StreamWriter
    from .options import Plan
    from .request import ClientRequest
    from .session import ClientSession

JSONDecoder = Callable[[str], Any]

BODY_EXCERPT: Final = 1024
"""How many bytes of the body an error of `raise_for_status()` carries."""

EXCERPT_TIMEOUT: Final = 0.5
"""Seconds that `raise_for_status=True` waits for them: servers often send head and body in two pieces."""

_NO_HEADERS: Final = CIMultiDictProxy(CIMultiDict[str]())

_RELEASED: Final = (
    "Connection closed: the response body was not read to its end before the response was released; "
    "read it inside the `async with` block, for example with `await response.read()`"
)


def translated(exc: BaseException, request_info: RequestInfo) -> BaseException:
    """Turn what ended an exchange before its head into what the caller is told."""
    if isinstance(exc, HttpProcessingError):
        return ClientResponseError(request_info, (), status=exc.code, message=exc.message, headers=exc.headers)
    if isinstance(exc, OSError) and not isinstance(exc, (ClientError, TimeoutError)):
        return ClientOSError(*exc.args)
    return exc


class ContentDisposition(NamedTuple):
    """A Content-Disposition field: `filename` is also among the `parameters`."""

    type: str | None
    parameters: MappingProxyType[str, str]
    filename: str | None


class _Done:
    """What `release()` returns: nothing to wait for, but it may be awaited."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


_DONE: Final = _Done()


class ClientResponse:
    """A response; an async context manager that releases its connection."""

    # What is not set on an instance has its default here.
    version: HttpVersion | None = None
    status: int = None  # type: ignore[assignment]
    reason: str | None = None
    method: str

    ATTRS = frozenset(
        {"_body", "_cache", "_headers", "_history", "_url", "content", "method", "reason", "status", "version"}
    )

    _headers: CIMultiDictProxy[str] | None = None
    _raw_headers: tuple[tuple[bytes, bytes], ...] | None = None
    _body: bytes | None = None
    _history: tuple[ClientResponse, ...] = ()
    _exchange: Exchange | None = None
    _content: StreamReader | None = None
    _request: ClientRequest | None = None
    _plan: Plan | None = None
    _writer: StreamWriter | None = None
    _session: ClientSession | None = None
    _released = False
    _closed = True
    _cookies: SimpleCookie | None = None
    _real_url: URL | None = None
    _request_info: RequestInfo | None = None
    _cache: dict[str, Any] | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _traces: Any = ()

    def __init__(
        self,
        method: str,
        url: URL,
        *,
        writer: asyncio.Task[None] | None = None,
        continue100: asyncio.Future[bool] | None = None,
        timer: Any = None,
        request_info: RequestInfo | None = None,
        traces: Any = (),
        loop: asyncio.AbstractEventLoop | None = None,
        session: ClientSession | None = None,
        stream_writer: Any = None,
    ) -> None:
        """Make a response by hand, as test doubles do; those of a session come from `for_exchange`."""
        self.method = method
        self._real_url = url
        self._url = url.with_fragment(None)
        self._request_info = request_info
        self._loop = loop
        self._session = session
        self._writer = stream_writer
        self._traces = traces
        self._cache = {}

    @classmethod
    def for_exchange(cls, request: ClientRequest, exchange: Exchange, writer: StreamWriter | None) -> ClientResponse:
        """Make the response of an exchange; `start()` waits for its head."""
        if cls.__init__ is ClientResponse.__init__:
            self = cls.__new__(cls)
        else:
            self = cls(
                request.method,
                request.original_url,
                writer=exchange.upload,
                continue100=exchange.continued,
                timer=None,
                request_info=request.request_info,
                traces=(),
                loop=exchange.link.loop,
                session=request.session,
                stream_writer=writer,
            )
        self.method = request.method
        self._url = request.url
        self._request = request
        self._exchange = exchange
        if writer is not None:
            self._writer = writer
        return self

    @classmethod
    def of_plain(cls, session: ClientSession, plan: Plan, exchange: Exchange) -> ClientResponse:
        """Make the response of a plain exchange whose head has been received."""
        self = cls.__new__(cls)
        self._session = session
        self._plan = plan
        self._exchange = exchange
        self.method = exchange.method
        self._url = exchange.what.bare_url  # type: ignore[attr-defined]
        head = exchange.head
        assert head is not None
        self.version = head.version
        self.status = head.status
        self.reason = head.reason
        return self

    @property
    def request(self) -> ClientRequest:
        """The request that was answered, made anew where it was sent without one."""
        request = self._request
        if request is None:
            exchange, session, plan = self._exchange, self._session, self._plan
            if exchange is None or session is None or plan is None:
                raise RuntimeError("This response was made by hand: it has no request")
            request = self._request = session.plain_request(exchange, plan)
        return request

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        exchange = self._exchange
        if exchange is None or exchange.ended:
            return
        loop = exchange.link.loop
        if loop.is_closed():
            return
        exchange.abort()
        if not loop.get_debug():
            return
        _warn(f"Unclosed response {self!r}", ResourceWarning, source=self)
        loop.call_exception_handler({"client_response": self, "message": "Unclosed response"})

    def __repr__(self) -> str:
        url = str(self._url)
        if not url.isascii():
            url = url.encode("ascii", "backslashreplace").decode()
        reason = None if not self.reason else self.reason.encode("ascii", "backslashreplace").decode("ascii")
        headers = None if self._headers is None and self._exchange is None else self.headers
        return f"<ClientResponse({url}) [{self.status} {reason}]>\n{headers!r}\n"

    # ---- the head

    async def start(self, connection: Connection | None = None) -> ClientResponse:
        """Wait for the head of the final response.

        Raises ClientResponseError for a malformed one, ServerDisconnectedError, ClientOSError, SocketTimeoutError or
        TotalTimeoutError when none came.  Cancellation closes the connection.
        """
        exchange = self._exchange
        assert exchange is not None
        try:
            head = exchange.head or await exchange.response_head()
        except BaseException as exc:
            exchange.abort()
            error = translated(exc, self.request_info)
            if error is exc:
                raise
            raise error from exc
        self.version = head.version
        self.status = head.status
        self.reason = head.reason
        return self

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The header fields."""
        headers = self._headers
        if headers is None:
            exchange = self._exchange
            if exchange is None or exchange.head is None:
                return _NO_HEADERS
            headers = self._headers = CIMultiDictProxy(exchange.head.headers)
        return headers

    @property
    def content(self) -> StreamReader:
        """The body as a stream; None before the head has been received."""
        content = self._content
        if content is None and self._exchange is not None and self._exchange.head is not None:
            content = self._content = self._exchange.stream(read=self._body is not None)
        return content  # type: ignore[return-value]

    @content.setter
    def content(self, value: StreamReader) -> None:
        self._content = value

    @property
    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The field lines as bytes, in order, names as the server spelled them."""
        if self._raw_headers is None:
            exchange = self._exchange
            self._raw_headers = () if exchange is None or exchange.head is None else exchange.head.raw_headers
        return self._raw_headers

    @property
    def url(self) -> URL:
        """The URL of the request, without its fragment."""
        return self._url

    @property
    def url_obj(self) -> URL:
        """The same as `url`.  Deprecated."""
        warnings.warn("Deprecated, use .url #1654", DeprecationWarning, stacklevel=2)
        return self._url

    @property
    def real_url(self) -> URL:
        """The URL of the request with its fragment."""
        if self._real_url is None:
            self._real_url = self.request.original_url
        return self._real_url

    @property
    def host(self) -> str:
        """The host of the URL."""
        host = self._url.host
        assert host is not None
        return host

    @property
    def request_info(self) -> RequestInfo:
        """The request that was answered."""
        if self._request_info is None:
            self._request_info = self.request.request_info
        return self._request_info

    @property
    def history(self) -> tuple[ClientResponse, ...]:
        """The redirects that led here, the first one first."""
        return self._history

    def set_history(self, history: Sequence[ClientResponse]) -> None:
        """Record the redirects that led here."""
        if history:
            self._history = tuple(history)

    def trace(self, traces: Sequence[Any]) -> None:
        """Show the body to these traces when it is read."""
        self._traces = traces

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @property
    def cookies(self) -> SimpleCookie:
        """The cookies that this response sets."""
        if self._cookies is None:
            cookies = SimpleCookie()
            for name, morsel in parse_set_cookie_headers(self.headers.getall(hdrs.SET_COOKIE, [])):
                dict.__setitem__(cookies, name, morsel)
            self._cookies = cookies
        return self._cookies

    @cookies.setter
    def cookies(self, value: SimpleCookie) -> None:
        self._cookies = value

    @property
    def content_type(self) -> str:
        """The media type without parameters; application/octet-stream when the server gave none."""
        raw = self.headers.get(hdrs.CONTENT_TYPE)
        return parse_content_type(raw)[0] if raw is not None else "application/octet-stream"

    @property
    def charset(self) -> str | None:
        """The charset parameter of the media type."""
        raw = self.headers.get(hdrs.CONTENT_TYPE)
        return parse_content_type(raw)[1].get("charset") if raw is not None else None

    @property
    def content_length(self) -> int | None:
        """The announced length of the body, None when there is no such field."""
        value = self.headers.get(hdrs.CONTENT_LENGTH)
        return None if value is None else int(value)

    @property
    def content_disposition(self) -> ContentDisposition | None:
        """The Content-Disposition field, None when there is none."""
        raw = self.headers.get(hdrs.CONTENT_DISPOSITION)
        if raw is None:
            return None
        kind, params = parse_content_disposition(raw)
        return ContentDisposition(kind, MappingProxyType(dict(params)), content_disposition_filename(params))

    @property
    def links(self) -> MultiDictProxy[MultiDictProxy[str | URL]]:
        """The Link fields (RFC 8288), by relation."""
        links: MultiDict[MultiDictProxy[str | URL]] = MultiDict()
        for target, params in parse_links(self.headers.getall("link", [])):
            link: MultiDict[str | URL] = MultiDict(params)
            key = link.get("rel", target)
            link.add("url", self._url.join(URL(target)))
            links.add(str(key), MultiDictProxy(link))
        return MultiDictProxy(links)

    # ---- the body

    async def read(self) -> bytes:
        """Return the whole body; it is kept, so it can be read again.

        Raises ClientPayloadError for a body that ended early or can not be decoded, SocketTimeoutError or
        TotalTimeoutError, ClientConnectionError when it was released unread.  Cancellation closes the connection.
        """
        body = self._body
        if body is None:
            exchange = self._exchange
            if exchange is not None and exchange.whole is not None and not self._traces:
                body = self._body = exchange.whole
            else:
                body = await self._read_stream()
        return body

    async def _read_stream(self) -> bytes:
        content = self.content
        if content is None:
            raise ClientConnectionError("Connection closed: the response has no body to read")
        try:
            body = content.read_nowait() if content.is_eof() else await content.read()
        except BaseException:
            self.close()
            raise
        self._body = body
        if self._traces:
            for trace in self._traces:
                await trace.send_response_chunk_received(self.method, self._url, body)
        return body

    def get_encoding(self) -> str:
        """Return the name of the encoding that `text()` uses.

        The charset parameter if it names a known codec, UTF-8 for JSON, else what the session's
        `fallback_charset_resolver` says, for which the body must have been read (RuntimeError otherwise).
        """
        raw = self.headers.get(hdrs.CONTENT_TYPE, "")
        media_type, params = parse_content_type(raw)
        charset = params.get("charset")
        if charset:
            try:
                return codecs.lookup(charset).name
            except (LookupError, ValueError):
                pass
        if media_type.startswith("application/") and (
            media_type == "application/json" or media_type == "application/rdap+json"
        ):
            return "utf-8"
        if self._body is None:
            raise RuntimeError("Cannot compute fallback encoding of a not yet read body")
        session = self._session_of()
        return "utf-8" if session is None else session.resolve_charset(self, self._body)

    def _session_of(self) -> ClientSession | None:
        if self._session is None and self._request is not None:
            self._session = self._request.session
        return self._session

    async def text(self, encoding: str | None = None, errors: str = "strict") -> str:
        """Return the body as text; raises UnicodeDecodeError, and what `read()` raises."""
        if self._body is None:
            await self.read()
        assert self._body is not None
        return self._body.decode(encoding or self.get_encoding(), errors)

    async def json(
        self,
        *,
        encoding: str | None = None,
        loads: JSONDecoder = json.loads,
        content_type: str | None = "application/json",
    ) -> Any:
        """Return the body decoded from JSON; None for a blank one.

        Raises ContentTypeError when the server did not say JSON (`content_type=None` skips that check), ValueError for
        malformed JSON, and what `read()` raises.
        """
        body = self._body
        if body is None:
            body = await self.read()
        raw = self.headers.get(hdrs.CONTENT_TYPE, "")
        if content_type and not is_expected_content_type(raw, content_type):
            raise ContentTypeError(
                self.request_info,
                self.history,
                status=self.status,
                message=f"Attempt to decode JSON with unexpected mimetype: {raw}",
                headers=self.headers,
            )
        stripped = body.strip()
        if not stripped:
            return None
        return loads(stripped.decode(encoding or self.get_encoding()))

    def raise_for_status(self) -> None:
        """Raise ClientResponseError for a status of 400 and more; the connection is released.

        The error has `status`, `message`, `headers`, `request_info`, and in `body` the first bytes of the body as far
        as they had arrived.
        """
        if self.status < 400:
            return
        excerpt = self.excerpt()
        if not self.in_context:
            self.release()
        error = ClientResponseError(
            self.request_info, self.history, status=self.status, message=self.reason or "", headers=self.headers
        )
        error.body = excerpt
        raise error

    in_context = False
    """Whether an `async with` block will release the response."""
    _first_piece = b""

    async def receive_excerpt(self) -> None:
        """Wait for the first bytes of the body of an error, EXCERPT_TIMEOUT seconds at most.

        What goes wrong meanwhile does not matter: the status is the error to tell.  Cancellation closes the connection.
        """
        if self.excerpt() or self.content is None or self.content.is_eof():
            return
        try:
            async with asyncio.timeout(EXCERPT_TIMEOUT):
                self._first_piece = await self.content.readany()
        except (TimeoutError, ClientError):
            pass
        except BaseException:
            self.close()
            raise

    def excerpt(self) -> bytes:
        """Return the first bytes of the body, as far as they have come."""
        if self._first_piece:
            return self._first_piece[:BODY_EXCERPT]
        if self._body is not None:
            return self._body[:BODY_EXCERPT]
        exchange = self._exchange
        if exchange is not None and exchange.whole is not None:
            return exchange.whole[:BODY_EXCERPT]
        return b"" if self.content is None else self.content.peek(BODY_EXCERPT)

    # ---- giving it back

    @property
    def connection(self) -> Connection | None:
        """The connection, None once the body was received to its end or given up."""
        exchange = self._exchange
        if exchange is None or exchange.ended:
            return None
        lease = exchange.lease
        if isinstance(lease, BaseConnector):
            lease = exchange.lease = Connection(lease, exchange.link.host.key, exchange.link)
        return lease  # type: ignore[return-value]

    @property
    def closed(self) -> bool:
        """Whether the connection was given back."""
        exchange = self._exchange
        return exchange is None or exchange.ended

    @property
    def settled(self) -> bool:
        """Whether the connection was given back and no upload may still be ending."""
        exchange = self._exchange
        return exchange is None or (exchange.ended and exchange.upload is None)

    def close(self) -> None:
        """Close the connection unless the body was received whole."""
        self._released = True
        exchange = self._exchange
        if exchange is not None and not exchange.ended:
            exchange.abort(ClientConnectionError(_RELEASED))

    def release(self) -> Any:
        """Give the connection back; one with an unread rest of a body is closed.  Need not be awaited."""
        self._released = True
        exchange = self._exchange
        if exchange is not None and not exchange.ended:
            exchange.abort(ClientConnectionError(_RELEASED))
        return _DONE

    def switch(self, receiver: Any) -> tuple[H1ClientLink, bytes]:
        """Give what follows a 101 (Switching Protocols) to another protocol; return the link and what has come already.

        The receiver has `feed_data(data)`, `eof_received()` and `connection_lost(exc)`.  The connection stays in use
        until `close()`.  Raises RuntimeError for a response that does not switch protocols.
        """
        exchange = self._exchange
        if exchange is None:
            raise RuntimeError("This response was made by hand: it has no connection")
        return exchange.link, exchange.link.switch(receiver)

    async def wait_for_close(self) -> None:
        """Wait until the request has been sent, then release the connection."""
        exchange = self._exchange
        if exchange is not None:
            upload = exchange.upload
            if upload is not None and not upload.done():
                await asyncio.wait([upload])
        self.release()

    async def __aenter__(self) -> ClientResponse:
        self.in_context = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        exchange = self._exchange
        if exchange is not None:
            if not exchange.ended:
                self.release()
            if exchange.upload is not None:
                await self._upload_ended(exchange)

    async def _upload_ended(self, exchange: Exchange) -> None:
        """Wait for the cancelled upload, so that its source is free when the block has been left."""
        upload = exchange.upload
        if upload is not None and not upload.done():
            await asyncio.wait([upload])

    # ---- the upload

    @property
    def output_size(self) -> int:
        """Bytes that were sent for this request.  Deprecated: use UploadTracker."""
        return 0 if self._writer is None else self._writer.output_size

    @property
    def upload_complete(self) -> asyncio.Future[None]:
        """Done when the request body has been sent.  Deprecated: use UploadTracker."""
        exchange = self._exchange
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        upload = None if exchange is None else exchange.upload
        if exchange is None or not exchange.uploading:
            future.set_result(None)
        elif upload is None or upload.done():
            future.set_exception(UploadAbortedError("The request body was never fully sent"))
            future.exception()
        else:
            upload.add_done_callback(lambda task: _settle(future, exchange.uploading))
        return future


def _settle(future: asyncio.Future[None], unfinished: bool) -> None:
    if future.done():
        return
    if unfinished:
        future.set_exception(UploadAbortedError("The request body was never fully sent"))
        future.exception()
    else:
        future.set_result(None)

"""What a handler is given: one request.

In: the head that the decoder made, the body as it came (whole, or a stream), and the protocol that owns the connection.
Out: everything that can be said of the request, worked out when it is asked for: most handlers ask for very little, so
making a request costs a handful of assignments.

The body is read once and kept. `read()` may be cancelled and called again, and loses nothing; `content` gives the body
as a stream instead. Limits: ``client_max_size`` bytes of a body that is read whole, of a part that is read whole and of
a form's values together; ``client_max_fields`` fields of a form. Both are options of the application; 0 is no limit.
`MULTIPART_OVERHEAD`, `MAX_KEYS_REMEMBERED`.

RFC 9110 (semantics), RFC 9112 §3.2 (request target), RFC 7239 (Forwarded), RFC 6265 (cookies), RFC 7578 (forms).
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Self, TypeVar, overload

from multidict import CIMultiDict, CIMultiDictProxy, MultiDict, MultiDictProxy
from yarl import URL

from .. import hdrs
from ..codec.conditional import ETag, parse_entity_tags, parse_range
from ..codec.cookies import parse_cookie_header
from ..codec.dates import parse_http_date
from ..codec.events import HttpVersion, RequestHead
from ..codec.forwarded import parse_forwarded
from ..keys import UNSET, RequestKey, Unset
from ..message.mixins import HeadersMixin
from ..message.parts import MultipartReader
from ..typedefs import DEFAULT_JSON_DECODER, JSONDecoder, LooseHeaders, StrOrURL
from ..wire.streams import EmptyStreamReader, StreamReader
from ..wire.writer import AbstractStreamWriter, StreamWriter
from .chain import ChainMapProxy
from .errors import NotAppKeyWarning
from .forms import (
    FileField,
    close_files,
    decode_text,
    parse_urlencoded,
    read_multipart,
    size_error_class,
    too_large,
)
from .message import RawRequestMessage, raw_message

if TYPE_CHECKING:
    from .app import Application
    from .protocol import RequestHandler
    from .routes import UrlMappingMatchInfo
    from .stream_response import StreamResponse

__all__ = ("BaseRequest", "FileField", "Request")

MULTIPART_OVERHEAD: Final = 2**18
"""Bytes by which an announced multipart body may be larger than its values may be together (256 KiB)."""

MAX_KEYS_REMEMBERED: Final = 1024
"""Keys that are no `RequestKey` and were warned of once; beyond that number nothing is warned of any more."""

T = TypeVar("T")
_R = TypeVar("_R", bound="BaseRequest")
Form = MultiDictProxy[str | bytearray | FileField]

_NO_FORM: Final[Form] = MultiDictProxy(MultiDict())
_EXPECT: Final = hdrs.EXPECT
# So that a path in a log or a terminal stays on its line.
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x7F)}


class fact(Generic[T]):
    """A property that is worked out once and then lies in the instance, where it may be overwritten."""

    def __init__(self, function: Callable[[Any], T]) -> None:
        self._function = function
        self._name = function.__name__
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object, owner: type) -> T | Self:
        if instance is None:
            return self
        value = self._function(instance)
        setattr(instance, self._name, value)
        return value


class BaseRequest(MutableMapping[str | RequestKey[Any], Any], HeadersMixin):
    """A request without an application: what a low-level `Server` gives to its handler.

    It is a mapping too, for what middlewares and handlers want to tell each other.
    """

    POST_METHODS: ClassVar[set[str]] = {
        hdrs.METH_PATCH,
        hdrs.METH_POST,
        hdrs.METH_PUT,
        hdrs.METH_TRACE,
        hdrs.METH_DELETE,
    }

    ATTRS = HeadersMixin.ATTRS | frozenset(
        "_cache _client_max_fields _client_max_size _headers _host _loop _match_info _message _payload _payload_writer"
        " _pieces _post _protocol _read_bytes _refused _remote _scheme _state _task _transport_peername"
        " _transport_sslcontext cookies forwarded headers host rel_url remote scheme url".split()
    )

    # What is not set on an instance has its default here.
    _read_bytes: bytes | None = None
    _post: Form | None = None
    _state: dict[Any, Any] | None = None
    _scheme: str | None = None
    _host: str | None = None
    _remote: str | None = None
    _pieces: list[bytes] | None = None  # of a body that is being read, kept over a cancellation
    _refused = 0  # bytes that had come when the body was found to be too large

    _seen_str_keys: ClassVar[set[object]] = set()

    def __init__(
        self,
        message: RequestHead | RawRequestMessage,
        payload: StreamReader | bytes,
        protocol: RequestHandler,
        payload_writer: AbstractStreamWriter | None,
        task: asyncio.Task[None],
        loop: asyncio.AbstractEventLoop,
        *,
        client_max_size: int = 1024**2,
        client_max_fields: int = 1000,
        state: dict[Any, Any] | None = None,
        scheme: str | None = None,
        host: str | None = None,
        remote: str | None = None,
    ) -> None:
        """Make a request of its parts; `payload` is a stream, or all bytes of a body that is not empty.

        `scheme`, `host` and `remote` replace what the connection and the header fields say.
        """
        self._message = message
        self._payload = payload
        self._protocol = protocol
        self._payload_writer = payload_writer
        self._task = task
        self._loop = loop
        self._client_max_size = client_max_size
        self._client_max_fields = client_max_fields
        if state is not None:
            self._state = state
        if scheme is not None:
            self._scheme = scheme
        if host is not None:
            self._host = host
        if remote is not None:
            self._remote = remote

    def clone(
        self,
        *,
        method: str | Unset = UNSET,
        rel_url: StrOrURL | Unset = UNSET,
        headers: LooseHeaders | Unset = UNSET,
        scheme: str | Unset = UNSET,
        host: str | Unset = UNSET,
        remote: str | Unset = UNSET,
        client_max_size: int | Unset = UNSET,
        client_max_fields: int | Unset = UNSET,
    ) -> Self:
        """Return a request with some facts replaced; the body is shared, the mapping copied.

        What an earlier clone() replaced stays so, but a `host` gives way to another target or other fields. Raises
        RuntimeError when the body has been read.
        """
        if self._read_bytes or self._pieces:
            raise RuntimeError("Cannot clone request after reading its content")
        message = self._raw_message()
        changes: dict[str, Any] = {}
        kept_host = self._host
        if not isinstance(method, Unset):
            changes["method"] = method
        if not isinstance(rel_url, Unset):
            url = URL(rel_url)
            changes["url"] = url
            changes["path"] = str(url)
            if url.absolute:
                kept_host = None
        if not isinstance(headers, Unset):
            fields: CIMultiDict[str] = CIMultiDict(headers)
            changes["headers"] = CIMultiDictProxy(fields)
            changes["raw_headers"] = tuple(
                (name.encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape"))
                for name, value in fields.items()
            )
            if hdrs.HOST in fields:
                kept_host = None
        return type(self)(
            message._replace(**changes) if changes else message,
            self._payload,
            self._protocol,
            self._payload_writer,
            self._task,
            self._loop,
            client_max_size=self._client_max_size if isinstance(client_max_size, Unset) else client_max_size,
            client_max_fields=self._client_max_fields if isinstance(client_max_fields, Unset) else client_max_fields,
            state=None if self._state is None else self._state.copy(),
            scheme=self._scheme if isinstance(scheme, Unset) else scheme,
            host=kept_host if isinstance(host, Unset) else host,
            remote=self._remote if isinstance(remote, Unset) else remote,
        )

    # ---- where it comes from

    @property
    def task(self) -> asyncio.Task[None]:
        """The task that runs the handler."""
        return self._task

    @property
    def protocol(self) -> RequestHandler:
        """The protocol that owns the connection."""
        return self._protocol

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection's transport, None when it is lost."""
        protocol = self._protocol
        return None if protocol is None else protocol.transport

    @property
    def writer(self) -> AbstractStreamWriter:
        """The writer of the response's body."""
        writer = self._payload_writer
        if writer is None:
            writer = self._payload_writer = StreamWriter(self._protocol, self._loop)
        return writer

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop.  Deprecated: asyncio.get_running_loop() is the same."""
        warnings.warn("request.loop property is deprecated", DeprecationWarning, stacklevel=2)
        return self._loop

    @property
    def client_max_size(self) -> int:
        """How many bytes of a body are read into memory; 0 is no limit."""
        return self._client_max_size

    @property
    def client_max_fields(self) -> int:
        """How many fields a form may have; 0 is no limit."""
        return self._client_max_fields

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Ask the transport; `default` when it is gone or does not know."""
        transport = self.transport
        return default if transport is None else transport.get_extra_info(name, default)

    @property
    def shutting_down(self) -> bool:
        """Whether the server is stopping and asks its handlers to come to an end."""
        return self._protocol.shutting_down

    async def wait_for_shutdown(self) -> None:
        """Wait until the server is stopping; returns at once when it is."""
        await self._protocol.wait_for_shutdown()

    async def wait_for_disconnection(self) -> None:
        """Wait until the client has gone; returns at once when it has."""
        await self._protocol.wait_for_disconnection()

    # ---- the mapping

    def __getitem__(self, key: str | RequestKey[Any]) -> Any:
        state = self._state
        if state is None:
            raise KeyError(key)
        return state[key]

    def __setitem__(self, key: str | RequestKey[Any], value: Any) -> None:
        if not isinstance(key, RequestKey):
            self._warn_of_key(key)
        if self._state is None:
            self._state = {}
        self._state[key] = value

    def _warn_of_key(self, key: object) -> None:
        seen = self._seen_str_keys
        if key not in seen and len(seen) < MAX_KEYS_REMEMBERED:
            seen.add(key)
            warnings.warn(
                "It is recommended to use web.RequestKey instances for keys: "
                f"they cannot clash and carry a type; the key was {key!r}",
                category=NotAppKeyWarning,
                stacklevel=3,
            )

    def __delitem__(self, key: str | RequestKey[Any]) -> None:
        if self._state is None:
            raise KeyError(key)
        del self._state[key]

    def __len__(self) -> int:
        return 0 if self._state is None else len(self._state)

    def __iter__(self) -> Iterator[str | RequestKey[Any]]:
        return iter(self._state or ())

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        path = self.path.translate(_CONTROLS).encode("ascii", "backslashreplace").decode("ascii")
        return f"<{type(self).__name__} {self.method} {path} >"

    # ---- request line

    def _raw_message(self) -> RawRequestMessage:
        message = self._message
        if isinstance(message, RequestHead):
            message = self._message = raw_message(message)
        return message

    @property
    def message(self) -> RawRequestMessage:
        """Request line and header section in one record.  Deprecated: the request has all of it."""
        warnings.warn("Request.message is deprecated", DeprecationWarning, stacklevel=2)
        return self._raw_message()

    @property
    def method(self) -> str:
        """The method, as the client wrote it."""
        return self._message.method

    @property
    def version(self) -> HttpVersion:
        """The version of the request."""
        return self._message.version

    @property
    def keep_alive(self) -> bool:
        """Whether the client lets the connection live after this request."""
        return not self._message.should_close

    def _plain_target(self) -> str | None:
        """Return the target when it needs no URL to be understood: a path that came from the wire, in ASCII."""
        message = self._message
        if type(message) is RequestHead:
            target = message.target
            # A target that begins with two slashes is shown with four, as the text of its URL.
            if target[0] == "/" and "#" not in target and target[:2] != "//" and target.isascii():
                return target
        return None

    @property
    def raw_path(self) -> str:
        """The request target as it came: ``/my%2Fpath?a=%20``, or a whole URL."""
        return self._message.path

    @property
    def routing_path(self) -> str:
        """The path without the query, percent-encoded as it came: what routes are matched with."""
        message = self._message
        if message.__class__ is RequestHead:
            path: str | None = message.plain_path
            if path is not None:
                return path
        return self.rel_url.raw_path

    @property
    def path(self) -> str:
        """The path without the query, decoded: ``/my/path``."""
        path = self.routing_path
        return self.rel_url.path if "%" in path else path

    @property
    def path_qs(self) -> str:
        """The path with the query, percent-encoded as it came."""
        target = self._plain_target()
        return str(self.rel_url) if target is None or target[-1:] == "?" else target

    @property
    def query_string(self) -> str:
        """The query without the question mark, decoded where that changes no meaning."""
        target = self._plain_target()
        if target is not None:
            query = target.partition("?")[2]
            if "%" not in query and "+" not in query:
                return query
        return self.rel_url.query_string

    @property
    def query(self) -> MultiDictProxy[str]:
        """The parameters of the query."""
        return self.rel_url.query

    @fact
    def rel_url(self) -> URL:
        """The target without scheme and host; raises ProtocolError when it can not be taken apart."""
        url = self._message.url
        if not url.absolute:
            return url
        if url.scheme and url.raw_path == "/":  # an empty path is the same (RFC 9110 §4.2.3)
            return URL.build(path="/", query_string=url.raw_query_string, encoded=True)
        return url.relative()

    @fact
    def url(self) -> URL:
        """The whole URL that the client asked for, as far as it can be known."""
        url = self._absolute()
        if url is None:
            return URL.build(scheme=self.scheme, authority=self.host).join(self.rel_url)
        if self._host is not None:
            given = URL.build(scheme=url.scheme, authority=self._host)
            port = given.explicit_port or url.explicit_port
            url = url.with_host(given.host or "").with_port(port)
        return url.with_scheme(self.scheme) if url.scheme else url

    def _absolute(self) -> URL | None:
        """Return the target when it names a host: in absolute form, or in the authority form of CONNECT."""
        if self._plain_target() is not None:
            return None
        url = self._message.url
        return url if url.absolute else None

    # ---- who asks whom

    @fact
    def _transport_sslcontext(self) -> Any:
        return self._protocol.ssl_context

    @fact
    def _transport_peername(self) -> Any:
        return self._protocol.peername

    @fact
    def scheme(self) -> str:
        """``https`` when the connection uses TLS, else ``http``; or what clone() was told.

        What a reverse proxy says in ``Forwarded`` or ``X-Forwarded-Proto`` is not believed: anybody can write it.
        """
        if self._scheme is not None:
            return self._scheme
        return "https" if self._transport_sslcontext else "http"

    @property
    def secure(self) -> bool:
        """Whether the scheme is ``https``."""
        return self.scheme == "https"

    @fact
    def host(self) -> str:
        """The host that was asked for: that of the target, else the Host field with its port, else our address.

        Or what clone() was told. The client chooses it freely.
        """
        if self._host is not None:
            return self._host
        url = self._absolute()
        if url is not None:
            return url.host or ""
        host = self.headers.get(hdrs.HOST)
        if host is not None:
            return host
        address = self._protocol.sockname
        if isinstance(address, (tuple, list)):
            host = str(address[0]) if address else ""
            return f"[{host}]" if ":" in host else host
        return "" if address is None else str(address)

    @fact
    def remote(self) -> str | None:
        """The address of the peer, which may be a reverse proxy; or what clone() was told."""
        if self._remote is not None:
            return self._remote
        address = self._transport_peername
        if isinstance(address, (tuple, list)):
            return str(address[0]) if address else None
        return None if address is None else str(address)

    @fact
    def forwarded(self) -> tuple[Mapping[str, str], ...]:
        """What each proxy said in ``Forwarded``, the one next to the client first; names are in lower case.

        To be trusted as far as the proxies are. What is malformed is left out.
        """
        return parse_forwarded(self.headers.getall(hdrs.FORWARDED, ()))

    # ---- header fields

    @fact
    def headers(self) -> CIMultiDictProxy[str]:
        """The header fields; names compare without regard to case."""
        headers = self._message.headers
        return headers if isinstance(headers, CIMultiDictProxy) else CIMultiDictProxy(headers)

    @property
    def _headers(self) -> CIMultiDictProxy[str]:  # type: ignore[override]  # what HeadersMixin looks into
        return self.headers

    @property
    def _cache(self) -> dict[str, Any]:
        return self.__dict__

    @property
    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The field lines as bytes, in order, names as the client wrote them."""
        return self._message.raw_headers

    @fact
    def cookies(self) -> Mapping[str, str]:
        """The cookies by name, decoded; of several with one name the last."""
        fields = self.headers.getall(hdrs.COOKIE, None)
        if fields is None:
            return MappingProxyType({})
        return MappingProxyType({name: morsel.value for name, morsel in parse_cookie_header("; ".join(fields))})

    @property
    def http_range(self) -> slice[Any, Any, Any]:
        """What ``Range`` asks for, as a slice of the representation; ``slice(None, None, 1)`` without the field.

        Raises ValueError for several ranges, other units and what is malformed.
        """
        return parse_range(self.headers.get(hdrs.RANGE))

    @property
    def if_modified_since(self) -> datetime | None:
        """The date of ``If-Modified-Since``, None without one."""
        return parse_http_date(self.headers.get(hdrs.IF_MODIFIED_SINCE))

    @property
    def if_unmodified_since(self) -> datetime | None:
        """The date of ``If-Unmodified-Since``, None without one."""
        return parse_http_date(self.headers.get(hdrs.IF_UNMODIFIED_SINCE))

    @property
    def if_range(self) -> datetime | None:
        """The date of ``If-Range``, None without one; see `fairlead.codec.conditional.parse_if_range` for tags."""
        return parse_http_date(self.headers.get(hdrs.IF_RANGE))

    @property
    def if_match(self) -> tuple[ETag, ...] | None:
        """The entity tags of ``If-Match``, None without the field; ``*`` is the tag of that value."""
        return self._entity_tags(hdrs.IF_MATCH)

    @property
    def if_none_match(self) -> tuple[ETag, ...] | None:
        """The entity tags of ``If-None-Match``, None without the field; ``*`` is the tag of that value."""
        return self._entity_tags(hdrs.IF_NONE_MATCH)

    def _entity_tags(self, name: str) -> tuple[ETag, ...] | None:
        values = self.headers.getall(name, None)
        return parse_entity_tags(values) if values and any(values) else None

    # ---- the body

    @property
    def content(self) -> StreamReader:
        """The body as a stream; what was read of it here is not given by `read()` any more."""
        payload = self._payload
        if isinstance(payload, bytes):
            payload = self._payload = self._stream_of(b"" if self._read_bytes is not None else payload)
        return payload

    def _stream_of(self, body: bytes) -> StreamReader:
        stream = StreamReader(None, loop=self._loop)
        stream.feed_data(body)
        stream.feed_eof()
        return stream

    @property
    def body_exists(self) -> bool:
        """Whether the request has a body, read or not."""
        return not isinstance(self._payload, EmptyStreamReader)

    @property
    def can_read_body(self) -> bool:
        """Whether something of the body is still to be read."""
        payload = self._payload
        return self._read_bytes is None if isinstance(payload, bytes) else not payload.at_eof()

    @property
    def has_body(self) -> bool:
        """The same as `can_read_body`.  Deprecated."""
        warnings.warn("Deprecated, use .can_read_body #2005", DeprecationWarning, stacklevel=2)
        return self.can_read_body

    async def release(self) -> None:
        """Read what is left of the body and forget it; raises what broke the body off."""
        payload = self._payload
        if isinstance(payload, bytes):
            if self._read_bytes is None:
                self._read_bytes = b""
            return
        while not payload.at_eof():
            await payload.readany()

    async def read(self) -> bytes:
        """Return the body, or what `content` left of it.

        Raises HTTPRequestEntityTooLarge for more than `client_max_size` bytes, before anything was read when the client
        announced that many; RequestPayloadError when the body broke off. Cancelled, it loses nothing: the next call
        goes on.
        """
        body = self._read_bytes
        if body is None:
            payload = self._payload
            if isinstance(payload, bytes):
                limit = self._client_max_size
                if limit and len(payload) > limit:
                    raise too_large(limit, len(payload))
                body = payload
            else:
                body = await self._read_stream(payload)
            self._read_bytes = body
        return body

    async def _read_stream(self, payload: StreamReader) -> bytes:
        if payload.at_eof() and self._pieces is None and not self._refused:
            return b""
        limit = self._client_max_size
        if not limit:
            return await payload.read()
        if self._refused > limit:
            raise too_large(limit, self._refused)
        self._check_announced(limit)
        if self._pieces is None:
            self._pieces = []
        pieces = self._pieces
        size = sum(map(len, pieces))
        while piece := await payload.readany():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                # What came is no use to anybody, and what follows must not be taken for the whole.
                self._pieces = None
                self._refused = size
                raise too_large(limit, size)
        self._pieces = None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _check_announced(self, limit: int) -> None:
        """Refuse a body whose announced length is over the limit; compressed ones are counted when they come."""
        try:
            length = self.content_length
        except ValueError:
            return
        if length is not None and length > limit and self._message.compression is None:
            raise too_large(self._client_max_size, length)

    async def text(self) -> str:
        """Return the body as text in the charset of its content type, else in UTF-8.

        Raises LookupError for a charset that is not known, UnicodeDecodeError for a text that is not in it, and what
        `read` raises. Cancelled, it loses nothing.
        """
        body = await self.read()
        return decode_text(body, self.charset or "utf-8")

    async def json(self, *, loads: JSONDecoder = DEFAULT_JSON_DECODER) -> Any:
        """Return what `loads` makes of the text, whatever the content type; raises what it and `text` raise."""
        return loads(await self.text())

    async def multipart(self) -> MultipartReader:
        """Return a reader for the parts of the body.

        A part that is read whole may have `client_max_size` bytes. Raises KeyError without a content type, ValueError
        when it is not multipart or has no boundary.
        """
        read = self._read_bytes
        return MultipartReader(
            self.headers,
            self.content if not read else self._stream_of(read),
            client_max_size=self._client_max_size or sys.maxsize,
            max_size_error_cls=size_error_class(),
        )

    async def post(self) -> Form:
        """Return the fields of a form: text as str, files as `FileField`, of other content types bytearray.

        Other bodies and methods than those of forms give an empty form. Raises HTTPRequestEntityTooLarge for more than
        `client_max_size` bytes or `client_max_fields` fields, ValueError for a malformed multipart body, and what
        `text` raises. Files are open until the response has been sent; large ones lie on disk. Cancelled, it closes
        them, and loses what it had read of a multipart body.
        """
        if self._post is None:
            content_type = self.content_type
            if self.method not in self.POST_METHODS:
                self._post = _NO_FORM
            elif content_type == "multipart/form-data":
                self._post = MultiDictProxy(await self._read_multipart())
                self.holds_files = True
            elif content_type == "application/x-www-form-urlencoded":
                self._post = await self._read_urlencoded()
            else:
                self._post = _NO_FORM
        return self._post

    async def _read_multipart(self) -> MultiDict[str | bytearray | FileField]:
        limit = self._client_max_size
        if limit:
            self._check_announced(limit + MULTIPART_OVERHEAD)
        return await read_multipart(await self.multipart(), self._loop, limit, self._client_max_fields)

    async def _read_urlencoded(self) -> Form:
        body = await self.read()
        if not body:
            return _NO_FORM
        return MultiDictProxy(MultiDict(parse_urlencoded(body, self.charset or "utf-8", self._client_max_fields)))

    def close_files(self) -> None:
        """Close the files of the form; the server does when the response has been sent."""
        if self._post is not None:
            close_files(self._post)

    async def prepare_hook(self, response: StreamResponse) -> None:
        """Let the applications have a say in the head of a response; there are none here."""

    # ---- what the protocol asks

    hooked = False
    """Whether an application has a say in the heads of responses."""

    @property
    def plain(self) -> bool:
        """Whether the answer is framed in the usual way and nobody else has a say in it."""
        message = self._message
        if message.__class__ is not RequestHead or self._payload_writer is not None:
            return False
        return message.plain and not self.hooked

    @property
    def writer_used(self) -> bool:
        """Whether something of an answer was sent; interim responses are none."""
        writer = self._payload_writer
        return writer is not None and writer.output_size > 0 and getattr(writer, "head_written", True)

    @property
    def answered(self) -> bool:
        """Whether a whole answer was sent."""
        writer = self._payload_writer
        return isinstance(writer, StreamWriter) and writer.ended

    @property
    def unanswered(self) -> int:
        """Bytes that an answer has announced and not sent."""
        writer = self._payload_writer
        return writer.length or 0 if isinstance(writer, StreamWriter) and not writer.chunked else 0

    holds_files = False
    """Whether there may be files of a form to be closed."""

    @property
    def expects(self) -> bool:
        """Whether the client waits for a word before it sends the body (RFC 9110 §10.1.1)."""
        return _EXPECT in self._message.headers


class Request(BaseRequest):
    """A request to an application: a `BaseRequest` that knows its route."""

    ATTRS = BaseRequest.ATTRS

    _match_info: UrlMappingMatchInfo | None = None
    hooked = True  # until the application has said that nobody is

    def clone(
        self,
        *,
        method: str | Unset = UNSET,
        rel_url: StrOrURL | Unset = UNSET,
        headers: LooseHeaders | Unset = UNSET,
        scheme: str | Unset = UNSET,
        host: str | Unset = UNSET,
        remote: str | Unset = UNSET,
        client_max_size: int | Unset = UNSET,
        client_max_fields: int | Unset = UNSET,
    ) -> Self:
        """Return a request with some facts replaced, and the same route; see `BaseRequest.clone`."""
        clone = super().clone(
            method=method,
            rel_url=rel_url,
            headers=headers,
            scheme=scheme,
            host=host,
            remote=remote,
            client_max_size=client_max_size,
            client_max_fields=client_max_fields,
        )
        clone._match_info = self._match_info
        return clone

    @property
    def match_info(self) -> UrlMappingMatchInfo:
        """The route that was found, and what its path holds; raises AssertionError before one was found."""
        match_info = self._match_info
        assert match_info is not None, "the request was not resolved yet"
        return match_info

    def set_match_info(self, match_info: UrlMappingMatchInfo) -> None:
        """Tell the request its route."""
        self._match_info = match_info

    @property
    def app(self) -> Application:
        """The application whose handler or middleware runs: the innermost one, as far as it has come."""
        return self.match_info.current_app

    @property
    def config_dict(self) -> ChainMapProxy:
        """What `app` and the applications around it hold, innermost first."""
        apps = self.match_info.apps
        return ChainMapProxy(reversed(apps[: apps.index(self.app) + 1]))

    async def prepare_hook(self, response: StreamResponse) -> None:
        match_info = self._match_info
        if match_info is not None:
            for app in match_info.apps:
                signal = app.on_response_prepare
                if signal:
                    await signal.send(self, response)

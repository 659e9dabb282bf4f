"""A response whose body is written piece by piece: `StreamResponse`.

In: status, header fields, cookies, and the pieces of a body.  Out: one HTTP/1.1 message on the writer of a request.
`prepare(request)` decides the framing (RFC 9112 §6): a length that was announced, the chunked coding where the peer
speaks HTTP/1.1, the end of the connection where it does not.  After that the head can not be changed any more.

Limits: those of `wire.writer`; a slow peer holds `write()` back.
"""

from __future__ import annotations

import datetime
import enum
import time
import warnings
from collections.abc import Iterator, MutableMapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from multidict import CIMultiDict

from .. import hdrs
from ..codec.conditional import ETag, as_etag, parse_etag
from ..codec.dates import http_date, parse_http_date
from ..codec.events import HttpVersion10, HttpVersion11
from ..codec.framing import BODILESS
from ..message.mixins import HeadersMixin
from ..version import SERVER_SOFTWARE
from ..wire.writer import AbstractStreamWriter

if TYPE_CHECKING:
    import asyncio
    from http.cookies import SimpleCookie

    from ..keys import ResponseKey
    from ..typedefs import LooseHeaders
    from .request import BaseRequest

_T = TypeVar("_T")

LARGE_BODY_SIZE: Final = 1024 * 1024
"""Bytes from which a body that is compressed in the event loop is worth a warning."""

REASONS: Final = {status.value: status.phrase for status in HTTPStatus}
"""The usual reason phrase of each status."""

_CONTENT_LENGTH = hdrs.CONTENT_LENGTH
_CONTENT_TYPE = hdrs.CONTENT_TYPE
_CONNECTION = hdrs.CONNECTION
_TRANSFER_ENCODING = hdrs.TRANSFER_ENCODING


class ContentCoding(enum.Enum):
    """Content codings that a response can be sent in (RFC 9110 §8.4.1).

    Where the server is to choose, the first one that the client accepts is taken.
    """

    deflate = "deflate"
    gzip = "gzip"
    identity = "identity"
    br = "br"
    zstd = "zstd"


def is_bodiless(method: str, status: int) -> bool:
    """Tell whether a response has no body, whatever its fields say (RFC 9112 §6.3 rule 1)."""
    return method == "HEAD" or status in BODILESS or (method == "CONNECT" and 200 <= status < 300)


def forbids_length(method: str, status: int) -> bool:
    """Tell whether a response must not announce a length (RFC 9110 §8.6)."""
    return status < 200 or status == 204 or status == 304 or (method == "CONNECT" and 200 <= status < 300)


def accepted_codings(value: str) -> dict[str, float]:
    """Read an Accept-Encoding field: codings and their weights (RFC 9110 §12.5.3); what is malformed is skipped."""
    found: dict[str, float] = {}
    for item in value.lower().split(","):
        coding, _, parameter = item.strip().partition(";")
        weight = 1.0
        name, _, number = parameter.strip().partition("=")
        if name.strip() == "q":
            try:
                weight = float(number)
            except ValueError:
                continue
        if coding.strip():
            found[coding.strip()] = weight
    return found


class Now:
    """The Date and Server fields, made anew once a second."""

    __slots__ = ("date", "second", "tail")

    def __init__(self) -> None:
        self.second = -1
        self.date = ""
        self.tail = b""

    def refresh(self, second: int) -> None:
        """Make the fields for this second."""
        self.date = http_date(second)
        self.tail = f"\r\nDate: {self.date}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n".encode("ascii")
        self.second = second


NOW: Final = Now()
"""What every response says of time and server."""


def date_now() -> str:
    """Return the value of Date for a response that is sent now."""
    second = int(time.time())
    if second != NOW.second:
        NOW.refresh(second)
    return NOW.date


class StreamResponse(MutableMapping[Any, Any], HeadersMixin):
    """A response that is sent in pieces: `await prepare(request)`, then `write()`, at last `write_eof()`.

    It is also a dictionary for what a program wants to keep with it.
    """

    # What a response is before it is told otherwise; the instance holds only what differs.
    _body: Any = None
    _keep_alive: bool | None = None
    _chunked = False
    _compression = False
    _compression_strategy: int | None = None
    _compression_force: ContentCoding | None = None
    _req: BaseRequest | None = None
    _payload_writer: AbstractStreamWriter | None = None
    _eof_sent = False
    _must_be_empty_body: bool | None = None
    _body_length = 0
    _send_headers_immediately = True
    _length_check = True
    _ends_when_it_likes = True  # its end is not known when its head is sent, unless it has a length
    _fields: CIMultiDict[str] | None = None
    _type: str | None = None  # of a response whose header fields nobody has asked for yet
    _set_cookies: SimpleCookie | None = None
    _partitioned: frozenset[str] | set[str] = frozenset()  # names of cookies, where their morsels can not say it
    _state: dict[Any, Any] | None = None
    _coded = False  # the writer compresses
    _special = False  # something was asked for that only the full way of sending does

    def __init__(
        self,
        *,
        status: int = 200,
        reason: str | None = None,
        headers: LooseHeaders | None = None,
        _real_headers: CIMultiDict[str] | None = None,
    ) -> None:
        if _real_headers is not None:
            self._fields = _real_headers
        elif headers is not None:
            self._fields = CIMultiDict(headers)
        self._set_status(status, reason)

    # ---- facts

    @property  # type: ignore[override]  # HeadersMixin only looks into it
    def _headers(self) -> CIMultiDict[str]:
        fields = self._fields
        if fields is None:
            fields = self._fields = CIMultiDict()
            if self._type is not None:
                fields[_CONTENT_TYPE] = self._type
        return fields

    @_headers.setter
    def _headers(self, fields: CIMultiDict[str]) -> None:
        self._fields = fields

    @property
    def headers(self) -> CIMultiDict[str]:
        """The header fields; changes count until `prepare()`."""
        return self._headers

    @property
    def prepared(self) -> bool:
        """Whether the head was sent."""
        return self._eof_sent or self._payload_writer is not None

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task that handles the request, while it does."""
        return None if self._req is None else self._req.task

    @property
    def status(self) -> int:
        """The status code."""
        return self._status

    @property
    def reason(self) -> str:
        """The reason phrase."""
        return self._reason

    @property
    def chunked(self) -> bool:
        """Whether the chunked coding was asked for."""
        return self._chunked

    @property
    def compression(self) -> bool:
        """Whether compression was asked for."""
        return self._compression

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection stays open; None until somebody decides."""
        return self._keep_alive

    @property
    def body_length(self) -> int:
        """Bytes that were sent, with head and framing; known after the end."""
        return self._body_length

    @property
    def output_length(self) -> int:
        """Bytes sent so far; deprecated, use `body_length`."""
        warnings.warn("output_length is deprecated", DeprecationWarning, stacklevel=2)
        assert self._payload_writer is not None
        return self._payload_writer.buffer_size

    def set_status(self, status: int, reason: str | None = None) -> None:
        """Set status code and reason phrase; the phrase defaults to the usual one.

        Raises ValueError for a reason with a line break.
        """
        assert not self.prepared, "Cannot change the response status code after the headers have been sent"
        self._set_status(status, reason)

    def _set_status(self, status: int, reason: str | None) -> None:
        self._status = status = int(status)
        if reason is None:
            reason = REASONS.get(status, "")
        elif "\n" in reason or "\r" in reason:
            raise ValueError("Reason cannot contain \\r or \\n")
        self._reason = reason

    def force_close(self) -> None:
        """Close the connection after this response."""
        self._keep_alive = False
        self._special = True

    def enable_chunked_encoding(self, chunk_size: int | None = None) -> None:
        """Use the chunked coding; raises RuntimeError when a length was set, and on HTTP/1.0 when it is prepared."""
        if self._fields is not None and _CONTENT_LENGTH in self._fields:
            raise RuntimeError("You can't enable chunked encoding when a content length is set")
        if chunk_size is not None:
            warnings.warn("Chunk size is deprecated #1615", DeprecationWarning, stacklevel=2)
        self._chunked = self._special = True

    def enable_compression(self, force: bool | ContentCoding | None = None, strategy: int | None = None) -> None:
        """Compress the body, in the coding `force` or in the first `ContentCoding` that the client accepts."""
        if isinstance(force, bool):
            force = ContentCoding.deflate if force else None
            warnings.warn("Using boolean for force is deprecated #3318", DeprecationWarning, stacklevel=2)
        elif force is not None:
            assert isinstance(force, ContentCoding), "force should one of None, bool or ContentEncoding"
        self._compression = self._special = True
        self._compression_force = force
        self._compression_strategy = strategy

    # ---- cookies

    @property
    def cookies(self) -> SimpleCookie:
        """The cookies that the response sets."""
        jar = self._set_cookies
        if jar is None:
            from http.cookies import SimpleCookie

            jar = self._set_cookies = SimpleCookie()
            self._special = True
        return jar

    def set_cookie(
        self,
        name: str,
        value: str,
        *,
        expires: str | None = None,
        domain: str | None = None,
        max_age: int | str | None = None,
        path: str = "/",
        secure: bool | None = None,
        httponly: bool | None = None,
        version: str | None = None,
        samesite: str | None = None,
        partitioned: bool | None = None,
    ) -> None:
        """Set a cookie (RFC 6265); a cookie of the same name set before is replaced.

        `max_age` is in seconds, `expires` an HTTP date.  A name that is no token is a CookieError of `http.cookies`.
        """
        cookies = self.cookies
        old = cookies.get(name)
        if old is not None and old.coded_value == "":
            # What `del_cookie` left there would stay in force.
            cookies.pop(name, None)
        cookies[name] = value
        morsel = cookies[name]
        if expires is not None:
            morsel["expires"] = expires
        elif morsel.get("expires") == "Thu, 01 Jan 1970 00:00:00 GMT":
            del morsel["expires"]
        if domain is not None:
            morsel["domain"] = domain
        if max_age is not None:
            morsel["max-age"] = str(max_age)
        elif "max-age" in morsel:
            del morsel["max-age"]
        morsel["path"] = path
        others = {"secure": secure, "httponly": httponly, "version": version, "samesite": samesite}
        for attribute, given in others.items():
            if given is not None:
                morsel[attribute] = given
        if partitioned is not None:
            self._set_partitioned(name, partitioned)

    def _set_partitioned(self, name: str, partitioned: bool) -> None:
        from http.cookies import CookieError

        try:
            self.cookies[name]["partitioned"] = partitioned
        except CookieError:  # the standard library knows the attribute from 3.14 on
            self._partitioned = {*self._partitioned, name} if partitioned else self._partitioned - {name}

    def del_cookie(
        self,
        name: str,
        *,
        domain: str | None = None,
        path: str = "/",
        secure: bool | None = None,
        httponly: bool | None = None,
        samesite: str | None = None,
    ) -> None:
        """Tell the client to forget a cookie; domain and path must be those that it was set with."""
        self.cookies.pop(name, None)
        self.set_cookie(
            name,
            "",
            max_age=0,
            expires="Thu, 01 Jan 1970 00:00:00 GMT",
            domain=domain,
            path=path,
            secure=secure,
            httponly=httponly,
            samesite=samesite,
        )

    # ---- header fields with a type

    @property
    def content_length(self) -> int | None:
        """The announced length of the body in bytes, or None."""
        return super().content_length

    @content_length.setter
    def content_length(self, value: int | None) -> None:
        if value is None:
            self._headers.pop(_CONTENT_LENGTH, None)
            return
        if self._chunked:
            raise RuntimeError("You can't set content length when chunked encoding is enable")
        self._headers[_CONTENT_LENGTH] = str(int(value))

    @property
    def content_type(self) -> str:
        """The media type without its parameters."""
        return super().content_type

    @content_type.setter
    def content_type(self, value: str) -> None:
        charset = self.charset  # of the field that is replaced
        value = str(value)
        self._headers[_CONTENT_TYPE] = value if charset is None else f"{value}; charset={charset}"

    @property
    def charset(self) -> str | None:
        """The charset parameter of the media type."""
        return super().charset

    @charset.setter
    def charset(self, value: str | None) -> None:
        content_type = self.content_type
        if content_type == "application/octet-stream":
            raise RuntimeError(
                "Setting charset for application/octet-stream doesn't make sense, setup content_type first"
            )
        from ..codec.mime import parse_mimetype

        parameters = dict(parse_mimetype(self._headers.get(_CONTENT_TYPE, "")).parameters)
        parameters.pop("charset", None)
        if value is not None:
            parameters["charset"] = str(value).lower()
        written = [f"{name}={text}" for name, text in parameters.items()]
        self._headers[_CONTENT_TYPE] = "; ".join([content_type, *written])

    @property
    def last_modified(self) -> datetime.datetime | None:
        """The Last-Modified field as an aware datetime in UTC."""
        value = self._headers.get(hdrs.LAST_MODIFIED)
        return None if value is None else parse_http_date(value)

    @last_modified.setter
    def last_modified(self, value: float | datetime.datetime | str | None) -> None:
        if value is None:
            self._headers.pop(hdrs.LAST_MODIFIED, None)
        elif isinstance(value, (int, float)):
            self._headers[hdrs.LAST_MODIFIED] = http_date(-(-value // 1))
        elif isinstance(value, datetime.datetime):
            self._headers[hdrs.LAST_MODIFIED] = value.strftime("%a, %d %b %Y %H:%M:%S GMT")
        elif isinstance(value, str):
            self._headers[hdrs.LAST_MODIFIED] = value
        else:
            raise TypeError(f"Unsupported type for last_modified: {type(value).__name__}")

    @property
    def etag(self) -> ETag | None:
        """The ETag field (RFC 9110 §8.8.3)."""
        value = self._headers.get(hdrs.ETAG)
        return None if value is None else parse_etag(value)

    @etag.setter
    def etag(self, value: ETag | str | None) -> None:
        if value is None:
            self._headers.pop(hdrs.ETAG, None)
            return
        self._headers[hdrs.ETAG] = as_etag(value).field_value()

    # ---- sending

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Decide the framing and send the head, which leaves with the first piece of the body; return the writer.

        Does nothing when it was done before.  Raises RuntimeError for chunked coding on HTTP/1.0, ValueError for fields
        that must not be sent, ConnectionError when the client has gone.
        """
        if self._eof_sent:
            return None
        if self._payload_writer is not None:
            return self._payload_writer
        self._must_be_empty_body = is_bodiless(request.method, self._status)
        return await self._start(request)

    async def _start(self, request: BaseRequest) -> AbstractStreamWriter:
        self._req = request
        writer = self._payload_writer = request.writer
        await self._prepare_headers()
        await request.prepare_hook(self)
        await self._write_headers()
        if writer.length is None and self._ends_when_it_likes:
            request.protocol.stream_started()
        return writer

    async def _do_start_compression(self, coding: ContentCoding) -> None:
        if coding is ContentCoding.identity:
            return
        assert self._payload_writer is not None
        self._coded = True
        self._headers[hdrs.CONTENT_ENCODING] = coding.value
        self._payload_writer.enable_compression(coding.value, self._compression_strategy)
        # The length of what is compressed shows only at the end.
        self._headers.pop(_CONTENT_LENGTH, None)

    async def _start_compression(self, request: BaseRequest) -> None:
        if self._compression_force is not None:
            await self._do_start_compression(self._compression_force)
            return
        accepted = accepted_codings(",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ())))
        for coding in ContentCoding:
            if accepted.get(coding.value, 0.0) > 0.0 and coding_is_available(coding):
                await self._do_start_compression(coding)
                return

    async def _prepare_headers(self) -> None:
        request, writer = self._req, self._payload_writer
        assert request is not None
        assert writer is not None
        if self._keep_alive is None:
            # A stand-in for the protocol, as tests have them, may have anything there.
            self._keep_alive = request.keep_alive and request.shutting_down is not True
        version = request.version
        headers = self._headers
        if self._set_cookies is not None:
            for name, morsel in self._set_cookies.items():
                text = morsel.output(header="")[1:]
                headers.add(hdrs.SET_COOKIE, f"{text}; Partitioned" if name in self._partitioned else text)
        if self._compression:
            await self._start_compression(request)
        self._frame(request.method, writer, headers, version)
        headers.setdefault(hdrs.DATE, date_now())
        headers.setdefault(hdrs.SERVER, SERVER_SOFTWARE)
        if _CONNECTION not in headers:
            if self._keep_alive:
                if version == HttpVersion10:
                    headers[_CONNECTION] = "keep-alive"
            elif version == HttpVersion11:
                headers[_CONNECTION] = "close"
        elif "close" in headers[_CONNECTION].lower():
            self._keep_alive = False

    def _frame(self, method: str, writer: AbstractStreamWriter, headers: CIMultiDict[str], version: Any) -> None:
        """Choose how the body is delimited (RFC 9112 §6.3)."""
        empty = self._must_be_empty_body
        if self._chunked:
            if version != HttpVersion11:
                raise RuntimeError(f"Using chunked encoding is forbidden for HTTP/{version.major}.{version.minor}")
            if not empty:
                writer.enable_chunking()
                headers[_TRANSFER_ENCODING] = "chunked"
        elif self._length_check:
            writer.length = self.content_length
            if writer.length is None and not empty:
                if version >= HttpVersion11:
                    writer.enable_chunking()
                    headers[_TRANSFER_ENCODING] = "chunked"
                else:
                    self._keep_alive = False
        if empty:
            if _CONTENT_LENGTH in headers and forbids_length(method, self._status):
                del headers[_CONTENT_LENGTH]
            headers.pop(_TRANSFER_ENCODING, None)
            writer.length = 0  # RFC 9110 §9.3.2: whatever the handler writes
        elif (writer.length if self._length_check else self.content_length) != 0:
            headers.setdefault(_CONTENT_TYPE, "application/octet-stream")

    async def _write_headers(self) -> None:
        request, writer = self._req, self._payload_writer
        assert request is not None
        assert writer is not None
        version = request.version
        await writer.write_headers(f"HTTP/{version.major}.{version.minor} {self._status} {self._reason}", self._headers)
        if self._send_headers_immediately:
            writer.send_headers()

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send a piece of the body; waits while the client is slow.

        Raises RuntimeError before `prepare()` and after the end, ConnectionError when the client has gone.
        Cancellation while waiting leaves the piece queued.
        """
        if data.__class__ is not bytes:
            assert isinstance(data, (bytes, bytearray, memoryview)), f"data argument must be byte-ish ({type(data)!r})"
        writer = self._payload_writer
        if writer is None:
            when = "after write_eof()" if self._eof_sent else "before prepare()"
            raise RuntimeError(f"Cannot call write() {when}")
        await writer.write(data)

    async def drain(self) -> None:
        """Wait until the client has taken what was sent; deprecated, `write()` waits by itself."""
        assert not self._eof_sent, "EOF has already been sent"
        assert self._payload_writer is not None, "Response has not been started"
        warnings.warn("drain method is deprecated, use await resp.write()", DeprecationWarning, stacklevel=2)
        await self._payload_writer.drain()

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the last piece of the body and end the message; calling it again does nothing."""
        assert isinstance(data, (bytes, bytearray, memoryview)), f"data argument must be byte-ish ({type(data)!r})"
        if self._eof_sent:
            return
        assert self._payload_writer is not None, "Response has not been started"
        await self._payload_writer.write_eof(data)
        self._eof_sent = True
        self._req = None
        self._body_length = self._payload_writer.output_size
        self._payload_writer = None

    # ---- a dictionary, compared by identity

    @overload
    def __getitem__(self, key: ResponseKey[_T]) -> _T: ...
    @overload
    def __getitem__(self, key: str) -> Any: ...
    def __getitem__(self, key: Any) -> Any:
        if self._state is None:
            raise KeyError(key)
        return self._state[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        if self._state is None:
            self._state = {}
        self._state[key] = value

    def __delitem__(self, key: Any) -> None:
        if self._state is None:
            raise KeyError(key)
        del self._state[key]

    def __len__(self) -> int:
        return len(self._state or ())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._state or ())

    def __bool__(self) -> bool:
        return True

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        if self._eof_sent:
            info = "eof"
        elif self.prepared:
            assert self._req is not None
            info = f"{self._req.method} {self._req.path} "
        else:
            info = "not prepared"
        return f"<{type(self).__name__} {self._reason} {info}>"


def coding_is_available(coding: ContentCoding) -> bool:
    """Tell whether this installation can encode a coding; br and zstd need a library."""
    from ..codec.coding import accept_encoding

    return coding is ContentCoding.identity or coding.value in accept_encoding().split(", ")

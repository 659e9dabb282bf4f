"""A response whose body is known when it is returned: `Response`, and what makes one of JSON.

In: text, bytes, or anything that a payload stands for.  Out: one message with its Content-Length where it is known.

Nearly all responses are plain: bytes, the usual fields, a client that speaks HTTP/1.1.  `render()` makes such a message
in one piece, from parts that are the same for all responses of a kind, and nothing else is built for it.

Limits: bodies above `zlib_executor_size` bytes are compressed outside the event loop.
"""

from __future__ import annotations

import json
import warnings
from concurrent.futures import Executor
from time import time
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, Self

from multidict import CIMultiDict

from .. import hdrs
from ..codec.coding import encoder_for
from ..codec.fields import serialise_head
from ..codec.framing import BODILESS
from ..codec.json_text import json_text
from ..message.body import PAYLOAD_REGISTRY, LookupError, Payload
from .stream_response import LARGE_BODY_SIZE, NOW, REASONS, ContentCoding, StreamResponse, forbids_length

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..typedefs import LooseHeaders
    from ..wire.writer import AbstractStreamWriter
    from .request import BaseRequest

ZLIB_EXECUTOR_SIZE: Final = 4096
"""Bytes of a body from which on compression leaves the event loop."""

MAX_PREFIXES: Final = 256
"""Beginnings of messages that are remembered; there are as many as pairs of status and media type."""

_CONTENT_LENGTH = hdrs.CONTENT_LENGTH
_CONTENT_TYPE = hdrs.CONTENT_TYPE

_FRAMING = (_CONTENT_LENGTH, hdrs.TRANSFER_ENCODING, hdrs.CONNECTION, hdrs.DATE, hdrs.SERVER)

_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json; charset=utf-8"

# (status, reason, media type or None) → the message up to the digits of its length.
_prefixes: dict[tuple[int, str, str | None], bytes] = {}


class _Missing:
    def __repr__(self) -> str:
        return "<sentinel>"


MISSING: Final = _Missing()
"""Stands for an argument that was not given, where None means something."""


class Response(StreamResponse):
    """A response with its body; returned from a handler, it is sent as it is.

    Unlike a `StreamResponse` it may be returned again, for other requests.
    """

    _body: bytes | bytearray | Payload | None = None
    _compressed_body: bytes | None = None
    _sent_to: BaseRequest | None = None  # the request that `prepare()` was called for
    _measured = False  # the length in the fields is that of the body
    _send_headers_immediately = False
    _ends_when_it_likes = False
    _zlib_executor_size: int | None = ZLIB_EXECUTOR_SIZE
    _zlib_executor: Executor | None = None

    def __init__(
        self,
        *,
        body: Any = None,
        status: int = 200,
        reason: str | None = None,
        text: str | None = None,
        headers: LooseHeaders | None = None,
        content_type: str | None = None,
        charset: str | None = None,
        zlib_executor_size: int | None = ZLIB_EXECUTOR_SIZE,
        zlib_executor: Executor | None = None,
    ) -> None:
        """Take the body as `text` or as `body`: bytes, or anything that has a payload.

        Raises ValueError for contradictory arguments and for a body of which no payload is known, TypeError for a text
        that is not a string.
        """
        if status == 200 and reason is None:
            self._status = 200
            self._reason = "OK"
        else:
            self._set_status(status, reason)
        if headers is None and body is None and content_type is None and charset is None:
            # Nearly all responses: text or nothing.
            if text is not None:
                try:
                    self._body = text.encode("utf-8")
                except AttributeError:
                    raise TypeError(f"text argument must be str ({type(text)!r})") from None
                self._type = _TEXT
        else:
            self._describe(body, text, headers, content_type, charset)
        if zlib_executor_size != ZLIB_EXECUTOR_SIZE:
            self._zlib_executor_size = zlib_executor_size
        if zlib_executor is not None:
            self._zlib_executor = zlib_executor

    def _describe(
        self, body: Any, text: str | None, headers: LooseHeaders | None, content_type: str | None, charset: str | None
    ) -> None:
        fields: CIMultiDict[str] | None = None
        if headers is not None:
            fields = self._fields = CIMultiDict(headers)
        if text is not None:
            if body is not None:
                raise ValueError("body and text are not allowed together")
            if not isinstance(text, str):
                raise TypeError(f"text argument must be str ({type(text)!r})")
        if content_type is not None or charset is not None:
            self._check_type(content_type, fields)
        if text is not None:
            if fields is not None and _CONTENT_TYPE in fields:
                self.text = text
                return
            encoding = charset or "utf-8"
            self._type = f"{content_type or 'text/plain'}; charset={encoding}"
            self._body = text.encode(encoding)
        elif content_type is not None:
            self._type = content_type if charset is None else f"{content_type}; charset={charset}"
        if self._type is not None and fields is not None:
            fields[_CONTENT_TYPE] = self._type
        if type(body) is bytes:
            self._body = body
        elif body is not None:
            self.body = body

    def _check_type(self, content_type: str | None, fields: CIMultiDict[str] | None) -> None:
        if content_type is not None and "charset" in content_type:
            raise ValueError("charset must not be in content_type argument")
        if fields is not None and _CONTENT_TYPE in fields:
            raise ValueError("passing both Content-Type header and content_type or charset params is forbidden")

    # ---- the body

    @property
    def body(self) -> Any:
        """The body: bytes, a payload, or None."""
        return self._body

    @body.setter
    def body(self, body: Any) -> None:
        if body is None or isinstance(body, (bytes, bytearray)):
            self._body = body
        else:
            try:
                self._body = payload = PAYLOAD_REGISTRY.get(body)
            except LookupError:
                raise ValueError(f"Unsupported body type {type(body)!r}") from None
            headers = self._headers
            if _CONTENT_TYPE not in headers:
                headers[_CONTENT_TYPE] = payload.content_type
            for name, value in payload.headers.items():
                if name not in headers:
                    headers[name] = value
        self._compressed_body = None

    @property
    def text(self) -> str | None:
        """The body decoded by its charset, UTF-8 where none is set."""
        body = self._body
        if body is None:
            return None
        return body.decode(self.charset or "utf-8")

    @text.setter
    def text(self, text: str | None) -> None:
        assert text is None or isinstance(text, str), f"text argument must be str ({type(text)!r})"
        if self.content_type == "application/octet-stream":
            self.content_type = "text/plain"
        if self.charset is None:
            self.charset = "utf-8"
        self._body = None if text is None else text.encode(self.charset or "utf-8")
        self._compressed_body = None

    @property
    def content_length(self) -> int | None:
        """The length of the body in bytes; None where it shows only at the end.  It can not be set."""
        if self._chunked:
            return None
        if self._fields is not None and _CONTENT_LENGTH in self._fields:
            return int(self._fields[_CONTENT_LENGTH])
        if self._compressed_body is not None:
            return len(self._compressed_body)
        if isinstance(self._body, Payload):
            return None if self._coded else self._body.size
        return 0 if self._body is None else len(self._body)

    @content_length.setter
    def content_length(self, value: int | None) -> None:
        raise RuntimeError("Content length is set automatically")

    # ---- sending

    def render(self) -> bytes | None:
        """Return the whole message for a client that speaks HTTP/1.1 and keeps its connection; None if it is not plain.

        The response counts as sent then.  Raises ValueError for fields that must not be sent.
        """
        body = self._body
        if body and body.__class__ is bytes and self._fields is None and not self._special:
            prefix = _prefixes.get((self._status, self._reason, self._type))
            if prefix is not None:
                if (second := int(time())) != NOW.second:
                    NOW.refresh(second)
                data = b"%b%d%b%b" % (prefix, len(body), NOW.tail, body)
                self._eof_sent = True
                self._body_length = len(data)
                return data
        if self._special or not isinstance(body, (bytes, NoneType)):
            return None
        if (second := int(time())) != NOW.second:
            NOW.refresh(second)
        return self._render_fields(body or b"")

    def _render_fields(self, body: bytes) -> bytes | None:
        """Do the same where the beginning of the message is not known yet, or has fields of its own."""
        status, fields = self._status, self._fields
        if status in BODILESS or status < 200:
            return None
        pairs: list[tuple[str, str]] = []
        if fields is not None:
            for name in _FRAMING:
                if name in fields:
                    return None
            pairs.extend(fields.items())
            if _CONTENT_TYPE not in fields and body:
                return None  # the default type stands behind the length
        elif self._type is not None:
            pairs.append((_CONTENT_TYPE, self._type))
        head = serialise_head(f"HTTP/1.1 {status} {self._reason}", pairs)[:-2]
        if fields is None and self._type is not None and status in REASONS and len(_prefixes) < MAX_PREFIXES:
            _prefixes[status, self._reason, self._type] = head + b"Content-Length: "
        if fields is None and self._type is None and body:
            head = b"%bContent-Length: %d\r\nContent-Type: application/octet-stream" % (head, len(body))
        else:
            head = b"%bContent-Length: %d" % (head, len(body))
        data = head + NOW.tail + body
        self._eof_sent = True
        self._body_length = len(data)
        return data

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        if self._eof_sent and self._sent_to is not request and not isinstance(self._body, Payload):
            self._reopen()
        self._sent_to = request
        self._special = True
        return await super().prepare(request)

    def _reopen(self) -> None:
        """Get ready for another request: what the one before added to the fields is not true any more."""
        self._eof_sent = False
        self._keep_alive = None
        self._coded = False
        headers = self._headers
        headers.pop(hdrs.DATE, None)
        headers.pop(hdrs.CONNECTION, None)
        if self._measured:
            self._measured = False
            headers.pop(_CONTENT_LENGTH, None)
        if self._compressed_body is not None:
            # The next client may accept another coding, or none.
            self._compressed_body = None
            headers.pop(hdrs.CONTENT_ENCODING, None)
        if self._set_cookies is not None:
            headers.popall(hdrs.SET_COOKIE, None)

    def for_request(self, request: BaseRequest) -> Self:
        """Return the response itself, or a copy while it is being sent to another client or was cut off there.

        Raises RuntimeError where there can be no copy, for its body can be sent only once.
        """
        taken = self._req
        if taken is None or self._payload_writer is None or taken.protocol is request.protocol:
            return self
        if isinstance(self._body, Payload):
            raise RuntimeError(f"{self!r} is being sent to another client, and its body can be sent only once")
        twin = type(self).__new__(type(self))
        fresh = {"_fields": self._headers.copy(), "_payload_writer": None, "_req": None, "_sent_to": None}
        twin.__dict__.update(self.__dict__, **fresh)
        twin._reopen()
        return twin

    async def _start(self, request: BaseRequest) -> AbstractStreamWriter:
        headers = self._headers
        method = request.method
        if _CONTENT_LENGTH in headers:
            if forbids_length(method, self._status):
                del headers[_CONTENT_LENGTH]
        elif not self._chunked:
            if isinstance(self._body, Payload):
                size = self._body.size
                if size is not None:
                    headers[_CONTENT_LENGTH] = str(size)
                    self._measured = True
            elif not forbids_length(method, self._status) and (self._body or method != "HEAD"):
                # An empty body may stand for a length that a GET would show (RFC 9110 §9.3.2).
                headers[_CONTENT_LENGTH] = str(len(self._body or b""))
                self._measured = True
        return await super()._start(request)

    async def _do_start_compression(self, coding: ContentCoding) -> None:
        if self._chunked or isinstance(self._body, Payload):
            await super()._do_start_compression(coding)
            return
        if coding is ContentCoding.identity:
            return
        body = self._body
        if body is None:
            return
        if self._compressed_body is None:
            self._compressed_body = await self._compress(bytes(body), coding)
        self._headers[hdrs.CONTENT_ENCODING] = coding.value
        self._headers[_CONTENT_LENGTH] = str(len(self._compressed_body))

    async def _compress(self, body: bytes, coding: ContentCoding) -> bytes:
        encoder = encoder_for(coding.value, strategy=self._compression_strategy)  # type: ignore[arg-type]

        def encode() -> bytes:
            return encoder.encode(body) + encoder.flush()

        size = self._zlib_executor_size
        if size is not None and len(body) > size:
            import asyncio

            return await asyncio.get_running_loop().run_in_executor(self._zlib_executor, encode)
        if self._zlib_executor_size is None and len(body) > LARGE_BODY_SIZE:
            warnings.warn(
                "Synchronous compression of large response bodies "
                f"({len(body)} bytes) might block the async event loop. Consider providing a custom value to "
                "zlib_executor_size/zlib_executor response properties or disabling compression on it.",
                stacklevel=2,
            )
        return encode()

    async def write_eof(self, data: bytes = b"") -> None:
        if self._eof_sent:
            return
        body = self._body if self._compressed_body is None else self._compressed_body
        assert not data, f"data arg is not supported, got {data!r}"
        assert self._req is not None
        assert self._payload_writer is not None
        if body is None or self._must_be_empty_body:
            if isinstance(body, Payload):
                await body.close()
            await super().write_eof()
        elif isinstance(body, Payload):
            try:
                await body.write(self._payload_writer)
            finally:
                await body.close()
            await super().write_eof()
        else:
            await super().write_eof(bytes(body))


def json_response(
    data: Any = MISSING,
    *,
    text: str | None = None,
    body: bytes | None = None,
    status: int = 200,
    reason: str | None = None,
    headers: LooseHeaders | None = None,
    content_type: str = "application/json",
    dumps: Callable[[Any], str] = json.dumps,
) -> Response:
    """Make a response of a value that `dumps` turns into JSON text, or of text or bytes that are JSON already.

    Raises ValueError when more than one of them is given, and whatever `dumps` raises.
    """
    if data is not MISSING:
        if text or body:
            raise ValueError("only one of data, text, or body should be specified")
        text = json_text(data) if dumps is json.dumps else dumps(data)
        if headers is None and content_type == "application/json" and isinstance(text, str):
            response = Response(status=status, reason=reason)
            response._type = _JSON
            response._body = text.encode("utf-8")
            return response
    return Response(text=text, body=body, status=status, reason=reason, headers=headers, content_type=content_type)


def json_bytes_response(
    data: Any = MISSING,
    *,
    dumps: Callable[[Any], bytes],
    body: bytes | None = None,
    status: int = 200,
    reason: str | None = None,
    headers: LooseHeaders | None = None,
    content_type: str = "application/json",
) -> Response:
    """Make a response of a value that `dumps` turns into the bytes of JSON, or of such bytes.

    Raises ValueError when both are given, and whatever `dumps` raises.
    """
    if data is not MISSING:
        if body is not None:
            raise ValueError("only one of data or body should be specified")
        body = dumps(data)
    return Response(body=body, status=status, reason=reason, headers=headers, content_type=content_type)

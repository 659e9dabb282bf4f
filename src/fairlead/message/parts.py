"""Reading multipart bodies part by part.

In: the headers of a message and its content. Out: a `BodyPartReader` for each part, and a `MultipartReader` for a part
that is multipart itself. Parts come in order and share one stream: asking for the next one skips what was not read of
the last.

Limits: a part in memory (`read`, `text`, `json`, `form`) has at most ``client_max_size`` bytes, before and after
decoding; its header section at most ``max_headers`` lines of ``max_field_size`` bytes; `read_chunk` and the search for
delimiters hold `READ_SIZE` bytes and what the stream gives at once; `MAX_LINE`, `MAX_CHARSET_NAME`, `MAX_EPILOGUE`.
Skipping parts takes no recursion, however deep they are nested.

After an error in the structure of a body the reader gives that error again and nothing else: what follows would be
a guess, and whoever wrote the body may have made another one.

RFC 2045 §6 (transfer encodings), RFC 2046 §5.1 (multipart), RFC 7578 (form-data), RFC 9110 §8.4 (content codings).
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import cached_property
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import parse_qsl

from multidict import CIMultiDictProxy

from .. import hdrs
from ..codec.coding import CodingError, decoder_for
from ..codec.disposition import content_disposition_filename, parse_content_disposition
from ..codec.mime import parse_mimetype
from ..codec.multipart import (
    MAX_BOUNDARY,
    MAX_DELIMITER_LINE,
    MultipartError,
    PartBuffer,
    PartHead,
    aligned,
    decode_transfer,
    delimiter_kind,
    part_length,
)
from ..errors import BadHttpMessage, LineTooLong, quoted
from .body import PAYLOAD_REGISTRY, Order, Payload

if TYPE_CHECKING:
    from typing import Self

    from ..client.response import ClientResponse
    from ..wire.streams import StreamReader
    from ..wire.writer import AbstractStreamWriter

    Bytes = bytes | bytearray | memoryview

__all__ = (
    "BodyPartReader",
    "BodyPartReaderPayload",
    "MultipartReader",
    "MultipartResponseWrapper",
    "MultipartUsageError",
)

READ_SIZE: Final = 2**18
"""Bytes asked of the stream at once (256 KiB): all that it holds, as a rule."""

DECODED_PIECE: Final = 2**18
"""Default for the bytes that `BodyPartReader.decode_iter` gives at once (256 KiB)."""

MAX_LINE: Final = 2**17
"""Bytes that `BodyPartReader.readline` collects for one line (128 KiB)."""

MAX_CHARSET_NAME: Final = 31
"""Bytes of a ``_charset_`` field (RFC 7578 §4.6): the longest name in the WHATWG Encoding Standard has 19."""

MAX_EPILOGUE: Final = 2**16
"""Bytes after the last delimiter that are read and dropped, so that the connection can be used again (64 KiB)."""


class MultipartUsageError(AssertionError, ValueError):
    """A multipart class was used for what it is not made for.

    It is an AssertionError too, because programs that tell multipart responses from others catch that.
    """


class _Source:
    """The stream of one body with what was read of it and not used yet; nested readers share it."""

    __slots__ = ("buffer", "content")

    def __init__(self, content: StreamReader) -> None:
        self.content = content
        self.buffer = PartBuffer()

    async def fill(self) -> None:
        """Wait for more input, or for its end."""
        data = await self.content.read(READ_SIZE)
        if data:
            self.buffer.feed(data)
        else:
            self.buffer.feed_eof()

    async def line(self, limit: int) -> bytes:
        """Return the next line, b"" at the end."""
        while (line := self.buffer.line(limit)) is None:
            await self.fill()
        return line

    def give_back(self) -> None:
        """Return what was not used to the stream, for a reader that knows nothing of this source."""
        rest = self.buffer.take_rest()
        if rest:
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                self.content.unread_data(rest)


class MultipartResponseWrapper:
    """Parts of a response: when the last one was read, the response is released."""

    def __init__(self, resp: ClientResponse, stream: MultipartReader) -> None:
        self.resp = resp
        self.stream = stream

    def __aiter__(self) -> MultipartResponseWrapper:
        return self

    async def __anext__(self) -> MultipartReader | BodyPartReader:
        part = await self.next()
        if part is None:
            raise StopAsyncIteration
        return part

    def at_eof(self) -> bool:
        """Return True when all content of the response was read."""
        at_eof: bool = self.resp.content.at_eof()
        return at_eof

    async def next(self) -> MultipartReader | BodyPartReader | None:
        """Return the next part, None after the last one; see `MultipartReader.next`."""
        item = await self.stream.next()
        if self.stream.at_eof():
            await self.release()
        return item

    async def release(self) -> None:
        """Release the response: its connection is used again when everything was read, else closed."""
        released: Any = self.resp.release()
        if isawaitable(released):
            await released


class BodyPartReader:
    """One part: its ``headers``, and its body, whole or in pieces."""

    chunk_size = 8192

    def __init__(
        self,
        boundary: bytes,
        headers: CIMultiDictProxy[str],
        content: StreamReader,
        *,
        subtype: str = "mixed",
        default_charset: str | None = None,
        max_decompress_size: int = DECODED_PIECE,
        client_max_size: int = sys.maxsize,
        max_size_error_cls: type[Exception] = ValueError,
    ) -> None:
        """Read from where ``content`` stands, the first byte of the body; ``boundary`` begins with ``--``.

        Content-Length is believed, except in form-data, where it means nothing (RFC 7578 §4.8); raises ValueError when
        it is not a number.
        """
        self.headers = headers
        self._boundary = boundary
        self._delimiter = b"\r\n" + boundary
        self._content = content
        self._source = _Source(content)
        self._shared = False
        self._default_charset = default_charset
        self._at_eof = False
        self._is_form_data = subtype == "form-data"
        self._left = None if self._is_form_data else part_length(headers.get(hdrs.CONTENT_LENGTH))
        self._carry = b""
        self._max_decompress_size = max_decompress_size
        self._client_max_size = client_max_size
        self._max_size_error_cls = max_size_error_cls

    def share(self, source: _Source) -> None:
        """Read from the source of the multipart reader that this part belongs to."""
        self._source = source
        self._shared = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        part = await self.next()
        if part is None:
            raise StopAsyncIteration
        return part

    async def next(self) -> bytes | None:
        """Return what is left of the body, None when nothing is."""
        return await self.read() or None

    async def read(self, *, decode: bool = False) -> bytes:
        """Return what is left of the body, with ``decode`` without its transfer encoding and content coding.

        Raises ``max_size_error_cls`` above ``client_max_size`` bytes, the errors of `decode`, and ValueError when the
        body ends without a delimiter. Cancelled, it loses what it had read.
        """
        pieces = [self._carry]
        self._carry = b""
        size = len(pieces[0])
        while piece := await self._read_some(READ_SIZE):
            size += len(piece)
            if size > self._client_max_size:
                raise self._too_large()
            pieces.append(piece)
        data = b"".join(pieces)
        return b"".join([piece async for piece in self._decoded_pieces(data, whole=True)]) if decode else data

    async def read_chunk(self, size: int = chunk_size) -> bytes:
        """Return up to ``size`` bytes of the body as they come, b"" at its end.

        Pieces of a part in base64 or quoted-printable are cut so that each can be given to `decode`; they may have a
        few bytes more or less than ``size``. Raises ValueError when the body ends without a delimiter. Cancelled, it
        loses nothing.
        """
        if size < 1:
            raise MultipartUsageError(f"size must be at least 1, not {size!r}")
        encoding = self._transfer_encoding()
        if encoding not in ("base64", "quoted-printable"):
            return await self._read_some(size)
        while True:
            piece = await self._read_some(max(1, size - len(self._carry)))
            data = self._carry + piece
            if not piece:
                self._carry = b""
                return data
            data, self._carry = aligned(data, encoding)
            if data:
                return data

    async def readline(self) -> bytes:
        """Return the next line of the body with its LF, b"" at its end.

        Raises LineTooLong for more than `MAX_LINE` bytes. Cancelled in the middle of a line, it loses its beginning.
        """
        line, lf, rest = self._carry.partition(b"\n")
        pieces = [line + lf]
        self._carry = rest
        size = len(line)
        while not pieces[-1].endswith(b"\n"):
            piece = await self._read_some(MAX_LINE, to_line_end=True)
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
            if size > MAX_LINE + 2:
                raise LineTooLong(b"".join(pieces)[:100], MAX_LINE, size)
        return b"".join(pieces)

    async def release(self) -> None:
        """Skip what is left of the body."""
        self._carry = b""
        while await self._read_some(READ_SIZE):
            pass

    async def text(self, *, encoding: str | None = None) -> str:
        """Return the decoded body as text in ``encoding``, else in the part's charset, else in UTF-8.

        Raises UnicodeDecodeError, the builtin LookupError for an unknown charset, and what `read` raises.
        """
        data = await self.read(decode=True)
        return data.decode(encoding or self.get_charset(default="utf-8"))

    async def json(self, *, encoding: str | None = None) -> dict[str, Any] | None:
        """Return the decoded body as JSON, None when it is empty; raises ValueError, and what `text` raises."""
        data = await self.read(decode=True)
        if not data:
            return None
        value: dict[str, Any] | None = json.loads(data.decode(encoding or self.get_charset(default="utf-8")))
        return value

    async def form(self, *, encoding: str | None = None) -> list[tuple[str, str]]:
        """Return the pairs of a URL-encoded body; raises ValueError when it is not text, and what `read` raises."""
        data = await self.read(decode=True)
        if not data:
            return []
        charset = encoding or self.get_charset(default="utf-8")
        try:
            text = data.rstrip().decode(charset)
        except UnicodeDecodeError as exc:
            raise ValueError(f"data cannot be decoded with {charset} encoding") from exc
        return parse_qsl(text, keep_blank_values=True, encoding=charset)

    def at_eof(self) -> bool:
        """Return True when the whole body was read."""
        return self._at_eof and not self._carry

    def decode(self, data: bytes) -> bytes:
        """Return ``data`` without the part's transfer encoding and content coding, in one piece.

        Raises RuntimeError for an encoding that is not known, ValueError for broken data and ``max_size_error_cls``
        when the result has more than ``client_max_size`` bytes.
        """
        return b"".join(self._decoded(data))

    def decode_iter(self, data: bytes) -> AsyncIterator[bytes]:
        """Give what `decode` returns in pieces of at most ``max_decompress_size`` bytes; raises the same."""
        return self._decoded_pieces(data)

    def get_charset(self, default: str) -> str:
        """Return the charset of Content-Type, else that of the form's ``_charset_`` field, else the default."""
        mimetype = parse_mimetype(self.headers.get(hdrs.CONTENT_TYPE, ""))
        return mimetype.parameters.get("charset", self._default_charset or default)

    @cached_property
    def name(self) -> str | None:
        """The field name in Content-Disposition."""
        _, params = parse_content_disposition(self.headers.get(hdrs.CONTENT_DISPOSITION))
        return content_disposition_filename(params, "name")

    @cached_property
    def filename(self) -> str | None:
        """The file name in Content-Disposition, as the peer wrote it: not fit to be a path."""
        _, params = parse_content_disposition(self.headers.get(hdrs.CONTENT_DISPOSITION))
        return content_disposition_filename(params, "filename")

    async def _read_some(self, n: int, *, to_line_end: bool = False) -> bytes:
        """Return up to n bytes of the body, b"" at its end."""
        source = self._source
        buffer = source.buffer
        while not self._at_eof:
            if self._left is not None:
                piece = self._take_counted(n, to_line_end)
            else:
                piece = buffer.body(self._delimiter, n, to_line_end=to_line_end)
                if buffer.ended:
                    buffer.to_delimiter_line()
                    self._end()
            if piece or self._at_eof:
                return piece
            if buffer.eof:
                raise MultipartError(
                    "multipart.truncated",
                    f"the multipart body ended inside a part: the delimiter {self._boundary!r} was expected",
                )
            await source.fill()
        return b""

    def _take_counted(self, n: int, to_line_end: bool) -> bytes:
        """Return up to n bytes of a body with a length; the last ones only with the CRLF that must follow them."""
        buffer = self._source.buffer
        assert self._left is not None
        if n >= self._left:
            n = self._left
            if buffer.pending < n + 2 and not buffer.eof:
                n = max(0, min(n - 1, buffer.pending))
            elif buffer.pending < n:
                raise self._wrong_length()
        piece = buffer.exactly(n, to_line_end=to_line_end)
        self._left -= len(piece)
        if not self._left:
            broken = buffer.skip_break()
            if broken is False:
                raise self._wrong_length()
            if broken:
                self._end()
        return piece

    def _wrong_length(self) -> MultipartError:
        return MultipartError(
            "multipart.length",
            f"a body part is not as long as its Content-Length says ({quoted(self.headers[hdrs.CONTENT_LENGTH])})",
        )

    def _end(self) -> None:
        self._at_eof = True
        if not self._shared:
            self._source.give_back()

    def _transfer_encoding(self) -> str:
        return self.headers.get(hdrs.CONTENT_TRANSFER_ENCODING, "").lower()

    async def _decoded_pieces(self, data: bytes, *, whole: bool = False) -> AsyncIterator[bytes]:
        for piece in self._decoded(data, whole=whole):
            yield piece
            if len(piece) >= self._max_decompress_size:
                await asyncio.sleep(0)  # decompressing the next piece may take a millisecond

    def _decoded(self, data: bytes, *, whole: bool = False) -> Iterator[bytes]:
        """Give the decoded data; it must be complete when it is ``whole``."""
        raw = decode_transfer(data, self._transfer_encoding())
        coding = "" if self._is_form_data else self.headers.get(hdrs.CONTENT_ENCODING, "").lower()
        if coding in ("", "identity"):
            yield bytes(raw)
            return
        try:
            decoder = decoder_for(coding)
            if decoder is None:
                raise RuntimeError(f"unknown content encoding: {coding}")
            size = 0
            piece = decoder.decode(raw, self._max_decompress_size)
            while True:
                size += len(piece)
                if size > self._client_max_size:
                    raise self._too_large()
                yield piece
                if not decoder.pending:
                    break
                piece = decoder.decode(b"", self._max_decompress_size)
            if whole:
                decoder.finish()
        except CodingError as exc:
            raise MultipartError(
                "multipart.coding", f"a body part does not follow its Content-Encoding ({quoted(coding)})"
            ) from exc

    def _too_large(self) -> Exception:
        limit = self._client_max_size
        if self._max_size_error_cls is ValueError:
            return ValueError(f"a body part has more than {limit} bytes; client_max_size changes the limit")
        # An error class of the caller's choice gets the number, as HTTPRequestEntityTooLarge wants it.
        return self._max_size_error_cls(limit)


class BodyPartReaderPayload(Payload):
    """A part that was received goes out again, decoded; it can be sent once."""

    _value: BodyPartReader

    def __init__(self, value: BodyPartReader, *args: Any, **kwargs: Any) -> None:
        super().__init__(value, *args, **kwargs)
        params = {}
        if value.name is not None:
            params["name"] = value.name
        if value.filename is not None:
            params["filename"] = value.filename
        if params:
            self.set_content_disposition("attachment", True, **params)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Raise TypeError: the part is read while it is sent."""
        raise TypeError("Unable to decode.")

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Raise TypeError: the part is read while it is sent."""
        raise TypeError("Unable to read body part as bytes. Use write() to consume.")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Read the part piece by piece and send it; a part with a content coding is read whole first."""
        self._consumed = True
        field = self._value
        if field.headers.get(hdrs.CONTENT_ENCODING):
            async for piece in field.decode_iter(await field.read()):
                await writer.write(piece)
            return
        while chunk := await field.read_chunk(READ_SIZE):
            await writer.write(field.decode(chunk))


class MultipartReader:
    """The parts of a body, in order."""

    #: What `from_response` returns.
    response_wrapper_cls = MultipartResponseWrapper
    #: What reads a part that is multipart itself; None is the class of this reader.
    multipart_reader_cls: type[MultipartReader] | None = None
    #: What reads any other part.
    part_reader_cls = BodyPartReader

    def __init__(
        self,
        headers: Mapping[str, str],
        content: StreamReader,
        *,
        client_max_size: int = sys.maxsize,
        max_field_size: int = 8190,
        max_headers: int = 128,
        max_size_error_cls: type[Exception] = ValueError,
    ) -> None:
        """Read a body whose ``headers`` have Content-Type; KeyError when they have not.

        Raises MultipartUsageError when it is not multipart, ValueError when its boundary is missing or too long.
        """
        self._mimetype = parse_mimetype(headers[hdrs.CONTENT_TYPE])
        if self._mimetype.type != "multipart":
            raise MultipartUsageError(
                f"multipart/* content type expected, got {quoted(headers[hdrs.CONTENT_TYPE])}; check the content type "
                "before reading a body as multipart"
            )
        self.headers = headers
        self._boundary = b"--" + self._get_boundary().encode()
        self._content = content
        self._source = _Source(content)
        self._nested = False
        self._client_max_size = client_max_size
        self._max_field_size = max_field_size
        self._max_headers = max_headers
        self._max_size_error_cls = max_size_error_cls
        self._default_charset: str | None = None
        self._last_part: Any = None
        self._at_bof = True
        self._at_eof = False
        self._failure: Exception | None = None

    def share(self, source: _Source) -> None:
        """Read from the source of the multipart reader that this one is a part of."""
        self._source = source
        self._nested = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> MultipartReader | BodyPartReader | None:
        part = await self.next()
        if part is None:
            raise StopAsyncIteration
        return part

    @classmethod
    def from_response(cls, response: ClientResponse) -> MultipartResponseWrapper:
        """Return the parts of a response; raises what the constructor raises."""
        return cls.response_wrapper_cls(response, cls(response.headers, response.content))

    def at_eof(self) -> bool:
        """Return True when the final delimiter was read."""
        return self._at_eof

    async def next(self) -> MultipartReader | BodyPartReader | None:
        """Skip what is left of the last part and return the next one, None after the final delimiter.

        Raises ValueError for a body that is not multipart or ends early, BadHttpMessage for broken header sections,
        RuntimeError for a ``_charset_`` field that is too long. Once it raised, it raises the same again. Cancelled, it
        can be called again, unless it was reading the header section of a part.
        """
        if self._failure is not None:
            raise self._failure
        if self._at_eof:
            return None
        try:
            return await self._next()
        except (ValueError, BadHttpMessage, RuntimeError) as exc:
            self._failure = exc
            raise

    async def release(self) -> None:
        """Skip all parts that are left; raises what `next` raises."""
        while await self.next() is not None:
            pass

    async def fetch_next_part(self) -> MultipartReader | BodyPartReader:
        """Read a header section and return the reader for what follows it; `next` calls it."""
        head = PartHead(self._max_headers)
        while True:
            line = await self._source.line(self._max_field_size)
            if not line.endswith(b"\n"):
                raise MultipartError(
                    "multipart.truncated", "the multipart body ended inside the header section of a part"
                )
            if head.add(line):
                return self._part_reader(CIMultiDictProxy(head.fields))

    def _part_reader(self, headers: CIMultiDictProxy[str]) -> MultipartReader | BodyPartReader:
        part: Any  # the classes may be replaced by any others
        if parse_mimetype(headers.get(hdrs.CONTENT_TYPE, "")).type == "multipart":
            part = (self.multipart_reader_cls or type(self))(
                headers,
                self._content,
                client_max_size=self._client_max_size,
                max_field_size=self._max_field_size,
                max_headers=self._max_headers,
                max_size_error_cls=self._max_size_error_cls,
            )
        else:
            part = self.part_reader_cls(
                self._boundary,
                headers,
                self._content,
                subtype=self._mimetype.subtype,
                default_charset=self._default_charset,
                client_max_size=self._client_max_size,
                max_size_error_cls=self._max_size_error_cls,
            )
        if isinstance(part, (BodyPartReader, MultipartReader)):
            part.share(self._source)
        else:
            self._source.give_back()
        reader: MultipartReader | BodyPartReader = part
        return reader

    def _get_boundary(self) -> str:
        boundary = self._mimetype.parameters.get("boundary")
        if not boundary:
            raise MultipartError(
                "multipart.boundary", f"boundary missed for Content-Type: {self.headers[hdrs.CONTENT_TYPE]}"
            )
        if len(boundary) > MAX_BOUNDARY:
            raise MultipartError(
                "multipart.boundary", f"boundary {quoted(boundary)} is too long ({MAX_BOUNDARY} chars max)"
            )
        return boundary.rstrip()

    async def _next(self) -> MultipartReader | BodyPartReader | None:
        if await self._to_next_part() == "end":
            return None
        first = self._at_bof
        self._at_bof = False
        part = await self.fetch_next_part()
        in_form = first and self._mimetype.subtype == "form-data"
        if in_form and isinstance(part, BodyPartReader) and part.name == "_charset_":
            await self._read_default_charset(part)
            self._last_part = part
            if await self._to_next_part() == "end":
                return None
            part = await self.fetch_next_part()
        self._last_part = part
        return part

    async def _read_default_charset(self, part: BodyPartReader) -> None:
        """RFC 7578 §4.6: the first field of a form may name the charset of the others."""
        name = b""
        while len(name) <= MAX_CHARSET_NAME and (piece := await part.read_chunk(MAX_CHARSET_NAME + 1)):
            name += piece
        if len(name) > MAX_CHARSET_NAME:
            raise RuntimeError(f"Invalid default charset: a _charset_ field of more than {MAX_CHARSET_NAME} bytes")
        self._default_charset = name.strip().decode("ascii", "replace") or None

    async def _to_next_part(self) -> Literal["part", "end"]:
        """Go to the line behind the next delimiter; at the final one, past the epilogue."""
        last = self._last_part
        if self._at_bof:
            # Text before the first delimiter may have any line ends.
            kind = await self._skip_to_delimiter(b"\n" + self._boundary, "the starting boundary")
        elif isinstance(last, MultipartReader) or last is None:
            kind = await self._skip_to_delimiter(b"\r\n" + self._boundary, "the delimiter")
        else:
            if not last.at_eof():
                await last.release()
            line = await self._source.line(MAX_DELIMITER_LINE)
            if not line:
                raise self._missing("the delimiter")
            found = delimiter_kind(line, self._boundary)
            if found is None:
                raise MultipartError(
                    "multipart.delimiter", f"Invalid boundary {quoted(line.strip())}, expected {self._boundary!r}"
                )
            kind = found
        self._last_part = None
        if kind == "end":
            self._at_eof = True
            self._at_bof = False
            if not self._nested:
                await self._drop_epilogue()
        return kind

    async def _skip_to_delimiter(self, delimiter: bytes, what: str) -> Literal["part", "end"]:
        """Skip everything in front of the next delimiter, lines that only begin like one included."""
        source = self._source
        buffer = source.buffer
        while True:
            while buffer.body(delimiter, READ_SIZE):
                pass
            if buffer.ended:
                buffer.to_delimiter_line()
                try:
                    kind = delimiter_kind(await source.line(MAX_DELIMITER_LINE), self._boundary)
                except LineTooLong:
                    buffer.exactly(len(self._boundary))
                    kind = None
                if kind is not None:
                    return kind
            elif buffer.eof:
                raise self._missing(what)
            else:
                await source.fill()

    async def _drop_epilogue(self) -> None:
        """Read to the end of the content, so that the connection is free again, unless much more is said."""
        source = self._source
        dropped = len(source.buffer.take_rest())
        while not source.buffer.eof and dropped <= MAX_EPILOGUE:
            await source.fill()
            dropped += len(source.buffer.take_rest())

    def _missing(self, what: str) -> MultipartError:
        return MultipartError(
            "multipart.truncated", f"Could not find {what} {self._boundary!r} before the multipart body ended"
        )


PAYLOAD_REGISTRY.register(BodyPartReaderPayload, BodyPartReader, order=Order.try_first)

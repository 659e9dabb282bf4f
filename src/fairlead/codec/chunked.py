"""The chunked transfer coding: decoder and encoder (RFC 9112 §7.1).

In: the bytes of a chunked body, cut anywhere.  Out: `bytes`, CHUNK_END, `Trailers`, END events.

Limits: a chunk-size line of at most MAX_CHUNK_LINE bytes with its extension (extensions are ignored, as §7.1.1 asks),
MAX_EXTENSIONS bytes of extensions in the whole body, and the limits of a header section for the trailers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from multidict import CIMultiDict

from ..errors import ProtocolError
from .events import CHUNK_END, END, Trailers
from .fields import MAX_FIELD_SIZE, MAX_HEADERS, parse_fields, parse_fields_leniently, shown, too_many
from .grammar import CHUNK_LINE, CHUNK_LINE_PREFIX

if TYPE_CHECKING:
    from .events import Event

MAX_CHUNK_LINE: Final = 8190
"""Bytes of a chunk-size line with its extensions, CRLF excluded."""

MAX_EXTENSIONS: Final = 65536
"""Bytes of chunk extensions in one body: without it a sender could spend our time on bytes that carry no data."""

MAX_TRAILER_SECTION: Final = 65536
"""Bytes of a trailer section: trailers carry a checksum or two, and the section is kept until it is complete."""

LAST_CHUNK: Final = b"0\r\n\r\n"
"""The last chunk and an empty trailer section."""

_match_line = CHUNK_LINE.match

_SIZE, _DATA, _DATA_END, _TRAILERS, _DONE = range(5)


def encode_chunk(data: bytes | bytearray | memoryview) -> bytes:
    """Frame a piece of body as one chunk; the piece must not be empty, for an empty chunk ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)  # type: ignore[str-format]


def chunk_error(slug: str, message: str) -> ProtocolError:
    """The error for a malformed chunk."""
    return ProtocolError(f"h1.chunk.{slug}", message, fault="peer", status=400)


class ChunkedDecoder:
    """Decode one chunked body.

    A lenient decoder accepts LF alone after chunk data and in the trailers, as clients must from sloppy servers.
    """

    __slots__ = ("_extensions", "_lenient", "_max_field_size", "_max_headers", "_missing", "_state", "_tail")

    def __init__(
        self, *, max_field_size: int = MAX_FIELD_SIZE, max_headers: int = MAX_HEADERS, lenient: bool = False
    ) -> None:
        self._max_field_size = max_field_size
        self._max_headers = max_headers
        self._lenient = lenient
        self._state = _SIZE
        self._missing = 0  # bytes of the current chunk still to come
        self._extensions = 0
        self._tail = b""  # an incomplete line

    @property
    def done(self) -> bool:
        """Whether the end of the body was decoded."""
        return self._state == _DONE

    def feed(self, data: bytes, pos: int, events: list[Event]) -> int:
        """Decode from `pos` on, appending events; return where the body ended, or `len(data)`.

        Raises ProtocolError after the events before it were appended.
        """
        tail = self._tail
        if tail:
            data = tail + data[pos:]
            self._tail = b""
            end = self._advance(data, 0, events)
            return pos + end - len(tail)
        return self._advance(data, pos, events)

    def _advance(self, data: bytes, pos: int, events: list[Event]) -> int:
        size = len(data)
        state = self._state
        while pos < size:
            if state == _SIZE:
                match = _match_line(data, pos)
                if match is None:
                    self._check_incomplete_size(data, pos)
                    return self._keep(data, pos)
                start = match.end()
                if start - pos > 20:
                    self._count_extension(start - pos, data, pos)
                length = int(match[1], 16)
                if not length:
                    pos = start
                    state = self._state = _TRAILERS
                    if data.startswith(b"\r\n", pos):  # by far the most common: no trailers
                        self._state = _DONE
                        events.append(END)
                        return pos + 2
                    continue
                end = start + length
                if data.startswith(b"\r\n", end):  # the whole chunk is here
                    events.append(data[start:end])
                    events.append(CHUNK_END)
                    pos = end + 2
                    continue
                self._missing = length
                pos = start
                state = self._state = _DATA
            elif state == _DATA:
                piece = data[pos : pos + self._missing] if pos or size > self._missing else data
                events.append(piece)
                pos += len(piece)
                self._missing -= len(piece)
                if self._missing:
                    return pos
                state = self._state = _DATA_END
            elif state == _DATA_END:
                if data.startswith(b"\r\n", pos):
                    pos += 2
                elif self._lenient and data.startswith(b"\n", pos):
                    pos += 1
                elif data[pos:] == b"\r":
                    return self._keep(data, pos)
                else:
                    raise chunk_error("data-end", f"Expected CRLF after chunk data, got {shown(data[pos : pos + 20])}")
                events.append(CHUNK_END)
                state = self._state = _SIZE
            else:
                return self._trailers(data, pos, events)
        return pos

    def _keep(self, data: bytes, pos: int) -> int:
        self._tail = data[pos:]
        return len(data)

    def _check_incomplete_size(self, data: bytes, pos: int) -> None:
        """Raise when the line at `pos` can not become a chunk-size line."""
        end = data.find(b"\n", pos, pos + MAX_CHUNK_LINE + 2)
        line = data[pos:] if end < 0 else data[pos : end + 1]
        if end < 0 and len(line) > MAX_CHUNK_LINE:
            raise chunk_error("line-length", f"Got more than {MAX_CHUNK_LINE} bytes when reading a chunk-size line")
        if end >= 0 or CHUNK_LINE_PREFIX.fullmatch(line) is None:
            self._explain_size(line)

    def _explain_size(self, line: bytes) -> None:
        text = line.rstrip(b"\r\n")
        digits = text.split(b";", 1)[0].rstrip(b" \t")
        if len(digits) > 16 and not digits.strip(b"0123456789abcdefABCDEF"):
            raise chunk_error("overflow", f"Chunk size overflow: {shown(text)}")
        if not line.endswith(b"\r\n") and line.endswith(b"\n") and _match_line(text + b"\r\n"):
            raise chunk_error("line-end", f"Expected CRLF after the chunk size, got LF: {shown(line)}")
        raise chunk_error("size", f"Invalid character in chunk size: {shown(text)}")

    def _count_extension(self, length: int, data: bytes, pos: int) -> None:
        if length - 2 > MAX_CHUNK_LINE:
            raise chunk_error("line-length", f"Got more than {MAX_CHUNK_LINE} bytes when reading a chunk-size line")
        self._extensions += length
        if self._extensions > MAX_EXTENSIONS:
            raise chunk_error(
                "extensions", f"Got more than {MAX_EXTENSIONS} bytes of chunk extensions: {shown(data[pos : pos + 40])}"
            )

    def _trailers(self, data: bytes, pos: int, events: list[Event]) -> int:
        """Read the trailer section: lines up to an empty one."""
        start = pos
        count = 0
        while True:
            end = data.find(b"\n", pos)
            if end < 0 or end - start > MAX_TRAILER_SECTION:
                if len(data) - start > MAX_TRAILER_SECTION:
                    raise chunk_error("trailers", f"Got more than {MAX_TRAILER_SECTION} bytes of trailers")
                return self._keep(data, start)
            line = data[pos : end + 1]
            if line == b"\r\n" or (self._lenient and line == b"\n"):
                break
            count += 1
            if count > self._max_headers:
                raise too_many(self._max_headers)
            pos = end + 1
        block = data[start:pos].decode("utf-8", "surrogateescape")
        if block:
            parse = parse_fields_leniently if self._lenient else parse_fields
            events.append(Trailers(CIMultiDict(parse(block, self._max_field_size, self._max_headers))))
        self._state = _DONE
        events.append(END)
        return end + 1

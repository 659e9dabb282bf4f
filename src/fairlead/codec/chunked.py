"""The chunked transfer coding: decoder and encoder (RFC 9112 §7.1).

In: the bytes of a chunked body, cut anywhere.  Out: `bytes`, CHUNK_END, `Trailers`, END events.

Limits: a chunk-size line of at most MAX_CHUNK_LINE bytes with its extension (extensions are ignored, as §7.1.1 asks),
MAX_EXTENSIONS bytes of extensions in the whole body, and for the trailers MAX_TRAILER_SECTION bytes and the limits of a
header section.

A line that arrives in pieces is collected apart and looked at when it is complete, so that the cost stays linear in the
bytes, whatever the pieces are.
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

MAX_SHORT_LINE: Final = 20
"""Bytes of a chunk-size line that are not counted as extensions: sixteen digits, CRLF, a little white space."""

MAX_TRAILER_SECTION: Final = 65536
"""Bytes of a trailer section: trailers carry a checksum or two, and the section is kept until it is complete."""

LAST_CHUNK: Final = b"0\r\n\r\n"
"""The last chunk and an empty trailer section."""

CHECKED: Final = 32
"""Bytes of an incomplete chunk-size line that are checked before it is complete: enough for digits and white space."""

MAX_DIGITS: Final = 16
"""Digits of a chunk size, as CHUNK_LINE has them."""

HEXDIGITS: Final = b"0123456789abcdefABCDEF"

_match_line = CHUNK_LINE.match

_SIZE, _DATA, _DATA_END, _TRAILERS, _DONE = range(5)


def encode_chunk(data: bytes | bytearray | memoryview) -> bytes:
    """Frame a piece of body as one chunk; the piece must not be empty, for an empty chunk ends the body."""
    size = data.nbytes if type(data) is memoryview else len(data)
    return b"%x\r\n%b\r\n" % (size, data)  # type: ignore[str-format]


def chunk_error(slug: str, message: str) -> ProtocolError:
    """The error for a malformed chunk."""
    return ProtocolError(f"h1.chunk.{slug}", message, fault="peer", status=400)


class ChunkedDecoder:
    """Decode one chunked body.

    A lenient decoder accepts LF alone after chunk data and in the trailers, as clients must from sloppy servers.
    """

    __slots__ = (
        "_extensions",
        "_lenient",
        "_max_field_size",
        "_max_headers",
        "_missing",
        "_section",
        "_state",
        "_tail",
        "_trailers",
    )

    def __init__(
        self, *, max_field_size: int = MAX_FIELD_SIZE, max_headers: int = MAX_HEADERS, lenient: bool = False
    ) -> None:
        self._max_field_size = max_field_size
        self._max_headers = max_headers
        self._lenient = lenient
        self._state = _SIZE
        self._missing = 0  # bytes of the current chunk still to come
        self._extensions = 0
        self._tail = bytearray()  # an incomplete line
        self._section = b""  # the trailer lines so far, and how many they are
        self._trailers = 0

    @property
    def done(self) -> bool:
        """Whether the end of the body was decoded."""
        return self._state == _DONE

    def feed(self, data: bytes, pos: int, events: list[Event]) -> int:
        """Decode from `pos` on, appending events; return where the body ended, or `len(data)`.

        Raises ProtocolError after the events before it were appended; the decoder must not be fed after that.
        """
        if not self._tail:
            return self._advance(data, pos, events)
        # Complete the line that was kept, and only that, so that what follows is not copied.
        end = pos + 1 if self._state == _DATA_END else data.find(b"\n", pos) + 1
        if not end:
            return self._keep(data, pos)
        line = bytes(self._tail) + data[pos:end]
        self._tail.clear()
        self._advance(line, 0, events)
        return end if self._state == _DONE else self._advance(data, end, events)

    def _advance(self, data: bytes, pos: int, events: list[Event]) -> int:
        size = len(data)
        state = self._state
        while pos < size:
            if state == _SIZE:
                match = _match_line(data, pos)
                if match is None:
                    if data.find(b"\n", pos) >= 0:
                        raise size_fault(data[pos : pos + MAX_CHUNK_LINE + 2])
                    return self._keep(data, pos)
                start = match.end()
                if start - pos > MAX_SHORT_LINE:
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
                end = data.find(b"\n", pos) + 1
                if not end:
                    return self._keep(data, pos)
                self._take_trailer(data[pos:end], events)
                pos = end
                if self._state == _DONE:
                    return pos
        return pos

    def _keep(self, data: bytes, pos: int) -> int:
        """Keep the beginning of a line whose LF has not come, unless it is already too long or wrong."""
        tail = self._tail
        tail += data[pos:]
        if self._state == _SIZE:
            # The CR of the line end may be the last byte.
            if len(tail) > MAX_CHUNK_LINE + 1 or CHUNK_LINE_PREFIX.fullmatch(bytes(tail[:CHECKED])) is None:
                raise size_fault(bytes(tail))
        elif len(self._section) + len(tail) > MAX_TRAILER_SECTION and tail != b"\r":
            raise trailers_too_long()
        return len(data)

    def _count_extension(self, length: int, data: bytes, pos: int) -> None:
        if length - 2 > MAX_CHUNK_LINE:
            raise size_fault(data[pos : pos + MAX_CHUNK_LINE + 2])
        self._extensions += length
        if self._extensions > MAX_EXTENSIONS:
            raise chunk_error(
                "extensions", f"Got more than {MAX_EXTENSIONS} bytes of chunk extensions: {shown(data[pos : pos + 40])}"
            )

    def _take_trailer(self, line: bytes, events: list[Event]) -> None:
        """Take one line of the trailer section; the empty one ends the body."""
        if line == b"\r\n" or (self._lenient and line == b"\n"):
            if self._section:
                block = self._section.decode("utf-8", "surrogateescape")
                parse = parse_fields_leniently if self._lenient else parse_fields
                events.append(Trailers(CIMultiDict(parse(block, self._max_field_size, self._max_headers))))
            self._state = _DONE
            events.append(END)
            return
        if len(self._section) + len(line) > MAX_TRAILER_SECTION:
            raise trailers_too_long()
        if not self._lenient and not line.endswith(b"\r\n"):
            raise chunk_error("trailer-line-end", f"Expected CRLF at the end of a trailer, got LF: {shown(line)}")
        self._section += line
        self._trailers += 1
        if self._trailers > self._max_headers:
            raise too_many(self._max_headers)


def size_fault(line: bytes) -> ProtocolError:
    """The error that says what is wrong with a chunk-size line, complete or not.

    Where it goes wrong in its first CHECKED bytes is told before anything else: that is known however the line arrives.
    """
    prefix = CHUNK_LINE_PREFIX.match(line)
    end = 0 if prefix is None else prefix.end()
    if end >= CHECKED and b"\n" not in line[: MAX_CHUNK_LINE + 2]:
        return chunk_error("line-length", f"Got more than {MAX_CHUNK_LINE} bytes when reading a chunk-size line")
    fault = line[end : end + 1]
    if end == MAX_DIGITS and fault in HEXDIGITS and line[end - 1 : end] in HEXDIGITS:
        return chunk_error("overflow", f"Chunk size overflow: {shown(line)}")
    if end and fault == b"\n":
        return chunk_error("line-end", f"Expected CRLF after the chunk size, got LF: {shown(line)}")
    return chunk_error("size", f"Invalid character in chunk size: {shown(line)}")


def trailers_too_long() -> ProtocolError:
    """The error for a trailer section over its limit."""
    return chunk_error("trailers", f"Got more than {MAX_TRAILER_SECTION} bytes of trailers")

"""HTTP/1.1 messages: decoders for both roles, encoders for both heads (RFC 9112).

A decoder takes the bytes of a connection, cut anywhere, and returns events (see `events`).  `feed(data)` never raises
for what the peer sent: a `ProtocolError` is the last event of the list, after everything that was good, and from then
on the decoder is closed.  `feed_eof()` says that no more bytes will come.

A `ResponseDecoder` must know which request each response belongs to: call `expect(method)` once for each.  Bytes that
belong to no request are an error.  A `RequestDecoder` goes on to the next request by itself.

The fast path is a head that arrives whole, with CRLF line ends: one `find`, one decode, one `findall`.  Everything else
(heads in pieces, sloppy line ends, errors) takes the slow path, which costs time only linear in what came.

Limits: `max_line_size` for the start line, `max_field_size` for a field name and a field value, `max_headers` field
lines, MAX_INTERIM interim responses, MAX_EMPTY_LINES before a start line.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from multidict import CIMultiDict

from ..errors import ProtocolError
from .chunked import ChunkedDecoder
from .events import END, HttpVersion, HttpVersion10, HttpVersion11, RequestHead, ResponseHead
from .fields import (
    MAX_FIELD_SIZE,
    MAX_HEADERS,
    MAX_LINE_SIZE,
    parse_fields,
    parse_fields_leniently,
    serialise_head,
    shown,
    too_long,
    too_many,
)
from .framing import CHUNKED, UNTIL_CLOSE, keeps_alive, request_length, response_length
from .grammar import HEAD_END_LENIENT, REQUEST_LINE, STATUS_LINE

if TYPE_CHECKING:
    from .events import Event

MAX_INTERIM: Final = 1000
"""Interim (1xx) responses in front of a final one."""

MAX_EMPTY_LINES: Final = 8
"""Empty lines in front of a start line, which RFC 9112 §2.2 asks recipients to skip."""

_KNOWN_VERSIONS: Final = {
    ("1", "1"): HttpVersion11,
    ("1", "0"): HttpVersion10,
    ("0", "9"): HttpVersion(0, 9),
    ("2", "0"): HttpVersion(2, 0),
}

_IDLE, _HEAD, _LENGTH, _CHUNKED, _UNTIL_CLOSE, _TUNNEL, _CLOSED = range(7)


def line_error(slug: str, message: str, status: int = 400) -> ProtocolError:
    """The error for a malformed start line."""
    return ProtocolError(f"h1.line.{slug}", message, fault="peer", status=status)


# Servers send the same few lines over and over.
@lru_cache(maxsize=256)
def parse_status_line(line: str) -> tuple[HttpVersion, int, str]:
    """Split a status line into version, status code and reason phrase (RFC 9112 §4)."""
    match = STATUS_LINE.fullmatch(line)
    if match is None:
        raise line_error("status", f"Bad status line: expected 'HTTP/1.1 <status> <reason>', got {shown(line)}")
    version = _KNOWN_VERSIONS.get((match[1], match[2]))
    if version is None:
        raise line_error("version", f"Bad status line: unknown HTTP version in {shown(line)}")
    return version, int(match[3]), match[4] or ""


def parse_request_line(line: str) -> tuple[str, str, HttpVersion]:
    """Split a request line into method, target and version (RFC 9112 §3)."""
    match = REQUEST_LINE.fullmatch(line)
    if match is None:
        raise line_error("request", f"Bad request line: expected 'METHOD target HTTP/1.1', got {shown(line)}")
    version = _KNOWN_VERSIONS.get((match[3], match[4]))
    if version is None or version.major != 1:
        raise line_error("version", f"Unsupported HTTP version in {shown(line)}", 505)
    return match[1], match[2], version


class Decoder:
    """What the decoders of both roles share: finding heads, and bodies."""

    __slots__ = (
        "_body",
        "_empty_lines",
        "_lenient",
        "_max_field_size",
        "_max_headers",
        "_max_line_size",
        "_missing",
        "_scanned",
        "_state",
        "_tail",
        "error",
    )

    def __init__(
        self,
        *,
        max_line_size: int = MAX_LINE_SIZE,
        max_field_size: int = MAX_FIELD_SIZE,
        max_headers: int = MAX_HEADERS,
        lenient: bool = False,
    ) -> None:
        self._max_line_size = max_line_size
        self._max_field_size = max_field_size
        self._max_headers = max_headers
        self._lenient = lenient
        self._state = _HEAD
        self._missing = 0  # bytes of a body with a length still to come
        self._body: ChunkedDecoder | None = None
        self._tail = bytearray()  # an incomplete head
        self._scanned = (0, 0)  # of the tail: where the current line starts, how many lines came before it
        self._empty_lines = 0
        self.error: ProtocolError | None = None

    def set_limits(self, max_line_size: int, max_field_size: int, max_headers: int) -> None:
        """Change the limits for the heads to come."""
        self._max_line_size = max_line_size
        self._max_field_size = max_field_size
        self._max_headers = max_headers

    @property
    def closed(self) -> bool:
        """Whether nothing more can be decoded: an error came or the connection ended."""
        return self._state == _CLOSED

    @property
    def in_head(self) -> bool:
        """Whether a part of a head has been received."""
        return bool(self._tail)

    @property
    def missing(self) -> int | None:
        """Bytes still to come of a body with a length; None for any other state."""
        return self._missing if self._state == _LENGTH else None

    def feed(self, data: bytes) -> list[Event]:
        """Decode more bytes; return what they held."""
        state = self._state
        if state == _LENGTH and len(data) < self._missing:
            self._missing -= len(data)
            return [data]
        if state in (_UNTIL_CLOSE, _TUNNEL):
            return [data]
        events: list[Event] = []
        if state == _CLOSED:
            return events
        try:
            self._advance(data, events)
        except ProtocolError as exc:
            self.error = exc
            self._state = _CLOSED
            self._tail.clear()
            events.append(exc)
        return events

    def feed_eof(self) -> list[Event]:
        """Take the end of the connection: it ends a body without length, and is an error inside a message.

        The error's slug says where: `h1.eof.head`, `h1.eof.length` or `h1.eof.chunked`.
        """
        state, self._state = self._state, _CLOSED
        if state in (_UNTIL_CLOSE, _TUNNEL):
            return [END]
        if state == _LENGTH:
            error = ProtocolError(
                "h1.eof.length",
                f"Not enough data to satisfy content length header ({self._missing} bytes are missing).",
            )
        elif state == _CHUNKED:
            error = ProtocolError("h1.eof.chunked", "Not enough data to satisfy transfer length header.")
        elif self._tail:
            error = ProtocolError("h1.eof.head", f"The connection ended inside a head: {shown(bytes(self._tail))}")
        else:
            return []
        self.error = error
        return [error]

    def _advance(self, data: bytes, events: list[Event]) -> None:
        pos = 0
        size = len(data)
        while pos < size:
            state = self._state
            if state == _HEAD:
                if self._tail:
                    data = self._join_tail(data)
                    if not data:
                        return
                    pos, size = 0, len(data)
                if data[pos] in b"\r\n":
                    pos = self._skip_empty_lines(data, pos)
                    continue
                end = data.find(b"\r\n\r\n", pos)
                if end >= 0 and self._parse_fast(data[pos : end + 2], events):
                    pos = end + 4
                    continue
                head_end = self._slow_head_end(data, pos)
                if head_end < 0:
                    self._start_tail(data[pos:])
                    return
                self._parse_slow(data[pos:head_end], events)
                pos = head_end
            elif state == _LENGTH:
                end = pos + self._missing
                if end > size:
                    events.append(data[pos:])
                    self._missing -= size - pos
                    return
                events.append(data[pos:end] if pos or end < size else data)
                self._missing = 0
                pos = end
                self._finish(events)
            elif state == _CHUNKED:
                body = self._body
                assert body is not None
                pos = body.feed(data, pos, events)
                if body.done:
                    self._body = None
                    events.pop()  # its END; ours follows
                    self._finish(events)
            elif state == _IDLE:
                self._unexpected(data[pos:])
            else:
                events.append(data[pos:])
                return

    # ---- heads

    def _parse_fast(self, head: bytes, events: list[Event]) -> bool:
        """Parse a head that arrived whole; return False when only a lenient look can tell what is in it."""
        text = head.decode("utf-8", "surrogateescape")
        line, _, block = text.partition("\r\n")
        if len(line) > self._max_line_size:
            raise too_long("start line", line, self._max_line_size, "max_line_size")
        try:
            pairs = parse_fields(block, self._max_field_size, self._max_headers)
            self._begin(line, pairs, events)
        except ProtocolError:
            if self._lenient and ("\n" in line or _is_sloppy(block)):
                return False
            raise
        return True

    def _parse_slow(self, head: bytes, events: list[Event]) -> None:
        """Parse a head with unusual line ends."""
        text = head.decode("utf-8", "surrogateescape")
        line, _, block = text.partition("\n")
        line = line.removesuffix("\r")
        block = block.removesuffix("\n").removesuffix("\r")
        if len(line) > self._max_line_size:
            raise too_long("start line", line, self._max_line_size, "max_line_size")
        if not self._lenient:
            where = next(item for item in text.split("\n")[:-1] if not item.endswith("\r"))
            raise line_error("line-end", f"Expected CRLF at the end of a line, got a bare LF: {shown(where)}")
        self._begin(line, parse_fields_leniently(block, self._max_field_size, self._max_headers), events)

    def _slow_head_end(self, data: bytes, pos: int) -> int:
        match = HEAD_END_LENIENT.search(data, pos)
        return -1 if match is None else match.end()

    def _skip_empty_lines(self, data: bytes, pos: int) -> int:
        if data.startswith(b"\r\n", pos):
            width = 2
        elif data.startswith(b"\n", pos) and self._lenient:
            width = 1
        elif data[pos:] == b"\r":
            self._start_tail(data[pos:])
            return len(data)
        else:
            raise line_error("start", f"Expected a start line, got {shown(data[pos : pos + 20])}")
        self._empty_lines += 1
        if self._empty_lines > MAX_EMPTY_LINES:
            raise line_error("empty", f"More than {MAX_EMPTY_LINES} empty lines before a start line")
        return pos + width

    def _start_tail(self, data: bytes) -> None:
        self._tail += data
        self._scanned = (0, 0)
        self._scan_tail()

    def _join_tail(self, data: bytes) -> bytes:
        """Append to the incomplete head; return it whole with what follows when it is complete, else b""."""
        tail = self._tail
        seen = max(0, len(tail) - 3)
        tail += data
        if HEAD_END_LENIENT.search(tail, seen) is None and tail[:2] != b"\r\n":
            self._scan_tail()
            return b""
        whole = bytes(tail)
        tail.clear()
        return whole

    def _scan_tail(self) -> None:
        """Hold the limits while a head is incomplete, looking at each byte once."""
        tail = self._tail
        start, lines = self._scanned
        while True:
            limit = self._max_line_size if not lines else 2 * self._max_field_size + 4
            end = tail.find(b"\n", start)
            if (len(tail) if end < 0 else end) - start > limit + 1:
                what, option = ("field line", "max_field_size") if lines else ("start line", "max_line_size")
                raise too_long(what, bytes(tail[start : start + 100]), limit if not lines else limit // 2 - 2, option)
            if end < 0:
                break
            if not lines:
                self._check_start(bytes(tail[start:end]).removesuffix(b"\r").decode("utf-8", "surrogateescape"))
            lines += 1
            start = end + 1
            if lines > self._max_headers + 1:
                raise too_many(self._max_headers)
        self._scanned = (start, lines)
        if not lines and not self._can_start(bytes(tail[:9])):
            self._check_start(bytes(tail).decode("utf-8", "surrogateescape"))

    # ---- what the roles differ in

    def _can_start(self, prefix: bytes) -> bool:
        """Tell whether a start line may begin with these bytes."""
        raise NotImplementedError

    def _check_start(self, line: str) -> None:
        """Raise when a start line is malformed."""
        raise NotImplementedError

    def _begin(self, line: str, pairs: list[tuple[str, str]], events: list[Event]) -> None:
        """Take a complete head."""
        raise NotImplementedError

    def _finish(self, events: list[Event]) -> None:
        """End a message."""
        raise NotImplementedError

    def _unexpected(self, data: bytes) -> None:
        """Take bytes that belong to no message."""
        raise NotImplementedError

    def _start_body(self, length: int, events: list[Event]) -> None:
        self._empty_lines = 0
        if length == 0:
            self._finish(events)
        elif length > 0:
            self._missing = length
            self._state = _LENGTH
        elif length == CHUNKED:
            self._body = ChunkedDecoder(
                max_field_size=self._max_field_size, max_headers=self._max_headers, lenient=self._lenient
            )
            self._state = _CHUNKED
        else:
            self._state = _UNTIL_CLOSE if length == UNTIL_CLOSE else _TUNNEL


class ResponseDecoder(Decoder):
    """Decode responses, each to a request that was announced with `expect()`."""

    __slots__ = ("_interim", "_method")

    def __init__(
        self,
        *,
        max_line_size: int = MAX_LINE_SIZE,
        max_field_size: int = MAX_FIELD_SIZE,
        max_headers: int = MAX_HEADERS,
        lenient: bool = False,
    ) -> None:
        super().__init__(
            max_line_size=max_line_size, max_field_size=max_field_size, max_headers=max_headers, lenient=lenient
        )
        self._state = _IDLE
        self._method = ""
        self._interim = 0

    def expect(self, method: str) -> None:
        """Announce that the next response answers a request with this method."""
        self._method = method
        self._interim = 0
        self._state = _HEAD

    def _can_start(self, prefix: bytes) -> bool:
        return b"HTTP/".startswith(prefix[:5]) or prefix[:5] == b"HTTP/" or prefix[:1] == b"\r"

    def _check_start(self, line: str) -> None:
        parse_status_line(line)

    def _begin(self, line: str, pairs: list[tuple[str, str]], events: list[Event]) -> None:
        head = ResponseHead()
        head.version, status, head.reason = parse_status_line(line)
        head.status = status
        head.pairs = pairs
        headers = head.headers = CIMultiDict(pairs)
        head.length = length = response_length(self._method, status, headers)
        head.keep_alive = keeps_alive(head.version, headers) and length > UNTIL_CLOSE
        events.append(head)
        if 100 <= status < 200 and status != 101:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise line_error("interim", f"More than {MAX_INTERIM} interim responses")
            return
        self._start_body(length, events)

    def _finish(self, events: list[Event]) -> None:
        self._state = _IDLE
        events.append(END)

    def _unexpected(self, data: bytes) -> None:
        raise ProtocolError("h1.response.unexpected", f"Received data that answers no request: {shown(data)}")


class RequestDecoder(Decoder):
    """Decode requests, one after the other."""

    __slots__ = ()

    def tunnel(self) -> None:
        """Stop decoding after the request just ended: what follows is not HTTP."""
        self._state = _TUNNEL

    def _can_start(self, prefix: bytes) -> bool:
        return True  # a method is any token; the line's own limit holds

    def _check_start(self, line: str) -> None:
        parse_request_line(line)

    def _begin(self, line: str, pairs: list[tuple[str, str]], events: list[Event]) -> None:
        head = RequestHead()
        head.method, head.target, head.version = parse_request_line(line)
        head.pairs = pairs
        headers = head.headers = CIMultiDict(pairs)
        hosts = headers.getall("Host", ())
        if len(hosts) != 1 and (hosts or head.version == HttpVersion11):
            raise ProtocolError("h1.host", f"Expected exactly one Host field, got {len(hosts)} (RFC 9112 §3.2)")
        head.length = request_length(headers, head.version)
        head.keep_alive = keeps_alive(head.version, headers)
        events.append(head)
        self._start_body(head.length, events)

    def _finish(self, events: list[Event]) -> None:
        self._state = _HEAD
        events.append(END)

    def _unexpected(self, data: bytes) -> None:
        raise AssertionError("a request decoder is never idle")


def _is_sloppy(block: str) -> bool:
    """Tell whether a field block has the faults that a lenient reader repairs: bare LF, folds, control characters."""
    return block.count("\n") != block.count("\r\n") or "\n " in block or "\n\t" in block or not _printable(block)


def _printable(block: str) -> bool:
    return not any((char < " " and char not in "\t\r\n") or char == "\x7f" for char in block)


def encode_request(method: str, target: str, version: HttpVersion, fields: Iterable[tuple[str, str]]) -> bytes:
    """Write a request head (RFC 9112 §3); raises ValueError for what must not be sent."""
    return serialise_head(f"{method} {target} HTTP/{version.major}.{version.minor}", fields)


def encode_response(status: int, reason: str, version: HttpVersion, fields: Iterable[tuple[str, str]]) -> bytes:
    """Write a response head (RFC 9112 §4); raises ValueError for what must not be sent."""
    return serialise_head(f"HTTP/{version.major}.{version.minor} {status} {reason}", fields)

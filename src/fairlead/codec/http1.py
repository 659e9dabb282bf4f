"""HTTP/1.1 messages: decoders for both roles, encoders for both heads (RFC 9112).

A decoder takes the bytes of a connection, cut anywhere, and returns events (see `events`).  `feed(data)` never raises
for what the peer sent: a `ProtocolError` is the last event of the list, after everything that was good, and from then
on the decoder is closed.  `feed_eof()` says that no more bytes will come.

A `ResponseDecoder` must know which request each response belongs to: call `expect(method)` once for each.  Bytes that
belong to no request are an error.  A `RequestDecoder` goes on to the next request by itself, except after one that asks
for a tunnel or an upgrade: what follows is held until `tunnel()` or `resume()` says what it is.  With `one_by_one` it
holds what follows any request, so that a server decodes a pipelined request only when its turn has come.

The fast path is a small head that arrives whole, with CRLF line ends: one `find`, one decode, one `findall`.  Any other
(a head in pieces, a large one, sloppy line ends, errors) takes the slow path, which scans line by line, costs time only
linear in what came, and finds the same error however the bytes were cut: the first one in their order, but that field
lines are judged when the head is complete.

Limits: `max_line_size` for the start line, `max_field_size` for a field name and a field value (twice that and
FIELD_LINE_EXTRA for a line before its LF has come), `max_headers` field lines, folded lines counted too, MAX_INTERIM
interim responses, MAX_EMPTY_LINES before a start line, MAX_HELD bytes after a request for a tunnel or an upgrade.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from multidict import CIMultiDict

from .. import hdrs
from ..errors import ProtocolError
from .chunked import ChunkedDecoder
from .events import END, HttpVersion, HttpVersion10, HttpVersion11, RequestHead, ResponseHead
from .fields import (
    MAX_FIELD_SIZE,
    MAX_HEADERS,
    MAX_LINE_SIZE,
    has_token,
    parse_fields,
    parse_fields_leniently,
    serialise_head,
    shown,
    split_fields,
    too_long,
    too_many,
)
from .framing import CHUNKED, UNTIL_CLOSE, keeps_alive, request_length, response_length
from .grammar import (
    ABSOLUTE_FORM,
    AUTHORITY_FORM,
    HEAD_END_LENIENT,
    HOST,
    METHOD_START,
    REQUEST_LINE,
    STATUS_LINE,
    TOKEN,
)

if TYPE_CHECKING:
    from .events import Event

MAX_INTERIM: Final = 1000
"""Interim (1xx) responses in front of a final one."""

MAX_EMPTY_LINES: Final = 8
"""Empty lines in front of a start line, which RFC 9112 §2.2 asks recipients to skip."""

MAX_HELD: Final = 1 << 20
"""Bytes kept behind a request that is not answered yet; the owner of the connection stops reading long before."""

MAX_REPEATED: Final = 2048
"""Bytes of a request that is remembered until the next one of its connection, which is often the same."""

FIELD_LINE_EXTRA: Final = 4
"""Bytes of a field line besides name and value: the colon and some white space."""

_CR: Final = 13

_KNOWN_VERSIONS: Final = {
    ("1", "1"): HttpVersion11,
    ("1", "0"): HttpVersion10,
    ("0", "9"): HttpVersion(0, 9),
    ("2", "0"): HttpVersion(2, 0),
}

_IDLE, _HEAD, _LENGTH, _CHUNKED, _UNTIL_CLOSE, _TUNNEL, _HELD, _CLOSED = range(8)

_CONNECTION = hdrs.CONNECTION
_HOST = hdrs.HOST
_UPGRADE = hdrs.UPGRADE


def line_error(slug: str, message: str, status: int = 400) -> ProtocolError:
    """The error for a malformed start line."""
    return ProtocolError(f"h1.line.{slug}", message, fault="peer", status=status)


def bare_lf(line: bytes) -> ProtocolError:
    """The error of a strict reader for a line that ends with LF alone."""
    return line_error("line-end", f"Expected CRLF at the end of a line, got a bare LF: {shown(line)}")


def as_text(data: bytes | bytearray) -> str:
    """Decode bytes of a head; those that are not UTF-8 become surrogates, which stand for the same bytes again."""
    return data.decode("utf-8", "surrogateescape")


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
    if match[2][0] != "/" or match[1] == "CONNECT":
        check_target(match[1], match[2], line)
    return match[1], match[2], version


def check_target(method: str, target: str, line: str) -> None:
    """Raise unless a target that is no path has the form that its method asks for (RFC 9112 §3.2)."""
    if method == "CONNECT":
        expected, good = "CONNECT host:port", AUTHORITY_FORM.fullmatch(target)
    else:
        expected, good = "a path or an absolute URI", ABSOLUTE_FORM.fullmatch(target)
    if not good and not (method == "OPTIONS" and target == "*"):
        raise line_error("target", f"Invalid request target: expected {expected}, got {shown(line)}")


@lru_cache(maxsize=256)
def check_host(value: str) -> None:
    """Raise for an invalid value of Host, "a server MUST respond with a 400" (RFC 9112 §3.2); it may be empty."""
    if HOST.fullmatch(value) is None:
        raise ProtocolError("h1.host", f"Invalid Host {shown(value)}: expected 'host' or 'host:port' (RFC 9110 §7.2)")


class Decoder:
    """What the decoders of both roles share: finding heads, and bodies."""

    __slots__ = (
        "_body",
        "_empty_lines",
        "_lenient",
        "_line_start",
        "_lines",
        "_max_field_size",
        "_max_headers",
        "_max_line_size",
        "_missing",
        "_rest",
        "_seen",
        "_small",
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
        self.set_limits(max_line_size, max_field_size, max_headers)
        self._lenient = lenient
        self._state = _HEAD
        self._rest = _HEAD  # the state after a message
        self._missing = 0  # bytes of a body with a length still to come
        self._body: ChunkedDecoder | None = None
        self._tail = bytearray()  # an incomplete head
        self._line_start = 0  # of an incomplete head: where its last line starts,
        self._lines = 0  # how many lines came before that one,
        self._seen = 0  # and how far it was looked at
        self._empty_lines = 0
        self.error: ProtocolError | None = None

    def set_limits(self, max_line_size: int, max_field_size: int, max_headers: int) -> None:
        """Change the limits for the heads to come."""
        self._max_line_size = max_line_size
        self._max_field_size = max_field_size
        self._max_headers = max_headers
        self._small = min(max_line_size, max_field_size)  # no line of a head of this size is over a limit

    @property
    def closed(self) -> bool:
        """Whether nothing more can be decoded: an error came or the connection ended."""
        return self._state == _CLOSED

    @property
    def in_head(self) -> bool:
        """Whether a part of a head has been received."""
        return self._state == _HEAD and bool(self._tail)

    @property
    def missing(self) -> int | None:
        """Bytes still to come of a body with a length; None for any other state."""
        return self._missing if self._state == _LENGTH else None

    def feed(self, data: bytes) -> Sequence[Event]:
        """Decode more bytes, at least one; return what they held.

        A small message that came whole is returned as a tuple of its events (head, body if it has one, END),
        everything else as a list.
        """
        events: list[Event] = []
        try:
            state = self._state
            if state == _HEAD and not self._tail:
                end = data.find(b"\r\n\r\n")
                if 0 < end <= self._small:
                    head = self._parse_fast(data[: end + 2])
                    if head is not None:
                        end += 4
                        length = head.length
                        if length and length == len(data) - end:
                            # A small message that came whole: nothing else to look at.
                            self._empty_lines = 0
                            self._state = self._rest
                            return (head, data[end:], END)
                        self._begin(head, events)
                        self._advance(data, end, events)
                        return events
            elif state == _LENGTH and len(data) < self._missing:
                self._missing -= len(data)
                return [data]
            elif state in (_UNTIL_CLOSE, _TUNNEL):
                return [data]
            elif state == _CLOSED:
                return events
            self._advance(data, 0, events)
        except ProtocolError as exc:
            events.append(self._close(exc))
        return events

    def _close(self, error: ProtocolError) -> ProtocolError:
        """Decode nothing more."""
        self.error = error
        self._state = _CLOSED
        self._tail.clear()
        return error

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
        elif state == _HEAD and self._tail:
            error = ProtocolError("h1.eof.head", f"The connection ended inside a head: {shown(bytes(self._tail))}")
        else:
            return []
        self.error = error
        self._tail.clear()
        return [error]

    def _advance(self, data: bytes, pos: int, events: list[Event]) -> None:
        size = len(data)
        no_fast = -1  # before this position no head can take the fast path
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
                if pos > no_fast:
                    end = data.find(b"\r\n\r\n", pos)
                    if 0 <= end <= pos + self._small:
                        head = self._parse_fast(data[pos : end + 2])
                        if head is not None:
                            self._begin(head, events)
                            pos = end + 4
                            continue
                    no_fast = size if end < 0 else end
                found = HEAD_END_LENIENT.search(data, pos)
                if found is None:
                    self._start_tail(data[pos:])
                    return
                self._parse_slow(data[pos : found.end()], events)
                pos = found.end()
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
            elif state in (_IDLE, _HELD):
                self._unexpected(data[pos:])
                return
            else:
                events.append(data[pos:])
                return

    # ---- heads

    def _parse_fast(self, head: bytes) -> ResponseHead | RequestHead | None:
        """Parse a small head that arrived whole; return None when only a second look can tell what is in it."""
        text = head.decode("utf-8", "surrogateescape")
        line, _, block = text.partition("\r\n")
        pairs: list[tuple[str, str]] | None = None
        try:
            pairs = split_fields(block, self._max_headers)
            return self._make_head(line, pairs)
        except ProtocolError:
            # A LF in the line is a sloppy line end; an empty line, or a CR in front, is for `_skip_empty_lines`.
            if pairs is None or "\n" in line or line[:1] in ("", "\r"):
                return None
            raise

    def _parse_slow(self, head: bytes, events: list[Event]) -> None:
        """Parse any head: hold the limits, then look at the fields, leniently if need be and allowed."""
        empty_line = 2 if head.endswith(b"\r\n") else 1
        lines = head[:-empty_line]
        self._line_start = self._lines = self._seen = 0
        self._scan(lines)
        if empty_line == 1 and not self._lenient:
            raise bare_lf(head[-60:])
        line, _, block = lines.decode("utf-8", "surrogateescape").partition("\n")
        try:
            pairs = parse_fields(block, self._max_field_size, self._max_headers)
        except ProtocolError:
            if not self._lenient:
                raise
            pairs = parse_fields_leniently(block, self._max_field_size, self._max_headers)
        self._begin(self._make_head(line.removesuffix("\r"), pairs), events)

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
        self._line_start = self._lines = self._seen = 0
        self._scan(self._tail)

    def _join_tail(self, data: bytes) -> bytes:
        """Append to the incomplete head; return it whole with what follows when it is complete, else b""."""
        tail = self._tail
        seen = max(0, len(tail) - 2)
        tail += data
        # A tail that begins with CR is no head: it may be an empty line now.
        if tail[0] != _CR and HEAD_END_LENIENT.search(tail, seen) is None:
            self._scan(tail)
            return b""
        whole = bytes(tail)
        tail.clear()
        return whole

    def _scan(self, head: bytes | bytearray) -> None:
        """Hold the limits over the lines of a head, complete or not; bytes that were looked at before are skipped."""
        start, lines, seen = self._line_start, self._lines, self._seen
        size = len(head)
        if not lines and not self._can_start(bytes(head[:5])):
            self._check_start(as_text(head[:100]))
        while True:
            limit = 2 * self._max_field_size + FIELD_LINE_EXTRA if lines else self._max_line_size
            end = head.find(b"\n", seen)
            stop = size if end < 0 else end
            if not lines:
                self._check_cr(head, seen, stop, limit)
            if stop - start - (stop > start and head[stop - 1] == _CR) > limit:
                shown_part = bytes(head[start : start + 100])
                if lines:
                    raise too_long("field line", shown_part, self._max_field_size, "max_field_size")
                raise too_long("start line", shown_part, limit, "max_line_size")
            if end < 0:
                break
            if not self._lenient and (end == start or head[end - 1] != _CR):
                raise bare_lf(bytes(head[start : end + 1]))
            if not lines:
                self._check_start(as_text(head[start:end]).removesuffix("\r"))
            lines += 1
            if lines > self._max_headers + 1:
                raise too_many(self._max_headers)
            start = seen = end + 1
        self._line_start, self._lines = start, lines
        self._seen = max(start, size - 1)  # a CR at the end is judged by what follows it

    def _check_cr(self, head: bytes | bytearray, seen: int, stop: int, limit: int) -> None:
        """Raise for a CR inside the start line, without waiting for a LF that may never come."""
        found = head.find(b"\r", seen, min(stop, limit))
        if 0 <= found < stop - 1:
            self._check_start(as_text(head[: found + 2]))

    # ---- what the roles differ in

    def _can_start(self, prefix: bytes) -> bool:
        """Tell whether a start line may begin with these bytes, at most five."""
        raise NotImplementedError

    def _check_start(self, line: str) -> None:
        """Raise when a start line is malformed."""
        raise NotImplementedError

    def _make_head(self, line: str, pairs: list[tuple[str, str]]) -> ResponseHead | RequestHead:
        """Make a head of its parts."""
        raise NotImplementedError

    def _begin(self, head: Any, events: list[Event]) -> None:
        """Take a complete head."""
        self._empty_lines = 0
        events.append(head)
        self._start_body(head.length, events)

    def _finish(self, events: list[Event]) -> None:
        """End a message."""
        self._state = self._rest
        events.append(END)

    def _unexpected(self, data: bytes) -> None:
        """Take bytes that belong to no message."""
        raise NotImplementedError

    def _start_body(self, length: int, events: list[Event]) -> None:
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
        self._state = self._rest = _IDLE
        self._method = ""
        self._interim = 0

    def expect(self, method: str) -> None:
        """Announce that the next response answers a request with this method.

        Raises RuntimeError while another response is being received; a closed decoder stays closed.
        """
        if self._state != _IDLE and self._is_busy():
            return
        self._method = method
        self._interim = 0
        self._state = _HEAD

    def _is_busy(self) -> bool:
        if self._state != _CLOSED and (self._state != _HEAD or self._tail):
            raise RuntimeError("expect() was called while another response is being received")
        return self._state == _CLOSED

    def _can_start(self, prefix: bytes) -> bool:
        return b"HTTP/".startswith(prefix) or prefix == b"\r"

    def _check_start(self, line: str) -> None:
        parse_status_line(line)

    def _make_head(self, line: str, pairs: list[tuple[str, str]]) -> ResponseHead:
        head = ResponseHead()
        head.version, status, head.reason = parse_status_line(line)
        head.status = status
        head.pairs = pairs
        headers = head.headers = CIMultiDict(pairs)
        head.length = length = response_length(self._method, status, headers)
        head.keep_alive = length > UNTIL_CLOSE and keeps_alive(head.version, headers)
        return head

    def _begin(self, head: ResponseHead, events: list[Event]) -> None:
        if 99 < head.status < 200 and head.status != 101:
            events.append(head)
            self._empty_lines = 0
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise line_error("interim", f"More than {MAX_INTERIM} interim responses")
        else:
            super()._begin(head, events)

    def _unexpected(self, data: bytes) -> None:
        raise ProtocolError("h1.response.unexpected", f"Received data that answers no request: {shown(data)}")


class RequestDecoder(Decoder):
    """Decode requests, one after the other.

    After the END of a request for a tunnel or an upgrade (`held` is true then) the owner must answer with one of
    `tunnel()` and `resume()`.  With `one_by_one` the same holds for every request behind which something came.

    Programs send the same request again and again.  The head of a small request that is byte for byte the one before is
    not decoded again: the same head, which nobody may change, is returned once more.
    """

    __slots__ = ("_known", "_known_bytes", "_known_head", "_known_start", "_one_by_one")

    def __init__(
        self,
        *,
        max_line_size: int = MAX_LINE_SIZE,
        max_field_size: int = MAX_FIELD_SIZE,
        max_headers: int = MAX_HEADERS,
        one_by_one: bool = False,
    ) -> None:
        super().__init__(max_line_size=max_line_size, max_field_size=max_field_size, max_headers=max_headers)
        self._one_by_one = one_by_one
        self._known_bytes: bytes | None = None  # the last small request without a body,
        self._known: Sequence[Event] = ()  # and its events
        self._known_start: bytes | None = None  # the last small head of a request with a body,
        self._known_head: RequestHead  # decoded

    def feed(self, data: bytes) -> Sequence[Event]:
        if self._state == _HEAD and not self._tail:
            if data == self._known_bytes:
                return self._known
            known = self._known_start
            if known is not None and data.startswith(known):
                extra = len(data) - len(known)
                if self._known_head.length == extra:
                    return (self._known_head, data[-extra:], END)
            if len(data) <= MAX_REPEATED and (events := self._feed_small(data)):
                return events
        return super().feed(data)

    def _feed_small(self, data: bytes) -> Sequence[Event]:
        """Decode a small request that came whole, and remember its head; return nothing where it is something else."""
        end = data.find(b"\r\n\r\n")
        if not 0 < end <= self._small:
            return ()
        try:
            head = self._parse_fast(data[: end + 2])
        except ProtocolError as exc:
            return [self._close(exc)]
        extra = len(data) - end - 4
        if not isinstance(head, RequestHead) or head.length != extra:
            return ()
        self._empty_lines = 0
        if extra:
            events: Sequence[Event] = (head, data[end + 4 :], END)
            if self._rest == _HEAD:
                self._known_start, self._known_head = data[: end + 4], head
        else:
            events = (head, END)
            if self._rest == _HEAD:
                self._known_bytes, self._known = data, events
        self._state = self._rest
        return events

    @property
    def held(self) -> bool:
        """Whether what follows the last request waits for `tunnel()` or `resume()`."""
        return self._state == _HELD

    @property
    def upgrading(self) -> bool:
        """Whether the last request asked for a tunnel or an upgrade."""
        return self._rest == _HELD

    @property
    def held_size(self) -> int:
        """Bytes that wait behind the last request."""
        return len(self._tail) if self._state == _HELD else 0

    def _finish(self, events: list[Event]) -> None:
        self._state = _HELD if self._one_by_one else self._rest
        events.append(END)

    def tunnel(self) -> bytes:
        """Stop decoding: no HTTP follows; return what has come since the request, which belongs to the next protocol.

        Raises RuntimeError when the decoder is not held, unless it is closed: then there is nothing to return.
        """
        held = self._unhold()
        if self._state != _CLOSED:
            self._state = _TUNNEL
        return held

    def resume(self) -> Sequence[Event]:
        """Go on with HTTP, for the tunnel or upgrade was refused or ignored; return the events held back.

        Raises RuntimeError when the decoder is not held, unless it is closed: then there are no events.
        """
        held = self._unhold()
        if self._state != _CLOSED:
            self._state = _HEAD
        return self.feed(held) if held else []

    def _unhold(self) -> bytes:
        if self._state not in (_HELD, _CLOSED):
            raise RuntimeError("the last request asked for no upgrade, or it was answered already")
        held = bytes(self._tail)
        self._tail.clear()
        return held

    def _can_start(self, prefix: bytes) -> bool:
        return METHOD_START.match(prefix) is not None or prefix == b"\r"

    def _check_start(self, line: str) -> None:
        parse_request_line(line)

    def _make_head(self, line: str, pairs: list[tuple[str, str]]) -> RequestHead:
        head = RequestHead()
        head.method, target, head.version = parse_request_line(line)
        head.target = target
        head.plain_path = plain_path(target)
        head.pairs = pairs
        headers = head.headers = CIMultiDict(pairs)
        hosts = headers.getall(_HOST, ())
        if len(hosts) != 1 and (hosts or head.version == HttpVersion11):
            raise ProtocolError("h1.host", f"Expected exactly one Host field, got {len(hosts)} (RFC 9112 §3.2)")
        if hosts:
            check_host(hosts[0])
        head.length = request_length(headers, head.version)
        head.keep_alive = keep_alive = keeps_alive(head.version, headers)
        head.plain = keep_alive and head.version is HttpVersion11 and head.method not in ("HEAD", "CONNECT")
        asked = head.method == "CONNECT" or (_UPGRADE in headers and asks_upgrade(head.version, headers))
        self._rest = _HELD if asked else _HEAD
        return head

    def _unexpected(self, data: bytes) -> None:
        self._tail += data
        if len(self._tail) > MAX_HELD:
            raise ProtocolError("h1.request.early", f"Got more than {MAX_HELD} bytes before the request was answered")


def plain_path(target: str) -> str | None:
    """Return the path of a target in origin form, percent-encoded as it came; None where only a URL parser can tell."""
    if target[0] != "/" or target[:2] == "//" or "#" in target or not target.isascii():
        return None
    return target.partition("?")[0] if "?" in target else target


def asks_upgrade(version: HttpVersion, headers: CIMultiDict[str]) -> bool:
    """Tell whether an Upgrade field counts: Connection must name it, and HTTP/1.0 has none (RFC 9110 §7.8)."""
    return version == HttpVersion11 and has_token(",".join(headers.getall(_CONNECTION, ())), "upgrade")


def encode_request(method: str, target: str, version: HttpVersion, fields: Iterable[tuple[str, str]]) -> bytes:
    """Write a request head (RFC 9112 §3); raises ValueError for what must not be sent."""
    if TOKEN.fullmatch(method) is None:
        raise ValueError(f"Invalid method {shown(method)}: a method is a token (RFC 9110 §9.1)")
    if not target or " " in target:
        raise ValueError(f"Invalid request target {shown(target)}: expected characters without a space")
    return serialise_head(f"{method} {target} HTTP/{version.major}.{version.minor}", fields)


def encode_response(status: int, reason: str, version: HttpVersion, fields: Iterable[tuple[str, str]]) -> bytes:
    """Write a response head (RFC 9112 §4); raises ValueError for what must not be sent."""
    if not 99 < status < 1000:
        raise ValueError(f"Invalid status {status}: expected three digits")
    return serialise_head(f"HTTP/{version.major}.{version.minor} {status} {reason}", fields)

"""WebSocket messages: bytes in, events out (RFC 6455 §5 to §8, RFC 7692 §6).

In: bytes, cut anywhere.  Out: `WSMessage` for each message and control frame, `Part` for pieces of messages that are
to be streamed, and last, when the peer breaks a rule, one `WebSocketError` with the close code to send.

What is where a rule leaves a choice, or is broken by many:

* Masking is checked by role, reserved bits and opcodes by what was agreed, lengths for the shortest form.
* Text is decoded as it comes, so that bytes which cannot be UTF-8 end the connection at once, also in the middle of a
  frame.  With decode_text=False it is neither decoded nor checked: the owner does that.
* A message of exactly `max_msg_size` bytes passes.  A larger one fails with 1009 when the head of its frame is read or
  while it is inflated, one byte too far at most.  Parts of a streamed message are not limited: their owner reads on
  when it has room.

Limits: `max_msg_size` bytes of a message; `PIECE` bytes of inflated output in a part; `INFLATED_LIMIT` bytes of
inflated output in one call of `feed`, after which `pending` is true and the rest is kept.

How it is made quick: `feed` goes through frames that are whole, short, unfragmented and expected with local variables
and as few steps as possible; one attribute, -1 while anything is unusual, keeps all others out.  These take `_step`.
"""

from __future__ import annotations

from codecs import utf_8_decode
from typing import TYPE_CHECKING, Any, Final, Literal

from ..errors import WebSocketError
from .ws_deflate import Inflater, too_large
from .ws_frames import (
    CUT,
    MASKED,
    MAX_CONTROL,
    REPEAT,
    TABLE_LIMIT,
    Part,
    WSCloseCode,
    WSMessage,
    WSMessageTextBytes,
    WSMsgType,
    mask,
    may_be_sent,
)

if TYPE_CHECKING:
    Event = WSMessage | WSMessageTextBytes | Part | WebSocketError

DEFAULT_MAX_MSG_SIZE: Final = 4 * 1024 * 1024
"""Bytes of a message, as in aiohttp."""

PIECE: Final = 64 * 1024
"""Bytes of inflated output in one part of a streamed message."""

INFLATED_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of inflated output in one call: 64 KiB, which a socket gives at once, may inflate to 64 MiB."""

MAX_PIECES: Final = 256
"""Pieces of a message that are kept before they are joined, so that single bytes do not cost an object each."""

TEXT: Final = WSMsgType.TEXT
BINARY: Final = WSMsgType.BINARY
PROTOCOL_ERROR: Final = WSCloseCode.PROTOCOL_ERROR
INVALID_TEXT: Final = WSCloseCode.INVALID_TEXT

_message: Final = tuple.__new__  # WSMessage(...) without the function that a named tuple puts in between
_AFTER_HEAD: Final = slice(2, None)
_LONG: Final = 65535  # the largest frame that the quick way takes


class WebSocketDecoder:
    """Decodes what the peer of a `role` sends.

    `closed`: nothing more will come out; `error`: why, when the peer broke a rule; `pending`: events are held back, ask
    for them with `feed(b"")` before feeding more.

    `max_msg_size`: bytes of a message, 0 for any.  `deflate`: what inflates when permessage-deflate was agreed.
    `stream_over`: data messages of more bytes come in parts.
    """

    __slots__ = (
        "_control", "_decode_text", "_ending", "_fin", "_inflated", "_inflating", "_joined", "_key", "_left",
        "_long", "_masked", "_opcode", "_pieces", "_rest", "_short", "_size", "_stream_next", "_streaming", "_text",
        "_type", "_undecoded", "closed", "deflate", "error", "max_msg_size", "pending", "stream_over",
    )  # fmt: skip

    def __new__(cls, *, role: Literal["client", "server"], **options: Any) -> WebSocketDecoder:
        """Make the decoder for what a server must not mask, or for what a client must mask."""
        if role not in ("client", "server"):
            raise ValueError(f"role must be 'client' or 'server', not {role!r}")
        return object.__new__(_MaskedDecoder if role == "server" else WebSocketDecoder)

    def __init__(
        self,
        *,
        role: Literal["client", "server"],
        max_msg_size: int = DEFAULT_MAX_MSG_SIZE,
        deflate: Inflater | None = None,
        decode_text: bool = True,
        stream_over: int | None = None,
    ) -> None:
        self.max_msg_size = max_msg_size
        self.deflate = deflate
        self.stream_over = stream_over
        self._decode_text = decode_text
        self._masked = MASKED if role == "server" else 0
        self.closed = False
        self.error: WebSocketError | None = None
        self.pending = False
        self._text = 0x81 if decode_text else -1  # the first byte of a text frame that is decoded at once
        self._rest = b""  # input that was not looked at: the beginning of a head, or what is held back
        self._inflated = 0  # bytes in this call
        # The frame under way; _left is -1 between frames.
        self._left = -1
        self._opcode = 0
        self._fin = False
        self._key = b""  # what masks the next byte, and the three after it
        # The data message under way; _type is None between messages.
        self._type: WSMsgType | None = None
        self._size = 0
        self._inflating = False
        self._ending = False
        self._streaming = False
        self._stream_next = False
        self._undecoded = b""  # the beginning of a character
        self._pieces: list[Any] = []  # all text or all bytes
        self._joined: list[Any] = []
        self._control = b""  # of a control frame, which may stand between the frames of a message
        self._open()

    def stream_next(self, wanted: bool = True) -> None:
        """Deliver the next data message, or the one under way, in parts, whatever its size; or no longer so.

        A message whose first part was delivered goes on in parts.
        """
        self._stream_next = wanted
        if wanted:
            self._short = self._long = -1
            if self._type is not None:
                self._stream_next = False
                self._streaming = True
        elif self._left < 0 and self._type is None and not self._rest and not self.closed:
            self._open()

    @property
    def in_parts(self) -> bool:
        """Whether the message under way is delivered in parts."""
        return self._streaming

    def close(self) -> None:
        """Look at nothing any more, and let go of what was kept."""
        self._end()

    def feed(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """Take what was received and return the events in it; raises nothing."""
        if type(data) is not bytes:
            data = bytes(data)
        size = len(data)
        try:
            if data[1] == size - 2 <= self._short:  # one short frame: what a conversation is made of
                first = data[0]
                if first == self._text:
                    return [_message(WSMessage, (TEXT, data[_AFTER_HEAD].decode(), ""))]
                if first == 0x82:
                    return [_message(WSMessage, (BINARY, data[_AFTER_HEAD], ""))]
        except IndexError:
            pass
        except UnicodeDecodeError as exc:
            return self._fail([], _not_utf8(exc))
        events: list[Event] = []
        self._inflated = at = 0
        if self._short < 0:
            data = self._resume(data, events)
            size = len(data)
        while at < size:
            text, short, long = self._text, self._short, self._long
            try:
                while at < size:
                    length = data[at + 1]
                    if length <= short:
                        start = at + 2
                    elif length == 126:
                        length = data[at + 2] << 8 | data[at + 3]
                        if length < 126 or length > long:
                            break
                        start = at + 4
                    else:
                        break
                    end = start + length
                    if end > size:
                        break
                    first = data[at]
                    if first == text:
                        events.append(_message(WSMessage, (TEXT, data[start:end].decode(), "")))
                    elif first == 0x82:
                        events.append(_message(WSMessage, (BINARY, data[start:end], "")))
                    elif not self._whole(first, data[start:end], events):
                        break
                    at = end
            except IndexError:  # a head that was cut
                pass
            except UnicodeDecodeError as exc:
                return self._fail(events, _not_utf8(exc))
            if at < size:
                at = self._step(data, at, events)
        return events

    def feed_eof(self) -> list[Event]:
        """Take the end of the connection; unless a close frame came before, the event is an error with code 1006."""
        if self.closed:
            return []
        if self._left > 0:
            where = f"inside a frame, {self._left} bytes before its end"
        elif self._rest:
            where = "inside the head of a frame"
        elif self._type is not None:
            where = "inside a fragmented message"
        else:
            where = "without a close frame"
        return self._fail([], WebSocketError(WSCloseCode.ABNORMAL_CLOSURE, f"The connection ended {where}"))

    # --------------------------------------------------------------------------------------- everything that is unusual

    def _open(self) -> None:
        """Let whole frames take the quick way, since nothing is under way."""
        if self._stream_next:
            return
        limit = _LONG
        if self.max_msg_size:
            limit = min(limit, self.max_msg_size)
        if self.stream_over is not None:
            limit = min(limit, self.stream_over)
        self._long = limit
        self._short = min(limit, 125)

    def _end(self) -> None:
        """Let nothing in any more, and let go of what was kept."""
        self.closed = True
        self.pending = False
        self._short = self._long = -1
        self._rest = self._undecoded = b""
        self._pieces, self._joined = [], []

    def _fail(self, events: list[Event], error: WebSocketError) -> list[Event]:
        self.error = error
        self._end()
        events.append(error)
        return events

    def _resume(self, data: bytes, events: list[Event]) -> bytes:
        """Go on with what was held back; return what is to be looked at now."""
        if self.closed:
            return b""
        data, self._rest = self._rest + data, b""
        if self.pending:
            self.pending = False
            try:
                if self.deflate is not None and self.deflate.pending:
                    self._inflate(b"", False, events)
            except (WebSocketError, UnicodeDecodeError) as exc:
                self._fail(events, exc if isinstance(exc, WebSocketError) else _not_utf8(exc))
                return b""
            if self.pending:
                self._rest = data
                return b""
        return data

    def _hold(self, data: bytes, at: int) -> int:
        """Keep the rest of the input for the next call."""
        self._short = self._long = -1
        self._rest = data[at:]
        return len(data)

    def _whole(self, first: int, payload: bytes, events: list[Event]) -> bool:
        """Take a whole short frame that is neither plain text nor binary; say whether that was possible."""
        if first & 0x40:
            deflate = self.deflate
            if deflate is None or self.stream_over is not None or self._inflated > INFLATED_LIMIT:
                return False
            try:
                if first == 0xC1:
                    inflated = deflate.inflate(payload, self.max_msg_size)
                    self._inflated += len(inflated)
                    if self._decode_text:
                        events.append(_message(WSMessage, (TEXT, inflated.decode(), "")))
                    else:
                        events.append(_message(WSMessageTextBytes, (TEXT, inflated, "")))
                elif first == 0xC2:
                    inflated = deflate.inflate(payload, self.max_msg_size)
                    self._inflated += len(inflated)
                    events.append(_message(WSMessage, (BINARY, inflated, "")))
                else:
                    return False
            except WebSocketError as exc:
                self._fail(events, exc)
                return False
            except UnicodeDecodeError as exc:
                self._fail(events, _not_utf8(exc))
                return False
            return True
        if first == 0x81:
            events.append(_message(WSMessageTextBytes, (TEXT, payload, "")))
            return True
        return False

    def _step(self, data: bytes, at: int, events: list[Event]) -> int:
        """Take a head, a piece of payload or both; return the place behind."""
        if self.closed:
            return len(data)
        try:
            if self._left < 0:
                if self._inflated > INFLATED_LIMIT:
                    self.pending = True
                    return self._hold(data, at)
                at = self._head(data, at)
                if self._left < 0:
                    return at
            return self._payload(data, at, events)
        except WebSocketError as exc:
            self._fail(events, exc)
        except UnicodeDecodeError as exc:
            self._fail(events, _not_utf8(exc))
        return len(data)

    def _head(self, data: bytes, at: int) -> int:
        """Read the head of a frame (RFC 6455 §5.2); without all of it, keep what is there."""
        size = len(data)
        if size - at < 2:
            return self._hold(data, at)
        first, length = data[at], data[at + 1] & 0x7F
        self._check(first, data[at + 1])
        start = at + 2
        if length > 125:
            least, start = (126, at + 4) if length == 126 else (1 << 16, at + 10)
            if size < start:
                return self._hold(data, at)
            length = int.from_bytes(data[at + 2 : start])
            if not least <= length < 1 << 63:
                raise _wrong(f"Received a frame of {length} bytes whose length is not in its shortest form of 63 bits")
        if self._masked:
            if size < start + 4:
                return self._hold(data, at)
            self._key = data[start : start + 4]
            start += 4
        self._short = self._long = -1
        self._left, self._opcode, self._fin = length, first & 0x0F, first >= 0x80
        if self._opcode < 8:
            self._begin(first, length)
        return start

    def _check(self, first: int, second: int) -> None:
        """Raise for a head that is not allowed here."""
        opcode = first & 0x0F
        if first & 0x70 and (first & 0x30 or self.deflate is None or opcode not in (1, 2)):
            raise _wrong(f"Received frame with non-zero reserved bits: {first >> 4 & 7:03b}, opcode={opcode}")
        if opcode > 10 or 2 < opcode < 8:
            raise _wrong(f"Unexpected opcode={opcode}")
        if opcode >= 8:
            if first < 0x80:
                raise _wrong("Received fragmented control frame")
            if second & 0x7F > MAX_CONTROL:
                raise _wrong(f"Control frame payload cannot be larger than {MAX_CONTROL} bytes")
        elif opcode == 0 and self._type is None:
            raise _wrong("Continuation frame for non started message")
        elif opcode and self._type is not None:
            raise _wrong(f"The opcode in non-fin frame is expected to be zero, got {opcode}")
        if second & MASKED != self._masked:
            raise _wrong(
                "Received a frame that is not masked, and a client must mask all of them (RFC 6455 section 5.1)"
                if self._masked
                else "Received a masked frame, and a server must not mask any (RFC 6455 section 5.1)"
            )

    def _begin(self, first: int, length: int) -> None:
        """Begin a data frame, and perhaps a message."""
        if first & 0x0F:
            self._type = TEXT if first & 0x0F == 1 else BINARY
            self._size = 0
            self._inflating = first & 0x40 != 0
            self._streaming, self._stream_next = self._stream_next, False
        if not self._inflating:
            self._size += length
            self._grow()

    def _grow(self) -> None:
        """Judge the size of the message, known or reached."""
        if self.stream_over is not None and self._size > self.stream_over:
            self._streaming = True
        if not self._streaming and 0 < self.max_msg_size < self._size:
            if self._inflating:
                raise too_large(self.max_msg_size)
            raise WebSocketError(
                WSCloseCode.MESSAGE_TOO_BIG,
                f"Message size {self._size} exceeds limit {self.max_msg_size} (option max_msg_size)",
            )

    def _payload(self, data: bytes, at: int, events: list[Event]) -> int:
        """Take what there is of a frame's payload."""
        end = at + self._left
        if self._inflating and self._streaming and self._opcode < 8:
            end = min(end, at + PIECE)
        piece = data[at:end]
        size = len(piece)
        self._left -= size
        if self._masked:
            piece = mask(piece, self._key)
            if size & 3:
                self._key = self._key[size & 3 :] + self._key[: size & 3]
        done = self._left == 0
        if self._opcode >= 8:
            self._control += piece
            if done:
                piece, self._control = self._control, b""
                self._take_control(piece, events)
        elif self._inflating:
            self._inflate(piece, done and self._fin, events)
        else:
            self._add(piece, done and self._fin, events)
        if done and not self.closed:
            self._left = -1
            if self._type is None:
                self._open()
        return self._hold(data, at + size) if self.pending else at + size

    def _take_control(self, payload: bytes, events: list[Event]) -> None:
        """Take a whole control frame (RFC 6455 §5.5)."""
        if self._opcode != 8:
            events.append(WSMessage(WSMsgType(self._opcode), payload, ""))
            return
        code = int.from_bytes(payload[:2])
        if len(payload) == 1:
            raise _wrong(f"Invalid close frame: a payload of one byte, {payload!r}, cannot hold a code")
        if payload and not may_be_sent(code):
            raise _wrong(f"Invalid close code: {code}")
        events.append(WSMessage(WSMsgType.CLOSE, code, payload[2:].decode()))
        self._end()

    def _inflate(self, piece: bytes, final: bool, events: list[Event]) -> None:
        """Inflate a piece of a message, in steps when it is streamed; sets `pending` when there is more to come."""
        deflate = self.deflate
        assert deflate is not None  # `_check` let the frame pass
        self._ending |= final
        while True:
            out = deflate.inflate_part(piece, PIECE if self._streaming else self._room(), final)
            piece, final = b"", False
            self._inflated += len(out)
            self._size += len(out)
            self._grow()
            last = self._ending and not deflate.pending
            if last:
                self._ending = False
                deflate.end()
            self._add(out, last, events)
            if not deflate.pending:
                return
            if self._inflated > INFLATED_LIMIT:
                self.pending = True
                return

    def _room(self) -> int:
        """Return how many bytes tell that the message, gathered so far, is too large to be gathered; 0 for none."""
        limit, over = self.max_msg_size, self.stream_over
        if over is not None and (not limit or over < limit):
            return over + 1 - self._size
        return limit + 1 - self._size if limit else 0

    def _add(self, piece: bytes, final: bool, events: list[Event]) -> None:
        """Add to the message under way what was unmasked and inflated."""
        kind = self._type
        assert kind is not None
        content: Any = piece
        if kind is TEXT and self._decode_text:
            if self._undecoded:
                piece = self._undecoded + piece
            content, used = utf_8_decode(piece, "strict", final)
            rest = self._undecoded = piece[used:]
            if rest[:1] == b"\xed" and rest[1:] > b"\x9f":  # half a surrogate, which the decoder would wait for
                utf_8_decode(rest, "strict", True)
        if self._streaming or final:
            if self._pieces:
                content = content[:0].join([*self._joined, *self._pieces, content])
                self._pieces, self._joined = [], []
            if self._streaming:
                if content or final:
                    events.append(Part(kind, content, final))
            elif kind is TEXT and not self._decode_text:
                events.append(WSMessageTextBytes(kind, content, ""))
            else:
                events.append(WSMessage(kind, content, ""))
            if final:
                self._type = None
                self._streaming = self._inflating = False
        elif content:
            if len(self._pieces) == MAX_PIECES:
                self._joined.append(content[:0].join(self._pieces))
                self._pieces.clear()
            self._pieces.append(content)


class _MaskedDecoder(WebSocketDecoder):
    """Decodes what a client sends: every frame is masked."""

    __slots__ = ()

    def feed(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """Take what was received and return the events in it; raises nothing."""
        if type(data) is not bytes:
            data = bytes(data)
        size = len(data)
        length = size - 6
        if 0 <= length <= self._short and data[1] == length + 128:
            first = data[0]
            # The key stands in front of the payload; masking it along gives zeros, which vanish.
            whole = int.from_bytes(data[_AFTER_HEAD])
            whole ^= (whole >> (length << 3)) * REPEAT[length + 7 >> 2] >> CUT[length]
            if first == self._text:
                try:
                    return [_message(WSMessage, (TEXT, whole.to_bytes(length).decode(), ""))]
                except UnicodeDecodeError as exc:
                    return self._fail([], _not_utf8(exc))
            if first == 0x82:
                return [_message(WSMessage, (BINARY, whole.to_bytes(length), ""))]
        events: list[Event] = []
        self._inflated = at = 0
        if self._short < 0:
            data = self._resume(data, events)
            size = len(data)
        while at < size:
            text, short, long = self._text, self._short, self._long
            try:
                while at < size:
                    length = data[at + 1] ^ 128
                    if length <= short:
                        start = at + 6
                    elif length == 126:
                        length = data[at + 2] << 8 | data[at + 3]
                        if length < 126 or length > long:
                            break
                        start = at + 8
                    else:
                        break
                    end = start + length
                    if end > size:
                        break
                    if length <= TABLE_LIMIT:
                        whole = int.from_bytes(data[start - 4 : end])
                        whole ^= (whole >> (length << 3)) * REPEAT[length + 7 >> 2] >> CUT[length]
                        payload = whole.to_bytes(length)
                    else:
                        payload = mask(data[start:end], data[start - 4 : start])
                    first = data[at]
                    if first == text:
                        events.append(_message(WSMessage, (TEXT, payload.decode(), "")))
                    elif first == 0x82:
                        events.append(_message(WSMessage, (BINARY, payload, "")))
                    elif not self._whole(first, payload, events):
                        break
                    at = end
            except IndexError:  # a head that was cut
                pass
            except UnicodeDecodeError as exc:
                return self._fail(events, _not_utf8(exc))
            if at < size:
                at = self._step(data, at, events)
        return events


def _wrong(what: str) -> WebSocketError:
    return WebSocketError(PROTOCOL_ERROR, what)


def _not_utf8(exc: UnicodeDecodeError) -> WebSocketError:
    """The error for text that is not UTF-8 (RFC 6455 §8.1)."""
    byte = exc.object[exc.start]
    error = WebSocketError(INVALID_TEXT, f"Invalid UTF-8 text message: {exc.reason}, byte 0x{byte:02x}")
    error.__cause__ = exc
    return error

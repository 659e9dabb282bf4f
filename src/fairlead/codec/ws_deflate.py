"""permessage-deflate: the offer, what becomes of it, and the two directions of compression (RFC 7692).

In: parsed extensions, and payloads of messages.  Out: the value of Sec-WebSocket-Extensions, the agreed
`DeflateParameters`, compressed payloads, and inflated ones whose size is bounded while they are inflated.

The work is done by the module of `set_zlib_backend`, zlib unless told otherwise.  A window of 8 bits, which zlib cannot
make, is served by one of 9: zlib never reaches back further than the window less 262 bytes, and 512 - 262 < 256.

Limits: `MAX_STREAMS` final blocks in a message; the size of a message is the caller's to bound.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import WebSocketError, quoted
from .coding import zlib_backend
from .ws_frames import WSCloseCode
from .ws_handshake import Extension, HandshakeError, format_extensions

if TYPE_CHECKING:
    Buffer = bytes | bytearray | memoryview

EXTENSION: Final = "permessage-deflate"

MAX_WINDOW_BITS: Final = 15
MIN_WINDOW_BITS: Final = 8
LEAST_ZLIB_BITS: Final = 9

LEVEL: Final = zlib.Z_BEST_SPEED
"""What messages are compressed with: more costs several times as much time for a tenth of the size."""

MEMORY_LEVEL: Final = 8
"""zlib's default: 128 KiB besides the window for each connection that has sent."""

MAX_STREAMS: Final = 16
"""Final blocks in one message.  None is usual; each costs a new inflater, and two bytes are enough for one."""

TAIL: Final = b"\x00\x00\xff\xff"
"""What ends a flushed block; left out of a message and put back before it is inflated (RFC 7692 §7.2.1, §7.2.2)."""

EMPTY: Final = b"\x00"
"""A message without data (RFC 7692 §7.2.3.6)."""

# RFC 7692 §7.1: the parameters, and whether each has a value in an offer and in a response.
_FLAGS: Final = ("server_no_context_takeover", "client_no_context_takeover")
_SIZES: Final = ("server_max_window_bits", "client_max_window_bits")


class DeflateParameters(NamedTuple):
    """What was agreed, or would be: who starts each message afresh, and the windows in bits."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = MAX_WINDOW_BITS
    client_max_window_bits: int = MAX_WINDOW_BITS

    def codecs(self, role: str, level: int = LEVEL) -> tuple[Deflater, Inflater]:
        """Return what compresses and what inflates at the end whose role is "client" or "server"."""
        server = self.server_max_window_bits, self.server_no_context_takeover
        client = self.client_max_window_bits, self.client_no_context_takeover
        out, into = (client, server) if role == "client" else (server, client)
        return Deflater(*out, level), Inflater(*into)


# --------------------------------------------------------------------------------------------------------- negotiation


def offer_deflate(
    window_bits: int = MAX_WINDOW_BITS,
    *,
    client_no_context_takeover: bool = False,
    server_no_context_takeover: bool = False,
) -> str:
    """Return the offer of a client that lets the server use a window of at most `window_bits`, 9 to 15.

    Raises ValueError for other numbers.
    """
    if not LEAST_ZLIB_BITS <= window_bits <= MAX_WINDOW_BITS:
        raise ValueError(
            f"compress must be the window in bits, {LEAST_ZLIB_BITS} to {MAX_WINDOW_BITS}, or 0, not {window_bits!r}"
        )
    parameters: list[tuple[str, str | None]] = [("client_max_window_bits", None)]
    if window_bits < MAX_WINDOW_BITS:
        parameters.append(("server_max_window_bits", str(window_bits)))
    if server_no_context_takeover:
        parameters.append(("server_no_context_takeover", None))
    if client_no_context_takeover:
        parameters.append(("client_no_context_takeover", None))
    return format_extensions([Extension(EXTENSION, tuple(parameters))])


def accept_deflate(
    offers: Iterable[Extension], *, window_bits: int = MAX_WINDOW_BITS, no_context_takeover: bool = False
) -> tuple[str, DeflateParameters] | None:
    """Take the first offer of a client that can be taken; return the server's answer and what it means.

    An offer is declined for a parameter that is unknown, stands twice or has a wrong value (RFC 7692 §7.1), and
    other extensions are passed over; None when nothing is left.  `window_bits` and `no_context_takeover` keep the
    server's own compression smaller than the client asks for.
    """
    for name, parameters in offers:
        wishes = _read(parameters, offered=True) if name == EXTENSION else None
        if wishes is None:
            continue
        server_bits = min(window_bits, wishes.get("server_max_window_bits", MAX_WINDOW_BITS))
        agreed = DeflateParameters(
            no_context_takeover or "server_no_context_takeover" in wishes,
            "client_no_context_takeover" in wishes,
            server_bits,
            # The client keeps to its own hint whether it is told to or not (§7.1.2.2).
            wishes.get("client_max_window_bits", MAX_WINDOW_BITS),
        )
        answer: list[tuple[str, str | None]] = []
        if "server_max_window_bits" in wishes or server_bits < MAX_WINDOW_BITS:
            answer.append(("server_max_window_bits", str(server_bits)))
        if agreed.server_no_context_takeover:
            answer.append(("server_no_context_takeover", None))
        if agreed.client_no_context_takeover:
            answer.append(("client_no_context_takeover", None))
        return format_extensions([Extension(EXTENSION, tuple(answer))]), agreed
    return None


def agree_deflate(answer: Iterable[Extension], *, offered: bool) -> DeflateParameters | None:
    """Read a server's answer to an offer of `offer_deflate`, or to none; None when it declined.

    Raises HandshakeError for an extension that was not offered or stands twice, and for a wrong parameter, as the
    connection must not be used then (RFC 6455 §4.1, RFC 7692 §7.1).
    """
    agreed: DeflateParameters | None = None
    for name, parameters in answer:
        got = format_extensions([Extension(name, parameters)])
        if name != EXTENSION or not offered or agreed is not None:
            expected = f"{EXTENSION}, once" if offered else "none, as none was offered"
            raise _wrong_answer(f"expected {expected}, got {quoted(got)}", expected, got)
        values = _read(parameters, offered=False)
        if values is None:
            raise _wrong_answer(
                f"a parameter is unknown, stands twice or has a wrong value: {quoted(got)}", "RFC 7692 section 7.1", got
            )
        agreed = DeflateParameters(
            "server_no_context_takeover" in values,
            "client_no_context_takeover" in values,
            values.get("server_max_window_bits", MAX_WINDOW_BITS),
            values.get("client_max_window_bits", MAX_WINDOW_BITS),
        )
    return agreed


def _wrong_answer(what: str, expected: str, got: str) -> HandshakeError:
    return HandshakeError(
        "extension", f"Invalid Sec-WebSocket-Extensions: {what}", expected=expected, got=got, status=502
    )


def _read(parameters: Iterable[tuple[str, str | None]], *, offered: bool) -> dict[str, int] | None:
    """Check the parameters of an offer or of an answer; None when one is wrong."""
    found: dict[str, int] = {}
    for name, value in parameters:
        if name in found:
            return None
        if name in _FLAGS and value is None:
            found[name] = 1
        elif name in _SIZES and value is not None and value in _WINDOWS:
            found[name] = int(value)
        elif name == "client_max_window_bits" and value is None and offered:
            found[name] = MAX_WINDOW_BITS
        else:
            return None
    return found


# "a decimal integer value without leading zeroes between 8 to 15" (RFC 7692 §7.1.2.1)
_WINDOWS: Final = frozenset(str(bits) for bits in range(MIN_WINDOW_BITS, MAX_WINDOW_BITS + 1))


# --------------------------------------------------------------------------------------------------------- compression


class Deflater:
    """Compresses the messages of one direction; its memory is taken when the first message is sent."""

    __slots__ = ("_begun", "_engine", "_flush", "level", "no_context_takeover", "window_bits")

    def __init__(
        self, window_bits: int = MAX_WINDOW_BITS, no_context_takeover: bool = False, level: int = LEVEL
    ) -> None:
        self.window_bits = window_bits
        self.no_context_takeover = no_context_takeover
        self.level = level
        self._flush = 0
        self._engine: Any = None
        self._begun = False  # whether a part of a message was taken

    def deflate(self, data: Buffer, *, window_bits: int | None = None) -> bytes:
        """Return the compressed payload of a whole message, to be sent with RSV1.

        `window_bits` overrides the window for this message, as far as the agreed one allows.  What was sent before is
        forgotten then, as the peer's window would be another than this end's.
        """
        engine = self._engine
        if window_bits is not None and window_bits < self.window_bits:
            engine = self._new(window_bits)
            self._engine = None
        elif engine is None:
            engine = self._engine = self._new(self.window_bits)
        if not data:
            return EMPTY
        start: bytes = engine.compress(data)
        end: bytes = engine.flush(self._flush)
        return start + end[:-4]

    def deflate_part(self, data: Buffer, final: bool = False) -> bytes:
        """Take the next part of a message and return what is ready, often nothing before the final part."""
        engine = self._engine
        if engine is None:
            engine = self._engine = self._new(self.window_bits)
        out: bytes = b""
        if data:
            self._begun = True
            out = engine.compress(data)
        if final:
            out = out + engine.flush(self._flush)[:-4] if self._begun else EMPTY
            self._begun = False
        return out

    def _new(self, window_bits: int) -> Any:
        backend = zlib_backend()
        # A full flush forgets what was sent, so that the next message does not refer to it; a new engine would cost
        # several times as much.
        self._flush = backend.Z_FULL_FLUSH if self.no_context_takeover else backend.Z_SYNC_FLUSH
        bits = max(window_bits, LEAST_ZLIB_BITS)
        return backend.compressobj(level=self.level, wbits=-bits, memLevel=MEMORY_LEVEL)


class Inflater:
    """Inflates the messages of one direction, the output bounded while it is made.

    `pending`: more output is there without new input.
    """

    __slots__ = (
        "_bits",
        "_engine",
        "_errors",
        "_final",
        "_held",
        "_streams",
        "no_context_takeover",
        "pending",
        "window_bits",
    )

    def __init__(self, window_bits: int = MAX_WINDOW_BITS, no_context_takeover: bool = False) -> None:
        self.window_bits = window_bits
        self.no_context_takeover = no_context_takeover
        self.pending = False
        self._bits = -max(window_bits, LEAST_ZLIB_BITS)
        self._errors: tuple[type[Exception], ...] = (zlib.error,)
        self._engine: Any = None
        self._held: bytes = b""
        self._final = False  # whether TAIL was given
        self._streams = 0

    def inflate(self, data: bytes, limit: int = 0) -> bytes:
        """Inflate a whole message; `limit` is the greatest number of bytes that may come out, 0 for any.

        Raises WebSocketError: 1009 when the message is larger, after one byte too many was made; 1007 when it is not
        DEFLATE data.
        """
        engine = self._engine or self._new()
        try:
            out: bytes = engine.decompress(data + TAIL, limit and limit + 1)
        except self._errors as exc:
            raise _corrupt(exc) from exc
        if limit and len(out) > limit:
            raise too_large(limit)
        if engine.eof:
            self._final = True
            out += self._next_streams(engine, limit and limit + 1 - len(out))
            if limit and len(out) > limit:
                raise too_large(limit)
            self.end()
        elif self.no_context_takeover:
            self._engine = None
        return out

    def inflate_part(self, data: bytes, limit: int = 0, final: bool = False) -> bytes:
        """Inflate the next part of a message to at most `limit` bytes, 0 for any number; raises WebSocketError 1007.

        While `pending` is true, ask for the rest with `inflate_part(b"", limit)`; after the rest of the final part
        call `end()`.
        """
        if self._held:
            data = self._held + data
        if final:
            self._final = True
            data += TAIL
        engine = self._engine or self._new()
        try:
            out: bytes = engine.decompress(data, limit)
        except self._errors as exc:
            raise _corrupt(exc) from exc
        # Behind a final block zlib shows the same bytes as unused_data.
        self._held = b"" if engine.eof else engine.unconsumed_tail
        if engine.eof and not (limit and len(out) >= limit):
            out += self._next_streams(engine, limit and limit - len(out))
        # zlib holds output back only when it has filled the room that it was given.
        self.pending = bool(limit) and len(out) >= limit
        return out

    def end(self) -> None:
        """Say that the message has ended."""
        self._streams = 0
        self._held = b""
        self._final = self.pending = False
        if self.no_context_takeover or (self._engine is not None and self._engine.eof):
            self._engine = None

    def _new(self) -> Any:
        backend = zlib_backend()
        self._errors = (zlib.error, getattr(backend, "error", zlib.error))
        self._engine = engine = backend.decompressobj(wbits=self._bits)
        return engine

    def _next_streams(self, engine: Any, limit: int) -> bytes:
        """Go on behind a final block, which a message may have (RFC 7692 §7.2.3.4, §7.2.3.5).

        Who sets BFINAL has ended its stream, so the next one refers to nothing that came before.
        """
        out = b""
        while engine.eof and engine.unused_data:
            rest: bytes = engine.unused_data
            if rest == TAIL and self._final:
                break
            self._streams += 1
            if self._streams > MAX_STREAMS:
                raise WebSocketError(
                    WSCloseCode.INVALID_TEXT, f"Compressed message with more than {MAX_STREAMS} final blocks"
                )
            engine = self._new()
            try:
                out += engine.decompress(rest, limit and limit - len(out))
            except self._errors as exc:
                raise _corrupt(exc) from exc
            self._held = b"" if engine.eof else engine.unconsumed_tail
            if limit and len(out) >= limit:
                break
        return out


def too_large(limit: int) -> WebSocketError:
    """The error for a message that inflates to more than the limit."""
    return WebSocketError(
        WSCloseCode.MESSAGE_TOO_BIG, f"Decompressed message exceeds size limit {limit} (option max_msg_size)"
    )


def _corrupt(exc: Exception) -> WebSocketError:
    return WebSocketError(WSCloseCode.INVALID_TEXT, f"Compressed message is not valid DEFLATE data: {exc}")

"""WebSocket frames: their words, the messages that they carry, masking and encoding (RFC 6455 §5).

In: an opcode and a payload.  Out: the bytes of a frame.  Decoding, which takes more state, is in `ws_decoder`.

Masking is an exclusive or with four bytes that repeat, and plain Python has no such operation on bytes.  Two detours
run in C from end to end: an `int` made of all the bytes, and `bytes.translate` on every fourth byte.  An `int` has the
lower price for a start, a table the lower one for a byte, and what was measured decides (microseconds, CPython 3.11):

    bytes                16    64   256  1024  4096  8192   64 Ki  1 Mi
    int                 0.5   0.6   1.3   4.4    13    29     240  4100
    translate           2.6   2.6   3.1   4.7    13    29     194  1750

so payloads of up to `INT_LIMIT` bytes take the first way.  In it the key is repeated by one multiplication, with a
factor out of a table for the sizes that occur most (up to `TABLE_LIMIT`).

Limits: a control frame carries `MAX_CONTROL` bytes, a frame fewer than 2**63.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, NamedTuple

MAX_CONTROL: Final = 125
"""Bytes in a control frame (RFC 6455 §5.5)."""

MAX_REASON: Final = MAX_CONTROL - 2
"""Bytes of the reason in a close frame, after the code."""

INT_LIMIT: Final = 1024
"""Bytes that are masked as one integer; more are translated."""

TABLE_LIMIT: Final = 512
"""Bytes for which the factor that repeats the key is kept."""

JOIN_LIMIT: Final = 16 * 1024
"""Bytes of payload that are copied behind their head; more are given beside it, to be written without a copy."""

FIN: Final = 0x80
RSV1: Final = 0x40
MASKED: Final = 0x80


class WSMsgType(IntEnum):
    """What a message is: the opcode (RFC 6455 §5.2), or from 256 on what happened to the connection."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    PING = 0x9
    PONG = 0xA
    CLOSE = 0x8

    CLOSING = 0x100
    CLOSED = 0x101
    ERROR = 0x102

    text = TEXT
    binary = BINARY
    ping = PING
    pong = PONG
    close = CLOSE
    closing = CLOSING
    closed = CLOSED
    error = ERROR


class WSCloseCode(IntEnum):
    """Why a connection ends (RFC 6455 §7.4 and the IANA registry); 1006 is never sent."""

    OK = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    ABNORMAL_CLOSURE = 1006
    INVALID_TEXT = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014


NO_STATUS: Final = 1005
"""The close code that stands for a close frame without one (RFC 6455 §7.1.5); never sent."""


class WSMessage(NamedTuple):
    """What was received: `data` is text, bytes or, of a close frame, its code; `extra` is the reason of a close."""

    type: WSMsgType
    data: Any
    extra: str | None

    def json(self, *, loads: Callable[[Any], Any] = json.loads) -> Any:
        """Return `data` decoded from JSON; raises what `loads` raises."""
        return loads(self.data)


class WSMessageTextBytes(NamedTuple):
    """A text message whose `data` is left as bytes (option decode_text=False); whether it is UTF-8 was not checked."""

    type: WSMsgType
    data: Any
    extra: str | None

    def json(self, *, loads: Callable[[Any], Any] = json.loads) -> Any:
        """Return `data` decoded from JSON; raises what `loads` raises."""
        return loads(self.data)


WSMessageDecodeText = WSMessage
WSMessageNoDecodeText = WSMessage | WSMessageTextBytes

WS_CLOSING_MESSAGE: Final = WSMessage(WSMsgType.CLOSING, None, None)
WS_CLOSED_MESSAGE: Final = WSMessage(WSMsgType.CLOSED, None, None)


class Part(NamedTuple):
    """A piece of a data message that is delivered as it comes; `data` of the last, `final`, may be empty."""

    type: WSMsgType
    data: str | bytes
    final: bool


# ------------------------------------------------------------------------------------------------------------- masking


def _repeats(words: int) -> list[int]:
    """Return the factors that repeat a number of 32 bits 0, 1, 2 ... times."""
    factors = [0]
    for _ in range(words):
        factors.append(factors[-1] << 32 | 1)
    return factors


# REPEAT[n]: the factor that repeats the key n times.  CUT[n]: the bits by which a key that was repeated in whole words
# is longer than n bytes.
REPEAT: Final = _repeats((TABLE_LIMIT + 7) // 4)
CUT: Final = [-size % 4 * 8 for size in range(TABLE_LIMIT + 1)]


class _Tables(dict[int, bytes]):
    """For each byte of a key the table that `bytes.translate` takes, made when it is first needed."""

    def __missing__(self, byte: int) -> bytes:
        self[byte] = table = bytes(other ^ byte for other in range(256))
        return table


_tables: Final = _Tables()


def mask(data: bytes | bytearray | memoryview, key: bytes) -> bytes:
    """Mask or unmask `data`, of any length, with a key of four bytes (RFC 6455 §5.3)."""
    size = len(data)
    if size <= TABLE_LIMIT:
        repeated = int.from_bytes(key) * REPEAT[size + 3 >> 2] >> CUT[size]
        return (int.from_bytes(data) ^ repeated).to_bytes(size)
    if size <= INT_LIMIT:
        repeated = int.from_bytes((key * (size + 3 >> 2))[:size])
        return (int.from_bytes(data) ^ repeated).to_bytes(size)
    return bytes(_translated(data, key))


def _translated(data: bytes | bytearray | memoryview, key: bytes) -> bytes | bytearray:
    if isinstance(data, memoryview):
        data = bytes(data)  # every fourth byte of a view cannot be translated
    if not any(key):  # what clients send that need not mask and must
        return data
    masked = bytearray(len(data))
    for place, byte in enumerate(key):
        masked[place::4] = data[place::4].translate(_tables[byte])
    return masked


# ------------------------------------------------------------------------------------------------------------ encoding

# The first two bytes of short frames: by first byte, which is seldom more than two values, and by second byte.
_short: Final[dict[int, list[bytes]]] = {}


def _heads(first: int) -> list[bytes]:
    _short[first] = heads = [bytes((first, second)) for second in range(256)]
    return heads


def frame_head(first: int, size: int, masked: int = 0) -> bytes:
    """Return the head of a frame without its masking key; `first` is FIN, RSV1 and the opcode, `masked` 0 or MASKED."""
    if size < 126:
        return bytes((first, masked | size))
    if size < 1 << 16:
        return bytes((first, masked | 126)) + size.to_bytes(2)
    return bytes((first, masked | 127)) + size.to_bytes(8)


def encode_unmasked(first: int, payload: bytes) -> bytes:
    """Return a frame of a server: `first` is FIN, RSV1 and the opcode in one byte, as in the frame."""
    size = len(payload)
    if size < 126:
        try:
            return _short[first][size] + payload
        except KeyError:
            return _heads(first)[size] + payload
    return frame_head(first, size) + payload


def encode_masked(first: int, payload: bytes, key: int) -> bytes:
    """Return a frame of a client; `key` is the masking key as a number of 32 bits, which must be unpredictable."""
    size = len(payload)
    if size < 126:
        # The key stands in front of the payload: masking nothing but zeros gives it.
        whole = int.from_bytes(payload) ^ (key * REPEAT[size + 7 >> 2] >> CUT[size])
        try:
            return _short[first][size + 128] + whole.to_bytes(size + 4)
        except KeyError:
            return _heads(first)[size + 128] + whole.to_bytes(size + 4)
    if size <= TABLE_LIMIT:
        whole = int.from_bytes(payload) ^ (key * REPEAT[size + 7 >> 2] >> CUT[size])
        return frame_head(first, size, MASKED) + whole.to_bytes(size + 4)
    four = key.to_bytes(4)
    masked = mask(payload, four) if size <= INT_LIMIT else _translated(payload, four)
    return b"".join((frame_head(first, size, MASKED), four, masked))


def frame_parts(
    opcode: int,
    payload: bytes | bytearray | memoryview,
    *,
    mask: bytes | None = None,
    fin: bool = True,
    rsv1: bool = False,
) -> tuple[bytes | bytearray | memoryview, ...]:
    """Return a frame in one piece or, when the payload is large and goes out as it is, in two: head and payload.

    Raises ValueError for a control frame that is fragmented, compressed or over `MAX_CONTROL` bytes, and for a masking
    key that is not four bytes.
    """
    if isinstance(payload, memoryview):
        payload = payload.cast("B") if payload.c_contiguous else bytes(payload)
    size = len(payload)
    if opcode >= 8 and (size > MAX_CONTROL or rsv1 or not fin):
        raise ValueError(
            f"a control frame has at most {MAX_CONTROL} bytes, is not fragmented and not compressed; "
            f"this one has {size} bytes, fin={fin}, rsv1={rsv1}"
        )
    if mask is not None and len(mask) != 4:
        raise ValueError(f"a masking key has 4 bytes, not {len(mask)}")
    first = (FIN if fin else 0) | (RSV1 if rsv1 else 0) | opcode
    if mask is not None:
        return (b"".join((frame_head(first, size, MASKED), mask, _mask(payload, mask))),)
    head = frame_head(first, size)
    return (b"".join((head, payload)),) if size <= JOIN_LIMIT else (head, payload)


_mask = mask  # the parameter above has the name that the RFC and callers use


def encode_frame(
    opcode: int,
    payload: bytes | bytearray | memoryview,
    *,
    mask: bytes | None = None,
    fin: bool = True,
    rsv1: bool = False,
) -> bytes:
    """Return a frame as one `bytes`; raises what `frame_parts` raises."""
    parts = frame_parts(opcode, payload, mask=mask, fin=fin, rsv1=rsv1)
    whole = parts[0] if len(parts) == 1 else b"".join(parts)
    return whole if isinstance(whole, bytes) else bytes(whole)


# --------------------------------------------------------------------------------------------------------------- close


def may_be_sent(code: int) -> bool:
    """Tell whether a close frame may carry this code (RFC 6455 §7.4).

    1004 to 1006 and 1015 are reserved, 1016 to 2999 not assigned, and below 1000 there is nothing.  Of the codes over
    4999 the RFC says nothing, so they pass.
    """
    return code >= 3000 or (1000 <= code <= 1014 and not 1004 <= code <= 1006)


def close_payload(code: int | None, reason: bytes | str = b"") -> bytes:
    """Return the payload of a close frame, empty when `code` is None; a long reason is cut between characters.

    Raises ValueError for a code that may not be sent.
    """
    if code is None:
        return b""
    if not may_be_sent(code) or code > 0xFFFF:
        raise ValueError(
            f"close code {code} may not be sent (RFC 6455 section 7.4): use 1000 to 1003, 1007 to 1014, 3000 to 4999"
        )
    if isinstance(reason, str):
        reason = reason.encode()
    if len(reason) > MAX_REASON:
        reason = reason[:MAX_REASON].decode("utf-8", "ignore").encode()
    return code.to_bytes(2) + reason

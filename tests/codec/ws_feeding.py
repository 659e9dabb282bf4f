"""Make frames bit by bit, and feed a WebSocket decoder in many ways that must agree."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import Any

from fairlead.codec.ws import Part, WebSocketDecoder, WebSocketError, WSMessage, WSMessageTextBytes
from fairlead.codec.ws_deflate import Inflater

KEY = b"\xa1\x02\xfe\x33"

MAX_CUTS = 200
"""Places where long input is cut in two: more would only take time."""

MAX_BYTES = 5000
"""Input that is not fed byte by byte when it is longer, but in pieces of 97 bytes."""

Plain = list[Any]


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = None,
    length: int | None = None,
    form: int | None = None,
) -> bytes:
    """Write a frame by the picture of RFC 6455 §5.2; `length` and `form` (7, 16, 64 bits) may lie."""
    size = len(payload) if length is None else length
    if form is None:
        form = 7 if size < 126 else 16 if size < 65536 else 64
    head = bytearray([fin << 7 | rsv << 4 | opcode])
    masked = 0 if key is None else 0x80
    head += {
        7: lambda: bytes([masked | size]),
        16: lambda: bytes([masked | 126]) + size.to_bytes(2, "big"),
        64: lambda: bytes([masked | 127]) + size.to_bytes(8, "big"),
    }[form]()
    if key is not None:
        head += key
        payload = xor(payload, key)
    return bytes(head) + payload


def xor(payload: bytes, key: bytes) -> bytes:
    """Mask by the formula of RFC 6455 §5.3: octet i with octet i modulo 4 of the key."""
    return bytes(octet ^ key[i % 4] for i, octet in enumerate(payload))


def deflated(data: bytes, *, wbits: int = 15, final: bool = False) -> bytes:
    """Compress a message by RFC 7692 §7.2.1, or with BFINAL set and an empty block behind (§7.2.3.4)."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -wbits)
    if final:
        return engine.compress(data) + engine.flush(zlib.Z_FINISH) + b"\x00"
    out = engine.compress(data) + engine.flush(zlib.Z_SYNC_FLUSH)
    assert out.endswith(b"\x00\x00\xff\xff")
    return out[:-4]


def plain(events: Iterable[Any]) -> Plain:
    """Turn events into tuples: type and data, of a close its reason too; errors into code and text, parts joined."""
    found: Plain = []
    open_part = False
    for event in events:
        match event:
            case Part(kind, data, final):
                if open_part:
                    _, joined, _ = found[-1]
                    found[-1] = (kind.name, joined + data, final)
                else:
                    found.append((kind.name, data, final))
                open_part = not final
            case WSMessage(kind, data, ""):
                found.append((kind.name, data))
            case WSMessage(kind, data, reason):
                found.append((kind.name, data, reason))
            case WSMessageTextBytes(kind, data, ""):
                assert isinstance(data, bytes)
                found.append((kind.name, data))
            case WebSocketError():
                found.append((int(event.code), str(event)))
            case _:
                raise AssertionError(f"unknown event {event!r}")
    return found


def feed_all(decoder: WebSocketDecoder, pieces: Iterable[bytes]) -> list[Any]:
    """Feed pieces; check what holds for every decoder."""
    events: list[Any] = []
    for piece in pieces:
        events += decoder.feed(piece)
        while decoder.pending:
            events += decoder.feed(b"")
    failed = [event for event in events if isinstance(event, WebSocketError)]
    assert failed == ([decoder.error] if decoder.error else []), "an error is reported once"
    assert not failed or events[-1] is failed[0], "an error is the last event"
    if failed:
        assert decoder.closed
    if decoder.closed:
        assert decoder.feed(b"\x81\x01x") == []
        assert decoder.feed_eof() == []
    return events


def decode(make: Callable[[], WebSocketDecoder], data: bytes) -> Plain:
    """Decode whole, byte by byte, cut in two everywhere and as other buffers, which must agree."""
    whole = plain(feed_all(make(), [data]))
    step = 1 if len(data) < MAX_BYTES else 97
    assert plain(feed_all(make(), [data[at : at + step] for at in range(0, len(data), step)])) == whole, "byte by byte"
    places = range(1, len(data))
    if len(data) > MAX_CUTS:
        places = sorted(
            {*range(1, 40), *range(1, len(data), 1 + len(data) // MAX_CUTS), *range(len(data) - 40, len(data))}
        )
    for place in places:
        assert plain(feed_all(make(), [data[:place], data[place:]])) == whole, f"cut at {place}"
    assert plain(make().feed(bytearray(data))) == plain(make().feed(memoryview(data))) == plain(make().feed(data))
    return whole


def decoders(role: Any = "client", *, deflate: bool = False, **options: Any) -> Callable[[], WebSocketDecoder]:
    """Make decoders of one kind."""
    return lambda: WebSocketDecoder(role=role, deflate=Inflater() if deflate else None, **options)

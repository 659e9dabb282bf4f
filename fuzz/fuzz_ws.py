"""Fuzz the WebSocket decoder: any bytes, cut anywhere, give events or one documented error, and the same ones.

    python fuzz/fuzz_ws.py --seed 1 --count 100000      mutations of valid frames; needs nothing else
    python fuzz/fuzz_ws.py --atheris corpus/ [...]      coverage-guided, where atheris is installed; its own options

In: seed and count.  Out: exit status 0, or the input that broke a promise, with the promise, and exit status 1.

What is promised, for each role and set of options: `feed` and `feed_eof` raise nothing; a `WebSocketError` comes at
most once and last, with one of the documented codes; after it, and after a close frame, the decoder is closed and
silent; what is decoded does not depend on the cuts; no message is larger than `max_msg_size`, and no call gives much
more than `INFLATED_LIMIT` bytes of inflated data.
"""

from __future__ import annotations

import argparse
import random
import sys
import zlib
from collections.abc import Callable, Iterable
from typing import Any, Final

from fairlead.codec.ws import Part, WebSocketDecoder, WebSocketError, WSMessage, WSMessageTextBytes, WSMsgType
from fairlead.codec.ws_decoder import INFLATED_LIMIT, PIECE
from fairlead.codec.ws_deflate import Inflater
from fairlead.codec.ws_frames import encode_frame

CODES: Final = {1002, 1006, 1007, 1009}
"""Every close code of the decoder's errors; 1006 only at the end of the connection."""

LIMIT: Final = 300
"""`max_msg_size` of the decoders that have one."""

KEY: Final = b"\x01\x82\x00\xf3"


def deflated(data: bytes) -> bytes:
    """Compress a message."""
    engine = zlib.compressobj(wbits=-15)
    return (engine.compress(data) + engine.flush(zlib.Z_SYNC_FLUSH))[:-4]


def _frames() -> list[list[tuple[int, bytes, bool, bool]]]:
    """Return conversations as opcode, payload, fin and rsv1 of each frame."""
    packed = deflated(b"hello, hello, hello " * 9)
    return [
        [(1, b"hello", True, False), (2, b"\x00\xff", True, False), (8, b"\x03\xe8bye", True, False)],
        [(1, "h\u00e9".encode()[:2], False, False), (9, b"?", True, False), (0, "h\u00e9".encode()[2:], True, False)],
        [(2, b"x" * 125, True, False), (2, b"y" * 126, True, False), (10, b"", True, False)],
        [(2, b"z" * 200, False, False), (0, b"", False, False), (0, b"z" * 101, True, False)],
        [(1, packed, True, True), (1, packed, True, True), (8, b"", True, False)],
        [(1, packed[:5], False, True), (9, b"", True, False), (0, packed[5:], True, False)],
        [(2, deflated(bytes(5000)), True, True), (1, b"after", True, False)],
        [(2, b"\xf3H\xcd\xc9\xc9\x07\x00\x00", True, True), (1, b"\xf3H\xcd\xc9\xc9\x07\x00", True, True)],
        [(1, "\U0001f600\u20ac".encode(), True, False), (1, b"", True, False), (2, b"", True, True)],
    ]


SEEDS: Final = [
    b"".join(encode_frame(opcode, data, mask=mask, fin=fin, rsv1=rsv1) for opcode, data, fin, rsv1 in conversation)
    for conversation in _frames()
    for mask in (None, KEY)
]

TOKENS: Final = [
    *(
        bytes((first,))
        for first in (0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0xC1, 0xC2, 0x41, 0x83, 0xF1)
    ),
    *(b"\x00", b"\x05", b"\x7d", b"\x7e", b"\x7f", b"\xfd", b"\xfe", b"\xff", b"\x7e\x00\x7e", b"\xfe\x00\x7d"),
    *(b"\x7f" + bytes(6) + b"\x01\x00", b"\x7f\x80" + bytes(7), b"\x7f" + bytes(5) + b"\x01\x00\x00", KEY),
    *(b"\x88\x02\x03\xe8", b"\x88\x02\x03\xed", b"\x88\x01\x03", b"\x89\x00", b"\x80\x00", b"\x00\x00", b"\x81\x01a"),
    *(
        b"\xc3",
        b"\xa9",
        b"\xed\xa0\x80",
        b"\xf4\x90",
        b"\xf0\x9f\x98\x80",
        b"\x00\x00\xff\xff",
        b"\x03\x00",
        b"a" * 130,
    ),
]


def maker(role: Any, *, deflate: bool = False, next_streamed: bool = False, **options: Any) -> Callable[[], Any]:
    """Return what makes decoders of one kind."""

    def make() -> WebSocketDecoder:
        decoder = WebSocketDecoder(role=role, deflate=Inflater() if deflate else None, **options)
        if next_streamed:
            decoder.stream_next()
        return decoder

    return make


MAKERS: Final[dict[str, Callable[[], WebSocketDecoder]]] = {
    f"{role}, {kind}": maker(role, **options)
    for role in ("client", "server")
    for kind, options in {
        "plain": {},
        "limited": {"max_msg_size": LIMIT},
        "deflate": {"deflate": True, "max_msg_size": 0},
        "deflate, limited": {"deflate": True, "max_msg_size": LIMIT},
        "text as bytes": {"deflate": True, "decode_text": False},
        "streamed": {"deflate": True, "stream_over": 100},
        "next streamed": {"deflate": True, "next_streamed": True},
    }.items()
}


def check(data: bytes, seed: int = 0) -> None:
    """Raise AssertionError, naming the decoder and the promise, when one is broken for this input."""
    place = random.Random(seed).randrange(len(data) + 1)
    for kind, make in MAKERS.items():
        try:
            whole = decode(make(), [data])
            assert decode(make(), [data[at : at + 1] for at in range(len(data))]) == whole, "other events byte by byte"
            assert decode(make(), [data[:place], data[place:]]) == whole, f"other events when cut at {place}"
        except Exception as exc:
            raise AssertionError(f"{kind}: {exc!r} for {data!r}") from exc


def decode(decoder: WebSocketDecoder, pieces: Iterable[bytes]) -> list[Any]:
    """Feed pieces and the end; return comparable events, parts joined."""
    events: list[Any] = []
    for piece in pieces:
        waiting = piece
        while waiting or decoder.pending:
            given = decoder.feed(waiting)
            waiting = b""
            size = sum(len(event.data) for event in given if isinstance(event, Part))
            assert size <= INFLATED_LIMIT + PIECE + len(piece), "too much at once"
            events += given
    ended = [event for event in events if isinstance(event, WSMessage) and event.type is WSMsgType.CLOSE]
    errors = [event for event in events if isinstance(event, WebSocketError)]
    assert errors == ([decoder.error] if decoder.error else []), "error not reported once"
    assert decoder.closed == bool(errors or ended), "closed without a reason, or not closed"
    assert all(error.code != 1006 for error in errors), "1006 before the end of the connection"
    last = decoder.feed_eof()
    assert len(last) == (not errors and not ended), "the end of the connection"
    assert all(event.code == 1006 for event in last), "another code than 1006 at the end"  # type: ignore[union-attr]
    events += last
    assert decoder.closed, "open after the end"
    assert not any(isinstance(event, WebSocketError) for event in events[:-1]), "events after the error"
    assert decoder.feed(b"\x81\x00") == [], "events after the end"
    assert decoder.feed_eof() == [], "events after the end"
    return comparable(events, decoder)


def comparable(events: Iterable[Any], decoder: WebSocketDecoder) -> list[Any]:
    """Turn events into plain values; of a message that ended in an error nothing is left."""
    found: list[Any] = []
    parts: list[Any] = []
    for event in events:
        if isinstance(event, Part):
            parts.append(event.data)
            if event.final:
                found.append((event.type, parts[0][:0].join(parts)))
                parts = []
        elif isinstance(event, WebSocketError):
            assert event.code in CODES, f"code {event.code}"
            assert len(str(event)) < 200, "an error message that repeats the input"
            # Compressed text that is both too large and not text: which is seen first depends on the cuts.
            found.append(1007 if decoder.deflate is not None and event.code == 1009 else int(event.code))
        else:
            assert isinstance(event, WSMessage | WSMessageTextBytes), f"unknown event {event!r}"
            if event.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                size = len(event.data.encode() if isinstance(event.data, str) else event.data)
                assert not decoder.max_msg_size or size <= decoder.max_msg_size, "a message over the limit"
            found.append((event.type, event.data, event.extra) if event.extra else (event.type, event.data))
    return found


def mutate(chance: random.Random) -> bytes:
    """Make an input: valid frames with a few pieces replaced, inserted or repeated."""
    data = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randrange(6)):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice((0, 0, 1, 1, 2, 5)))
        kind = chance.random()
        if kind < 0.7:
            data[at:end] = chance.choice(TOKENS)
        elif kind < 0.8:
            data[at:end] = chance.randbytes(2)
        elif kind < 0.9:
            data += chance.choice(SEEDS)
        else:
            data[at:at] = data[chance.randrange(at + 1) : at][:100]
    return bytes(data)


def run(seed: int, count: int) -> None:
    """Check `count` inputs; the same seed gives the same inputs."""
    chance = random.Random(seed)
    for number in range(count):
        check(mutate(chance), number)


def main(arguments: list[str]) -> int:
    """Run from the command line; return the exit status."""
    if arguments[:1] == ["--atheris"]:
        import atheris

        atheris.instrument_all()
        atheris.Setup([sys.argv[0], *arguments[1:]], check)
        atheris.Fuzz()
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--count", type=int, default=20_000)
    options = parser.parse_args(arguments)
    print(f"fuzz_ws: {options.count} inputs of seed {options.seed}", flush=True)
    try:
        run(options.seed, options.count)
    except AssertionError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

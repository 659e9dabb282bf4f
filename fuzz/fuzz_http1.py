"""Fuzz the HTTP/1.1 decoders: any bytes, cut anywhere, give events or one documented error, and the same ones.

    python fuzz/fuzz_http1.py --seed 1 --count 100000      mutations of valid messages; needs nothing else
    python fuzz/fuzz_http1.py --atheris corpus/ [...]      coverage-guided, where atheris is installed; its own options

In: seed and count.  Out: exit status 0, or the input that broke a promise, with the promise, and exit status 1.

What is promised, for each kind of decoder: `feed` and `feed_eof` raise nothing; a `ProtocolError` comes at most once
and last, has the peer at fault and one of the documented slugs; after it the decoder is closed and silent; what is
decoded does not depend on the cuts; no more body bytes come out than went in.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

from fairlead.codec.events import CHUNK_END, END, RequestHead, ResponseHead, Trailers
from fairlead.codec.http1 import Decoder, RequestDecoder, ResponseDecoder
from fairlead.errors import ProtocolError

SLUGS: Final = frozenset(
    f"h1.{group}.{name}"
    for group, names in {
        "line": "status request target version start empty line-end length interim",
        "field": "fold colon name space-before-colon line-end value count length",
        "length": "empty overflow syntax duplicate conflict coding coding-1.0",
        "chunk": "size overflow line-end line-length extensions data-end trailers trailer-line-end",
        "eof": "head length chunked",
        "response": "unexpected",
        "request": "early",
    }.items()
    for name in names.split()
) | {"h1.host"}
"""Every error of the decoders."""

SEEDS: Final = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: a\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n",
    b"HTTP/1.1 100 C\n\nHTTP/1.1 200 OK\nContent-Length:\r\n 5\n\nhel\r\n\r\nlo",
    b"\r\n\r\nHTTP/1.0 404\r\nConnection: keep-alive\r\n\r\nxyz",
    b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\x81\x00",
    b"HTTP/1.1 204 N\r\nContent-Length: 3\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /x HTTP/1.1\r\nHost:b\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n"
    b"0\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /%20 HTTP/1.0\r\nA:b\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x00",
    b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n\x16\x03",
]

TOKENS: Final = [
    *(b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\n\n", b" ", b"\t", b":", b",", b";", b"\x00", b"\x01", b"\x7f", b"\xe9"),
    *("é".encode(), "\u212a".encode(), b"0", b"-", b"+", b"_", b"0x", b"f" * 17, b"a" * 40, b"\r\n0\r\n\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b" fold\r\n", b"HTTP/1.1", b"X:a\r\n"),
    *(b"Host: a\r\n", b"Transfer-Encoding:", b"Connection: close\r\n", b"HTTP/1.1 100 \r\n\r\n"),
    *(b"GET / HTTP/1.1\r\n", b"X: y\n"),
]


def responses(method: str, **options: Any) -> Callable[[], Decoder]:
    """Make decoders that expect a response to `method`."""

    def make() -> Decoder:
        decoder = ResponseDecoder(**options)
        decoder.expect(method)
        return decoder

    return make


TIGHT: Final = {"max_line_size": 30, "max_field_size": 30, "max_headers": 3}
MAKERS: Final[dict[str, Callable[[], Decoder]]] = {
    "response, lenient": responses("GET", lenient=True),
    "response, strict": responses("GET"),
    "response, lenient, tight limits": responses("GET", lenient=True, **TIGHT),
    "response to HEAD": responses("HEAD", lenient=True),
    "response to CONNECT": responses("CONNECT"),
    "request": RequestDecoder,
    "request, tight limits": lambda: RequestDecoder(**TIGHT),
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


def decode(decoder: Decoder, pieces: Iterable[bytes]) -> list[Any]:
    """Feed pieces and the end; return comparable events, body data joined."""
    events: list[Any] = []
    size = 0
    for piece in pieces:
        if piece:
            size += len(piece)
            events += decoder.feed(piece)
    events += decoder.feed_eof()
    errors = [event for event in events if isinstance(event, ProtocolError)]
    assert errors == ([decoder.error] if decoder.error else []), "error not reported once"
    assert not errors or events[-1] is errors[0], "events after the error"
    assert decoder.closed, "open after the end"
    assert decoder.feed(b"HTTP") == [], "events after the end"
    assert sum(len(event) for event in events if isinstance(event, bytes)) <= size, "more body than input"
    return comparable(events)


def comparable(events: Iterable[Any]) -> list[Any]:
    """Turn events into plain values."""
    found: list[Any] = []
    for event in events:
        if isinstance(event, bytes):
            if found and isinstance(found[-1], bytes):
                found[-1] += event
            else:
                found.append(event)
        elif isinstance(event, ResponseHead | RequestHead):
            found.append((repr(event), event.version, event.pairs))
        elif isinstance(event, Trailers):
            found.append(list(event.headers.items()))
        elif isinstance(event, ProtocolError):
            assert event.slug in SLUGS, f"unknown slug {event.slug}"
            assert event.fault == "peer", "not the peer's fault"
            found.append(event.slug)
        else:
            assert event in (END, CHUNK_END), f"unknown event {event!r}"
            if event is END:  # where chunks end is compared by the body alone: their data is joined
                found.append(event)
    return found


def mutate(chance: random.Random) -> bytes:
    """Make an input: a valid message with a few pieces replaced, inserted or repeated."""
    data = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randrange(6)):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice((0, 0, 1, 2, 5)))
        kind = chance.random()
        if kind < 0.8:
            data[at:end] = chance.choice(TOKENS)
        elif kind < 0.9:
            data[at:end] = chance.randbytes(2)
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
    print(f"fuzz_http1: {options.count} inputs of seed {options.seed}", flush=True)
    try:
        run(options.seed, options.count)
    except AssertionError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Feed a decoder in many ways that must agree: whole, byte by byte, and cut in two at every place.

Events become plain values that compare and print well; body data is joined, marks between it are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fairlead.codec.events import CHUNK_END, END, RequestHead, ResponseHead, Trailers
from fairlead.codec.framing import CHUNKED, TUNNEL, UNTIL_CLOSE
from fairlead.codec.http1 import Decoder, RequestDecoder, ResponseDecoder
from fairlead.errors import ProtocolError

LENGTHS = {CHUNKED: "chunked", UNTIL_CLOSE: "until close", TUNNEL: "tunnel"}

MAX_CUTS = 400
"""Places where long input is cut in two: more would only take time."""

Plain = list[Any]


def plain(events: Iterable[Any]) -> Plain:
    """Turn events into tuples and strings; the marks of chunk ends are left out, body data is joined."""
    found: Plain = []
    for event in events:
        match event:
            case bytes():
                assert event, "an empty piece of body"
                if found and isinstance(found[-1], bytes):
                    found[-1] += event
                else:
                    found.append(event)
            case ResponseHead():
                found.append(
                    response(event.status, event.length, event.keep_alive, event.reason, event.version, event.pairs)
                )
                assert list(event.headers.items()) == event.pairs
            case RequestHead():
                found.append(
                    request(event.method, event.target, event.length, event.keep_alive, event.version, event.pairs)
                )
                assert list(event.headers.items()) == event.pairs
            case Trailers():
                found.append(("trailers", *event.headers.items()))
            case ProtocolError():
                assert event.fault == "peer"
                assert 400 <= event.status < 600
                assert len(event.message) < 400, "an error message that repeats the input"
                found.append(event.slug)
            case _:
                assert event in (END, CHUNK_END)
                if event is END:
                    found.append("end")
    return found


def response(
    status: int,
    length: int | str,
    keep_alive: bool = True,
    reason: str = "OK",
    version: tuple[int, int] = (1, 1),
    pairs: Iterable[tuple[str, str]] = (),
) -> tuple[Any, ...]:
    """Show a response head."""
    return (status, reason, tuple(version), LENGTHS.get(length, length), keep_alive, tuple(pairs))  # type: ignore[call-overload]


def request(
    method: str,
    target: str,
    length: int | str = 0,
    keep_alive: bool = True,
    version: tuple[int, int] = (1, 1),
    pairs: Iterable[tuple[str, str]] = (("Host", "a"),),
) -> tuple[Any, ...]:
    """Show a request head."""
    return (method, target, tuple(version), LENGTHS.get(length, length), keep_alive, tuple(pairs))  # type: ignore[call-overload]


def feed_all(decoder: Decoder, pieces: Iterable[bytes]) -> list[Any]:
    """Feed pieces and the end of the connection; check what holds for every decoder."""
    events: list[Any] = []
    for piece in pieces:
        if piece:
            events += decoder.feed(piece)
    failed = [event for event in events if isinstance(event, ProtocolError)]
    assert failed == ([decoder.error] if decoder.error else []), "an error is reported once"
    assert decoder.closed == bool(failed)
    events += decoder.feed_eof()
    assert decoder.closed
    failed = [event for event in events if isinstance(event, ProtocolError)]
    assert failed == events[-1:] if failed else True, "an error is the last event"
    assert decoder.feed(b"x") == []
    assert decoder.feed_eof() == []
    assert not decoder.in_head
    assert decoder.missing is None
    return events


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """Cut in two: everywhere, or for long input in MAX_CUTS places, around its lines' ends first."""
    places: Iterable[int] = range(1, len(data))
    if len(data) > MAX_CUTS:
        near = [at + step for at, byte in enumerate(data) if byte == 10 for step in (-1, 0, 1)][-MAX_CUTS // 2 :]
        places = sorted({*near, *range(1, len(data), 2 * len(data) // MAX_CUTS)})
    for place in places:
        yield [data[:place], data[place:]]


def decode(make: Callable[[], Decoder], data: bytes) -> Plain:
    """Decode in all ways, which must agree; return the plain events."""
    whole = plain(feed_all(make(), [data]))
    assert plain(feed_all(make(), [data[at : at + 1] for at in range(len(data))])) == whole, "byte by byte"
    for pieces in cuts(data):
        assert plain(feed_all(make(), pieces)) == whole, f"cut at {len(pieces[0])}"
    return whole


def responses(method: str = "GET", *, lenient: bool = True, **limits: int) -> Callable[[], ResponseDecoder]:
    """Make decoders that expect one response."""

    def make() -> ResponseDecoder:
        decoder = ResponseDecoder(lenient=lenient, **limits)
        decoder.expect(method)
        return decoder

    return make


def requests(**limits: int) -> Callable[[], RequestDecoder]:
    """Make decoders of requests."""
    return lambda: RequestDecoder(**limits)

"""What holds for any bytes, and agreement with h11 and httptools (llhttp) on generated messages."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from types import FrameType
from typing import Any

import pytest
from fuzz import fuzz_http1
from tests.codec.feeding import Plain, feed_all, plain, requests, responses

from fairlead.codec.chunked import encode_chunk
from fairlead.codec.events import HttpVersion10, HttpVersion11
from fairlead.codec.http1 import Decoder, encode_request, encode_response

h11 = pytest.importorskip("h11")
httptools = pytest.importorskip("httptools")
hypothesis = pytest.importorskip("hypothesis")
from hypothesis import strategies as st  # noqa: E402

TCHAR = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
FRAMING = {"content-length", "transfer-encoding", "connection", "proxy-connection", "upgrade", "host"}

names = st.text(TCHAR, min_size=1, max_size=12).filter(lambda name: name.lower() not in FRAMING)
visible = st.characters(min_codepoint=0x21, max_codepoint=0x2FF, exclude_characters="\x7f", exclude_categories=["Cs"])
words = st.text(visible, max_size=12)
values = st.lists(words, max_size=3).map(lambda parts: " ".join(parts).strip())
fields = st.lists(st.tuples(names, values), max_size=6)
chunks = st.lists(st.binary(min_size=1, max_size=40), max_size=5)
extensions = st.sampled_from([b"", b"", b";a", b";a=b", b';a="b;c"'])


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut at the places, counted from the start again where they lie beyond the end; no piece is empty."""
    ends = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(ends)]


# ---- any bytes


@hypothesis.given(
    st.sampled_from([*fuzz_http1.SEEDS, b"", b"HTTP/1.1 200 OK\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n"]),
    st.lists(st.sampled_from(fuzz_http1.TOKENS) | st.binary(max_size=4), max_size=8),
    st.integers(0, 200),
)
def test_any_bytes_give_events_or_one_error_however_they_are_cut(start: bytes, pieces: list[bytes], at: int) -> None:
    fuzz_http1.check(start[:at] + b"".join(pieces) + start[at:], at)


def test_the_fuzz_target_runs() -> None:
    fuzz_http1.run(1, 100)
    assert fuzz_http1.main(["--seed", "2", "--count", "10"]) == 0


def test_the_fuzz_target_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fuzz_http1, "SLUGS", frozenset())
    assert fuzz_http1.main(["--seed", "1", "--count", "100"]) == 1
    assert "unknown slug h1." in capsys.readouterr().err


# ---- encode, then decode


def chunked_body(pieces: list[bytes], extension: bytes, trailers: list[tuple[str, str]]) -> bytes:
    """Write a chunked body with an extension in each chunk."""
    written = b"".join(encode_chunk(piece).replace(b"\r\n", extension + b"\r\n", 1) for piece in pieces)
    lines = "".join(f"{name}: {value}\r\n" for name, value in trailers)
    return written + b"0" + extension + b"\r\n" + lines.encode() + b"\r\n"


@st.composite
def messages(draw: Any, kind: str) -> tuple[bytes, Plain]:
    """Draw a message: its bytes, and what they must decode to."""
    pairs: list[tuple[str, str]] = draw(fields)
    pieces = draw(chunks)
    body = b"".join(pieces)
    trailers: list[tuple[str, str]] = []
    version = draw(st.sampled_from([HttpVersion11, HttpVersion11, HttpVersion10]))
    keep_alive = version == HttpVersion11
    if draw(st.booleans()):
        pairs = [*pairs, ("Connection", draw(st.sampled_from(["close", "keep-alive"])))]
        keep_alive = pairs[-1][1] == "keep-alive"
    length: int | str
    if version == HttpVersion11 and draw(st.booleans()):
        pairs = [*pairs, ("Transfer-Encoding", "chunked")]
        trailers = draw(st.lists(st.tuples(names, values), max_size=2))
        raw = chunked_body(pieces, draw(extensions), trailers)
        length = "chunked"
    else:
        pairs = [*pairs, ("Content-Length", str(len(body)))]
        raw = body
        length = len(body)
    if kind == "request":
        pairs = [("Host", draw(st.sampled_from(["a", "example.org:80"]))), *pairs]
        method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS"]))
        target = "/" + draw(st.text("abc/%?=&~.-_0", max_size=20))
        head = encode_request(method, target, version, pairs)
        shown: tuple[Any, ...] = (method, target, tuple(version), length, keep_alive, tuple(pairs))
    else:
        status = draw(st.sampled_from([200, 201, 206, 301, 404, 500, 599]))
        reason = draw(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12))
        head = encode_response(status, reason, version, pairs)
        shown = (status, reason, tuple(version), length, keep_alive, tuple(pairs))
    expected: Plain = [shown]
    if body:
        expected.append(body)
    if trailers:
        expected.append(("trailers", *trailers))
    return head + raw, [*expected, "end"]


places = st.lists(st.integers(0, 2000), max_size=6)


@hypothesis.given(messages("response"), places, st.booleans())
def test_encoded_responses_are_decoded_to_the_same(message: Any, where: list[int], lenient: bool) -> None:
    data, expected = message
    assert plain(feed_all(responses(lenient=lenient)(), cut(data, where))) == expected


@hypothesis.given(st.lists(messages("request"), max_size=3), places)
def test_encoded_requests_are_decoded_to_the_same(several: list[Any], where: list[int]) -> None:
    data = b"".join(message[0] for message in several)
    assert plain(feed_all(requests()(), cut(data, where))) == [event for message in several for event in message[1]]


# ---- the oracles


def h11_events(connection: Any, pieces: list[bytes]) -> Plain:
    """Let h11 decode; heads without the spelling of names, which it does not keep."""
    found: Plain = []
    for piece in [*pieces, b""]:
        connection.receive_data(piece)
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                break
            if isinstance(event, h11.ConnectionClosed):
                return found
            if isinstance(event, h11.Data):
                if found and isinstance(found[-1], bytes):
                    found[-1] += bytes(event.data)
                else:
                    found.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                if event.headers:
                    found.append(("trailers", *event.headers))
                found.append("end")
            elif isinstance(event, h11.Response):
                found.append((event.status_code, bytes(event.reason), list(event.headers)))
            else:
                found.append((bytes(event.method), bytes(event.target), list(event.headers)))
        if piece == b"":
            break
    return found


def as_h11_shows(events: Plain) -> Plain:
    """Show our events as `h11_events` does."""

    def lower(pairs: Any) -> list[tuple[bytes, bytes]]:
        return [(name.lower().encode(), value.encode()) for name, value in pairs]

    found: Plain = []
    for event in events:
        if isinstance(event, tuple) and event[0] == "trailers":
            found.append(("trailers", *lower(event[1:])))
        elif isinstance(event, tuple):
            first, second, *_, pairs = event
            found.append((first if isinstance(first, int) else first.encode(), second.encode(), lower(pairs)))
        else:
            found.append(event)
    return found


@hypothesis.given(messages("response"), places)
def test_h11_decodes_responses_to_the_same(message: Any, where: list[int]) -> None:
    data, expected = message
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    assert h11_events(connection, cut(data, where)) == as_h11_shows(expected)


@hypothesis.given(messages("request"), places)
def test_h11_decodes_requests_to_the_same(message: Any, where: list[int]) -> None:
    data, expected = message
    assert h11_events(h11.Connection(h11.SERVER), cut(data, where)) == as_h11_shows(expected)


class Callbacks:
    """Collect what httptools reports, in the shape of `plain` without versions and lengths."""

    def __init__(self) -> None:
        self.found: Plain = []
        self.start = b""
        self.pairs: list[tuple[bytes, bytes]] = []
        self.in_trailers = False
        self.parser: Any = None

    def on_message_begin(self) -> None:
        self.start, self.pairs, self.in_trailers = b"", [], False

    def on_url(self, url: bytes) -> None:
        self.start += url

    def on_status(self, status: bytes) -> None:
        self.start += status

    def on_header(self, name: bytes, value: bytes) -> None:
        self.pairs.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        parser = self.parser
        first = parser.get_method() if hasattr(parser, "get_method") else parser.get_status_code()
        self.found.append((first, self.start, parser.should_keep_alive(), self.pairs))
        self.pairs = []

    def on_body(self, body: bytes) -> None:
        if isinstance(self.found[-1], bytes):
            self.found[-1] += body
        else:
            self.found.append(body)

    def on_message_complete(self) -> None:
        if self.pairs:
            self.found.append(("trailers", *self.pairs))
        self.found.append("end")


def httptools_events(kind: str, pieces: list[bytes]) -> Plain:
    """Let httptools decode."""
    callbacks = Callbacks()
    callbacks.parser = (httptools.HttpRequestParser if kind == "request" else httptools.HttpResponseParser)(callbacks)
    for piece in pieces:
        if piece:
            callbacks.parser.feed_data(piece)
    return callbacks.found


def as_httptools_shows(events: Plain) -> Plain:
    """Show our events as `httptools_events` does."""

    def pairs_of(pairs: Any) -> list[tuple[bytes, bytes]]:
        return [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in pairs]

    found: Plain = []
    for event in events:
        if isinstance(event, tuple) and event[0] == "trailers":
            found.append(("trailers", *pairs_of(event[1:])))
        elif isinstance(event, tuple):
            first, second, _, _, keep_alive, pairs = event
            first = first if isinstance(first, int) else first.encode()
            found.append((first, second.encode("utf-8", "surrogateescape"), keep_alive, pairs_of(pairs)))
        else:
            found.append(event)
    return found


@hypothesis.given(messages("response"), places)
def test_httptools_decodes_responses_to_the_same(message: Any, where: list[int]) -> None:
    data, expected = message
    assert httptools_events("response", cut(data, where)) == as_httptools_shows(expected)


@hypothesis.given(messages("request"), places)
def test_httptools_decodes_requests_to_the_same(message: Any, where: list[int]) -> None:
    data, expected = message
    assert httptools_events("request", cut(data, where)) == as_httptools_shows(expected)


# ---- linear work


class Work:
    """Count the lines of the codec that run: a measure of work that does not depend on the machine."""

    def __init__(self) -> None:
        self.lines = 0

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        if "codec" not in frame.f_code.co_filename:
            return None
        return self.count

    def count(self, frame: FrameType, event: str, arg: object) -> Any:
        self.lines += 1
        return self.count

    def of(self, make: Callable[[], Decoder], pieces: list[bytes]) -> int:
        before = sys.gettrace()
        sys.settrace(self.trace)
        try:
            decoder = make()
            for piece in pieces:
                decoder.feed(piece)
        finally:
            sys.settrace(before)
        return self.lines


MANY = {"max_headers": 10**6, "max_line_size": 10**6, "max_field_size": 10**6}
R = b"HTTP/1.1 200 OK\r\n"
Q = b"GET / HTTP/1.1\r\nHost: a\r\n"
C = R + b"Transfer-Encoding: chunked\r\n\r\n"
# what comes first, what is repeated, what comes last
HOSTILE: list[tuple[str, bytes, bytes, bytes]] = [
    ("fields", R, b"X: y\r\n", b"\r\n"),
    ("fields without colon", R, b"X", b"\r\n\r\n"),
    ("white space and a NUL", R + b"X:", b" ", b"\x00\r\n\r\n"),
    ("tabs, then a letter", R + b"X:", b"\t ", b"y\r\n\r\n"),
    ("value and a NUL", R + b"X:", b"y", b"\x00\r\n\r\n"),
    ("colons", R, b":", b"\r\n\r\n"),
    ("folds", R + b"X: y\r\n", b" z\r\n", b"\r\n"),
    ("folds with LF", R + b"X: y\n", b" z\n", b"\n"),
    ("fields with LF", R, b"X: y\n", b"\r\n\r\n"),
    ("CR", R + b"X: ", b"\r", b"\n\r\n"),
    ("reason", b"HTTP/1.1 200 ", b"a", b"\r\n\r\n"),
    ("spaces in the reason", b"HTTP/1.1 200 ", b" ", b"\r\r\n\r\n"),
    ("interim", b"", b"HTTP/1.1 100 C\r\n\r\n", R + b"\r\n"),
    ("interim with LF", b"", b"HTTP/1.1 100 C\n\n", R + b"\r\n"),
    ("interim with LF, no other end", b"", b"HTTP/1.1 100 C\nA: b\n\n", b""),
    ("list of codings", R + b"Transfer-Encoding: a", b",a", b"\r\n\r\n"),
    ("list of options", R + b"Connection: a", b", a", b"\r\n\r\n"),
    ("chunks", C, b"1\r\nx\r\n", b"0\r\n\r\n"),
    ("chunks with extensions", C, b"1;abcd\r\nx\r\n", b"0\r\n\r\n"),
    ("extension", C + b"1;", b"a", b"\r\nx\r\n"),
    ("white space after the size", C + b"1", b" ", b"\x00\r\n"),
    ("digits", C, b"0", b"\r\n"),
    ("trailers", C + b"0\r\n", b"A: b\r\n", b"\r\n"),
    ("one long trailer", C + b"0\r\nA: ", b"b", b"\r\n\r\n"),
    ("trailer without colon", C + b"0\r\n", b"a", b"\r\n\r\n"),
    ("body", R + b"\r\n", b"\r\n\r\n", b""),
    ("requests", b"", Q + b"\r\n", b""),
    ("target", b"GET /", b"a", b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("method", b"", b"G", b" / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("spaces in the request line", b"GET ", b" ", b"/ HTTP/1.1\r\n\r\n"),
]  # fmt: skip


def makers(data: bytes) -> list[Callable[[], Decoder]]:
    return [requests(**MANY)] if data.startswith(b"G") else [responses(**MANY), responses(lenient=False, **MANY)]


@pytest.mark.parametrize(("first", "again", "last"), [c[1:] for c in HOSTILE], ids=[c[0] for c in HOSTILE])
@pytest.mark.parametrize("step", [None, 1, 7])
def test_work_grows_with_the_bytes(first: bytes, again: bytes, last: bytes, step: int | None) -> None:
    def work(make: Callable[[], Decoder], times: int) -> int:
        data = first + again * times + last
        size = step or len(data)
        return Work().of(make, [data[at : at + size] for at in range(0, len(data), size)])

    for make in makers(first or again):
        small, large = work(make, 100), work(make, 400)
        assert large <= 4.2 * small + 50


@pytest.mark.parametrize(("first", "again", "last"), [c[1:] for c in HOSTILE], ids=[c[0] for c in HOSTILE])
def test_hostile_input_in_one_piece(first: bytes, again: bytes, last: bytes) -> None:
    """A pattern that backtracks, or a search that starts over, would take minutes for a segment of this size."""
    data = first + again * (250_000 // len(again)) + last
    for make in makers(first or again):
        events = feed_all(make(), [data])
        assert sum(len(event) for event in events if isinstance(event, bytes)) <= len(data)

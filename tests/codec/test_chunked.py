"""The chunked coding as a table, fed whole, byte by byte and cut everywhere, from any position of the data."""

from __future__ import annotations

import array
from collections.abc import Iterable
from typing import Any

import pytest
from tests.codec.feeding import Plain, cuts, plain

from fairlead.codec.chunked import (
    CHECKED,
    LAST_CHUNK,
    MAX_CHUNK_LINE,
    MAX_EXTENSIONS,
    MAX_SHORT_LINE,
    MAX_TRAILER_SECTION,
    ChunkedDecoder,
    encode_chunk,
)
from fairlead.codec.events import CHUNK_END, END
from fairlead.errors import ProtocolError

NEXT = b"\r\n0\r\n\r\nGET /"
"""What follows the body; it must stay untouched."""


def feed(pieces: Iterable[bytes], lenient: bool, **limits: int) -> tuple[Plain, int]:
    """Feed pieces, each from a position inside its data; return the events and how many bytes the body had."""
    decoder = ChunkedDecoder(lenient=lenient, **limits)
    events: list[Any] = []
    consumed = 0
    try:
        for number, piece in enumerate(pieces):
            if not piece or decoder.done:
                continue
            before = b"#" * (number % 3)
            end = decoder.feed(before + piece, len(before), events)
            assert len(before) < end <= len(before + piece)
            assert decoder.done or end == len(before + piece)
            consumed += end - len(before)
    except ProtocolError as exc:
        events.append(exc)
        consumed = 0
    return plain(events), consumed


def decode(data: bytes, *, lenient: bool = False, **limits: int) -> Plain:
    """Decode in all ways, with and without bytes after the body."""
    whole, size = feed([data], lenient, **limits)
    ways = [[data[at : at + 1] for at in range(len(data))], *cuts(data)]
    for pieces in ways:
        assert feed(pieces, lenient, **limits) == (whole, size), pieces[:1]
    if whole[-1:] == ["end"]:
        assert size == len(data)
        for pieces in ways:
            assert feed([*pieces, NEXT], lenient, **limits) == (whole, size)
            assert feed([*pieces[:-1], pieces[-1] + NEXT], lenient, **limits) == (whole, size), pieces[:1]
    return whole


# clause, bytes, events of a strict decoder, events of a lenient one (None: the same)
BODIES: list[tuple[str, bytes, Plain, Plain | None]] = [
    ("9112 7.1: as it should be", b"2\r\nok\r\n0\r\n\r\n", [b"ok", "end"], None),
    ("9112 7.1: empty", b"0\r\n\r\n", ["end"], None),
    ("9112 7.1: several", b"2\r\nok\r\n1\r\n!\r\n0\r\n\r\n", [b"ok!", "end"], None),
    ("9112 7.1: hexadecimal, either case", b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
     [b"0123456789" * 2, "end"], None),
    ("9112 7.1: leading zeros", b"0002\r\nok\r\n0000000000000000\r\n\r\n", [b"ok", "end"], None),
    ("the data look like framing", b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", [b"\r\n0\r\n\r\n", "end"], None),
    ("16 digits", b"000000000000000A\r\n0123456789\r\n0\r\n\r\n", [b"0123456789", "end"], None),
    ("17 digits", b"00000000000000002\r\nok\r\n", ["h1.chunk.overflow"], None),
    ("17 digits, then a letter", b"0000000000000002zz\r\nok\r\n", ["h1.chunk.size"], None),
    ("the largest", b"ffffffffffffffff\r\nok", [b"ok"], None),
    ("white space after the size", b"2 \t\r\nok\r\n0 \r\n\r\n", [b"ok", "end"], None),
    ("9112 7.1.1: extension", b'2;a=b;c="d e"\r\nok\r\n0;z\r\n\r\n', [b"ok", "end"], None),
    ("9112 7.1.1: bad white space", b"2 ; a = b \r\nok\r\n0\r\n\r\n", [b"ok", "end"], None),
    ("obs-text in an extension", b"2;\xff\xc3\xa9\r\nok\r\n0\r\n\r\n", [b"ok", "end"], None),
    ("white space in front", b" 2\r\nok\r\n", ["h1.chunk.size"], None),
    ("only white space", b"   \r\n", ["h1.chunk.size"], None),
    ("only CRLF", b"\r\n", ["h1.chunk.size"], None),
    ("only LF", b"\n", ["h1.chunk.size"], None),
    ("letters", b"zz\r\n", ["h1.chunk.size"], None),
    ("a letter in the digits", b"2g\r\n", ["h1.chunk.size"], None),
    ("LF alone", b"2\nok\r\n", ["h1.chunk.line-end"], None),
    ("LF alone after white space", b"2 \nok\r\n", ["h1.chunk.line-end"], None),
    ("CR CR LF", b"2\r\r\nok\r\n", ["h1.chunk.size"], None),
    ("LF alone after the last chunk", b"0\n\r\n", ["h1.chunk.line-end"], None),
    ("data too long", b"2\r\nok!\r\n", [b"ok", "h1.chunk.data-end"], None),
    ("data too short", b"4\r\nok\r\n0\r\n\r\n", [b"ok\r\n", "h1.chunk.data-end"], None),
    ("data too short by one", b"3\r\nok\r\n0\r\n\r\n", [b"ok\r", "h1.chunk.data-end"], [b"ok\r", "end"]),
    ("CR and no LF after the data", b"2\r\nok\r!", [b"ok", "h1.chunk.data-end"], None),
    ("CR CR LF after the data", b"2\r\nok\r\r\n", [b"ok", "h1.chunk.data-end"], None),
    ("LF alone after the data", b"2\r\nok\n0\r\n\r\n", [b"ok", "h1.chunk.data-end"], [b"ok", "end"]),
    ("9112 7.1.2: trailers", b"0\r\nA: b\r\nA:c\r\n\r\n", [("trailers", ("A", "b"), ("A", "c")), "end"], None),
    ("9110 6.5.1: framing in trailers is only shown", b"0\r\nContent-Length: 5\r\n\r\n",
     [("trailers", ("Content-Length", "5")), "end"], None),
    ("trailers with LF", b"0\r\nA: b\n\n", ["h1.chunk.trailer-line-end"], [("trailers", ("A", "b")), "end"]),
    ("an empty line with LF", b"0\r\n\n", ["h1.chunk.trailer-line-end"], ["end"]),
    ("an empty line with CR", b"0\r\n\rX\r\n\r\n", ["h1.field.colon"], None),
    ("folded trailer", b"0\r\nA: b\r\n c\r\n\r\n", ["h1.field.fold"], [("trailers", ("A", "b c")), "end"]),
    ("trailer without colon", b"0\r\nbad\r\n\r\n", ["h1.field.colon"], None),
    ("trailer with NUL", b"0\r\nA: \x00\r\n\r\n", ["h1.field.value"], None),
    ("trailer with a control", b"0\r\nA: \x01\r\n\r\n", ["h1.field.value"], [("trailers", ("A", "\x01")), "end"]),
    ("trailer, space before colon", b"0\r\nA : b\r\n\r\n", ["h1.field.space-before-colon"], None),
    ("nothing yet", b"2", [], None),
    ("cut before LF", b"2\r", [], None),
    ("cut in the data", b"3\r\nok", [b"ok"], None),
    ("cut after the data", b"2\r\nok", [b"ok"], None),
    ("cut in the data's CRLF", b"2\r\nok\r", [b"ok"], None),
    ("cut in the trailers", b"0\r\nA: b\r\n", [], None),
    ("cut in the last CRLF", b"0\r\n\r", [], None),
]  # fmt: skip


@pytest.mark.parametrize(("data", "strict", "lenient"), [c[1:] for c in BODIES], ids=[c[0] for c in BODIES])
def test_bodies(data: bytes, strict: Plain, lenient: Plain | None) -> None:
    assert decode(data) == strict
    assert decode(data, lenient=True) == (strict if lenient is None else lenient)


def extension(size: int) -> bytes:
    """A chunk-size line for two bytes, of `size` bytes without CRLF."""
    return b"2;".ljust(size, b"a") + b"\r\n"


def test_limit_of_a_chunk_size_line() -> None:
    assert decode(extension(MAX_CHUNK_LINE) + b"ok\r\n" + LAST_CHUNK) == [b"ok", "end"]
    assert decode(extension(MAX_CHUNK_LINE)[:-1]) == []
    for data in (
        extension(MAX_CHUNK_LINE + 1) + b"ok\r\n",
        extension(MAX_CHUNK_LINE + 1)[:-1],
        b"2;".ljust(MAX_CHUNK_LINE + 2, b"a"),
        b"2;".ljust(3 * MAX_CHUNK_LINE, b"a"),
        b"2;".ljust(CHECKED, b"a") + b"\x00".ljust(MAX_CHUNK_LINE, b"a"),
    ):
        assert decode(data) == ["h1.chunk.line-length"]
    for at in (2, CHECKED - 1):
        assert decode(b"2;".ljust(at, b"a") + b"\x00".ljust(2 * MAX_CHUNK_LINE, b"a")) == ["h1.chunk.size"]


def test_limit_of_all_extensions() -> None:
    # Sizes that fill the limit to the byte, then a short line that does not count, then one byte too much.
    lines = [8000] * (MAX_EXTENSIONS // 8002)
    lines.append(MAX_EXTENSIONS - sum(lines) - 2 * len(lines) - 2)
    full = b"".join(extension(size) + b"ok\r\n" for size in lines) + b"2;short\r\nok\r\n" * 3
    assert plain_sizes(full + LAST_CHUNK) == (2 * len(lines) + 6, "end")
    more = extension(MAX_SHORT_LINE - 1) + b"ok\r\n"
    assert plain_sizes(full + more) == (2 * len(lines) + 6, "h1.chunk.extensions")


def plain_sizes(data: bytes) -> tuple[int, str]:
    """Decode whole and byte by byte; return the length of the body and the last event."""
    whole, _ = feed([data], False)
    assert feed([data[at : at + 1] for at in range(len(data))], False)[0] == whole
    return len(whole[0]), whole[-1]


def test_limits_of_the_trailers() -> None:
    one = b"A: b\r\n"
    assert decode(b"0\r\n" + one * 5 + b"\r\n", max_headers=5) == [("trailers", *[("A", "b")] * 5), "end"]
    assert decode(b"0\r\n" + one * 6, max_headers=5) == ["h1.field.count"]
    assert decode(b"0\r\nA: " + b"b" * 20 + b"\r\n\r\n", max_field_size=20) == [("trailers", ("A", "b" * 20)), "end"]
    assert decode(b"0\r\nA: " + b"b" * 21 + b"\r\n\r\n", max_field_size=20) == ["h1.field.length"]
    assert decode(b"0\r\nA: " + "é".encode() * 11 + b"\r\n\r\n", max_field_size=20) == ["h1.field.length"]


@pytest.mark.parametrize("lenient", [True, False])
def test_limit_of_the_trailer_section(lenient: bool) -> None:
    size = MAX_TRAILER_SECTION // 4
    full = b"0\r\n" + (b"A:".ljust(size - 2, b"b") + b"\r\n") * 4
    large = {"max_field_size": MAX_TRAILER_SECTION, "lenient": lenient}
    # Whole, and cut around the end: every place would take long.
    for end, last in ((b"\r\n", "end"), (b"x", "h1.chunk.trailers"), (b"\rx", "h1.chunk.trailers"),
                      (b"A: b\r\n", "h1.chunk.trailers")):  # fmt: skip
        data = full + end
        for at in (len(data), *range(len(full) - 3, len(data))):
            assert feed([data[:at], data[at:]], **large)[0][-1] == last, at  # type: ignore[arg-type]
    endless = b"0\r\n" + b"A" * (MAX_TRAILER_SECTION + 1)
    assert feed([endless], **large)[0] == ["h1.chunk.trailers"]  # type: ignore[arg-type]
    assert feed([endless[at : at + 100] for at in range(0, len(endless), 100)], **large)[0] == ["h1.chunk.trailers"]  # type: ignore[arg-type]


def test_the_ends_of_chunks_are_reported() -> None:
    for pieces in ([b"2\r\nok\r\n1\r\n!\r\n0\r\n\r\n"], [b"2\r\nok", b"\r", b"\n1\r", b"\n!\r\n", b"0\r\n\r\n"]):
        decoder = ChunkedDecoder()
        events: list[Any] = []
        for piece in pieces:
            decoder.feed(piece, 0, events)
        assert events == [b"ok", CHUNK_END, b"!", CHUNK_END, END]
        assert decoder.done


def test_a_chunk_in_pieces_is_passed_on_as_it_comes() -> None:
    decoder = ChunkedDecoder()
    events: list[Any] = []
    decoder.feed(b"6\r\nab", 0, events)
    decoder.feed(b"cd", 0, events)
    decoder.feed(b"ef\r\n", 0, events)
    assert events == [b"ab", b"cd", b"ef", CHUNK_END]


def test_a_kept_line_does_not_copy_what_follows() -> None:
    decoder = ChunkedDecoder()
    events: list[Any] = []
    body = b"x" * 100_000
    decoder.feed(b"186a", 0, events)
    decoder.feed(b"0\r\n", 0, events)
    decoder.feed(body, 0, events)
    assert len(events) == 1
    assert events[0] is body


@pytest.mark.parametrize(
    ("data", "encoded"),
    [
        (b"ok", b"2\r\nok\r\n"),
        (bytearray(b"0123456789abcdef"), b"10\r\n0123456789abcdef\r\n"),
        (memoryview(b"ok"), b"2\r\nok\r\n"),
        (memoryview(array.array("H", b"abcd")), b"4\r\nabcd\r\n"),
    ],
)
def test_encode_chunk(data: bytes, encoded: bytes) -> None:
    assert encode_chunk(data) == encoded
    assert decode(encoded + LAST_CHUNK) == [bytes(data), "end"]

"""Delimiters, header sections and transfer encodings, without a stream."""

from __future__ import annotations

import binascii
import quopri
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.codec.multipart import (
    MAX_CARRY,
    Base64Encoder,
    MultipartError,
    PartBuffer,
    PartHead,
    QuotedPrintableEncoder,
    aligned,
    boundary_bytes,
    boundary_parameter,
    decode_transfer,
    delimiter_kind,
    part_length,
    serialise_fields,
    transfer_encoder,
)
from fairlead.errors import BadHttpMessage, InvalidHeader, LineTooLong, ProtocolError

DELIMITER = b"\r\n--:"

# ---------------------------------------------------------------------------------------------------------- boundaries


@pytest.mark.parametrize(
    ("boundary", "parameter"),
    [
        ("abc123", "abc123"),
        ("a'+_-.b", "a'+_-.b"),
        ("a b", '"a b"'),
        (":", '":"'),
        ("a,b;c/d=e?", '"a,b;c/d=e?"'),
        ('a"b', '"a\\"b"'),
        ("a\\b", '"a\\\\b"'),
        ("a\tb", '"a\tb"'),
        ("x" * 71, "x" * 71),
    ],
)
def test_boundary_parameter(boundary: str, parameter: str) -> None:
    assert boundary_parameter(boundary_bytes(boundary)) == parameter


@pytest.mark.parametrize("boundary", ["é", "a\r\nb", "a\nb", "\x7f", "\0", "", "a ", "a\t"])
def test_boundary_refused(boundary: str) -> None:
    with pytest.raises(ValueError, match="boundary"):
        boundary_bytes(boundary)


def test_boundary_that_is_no_text() -> None:
    with pytest.raises(TypeError, match="boundary must be a str, not bytes"):
        boundary_bytes(b"abc")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"--:\r\n", "part"),
        (b"--:\n", "part"),
        (b"--:", "part"),
        (b"--: \t\r\n", "part"),
        (b"--:--\r\n", "end"),
        (b"--:--", "end"),
        (b"--:-- \r\n", "end"),
        (b"--:-\r\n", None),
        (b"--:x\r\n", None),
        (b"--::\r\n", None),
        (b"--:--x\r\n", None),
        (b" --:\r\n", None),
    ],
)
def test_delimiter_kind(line: bytes, kind: str | None) -> None:
    assert delimiter_kind(line, b"--:") == kind


# -------------------------------------------------------------------------------------------------------------- fields


def head_of(block: bytes, max_headers: int = 128) -> list[tuple[str, str]]:
    head = PartHead(max_headers)
    lines = block.splitlines(keepends=True)
    done = [head.add(line) for line in lines]
    assert done == [False] * (len(lines) - 1) + [True]
    return list(head.fields.items())


@pytest.mark.parametrize(
    ("block", "fields"),
    [
        (b"\r\n", []),
        (b"A: b\r\n\r\n", [("A", "b")]),
        (b"A:b\nB: \t c \t\n\n", [("A", "b"), ("B", "c")]),
        (b"A:\r\n\r\n", [("A", "")]),
        (b"A: 1\r\na: 2\r\n\r\n", [("A", "1"), ("a", "2")]),
        (b"A: \xc3\xa9\r\n\r\n", [("A", "é")]),
        (b"A: \xff\r\n\r\n", [("A", "\udcff")]),
    ],
)
def test_header_section(block: bytes, fields: list[tuple[str, str]]) -> None:
    assert head_of(block) == fields


@pytest.mark.parametrize(
    "line",
    [b"A : b", b" A: b", b"\tA: b", b" folded", b"A b", b": b", b"A(: b", b"\xc3\xa9: b", b"A: b\rc", b"A: b\0",
     b"A: \x7f", b"A\r: b", b"A: b\r\r"],
)  # fmt: skip
def test_header_line_refused(line: bytes) -> None:
    with pytest.raises(InvalidHeader):
        PartHead(128).add(line + b"\r\n")


@pytest.mark.parametrize("name", ["Content-Length", "Content-Type", "content-disposition", "Content-Transfer-Encoding"])
def test_header_that_may_come_once(name: str) -> None:
    head = PartHead(128)
    head.add(f"{name}: 1\r\n".encode())
    with pytest.raises(BadHttpMessage, match=f"(?i)duplicate '{name}'"):
        head.add(f"{name.upper()}: 2\r\n".encode())


def test_number_of_header_lines() -> None:
    assert len(head_of(b"A: b\r\n" * 3 + b"\r\n", max_headers=3)) == 3
    with pytest.raises(BadHttpMessage, match="max_headers"):
        head_of(b"A: b\r\n" * 4 + b"\r\n", max_headers=3)


def test_fields_on_the_way_out() -> None:
    assert serialise_fields({"A": "b", "C": "é"}) == b"A: b\r\nC: \xc3\xa9\r\n\r\n"
    assert serialise_fields({}) == b"\r\n"


@pytest.mark.parametrize("text", ["a\r\nB: c", "a\n", "\0", "\x7f"])
def test_fields_that_would_start_others(text: str) -> None:
    with pytest.raises(ValueError, match="control characters"):
        serialise_fields({"A": text})
    with pytest.raises(ValueError, match="control characters"):
        serialise_fields({text: "a"})


def test_part_length() -> None:
    assert part_length(None) is None
    assert part_length("0") == 0
    assert part_length("17") == 17


@pytest.mark.parametrize("value", ["", "-1", "+1", "1_0", " 1", "x", "١", "1.0"])
def test_part_length_refused(value: str) -> None:
    with pytest.raises(MultipartError, match="invalid Content-Length") as caught:
        part_length(value)
    assert (caught.value.slug, caught.value.fault) == ("multipart.length", "peer")
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, ProtocolError)


# -------------------------------------------------------------------------------------------------------------- buffer


def bodies(pieces: list[bytes], size: int = 2**20, *, line_start: bool = True) -> tuple[bytes, bytes, bool]:
    """Feed the pieces: the body up to the delimiter, what stands from the boundary on, and whether it was found."""
    buffer = PartBuffer()
    buffer.line_start = line_start
    out = b""
    todo = pieces[::-1]
    while True:
        while piece := buffer.body(DELIMITER, size):
            assert len(piece) <= size
            out += piece
        if buffer.ended:
            buffer.to_delimiter_line()
            for piece in reversed(todo):
                buffer.feed(piece)
            return out, buffer.take_rest(), True
        if buffer.eof:
            return out, buffer.take_rest(), False
        if todo:
            buffer.feed(todo.pop())
        else:
            buffer.feed_eof()


BODIES = [
    (b"abc\r\n--:\r\nx", b"abc", b"--:\r\nx"),
    (b"\r\n--:--", b"", b"--:--"),
    (b"--:--\r\n", b"", b"--:--\r\n"),
    (b"\r\n\r\n--:", b"\r\n", b"--:"),
    (b"a\r\r\n--:", b"a\r", b"--:"),
    (b"a\r\n-\r\n--\r\n--x\r\n--:", b"a\r\n-\r\n--\r\n--x", b"--:"),
    (b"\r\n\r\n\r\n-\r\n--\r\n--:--", b"\r\n\r\n\r\n-\r\n--", b"--:--"),
    (b"a--:b\n--:c\r--:d\r\n--:e", b"a--:b\n--:c\r--:d", b"--:e"),
]


@pytest.mark.parametrize(("data", "body", "rest"), BODIES)
def test_body_ends_at_the_delimiter_however_it_is_cut(data: bytes, body: bytes, rest: bytes) -> None:
    for at in range(len(data) + 1):
        assert bodies([data[:at], data[at:]]) == (body, rest, True)
    for size in (1, 2, 3, 100):
        assert bodies([data[i : i + size] for i in range(0, len(data), size)]) == (body, rest, True)
        assert bodies([data], size) == (body, rest, True)


@pytest.mark.parametrize("data", [b"", b"abc", b"abc\r", b"abc\r\n--", b"--", b"-", b"\r\n", b"x\n--:"])
def test_body_without_delimiter(data: bytes) -> None:
    assert bodies([data]) == (data, b"", False)
    assert bodies([data[i : i + 1] for i in range(len(data))]) == (data, b"", False)


def test_boundary_counts_at_the_start_of_a_line_only() -> None:
    assert bodies([b"--:x\r\n--:"], line_start=False) == (b"--:x", b"--:", True)


def test_body_is_not_held_back_without_need() -> None:
    buffer = PartBuffer()
    buffer.feed(b"ab\r\ncd")
    assert buffer.body(DELIMITER, 100) == b"ab\r\ncd"
    buffer.feed(b"ef\r\n-")
    assert buffer.body(DELIMITER, 100) == b"ef"
    buffer.feed(b"g\r")
    assert buffer.body(DELIMITER, 100) == b"\r\n-g"
    assert buffer.pending == 1


def test_block_without_delimiter_is_not_copied() -> None:
    buffer = PartBuffer()
    block = b"x" * 100
    buffer.feed(block)
    assert buffer.body(DELIMITER, 1000) is block


def test_two_delimiters_on_one_buffer() -> None:
    buffer = PartBuffer()
    buffer.feed(b"ab\r\n--:\r\n--;")
    assert buffer.body(b"\r\n--;", 100) == b"ab\r\n--:"
    assert buffer.ended
    buffer = PartBuffer()
    buffer.feed(b"ab\r\n--:\r\n--;")
    assert buffer.body(b"\r\n--;", 1) == b"a"
    assert buffer.body(DELIMITER, 100) == b"b"
    assert buffer.ended


def test_lines() -> None:
    buffer = PartBuffer()
    buffer.feed(b"a\r\nb\n\nc")
    assert [buffer.line(10), buffer.line(10), buffer.line(10), buffer.line(10)] == [b"a\r\n", b"b\n", b"\n", None]
    assert buffer.line_start
    buffer.feed(b"d")
    assert buffer.line(10) is None
    buffer.feed_eof()
    assert buffer.line(10) == b"cd"
    assert buffer.line(10) == b""


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_line_limit_does_not_count_the_line_end(end: bytes) -> None:
    buffer = PartBuffer()
    buffer.feed(b"x" * 10 + end)
    assert buffer.line(10) == b"x" * 10 + end
    buffer.feed(b"x" * 11 + end)
    with pytest.raises(LineTooLong):
        buffer.line(10)


def test_line_limit_holds_before_the_line_is_complete() -> None:
    buffer = PartBuffer()
    buffer.feed(b"x" * 10 + b"\r")
    assert buffer.line(10) is None
    buffer.feed(b"x")
    with pytest.raises(LineTooLong):
        buffer.line(10)


def test_exactly_and_break() -> None:
    buffer = PartBuffer()
    buffer.feed(b"abc\r")
    assert buffer.exactly(2) == b"ab"
    assert buffer.exactly(1) == b"c"
    assert buffer.skip_break() is None
    buffer.feed(b"\nd")
    assert buffer.skip_break() is True
    assert buffer.line_start
    assert buffer.skip_break() is None
    buffer.feed_eof()
    assert buffer.skip_break() is False
    assert buffer.take_rest() == b"d"


@pytest.mark.parametrize(
    "block",
    [b"\r\n--" * 50_000, b"\r" * 200_000, b"\r\n" * 100_000, b"-" * 200_000, b"\r\n--" + b"-" * 67 + b"x"],
)
def test_search_is_linear(block: bytes) -> None:
    """What almost is a delimiter, in single bytes and small takes, costs about as much as anything else."""
    delimiter = b"\r\n--" + b"-" * 70

    def cost(data: bytes) -> float:
        buffer = PartBuffer()
        began = time.process_time()
        for at in range(0, len(data), 7):
            buffer.feed(data[at : at + 7])
            while buffer.body(delimiter, 5):
                pass
        assert buffer.pending < len(delimiter)
        return time.process_time() - began

    data = b"x" + (block * (200_000 // len(block) + 1))[:200_000]
    assert cost(data) < 3.0  # microseconds a byte would be 0.2 s; quadratic would be minutes


@given(st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", b":", b"x", b"\r\n--", b"\r\n--:"])), st.data())
def test_any_cut_gives_the_same(tokens: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(tokens)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    size = data.draw(st.integers(1, 20))
    assert bodies(pieces, size) == bodies([whole])
    body, rest, found = bodies([whole])
    assert DELIMITER not in b"\r\n" + body
    if found:
        assert rest.startswith(b"--:")
        assert whole in (body + b"\r\n" + rest, body + rest)
    else:
        assert body == whole


# -------------------------------------------------------------------------------------------------- transfer encodings


def coded(name: str, pieces: list[bytes]) -> bytes:
    encoder = transfer_encoder(name)
    return b"".join([encoder.encode(piece) for piece in pieces]) + encoder.flush()


@given(st.binary(max_size=200), st.integers(1, 50), st.sampled_from(["base64", "quoted-printable", "binary", ""]))
def test_transfer_encoding_round_trip(data: bytes, size: int, name: str) -> None:
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    assert decode_transfer(coded(name, pieces), name) == data


@given(
    st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b" ", b".", b"=", b"a", b"\xe9", b"-" * 80])), st.integers(1, 9)
)
def test_quoted_printable_keeps_line_ends(tokens: list[bytes], size: int) -> None:
    data = b"".join(tokens)
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    text = coded("quoted-printable", pieces)
    assert binascii.a2b_qp(text) == data
    assert quopri.decodestring(text) == data


def test_base64_is_one_line() -> None:
    assert coded("base64", [b"f", b"o", b"o" * 200]) == binascii.b2a_base64(b"f" + b"o" * 201, newline=False)
    assert Base64Encoder().flush() == b""
    assert QuotedPrintableEncoder().flush() == b""


def test_transfer_encodings_that_are_not_known() -> None:
    with pytest.raises(ValueError, match="unknown content transfer encoding: 'x'"):
        transfer_encoder("x")
    with pytest.raises(RuntimeError, match="unknown content transfer encoding: x"):
        decode_transfer(b"", "x")


@given(st.binary(max_size=100), st.integers(1, 30), st.integers(0, 3))
def test_aligned_pieces_of_base64_decode_alone(data: bytes, size: int, breaks: int) -> None:
    text = binascii.b2a_base64(data, newline=False)
    text = b"".join(text[i : i + 7] + b"\r\n" * breaks for i in range(0, len(text), 7))
    out, carry = b"", b""
    for at in range(0, len(text), size):
        piece, carry = aligned(carry + text[at : at + size], "base64")
        out += binascii.a2b_base64(piece)
    assert out + binascii.a2b_base64(carry) == data


@given(st.binary(max_size=100), st.integers(1, 30))
def test_aligned_pieces_of_quoted_printable_decode_alone(data: bytes, size: int) -> None:
    text = coded("quoted-printable", [data])
    out, carry = b"", b""
    for at in range(0, len(text), size):
        piece, carry = aligned(carry + text[at : at + size], "quoted-printable")
        out += binascii.a2b_qp(piece)
    assert out + binascii.a2b_qp(carry) == data


def test_carry_is_bounded() -> None:
    piece, carry = aligned(b"aGVsbG8" + b"\r\n" * MAX_CARRY, "base64")
    assert (piece, carry) == (b"aGVs", b"bG8")


def test_other_encodings_are_not_aligned() -> None:
    assert aligned(b"abc=", "binary") == (b"abc=", b"")

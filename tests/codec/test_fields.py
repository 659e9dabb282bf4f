"""Field blocks: what is taken, what is refused and why, what is sent."""

from __future__ import annotations

import pytest

from fairlead.codec.fields import (
    SHOWN,
    has_token,
    parse_fields,
    parse_fields_leniently,
    serialise_head,
    shown,
)
from fairlead.errors import ProtocolError

Pairs = list[tuple[str, str]]

# clause, block, pairs or the slug of the strict parser, and of the lenient one (None: the same)
BLOCKS: list[tuple[str, str, Pairs | str, Pairs | str | None]] = [
    ("empty", "", [], None),
    ("9112 5", "A: b\r\n", [("A", "b")], None),
    ("9112 5: white space", "A:b\r\nC:\td\t\r\nE:  f g  \r\nH:\r\nI: \t \r\n",
     [("A", "b"), ("C", "d"), ("E", "f g"), ("H", ""), ("I", "")], None),
    ("9110 5.3: names as spelled, in order", "x: 1\r\nX: 2\r\nx: 3\r\n", [("x", "1"), ("X", "2"), ("x", "3")], None),
    ("9110 5.5: obs-text", "A: é\udcff\u2028\x85\r\n", [("A", "é\udcff\u2028\x85")], None),
    ("9112 5.1", "A : b\r\n", "space-before-colon", None),
    ("9112 5.2", "A: b\r\n c\r\n", "fold", [("A", "b c")]),
    ("9112 5.2: a fold like a field", "A: b\r\n C: d\r\n", "fold", [("A", "b C: d")]),
    ("9112 5.2: a fold like a field, no space saved by another", "A:b\r\n C: d\r\n", "fold", [("A", "b C: d")]),
    ("9112 5.2: saved by two others", "A:b\r\nB:c\r\n  C: d\r\n", "fold", [("A", "b"), ("B", "c C: d")]),
    ("9112 2.2: fold first", " A: b\r\nC: d\r\n", "fold", None),
    ("junk saved by colons without space", "A:b\r\nB:c\r\nC:d\r\nabc D: e\r\n", "name", None),
    ("junk of one character", "A:b\r\n\x00C: d\r\n", "name", None),
    ("a line end too much", "A:b\r\n\r\nC: d\r\n", "colon", None),
    ("no colon", "A\r\n", "colon", None),
    ("no name", ": b\r\n", "name", None),
    ("no token", "A(: b\r\n", "name", None),
    ("outside ASCII", "Ä: b\r\n", "name", None),
    ("the first bad line is named", "A: b\r\nC : d\r\nE\r\n", "space-before-colon", None),
    ("NUL", "A: b\x00\r\n", "value", None),
    ("CR", "A: b\rc\r\n", "line-end", None),
    ("control", "A: b\x01\x7f\r\n", "value", [("A", "b\x01\x7f")]),
    ("LF", "A: b\nC: d\r\n", "line-end", [("A", "b"), ("C", "d")]),
    ("LF, colons without space", "A:b\nC:d\r\n", "line-end", [("A", "b"), ("C", "d")]),
]  # fmt: skip


@pytest.mark.parametrize(("block", "strict", "lenient"), [c[1:] for c in BLOCKS], ids=[c[0] for c in BLOCKS])
def test_parse_fields(block: str, strict: Pairs | str, lenient: Pairs | str | None) -> None:
    for parse, expected in ((parse_fields, strict), (parse_fields_leniently, strict if lenient is None else lenient)):
        if isinstance(expected, str):
            with pytest.raises(ProtocolError) as caught:
                parse(block, 100, 100)
            assert caught.value.slug == f"h1.field.{expected}"
            assert caught.value.status == 400
        else:
            assert parse(block, 100, 100) == expected


@pytest.mark.parametrize("parse", [parse_fields, parse_fields_leniently])
def test_limits(parse: object) -> None:
    assert callable(parse)
    assert parse("A: bbbbb\r\nBBBBB: a\r\n", 5, 2) == [("A", "bbbbb"), ("BBBBB", "a")]
    assert parse("A: éé \r\n", 5, 1) == [("A", "éé")]
    for block, slug in (
        ("A: bbbbbb\r\n", "length"),
        ("AAAAAA: b\r\n", "length"),
        ("A: ééé\r\n", "length"),  # six bytes
        ("A: \udcff\udcff\udcff\udcffbb\r\n", "length"),
        ("A: b\r\nA: b\r\nA: b\r\n", "count"),
    ):
        with pytest.raises(ProtocolError) as caught:
            parse(block, 5, 2)
        assert (caught.value.slug, caught.value.status) == (f"h1.field.{slug}", 431)
    assert "max_headers" in caught.value.message


def test_serialise_head() -> None:
    assert serialise_head("GET / HTTP/1.1", []) == b"GET / HTTP/1.1\r\n\r\n"
    assert (
        serialise_head("GET / HTTP/1.1", [("A", "b"), ("a", ""), ("C", "\tü ")])
        == "GET / HTTP/1.1\r\nA: b\r\na: \r\nC: \tü \r\n\r\n".encode()
    )
    # What was received as bytes outside UTF-8 goes on as the same bytes.
    assert serialise_head("X", [("A", "\udce9\udcff")]) == b"X\r\nA: \xe9\xff\r\n\r\n"


@pytest.mark.parametrize("bad", [chr(code) for code in (*range(9), *range(10, 32), 127)])
def test_controls_are_never_sent(bad: str) -> None:
    for start, pairs in (
        (f"GET /{bad} HTTP/1.1", []),
        ("GET / HTTP/1.1", [("A", f"b{bad}c")]),
        ("GET / HTTP/1.1", [("A", "b"), ("C", bad)]),
        ("GET / HTTP/1.1", [(f"A{bad}B", "c")]),
        ("GET / HTTP/1.1", [("A", "b"), (f"C{bad}D", "e")]),
        ("GET / HTTP/1.1", [(f"A{bad}", "b")]),
        ("GET / HTTP/1.1", [(f"{bad}A", "b")]),
    ):
        with pytest.raises(ValueError, match="injection"):
            serialise_head(start, pairs)


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\t", "é", "\xa0", '"', "(", "a,b"])
def test_names_are_tokens(name: str) -> None:
    for pairs in ([(name, "v")], [("A", "v"), (name, "v")], [(name, "v"), ("A", "v")]):
        with pytest.raises(ValueError, match=r"name|injection"):
            serialise_head("GET / HTTP/1.1", pairs)


@pytest.mark.parametrize("value", [1, None, b"x"])
def test_values_are_strings(value: object) -> None:
    with pytest.raises(TypeError, match="header A"):
        serialise_head("GET / HTTP/1.1", [("B", "c"), ("A", value)])  # type: ignore[list-item]


@pytest.mark.parametrize("code", [0xD800, 0xDC0A, 0xDC0D, 0xDC7F])
def test_other_surrogates_are_not_sent(code: int) -> None:
    """No surrogate may turn into a line end."""
    with pytest.raises(UnicodeEncodeError):
        serialise_head("GET / HTTP/1.1", [("A", chr(code))])


@pytest.mark.parametrize(
    ("value", "token", "expected"),
    [
        ("close", "close", True),
        ("CLOSE", "close", True),
        ("a, b ,\tclose\t", "close", True),
        (",,close,", "close", True),
        ("closed", "close", False),
        ("not close", "close", False),
        ('"close"', "close", False),
        ("close;a", "close", False),
        ("\xa0close", "close", False),
        ("\u212aeep-alive", "keep-alive", False),
        ("", "close", False),
    ],
)
def test_has_token(value: str, token: str, expected: bool) -> None:
    assert has_token(value, token) is expected


def test_shown_is_short_and_escaped() -> None:
    assert shown("a\r\n\udcff") == r"'a\r\n\udcff'"
    assert shown(b"\x00") == r"b'\x00'"
    assert shown("a" * SHOWN) == repr("a" * SHOWN)
    assert shown("a" * (SHOWN + 1)) == repr("a" * SHOWN) + "..."

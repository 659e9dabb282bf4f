"""codec.forms: pairs to a URL-encoded body and back."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pytest

from fairlead.codec.forms import MAX_FIELDS, decode_form, encode_form
from fairlead.errors import ProtocolError

ENCODED: list[tuple[list[tuple[Any, Any]], str, bytes]] = [
    ([], "utf-8", b""),
    ([("a", "b")], "utf-8", b"a=b"),
    ([("a", "b"), ("a", "c d+&=%")], "utf-8", b"a=b&a=c+d%2B%26%3D%25"),
    ([("ä", "ü€")], "utf-8", b"%C3%A4=%C3%BC%E2%82%AC"),
    ([("ä", "ü")], "latin-1", b"%E4=%FC"),
    ([("a", "日本")], "shift_jis", b"a=%93%FA%96%7B"),
    ([("a", "x")], "utf-16-le", b"a%00=x%00"),
    ([("a", "")], "utf-8", b"a="),
    ([("", "")], "utf-8", b"="),
    ([("a", 1), ("b", None), ("c", True), ("d", 1.5)], "utf-8", b"a=1&b=None&c=True&d=1.5"),
    ([("a", ["b", "c"]), ("d", ())], "utf-8", b"a=b&a=c"),
    ([("a", b"\xff &")], "utf-8", b"a=%FF+%26"),
    ([("a", "~-._*!'()/@:,;\r\n\t\0")], "utf-8", b"a=~-._%2A%21%27%28%29%2F%40%3A%2C%3B%0D%0A%09%00"),
]


@pytest.mark.parametrize(("pairs", "charset", "body"), ENCODED)
def test_pairs_are_encoded(pairs: list[tuple[Any, Any]], charset: str, body: bytes) -> None:
    assert encode_form(pairs, charset) == body
    assert encode_form(iter(pairs), charset) == body


def test_what_a_charset_lacks_is_an_error() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode_form([("a", "€")], "latin-1")
    with pytest.raises(UnicodeEncodeError):
        encode_form([("a", "\ud800")])
    with pytest.raises(LookupError):
        encode_form([("a", "b")], "nope")


@pytest.mark.parametrize(
    ("body", "charset", "pairs"),
    [(b"", "utf-8", []), (b"a=b", "utf-8", [("a", "b")]), (b"a=b&a=c", "utf-8", [("a", "b"), ("a", "c")]),
     (b"a", "utf-8", [("a", "")]), (b"=", "utf-8", [("", "")]), (b"a=b=c", "utf-8", [("a", "b=c")]),
     (b"&&a=b&", "utf-8", [("a", "b")]), (b"a+b=c%20d%2B", "utf-8", [("a b", "c d+")]),
     (b"%C3%A4=%e2%82%ac", "utf-8", [("ä", "€")]), ("ä=ü".encode(), "utf-8", [("ä", "ü")]),
     (b"%E4=\xfc", "latin-1", [("ä", "ü")]),
     (b"a=%ff%zz%4", "utf-8", [("a", "\ufffd%zz%4")]), (b"a;b=c;d", "utf-8", [("a;b", "c;d")]),
     (b"a=%93%FA%96%7B", "shift_jis", [("a", "日本")]), (b"a%00=x%00", "utf-16-le", [("a", "x")])],
)  # fmt: skip
def test_forms_are_decoded(body: bytes, charset: str, pairs: list[tuple[str, str]]) -> None:
    assert decode_form(body, charset) == pairs


def test_the_number_of_fields_is_bounded() -> None:
    assert len(decode_form(b"&".join([b"a=b"] * 5), max_fields=5)) == 5
    with pytest.raises(
        ProtocolError, match=r"the form has 6 fields, and at most 5 are allowed \(max_fields\)"
    ) as caught:
        decode_form(b"&".join([b"a=b"] * 6), max_fields=5)
    assert (caught.value.slug, caught.value.fault, caught.value.status) == ("form.fields", "peer", 413)
    with pytest.raises(ProtocolError):
        decode_form(b"&" * MAX_FIELDS)


def test_an_unknown_charset_is_the_peers_error() -> None:
    with pytest.raises(ProtocolError, match="unknown charset: 'nope'") as caught:
        decode_form(b"a=b", "nope")
    assert (caught.value.slug, caught.value.status) == ("form.charset", 415)


hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)


@given(st.lists(st.tuples(TEXT, TEXT), max_size=6), st.sampled_from(["utf-8", "utf-16-le", "gb18030"]))
def test_forms_are_decoded_as_encoded(pairs: list[tuple[str, str]], charset: str) -> None:
    assert decode_form(encode_form(pairs, charset), charset) == pairs


@given(st.binary(max_size=60))
def test_any_bytes_are_a_form(body: bytes) -> None:
    assert len(decode_form(body)) <= body.count(b"&") + 1


# Bytes make a form multipart there.
@pytest.mark.parametrize(("pairs", "charset", "body"), [row for row in ENCODED if b"%FF" not in row[2]])
def test_pairs_are_encoded_as_by_the_original(pairs: list[tuple[Any, Any]], charset: str, body: bytes) -> None:
    aiohttp = pytest.importorskip("aiohttp")
    with asyncio.Runner() as runner, warnings.catch_warnings():
        warnings.simplefilter("ignore")

        async def encode() -> bytes:
            return bytes(aiohttp.FormData(pairs, charset=charset)()._value)

        assert runner.run(encode()) == body

"""Entity tags, their lists, and ranges."""

from __future__ import annotations

import copy
import pickle
import time
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from fairlead.codec.conditional import (
    ETag,
    as_etag,
    etag_matches,
    parse_entity_tags,
    parse_etag,
    parse_if_range,
    parse_range,
)

A, B, WEAK_A, ANY = ETag("a"), ETag("b"), ETag("a", True), ETag("*")

LISTS: list[tuple[str, tuple[ETag, ...]]] = [
    # RFC 9110 section 13.1.1 and 13.1.2: the examples.
    ('"xyzzy"', (ETag("xyzzy"),)),
    ('"xyzzy", "r2d2xxxx", "c3piozzzz"', (ETag("xyzzy"), ETag("r2d2xxxx"), ETag("c3piozzzz"))),
    ('W/"xyzzy", W/"r2d2xxxx"', (ETag("xyzzy", True), ETag("r2d2xxxx", True))),
    ("*", (ANY,)),
    ('"a","b",W/"a"', (A, B, WEAK_A)),
    ('"a"\t,\t"b" ', (A, B)),
    ('"a,b"', (ETag("a,b"),)),
    ('"*"', (ANY,)),
    ('""', (ETag(""),)),
    ('"é"', (ETag("é"),)),
    ('"ф"', (ETag("ф"),)),
    # RFC 9110 section 5.6.1: empty elements are skipped.
    (',"a",, "b",', (A, B)),
    # Only what stands before something else counts.
    ("", ()),
    ("a", ()),
    ('"a", b, "b"', (A,)),
    ('"a" "b"', ()),
    ('"a"b', ()),
    ('"a"W/"b"', ()),
    ('"a";"b"', ()),
    ('w/"a"', ()),
    ('W/ "a"', ()),
    ('"a b"', ()),
    ('"a', ()),
    ("'a'", ()),
    ('*, "a"', ()),
    ('"a", *', (A,)),
    ('"\x7f"', ()),
]


@pytest.mark.parametrize(("value", "tags"), LISTS, ids=[value for value, _ in LISTS])
def test_lists_of_tags(value: str, tags: tuple[ETag, ...]) -> None:
    assert parse_entity_tags([value]) == tags


def test_several_lines_are_one_list() -> None:
    assert parse_entity_tags(['"a"', "", 'W/"a"']) == (A, WEAK_A)


@pytest.mark.parametrize("value", [", " * 100_000, '"a' * 100_000, '"a", ' * 50_000, '"' * 200_000, "W/" * 100_000])
def test_lists_take_linear_time(value: str) -> None:
    started = time.perf_counter()
    parse_entity_tags([value])
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("text", "etag"),
    [
        ('"a"', A),
        ('W/"a"', WEAK_A),
        ("*", ANY),
        (None, None),
        ("", None),
        ('""', None),
        ("a", None),
        ('"a', None),
        ('"a"x', None),
        (' "a"', None),
        ('"a", "b"', None),
        ('w/"a"', None),
    ],
)
def test_one_tag(text: str | None, etag: ETag | None) -> None:
    assert parse_etag(text) == etag


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("abc", '"abc"'),
        ("a!b", '"a!b"'),
        ("é", '"é"'),
        ("W/x", '"W/x"'),
        ("*", "*"),
        (WEAK_A, 'W/"a"'),
        (ANY, "*"),
        (ETag("*", True), "*"),
    ],
)
def test_what_is_sent(value: object, text: str) -> None:
    assert as_etag(value).field_value() == text
    response = aiohttp.web.Response()
    response.etag = aiohttp.ETag(value.value, value.is_weak) if isinstance(value, ETag) else value  # type: ignore[assignment]
    assert response.headers["ETag"] == text


@pytest.mark.parametrize("value", ["", 'a"b', "a b", "a\tb", "\n", "\x7f", ETag(""), ETag('a"'), 5, b"a", None])
def test_what_must_not_be_sent(value: object) -> None:
    with pytest.raises(ValueError, match="etag") as caught:
        as_etag(value)
    if value is not None:
        response = aiohttp.web.Response()
        with pytest.raises(ValueError) as theirs:
            response.etag = aiohttp.ETag(value.value) if isinstance(value, ETag) else value  # type: ignore[assignment]
        assert str(caught.value) == str(theirs.value)


def test_tags_are_values() -> None:
    assert repr(WEAK_A) == str(WEAK_A) == repr(aiohttp.ETag("a", True))
    assert ETag("a") == A != WEAK_A
    assert A.__eq__(("a", False)) is NotImplemented
    assert hash(ETag("a")) == hash(A)
    assert sorted([B, WEAK_A, A]) == [A, WEAK_A, B]
    assert ETag(value="a", is_weak=True) == WEAK_A
    for twin in (copy.copy(WEAK_A), copy.deepcopy(WEAK_A), pickle.loads(pickle.dumps(WEAK_A))):
        assert twin == WEAK_A
    match WEAK_A:
        case ETag(value, weak):
            assert (value, weak) == ("a", True)


@pytest.mark.parametrize("name", ["value", "is_weak", "other"])
def test_tags_cannot_be_changed(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(A, name, "x")
    with pytest.raises(AttributeError):
        delattr(A, name)
    assert ETag("a") == A


# RFC 9110 section 8.8.3.2: the table of both comparisons.
COMPARISONS = [
    (ETag("1", True), ETag("1", True), False, True),
    (ETag("1", True), ETag("2", True), False, False),
    (ETag("1", True), ETag("1"), False, True),
    (ETag("1"), ETag("1"), True, True),
]


@pytest.mark.parametrize(("one", "other", "strongly", "weakly"), COMPARISONS)
def test_comparison(one: ETag, other: ETag, strongly: bool, weakly: bool) -> None:
    for x, y in ((one, other), (other, one)):
        assert etag_matches(x, (B, y), weak=False) is strongly
        assert etag_matches(x, (B, y), weak=True) is weakly


def test_any_matches_everything() -> None:
    for etag in (A, WEAK_A, None):
        assert etag_matches(etag, (ANY,), weak=False)
    assert not etag_matches(A, (), weak=True)
    assert not etag_matches(None, (A,), weak=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (None, None),
        ("", None),
        ('"a"', A),
        ('W/"a"', WEAK_A),
        ("Wed, 21 Oct 2015 07:28:00 GMT", datetime(2015, 10, 21, 7, 28, tzinfo=UTC)),
        ('"a", "b"', None),
        ("soon", None),
    ],
)
def test_if_range(text: str | None, value: Any) -> None:
    assert parse_if_range(text) == value


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (None, slice(None, None, 1)),
        ("bytes=0-499", slice(0, 500, 1)),
        ("bytes=500-", slice(500, None, 1)),
        ("bytes=-500", slice(-500, None, 1)),
        ("bytes=0-0", slice(0, 1, 1)),
        ("Bytes=1-2", slice(1, 3, 1)),
        ("bytes=00-01", slice(0, 2, 1)),
        ("bytes=-0", slice(0, None, 1)),
        ("bytes=0-" + "9" * 30, slice(0, 10**30, 1)),
    ],
)
def test_range(text: str | None, wanted: slice[Any, Any, Any]) -> None:
    assert parse_range(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5-3",
        "bytes=0-1,2-3",
        "bytes= 0-1",
        "bytes=0 -1",
        "bytes=0-1\n",
        "bytes=٣-٤",
        "bytes=a-b",
        "bytes=--5",
        "items=0-1",
        "bytes=0-" + "9" * 8000,
    ],
)
def test_range_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError):
        parse_range(text)

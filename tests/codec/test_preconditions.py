"""Preconditions and ranges as tables: RFC 9110 sections 13.2.2, 13.1.5, 14.1.2 and 14.2."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.codec.conditional import ETag
from fairlead.codec.preconditions import PROCEED, UNSATISFIABLE, Span, evaluate, range_applies, select_span

TAG = ETag("abc")
MODIFIED = 1_600_000_001
DATE = "Sun, 13 Sep 2020 12:26:41 GMT"


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


SAME, ANY, WEAK, OTHER = ETag("abc"), ETag("*"), ETag("abc", True), ETag("xyz")

# RFC 9110 clause, method, conditions, status.
CONDITIONS = [
    ("13.2.2", "GET", {}, PROCEED),
    ("13.1.1", "GET", {"if_match": [SAME]}, PROCEED),
    ("13.1.1", "GET", {"if_match": [OTHER, SAME]}, PROCEED),
    ("13.1.1", "GET", {"if_match": [ANY]}, PROCEED),
    ("13.1.1", "GET", {"if_match": [OTHER]}, 412),
    ("13.1.1 strong comparison", "GET", {"if_match": [WEAK]}, 412),
    ("13.1.1 nothing readable", "GET", {"if_match": []}, 412),
    ("13.1.1", "PUT", {"if_match": [OTHER]}, 412),
    ("13.1.2", "GET", {"if_none_match": [SAME]}, 304),
    ("13.1.2", "HEAD", {"if_none_match": [SAME]}, 304),
    ("13.1.2 other methods", "POST", {"if_none_match": [SAME]}, 412),
    ("13.1.2 other methods", "PUT", {"if_none_match": [ANY]}, 412),
    ("13.1.2", "GET", {"if_none_match": [ANY]}, 304),
    ("13.1.2 weak comparison", "GET", {"if_none_match": [WEAK]}, 304),
    ("13.1.2", "GET", {"if_none_match": [OTHER]}, PROCEED),
    ("13.1.2", "GET", {"if_none_match": [OTHER, SAME]}, 304),
    ("13.1.2 nothing readable", "GET", {"if_none_match": []}, PROCEED),
    ("13.1.3", "GET", {"if_modified_since": at(MODIFIED)}, 304),
    ("13.1.3", "GET", {"if_modified_since": at(MODIFIED + 1)}, 304),
    ("13.1.3", "GET", {"if_modified_since": at(MODIFIED - 1)}, PROCEED),
    ("13.1.3", "HEAD", {"if_modified_since": at(MODIFIED)}, 304),
    ("13.1.3 GET and HEAD only", "POST", {"if_modified_since": at(MODIFIED)}, PROCEED),
    ("13.1.4", "GET", {"if_unmodified_since": at(MODIFIED)}, PROCEED),
    ("13.1.4", "GET", {"if_unmodified_since": at(MODIFIED + 1)}, PROCEED),
    ("13.1.4", "GET", {"if_unmodified_since": at(MODIFIED - 1)}, 412),
    ("13.1.4", "DELETE", {"if_unmodified_since": at(MODIFIED - 1)}, 412),
    # If-Match silences If-Unmodified-Since, If-None-Match silences If-Modified-Since (13.2.2 steps 2 and 4).
    ("13.2.2", "GET", {"if_match": [SAME], "if_unmodified_since": at(MODIFIED - 1)}, PROCEED),
    ("13.2.2", "GET", {"if_match": [OTHER], "if_unmodified_since": at(MODIFIED)}, 412),
    ("13.2.2", "GET", {"if_none_match": [OTHER], "if_modified_since": at(MODIFIED)}, PROCEED),
    ("13.2.2", "GET", {"if_none_match": [SAME], "if_modified_since": at(MODIFIED - 1)}, 304),
    ("13.2.2 step 1 before 3", "GET", {"if_match": [OTHER], "if_none_match": [SAME]}, 412),
    ("13.2.2 step 2 before 3", "GET", {"if_unmodified_since": at(MODIFIED - 1), "if_none_match": [SAME]}, 412),
    ("13.2.2 step 3 after 1", "GET", {"if_match": [SAME], "if_none_match": [SAME]}, 304),
    ("13.2.2 step 4 after 2", "GET", {"if_unmodified_since": at(MODIFIED), "if_modified_since": at(MODIFIED)}, 304),
]


@pytest.mark.parametrize(("clause", "method", "conditions", "expected"), CONDITIONS)
def test_preconditions(clause: str, method: str, conditions: dict, expected: int) -> None:
    assert evaluate(method, TAG, MODIFIED, **conditions) == expected, clause


def test_every_combination_follows_the_order_of_the_rfc() -> None:
    tags = {None: None, True: [SAME], False: [OTHER]}
    dates = {None: None, True: at(MODIFIED), False: at(MODIFIED - 1)}
    for match, unmodified, none_match, modified in itertools.product((None, True, False), repeat=4):
        status = evaluate(
            "GET",
            TAG,
            MODIFIED,
            if_match=tags[match],
            if_unmodified_since=dates[unmodified],
            if_none_match=tags[none_match],
            if_modified_since=dates[modified],
        )
        first = match if match is not None else unmodified
        second = none_match if none_match is not None else modified
        expected = 412 if first is False else 304 if second else PROCEED
        assert status == expected, (match, unmodified, none_match, modified)


@pytest.mark.parametrize(
    ("field", "applies"),
    [
        (None, True),
        ('"abc"', True),
        ('W/"abc"', False),  # 13.1.5: the strong comparison
        ('"xyz"', False),
        (DATE, True),
        ("Sun, 13 Sep 2020 12:26:40 GMT", False),
        ("Sun, 13 Sep 2020 12:26:42 GMT", False),  # "exactly matches", not "since"
        ("Sunday, 13-Sep-20 12:26:41 GMT", True),
        ("*", False),
        ("abc", False),
        ("", False),
        ("nonsense", False),
    ],
)
def test_if_range(field: str | None, applies: bool) -> None:
    assert range_applies(field, TAG, MODIFIED) is applies


def test_if_range_with_a_weak_tag_of_the_representation_never_matches() -> None:
    assert not range_applies('W/"abc"', WEAK, MODIFIED)
    assert not range_applies('"abc"', WEAK, MODIFIED)


# Field, and what it selects of ten bytes.
RANGES = [
    ("bytes=0-4", Span(0, 5)),
    ("bytes=0-0", Span(0, 1)),
    ("bytes=9-9", Span(9, 1)),
    ("bytes=5-", Span(5, 5)),
    ("bytes=0-", Span(0, 10)),
    ("bytes=0-9", Span(0, 10)),
    ("bytes=0-10", Span(0, 10)),
    ("bytes=3-100", Span(3, 7)),
    ("bytes=00003-0004", Span(3, 2)),
    ("bytes=0-" + "9" * 40, Span(0, 10)),
    ("bytes=-3", Span(7, 3)),
    ("bytes=-10", Span(0, 10)),
    ("bytes=-11", Span(0, 10)),
    ("bytes=-" + "9" * 40, Span(0, 10)),
    ("BYTES=0-4", Span(0, 5)),
    # Nothing in it.
    ("bytes=10-", UNSATISFIABLE),
    ("bytes=10-20", UNSATISFIABLE),
    ("bytes=" + "9" * 40 + "-", UNSATISFIABLE),
    ("bytes=0-" + "9" * 8000, UNSATISFIABLE),  # no number of bytes
    ("bytes=-0", UNSATISFIABLE),
    ("bytes=-000", UNSATISFIABLE),
    # Not the grammar of a ranges-specifier.
    ("bytes=4-2", UNSATISFIABLE),
    ("bytes=-", UNSATISFIABLE),
    ("bytes=", UNSATISFIABLE),
    ("bytes", UNSATISFIABLE),
    ("", UNSATISFIABLE),
    ("0-4", UNSATISFIABLE),
    ("=0-4", UNSATISFIABLE),
    ("bytes=a-b", UNSATISFIABLE),
    ("bytes=+1-2", UNSATISFIABLE),
    ("bytes=1_0-", UNSATISFIABLE),
    ("bytes=\xb2-", UNSATISFIABLE),
    ("bytes=\u0661-", UNSATISFIABLE),
    ("bytes =0-4", UNSATISFIABLE),
    ("bytes=0 - 4", UNSATISFIABLE),
    ("bytes=0--4", UNSATISFIABLE),
    ("bytes=0-4\n", UNSATISFIABLE),
    ("bytes=0-1,a", UNSATISFIABLE),
    ("bytes=0-1,,", UNSATISFIABLE),
    # 14.2: a unit that is not understood must be ignored; several ranges may be.
    ("items=0-4", None),
    ("none=0-4", None),
    ("byte=0-4", None),
    ("bytes2=anything at all", None),
    ("bytes=0-0,2-3", None),
    ("bytes=0-1, 5-6", None),
    ("bytes=0-1 ,\t-1,5-", None),
]


@pytest.mark.parametrize(("field", "expected"), RANGES)
def test_ranges_of_ten_bytes(field: str, expected: Span | None) -> None:
    assert select_span(field, 10) == expected


@pytest.mark.parametrize("field", ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "bytes=5-"])
def test_nothing_of_nothing(field: str) -> None:
    assert select_span(field, 0) is UNSATISFIABLE


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 10))
def test_a_range_is_the_slice_that_it_looks_like(first: int, last: int, size: int) -> None:
    data = bytes(range(size))

    def bytes_of(field: str) -> bytes:
        span = select_span(field, size)
        assert span is not None
        return data[span.first : span.first + span.length]

    assert bytes_of(f"bytes={first}-{last}") == (data[first : last + 1] if first <= last else b"")
    assert bytes_of(f"bytes={first}-") == data[first:]
    assert bytes_of(f"bytes=-{first}") == (data[-first:] if first else b"")


@given(st.text(alphabet="bytes=0123456789-, \tx\x00", max_size=40))
def test_any_text_selects_bytes_that_exist(field: str) -> None:
    span = select_span(field, 7)
    assert (
        span is None or span == UNSATISFIABLE or (span.length > 0 and 0 <= span.first <= span.first + span.length <= 7)
    )

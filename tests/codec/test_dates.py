"""codec.dates: HTTP dates both ways, and what cookies call a date."""

from __future__ import annotations

import email.utils
import time
from datetime import UTC, datetime

import pytest

from fairlead.codec.dates import http_date, parse_cookie_date, parse_http_date

EXAMPLE = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)


@pytest.mark.parametrize(
    ("timestamp", "text"),
    [(0, "Thu, 01 Jan 1970 00:00:00 GMT"), (784111777, "Sun, 06 Nov 1994 08:49:37 GMT"),
     (784111777.999, "Sun, 06 Nov 1994 08:49:37 GMT"),
     (-1, "Wed, 31 Dec 1969 23:59:59 GMT"), (-0.5, "Wed, 31 Dec 1969 23:59:59 GMT"),
     (951782400, "Tue, 29 Feb 2000 00:00:00 GMT"),
     (253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"), (-62135596800, "Mon, 01 Jan 0001 00:00:00 GMT")],
)  # fmt: skip
def test_dates_are_written(timestamp: float, text: str) -> None:
    assert http_date(timestamp) == text
    assert http_date(timestamp) == text


def test_a_second_is_formatted_once() -> None:
    assert http_date(1000.1) is http_date(1000.9)
    assert http_date(1000.1) != http_date(1001)


@pytest.mark.parametrize("timestamp", [253402300800, -62135596801, 1e30, float("inf"), float("nan")])
def test_timestamps_out_of_range_are_refused(timestamp: float) -> None:
    with pytest.raises((ValueError, OverflowError)):
        http_date(timestamp)


@pytest.mark.parametrize(
    "text",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
     "sun, 06 nov 1994 08:49:37 gmt",
     "Sun, 6 Nov 1994 8:49:37 GMT", "Sun, 06-Nov-1994 08:49:37 GMT", "Sun,06 Nov 1994 08:49:37 GMT",
     "06 Nov 1994 08:49:37 GMT",
     "Mon, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
     "Sun, 06 Nov 94 08:49:37 GMT",
     " Sun, 06 Nov 1994 08:49:37 GMT ", "Sun, 06 November 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 +0000"],
)  # fmt: skip
def test_the_three_forms_are_read_as_servers_write_them(text: str) -> None:
    assert parse_http_date(text) == EXAMPLE


@pytest.mark.parametrize(
    ("text", "year"),
    [("Sunday, 06-Nov-70 08:49:37 GMT", 1970), ("Sunday, 06-Nov-69 08:49:37 GMT", 1969),
     ("Sunday, 06-Nov-68 08:49:37 GMT", 2068),
     ("Sun, 06 Nov 00 08:49:37 GMT", 2000), ("Sun, 06 Nov 9999 08:49:37 GMT", 9999)],
)  # fmt: skip
def test_years_of_two_digits(text: str, year: int) -> None:
    parsed = parse_http_date(text)
    assert parsed == EXAMPLE.replace(year=year)
    assert parsed.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [None, "", "0", "-1", "garbage", "Sun, 06 Nov 1994", "1994-11-06T08:49:37Z", "Sun, 32 Nov 1994 08:49:37 GMT",
     "Sun, 29 Feb 1995 08:49:37 GMT",
     "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:60 GMT",
     "Sun, 06 Nov 1994 08:49:379 GMT",
     "Sun, 06 Xyz 1994 08:49:37 GMT", "Sun, 06 Nov 194 08:49:37 GMT", "Sun, 06 Nov 19940 08:49:37 GMT",
     "Sun, 06 Nov 1994 08:4b:37 GMT",
     "Sun, ٠٦ Nov 1994 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT", "Sun Nov  6 08:49:37 94",
     "Sun, 06 Nov 0000 08:49:37 GMT", "x" * 300],
)  # fmt: skip
def test_what_is_no_date_is_none(text: str | None) -> None:
    assert parse_http_date(text) is None


COOKIE_DATES = [
    ("Wed, 09 Jun 2021 10:18:14 GMT", datetime(2021, 6, 9, 10, 18, 14, tzinfo=UTC)),
    ("Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE),
    ("Sunday, 06-Nov-94 08:49:37 GMT", EXAMPLE),
    ("Sun Nov  6 08:49:37 1994", EXAMPLE),
    ("6 november 1994 8:49:37", EXAMPLE),
    ("08:49:37 1994 Nov 06", EXAMPLE),  # 1994 is no day: a digit follows the second one
    ("08:49:37 06 1994 Nov", EXAMPLE),
    ("06/Nov/1994//08:49:37xyz", EXAMPLE),
    ("Thu, 01 Jan 1970 00:00:00 GMT", datetime(1970, 1, 1, tzinfo=UTC)),
    ("01-Jan-70 00:00:00", datetime(1970, 1, 1, tzinfo=UTC)),
    ("01-Jan-69 00:00:00", datetime(2069, 1, 1, tzinfo=UTC)),
    ("01-Jan-99 00:00:00", datetime(1999, 1, 1, tzinfo=UTC)),
    ("01-Jan-1601 00:00:00", datetime(1601, 1, 1, tzinfo=UTC)),
    ("01-Jan-1600 00:00:00", None),
    ("01-Jan-2000 24:00:00", None),
    ("01-Jan-2000 00:60:00", None),
    ("01-Jan-2000 00:00:60", None),
    ("00-Jan-2000 00:00:00", None),
    ("32-Jan-2000 00:00:00", None),
    ("30-Feb-2000 00:00:00", None),
    ("29-Feb-2000 00:00:00", datetime(2000, 2, 29, tzinfo=UTC)),
    ("01-Jan-20000 00:00:00", None),
    ("01-Jan-2000", None),
    ("Jan 2000 00:00:00", None),
    ("01 2000 00:00:00", None),
    ("01 Jan 00:00:00", None),
    ("01 Jan 2000 00:00", None),
    ("01 Jan 2000 000:00:00", None),
    ("01 Jan 2000 00:00:00 02 Feb 2001 01:01:01", datetime(2000, 1, 1, tzinfo=UTC)),
    ("1st Jan 2000 00:00:00", datetime(2000, 1, 1, tzinfo=UTC)),
    ("", None),
    ("0", None),
    ("tomorrow", None),
    ("01 Jan 2000 00:00:00" + " " * 300, None),
]


@pytest.mark.parametrize(("text", "moment"), COOKIE_DATES)
def test_cookie_dates_by_the_algorithm_of_the_rfc(text: str, moment: datetime | None) -> None:
    assert parse_cookie_date(text) == moment


hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

SECONDS = st.integers(-62135596800, 253402300799)


@given(SECONDS)
def test_dates_are_read_as_written(second: int) -> None:
    parsed = parse_http_date(http_date(second))
    assert parsed is not None
    assert (parsed - EXAMPLE).total_seconds() == second - 784111777


@given(st.integers(0, 4102444800))
def test_dates_are_written_as_by_the_standard_library(second: int) -> None:
    assert http_date(second) == email.utils.formatdate(second, usegmt=True)
    assert parse_cookie_date(http_date(second)) == datetime.fromtimestamp(second, UTC)


@given(st.text(st.sampled_from("0123456789 :,-SunovGMT\t/é"), max_size=40))
def test_any_text_is_a_date_or_none(text: str) -> None:
    for parse in (parse_http_date, parse_cookie_date):
        result = parse(text)
        assert result is None or result.tzinfo is UTC


@pytest.mark.parametrize("bite", ["0", " ", "Sun,", "0:", "a", "-"])
def test_long_text_takes_no_time(bite: str) -> None:
    started = time.perf_counter()
    for size in (200, 100_000):
        parse_http_date((bite * size)[:size])
        parse_cookie_date((bite * size)[:size])
    assert time.perf_counter() - started < 1


def test_dates_are_read_as_by_the_original() -> None:
    helpers = pytest.importorskip("aiohttp.helpers")
    for text in ("Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "",
                 None, "Sun, 06 Nov 1994 08:49 GMT", "Sun, 06 Nov 1994 08:49:37 +0100", "06 Nov 1994 08:49:37 EST",
                 "Sunday, 06-Nov-68 08:49:37 GMT", "Sunday, 06-Nov-69 08:49:37 GMT",
                 "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:49:37 GMT",
                 "Fri, 31 Dec 9999 23:59:59 GMT"):  # fmt: skip
        assert parse_http_date(text) == helpers.parse_http_date(text), text

"""Dates: what HTTP fields say, written and read (RFC 9110 5.6.7), and the free form of cookies (RFC 6265 5.1.1).

Timestamps are seconds since 1970 in UTC, given by the caller; results are aware datetimes in UTC. Text that is no date
gives None and never raises, in time linear in its length.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ("http_date", "parse_cookie_date", "parse_http_date")

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS: Final = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Characters that a date may have: a cookie's may hold any filler, and nobody needs more of it than this.
MAX_DATE: Final = 256

# IMF-fixdate, RFC 850 and asctime, as loosely as servers write them: the weekday may be missing or wrong, days and
# hours may lack a digit, seconds may be missing. What follows the time is taken for GMT, which is all that it may be.
_CLOCK: Final = r"(?P<hour>\d{1,2}):(?P<minute>\d{1,2})(?::(?P<second>\d{1,2}))?(?=\s|\Z)"
_FIXDATE: Final = re.compile(
    rf"\s*(?:[a-z]+\s*,?\s*)?(?P<day>\d{{1,2}})[\s-]\s*(?P<month>[a-z]{{3,9}})[\s-]\s*(?P<year>\d{{4}}|\d{{2}})\s+{_CLOCK}",
    re.IGNORECASE | re.ASCII,
)
_ASCTIME: Final = re.compile(
    rf"\s*[a-z]+\s+(?P<month>[a-z]{{3,9}})\s+(?P<day>\d{{1,2}})\s+{_CLOCK}\s+(?P<year>\d{{4}})(?!\d)",
    re.IGNORECASE | re.ASCII,
)

# RFC 6265 section 5.1.1: what separates the tokens of a cookie's date, and what each is known by. "Digits, then
# a non-digit and anything" is how the grammar there reads: the lookaheads.
_COOKIE_TOKEN: Final = re.compile(r"[^\t\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_COOKIE_TIME: Final = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?!\d)", re.ASCII)
_COOKIE_DAY: Final = re.compile(r"(\d{1,2})(?!\d)", re.ASCII)
_COOKIE_YEAR: Final = re.compile(r"(\d{2,4})(?!\d)", re.ASCII)

_written: tuple[int, str] = (0, "Thu, 01 Jan 1970 00:00:00 GMT")


def http_date(timestamp: float) -> str:
    """Write an IMF-fixdate: ``Sun, 06 Nov 1994 08:49:37 GMT``; fractions of a second are cut off.

    The last second's text is kept, so a server asks once a second and gets it for nothing the other times.
    Raises ValueError or OverflowError outside the years 1 to 9999.
    """
    global _written
    second = int(timestamp // 1)
    kept = _written  # one read: another thread may put its own pair there
    if kept[0] == second:
        return kept[1]
    date = _EPOCH + timedelta(seconds=second)
    text = (
        f"{_DAYS[date.weekday()]}, {date.day:02} {_MONTHS[date.month - 1]} {date.year:04} "
        f"{date.hour:02}:{date.minute:02}:{date.second:02} GMT"
    )
    _written = (second, text)
    return text


def parse_http_date(text: str | None) -> datetime | None:
    """Read a date in any of the three forms that HTTP ever had; None when it is none of them.

    Years of two digits are from 1969 to 2068. A leap second, which no datetime can hold, is no date.
    """
    if not text or len(text) > MAX_DATE:
        return None
    match = _FIXDATE.match(text) or _ASCTIME.match(text)
    if match is None:
        return None
    month = _MONTH_NUMBERS.get(match["month"][:3].lower())
    year = int(match["year"])
    if len(match["year"]) == 2:
        year += 2000 if year < 69 else 1900
    if month is None:
        return None
    return _datetime(
        year, month, int(match["day"]), int(match["hour"]), int(match["minute"]), int(match["second"] or 0)
    )


def parse_cookie_date(text: str) -> datetime | None:
    """Read a cookie's ``Expires`` by the algorithm of RFC 6265 section 5.1.1; None where that fails.

    Time, day, month and year may stand in any order between any separators; the first of each counts. Years of two
    digits are from 1970 to 2069, and 1601 is the first that there is.
    """
    if len(text) > MAX_DATE:
        return None
    time: tuple[int, int, int] | None = None
    day = month = year = None
    for token in _COOKIE_TOKEN.findall(text):
        if time is None and (match := _COOKIE_TIME.match(token)):
            time = int(match[1]), int(match[2]), int(match[3])
        elif day is None and (match := _COOKIE_DAY.match(token)):
            day = int(match[1])
        elif month is None and token[:3].lower() in _MONTH_NUMBERS:
            month = _MONTH_NUMBERS[token[:3].lower()]
        elif year is None and (match := _COOKIE_YEAR.match(token)):
            year = int(match[1])
            if year < 100:
                year += 1900 if year >= 70 else 2000
    if time is None or day is None or month is None or year is None or year < 1601:
        return None
    return _datetime(year, month, day, *time)


def _datetime(year: int, month: int, day: int, hour: int, minute: int, second: int) -> datetime | None:
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:  # 30 February, 24:00
        return None

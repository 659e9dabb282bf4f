"""Preconditions and ranges: what a request for a representation gets (RFC 9110 sections 13.2.2, 13.1.5 and 14).

In: what the request asks for, and the entity tag, the modification time and the length of what would be sent. Out: go
on, 304 or 412; and which bytes. Times are whole seconds since 1970, the same number that Last-Modified tells.

Where the RFC leaves a choice:

* Several ranges in one request are ignored, and the whole representation is sent, which every client understands.
* A ranges-specifier that breaks the grammar is not satisfiable; one in another unit is ignored, as it must be.
* An If-Range that is neither a strong entity tag nor a date never matches, so the whole representation is sent: bytes
  of two versions are never mixed. A date matches when it is the one that Last-Modified has.

Limits: those of `conditional`, which reads the fields.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from .conditional import ETag, etag_matches, parse_if_range, parse_range

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("PROCEED", "UNSATISFIABLE", "Span", "evaluate", "range_applies", "select_span")

PROCEED: Final = 200
"""No precondition stands in the way."""

NOT_MODIFIED: Final = 304
PRECONDITION_FAILED: Final = 412

# RFC 9110 section 14.1: another unit than bytes, and several ranges (1#range-spec, of which one is an int-range or
# a suffix-range).
_OTHER_UNIT: Final = re.compile(r"(?!bytes=)[!#$%&'*+.^_`|~0-9a-z-]+=", re.IGNORECASE | re.ASCII)
_SPEC: Final = r"[ \t]*(?:[0-9]+-[0-9]*|-[0-9]+)[ \t]*"
_SEVERAL: Final = re.compile(rf"bytes={_SPEC}(?:,{_SPEC})+", re.IGNORECASE | re.ASCII)


class Span(NamedTuple):
    """Bytes of a representation: the place of the first one, and how many."""

    first: int
    length: int


UNSATISFIABLE: Final = Span(0, 0)
"""No byte of the representation is asked for: the answer is 416."""


def evaluate(
    method: str,
    etag: ETag,
    modified: int,
    *,
    if_match: Iterable[ETag] | None = None,
    if_unmodified_since: datetime | None = None,
    if_none_match: Iterable[ETag] | None = None,
    if_modified_since: datetime | None = None,
) -> int:
    """Return PROCEED, 304 or 412 for a representation that exists. RFC 9110 section 13.2.2.

    A condition that is not there is None; so is a date that could not be read.
    """
    reading = method in ("GET", "HEAD")
    if if_match is not None:
        if not etag_matches(etag, if_match, weak=False):
            return PRECONDITION_FAILED
    elif if_unmodified_since is not None and modified > if_unmodified_since.timestamp():
        return PRECONDITION_FAILED
    if if_none_match is not None:
        if etag_matches(etag, if_none_match, weak=True):
            return NOT_MODIFIED if reading else PRECONDITION_FAILED
    elif reading and if_modified_since is not None and modified <= if_modified_since.timestamp():
        return NOT_MODIFIED
    return PROCEED


def range_applies(if_range: str | None, etag: ETag, modified: int) -> bool:
    """Tell whether the Range of a request is to be looked at, given its If-Range. RFC 9110 section 13.1.5."""
    if if_range is None:
        return True
    wanted = parse_if_range(if_range)
    if isinstance(wanted, datetime):
        return wanted.timestamp() == modified
    return wanted is not None and etag_matches(etag, (wanted,), weak=False)


def select_span(field: str, size: int) -> Span | None:
    """Return the bytes that a Range asks for, UNSATISFIABLE, or None when the field is to be ignored.

    RFC 9110 section 14.1.2: the last byte may lie beyond the end, the last ``n`` bytes may be more than there are.
    """
    if _OTHER_UNIT.match(field) or _SEVERAL.fullmatch(field):
        return None
    try:
        wanted = parse_range(field)
    except ValueError:
        return UNSATISFIABLE
    first = wanted.start
    if first < 0:
        first, last = max(0, size + first), size
    elif first == 0 and field.partition("=")[2].startswith("-"):
        return UNSATISFIABLE  # the last 0 bytes
    else:
        last = size if wanted.stop is None else min(wanted.stop, size)
    return Span(first, last - first) if first < last else UNSATISFIABLE

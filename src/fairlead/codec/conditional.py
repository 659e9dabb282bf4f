"""Conditional and range requests: entity tags, what is asked of them, and ``Range`` (RFC 9110 sections 8.8.3, 13, 14).

In: field values. Out: `ETag` objects, slices, and the text to send. What a client sent and nobody can read is never an
error here, but in ``Range``, where the caller wants to answer it; what a program wants to send is checked.

Limits: a field value is as long as a header field may be; reading it takes time linear in that.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from .dates import parse_http_date

__all__ = (
    "ETAG_ANY",
    "ETag",
    "as_etag",
    "etag_matches",
    "parse_entity_tags",
    "parse_etag",
    "parse_if_range",
    "parse_range",
)

ETAG_ANY: Final = "*"
"""The value of the tag that stands for every representation."""

# RFC 9110 section 8.8.3
#   entity-tag = [ weak ] opaque-tag        opaque-tag = DQUOTE *etagc DQUOTE
#   etagc = %x21 / %x23-7E / obs-text
# Field values come as decoded text, so that obs-text is everything beyond ASCII.
_ETAGC: Final = "\x21\x23-\x7e\x80-\U0010ffff"
_VALUE: Final = re.compile(f"[{_ETAGC}]+")
_TAG: Final = re.compile(f'(W/)?"([{_ETAGC}]*)"')
# RFC 9110 section 5.6.1: "A recipient MUST parse and ignore a reasonable number of empty list elements".
_LIST_ITEM: Final = re.compile(rf"[ \t,]*+{_TAG.pattern}[ \t]*+(?=,|\Z)")

# RFC 9110 section 14.1.1, 14.1.2: one int-range or suffix-range; range-unit is case-insensitive (section 14.1).
_RANGE: Final = re.compile(r"bytes=([0-9]*)-([0-9]*)", re.IGNORECASE | re.ASCII)


@functools.total_ordering
class ETag:
    """An entity tag: its opaque value without the quotation marks, and whether it is weak; it cannot be changed.

    The value ``*`` stands for any tag.
    """

    __slots__ = ("__weakref__", "is_weak", "value")
    __match_args__ = ("value", "is_weak")

    value: str
    is_weak: bool

    def __init__(self, value: str, is_weak: bool = False) -> None:
        """Take the parts as they are; what is sent is checked by `as_etag`."""
        put = object.__setattr__
        put(self, "value", value)
        put(self, "is_weak", is_weak)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("an ETag cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("an ETag cannot be changed")

    def _parts(self) -> tuple[str, bool]:
        return self.value, self.is_weak

    def __eq__(self, other: object) -> bool:
        if type(other) is type(self):
            return self._parts() == other._parts()
        return NotImplemented

    def __lt__(self, other: object) -> bool:
        if type(other) is type(self):
            return self._parts() < other._parts()
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._parts())

    def __repr__(self) -> str:
        return f"ETag(value={self.value!r}, is_weak={self.is_weak!r})"

    def __str__(self) -> str:
        return repr(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._parts()

    def field_value(self) -> str:
        """Return the text that is sent: ``"abc"``, ``W/"abc"`` or ``*``."""
        if self.value == ETAG_ANY:
            return ETAG_ANY
        return f'W/"{self.value}"' if self.is_weak else f'"{self.value}"'


def as_etag(value: object) -> ETag:
    """Return the tag that a program wants to send, given as a value without quotation marks or as an `ETag`.

    Raises ValueError for another type and for a value that is empty or has white space, controls or ``"``.
    """
    if isinstance(value, ETag):
        etag = value
    elif isinstance(value, str):
        etag = ETag(value)
    else:
        raise ValueError(f"Unsupported etag type: {type(value)}. etag must be str, ETag or None")
    if _VALUE.fullmatch(etag.value) is None:
        raise ValueError(f"Value {etag.value!r} is not a valid etag. Maybe it contains '\"'?")
    return etag


def parse_etag(text: str | None) -> ETag | None:
    """Read the value of an ``ETag`` field; None when it is no entity tag. ``*`` is read as well."""
    if not text:
        return None
    if text == ETAG_ANY:
        return ETag(ETAG_ANY)
    match = _TAG.fullmatch(text)
    return None if match is None or not match[2] else ETag(match[2], match[1] is not None)


def parse_entity_tags(values: Iterable[str]) -> tuple[ETag, ...]:
    """Read the field lines of ``If-Match`` or ``If-None-Match``: ``*`` alone, or a list of tags.

    The list ends at the first thing that is no entity tag. Several lines are one list (RFC 9110 section 5.3).
    """
    text = ", ".join(values)
    if text == ETAG_ANY:
        return (ETag(ETAG_ANY),)
    tags: list[ETag] = []
    position = 0
    while (match := _LIST_ITEM.match(text, position)) is not None:
        tags.append(ETag(match[2], match[1] is not None))
        position = match.end()
    return tuple(tags)


def etag_matches(etag: ETag | None, tags: Iterable[ETag], *, weak: bool) -> bool:
    """Tell whether a representation's tag is among those of a condition (RFC 9110 section 8.8.3.2).

    ``If-None-Match`` compares weakly, ``If-Match`` and ``If-Range`` strongly: there a weak tag equals nothing. ``*``
    matches every representation, also one without a tag: ask only when there is a representation.
    """
    for tag in tags:
        if tag.value == ETAG_ANY and not tag.is_weak:
            return True
        if etag is not None and tag.value == etag.value and (weak or not (tag.is_weak or etag.is_weak)):
            return True
    return False


def parse_if_range(text: str | None) -> ETag | datetime | None:
    """Read ``If-Range``: an entity tag or a date (RFC 9110 section 13.1.5); None when it is neither."""
    if not text:
        return None
    match = _TAG.fullmatch(text)
    return parse_http_date(text) if match is None else ETag(match[2], match[1] is not None)


def parse_range(text: str | None) -> slice[Any, Any, Any]:
    """Return the slice of a representation that ``Range`` asks for, ``slice(None, None, 1)`` without the field.

    ``bytes=0-499`` gives ``slice(0, 500, 1)``, ``bytes=500-`` ``slice(500, None, 1)``, ``bytes=-500``
    ``slice(-500, None, 1)``. Raises ValueError for everything else: other units, several ranges, a start behind the
    end, thousands of digits. No position is compared with a length: that is for whoever has the representation.
    """
    if text is None:
        return slice(None, None, 1)
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError("range not in acceptable format")
    first, last = match[1], match[2]
    if not first and not last:
        raise ValueError("No start or end of range specified")
    if not first:
        return slice(-int(last), None, 1)
    start = int(first)
    if not last:
        return slice(start, None, 1)
    end = int(last)
    if start > end:
        raise ValueError("start cannot be after end")
    return slice(start, end + 1, 1)

"""Media types: ``Content-Type`` taken apart, what ``json()`` accepts, and a file name's type (RFC 9110 section 8.3).

Two readings live side by side, because the public API has both. :func:`parse_mimetype` takes a well-formed value apart
and is lenient to the point of knowing no quoting but the outer marks. :func:`parse_content_type` is what
``response.content_type`` and ``response.charset`` stand on: quoted strings are read as such, and a value that is no
media type becomes ``application/octet-stream``.

Limits: the caches hold :data:`CACHED` values each; values are as long as a header field may be.
"""

from __future__ import annotations

import functools
import re
from types import MappingProxyType
from typing import Final

from multidict import MultiDict, MultiDictProxy

__all__ = ("MimeType", "guess_type", "is_expected_content_type", "parse_content_type", "parse_mimetype")

# Distinct Content-Type values kept parsed: more than a program meets in ordinary life.
CACHED: Final = 128

DEFAULT_TYPE: Final = "application/octet-stream"

# application/json, and with a suffix: application/problem+json. What follows is not looked at, as in aiohttp.
_JSON: Final = re.compile(r"application/(?:[\w.+-]+\+)?json", re.ASCII)

# One parameter: name, then a quoted string (closed or not) or a bare value; then whatever stands before the semicolon.
_PARAMETER: Final = re.compile(
    r"""
    ;[ \t]*
    (?: (?P<name> [^;="\s()<>@,:\\/\[\]?]+ ) [ \t]*
        (?: = [ \t]* (?: "(?P<quoted> (?: [^"\\] | \\. )* ) (?: " | \\? \Z ) | (?P<bare> [^;="'\s()<>@,:\\/\[\]?]+ ) )
        | (?= ; | \Z ) )
    )?
    (?: [^;"] | "(?: [^"\\] | \\. )* (?: " | \\? \Z ) )*
    """,
    re.VERBOSE | re.DOTALL,
)
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)


class MimeType:
    """A media type taken apart; values compare equal when all parts do, and cannot be changed."""

    __slots__ = ("parameters", "subtype", "suffix", "type")

    type: str
    subtype: str
    suffix: str
    parameters: MultiDictProxy[str]

    def __init__(self, type: str, subtype: str, suffix: str, parameters: MultiDictProxy[str]) -> None:
        """Take the parts as they are."""
        put = object.__setattr__
        put(self, "type", type)
        put(self, "subtype", subtype)
        put(self, "suffix", suffix)
        put(self, "parameters", parameters)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: a parsed value is shared by everyone who parsed the same text."""
        raise AttributeError("a MimeType cannot be changed")

    def __delattr__(self, name: str) -> None:
        """Refuse, as for setting."""
        raise AttributeError("a MimeType cannot be changed")

    def _parts(self) -> tuple[str, str, str, MultiDictProxy[str]]:
        return self.type, self.subtype, self.suffix, self.parameters

    def __eq__(self, other: object) -> bool:
        """Compare part by part."""
        if isinstance(other, MimeType):
            return self._parts() == other._parts()
        return NotImplemented

    # Like the mapping that it holds.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Show all parts."""
        return (
            f"MimeType(type={self.type!r}, subtype={self.subtype!r}, suffix={self.suffix!r}, "
            f"parameters={self.parameters!r})"
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle and copy by value: the proxy itself cannot be."""
        return _restore, (self.type, self.subtype, self.suffix, list(self.parameters.items()))


def _restore(type_: str, subtype: str, suffix: str, parameters: list[tuple[str, str]]) -> MimeType:
    return MimeType(type_, subtype, suffix, MultiDictProxy(MultiDict(parameters)))


@functools.lru_cache(maxsize=CACHED)
def parse_mimetype(mimetype: str) -> MimeType:
    """Take a media type apart: ``text/html; charset=utf-8``; nothing is an error, missing parts are empty.

    Type, subtype, suffix and parameter names come in lower case; ``*`` stands for ``*/*``. A semicolon ends a
    parameter even between quotation marks.
    """
    if not mimetype:
        return MimeType("", "", "", MultiDictProxy(MultiDict()))
    full, *items = mimetype.split(";")
    parameters = MultiDict[str]()
    for item in items:
        if item and not item.isspace():
            name, _, value = item.partition("=")
            parameters.add(name.lower().strip(), value.strip(' "'))
    full = full.strip().lower()
    if full == "*":
        full = "*/*"
    type_, _, subtype = full.partition("/")
    subtype, _, suffix = subtype.partition("+")
    return MimeType(type_, subtype, suffix, MultiDictProxy(parameters))


@functools.lru_cache(maxsize=CACHED)
def parse_content_type(raw: str) -> tuple[str, MappingProxyType[str, str]]:
    """Return the media type in lower case and its parameters, names in lower case, the first of each name.

    What is no ``type/subtype`` gives ``application/octet-stream``. Quoted strings are read by RFC 9110 section 5.6.4,
    unclosed ones to the end; a bare value ends before the first character that may not be in one.
    """
    media_type = raw.partition(";")[0].strip().lower()
    if media_type.count("/") != 1:
        media_type = DEFAULT_TYPE
    parameters: dict[str, str] = {}
    at = raw.find(";")
    while at >= 0 and (match := _PARAMETER.match(raw, at)):
        name, quoted, bare = match.group("name", "quoted", "bare")
        if quoted is not None:
            parameters.setdefault(name.lower(), _QUOTED_PAIR.sub(r"\1", quoted))
        elif bare is not None:
            parameters.setdefault(name.lower(), bare)
        elif name is not None:  # alone; the names of these are left as they are, as in aiohttp
            parameters.setdefault(name, "")
        at = match.end() if match.end() < len(raw) else -1
    return media_type, MappingProxyType(parameters)


def is_expected_content_type(raw: str, expected: str) -> bool:
    """Tell whether a ``Content-Type`` value satisfies what ``json(content_type=expected)`` asks for.

    ``application/json`` means any value that begins with that or with ``application/…+json``, in any case.
    Another expectation has to be contained in the value in lower case; the empty one always is.
    """
    if expected == "application/json":
        return _JSON.match(raw.lower()) is not None
    return expected in raw.lower()


def guess_type(filename: str, default: str = DEFAULT_TYPE) -> str:
    """Return the media type that a file name's suffix stands for, from the tables of :mod:`mimetypes`."""
    import mimetypes  # reads the system's tables on first use

    return mimetypes.guess_type(filename)[0] or default

"""``Forwarded``: what proxies say of the client that they speak for (RFC 7239).

In: the field lines, each a list of elements, one for each proxy, the one next to the client first. Out: a mapping for
each element; parameter names come in lower case.

What is not well-formed costs the parameter that it stands in and those after it, up to the next comma, and nothing
else: another proxy's element is still told. Nothing here is to be trusted, unless the proxy is.

Limits: a field value is as long as a header field may be; reading it takes linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from .grammar import TOKEN

__all__ = ("parse_forwarded",)

# RFC 7239 section 4
#   forwarded-pair = token "=" value        value = token / quoted-string
# A port behind the value, which ":" would have to be quoted for, is read as well: most proxies write it so.  qdtext and
# quoted-pair (RFC 9110 section 5.6.4) without obs-text.
_PAIR: Final = re.compile(
    rf"""
    (?P<name> {TOKEN.pattern}+ ) =
    (?: (?P<bare> {TOKEN.pattern}+ ) | "(?P<quoted> (?: [\t\x20\x21\x23-\x5b\x5d-\x7e] | \\[\t\x20-\x7e] )*+ )" )
    (?P<port> :[0-9]{{1,5}} (?![0-9]) )?
    [ \t]*+
    """,
    re.VERBOSE,
)
_QUOTED_PAIR: Final = re.compile(r"\\(.)")
_SEPARATORS: Final = re.compile(r"[ \t;]*+")


def parse_forwarded(values: Iterable[str]) -> tuple[Mapping[str, str], ...]:
    """Return what each element of the field lines says, in order; the last of a repeated parameter counts.

    An element that says nothing gives an empty mapping. Raises nothing for any text.
    """
    return tuple(element for value in values for element in _elements(value))


def _elements(value: str) -> list[Mapping[str, str]]:
    element: dict[str, str] = {}
    elements: list[Mapping[str, str]] = [MappingProxyType(element)]
    position, length = 0, len(value)
    while True:
        position = _SEPARATORS.match(value, position).end()  # type: ignore[union-attr]
        if position < length and value[position] != ",":
            match = _PAIR.match(value, position)
            if match is not None:
                name, bare, quoted, port = match.group("name", "bare", "quoted", "port")
                text = _QUOTED_PAIR.sub(r"\1", quoted) if bare is None else bare
                element[name.lower()] = text + (port or "")
                position = match.end()
                if position < length and value[position] == ";":
                    continue
        comma = value.find(",", position)
        if comma < 0:
            return elements
        element = {}
        elements.append(MappingProxyType(element))
        position = comma + 1

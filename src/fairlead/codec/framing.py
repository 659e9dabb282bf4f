"""How long a message body is and whether the connection survives it.

Pure decisions over a header section, blind to who asks.  RFC 9112 §6.3 (message body length), §9.3 (persistence),
RFC 9110 §8.6 (Content-Length).

A length is a number of bytes, or one of the marks CHUNKED, UNTIL_CLOSE, TUNNEL.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from multidict import CIMultiDict, istr

from .. import hdrs
from ..errors import ProtocolError
from .events import HttpVersion, HttpVersion10, HttpVersion11
from .fields import has_token, shown
from .grammar import CONTENT_LENGTH

CHUNKED: Final = -1
"""The body is framed by the chunked transfer coding."""

UNTIL_CLOSE: Final = -2
"""The body ends when the connection does (responses only)."""

BODILESS: Final = frozenset({*range(100, 200), 204, 304})
"""Statuses of responses that have no body (RFC 9110 §6.4.1)."""

MAX_CONTENT_LENGTH: Final = 2**63 - 1
"""Bytes: what the sizes and offsets of any platform can hold."""

TUNNEL: Final = -3
"""No HTTP follows: the connection was upgraded or is a CONNECT tunnel."""

_CONTENT_LENGTH = hdrs.CONTENT_LENGTH
_TRANSFER_ENCODING = hdrs.TRANSFER_ENCODING
_CONNECTION = hdrs.CONNECTION
_PROXY_CONNECTION = istr("Proxy-Connection")


def length_error(slug: str, message: str) -> ProtocolError:
    """The error for a message whose length can not be trusted."""
    return ProtocolError(f"h1.length.{slug}", message, fault="peer", status=400)


def response_length(method: str, status: int, headers: CIMultiDict[str]) -> int:
    """Decide the body length of a response to `method` (RFC 9112 §6.3, rules 1 to 8).

    Raises ProtocolError for contradictory or malformed framing fields, whichever rule applies.
    """
    if _TRANSFER_ENCODING in headers or (lengths := headers.getall(_CONTENT_LENGTH, None)) is None or len(lengths) > 1:
        declared = declared_length(headers)
    else:
        declared = content_length(lengths[0])
    if status in BODILESS or method == "HEAD":
        return TUNNEL if status == 101 else 0
    if method == "CONNECT" and 199 < status < 300:
        return TUNNEL
    return UNTIL_CLOSE if declared is None else declared


def request_length(headers: CIMultiDict[str], version: HttpVersion) -> int:
    """Decide the body length of a request: without framing fields there is none (RFC 9112 §6.3, rule 7).

    Raises ProtocolError: a transfer coding below chunked gets status 501; codings that do not end in chunked, one in an
    HTTP/1.0 message and one together with Content-Length get 400 (RFC 9112 §6.1, §6.3: request smuggling).
    """
    declared = declared_length(headers)
    if declared is None:
        return 0
    if declared < 0 and not is_chunked_alone(codings := headers.getall(_TRANSFER_ENCODING)):
        listed = shown(", ".join(codings))
        if declared == UNTIL_CLOSE:
            # "the server MUST respond with the 400 (Bad Request) status code and then close the connection"
            raise length_error("coding", f"The body has no end: Transfer-Encoding {listed} does not end in chunked")
        raise ProtocolError(
            "h1.length.coding",
            f"Unsupported Transfer-Encoding {listed}: only chunked is understood",
            fault="peer",
            status=501,
        )
    if declared == CHUNKED and version < HttpVersion11:
        raise length_error("coding-1.0", "Transfer-Encoding in an HTTP/1.0 request (RFC 9112 §6.1)")
    return declared


def declared_length(headers: CIMultiDict[str]) -> int | None:
    """Read the framing fields: a length, CHUNKED, UNTIL_CLOSE for any other transfer coding, None for no field."""
    lengths = headers.getall(_CONTENT_LENGTH, None)
    if _TRANSFER_ENCODING not in headers:
        if lengths is None:
            return None
        if len(lengths) > 1:
            raise length_error("duplicate", f"Duplicate Content-Length: {shown(', '.join(lengths))}")
        return content_length(lengths[0])
    if lengths is not None:
        raise length_error(
            "conflict", "Content-Length can't be present with Transfer-Encoding: two framings in one message"
        )
    codings = headers.getall(_TRANSFER_ENCODING)
    if codings == ["chunked"]:
        return CHUNKED
    # A list; chunked counts only as the last coding (RFC 9112 §6.3 rule 4).
    return CHUNKED if has_token(",".join(codings).rsplit(",", 1)[-1], "chunked") else UNTIL_CLOSE


def is_chunked_alone(codings: list[str]) -> bool:
    """Tell whether chunked is the only transfer coding; other codings below it would be left in the body."""
    return len(codings) == 1 and "," not in codings[0] and has_token(codings[0], "chunked")


@lru_cache(maxsize=1024)
def content_length(value: str) -> int:
    """Read the value of Content-Length: digits, nothing else (RFC 9110 §8.6)."""
    if CONTENT_LENGTH.fullmatch(value) is None:
        if not value:
            raise length_error("empty", "Empty Content-Length")
        if value.isdecimal() and value.isascii():
            raise length_error("overflow", f"Content-Length overflow: {shown(value)}")
        raise length_error("syntax", f"Invalid character in Content-Length: {shown(value)}")
    length = int(value)
    if length > MAX_CONTENT_LENGTH:
        raise length_error("overflow", f"Content-Length overflow: {shown(value)}")
    return length


@lru_cache(maxsize=256)
def connection_options(value: str) -> frozenset[str]:
    """Return the options of a Connection field, in lower case (RFC 9110 §7.6.1)."""
    # Some letters outside ASCII have an ASCII letter as their lower case: the Kelvin sign becomes "k".
    return frozenset(item.strip(" \t").lower() for item in value.split(",") if item.isascii())


def keeps_alive(version: HttpVersion, headers: CIMultiDict[str]) -> bool:
    """Decide whether the connection persists after this message (RFC 9112 §9.3)."""
    values = headers.getall(_CONNECTION, None)
    if values is None:
        if version != HttpVersion11:
            return False
        # The historic field of proxies says the same (RFC 9112 appendix C.2.2).
        proxied = headers.get(_PROXY_CONNECTION)
        return proxied is None or "close" not in connection_options(proxied)
    options = connection_options(",".join(values))
    if "close" in options:
        return False
    if version == HttpVersion11:
        return True
    # A transfer coding in an HTTP/1.0 message: its framing is suspect, "close the connection" (RFC 9112 §6.1).
    return version == HttpVersion10 and "keep-alive" in options and _TRANSFER_ENCODING not in headers

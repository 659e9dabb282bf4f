"""Header sections: parse, limit, serialise.

In: the text of a field block, every line ended by CRLF, without the empty line that ends the section.
Out: the pairs in order, names as spelled by the sender.

A block is split into lines, and each line is looked up among those that were seen lately, which hold nearly all lines
of nearly all messages; only a new line is matched against the grammar.

Limits: `max_field_size` bytes for a name and for a value, `max_headers` lines.  RFC 9110 §5, RFC 9112 §5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from multidict import istr

from ..errors import ProtocolError
from .grammar import FIELD_LINE, FIELD_LINE_LENIENT, FIELD_NAMES, FORBIDDEN, TOKEN

MAX_LINE_SIZE = 8190
"""Default limit of a start line, in bytes."""

MAX_FIELD_SIZE = 8190
"""Default limit of a field name and of a field value, in bytes each."""

MAX_HEADERS = 128
"""Default limit of the number of field lines in a section."""

SHOWN = 60
"""How much of a peer's input an error message shows, in characters."""

RECENT_LINES = 1024
"""Field lines in each of the two generations that are remembered."""

RECENT_LENGTH = 128
"""Characters of a field line that is remembered."""

SECRET_WORDS = re.compile(r"cookie|auth|key|token|secret|session|signature|password", re.IGNORECASE)
"""Names of lines that are never remembered: secrets must not stay in memory longer than their message."""

# Peers send the same lines over and over, so a line is checked against the grammar once and then looked up.  Lines that
# were not seen for a while are forgotten: the older generation is dropped when the younger one is full.
_recent: dict[str, tuple[istr, str]] = {}
_older: dict[str, tuple[istr, str]] = {}


def shown(text: str | bytes) -> str:
    """Shorten and escape a piece of a peer's input for an error message."""
    piece = text[:SHOWN]
    return f"{piece!r}{'...' if len(text) > SHOWN else ''}"


def parse_fields(block: str, max_field_size: int, max_headers: int) -> list[tuple[str, str]]:
    """Split a field block into pairs; raises ProtocolError for anything that the grammar does not allow."""
    pairs = split_fields(block, max_headers)
    if len(block) > max_field_size or not block.isascii():
        check_sizes(pairs, max_field_size)
    return pairs


def split_fields(block: str, max_headers: int) -> list[tuple[str, str]]:
    """Do the same for a block that is smaller in bytes than any field may be."""
    lines = block.split("\r\n")
    if lines.pop():
        raise line_fault(lines[-1] if lines else block)
    known = list(map(_recent.get, lines))
    if not all(known):
        known = [pair or _parse_line(line) for pair, line in zip(known, lines, strict=True)]
    pairs: list[tuple[str, str]] = known  # type: ignore[assignment]
    if len(pairs) > max_headers:
        raise too_many(max_headers)
    return pairs


def _parse_line(line: str) -> tuple[istr, str]:
    """Split one line that was not seen lately, and remember it."""
    pair = _older.get(line)
    if pair is None:
        match = FIELD_LINE.fullmatch(line)
        if match is None:
            raise line_fault(line)
        pair = (istr(match[1]), match[2].rstrip(" \t"))
        if len(line) > RECENT_LENGTH or SECRET_WORDS.search(match[1]):
            return pair
    if len(_recent) >= RECENT_LINES:
        _older.clear()
        _older.update(_recent)
        _recent.clear()
    _recent[line] = pair
    return pair


def parse_fields_leniently(block: str, max_field_size: int, max_headers: int) -> list[tuple[str, str]]:
    """Split a field block of a sloppy peer: bare LF as line end, folded values and control characters are accepted.

    A folded line continues the value before it, joined by one space (RFC 9112 §5.2: "replace each received obs-fold
    with one or more SP octets").
    """
    folded: list[list[str]] = []  # each field line with what continues it
    for line in block.split("\n")[:-1]:
        line = line.removesuffix("\r")
        if line[:1] not in (" ", "\t"):
            folded.append([line])
        elif folded:
            folded[-1].append(line.strip(" \t"))
        elif line.strip(" \t"):
            raise field_error("fold", "a folded line follows the start line", line)
    pairs: list[tuple[str, str]] = []
    for parts in folded:
        line = " ".join(parts)
        match = FIELD_LINE_LENIENT.fullmatch(line)
        if match is None:
            raise line_fault(line)
        pairs.append((match[1], match[2].rstrip(" \t")))
    if len(pairs) > max_headers:
        raise too_many(max_headers)
    check_sizes(pairs, max_field_size)
    return pairs


def check_sizes(pairs: list[tuple[str, str]], max_field_size: int) -> None:
    """Raise for the first name or value over the limit."""
    for name, value in pairs:
        if len(name) > max_field_size:
            raise too_long("field name", name, max_field_size, "max_field_size")
        if len(value) > max_field_size or (
            not value.isascii() and len(value.encode("utf-8", "surrogateescape")) > max_field_size
        ):
            raise too_long(f"value of {name[:SHOWN]}", value, max_field_size, "max_field_size")


def line_fault(line: str) -> ProtocolError:
    """The error that says what is wrong with one line of a field block."""
    name, colon, value = line.partition(":")
    if line[:1] in (" ", "\t"):
        return field_error("fold", "a folded line (RFC 9112 §5.2)", line)
    if not colon:
        return field_error("colon", "a field line without a colon", line)
    if not name:
        return field_error("name", "an empty field name", line)
    if name[-1:] in (" ", "\t"):
        return field_error("space-before-colon", "white space before the colon (RFC 9112 §5.1)", line)
    if TOKEN.fullmatch(name) is None:
        return field_error("name", "a field name that is not a token", line)
    if "\n" in value or "\r" in value:
        return field_error("line-end", "a bare CR or LF inside a field line (RFC 9112 §2.2)", line)
    return field_error("value", "a control character in a field value (RFC 9110 §5.5)", line)


def field_error(slug: str, what: str, line: str) -> ProtocolError:
    """The error for a malformed field line."""
    return ProtocolError(f"h1.field.{slug}", f"Invalid header: {what}: {shown(line)}", fault="peer", status=400)


def too_many(max_headers: int) -> ProtocolError:
    """The error for a section with too many lines."""
    return ProtocolError(
        "h1.field.count",
        f"Too many headers received: more than {max_headers} (option max_headers)",
        fault="peer",
        status=431,
    )


def too_long(what: str, text: str | bytes, limit: int, option: str) -> ProtocolError:
    """The error for a line, name or value over its limit."""
    return ProtocolError(
        "h1.line.length" if option == "max_line_size" else "h1.field.length",
        f"Got more than {limit} bytes when reading: {what} {shown(text)} (option {option})",
        fault="peer",
        status=414 if option == "max_line_size" else 431,
    )


def serialise_head(start_line: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """Write a start line and header section, with the empty line that ends it.

    Raises ValueError for a name that is not a token and for a control character anywhere (header injection),
    TypeError for a value that is not a string.  Surrogates of bytes that were not UTF-8 when they were received are
    sent as those bytes again; any other surrogate is a UnicodeEncodeError.
    """
    names: list[str] = []
    values: list[str] = []
    for name, value in fields:
        names.append(name)
        values.append(value)
    try:
        suspect = FORBIDDEN.search("".join(values)) or FORBIDDEN.search(start_line)
    except TypeError:
        name, value = next(pair for pair in zip(names, values, strict=True) if not isinstance(pair[1], str))
        raise TypeError(
            f"Cannot serialize non-str key {value!r}: the value of header {name} must be a string"
        ) from None
    listed = "\n".join(names)
    if suspect is not None or (names and FIELD_NAMES.fullmatch(listed) is None) or listed.count("\n") >= len(names) > 0:
        raise unsendable(start_line, names, values)
    lines = [f"{name}: {value}\r\n" for name, value in zip(names, values, strict=True)]
    return f"{start_line}\r\n{''.join(lines)}\r\n".encode("utf-8", "surrogateescape")


def unsendable(start_line: str, names: list[str], values: list[str]) -> ValueError:
    """The error for a head that must not be sent, naming the first offender."""
    for text in [start_line, *names, *values]:
        if FORBIDDEN.search(text):
            return ValueError(
                "Forbidden control character detected in headers. "
                f"Potential header injection attack. The offender is {shown(text)}"
            )
    name = next(name for name in names if TOKEN.fullmatch(name) is None)
    return ValueError(f"Invalid header name {shown(name)}: a field name is a token (RFC 9110 §5.6.2)")


def has_token(value: str, token: str) -> bool:
    """Tell whether a comma-separated list holds a token (case-insensitive; RFC 9110 §5.6.1)."""
    # Some letters outside ASCII have an ASCII letter as their lower case: the Kelvin sign becomes "k".
    return any(item.strip(" \t").lower() == token and item.isascii() for item in value.split(","))

"""``Content-Disposition`` fields, read and written: multipart parts and downloads (RFC 6266, 7578, 2231, 5987).

Reading is strict where a wrong guess would name a file or a form field, and never raises: a field that makes no sense
gives ``(None, {})`` and a :class:`BadContentDispositionHeader` warning, a parameter that makes none is left out with a
:class:`BadContentDispositionParam`. Names and disposition types come in lower case; a parameter that is there twice
spoils the whole field. Leading slashes and backslashes of quoted values are taken off, but nothing else of a path is:
``filename`` is what the peer says, and :func:`os.path.basename` on it is the caller's duty.

Limits: parameters are at most as many as a header field has room for; every loop is linear in the field.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from ..errors import quoted
from .grammar import TOKEN

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = (
    "BadContentDispositionHeader",
    "BadContentDispositionParam",
    "content_disposition_filename",
    "content_disposition_header",
    "parse_content_disposition",
)


class BadContentDispositionHeader(RuntimeWarning):
    """A Content-Disposition field was malformed and is ignored; the warning's text is the field."""


class BadContentDispositionParam(RuntimeWarning):
    """A parameter of a Content-Disposition field was malformed and is left out; the warning's text is the parameter."""


# RFC 5987 ext-value; in its value, percent signs may stand for themselves.
_EXTENDED: Final = re.compile(r"(?P<charset>[^']*)'(?P<language>[^']*)'(?P<value>.*)", re.DOTALL)
# name*0, name*1*: a piece of a value by RFC 2231 section 3.
_CONTINUED: Final = re.compile(r"[^*]*\*[0-9]+\*?")
# Characters that readers know to be escaped by a backslash; before others it is kept.
_ESCAPED: Final = re.compile(r"\\([ -\x7f\t])")
_TO_ESCAPE: Final = re.compile(r"[^!#-\[\]-~]")
_PLAIN: Final = re.compile(r"[\t -~]*")


def _is_token(text: str) -> bool:
    return TOKEN.fullmatch(text) is not None


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] == '"'


def _unquoted(text: str) -> str:
    return _ESCAPED.sub(r"\1", text[1:-1])


def _extended_value(value: str) -> str | None:
    """Decode ``charset'language'value``; None when it is not that."""
    match = _EXTENDED.fullmatch(value)
    if match is None or not _is_token(value) or "'" in match["value"]:
        return None
    try:
        return unquote(match["value"], match["charset"] or "utf-8", "strict")
    except (UnicodeDecodeError, LookupError):
        return None


def _plain_value(value: str) -> str | None:
    """Read a quoted string or a token; None when it is neither."""
    if _is_quoted(value.rstrip()):
        return _ESCAPED.sub(r"\1", value.rstrip()[1:-1].lstrip("\\/"))
    return value if _is_token(value) else None


def parse_content_disposition(header: str | None) -> tuple[str | None, dict[str, str]]:
    """Return the disposition type and the parameters: ``("attachment", {"filename": "a.txt"})``.

    Extended values are decoded under their own name, star included; the pieces of continued ones stay apart: see
    :func:`content_disposition_filename` for putting them together. Never raises; see the module for the warnings.
    """
    if not header:
        return None, {}
    disposition, *items = header.split(";")
    disposition = disposition.strip().lower()
    if not _is_token(disposition):
        return _bad_header(header)
    params: dict[str, str] = {}
    at = 0
    while at < len(items):
        item = items[at]
        at += 1
        if not item:  # two semicolons in a row, or one at the end
            _bad_header(header)
            continue
        name, equals, value = item.partition("=")
        name = name.strip().lower()
        value = value.lstrip()
        if not equals or name in params:
            return _bad_header(header)
        if not _is_token(name):
            _bad_param(item)
            continue
        found: str | None
        if _CONTINUED.fullmatch(name):
            found = _unquoted(value) if _is_quoted(value) else value if _is_token(value) else None
        elif name.endswith("*"):
            found = _extended_value(value)
        else:
            found = _plain_value(value)
            if found is None and at < len(items):
                found = _plain_value(f"{value};{items[at]}")  # a semicolon in a quoted string
                at += 1
            if found is None:
                return _bad_header(header)
        if found is None:
            _bad_param(item)
            continue
        params[name] = found
    return disposition, params


def _bad_header(header: str) -> tuple[None, dict[str, str]]:
    warnings.warn(BadContentDispositionHeader(header), stacklevel=3)
    return None, {}


def _bad_param(item: str) -> None:
    warnings.warn(BadContentDispositionParam(item), stacklevel=3)


def content_disposition_filename(params: Mapping[str, str], name: str = "filename") -> str | None:
    """Return the best reading of parameter ``name``, or None: extended, then plain, then put together from pieces.

    Pieces are ``name*0``, ``name*1`` ... without a gap; ``name*0*`` tells the charset and that percent signs count.
    """
    for key in (name + "*", name):
        if key in params:
            return params[key]
    pieces: list[str] = []
    while True:
        key = f"{name}*{len(pieces)}"
        piece = params.get(key, params.get(key + "*"))
        if piece is None:
            break
        pieces.append(piece)
    if not pieces:
        return None
    value = "".join(pieces)
    match = _EXTENDED.fullmatch(value)
    if match is None:
        return value
    try:
        return unquote(match["value"], match["charset"] or "utf-8", "strict")
    except (UnicodeDecodeError, LookupError):
        return None


def content_disposition_header(disptype: str, quote_fields: bool = True, _charset: str = "utf-8", **params: str) -> str:
    """Write a field: ``form-data; name="a"; filename="b.txt"``.

    With ``quote_fields`` a ``filename`` is percent-encoded in ``_charset`` and other values that are not ASCII become
    extended ones (RFC 5987). Without, values go out as they are, ``\\`` and ``"`` escaped.
    Raises ValueError for a type or name that is no token, or a value that would end the line.
    """
    if not _is_token(disptype):
        raise ValueError(f"bad content disposition type {quoted(disptype)}: a token was expected, such as 'form-data'")
    parts = [disptype]
    for name, value in params.items():
        if not _is_token(name):
            raise ValueError(f"bad content disposition parameter {name!r}={value!r}: its name must be a token")
        if not quote_fields:
            if "\r" in value or "\n" in value or "\0" in value:
                raise ValueError(f"bad content disposition parameter {name!r}={value!r}: it would end the header line")
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'{name}="{escaped}"')
        elif name.lower() == "filename":
            parts.append(f'{name}="{quote(value, "", _charset)}"')
        elif _PLAIN.fullmatch(value):
            parts.append(f'{name}="{_TO_ESCAPE.sub(_escape, value)}"')
        else:
            parts.append(f"{name}*={_charset}''{quote(value, '', _charset)}")
    return "; ".join(parts)


def _escape(match: re.Match[str]) -> str:
    return "\\" + match[0]

"""``application/x-www-form-urlencoded``: pairs to bytes and back (WHATWG URL, section 5).

Limits: a form that is read has at most :data:`MAX_FIELDS` fields; its size is the caller's to bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes, urlencode

from ..errors import ProtocolError, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("decode_form", "encode_form")

# Fields of one form: each costs a hundred bytes of memory for as little as one byte of body.
MAX_FIELDS: Final = 10_000


def encode_form(pairs: Iterable[tuple[Any, Any]], charset: str = "utf-8") -> bytes:
    """Encode pairs in their order: text in ``charset``, spaces as ``+``, all but ``A-Za-z0-9_.-~`` in percent signs.

    A value that is a sequence gives one field for each item; bytes are taken as they are, other objects as their str().
    Raises UnicodeEncodeError for text that ``charset`` does not have, LookupError for a charset that Python does not.
    """
    return urlencode(list(pairs), doseq=True, encoding=charset).encode("ascii")


def decode_form(body: bytes, charset: str = "utf-8", *, max_fields: int = MAX_FIELDS) -> list[tuple[str, str]]:
    """Decode a form into pairs in their order; what is not valid in ``charset`` comes as U+FFFD.

    A field without ``=`` has an empty value; empty fields are skipped.
    Raises ProtocolError ``form.fields`` for more fields than ``max_fields``, ``form.charset`` for an unknown charset.
    """
    fields = body.count(b"&") + 1
    if fields > max_fields:
        raise ProtocolError(
            "form.fields",
            f"the form has {fields} fields, and at most {max_fields} are allowed (max_fields)",
            status=413,
        )
    try:
        return [
            (_text(name, charset), _text(value, charset))
            for name, _, value in (field.partition(b"=") for field in body.split(b"&") if field)
        ]
    except LookupError as exc:
        raise ProtocolError(
            "form.charset", f"the form is in an unknown charset: {quoted(charset)}", status=415
        ) from exc


def _text(part: bytes, charset: str) -> str:
    if b"+" in part:
        part = part.replace(b"+", b" ")
    return (unquote_to_bytes(part) if b"%" in part else part).decode(charset, "replace")

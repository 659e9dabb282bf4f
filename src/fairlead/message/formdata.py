"""HTML forms as a body: URL-encoded, or multipart as soon as a field is more than a short text.

In: fields as mappings, pairs, multidicts, open files, or one by one. Out, on each call: the payload to send.
A multipart form keeps the payloads of its fields: what can be read again is sent again in full, and the payload says
that it is `consumed` when a field cannot.

Limits: none of its own; text lies in memory, files are read while they are sent.

RFC 7578 (multipart/form-data), WHATWG URL §5.2 (application/x-www-form-urlencoded).
"""

from __future__ import annotations

import io
import warnings
from collections import deque
from collections.abc import AsyncIterable, Iterable
from typing import Any

from multidict import MultiDict, MultiDictProxy

from .. import hdrs
from ..codec.disposition import content_disposition_header
from ..codec.forms import encode_form
from ..codec.multipart import check_field_text
from .facts import guess_filename
from .multipart import MultipartWriter
from .payload import BytesPayload, LookupError, Payload, get_payload

__all__ = ("FormData",)


class FormData:
    """Fields of a form; call it for the payload, as a session does that gets it as ``data``."""

    def __init__(
        self,
        fields: Iterable[Any] = (),
        quote_fields: bool = True,
        charset: str | None = None,
        *,
        default_to_multipart: bool = False,
    ) -> None:
        """Begin with ``fields``; see `add_fields`, and a dict is a sequence of its items.

        ``quote_fields`` percent-encodes file names, as browsers once did; ``charset`` is that of all text, UTF-8 by
        default; ``default_to_multipart`` makes the form multipart even when URL-encoding would do.
        """
        self._writer: MultipartWriter | None = None
        self._fields: list[tuple[dict[str, str], dict[str, str], Any]] = []
        self._is_multipart = default_to_multipart
        self._quote_fields = quote_fields
        self._charset = charset
        if isinstance(fields, dict):
            fields = list(fields.items())
        elif not isinstance(fields, (list, tuple)):
            fields = (fields,)
        self.add_fields(*fields)

    @property
    def is_multipart(self) -> bool:
        """True when the form is sent as multipart/form-data."""
        return self._is_multipart

    def add_field(
        self,
        name: str,
        value: Any,
        *,
        content_type: str | None = None,
        filename: str | None = None,
        content_transfer_encoding: str | None = None,
    ) -> None:
        """Add one field; anything but a plain value without further arguments makes the form multipart.

        ``content_transfer_encoding`` is deprecated: it does that too, and has no other effect (RFC 7578 §4.7). Raises
        TypeError for arguments that are not str, ValueError for control characters in them.
        """
        if isinstance(value, io.IOBase):
            self._is_multipart = True
        elif isinstance(value, (bytes, bytearray, memoryview)):
            self._is_multipart = True
            if filename is None and content_transfer_encoding is None:
                warnings.warn(
                    "bytes become a file field named like the field, which will change; pass filename= or an "
                    "io.BytesIO object to say that a file is meant",
                    DeprecationWarning,
                    stacklevel=2,
                )
                filename = name
        elif isinstance(value, (Payload, AsyncIterable)):
            self._is_multipart = True

        _check_str("name", name)
        disposition = {"name": name}
        if filename is None and isinstance(value, io.IOBase):
            filename = guess_filename(value, name)
        if filename is not None:
            disposition["filename"] = _check_str("filename", filename)
            self._is_multipart = True
        headers: dict[str, str] = {}
        if content_type is not None:
            headers[hdrs.CONTENT_TYPE] = _check_str("content_type", content_type)
            self._is_multipart = True
        if content_transfer_encoding is not None:
            _check_str("content_transfer_encoding", content_transfer_encoding)
            warnings.warn(
                "content_transfer_encoding is deprecated and has no effect on what is sent (RFC 7578 §4.7)",
                DeprecationWarning,
                stacklevel=2,
            )
            self._is_multipart = True
        self._fields.append((disposition, headers, value))

    def add_fields(self, *fields: Any) -> None:
        """Add fields: each is an open file, a multidict, or a pair of a name and a value; raises TypeError otherwise.

        A file becomes a field with its own name. The fields of a multidict come after those that stand beside it.
        """
        waiting = deque(fields)
        while waiting:
            field = waiting.popleft()
            if isinstance(field, io.IOBase):
                self.add_field(guess_filename(field, "unknown") or "unknown", field)
            elif isinstance(field, (MultiDict, MultiDictProxy)):
                waiting.extend(field.items())
            elif isinstance(field, (list, tuple)) and len(field) == 2:
                self.add_field(field[0], field[1])
            else:
                raise TypeError(
                    "Only io.IOBase, multidict and (name, file) pairs allowed, use .add_field() for passing more "
                    f"complex parameters, got {field!r:.200}"
                )

    def __call__(self) -> Payload:
        """Return the form as a payload; raises TypeError for a value that cannot be sent, LookupError for a charset."""
        return self._as_multipart() if self._is_multipart else self._as_urlencoded()

    def _as_urlencoded(self) -> BytesPayload:
        charset = self._charset if self._charset is not None else "utf-8"
        content_type = "application/x-www-form-urlencoded"
        if charset != "utf-8":
            content_type += f"; charset={charset}"
        pairs = [(disposition["name"], value) for disposition, _, value in self._fields]
        return BytesPayload(encode_form(pairs, charset), content_type=content_type)

    def _as_multipart(self) -> MultipartWriter:
        """Turn the fields that came since the last call into parts."""
        if self._writer is None:
            self._writer = MultipartWriter("form-data")
        while self._fields:
            disposition, headers, value = self._fields[0]
            try:
                if hdrs.CONTENT_TYPE in headers:
                    part = get_payload(
                        value, content_type=headers[hdrs.CONTENT_TYPE], headers=headers, encoding=self._charset
                    )
                else:
                    part = get_payload(value, headers=headers, encoding=self._charset)
            except LookupError as exc:
                raise TypeError(
                    f"Can not serialize value type: {type(value)!r}\n headers: {headers!r}\n value: "
                    f"{value!r:.200}; the value of a multipart field must be a str, bytes, a file or a payload"
                ) from exc
            part.headers[hdrs.CONTENT_DISPOSITION] = self._content_disposition(disposition)
            # RFC 7578 §4.8 deprecates all other fields, and the length of the whole says it.
            part.headers.popall(hdrs.CONTENT_LENGTH, None)
            self._writer.append_payload(part)
            del self._fields[0]
        return self._writer

    def _content_disposition(self, params: dict[str, str]) -> str:
        if self._quote_fields and not params["name"].isascii():
            # RFC 7578 §5.1 wants the name in the charset of the form; §4.2 forbids the form with an asterisk.
            text = content_disposition_header("form-data", False, name=params["name"])
            if "filename" in params:
                text += content_disposition_header("form-data", filename=params["filename"])[len("form-data") :]
            return text
        return content_disposition_header("form-data", self._quote_fields, **params)


def _check_str(name: str, value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be an instance of str. Got: {value!r:.200}")
    return check_field_text(value)

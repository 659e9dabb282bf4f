"""What ``Content-Type`` and ``Content-Length`` of a message say, for classes that have header fields.

The fields are looked at when they are asked for and may have changed in between, so the parsed value is kept beside the
text that it was parsed from.
"""

from __future__ import annotations

from collections.abc import Mapping

from .. import hdrs
from ..codec.mime import parse_content_type
from ..keys import UNSET, Unset

__all__ = ("HeadersMixin",)


class HeadersMixin:
    """``content_type``, ``charset`` and ``content_length`` of a class whose header fields are in ``_headers``."""

    ATTRS = frozenset({"_content_dict", "_content_type", "_stored_content_type"})

    _headers: Mapping[str, str]
    _content_type: str | None = None
    _content_dict: dict[str, str] | None = None
    _stored_content_type: str | Unset | None = UNSET

    def _parse_content_type(self, raw: str | None) -> None:
        self._stored_content_type = raw
        self._content_type, parameters = parse_content_type(raw or "")
        self._content_dict = dict(parameters)

    @property
    def content_type(self) -> str:
        """The media type in lower case, ``application/octet-stream`` when there is none that can be read."""
        raw = self._headers.get(hdrs.CONTENT_TYPE)
        if self._stored_content_type != raw:
            self._parse_content_type(raw)
        content_type = self._content_type
        assert content_type is not None
        return content_type

    @property
    def charset(self) -> str | None:
        """The charset parameter of the content type, None when there is none."""
        raw = self._headers.get(hdrs.CONTENT_TYPE)
        if self._stored_content_type != raw:
            self._parse_content_type(raw)
        parameters = self._content_dict
        assert parameters is not None
        return parameters.get("charset")

    @property
    def content_length(self) -> int | None:
        """The value of Content-Length, None without it; raises ValueError when it is no number."""
        length = self._headers.get(hdrs.CONTENT_LENGTH)
        return None if length is None else int(length)

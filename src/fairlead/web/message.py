"""A request's head as the record that `Request.message` gives and test doubles are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from multidict import CIMultiDictProxy
from yarl import URL

from ..codec.events import HttpVersion

if TYPE_CHECKING:
    from ..codec.events import RequestHead

__all__ = ("RawRequestMessage", "raw_message")


class RawRequestMessage(NamedTuple):
    """Request line and header section; ``path`` is the whole request target, ``url`` the same taken apart."""

    method: str
    path: str
    version: HttpVersion
    headers: CIMultiDictProxy[str]
    raw_headers: tuple[tuple[bytes, bytes], ...]
    should_close: bool
    compression: str | None
    upgrade: bool
    chunked: bool
    url: URL


def raw_message(head: RequestHead) -> RawRequestMessage:
    """Return the record of a decoded head; raises ProtocolError when its target can not be taken apart."""
    return RawRequestMessage(
        head.method,
        head.target,
        head.version,
        CIMultiDictProxy(head.headers),
        head.raw_headers,
        head.should_close,
        head.compression,
        head.upgrade,
        head.chunked,
        head.url,
    )

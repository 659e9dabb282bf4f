"""What the HTTP/1.1 decoders report, in the order in which it was received.

A message is: one head, any number of `bytes` (body data, each followed by CHUNK_END where the sender ended a chunk),
perhaps one `Trailers`, then END.  A `ProtocolError` in the list is the last event that its decoder ever gives.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from multidict import CIMultiDict

    from ..errors import ProtocolError


class HttpVersion(NamedTuple):
    """An HTTP version (RFC 9110 §2.5)."""

    major: int
    minor: int


HttpVersion10: Final = HttpVersion(1, 0)
HttpVersion11: Final = HttpVersion(1, 1)


class Mark(Enum):
    """Events without content."""

    END = "end of message"
    CHUNK_END = "end of chunk"


END: Final = Mark.END
CHUNK_END: Final = Mark.CHUNK_END


class Head:
    """What both kinds of head have: version, header section, and how the body is framed.

    `length` is the body's length in bytes, or CHUNKED, UNTIL_CLOSE or TUNNEL of `framing`.
    """

    __slots__ = ("headers", "keep_alive", "length", "pairs", "version")

    version: HttpVersion
    headers: CIMultiDict[str]
    pairs: list[tuple[str, str]]
    length: int
    keep_alive: bool

    @property
    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The field lines as bytes, in order, with the sender's spelling of the names."""
        return tuple(
            (name.encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape"))
            for name, value in self.pairs
        )


class ResponseHead(Head):
    """Status line and header section of a response (RFC 9112 §4)."""

    __slots__ = ("reason", "status")

    status: int
    reason: str

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status} {self.reason!r} length={self.length} keep_alive={self.keep_alive}>"


class RequestHead(Head):
    """Request line and header section of a request (RFC 9112 §3)."""

    __slots__ = ("method", "target")

    method: str
    target: str

    def __repr__(self) -> str:
        return f"<RequestHead {self.method} {self.target!r} length={self.length} keep_alive={self.keep_alive}>"


class Trailers:
    """The trailer section of a chunked message (RFC 9112 §7.1.2)."""

    __slots__ = ("headers",)

    def __init__(self, headers: CIMultiDict[str]) -> None:
        self.headers = headers

    def __repr__(self) -> str:
        return f"<Trailers {self.headers!r}>"


if TYPE_CHECKING:
    Event = ResponseHead | RequestHead | bytes | Trailers | Mark | ProtocolError

"""What the HTTP/1.1 decoders report, in the order in which it was received.

A message is: one head, any number of `bytes` (body data, each followed by CHUNK_END where the sender ended a chunk),
perhaps one `Trailers`, then END.  A `ProtocolError` in the list is the last event that its decoder ever gives.
"""

from __future__ import annotations

import string
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from yarl import URL

from .. import hdrs
from ..errors import ProtocolError, quoted

if TYPE_CHECKING:
    from multidict import CIMultiDict

# Content codings that a receiver of a message may know how to undo, as `RequestHead.compression` names them.
_CODINGS: Final = frozenset({"gzip", "deflate", "br", "zstd"})


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
    """Request line and header section of a request (RFC 9112 §3).

    The properties are what the server's users know a request message by.
    """

    __slots__ = ("_url", "method", "plain", "plain_path", "target")

    method: str
    target: str
    plain: bool
    """Whether the answer is framed by a length and leaves the connection open: HTTP/1.1, neither HEAD nor CONNECT."""
    plain_path: str | None
    """The path of the target, where that can be told without taking a URL apart."""

    @property
    def path(self) -> str:
        """The request target as it came, which is more than a path."""
        return self.target

    @property
    def url(self) -> URL:
        """The request target taken apart; raises what `parse_target` raises."""
        try:
            return self._url
        except AttributeError:
            self._url: URL = parse_target(self.method, self.target)
            return self._url

    @property
    def should_close(self) -> bool:
        """Whether the connection ends with this message."""
        return not self.keep_alive

    @property
    def upgrade(self) -> bool:
        """Whether the sender offers another protocol on this connection (RFC 9110 §7.8)."""
        if hdrs.UPGRADE not in self.headers:
            return False
        options = ",".join(self.headers.getall(hdrs.CONNECTION, ())).lower()
        return any(option.strip(" \t") == "upgrade" for option in options.split(","))

    @property
    def chunked(self) -> bool:
        """Whether the body is framed by the chunked transfer coding."""
        return hdrs.TRANSFER_ENCODING in self.headers

    @property
    def compression(self) -> str | None:
        """The content coding when it is one that is commonly known: gzip, deflate, br or zstd."""
        coding = self.headers.get(hdrs.CONTENT_ENCODING, "").lower()
        return coding if coding in _CODINGS else None

    def __repr__(self) -> str:
        return f"<RequestHead {self.method} {self.target!r} length={self.length} keep_alive={self.keep_alive}>"


def parse_target(method: str, target: str) -> URL:
    """Take a request target apart (RFC 9112 §3.2).

    The origin form and ``*`` give a relative URL, the absolute form an absolute one, the authority form of CONNECT one
    without a scheme. Nothing is normalised; characters outside ASCII, which should have come percent-encoded, are
    encoded. Raises ProtocolError for a target that is in none of the forms, or in one that its method can not have.
    """
    if not target.isascii():
        target = quote(target.encode("utf-8", "surrogateescape"), safe=string.printable)
    try:
        if method == hdrs.METH_CONNECT:
            if not any(delimiter in target for delimiter in "/?#"):
                url = URL("//" + target, encoded=True)
                if url.host and (url.explicit_port or 0) >= 0:
                    return url
        elif target.startswith("/"):
            rest, _, fragment = target.partition("#")
            path, _, query = rest.partition("?")
            return URL.build(path=path, query_string=query, fragment=fragment, encoded=True)
        elif target == "*":
            if method == hdrs.METH_OPTIONS:
                return URL.build(path="*", encoded=True)
        else:
            url = URL(target, encoded=True)
            if url.scheme and url.host and (url.explicit_port or 0) >= 0:
                return url
    except ValueError:  # a port that is no number, an IPv6 address without its end
        pass
    raise ProtocolError(
        "h1.line.target",
        f"Bad request target for {method}: expected a path, an absolute URL, host:port with CONNECT, or * with "
        f"OPTIONS, got {quoted(target)}",
        fault="peer",
        status=400,
    )


class Trailers:
    """The trailer section of a chunked message (RFC 9112 §7.1.2)."""

    __slots__ = ("headers",)

    def __init__(self, headers: CIMultiDict[str]) -> None:
        self.headers = headers

    def __repr__(self) -> str:
        return f"<Trailers {self.headers!r}>"


if TYPE_CHECKING:
    Event = ResponseHead | RequestHead | bytes | Trailers | Mark | ProtocolError

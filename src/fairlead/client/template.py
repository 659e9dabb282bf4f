"""What plain requests have in common: `Template` for a server, `Route` for a URL.

A plain request asks for nothing special: the session's own fields, perhaps a small body.  Most requests are plain, and
most sessions send many to a few servers.  The header lines that they share are serialised once for each server, and the
whole head of a request without body once for each URL and method.  What is remembered is bounded by the session.

In: a URL and a session's default fields.  Out: request heads as bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from multidict import CIMultiDict, istr
from yarl import URL

from .. import hdrs
from ..codec.coding import accept_encoding
from ..codec.fields import serialise_head
from ..codec.grammar import FORBIDDEN
from ..codec.urls import authority_form, host_header, is_noncanonical_ipv4, origin_form
from ..errors import InvalidUrlClientError
from ..keys import ConnectionKey
from ..version import SERVER_SOFTWARE

if TYPE_CHECKING:
    from ..wire.pool import Host

SMALL_BODY: Final = 65536
"""Bytes of a body that are sent together with the head."""


"""The default User-Agent."""

OCTETS: Final = "application/octet-stream"

BODY_DEFAULTS: Final[dict[str, bool | None]] = {
    "POST": True,
    "PUT": True,
    "PATCH": True,
    "GET": None,
    "HEAD": None,
    "OPTIONS": None,
    "TRACE": None,
}
"""Without a body: True sends `Content-Length: 0` and a Content-Type, None sends neither, other methods the length."""

_TEMPLATE_BREAKERS: Final = (
    hdrs.HOST,
    hdrs.COOKIE,
    hdrs.CONTENT_TYPE,
    hdrs.CONTENT_LENGTH,
    hdrs.CONTENT_ENCODING,
    hdrs.TRANSFER_ENCODING,
    hdrs.EXPECT,
    hdrs.CONNECTION,
)
"""Default fields with which no request is plain."""

Fields = tuple[tuple[str, str], ...]

_auto_headers: dict[istr, str] = {}


def auto_headers() -> dict[istr, str]:
    """Return the fields that are sent unless the caller sets or skips them."""
    if not _auto_headers:
        _auto_headers.update(
            {hdrs.ACCEPT: "*/*", hdrs.ACCEPT_ENCODING: accept_encoding(), hdrs.USER_AGENT: SERVER_SOFTWARE}
        )
    return _auto_headers


def checked_host(url: URL) -> str:
    """Return the Host field for a URL; raises InvalidUrlClientError when there is none to be had."""
    if not url.raw_host:
        raise InvalidUrlClientError(url)
    try:
        host = host_header(url)
    except ValueError as exc:
        raise InvalidUrlClientError(url, str(exc)) from exc
    if is_noncanonical_ipv4(url.raw_host):
        raise InvalidUrlClientError(url, "the host looks like an IPv4 address but is not four numbers from 0 to 255")
    return host


class Template:
    """What all plain requests of one session to one server have in common."""

    __slots__ = ("block", "headers", "host", "key", "plain", "send_type")

    def __init__(self, url: URL, defaults: CIMultiDict[str], skip: frozenset[str]) -> None:
        host = checked_host(url)
        headers: CIMultiDict[str] = CIMultiDict({hdrs.HOST: host})
        headers.extend(defaults)
        for name, value in auto_headers().items():
            if name not in headers and name.lower() not in skip:
                headers[name] = value
        self.headers = headers
        self.plain = not any(name in defaults for name in _TEMPLATE_BREAKERS)
        self.send_type = "content-type" not in skip
        self.key = ConnectionKey(url.raw_host or "", url.port, url.scheme in ("https", "wss"), True, None, None, None)
        self.host: Host[ConnectionKey, Any, Any] | None = None  # what the session's pool knows of the server
        # The lines between the request line and what a single request adds.
        self.block = serialise_head("", headers.items()).decode()[2:-2] if self.plain else ""


class Route:
    """A URL of plain requests, ready to be asked for."""

    __slots__ = ("bare_url", "heads", "host", "target", "template", "url")

    def __init__(self, url: URL, template: Template) -> None:
        self.url = url
        self.bare_url = url.with_fragment(None) if url.raw_fragment else url
        self.template = template
        self.target = origin_form(url)
        self.host = template.host
        self.heads: dict[str, bytes] = {}  # by method, of requests without cookie and body

    def __str__(self) -> str:
        return str(self.url)

    def encode(self, method: str, extra: Fields) -> bytes:
        """Serialise the head of a request, with the fields that it adds; raises ValueError for control characters."""
        target = self.target if method != hdrs.METH_CONNECT else authority_form(self.url)
        if not extra:
            return f"{method} {target} HTTP/1.1\r\n{self.template.block}\r\n".encode()
        if FORBIDDEN.search(extra[0][1]):
            raise ValueError(f"Forbidden control character detected in headers: {extra[0][0]} is {extra[0][1]!r}")
        lines = "".join([f"{name}: {value}\r\n" for name, value in extra])
        # A cookie may hold bytes that were not UTF-8 when they were received: they go back as they came.
        return f"{method} {target} HTTP/1.1\r\n{self.template.block}{lines}\r\n".encode("utf-8", "surrogateescape")


def body_fields(method: str, body: bytes | None, media_type: str, send_type: bool) -> Fields:
    """Return the fields that describe the body of a plain request."""
    if body is not None:
        length = (hdrs.CONTENT_LENGTH, str(len(body)))
        return (length, (hdrs.CONTENT_TYPE, media_type)) if send_type else (length,)
    typed = BODY_DEFAULTS.get(method, False)
    if typed is None:
        return ()
    length = (hdrs.CONTENT_LENGTH, "0")
    return (length, (hdrs.CONTENT_TYPE, OCTETS)) if typed and send_type else (length,)


def small_body(data: Any) -> tuple[bytes, str] | None:
    """Return the bytes and media type of a body that needs no payload, None for any other."""
    if type(data) is bytes and len(data) <= SMALL_BODY:
        return data, OCTETS
    if type(data) is str:
        body = data.encode("utf-8")
        if len(body) <= SMALL_BODY:
            return body, "text/plain; charset=utf-8"
    return None

"""Requests made by hand, for tests that need no connection."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from fairlead.codec.events import HttpVersion, HttpVersion11, RequestHead
from fairlead.codec.http1 import RequestDecoder
from fairlead.web.message import RawRequestMessage
from fairlead.web.request import BaseRequest, Request
from fairlead.wire.streams import EMPTY_PAYLOAD, StreamReader

Fields = Mapping[str, str] | Iterable[tuple[str, str]]


class FakeTransport:
    """Answers what it was told."""

    def __init__(self, **extra: Any) -> None:
        self.extra = extra

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.extra.get(name, default)


class FakeProtocol:
    """What a request asks of the protocol that owns its connection."""

    def __init__(
        self,
        *,
        ssl_context: Any = None,
        peername: Any = ("192.0.2.1", 5000),
        sockname: Any = ("127.0.0.1", 80),
        transport: Any = None,
    ) -> None:
        self.ssl_context = ssl_context
        self.peername = peername
        self.sockname = sockname
        self.transport = transport
        self.shutting_down = False
        self.waited_for: list[str] = []

    async def wait_for_shutdown(self) -> None:
        self.waited_for.append("shutdown")

    async def wait_for_disconnection(self) -> None:
        self.waited_for.append("disconnection")

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def decoded_head(data: bytes) -> RequestHead:
    """Decode the head of a request."""
    (head, *_) = RequestDecoder().feed(data)
    assert isinstance(head, RequestHead), head
    return head


def raw_head(method: str, target: str, fields: Fields = (), version: HttpVersion = HttpVersion11) -> RawRequestMessage:
    """Make the record of a head, as test doubles do."""
    headers = CIMultiDict(fields)
    return RawRequestMessage(
        method,
        target,
        version,
        CIMultiDictProxy(headers),
        tuple((name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers.items()),
        version < HttpVersion11,
        None,
        False,
        "chunked" in headers.get("Transfer-Encoding", ""),
        URL(target),
    )


def stream_of(*pieces: bytes, end: bool = True) -> StreamReader:
    """Make a stream with these pieces in it."""
    stream = StreamReader(None, loop=asyncio.get_running_loop())
    for piece in pieces:
        stream.feed_data(piece)
    if end:
        stream.feed_eof()
    return stream


def make_request(
    method: str = "GET",
    target: str = "/",
    fields: Fields = (),
    *,
    payload: StreamReader | bytes = EMPTY_PAYLOAD,
    protocol: Any = None,
    version: HttpVersion = HttpVersion11,
    cls: type[BaseRequest] = Request,
    **options: Any,
) -> Any:
    """Make a request from a record."""
    return cls(
        raw_head(method, target, fields, version),
        payload,
        protocol or FakeProtocol(),
        None,
        None,  # type: ignore[arg-type]
        running_loop(),
        **options,
    )


def decode_request(
    data: bytes, *, payload: StreamReader | bytes = EMPTY_PAYLOAD, protocol: Any = None, **options: Any
) -> Request:
    """Make a request from bytes of the wire."""
    task: Any = None
    return Request(decoded_head(data), payload, protocol or FakeProtocol(), None, task, running_loop(), **options)


def running_loop() -> Any:
    """Return the running loop, None without one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None

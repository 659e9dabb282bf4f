"""The client's end of a WebSocket: the handshake, and `ClientWebSocketResponse` (RFC 6455 §4.1).

In: a session and the arguments of `ws_connect`.  Out: an open WebSocket, or a `WSServerHandshakeError` with the
server's answer.  The handshake is a call of the session like any other: redirects, cookies, credentials, proxies,
middlewares and traces apply, and `ClientTimeout.total` limits it; what comes after it has no limit but those of
`ClientWSTimeout` and the heartbeat.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from multidict import CIMultiDict

from .. import hdrs
from ..codec.ws_deflate import MAX_WINDOW_BITS, agree_deflate, offer_deflate
from ..codec.ws_handshake import (
    KEY_SIZE,
    HandshakeError,
    agreed_protocol,
    check_response,
    field_values,
    key_value,
    parse_extensions,
    request_fields,
)
from ..errors import ServerTimeoutError, WSServerHandshakeError
from ..message.ws_channel import WebSocketChannel
from ..message.ws_verbs import WebSocketVerbs
from .timeouts import DEFAULT_WS_TIMEOUT, ClientWSTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self

    from ..codec.ws_deflate import DeflateParameters
    from .response import ClientResponse
    from .session import ClientSession

MAX_MSG_SIZE: Final = 4 * 1024 * 1024
"""Bytes of a message unless told otherwise, as in aiohttp."""

_FIXED: Final = frozenset({"upgrade", "connection", "sec-websocket-version"})

Decoded = TypeVar("Decoded", bound=bool)


class ClientWebSocketResponse(WebSocketVerbs, Generic[Decoded]):
    """An open WebSocket of a client; an async context manager that closes it, and an async iterator of its messages.

    The parameter says whether text is decoded: `ClientWebSocketResponse[bool]`.
    """

    def __init__(
        self,
        reader: WebSocketChannel,
        writer: WebSocketChannel,
        protocol: str | None,
        response: ClientResponse,
        timeout: ClientWSTimeout,
        autoclose: bool,
        autoping: bool,
        loop: asyncio.AbstractEventLoop,
        *,
        heartbeat: float | None = None,
        compress: int = 0,
        client_notakeover: bool = False,
    ) -> None:
        """Take an open connection; `reader` and `writer` are its channel.  Sessions call this."""
        self._channel = reader
        self._writer = writer
        self._response = response
        self._conn = response.connection
        self._protocol = protocol
        self._timeout = timeout
        self._receive_timeout = timeout.ws_receive
        self._close_timeout = timeout.ws_close
        self._autoclose = autoclose
        self._autoping = autoping
        self._heartbeat = heartbeat
        self._loop = loop
        self._compress = compress
        self._client_notakeover = client_notakeover
        reader.be_patient(not timeout.ws_receive)

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        channel = self._channel
        if channel is None or channel.transport is None or self._loop.is_closed():
            return
        channel.shut(now=True)
        what = f"Unclosed WebSocket to {self._response.url}; use `async with` or `await ws.close()`"
        _warn(what, ResourceWarning, source=self)
        self._loop.call_exception_handler({"client_websocket": self, "message": what})

    @property
    def protocol(self) -> str | None:
        """The subprotocol that was agreed, None for none."""
        return self._protocol

    @property
    def compress(self) -> int:
        """The window in bits that messages are compressed with; 0 when no compression was agreed."""
        return self._compress

    @property
    def client_notakeover(self) -> bool:
        """Whether each message is compressed without reference to those before it."""
        return self._client_notakeover

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.close()


def ws_timeout(timeout: Any, receive_timeout: float | None, stacklevel: int) -> ClientWSTimeout:
    """Take the two timeout arguments of `ws_connect`; numbers are deprecated."""
    if isinstance(timeout, ClientWSTimeout):
        limits = timeout
    elif timeout is None:
        limits = ClientWSTimeout()
    elif isinstance(timeout, (int, float)) and not isinstance(timeout, bool):
        warnings.warn(
            "parameter 'timeout' of type 'float' is deprecated, please use 'timeout=ClientWSTimeout(ws_close=...)'",
            DeprecationWarning,
            stacklevel=stacklevel,
        )
        limits = ClientWSTimeout(ws_close=timeout)
    else:
        limits = DEFAULT_WS_TIMEOUT
    if receive_timeout is not None:
        warnings.warn(
            "float parameter 'receive_timeout' is deprecated, "
            "please use parameter 'timeout=ClientWSTimeout(ws_receive=...)'",
            DeprecationWarning,
            stacklevel=stacklevel,
        )
        limits = ClientWSTimeout(ws_receive=receive_timeout, ws_close=limits.ws_close)
    return limits


async def connect(
    session: ClientSession,
    method: str,
    url: Any,
    *,
    protocols: Iterable[str],
    timeout: ClientWSTimeout,
    autoclose: bool,
    autoping: bool,
    heartbeat: float | None,
    origin: str | None,
    headers: Any,
    compress: int,
    max_msg_size: int,
    decode_text: bool,
    response_class: type[ClientWebSocketResponse[Any]],
    **options: Any,
) -> ClientWebSocketResponse[Any]:
    """Make the handshake; see `ClientSession.ws_connect`."""
    protocols = tuple(protocols)
    key = key_value(os.urandom(KEY_SIZE))
    fields = handshake_fields(headers, key, protocols, origin, compress)
    response = await session.request(method, url, headers=fields, **options)
    try:
        deflate = await check(response, key, compress)
        channel = WebSocketChannel(
            "client",
            session.loop,
            max_msg_size=max_msg_size,
            decode_text=decode_text,
            deflate=deflate,
            autoping=autoping,
            heartbeat=heartbeat,
            timed_out=ServerTimeoutError,
        )
        ws = response_class(
            channel,
            channel,
            agreed_protocol(response.headers, protocols),
            response,
            timeout,
            autoclose,
            autoping,
            session.loop,
            heartbeat=heartbeat,
            compress=0 if deflate is None else deflate.client_max_window_bits,
            client_notakeover=deflate is not None and deflate.client_no_context_takeover,
        )
        channel.attach(*response.switch(channel), response.close)
    except BaseException:
        response.close()
        raise
    return ws


def handshake_fields(
    headers: Any, key: str, protocols: tuple[str, ...], origin: str | None, compress: int
) -> CIMultiDict[str]:
    """Return the caller's fields with those of the handshake, of which the caller may replace the constant ones."""
    fields: CIMultiDict[str] = CIMultiDict(headers or ())
    extensions = offer_deflate(MAX_WINDOW_BITS if compress is True else compress) if compress else ""
    for name, value in request_fields(key, protocols=protocols, extensions=extensions, origin=origin):
        if name.lower() in _FIXED:
            fields.setdefault(name, value)
        else:
            fields[name] = value
    return fields


async def check(response: ClientResponse, key: str, compress: int) -> DeflateParameters | None:
    """Check the server's answer; return what was agreed on compression.

    Raises WSServerHandshakeError with the answer's status, fields and the first bytes of its body.
    """
    try:
        check_response(response.status, response.headers, key)
        if not compress:
            return None  # servers that answer with an extension unasked do not use it
        extensions = parse_extensions(field_values(response.headers, hdrs.SEC_WEBSOCKET_EXTENSIONS))
        return agree_deflate(extensions, offered=True)
    except HandshakeError as exc:
        if response.status != 101:
            await response.receive_excerpt()
        error = WSServerHandshakeError(
            response.request_info,
            response.history,
            message=_SHORT.get(exc.slug, exc.message),
            status=response.status,
            headers=response.headers,
        )
        error.body = response.excerpt()
        if response.status != 101:
            response.release()
        raise error from exc


# What aiohttp says in these cases.
_SHORT: Final = {
    "ws.handshake.status": "Invalid response status",
    "ws.handshake.upgrade": "Invalid upgrade header",
    "ws.handshake.connection": "Invalid connection header",
    "ws.handshake.accept": "Invalid challenge response",
}

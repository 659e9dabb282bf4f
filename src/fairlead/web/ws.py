"""The server's end of a WebSocket: the answer to the handshake, and `WebSocketResponse` (RFC 6455 §4.2).

In: a request.  Out: an open WebSocket, or an HTTPException that says what is wrong with the request.  A handler
prepares it, talks, and returns it; when the handler returns, the WebSocket is closed with 1000, when it fails with
1011.  A server that stops sends 1001 and gives the handler its `stream_grace`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from .. import hdrs
from ..codec.ws_deflate import accept_deflate
from ..codec.ws_frames import WS_CLOSED_MESSAGE, WS_CLOSING_MESSAGE, WSCloseCode
from ..codec.ws_handshake import (
    HandshakeError,
    check_request,
    field_values,
    parse_extensions,
    response_fields,
    select_protocol,
)
from ..message.ws_channel import WebSocketChannel
from ..message.ws_verbs import WebSocketVerbs
from .exceptions import HTTPBadRequest, HTTPException, HTTPMethodNotAllowed, HTTPUpgradeRequired
from .stream_response import StreamResponse

if TYPE_CHECKING:
    from ..codec.ws_deflate import DeflateParameters
    from ..message.ws_verbs import Message
    from ..wire.writer import AbstractStreamWriter
    from .request import BaseRequest

MAX_MSG_SIZE: Final = 4 * 1024 * 1024
"""Bytes of a message unless told otherwise, as in aiohttp."""

WRITER_LIMIT: Final = 2**18
"""Bytes that the transport may hold back before sending waits."""

CLOSED_READS: Final = 5
"""How often a handler may receive after the end before an error tells it that it goes round in circles."""

Decoded = TypeVar("Decoded", bound=bool)


class WebSocketReady(NamedTuple):
    """Whether a request can be answered with a WebSocket, and the subprotocol that it would have."""

    ok: bool
    protocol: str | None

    def __bool__(self) -> bool:
        return self.ok


class WebSocketResponse(StreamResponse, WebSocketVerbs, Generic[Decoded]):
    """A WebSocket of a server: `await ws.prepare(request)` opens it; it is an async iterator of messages."""

    _length_check = False
    _reads_after_end = 0
    _ws_protocol: str | None = None

    def __init__(
        self,
        *,
        timeout: float = 10.0,
        receive_timeout: float | None = None,
        autoclose: bool = True,
        autoping: bool = True,
        heartbeat: float | None = None,
        protocols: Iterable[str] = (),
        compress: bool = True,
        max_msg_size: int = MAX_MSG_SIZE,
        writer_limit: int = WRITER_LIMIT,
        decode_text: bool = True,
    ) -> None:
        """Take the options: `timeout` seconds for the answer to a close frame, `receive_timeout` for a message.

        `heartbeat`: seconds after which a silent client is pinged; it is given up at one and a half times as many.
        `protocols`: subprotocols that are supported.  `compress`: whether compression is accepted.  `max_msg_size`:
        bytes of a message, 0 for any; a larger one closes with 1009.  `writer_limit`: bytes that are not taken by a
        slow client before sending waits.  `decode_text=False` leaves text as bytes.
        """
        super().__init__(status=101)
        self._protocols = protocols
        self._close_timeout = timeout
        self._receive_timeout = receive_timeout
        self._autoclose = autoclose
        self._autoping = autoping
        self._heartbeat = heartbeat
        self._compress: bool | int = compress
        self._max_msg_size = max_msg_size
        self._writer_limit = writer_limit
        self._decode_text = decode_text

    # ---- the handshake

    def can_prepare(self, request: BaseRequest) -> WebSocketReady:
        """Tell whether the request is a WebSocket handshake; raises RuntimeError when the WebSocket is open already."""
        if self._channel is not None:
            raise RuntimeError("Already started")
        try:
            check_request(request.method, request.version, request.headers)
        except HandshakeError:
            return WebSocketReady(False, None)
        return WebSocketReady(True, select_protocol(request.headers, self._protocols))

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter:
        """Open the WebSocket: answer the handshake.

        Raises HTTPBadRequest, HTTPMethodNotAllowed (not a GET request) or HTTPUpgradeRequired (a version of the
        protocol that is not served) for another request, ConnectionError when the client has gone.
        """
        if self._payload_writer is not None:
            return self._payload_writer
        deflate = self._accept(request)
        protocol = request.protocol
        channel = WebSocketChannel(
            "server",
            asyncio.get_running_loop(),
            max_msg_size=self._max_msg_size,
            decode_text=self._decode_text,
            deflate=deflate,
            autoping=self._autoping,
            heartbeat=self._heartbeat,
        )
        channel.be_patient(not self._receive_timeout)
        writer = await super().prepare(request)
        assert writer is not None
        early = protocol.switch(channel)
        channel.attach(protocol, early)
        channel.limit_writing(self._writer_limit)
        self._channel = channel
        return writer

    def _accept(self, request: BaseRequest) -> DeflateParameters | None:
        """Check the handshake, set the fields of the answer, and return what was agreed on compression."""
        headers = request.headers
        deflate: DeflateParameters | None = None
        extensions = ""
        try:
            key = check_request(request.method, request.version, headers)
            if not request.protocol.can_switch:
                raise HTTPBadRequest(text="A WebSocket handshake has no body")
            if self._compress and hdrs.SEC_WEBSOCKET_EXTENSIONS in headers:
                offers = parse_extensions(field_values(headers, hdrs.SEC_WEBSOCKET_EXTENSIONS))
                accepted = accept_deflate(offers)
                if accepted is not None:
                    extensions, deflate = accepted
        except HandshakeError as exc:
            raise _refusal(exc) from exc
        self._ws_protocol = select_protocol(headers, self._protocols)
        self._compress = 0 if deflate is None else deflate.server_max_window_bits
        for name, value in response_fields(key, protocol=self._ws_protocol, extensions=extensions):
            self._headers[name] = value
        self._keep_alive = False
        return deflate

    # ---- facts

    @property
    def prepared(self) -> bool:
        """Whether the WebSocket was opened."""
        return self._channel is not None

    @property
    def ws_protocol(self) -> str | None:
        """The subprotocol that was agreed, None for none."""
        return self._ws_protocol

    @property
    def compress(self) -> int | bool:
        """Whether compression is accepted; from `prepare()` on the window in bits, 0 when none was agreed."""
        return self._compress

    @property
    def _writer(self) -> WebSocketChannel | None:
        return self._channel

    # ---- what differs from the client's end

    def _after_the_end(self) -> Message:
        self._reads_after_end += 1
        if self._reads_after_end >= CLOSED_READS:
            raise RuntimeError("WebSocket connection is closed.")
        return WS_CLOSED_MESSAGE

    async def _receive_while_closing(self) -> Message:
        return WS_CLOSING_MESSAGE

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes | str = b"", drain: bool = True) -> bool:
        """Close: send a close frame, wait for the client's, up to `timeout`; what comes before it is dropped.

        Returns False when it was closed before.  A pending `receive()` returns CLOSING.  Raises ValueError for a
        number that is no close code (RFC 6455 §7.4); 1005 and 1006, which are never sent, close without a code.
        Cancellation closes the connection at once.  `drain` is there for compatibility.
        """
        return await super().close(code=code, message=message)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Raise RuntimeError: a WebSocket has no body."""
        raise RuntimeError("Cannot call .write() for websocket")

    async def write_eof(self, data: bytes = b"") -> None:
        """Close the WebSocket, unless that was done; the server calls this when the handler has returned."""
        if self._eof_sent:
            return
        if self._channel is None:
            raise RuntimeError("Response has not been started")
        await self.close()
        await self._channel.gone()
        self._channel.shut()
        self._eof_sent = True


def _refusal(error: HandshakeError) -> HTTPException:
    """Make the answer to a request that is no handshake."""
    headers = dict(error.fields)
    if error.status == 405:
        return HTTPMethodNotAllowed(error.got or "", ["GET"], text=error.message)
    if error.status == 426:
        return HTTPUpgradeRequired(headers=headers, text=error.message)
    return HTTPBadRequest(headers=headers, text=error.message)

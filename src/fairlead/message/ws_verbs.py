"""What the user of a WebSocket calls, at either end: receive, send, ping, close (RFC 6455 §5 to §7).

In: a `WebSocketChannel`.  Out: messages, and how it ended.  The doors add how a WebSocket begins.

Receiving.  One task at a time receives.  A cancelled or timed out `receive()` loses nothing: what it was about to
return is received next.  When nothing more comes, one message says so: CLOSE (the peer's close frame), ERROR (the
peer broke a rule, or was silent for too long) or CLOSED (the connection is gone, or was closed here); after it, CLOSED
for ever.

Sending.  A frame is given to the transport before anything is waited for; a `send_...` waits only while the transport
is full, so messages go out in the order of the calls, and a cancelled call has sent its message all the same.

Limits: those of `ws_channel`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from ..codec.json_text import json_text
from ..codec.ws_frames import (
    FIN,
    MAX_CONTROL,
    RSV1,
    WS_CLOSED_MESSAGE,
    Part,
    WSCloseCode,
    WSMessage,
    WSMsgType,
)
from ..errors import ClientConnectionResetError, WebSocketError, WSMessageTypeError
from .ws_channel import CLOSED_CONNECTION, closing_payload

if TYPE_CHECKING:
    from typing import Self

    from ..codec.ws_frames import WSMessageTextBytes
    from .ws_channel import WebSocketChannel

    Message = WSMessage | WSMessageTextBytes

PIECE: Final = 2**16
"""Bytes of one frame of a message that is sent in parts."""

TEXT: Final = WSMsgType.TEXT
BINARY: Final = WSMsgType.BINARY
_TEXT_FRAME: Final = FIN | TEXT
_BINARY_FRAME: Final = FIN | BINARY
_ENDS: Final = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED)


class MessageStream(AsyncIterator[Part]):
    """The parts of one message, see `receive_stream()`."""

    __slots__ = ("_begun", "_done", "_owner")

    def __init__(self, owner: WebSocketVerbs) -> None:
        self._owner = owner
        self._begun = self._done = False

    def __aiter__(self) -> MessageStream:
        return self

    async def __anext__(self) -> Part:
        if self._done:
            raise StopAsyncIteration
        part = await self._owner.next_part(self._begun)
        if part is None:
            self._done = True
            raise StopAsyncIteration
        self._begun = True
        self._done = part.final
        return part


class WebSocketVerbs:
    """One end of a WebSocket."""

    _channel: WebSocketChannel | None = None
    _receive_timeout: float | None = None
    _close_timeout: float | None = None
    _autoclose = True
    _closed = False
    _closing = False  # the peer's close frame was received, and is not answered yet
    _stream_open = False  # parts of a message were taken, and not the last one

    # ---- facts

    @property
    def closed(self) -> bool:
        """Whether it was closed here, or its end was received."""
        return self._closed

    @property
    def close_code(self) -> int | None:
        """Why it ended (RFC 6455 §7.4): None while it goes on; 1005 for a close frame without a code, 1006 without one.

        Set as soon as the end is known, even if messages that came before are still to be received.
        """
        return None if self._channel is None else self._channel.state.code

    @property
    def close_reason(self) -> str:
        """Why it ended, in words: those of the peer's close frame, or what was noticed here."""
        return "" if self._channel is None else self._channel.state.reason

    def exception(self) -> BaseException | None:
        """Return what went wrong, None if nothing did."""
        return None if self._channel is None else self._channel.exception

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Ask the transport; `default` when it is gone or does not know."""
        transport = None if self._channel is None else self._channel.transport
        return default if transport is None else transport.get_extra_info(name, default)

    def _open_channel(self) -> WebSocketChannel:
        channel = self._channel
        if channel is None:
            raise RuntimeError("Call .prepare() first")
        return channel

    # ---- receiving

    async def receive(self, timeout: float | None = None) -> Message:
        """Return the next message; pings and pongs are answered and dropped on the way unless autoping is off.

        Raises TimeoutError after `timeout` seconds, after which the connection goes on, and RuntimeError while another
        task receives.  Cancellation loses no message.
        """
        channel = self._channel
        if channel is not None:
            queue = channel.queue
            if queue:
                message = queue.popleft()
                if not queue:
                    channel.emptied()
                return message
            if channel.waits and timeout is None and channel.waiter is None:
                waiter: asyncio.Future[Message | None] = channel.loop.create_future()
                channel.waiter = waiter
                try:
                    found = await waiter
                except asyncio.CancelledError:
                    channel.withdraw(waiter)
                    raise
                if found is not None:
                    return found
        return await self._receive_slowly(timeout)

    async def _receive_slowly(self, timeout: float | None) -> Message:
        """Receive where it takes more than a look into the queue."""
        channel = self._open_channel()
        if channel.waiter is not None:
            raise RuntimeError("Concurrent call to receive() is not allowed")
        if self._closed:
            return self._after_the_end()
        if self._closing:
            return await self._receive_while_closing()
        if self._stream_open:
            self._stream_open = False
            channel.drop_stream()
        limit = timeout or self._receive_timeout
        try:
            async with asyncio.timeout(limit or None) as scope:
                while True:
                    if channel.queue:
                        message = channel.queue.popleft()
                        if not channel.queue:
                            channel.emptied()
                        return message
                    if channel.end is not None:
                        break
                    found = await channel.next()
                    if found is not None:
                        return found
                    if self.closed:
                        return self._after_the_end()
        except TimeoutError as exc:
            if not scope.expired():
                raise
            raise TimeoutError(f"No message within {limit:g} s (the timeout of receive() or ws_receive)") from exc
        return await self._take_end(channel)

    def _after_the_end(self) -> Message:
        """Return what is received after the end; a program that does not notice is stopped by the server's end."""
        return WS_CLOSED_MESSAGE

    async def _receive_while_closing(self) -> Message:
        await self.close()
        return WS_CLOSED_MESSAGE

    async def _take_end(self, channel: WebSocketChannel) -> Message:
        """Receive the end."""
        end = channel.end
        if isinstance(end, WSMessage):
            if self._autoclose:
                await self._answer_close(channel)
            else:
                self._closing = True
            return end
        self._closed = True
        channel.tell()
        if isinstance(end, ClientConnectionResetError):
            channel.shut()
            return WS_CLOSED_MESSAGE
        return WSMessage(WSMsgType.ERROR, end, None)

    async def _answer_close(self, channel: WebSocketChannel) -> None:
        """Answer the peer's close frame with its own code, and close (RFC 6455 §5.5.1)."""
        await self.close(code=channel.state.code or 0)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        message = await self.receive()
        if message[0] > 2 and message[0] in _ENDS:
            raise StopAsyncIteration
        return message

    async def receive_str(self, *, timeout: float | None = None) -> str | bytes:
        """Return the data of the next message, which must be text; raises WSMessageTypeError for any other.

        With decode_text=False the data are bytes.
        """
        message = await self.receive(timeout)
        if message[0] is not TEXT:
            raise WSMessageTypeError(f"Received message {int(message.type)}:{message.data!r} is not WSMsgType.TEXT")
        return message[1]  # type: ignore[no-any-return]

    async def receive_bytes(self, *, timeout: float | None = None) -> bytes:
        """Return the data of the next message, which must be binary; raises WSMessageTypeError for any other."""
        message = await self.receive(timeout)
        if message[0] is not BINARY:
            raise WSMessageTypeError(f"Received message {int(message.type)}:{message.data!r} is not WSMsgType.BINARY")
        return message[1]  # type: ignore[no-any-return]

    async def receive_json(
        self, *, loads: Callable[[str], Any] | Callable[[bytes], Any] = json.loads, timeout: float | None = None
    ) -> Any:
        """Return the next message, which must be text, decoded from JSON; raises what `loads` raises."""
        data: Any = await self.receive_str(timeout=timeout)
        return loads(data)

    def receive_stream(self) -> MessageStream:
        """Return the parts of the next message one by one, however large it is: `async for part in ...`.

        A part has `type`, `data` (text or bytes) and `final`.  `max_msg_size` does not count here.  The iterator is
        empty when the WebSocket has been closed; it raises what ended the connection inside the message.  What is not
        taken of a message is dropped by the next `receive()` or `receive_stream()`.
        """
        return MessageStream(self)

    async def next_part(self, begun: bool) -> Part | None:
        """Return the next part of the message that is received in parts, None at the end of the WebSocket."""
        channel = self._open_channel()
        if channel.waiter is not None:
            raise RuntimeError("Concurrent call to receive() is not allowed")
        if not begun:
            if self._stream_open:
                self._stream_open = False
                channel.drop_stream()
            if channel.queue or channel.end is not None or self._closed or self._closing:
                return await self._whole_part()
            channel.stream_next()
        while not channel.parts:
            if channel.queue and not begun:
                return await self._whole_part()
            if channel.end is not None or self._closed:
                return await self._broken_stream(channel, begun)
            try:
                found = await channel.next()
            except BaseException:
                if not begun:
                    channel.stream_later()
                raise
            if found is not None:
                channel.put_back(found)
                if not begun:
                    channel.stream_later()
                    return await self._whole_part()
        part = channel.parts.popleft()
        if not channel.parts and not channel.queue:
            channel.emptied()
        self._stream_open = not part.final
        if part.final:
            channel.stream_ended()
        return part

    async def _whole_part(self) -> Part | None:
        """Return a message that has been received whole as the only part."""
        while True:
            message = await self.receive()
            if message.type < 3:
                return Part(message.type, message.data, True)
            if message.type in _ENDS:
                return None
            if message.type is WSMsgType.ERROR:
                raise message.data

    async def _broken_stream(self, channel: WebSocketChannel, begun: bool) -> Part | None:
        self._stream_open = False
        channel.stream_ended()
        end = channel.end
        message = await self.receive()
        if begun or message.type is WSMsgType.ERROR:
            if isinstance(end, BaseException):
                raise end
            raise WebSocketError(WSCloseCode.PROTOCOL_ERROR, "The WebSocket was closed inside a message")
        return None

    # ---- sending

    async def send_str(self, data: str, compress: int | None = None) -> None:
        """Send a text message; waits only while the transport is full.

        `compress` is the window in bits for this message, 0 for none; without an agreement with the peer no message is
        compressed.  Raises TypeError for other data, ClientConnectionResetError when the connection was closed or lost.
        """
        if not isinstance(data, str):
            raise TypeError(f"data argument must be str ({type(data)!r})")
        channel = self._channel
        if channel is not None and channel.write is not None:
            channel.write(channel.encode(_TEXT_FRAME, data.encode()))
            if channel.paused:
                await channel.drain()
        else:
            await self._send(TEXT, data.encode(), compress)

    async def send_bytes(self, data: bytes | bytearray | memoryview, compress: int | None = None) -> None:
        """Send a binary message; see `send_str`."""
        channel = self._channel
        if type(data) is bytes and channel is not None and channel.write is not None:
            channel.write(channel.encode(_BINARY_FRAME, data))
            if channel.paused:
                await channel.drain()
        elif isinstance(data, (bytes, bytearray, memoryview)):
            await self._send(BINARY, bytes(data), compress)
        else:
            raise TypeError(f"data argument must be byte-ish ({type(data)!r})")

    async def send_json(
        self, data: Any, compress: int | None = None, *, dumps: Callable[[Any], str] = json.dumps
    ) -> None:
        """Send a text message with `data` as JSON; raises what `dumps` raises, and see `send_str`."""
        await self.send_str(json_text(data) if dumps is json.dumps else dumps(data), compress)

    async def send_json_bytes(self, data: Any, compress: int | None = None, *, dumps: Callable[[Any], bytes]) -> None:
        """Send a binary message with `data` as JSON; raises what `dumps` raises, and see `send_str`."""
        await self.send_bytes(dumps(data), compress)

    async def send_frame(self, message: bytes, opcode: WSMsgType, compress: int | None = None) -> None:
        """Send a frame of any opcode; see `send_str`."""
        await self._send(int(opcode), message, compress)

    async def ping(self, message: bytes | str = b"") -> None:
        """Send a ping, with up to 125 bytes that the peer returns; raises ValueError for more, and see `send_str`."""
        await self._send(WSMsgType.PING, message.encode() if isinstance(message, str) else message, None)

    async def pong(self, message: bytes | str = b"") -> None:
        """Send a pong, with up to 125 bytes; raises ValueError for more, and see `send_str`."""
        await self._send(WSMsgType.PONG, message.encode() if isinstance(message, str) else message, None)

    async def _send(self, opcode: int, payload: bytes, compress: int | None) -> None:
        """Send a frame where it takes more than writing it: compression, control frames, errors."""
        channel = self._open_channel()
        if opcode >= 8 and len(payload) > MAX_CONTROL:
            raise ValueError(f"the payload of a ping or pong has at most {MAX_CONTROL} bytes, not {len(payload)}")
        if opcode < 8 and channel.sends_parts:
            await channel.turn()
        transport = channel.transport
        if transport is None or not channel.can_send():
            raise ClientConnectionResetError(CLOSED_CONNECTION)
        first, payload = channel.compressed(opcode, payload, compress)
        transport.write(channel.encode(first, payload))
        if channel.paused:
            await channel.drain()

    async def send_stream(
        self,
        pieces: AsyncIterable[str] | Iterable[str] | AsyncIterable[bytes] | Iterable[bytes],
        compress: int | None = None,
    ) -> None:
        """Send one message in parts, as they come: text when the first piece is text, else binary.

        Other messages wait until it is complete; pings and pongs do not.  A failure or cancellation in its midst closes
        the connection, since the peer can not tell half a message from a slow one; RuntimeError for a mix of text and
        bytes does too.  `compress` is as in `send_str`.
        """
        channel = self._open_channel()
        await channel.begin_parts()
        sent = done = False
        try:
            if not channel.can_send():
                raise ClientConnectionResetError(CLOSED_CONNECTION)
            kind: type | None = None
            last = b""
            async for piece in _pieces(pieces):
                text = isinstance(piece, str)
                if kind is None:
                    kind = str if text else bytes
                elif text is not (kind is str):
                    raise RuntimeError("a message is either text or bytes: the pieces are of both kinds")
                if last:
                    sent = await self._send_part(channel, last, kind, sent, False, compress)
                last = piece.encode() if isinstance(piece, str) else bytes(piece)
            await self._send_part(channel, last, kind or bytes, sent, True, compress)
            done = True
        finally:
            if sent and not done:
                channel.lose("A message was not sent to its end")
                channel.shut(now=True)
            channel.end_parts()

    async def _send_part(
        self, channel: WebSocketChannel, data: bytes, kind: type, sent: bool, final: bool, compress: int | None
    ) -> bool:
        """Send a frame of a message in parts; return whether one was sent, for compression may hold everything back."""
        opcode = 0 if sent else TEXT if kind is str else BINARY
        deflater = None if compress == 0 else channel.deflater
        first = (FIN if final else 0) | opcode
        if deflater is not None:
            data = deflater.deflate_part(data, final)
            if not sent:
                first |= RSV1
            if not data and not final:
                return sent
        transport = channel.transport
        if transport is None or not channel.can_send():
            raise ClientConnectionResetError(CLOSED_CONNECTION)
        transport.write(channel.encode(first, data))
        if channel.paused:
            await channel.drain()
        return True

    # ---- closing

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes | str = b"") -> bool:
        """Close: send a close frame, wait for the peer's, up to the close timeout; what comes before it is dropped.

        Returns False when it was closed before.  A pending `receive()` returns CLOSING.  Raises ValueError for a
        number that is no close code (RFC 6455 §7.4); 1005 and 1006, which are never sent, close without a code.
        Cancellation closes the connection at once.
        """
        channel = self._open_channel()
        if self._closed:
            return False
        payload = closing_payload(code, message)
        self._closed = True
        self._closing = False
        channel.close_input()
        try:
            if not channel.send_close(payload) and channel.end is None:
                channel.lose(CLOSED_CONNECTION, ClientConnectionResetError(CLOSED_CONNECTION))
            elif channel.end is None:
                async with asyncio.timeout(self._close_timeout or None):
                    await channel.ended()
        except TimeoutError as exc:
            channel.lose(f"No close frame came within {self._close_timeout} s (the close timeout)", exc)
            channel.shut(now=True)
        except BaseException:
            channel.lose("Closing was cancelled")
            channel.shut(now=True)
            raise
        else:
            channel.shut()
        return True

    def abort(self) -> None:
        """Close the connection at once, without a word to the peer; what was not sent yet is lost."""
        channel = self._open_channel()
        self._closed = True
        channel.close_input()
        channel.lose("The connection was aborted here")
        channel.shut(now=True)


async def _pieces(pieces: Any) -> AsyncIterator[str | bytes]:
    if isinstance(pieces, (str, bytes)):
        raise TypeError("send_stream() takes an iterable of pieces, not one piece")
    if hasattr(pieces, "__aiter__"):
        async for piece in pieces:
            yield piece
    else:
        for piece in pieces:
            yield piece

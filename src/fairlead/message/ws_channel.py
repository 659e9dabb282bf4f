"""One WebSocket on a link, for client and server: the wire side of a conversation (RFC 6455 §5 to §7).

In: the bytes of a link that has switched protocols.  Out: messages, to whoever waits for one or else into a queue;
answers to pings; and, always, why it ended.  What the user of a WebSocket calls is in `ws_verbs`.

How it is made quick: the transport talks to `Front`, whose methods are those of the channel, so that input takes no
detour over the link.  A small message that comes while somebody waits becomes the result of the waiter's future at
once; it passes no queue.  `queue` holds data messages only (and pings and pongs that the user asked for), so taking one
needs no look at what it is; how the conversation ended is kept apart, in `end`, and is found when the queue is empty.

Who is alive.  Any byte proves life.  Each piece of input only sets a flag, and one timer looks at it twice in each
`heartbeat` seconds: after a silence of one to two such looks a ping is sent, and when the next look finds the silence
unbroken, the peer is given up: at most one and a half times `heartbeat` after its last byte.  A peer that is not read
from, because its messages wait in the queue, is not blamed for its silence, nor is one that takes what is sent to it.

Limits: `QUEUE_LIMIT` bytes of messages that nobody has received, over which the socket is not read until all of them
are taken; `max_msg_size` bytes in a message; one pong that waits for a slow peer; `LINGER` seconds for a last frame to
be taken by the peer.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

from ..codec.ws import CloseState, Closing
from ..codec.ws_decoder import WebSocketDecoder
from ..codec.ws_frames import (
    FIN,
    RSV1,
    Part,
    WSCloseCode,
    WSMessage,
    WSMsgType,
    close_payload,
    encode_masked,
    encode_unmasked,
)
from ..errors import ClientConnectionResetError, WebSocketError

if TYPE_CHECKING:
    from ..codec.ws_decoder import Event
    from ..codec.ws_deflate import DeflateParameters, Deflater
    from ..codec.ws_frames import WSMessageTextBytes
    from ..wire.link import Link

    Message = WSMessage | WSMessageTextBytes
    Ending = WSMessage | BaseException

QUEUE_LIMIT: Final = 2**17
"""Bytes of messages that may wait to be received; with more of them the socket is not read until they were taken."""

MESSAGE_COST: Final = 64
"""Bytes that a waiting message counts for at least, so that empty ones are bounded as well."""

LINGER: Final = 2.0
"""Seconds for the peer to take the last frame, and after an error of the peer to notice it and leave."""

KEYS_AT_ONCE: Final = 256
"""Masking keys that are drawn at once: asking the system for four random bytes costs more than masking with them."""

CLOSED_CONNECTION: Final = "Cannot write to closing transport"

_FIRST_TEXT: Final = FIN | WSMsgType.TEXT
_FIRST_CLOSE: Final = FIN | WSMsgType.CLOSE
_FIRST_PING: Final = FIN | WSMsgType.PING
_FIRST_PONG: Final = FIN | WSMsgType.PONG

# Stands for the parts of a message that nobody wants any more.
_DROPPED: Final[list[Any]] = []

# Codes that say how a connection ended without one: they are never sent (RFC 6455 §7.4.1), but programs that pass the
# code of one connection on to another close with them.
_UNSENDABLE: Final = frozenset({0, 1004, 1005, 1006, 1015})

_keys: Final[list[int]] = []  # for all connections; taken from the end
_take_key: Final = _keys.pop
_unpack_keys: Final = struct.Struct(f"={KEYS_AT_ONCE}I").unpack


def draw_key() -> int:
    """Return an unpredictable masking key of 32 bits (RFC 6455 §5.3, §10.3)."""
    if not _keys:
        _keys.extend(_unpack_keys(os.urandom(4 * KEYS_AT_ONCE)))
    return _take_key()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keys.clear)  # two processes must not use the same keys


def encode_as_client(first: int, payload: bytes) -> bytes:
    """Return a masked frame; `first` is its first byte."""
    if not _keys:
        _keys.extend(_unpack_keys(os.urandom(4 * KEYS_AT_ONCE)))
    return encode_masked(first, payload, _take_key())


def closing_payload(code: int, reason: bytes | str) -> bytes:
    """Return the payload of a close frame; codes that stand for "no code" give none, and the reason is left out then.

    Raises ValueError for a number that is no close code.
    """
    return close_payload(None if code in _UNSENDABLE else code, reason)


class Front(asyncio.Protocol):
    """What the transport of a WebSocket talks to: input goes to the channel, everything else to the link as before."""

    def __init__(self, channel: WebSocketChannel, link: Link) -> None:
        plain = channel.deflater is None
        self.data_received = channel.feed_plain if plain else channel.feed_data  # type: ignore[method-assign]
        self.pause_writing = channel.pause_writing  # type: ignore[method-assign]
        self.resume_writing = channel.resume_writing  # type: ignore[method-assign]
        self.eof_received = link.eof_received  # type: ignore[method-assign]
        self.connection_lost = link.connection_lost  # type: ignore[method-assign]


class WebSocketChannel:
    """The wire side of one WebSocket.

    `queue`: messages that nobody has received.  `waits`: whether a receiver may just wait for the next one; `patient`:
    whether it may at all, for want of a timeout.  `end`: how it
    ended, once there is nothing more to come: the peer's close message, or an exception.  `write`: the transport's,
    while plain messages may be sent.  `paused`: whether the transport is full.  `left`: whether the user has closed it.
    """

    __slots__ = (
        "__weakref__",
        "_alive",
        "_autoping",
        "_broken",
        "_buffered",
        "_decode",
        "_decoder",
        "_ended",
        "_half",
        "_heartbeat",
        "_held",
        "_joined",
        "_linger",
        "_link",
        "_on_end",
        "_owed_pong",
        "_pinged",
        "_reading_paused",
        "_rest",
        "_timed_out",
        "_timer",
        "_write_limit",
        "_writers",
        "deflater",
        "encode",
        "end",
        "exception",
        "left",
        "loop",
        "parts",
        "patient",
        "paused",
        "queue",
        "state",
        "transport",
        "waiter",
        "waits",
        "write",
    )

    def __init__(
        self,
        role: Literal["client", "server"],
        loop: asyncio.AbstractEventLoop,
        *,
        max_msg_size: int,
        decode_text: bool = True,
        deflate: DeflateParameters | None = None,
        autoping: bool = True,
        heartbeat: float | None = None,
        timed_out: type[Exception] = TimeoutError,
    ) -> None:
        """Make a channel that waits for `attach()`; `timed_out` is the error for a peer that is silent."""
        deflater, inflater = (None, None) if deflate is None else deflate.codecs(role)
        self._decoder = WebSocketDecoder(
            role=role, max_msg_size=max_msg_size, deflate=inflater, decode_text=decode_text
        )
        self._decode = self._decoder.feed
        self.deflater: Deflater | None = deflater
        self.encode: Callable[[int, bytes], bytes] = encode_as_client if role == "client" else encode_unmasked
        self.loop = loop
        self.state = CloseState()
        self.queue: deque[Message] = deque()
        self.parts: deque[Part] = deque()  # of a message that is read as a stream
        self._rest: list[Any] | None = None  # of a message that is delivered in parts which nobody takes
        self._joined = 0
        self.waiter: asyncio.Future[Message | None] | None = None
        self.waits = self.patient = True
        self.end: Ending | None = None
        self.exception: BaseException | None = None
        self.left = False
        self.transport: asyncio.Transport | None = None
        self.write: Callable[[bytes], None] | None = None
        self.paused = False
        self._writers: deque[asyncio.Future[None]] | None = None  # who waits behind a message that is sent in parts
        self._link: Link | None = None
        self._on_end: Callable[[], object] | None = None
        self._ended: list[asyncio.Future[None]] = []
        self._held = 0
        self._reading_paused = False
        self._autoping = autoping
        self._owed_pong: bytes | None = None
        self._heartbeat = heartbeat
        self._timed_out = timed_out
        self._timer: asyncio.TimerHandle | None = None
        self._alive = self._pinged = False
        self._buffered = 0
        self._linger: asyncio.TimerHandle | None = None
        self._broken: WebSocketError | None = None  # what the peer is not told yet, for messages before it wait
        self._half = heartbeat / 2 if heartbeat else 0.0
        self._write_limit = 0

    def be_patient(self, patient: bool) -> None:
        """Say whether a receiver may wait without a timeout."""
        self.patient = patient
        self.waits = patient and self.end is None

    # ---- beginning and end

    def attach(self, link: Link, early: bytes, on_end: Callable[[], object] | None = None) -> None:
        """Take over a link that has switched to this channel; `early` is what has come of the conversation already.

        `on_end` is called once, when the connection is no longer needed.
        """
        self._link = link
        self._on_end = on_end
        transport = self.transport = link.transport
        if transport is not None:
            self.paused = link.writing_paused
            self._open_writing()
            link.hand_over(Front(self, link))
            if self._half:
                self._timer = self.loop.call_later(self._half, self._beat)
        if early:
            self.feed_data(early)
        if transport is None:
            self.connection_lost(None)

    def _open_writing(self) -> None:
        if self.transport is not None and self.deflater is None and self._writers is None:
            self.write = self.transport.write

    def _close_writing(self) -> None:
        self.write = None
        self._stop_beating()

    def _stop_beating(self) -> None:
        self._half = 0.0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_with(self, end: Ending) -> None:
        """Keep how it ended; nothing more will come."""
        self._stop_beating()
        self.waits = False
        if self.end is None:
            self.end = end
        for future in self._ended:
            if not future.done():
                future.set_result(None)
        self._ended.clear()

    def _wake(self) -> None:
        """Let the receiver look for what there is."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(self.queue.popleft() if self.queue and not self.parts else None)

    @property
    def clean(self) -> bool:
        """Whether it was closed in an orderly way: a close frame went each way, or its user has closed it."""
        return self.state.clean or self.left

    async def next(self) -> Message | None:
        """Wait for a message; None when there is something else to look at.  Cancellation loses no message."""
        waiter: asyncio.Future[Message | None] = self.loop.create_future()
        self.waiter = waiter
        try:
            return await waiter
        except asyncio.CancelledError:
            self.withdraw(waiter)
            raise

    def withdraw(self, waiter: asyncio.Future[Message | None]) -> None:
        """Take back what a receiver was given that was cancelled before it could take it."""
        if self.waiter is waiter:
            self.waiter = None
        elif waiter.done() and not waiter.cancelled():
            message = waiter.result()
            if message is not None:
                self.put_back(message)

    def put_back(self, message: Message) -> None:
        """Let a message be received next."""
        self.queue.appendleft(message)

    async def ended(self) -> None:
        """Wait until the peer has closed, broken a rule or left; cancellation has no effect."""
        if self.end is None:
            future = self.loop.create_future()
            self._ended.append(future)
            await future

    async def gone(self) -> None:
        """Wait until the transport is closed, `LINGER` seconds at most; cancellation has no effect."""
        if self._link is not None and self.transport is not None:
            await asyncio.wait((self._link.lost(),), timeout=LINGER)

    def leave(self, code: int) -> None:
        """Say goodbye for somebody who is not the user of the channel: a server that stops, or whose handler failed."""
        if self.transport is not None:
            self.send_close(closing_payload(code, b""))

    def send_close(self, payload: bytes) -> bool:
        """Send a close frame unless one was sent; return whether it could be."""
        self.tell()
        transport = self.transport
        sendable = self.state.send()
        if transport is None:
            return False
        self._close_writing()
        if sendable:
            transport.write(self.encode(_FIRST_CLOSE, payload))
        return True

    def close_input(self) -> None:
        """Drop the messages that nobody has received, and those to come: the user waits for the end alone."""
        self.left = True
        self.waits = False
        self.queue = deque(maxlen=0)
        self.parts.clear()
        self._rest = _DROPPED
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(WSMessage(WSMsgType.CLOSING, None, None))
        self.emptied()

    def shut(self, *, now: bool = False) -> None:
        """Close the connection when the last frame has been taken, or at once."""
        self._broken = None
        transport, self.transport = self.transport, None
        self._close_writing()
        link = self._link
        if transport is not None and link is not None:
            if now:
                link.abort()
            else:
                self._stop_lingering()
                if transport.get_write_buffer_size():
                    self._linger = self.loop.call_later(LINGER, transport.abort)
                link.end()
        self._release()

    def _stop_lingering(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None

    def _release(self) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()

    def lose(self, why: str, error: BaseException | None = None) -> None:
        """End without the peer's close frame; the close code is 1006 unless one was decided before."""
        known = self.state.code is not None
        self.state.lose(why)
        if error is not None and not known:
            self.exception = error

    # ---- what the link reports

    def feed_data(self, data: bytes) -> None:
        """Take what was received."""
        self._alive = True
        self._take(self._decode(data), len(data))

    def feed_plain(self, data: bytes) -> None:
        """Take what was received where no compression was agreed; does the same in fewer steps."""
        self._alive = True
        events = self._decode(data)
        if len(events) == 1:
            event = events[0]
            # What follows is for one data message that somebody waits for: nearly all of them.
            if event.__class__ is WSMessage and event[0] < 3:
                waiter = self.waiter
                if waiter is not None:
                    self.waiter = None
                    if not waiter.done():
                        waiter.set_result(event)
                        return
        self._take(events, len(data))

    def _take(self, events: list[Event], size: int) -> None:
        queue = self.queue
        for event in events:
            if event.__class__ is WSMessage and event[0] < 3:
                queue.append(event)
            else:
                self._take_other(event)
        if self.waiter is not None and (queue or self.parts or self.end is not None):
            self._wake()
        if queue or self.parts:
            self._hold(events, size)
        elif self._decoder.pending:
            self.emptied()

    def _hold(self, events: list[Event], size: int) -> None:
        """Count what waits, and stop reading when it is too much."""
        if self.deflater is not None:
            size = sum([len(event[1]) for event in events if isinstance(event, tuple) and event[0] < 3])
        self._held += max(size, MESSAGE_COST * len(events))
        if (self._held > QUEUE_LIMIT or self._decoder.pending) and not self._reading_paused:
            self._reading_paused = True
            if self._link is not None:
                self._link.pause_reading()

    def emptied(self) -> None:
        """Take note that all messages were received; read on."""
        self._held = 0
        while self._decoder.pending and not self.queue and not self.parts:
            self._take_pending()
            if self.left:  # what is dropped shall not hold up the loop
                self.loop.call_soon(self.emptied)
                return
        if self._reading_paused and not self._decoder.pending and self._held <= QUEUE_LIMIT:
            self._reading_paused = False
            if self._link is not None:
                self._link.resume_reading()

    def _take_pending(self) -> None:
        """Go on with input whose inflated output was too much for one turn."""
        events = self._decode(b"")
        queue = self.queue
        for event in events:
            if event.__class__ is WSMessage and event[0] < 3:
                queue.append(event)
            else:
                self._take_other(event)
        if self.waiter is not None and (queue or self.parts or self.end is not None):
            self._wake()
        if queue or self.parts:
            self._hold(events, 0)

    def _take_other(self, event: Event) -> None:
        """Take what is no plain data message."""
        if isinstance(event, Part):
            self._take_part(event)
        elif isinstance(event, WebSocketError):
            self._fail(event)
        elif isinstance(event, WSMessage) and event.type is WSMsgType.CLOSE:
            self.state.receive(event.data, event.extra or "")
            self._end_with(event)
        elif event.type < 3 or not self._autoping:
            self.queue.append(event)
        elif event.type is WSMsgType.PING:
            self.pong(event.data)

    def _take_part(self, part: Part) -> None:
        rest = self._rest
        if rest is None:
            self.parts.append(part)
            return
        if rest is not _DROPPED:
            rest.append(part.data)
            self._joined += len(part.data)
            limit = self._decoder.max_msg_size
            if 0 < limit < self._joined:
                what = f"Message size of more than {limit} exceeds limit {limit} (option max_msg_size)"
                self._fail(WebSocketError(WSCloseCode.MESSAGE_TOO_BIG, what))
                self._decoder.close()
                return
        if part.final:
            self._rest = None
            if rest is not _DROPPED:
                self.queue.append(WSMessage(part.type, part.data[:0].join(rest), ""))

    def _fail(self, error: WebSocketError) -> None:
        """The peer broke a rule.  What it said before may still be answered: it is told when that was received."""
        self.exception = error
        self._end_with(error)
        if (self.queue or self.parts) and self.state.blame(error) and self.transport is not None:
            self._broken = error
            self._linger = self.loop.call_later(LINGER, self.tell)
        else:
            self._tell(error)

    def tell(self) -> None:
        """Tell the peer of the rule that it broke, now that there is nothing before it to receive."""
        broken, self._broken = self._broken, None
        if broken is not None:
            self._stop_lingering()
            self._tell(broken)

    def _tell(self, error: WebSocketError) -> None:
        """Tell the peer which rule it broke, stop sending, and let it leave (RFC 6455 §7.1.7)."""
        transport = self.transport
        if self.state.fail(error) and transport is not None:
            transport.write(self.encode(_FIRST_CLOSE, close_payload(error.code, str(error))))
        self._close_writing()
        if transport is None or transport.is_closing():
            return
        if not transport.can_write_eof():
            self.shut()  # TLS reads on until the peer has closed as well
            return
        # Closing with unread input would destroy the frame on its way.
        self._linger = self.loop.call_later(LINGER, self.shut)
        try:
            transport.write_eof()
        except OSError:  # the peer was quicker
            self.shut(now=True)
            return
        if self._reading_paused and self._link is not None:
            self._link.resume_reading()

    def eof_received(self) -> bool:
        """The peer will send nothing more: the transport closes itself."""
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Take the end of the connection."""
        self.transport = None
        self._close_writing()
        self._stop_lingering()
        self.tell()
        if self._writers is not None:
            self.end_parts()
        if self.end is None:
            if exc is None:
                events = self._decoder.feed_eof()
                why = str(events[-1]) if events else "The connection ended without a close frame"
            else:
                why = f"The connection was lost: {exc}"
            error = ClientConnectionResetError(why)
            error.__cause__ = exc
            self.lose(why, error)
            self._end_with(error)
            self._wake()
        self._decoder.close()
        self._release()

    def pause_writing(self) -> None:
        self.paused = True
        if self._link is not None:
            self._link.pause_writing()

    def resume_writing(self) -> None:
        self.paused = False
        if self._link is not None:
            self._link.resume_writing()
        owed, self._owed_pong = self._owed_pong, None
        if owed is not None:
            self.pong(owed)

    # ---- life

    def _beat(self) -> None:
        """Look whether the peer is alive."""
        transport = self.transport
        if transport is None or not self._half:
            return
        buffered = transport.get_write_buffer_size()
        if self._alive or self._reading_paused or buffered < self._buffered:
            self._alive = self._pinged = False
        elif self._pinged:
            self._give_up()
            return
        else:
            self._pinged = True
            transport.write(self.encode(_FIRST_PING, b""))
            buffered = transport.get_write_buffer_size()
        self._buffered = buffered
        self._timer = self.loop.call_later(self._half, self._beat)

    def _give_up(self) -> None:
        """The peer is gone, though nobody said so."""
        self._timer = None
        assert self._heartbeat is not None
        error = self._timed_out(f"No PONG received after {self._heartbeat / 2:g} seconds")
        self.lose(str(error), error)
        self._end_with(error)
        self.shut(now=True)
        self._wake()

    # ---- sending

    def pong(self, payload: bytes) -> None:
        """Answer a ping; a slow peer gets one answer, to its latest (RFC 6455 §5.5.3)."""
        transport = self.transport
        if transport is None or self.state.state not in (Closing.OPEN, Closing.RECEIVED):
            return
        if self.paused:
            self._owed_pong = payload
        else:
            transport.write(self.encode(_FIRST_PONG, payload))

    def can_send(self) -> bool:
        """Whether frames may be sent: no close frame was, and there is a connection."""
        return self.transport is not None and self.state.state in (Closing.OPEN, Closing.RECEIVED)

    def compressed(self, opcode: int, payload: bytes, compress: int | None) -> tuple[int, bytes]:
        """Return the first byte and the payload of a frame with a whole message."""
        deflater = self.deflater
        if deflater is None or compress == 0 or opcode >= 8:
            return FIN | opcode, payload
        return FIN | RSV1 | opcode, deflater.deflate(payload, window_bits=compress)

    async def drain(self) -> None:
        """Wait until the transport has room; raises ClientConnectionResetError when the connection is lost."""
        if self._link is not None:
            await self._link.drain()

    async def begin_parts(self) -> None:
        """Wait for the turn to send a message that is not whole; `end_parts()` must follow.

        Cancellation gives the turn up.
        """
        await self.turn()
        self._writers = deque()
        self.write = None

    async def turn(self) -> None:
        """Wait until no message is being sent in parts."""
        while self._writers is not None:
            future = self.loop.create_future()
            self._writers.append(future)
            await future

    def end_parts(self) -> None:
        """Let others send again."""
        writers, self._writers = self._writers, None
        for future in writers or ():
            if not future.done():
                future.set_result(None)
        if self.can_send():
            self._open_writing()

    @property
    def sends_parts(self) -> bool:
        """Whether a message is being sent in parts."""
        return self._writers is not None

    @property
    def _limit(self) -> int:
        """Bytes that the transport may hold back before sending waits, under the name that aiohttp's users know."""
        return self._write_limit

    @_limit.setter
    def _limit(self, size: int) -> None:
        self.limit_writing(size)

    def limit_writing(self, size: int) -> None:
        """Let sending wait when the transport holds back more than `size` bytes."""
        self._write_limit = size
        if self.transport is not None:
            self.transport.set_write_buffer_limits(high=size)

    # ---- streams

    def stream_next(self) -> None:
        """Deliver the next message, or the rest of the one under way, in parts."""
        self.waits = False
        self._decoder.stream_next()

    def stream_later(self) -> None:
        """Deliver the next message whole after all, for nobody waits for its first part any more."""
        self._decoder.stream_next(False)
        self.waits = self.patient and self.end is None
        self._rest, self._joined = [], 0
        parts, self.parts = self.parts, deque()
        for part in parts:
            self._take_part(part)
        if not self._decoder.in_parts:
            self._rest = None

    def stream_ended(self) -> None:
        """Take note that the last part was taken."""
        self.waits = self.patient and self.end is None

    def drop_stream(self) -> None:
        """Give up the rest of a message whose first part was taken."""
        done = bool(self.parts) and self.parts[-1].final
        self.parts.clear()
        self.waits = self.patient and self.end is None
        if not done and self.end is None:
            self._rest = _DROPPED
        if not self.queue:
            self.emptied()

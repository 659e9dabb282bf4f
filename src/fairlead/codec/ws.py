"""WebSocket: the public words, and how a connection closes (RFC 6455 §7).

In: what was sent, received or noticed.  Out: whether a close frame is to be sent, and the close code and reason that
the connection ends with, which are there in every case.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from ..errors import WebSocketError
from .ws_decoder import WebSocketDecoder
from .ws_frames import (
    NO_STATUS,
    WS_CLOSED_MESSAGE,
    WS_CLOSING_MESSAGE,
    Part,
    WSCloseCode,
    WSMessage,
    WSMessageDecodeText,
    WSMessageNoDecodeText,
    WSMessageTextBytes,
    WSMsgType,
)
from .ws_handshake import WS_KEY

__all__ = (
    "WS_CLOSED_MESSAGE",
    "WS_CLOSING_MESSAGE",
    "WS_KEY",
    "CloseState",
    "Closing",
    "Part",
    "WSCloseCode",
    "WSMessage",
    "WSMessageDecodeText",
    "WSMessageNoDecodeText",
    "WSMessageTextBytes",
    "WSMsgType",
    "WebSocketDecoder",
    "WebSocketError",
)


class Closing(Enum):
    """How far a connection is on its way to the end."""

    OPEN = "open"
    SENT = "close frame sent"
    RECEIVED = "close frame received"
    CLOSED = "closed"


# What follows when a close frame is sent and when one is received; what is not here changes nothing.
_SEND: Final = {Closing.OPEN: Closing.SENT, Closing.RECEIVED: Closing.CLOSED}
_RECEIVE: Final = {Closing.OPEN: Closing.RECEIVED, Closing.SENT: Closing.CLOSED}


class CloseState:
    """The closing handshake of one connection.

    `code` is None until something decided it, then the first of these: the code of the peer's close frame, 1005 when
    that has none (RFC 6455 §7.1.5), the code of the rule that the peer broke, 1006 when the connection was lost.
    `reason` says the same in words.  `clean`: a close frame went each way.
    """

    __slots__ = ("clean", "code", "reason", "state")

    def __init__(self) -> None:
        self.state = Closing.OPEN
        self.code: int | None = None
        self.reason = ""
        self.clean = False

    def send(self) -> bool:
        """Say that a close frame is about to be sent; False when none may be sent any more."""
        following = _SEND.get(self.state)
        if following is None:
            return False
        self.clean = following is Closing.CLOSED
        self.state = following
        return True

    def receive(self, code: int, reason: str) -> bool:
        """Take the peer's close frame, 0 being no code; True when it is to be answered.

        The answer carries `answer(code)`.
        """
        following = _RECEIVE.get(self.state)
        if following is None:
            return False
        self.clean = following is Closing.CLOSED
        self.state = following
        self._decide(code or NO_STATUS, reason)
        return following is Closing.RECEIVED

    def blame(self, error: WebSocketError) -> bool:
        """Take the decoder's error while frames may go on being sent, until `fail()`; False when none may be."""
        if self.state is not Closing.OPEN or error.code == WSCloseCode.ABNORMAL_CLOSURE:
            return False
        self._decide(error.code, str(error))
        return True

    def fail(self, error: WebSocketError) -> bool:
        """Take the decoder's error; True when a close frame with its code is to be sent, after which all is closed."""
        if error.code == WSCloseCode.ABNORMAL_CLOSURE:
            self.lose(str(error))
            return False
        self._decide(error.code, str(error))
        sendable = self.state is Closing.OPEN
        self.state = Closing.CLOSED
        return sendable

    def lose(self, why: str) -> None:
        """Take the end of the connection; `why` is the reason when no close frame came before."""
        self.state = Closing.CLOSED
        self._decide(WSCloseCode.ABNORMAL_CLOSURE, why)

    def _decide(self, code: int, reason: str) -> None:
        if self.code is None:
            self.code, self.reason = code, reason


def answer(code: int) -> int | None:
    """Return the code that answers a close frame: the same, or none to none (RFC 6455 §5.5.1)."""
    return code or None

"""Handlers that end when their client leaves: `cancel_on_disconnect`.

By default a handler runs to its end whether or not somebody waits for its answer, for it may be in the middle of a
change.  Handlers that only read can be told to stop.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from .request import Request
    from .stream_response import StreamResponse

_HandlerT = TypeVar("_HandlerT", bound=Callable[..., Awaitable["StreamResponse"]])


def cancel_on_disconnect(handler: _HandlerT) -> _HandlerT:
    """Decorate a handler so that it is cancelled when the client of its request leaves.

    The handler is a function of a request, or a method whose last argument is one.  The rest of the server keeps to the
    option `handler_cancellation`.
    """
    if inspect.isclass(handler):
        raise TypeError("cancel_on_disconnect takes a function; decorate the methods of a View with it instead")

    @wraps(handler)
    async def watched(*args: Any) -> StreamResponse:
        request: Request = args[-1] if hasattr(args[-1], "protocol") else args[-1].request
        request.protocol.cancel_on_disconnect()
        return await handler(*args)

    return watched  # type: ignore[return-value]

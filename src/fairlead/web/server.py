"""A handler and its connections: `Server`, which an event loop calls for each connection that it accepts.

In: a coroutine function that answers requests, and options for the connections.  Out: protocols.
Limits: those of `protocol`.
"""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from .protocol import RequestHandler
from .request import BaseRequest

if TYPE_CHECKING:
    from .stream_response import StreamResponse

Handler = Callable[[BaseRequest], Awaitable["StreamResponse"]]
RequestFactory = Callable[[Any, Any, RequestHandler, Any, "asyncio.Task[None]"], BaseRequest]

# What a connection can be told, by the names of the arguments.
_OPTIONS = frozenset(inspect.signature(RequestHandler).parameters) - {"manager", "loop"}


class Server:
    """The low level server: `loop.create_server(Server(handler), host, port)`.

    `request_factory(message, payload, protocol, writer, task)` makes the requests.  With `handler_cancellation` a
    handler is cancelled when its client leaves.  Further arguments are those of `RequestHandler`.
    """

    request_factory: RequestFactory

    def __init__(
        self,
        handler: Handler,
        *,
        request_factory: RequestFactory | None = None,
        handler_cancellation: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        **kwargs: Any,
    ) -> None:
        """Take the handler; must be called in a running loop unless one is given.

        Options that no connection knows are dropped with a RuntimeWarning.
        """
        for name in kwargs.keys() - _OPTIONS:
            warnings.warn(
                f"Server has no option {name!r}; it is ignored. The options are {', '.join(sorted(_OPTIONS))}",
                RuntimeWarning,
                stacklevel=2,
            )
            del kwargs[name]
        self._loop = loop or asyncio.get_running_loop()
        self._connections: dict[RequestHandler, asyncio.Transport] = {}
        self._kwargs = kwargs
        self._answered = 0  # on connections that are gone
        self.request_handler = handler
        self.request_factory = request_factory or self._make_request
        self.handler_cancellation = handler_cancellation
        self.shutting_down = False
        self._stopped = False

    def __call__(self) -> RequestHandler:
        """Make the protocol of a new connection."""
        return RequestHandler(self, loop=self._loop, **self._kwargs)

    def _make_request(
        self, message: Any, payload: Any, protocol: RequestHandler, writer: Any, task: asyncio.Task[None]
    ) -> BaseRequest:
        return BaseRequest(message, payload, protocol, writer, task, self._loop)

    @property
    def connections(self) -> list[RequestHandler]:
        """The open connections."""
        return list(self._connections)

    @property
    def requests_count(self) -> int:
        """How many requests were answered."""
        return self._answered + sum(connection.served for connection in self._connections)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Take note of a new connection."""
        self._connections[handler] = transport
        if self._stopped:
            handler.close()
        elif self.shutting_down:
            handler.begin_shutdown()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Take note of the end of a connection."""
        if self._connections.pop(handler, None) is not None:
            self._answered += handler.served

    def pre_shutdown(self) -> None:
        """Tell all handlers that the server stops; each connection ends with the answer to its current request."""
        self.shutting_down = True
        for connection in self._connections:
            connection.begin_shutdown()

    async def shutdown(self, timeout: float | None = None) -> None:
        """End all connections, see `RequestHandler.shutdown`; `timeout` is in seconds, None waits without limit."""
        self.pre_shutdown()
        try:
            await asyncio.gather(*(connection.shutdown(timeout) for connection in self._connections))
        finally:
            # What becomes a connection after this, for its TLS handshake has taken its time, comes too late.
            self._stopped = True
        self._connections.clear()

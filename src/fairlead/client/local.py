"""Connectors to this machine: Unix domain sockets, and named pipes of Windows.

The connection goes to the path; the URL of a request gives its Host field and target only. As in aiohttp no TLS is used
even for https URLs, names are not resolved, and proxies are not dialled. Limit: ``ClientTimeout.sock_connect``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..errors import ClientConnectorError, ConnectionTimeoutError, UnixClientConnectorError
from ..wire.dial import PHASE_CONNECT, connect_deadline
from .connector import BaseConnector

if TYPE_CHECKING:
    from ..wire.h1_link import H1ClientLink
    from .request import ClientRequest
    from .timeouts import ClientTimeout
    from .tracing import Trace

_UNSET: Any = object()


class _PathConnector(BaseConnector):
    """What the two have in common: a path in place of host and port."""

    def __init__(
        self,
        path: str,
        force_close: bool = False,
        keepalive_timeout: float | None = _UNSET,
        limit: int = 100,
        limit_per_host: int = 0,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Take the settings; nothing is opened. RuntimeError outside a running loop."""
        pooling: dict[str, Any] = {} if keepalive_timeout is _UNSET else {"keepalive_timeout": keepalive_timeout}
        super().__init__(force_close=force_close, limit=limit, limit_per_host=limit_per_host, loop=loop, **pooling)
        self._path = path

    @property
    def path(self) -> str:
        """The path that connections go to."""
        return self._path

    async def _create_connection(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> H1ClientLink:
        """Connect to the path and return the protocol; cancellation closes what is open."""
        req.phase = PHASE_CONNECT
        deadline = connect_deadline(self._loop, timeout.sock_connect, timeout.ceil_threshold)
        try:
            async with deadline:
                return await self._connect_path()
        except OSError as exc:
            if deadline.expired():
                raise ConnectionTimeoutError(
                    f"Connection timeout to host {req.url}: no connection to {self._path!r} within "
                    f"ClientTimeout.sock_connect={timeout.sock_connect or 0.0:g} seconds"
                ) from exc
            raise self._typed_error(req, exc) from exc

    async def _connect_path(self) -> H1ClientLink:
        raise NotImplementedError

    def _typed_error(self, req: ClientRequest, exc: OSError) -> ClientConnectorError:
        raise NotImplementedError


class UnixConnector(_PathConnector):
    """Pools connections to the Unix domain socket at ``path``; UnixClientConnectorError when it cannot be reached."""

    allowed_protocol_schema_set = BaseConnector.allowed_protocol_schema_set | {"unix"}

    async def _connect_path(self) -> H1ClientLink:
        _, protocol = await self._loop.create_unix_connection(self._factory, self._path)
        return protocol

    def _typed_error(self, req: ClientRequest, exc: OSError) -> ClientConnectorError:
        return UnixClientConnectorError(self._path, req.connection_key, exc)


class NamedPipeConnector(_PathConnector):
    """Pools connections to the named pipe at ``path``, on Windows; ClientConnectorError when it cannot be reached.

    Raises RuntimeError on any other loop than the proactor loop of Windows.
    """

    allowed_protocol_schema_set = BaseConnector.allowed_protocol_schema_set | {"npipe"}

    def __init__(
        self,
        path: str,
        force_close: bool = False,
        keepalive_timeout: float | None = _UNSET,
        limit: int = 100,
        limit_per_host: int = 0,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Take the settings; nothing is opened."""
        if not hasattr(loop or asyncio.get_running_loop(), "create_pipe_connection"):
            raise RuntimeError("Named Pipes only available in proactor loop under windows")
        super().__init__(path, force_close, keepalive_timeout, limit, limit_per_host, loop)

    async def _connect_path(self) -> H1ClientLink:
        loop: Any = self._loop
        protocol: H1ClientLink
        _, protocol = await loop.create_pipe_connection(self._factory, self._path)
        return protocol

    def _typed_error(self, req: ClientRequest, exc: OSError) -> ClientConnectorError:
        return ClientConnectorError(req.connection_key, exc)

"""Sites: where a runner listens. A TCP address, a Unix socket, a Windows named pipe, or a socket that is there already.

In: a runner that was set up. Out: connections, each with a protocol that the runner's server makes.

`BaseSite.stop` ends the listening. The kernel resets what waits in the accept queue when a listening socket is closed,
and to those clients their connection was made and their request sent. So the queue is emptied in the same breath: the
loop stops accepting, the site accepts what is left, up to `LAST_ACCEPTS`, closes the socket, and then hands the
connections over to the loop.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from yarl import URL

if TYPE_CHECKING:
    from ssl import SSLContext

    from ..typedefs import PathLike
    from .runner import BaseRunner

SHUTDOWN_TIMEOUT = 60.0
"""Seconds; the default of the deprecated argument of that name."""

BACKLOG = 128
"""Connections that the kernel keeps until the loop accepts them, unless the site says otherwise."""

PORT = 8080
TLS_PORT = 8443

LAST_ACCEPTS = 4096
"""Connections that a site accepts when it stops: as many as kernels let wait, not as many as a flood brings."""

MAKING_TURNS = 2
"""Turns of the loop in which an accepted connection gets its transport."""

HANDSHAKE_WAIT = 1.0
"""Seconds for the TLS handshakes of the connections that were accepted last."""


class BaseSite(ABC):
    """A place to listen at; `start()` begins, `stop()` ends."""

    __slots__ = ("_backlog", "_runner", "_server", "_ssl_context")

    def __init__(
        self,
        runner: BaseRunner,
        *,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT,
        ssl_context: SSLContext | None = None,
        backlog: int = BACKLOG,
    ) -> None:
        """Prepare a site of a runner; RuntimeError when the runner was not set up."""
        if runner.server is None:
            raise RuntimeError("Call runner.setup() before making a site")
        if shutdown_timeout != SHUTDOWN_TIMEOUT:
            warnings.warn("shutdown_timeout should be set on BaseRunner", DeprecationWarning, stacklevel=3)
        self._runner = runner
        self._ssl_context = ssl_context
        self._backlog = backlog
        self._server: asyncio.AbstractServer | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """The site's address as a URL."""

    @abstractmethod
    async def start(self) -> None:
        """Register with the runner; subclasses then listen. RuntimeError when the site was started already."""
        self._runner.register_site(self)

    async def stop(self) -> None:
        """End the listening, when what waits to be accepted was accepted; connections stay.

        RuntimeError when the site was not started. Cancellation ends the listening at once.
        """
        self._runner.check_site(self)
        server = self._server
        if server is not None:
            sockets = _sockets(server)
            try:
                await _stop_accepting(sockets)
                rest = self._accept_rest(sockets)
            finally:
                server.close()
            if rest:
                await self._adopt(rest)
        self._runner.unregister_site(self)

    def _accept_rest(self, sockets: tuple[Any, ...]) -> list[socket.socket]:
        return [accepted for sock in sockets for accepted in _accept_waiting(sock)]

    async def _adopt(self, accepted: list[socket.socket]) -> None:
        """Make connections of sockets; those whose TLS handshake takes too long are given up."""
        loop = asyncio.get_running_loop()
        factory, tls = self._runner.protocol_factory, self._ssl_context
        limit = None if tls is None else HANDSHAKE_WAIT
        outcomes = await asyncio.gather(
            *(loop.connect_accepted_socket(factory, sock, ssl=tls, ssl_handshake_timeout=limit) for sock in accepted),
            return_exceptions=True,
        )
        # A client that has gone, or that can not do TLS, concerns nobody any more.
        del outcomes

    @property
    def addresses(self) -> list[Any]:
        """The addresses of the listening sockets; none when the site does not listen."""
        return [sock.getsockname() for sock in _sockets(self._server)]

    @property
    def _scheme(self) -> str:
        return "https" if self._ssl_context else "http"


def _sockets(server: asyncio.AbstractServer | None) -> tuple[Any, ...]:
    # Servers of named pipes have no sockets; closed ones have none left.
    return tuple(sock for sock in getattr(server, "sockets", None) or () if sock.fileno() >= 0)


async def _stop_accepting(sockets: tuple[Any, ...]) -> None:
    """Let what was accepted become connections, and accept nothing more.

    A transport that is made after its server was closed fails in asyncio before Python 3.12.
    """
    loop = asyncio.get_running_loop()
    try:
        for sock in sockets:
            loop.remove_reader(sock.fileno())
    except (NotImplementedError, RuntimeError):
        # Windows' proactor and uvloop, which accept in other ways.
        pass
    for _ in range(MAKING_TURNS):
        await asyncio.sleep(0)


def _accept_waiting(sock: Any) -> Iterator[socket.socket]:
    """Accept what waits, at a copy of the socket, since the loop's own does not let others accept."""
    with socket.fromfd(sock.fileno(), sock.family, sock.type) as listening:
        listening.setblocking(False)
        for _ in range(LAST_ACCEPTS):
            try:
                accepted, _ = listening.accept()
            except OSError:
                # As a rule there is nothing left; out of file descriptors, nothing more can be done.
                return
            yield accepted


class TCPSite(BaseSite):
    """Listens at a host and port."""

    __slots__ = ("_bound_port", "_host", "_port", "_reuse_address", "_reuse_port")

    def __init__(
        self,
        runner: BaseRunner,
        host: str | None = None,
        port: int | None = None,
        *,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT,
        ssl_context: SSLContext | None = None,
        backlog: int = BACKLOG,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
    ) -> None:
        """Prepare to listen; all interfaces for no host, 8080 or with TLS 8443 for no port, any free port for 0."""
        super().__init__(runner, shutdown_timeout=shutdown_timeout, ssl_context=ssl_context, backlog=backlog)
        self._host = host
        self._port = port if port is not None else (TLS_PORT if ssl_context else PORT)
        self._bound_port: int | None = None
        self._reuse_address = reuse_address
        self._reuse_port = reuse_port

    @property
    def port(self) -> int:
        """The port: the one that was bound once the site has started."""
        return self._port if self._bound_port is None else self._bound_port

    @property
    def name(self) -> str:
        """The site's address as a URL; ``0.0.0.0`` stands for all interfaces."""
        return str(URL.build(scheme=self._scheme, host=self._host or "0.0.0.0", port=self.port))

    async def start(self) -> None:
        """Listen; OSError when the address can not be bound, RuntimeError when the site was started already."""
        await super().start()
        self._server = server = await asyncio.get_running_loop().create_server(
            self._runner.protocol_factory,
            self._host,
            self._port,
            ssl=self._ssl_context,
            backlog=self._backlog,
            reuse_address=self._reuse_address,
            reuse_port=self._reuse_port,
        )
        sockets = _sockets(server)
        if sockets:
            self._bound_port = sockets[0].getsockname()[1]


class UnixSite(BaseSite):
    """Listens at a Unix socket; its file goes away when the site stops."""

    __slots__ = ("_inode", "_path")

    def __init__(
        self,
        runner: BaseRunner,
        path: PathLike,
        *,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT,
        ssl_context: SSLContext | None = None,
        backlog: int = BACKLOG,
    ) -> None:
        """Prepare to listen; a name that begins with a zero byte is one of Linux' abstract name space."""
        super().__init__(runner, shutdown_timeout=shutdown_timeout, ssl_context=ssl_context, backlog=backlog)
        self._path = path
        self._inode: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """The site's address."""
        return f"{self._scheme}://unix:{self._path}:"

    async def start(self) -> None:
        """Listen, in place of a socket file that may lie there; OSError when that can not be."""
        await super().start()
        self._server = await asyncio.get_running_loop().create_unix_server(
            self._runner.protocol_factory, self._path, ssl=self._ssl_context, backlog=self._backlog
        )
        self._inode = self._find_file()

    async def stop(self) -> None:
        """End the listening and remove the socket's file, unless another server has put its own in the place."""
        await super().stop()
        # asyncio does this since Python 3.13.
        if self._inode is not None and self._inode == self._find_file():
            os.unlink(self._path)
        self._inode = None

    def _find_file(self) -> tuple[int, int] | None:
        if os.fspath(self._path)[:1] in ("\0", b"\0"):
            return None
        try:
            facts = os.stat(self._path)
        except OSError:
            return None
        return (facts.st_dev, facts.st_ino) if stat.S_ISSOCK(facts.st_mode) else None


class NamedPipeSite(BaseSite):
    """Listens at a named pipe of Windows."""

    __slots__ = ("_path",)

    def __init__(self, runner: BaseRunner, path: str, *, shutdown_timeout: float = SHUTDOWN_TIMEOUT) -> None:
        """Prepare to listen; RuntimeError unless the running loop is Windows' proactor loop."""
        proactor = getattr(asyncio, "ProactorEventLoop", None)
        if proactor is None or not isinstance(asyncio.get_running_loop(), proactor):
            raise RuntimeError("Named Pipes only available in proactor loop under windows")
        super().__init__(runner, shutdown_timeout=shutdown_timeout)
        self._path = path

    @property
    def name(self) -> str:
        """The pipe's path."""
        return self._path

    async def start(self) -> None:
        """Listen; OSError when the pipe can not be made."""
        await super().start()
        loop: Any = asyncio.get_running_loop()
        servers = await loop.start_serving_pipe(self._runner.protocol_factory, self._path)
        self._server = servers[0]


class SockSite(BaseSite):
    """Listens at a socket that was bound before."""

    __slots__ = ("_name", "_sock")

    def __init__(
        self,
        runner: BaseRunner,
        sock: socket.socket,
        *,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT,
        ssl_context: SSLContext | None = None,
        backlog: int = BACKLOG,
    ) -> None:
        """Prepare to listen; the socket is the site's from then on and closed when it stops."""
        super().__init__(runner, shutdown_timeout=shutdown_timeout, ssl_context=ssl_context, backlog=backlog)
        self._sock = sock
        if hasattr(socket, "AF_UNIX") and sock.family == socket.AF_UNIX:
            self._name = f"{self._scheme}://unix:{sock.getsockname()}:"
        else:
            host, port = sock.getsockname()[:2]
            self._name = str(URL.build(scheme=self._scheme, host=host, port=port))

    @property
    def name(self) -> str:
        """The socket's address as a URL."""
        return self._name

    async def start(self) -> None:
        """Listen; RuntimeError when the site was started already."""
        await super().start()
        self._server = await asyncio.get_running_loop().create_server(
            self._runner.protocol_factory, sock=self._sock, ssl=self._ssl_context, backlog=self._backlog
        )


class SharedSockSite(SockSite):
    """Listens at a socket that other processes listen at as well: what waits to be accepted is left to them."""

    __slots__ = ()

    def _accept_rest(self, sockets: tuple[Any, ...]) -> list[socket.socket]:
        return []

"""The abstract classes of the server that programs subclass: router, match, view, access logger.

In: what the application hands over (a request, a response). Out: nothing of its own; each class names what the server
will call. Subclasses decide on routing, on answering and on what is logged.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import Application
    from .exceptions import HTTPException
    from .request import BaseRequest, Request
    from .stream_response import StreamResponse

    Handler = Callable[[Request], Awaitable[StreamResponse]]
    ExpectHandler = Callable[[Request], Awaitable[StreamResponse | None]]


class AbstractMatchInfo(ABC):
    """What a router found for one request: the handler, or the error that answers it."""

    __slots__ = ()

    @property
    @abstractmethod
    def handler(self) -> Handler:
        """The coroutine function that answers the request."""

    @property
    @abstractmethod
    def expect_handler(self) -> ExpectHandler:
        """What is awaited first when the request has an Expect field. RFC 9110 section 10.1.1."""

    @property
    @abstractmethod
    def http_exception(self) -> HTTPException | None:
        """The error that answers the request, None when a route was found."""

    @abstractmethod
    def get_info(self) -> dict[str, Any]:
        """Return facts about what was matched, for logs and tools."""

    @property
    @abstractmethod
    def apps(self) -> tuple[Application, ...]:
        """The applications that the request passes, the outermost first."""

    @abstractmethod
    def add_app(self, app: Application) -> None:
        """Put ``app`` around the applications that are there already; RuntimeError after ``freeze``."""

    @abstractmethod
    def freeze(self) -> None:
        """Allow no more applications; called once the outermost one has added itself."""


class AbstractRouter(ABC):
    """Finds what answers a request."""

    def __init__(self) -> None:
        self._frozen = False

    def post_init(self, app: Application) -> None:  # noqa: B027 - nothing to do is a good default
        """Learn to which application the router belongs; called once, when the application is made."""

    @property
    def frozen(self) -> bool:
        """Whether routes can no longer be added."""
        return self._frozen

    def freeze(self) -> None:
        """Allow no more routes; called when the application starts."""
        self._frozen = True

    @abstractmethod
    async def resolve(self, request: Request) -> AbstractMatchInfo:
        """Return what answers ``request``; a request that nothing answers is a match with an ``http_exception``."""


class AbstractView(ABC):
    """A handler that is a class: made with the request, then awaited for the response."""

    def __init__(self, request: Request) -> None:
        self._request = request

    @property
    def request(self) -> Request:
        """The request to answer."""
        return self._request

    @abstractmethod
    def __await__(self) -> Generator[Any, None, StreamResponse]:
        """Answer the request."""


class AbstractAccessLogger(ABC):
    """Writes one line for each answered request."""

    __slots__ = ("log_format", "logger")

    def __init__(self, logger: logging.Logger, log_format: str) -> None:
        self.logger = logger
        self.log_format = log_format

    @abstractmethod
    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        """Log one exchange; ``time`` is what it took, in seconds."""

    @property
    def enabled(self) -> bool:
        """Whether ``log`` would write anything; the server asks once for each connection and skips the call if not."""
        return True

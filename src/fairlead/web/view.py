"""Views: a class with one coroutine method for each HTTP method.

In: a request. Out: the response of the method whose name is the request's method in lower case. A method that the view
does not have is answered by 405 with the methods that it has. RFC 9110 section 15.5.6.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, NoReturn

from .. import hdrs
from .abstract import AbstractView
from .exceptions import HTTPMethodNotAllowed

if TYPE_CHECKING:
    from .stream_response import StreamResponse


class View(AbstractView):
    """Answers with ``async def get(self)``, ``post``, ``put`` …; the request is ``self.request``.

    Raises HTTPMethodNotAllowed for a method that the class does not define.
    """

    async def _iter(self) -> StreamResponse:
        # Only registered methods are looked up: a peer must not reach any other attribute of the class by its name.
        if self.request.method not in hdrs.METH_ALL:
            self._raise_allowed_methods()
        answer: Callable[[], Awaitable[StreamResponse]] | None = getattr(self, self.request.method.lower(), None)
        if answer is None:
            self._raise_allowed_methods()
        return await answer()

    def __await__(self) -> Generator[Any, None, StreamResponse]:
        """Answer the request."""
        return self._iter().__await__()

    def _raise_allowed_methods(self) -> NoReturn:
        allowed = {method for method in hdrs.METH_ALL if hasattr(self, method.lower())}
        raise HTTPMethodNotAllowed(self.request.method, allowed)

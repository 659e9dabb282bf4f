"""Middlewares: what is awaited around a handler.

In: middlewares of the applications that a request passes, and a handler. Out: one handler that runs the middlewares of
the outermost application first, and within an application in the order of its list.

While a middleware or a handler runs, ``request.app`` is the application that it belongs to.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from functools import WRAPPER_ASSIGNMENTS, WRAPPER_UPDATES, partial, update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar

from yarl import URL

from .exceptions import HTTPMove, HTTPPermanentRedirect
from .routes import SystemRoute

if TYPE_CHECKING:
    from ..typedefs import Middleware
    from .abstract import Handler
    from .app import Application
    from .request import Request
    from .stream_response import StreamResponse

__all__ = ("middleware", "normalize_path_middleware")

_Function = TypeVar("_Function")

_SLASHES = re.compile("//+")
_LEADING_SLASHES = re.compile("^//+")


def middleware(f: _Function) -> _Function:
    """Mark a coroutine function ``(request, handler)`` as a middleware."""
    f.__middleware_version__ = 1  # type: ignore[attr-defined]
    return f


def is_new_style(layer: Any) -> bool:
    """Tell whether ``layer`` is called with the request, and not as a factory with the application."""
    return getattr(layer, "__middleware_version__", 0) == 1


def warn_of_old_style(middlewares: Iterable[Any]) -> None:
    """Warn of middlewares that are factories, because ``@web.middleware`` is missing; called when an app freezes."""
    for layer in middlewares:
        if not is_new_style(layer):
            warnings.warn(f'old-style middleware "{layer!r}" deprecated, see #2252', DeprecationWarning, stacklevel=3)


def _dressed(layer: Any, handler: Any) -> Any:
    """Give ``layer`` the name and the documentation of the handler that it leads to."""
    updated = () if isinstance(handler, type) else WRAPPER_UPDATES
    return update_wrapper(layer, handler, WRAPPER_ASSIGNMENTS, updated)


def _in_app(app: Application, handler: Handler) -> Handler:
    """Make ``app`` the current application while ``handler`` runs."""

    async def enter(request: Request) -> StreamResponse:
        match = request.match_info
        outer = match.current_app
        match.current_app = app
        try:
            return await handler(request)
        finally:
            match.current_app = outer

    return _dressed(enter, handler)  # type: ignore[no-any-return]


def _from_factory(factory: Any, app: Application, handler: Handler) -> Handler:
    """Run an old-style middleware: a coroutine function that is given the application and returns a handler."""

    async def run(request: Request) -> StreamResponse:
        layer: Handler = await factory(app, handler)
        return await layer(request)

    return _dressed(run, handler)  # type: ignore[no-any-return]


def compose(handler: Handler, apps: Sequence[Application]) -> Handler:
    """Return ``handler`` with the middlewares of ``apps`` around it; ``apps`` has the outermost application first.

    The result depends on nothing but its arguments, so it may be kept as long as the applications are frozen. Without
    middlewares it is ``handler`` itself.
    """
    layered = [app for app in apps if app.middlewares]
    # The router leaves the innermost application as the current one, so alone it needs nobody to say so.
    alone = all(app is apps[-1] for app in layered)
    if not alone and layered[-1] is not apps[-1]:
        handler = _in_app(apps[-1], handler)
    for app in reversed(layered):
        for layer in reversed(app.middlewares):
            if is_new_style(layer):
                handler = _dressed(partial(layer, handler=handler), handler)
            else:
                handler = _from_factory(layer, app, handler)
        if not alone:
            handler = _in_app(app, handler)
    return handler


def _spellings(path: str, append_slash: bool, remove_slash: bool, merge_slashes: bool) -> list[str]:
    """Return the other spellings of ``path`` that may lead somewhere, in the order in which they are tried."""
    merged = _SLASHES.sub("/", path)
    bases = [path, merged] if merge_slashes else [path]
    found = bases[1:]
    if append_slash:
        found += [f"{base}/" for base in bases if not base.endswith("/")]
    if remove_slash:
        found += [base[:-1] for base in bases if base.endswith("/") and base != "/"]
    # A location that begins with two slashes names another host.
    found = [_LEADING_SLASHES.sub("/", spelling) for spelling in found]
    return [spelling for spelling in dict.fromkeys(found) if spelling != path]


async def _resolves(request: Request, location: URL) -> bool:
    """Tell whether the application answers the method of ``request`` at ``location``."""
    match = await request.app.router.resolve(request.clone(rel_url=location))
    return match.http_exception is None


def normalize_path_middleware(
    *,
    append_slash: bool = True,
    remove_slash: bool = False,
    merge_slashes: bool = True,
    redirect_class: type[HTTPMove] = HTTPPermanentRedirect,
) -> Middleware:
    """Return a middleware that redirects a path that nothing answers to a spelling of it that something answers.

    With ``merge_slashes`` slashes in a row become one, with ``append_slash`` a slash is put at the end, with
    ``remove_slash`` it is taken away; the query is kept. Slashes at the beginning always become one, and backslashes
    are sent percent-encoded, so that no location can name another host. Raises AssertionError when a slash is to be
    both appended and removed. RFC 9110 section 15.4.9 (308 keeps the method).
    """
    if append_slash and remove_slash:
        raise AssertionError("Cannot both remove and append slash")

    @middleware
    async def impl(request: Request, handler: Handler) -> StreamResponse:
        path = request.rel_url.raw_path
        if isinstance(request.match_info.route, SystemRoute) and path.startswith("/"):
            query = request.rel_url.raw_query_string
            for spelling in _spellings(path, append_slash, remove_slash, merge_slashes):
                # Parsing quotes what a browser would not take as it is.
                location = URL(f"{spelling}?{query}" if query else spelling)
                if await _resolves(request, location):
                    raise redirect_class(location)
        return await handler(request)

    return impl

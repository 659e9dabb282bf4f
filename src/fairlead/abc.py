"""The abstract classes that programs subclass: resolvers, cookie jars, body writers, and the parts of a server."""

from typing import TYPE_CHECKING, Any

from .client.cookiejar import AbstractCookieJar
from .wire.dns import AbstractResolver, ResolveResult
from .wire.writer import AbstractStreamWriter

if TYPE_CHECKING:
    from .web.abstract import AbstractAccessLogger, AbstractMatchInfo, AbstractRouter, AbstractView

__all__ = (
    "AbstractAccessLogger",
    "AbstractCookieJar",
    "AbstractMatchInfo",
    "AbstractResolver",
    "AbstractRouter",
    "AbstractStreamWriter",
    "AbstractView",
    "ResolveResult",
)


def __getattr__(name: str) -> Any:
    # Clients do without the server.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .web import abstract

    return getattr(abstract, name)

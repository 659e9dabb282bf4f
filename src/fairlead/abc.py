"""The abstract classes that programs subclass: resolvers, cookie jars, body writers."""

from .client.cookiejar import AbstractCookieJar
from .wire.dns import AbstractResolver, ResolveResult
from .wire.writer import AbstractStreamWriter

__all__ = ("AbstractCookieJar", "AbstractResolver", "AbstractStreamWriter", "ResolveResult")

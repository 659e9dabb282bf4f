"""Client middlewares that come with the package: coroutine functions around one request and its response.

A middleware is called with the request and the next handler, awaits the handler as often as it needs, and returns a
response. It runs for every request that goes out, so once more for each redirect that is followed.
"""

from .digest import DigestAuthMiddleware

__all__ = ("DigestAuthMiddleware",)

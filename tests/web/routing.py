"""Two routers side by side: fairlead's with light requests, and aiohttp's, which is the oracle.

A table is a list of "METHOD /path" texts. Each route's handler returns its text, so that a match can be told by it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import cache
from typing import Any

from multidict import CIMultiDict
from yarl import URL

from fairlead.codec.events import HttpVersion11
from fairlead.web.resources import Domain, MaskDomain, MatchedSubAppResource, PrefixedSubAppResource
from fairlead.web.router import UrlDispatcher

Handler = Callable[[Any], Awaitable[Any]]


def as_received(target: str) -> URL:
    """Make the URL of a request target as servers do: nothing is normalised, and two slashes name no host."""
    path, _, query = target.partition("?")
    return URL.build(path=path, query_string=query, encoded=True)


class Stub:
    """As much of a request as routing looks at."""

    def __init__(self, method: str, path: str, headers: dict[str, str] | None = None) -> None:
        self.method = method
        self.rel_url = as_received(path)
        self.routing_path = self.rel_url.raw_path
        self.headers = CIMultiDict(headers or {})
        self.version = HttpVersion11
        self.match_info: Any = None

    @property
    def app(self) -> Any:
        return self.match_info.current_app

    def clone(self, *, rel_url: URL) -> Stub:
        other = Stub(self.method, "/", dict(self.headers))
        other.rel_url = rel_url
        other.routing_path = rel_url.raw_path
        return other


class Site:
    """As much of an application as routing looks at."""

    def __init__(self, name: str = "", *middlewares: Any) -> None:
        self.name = name
        self.router = UrlDispatcher()
        self.middlewares = middlewares

    def __repr__(self) -> str:
        return f"<Site {self.name}>"

    def add_subapp(self, prefix: str, site: Site) -> PrefixedSubAppResource:
        resource = PrefixedSubAppResource(prefix.rstrip("/"), site)  # type: ignore[arg-type]
        self.router.register_resource(resource)
        return resource

    def add_domain(self, domain: str, site: Site) -> MatchedSubAppResource:
        resource = MatchedSubAppResource((MaskDomain if "*" in domain else Domain)(domain), site)  # type: ignore[arg-type]
        self.router.register_resource(resource)
        return resource


def now(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that must not suspend."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AssertionError("the coroutine suspended")


def handler(text: str) -> Handler:
    async def answer(request: Any) -> str:
        return text

    return answer


def fill(router: Any, table: list[str]) -> Any:
    for text in table:
        method, path = text.split(" ", 1)
        router.add_route(method, path, handler(text))
    return router


def outcome(match: Any) -> tuple[Any, ...]:
    """Reduce a match of either library to what must be equal."""
    error = match.http_exception
    if error is not None:
        return type(error).__name__, error.status, set(getattr(error, "allowed_methods", ())), len(match.apps)
    return dict(match), now(match.handler(None)), match.route.method, len(match.apps)


def oracle_request(method: str, path: str, headers: dict[str, str] | None = None) -> Any:
    """Make aiohttp's request, with the path as its server would see it: not normalised."""
    return _oracle_request(method, path, (headers or {}).get("Host"))


@cache
def _oracle_request(method: str, path: str, host: str | None) -> Any:
    from aiohttp.test_utils import make_mocked_request

    request = make_mocked_request(method, "/", {} if host is None else {"Host": host})
    return request.clone(rel_url=as_received(path))

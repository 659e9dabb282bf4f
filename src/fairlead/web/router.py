"""The router: finds the resource and the route that answer a request.

In: resources and routes while the application is built, then requests. Out: a match for each request; what nothing
answers is a match that holds a 404 or a 405.

The problem: an application has hundreds of paths, and asking one after the other costs more than the rest of a request.
The order in which resources are asked is part of the public behaviour, though: those with the longest constant prefix
first, and of those with the same prefix the one that was added first. So

* a path without variable parts is one lookup by its raw text and one by its method, when nothing that would be asked
  before it can match the same path,
* else the path is cut at its slashes from the right, and only the resources are asked whose constant prefix is what is
  left. A path that has many more slashes than the longest prefix there is is shortened first, so that it costs no more.

The number of resources that are asked thus depends on how many share one prefix, not on how many there are.

Sub-applications that are chosen by host are asked before any path is looked at. ``resolve`` is a coroutine because it
may be overridden by one; it suspends only where a resource of somebody else does. RFC 9110 sections 15.5.5 and 15.5.6.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sized
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .. import hdrs
from .abstract import AbstractRouter
from .exceptions import HTTPMethodNotAllowed, HTTPNotFound
from .file_response import DEFAULT_CHUNK_SIZE
from .resources import (
    AbstractResource,
    DynamicResource,
    MatchedSubAppResource,
    PlainResource,
    Resource,
    asked_by,
    constant_head,
    decode_path,
    is_dynamic,
    matches_as,
    routes_of,
)
from .routes import AbstractRoute, MatchInfoError, ResourceRoute, UrlMappingMatchInfo

if TYPE_CHECKING:
    from ..typedefs import PathLike
    from .abstract import AbstractView, ExpectHandler, Handler
    from .app import Application
    from .request import Request
    from .resources import Match
    from .routedef import AbstractRouteDef

SPARE_CUTS = 8
"""Slashes that a path may have beyond those of the longest prefix before it is shortened, which costs a few lookups."""

_NO_VALUES: dict[str, str] = {}


class ResourcesView(Sized, Iterable[AbstractResource], Container[AbstractResource]):
    """The resources of a router in the order in which they were added; it follows later changes."""

    def __init__(self, resources: list[AbstractResource]) -> None:
        self._resources = resources

    def __len__(self) -> int:
        return len(self._resources)

    def __iter__(self) -> Iterator[AbstractResource]:
        return iter(self._resources)

    def __contains__(self, resource: object) -> bool:
        return resource in self._resources


class RoutesView(Sized, Iterable[AbstractRoute], Container[AbstractRoute]):
    """The routes of a router, those of its sub-applications included, at the time when the view was made."""

    def __init__(self, resources: list[AbstractResource]) -> None:
        self._routes = list(routes_of(resources))

    def __len__(self) -> int:
        return len(self._routes)

    def __iter__(self) -> Iterator[AbstractRoute]:
        return iter(self._routes)

    def __contains__(self, route: object) -> bool:
        return route in self._routes


class UrlDispatcher(AbstractRouter, Mapping[str, AbstractResource]):
    """The router of an application, and a mapping of the names of its resources."""

    NAME_SPLIT_RE = re.compile(r"[.:-]")

    def __init__(self) -> None:
        super().__init__()
        self._resources: list[AbstractResource] = []
        self._named_resources: dict[str, AbstractResource] = {}
        self._matched_sub_app_resources: list[MatchedSubAppResource] = []
        # Constant prefix: the resources that have it, in the order of their adding.
        self._resource_index: dict[str, list[AbstractResource]] = {}
        # What requests are answered from, made of the index when a request finds it stale.
        self._plain: dict[str, Mapping[str, ResourceRoute]] = {}
        self._asked: dict[str, list[tuple[Match | None, Mapping[str, ResourceRoute], AbstractResource]]] = {}
        self._depth = 1
        self._stale = True

    async def resolve(self, request: Request) -> UrlMappingMatchInfo:
        """Return the match of ``request``; for what nothing answers a match that holds HTTPNotFound or …NotAllowed."""
        found = self.find(request)
        return await self._ask(request) if found is None else found

    def find(self, request: Request, app: Application | None = None) -> UrlMappingMatchInfo | None:
        """Do the same at once, where no resource has to be awaited; return None where one has.

        A route that is found belongs to `app` alone then; an error belongs to nobody yet.
        """
        path = request.routing_path
        method = request.method
        routes = self._plain.get(path)
        if routes is not None:
            route = routes.get(method) or routes.get("*")
            if route is not None:
                return UrlMappingMatchInfo(_NO_VALUES, route, app=app)
        if self._stale:
            self._refresh()
        if self._matched_sub_app_resources:
            return None
        if "%" in path:
            path = request.rel_url.path_safe
        asked = self._asked
        allowed: set[str] = set()
        prefix = path if path.count("/") <= self._depth + SPARE_CUTS else self._cut(path)
        while prefix:
            for matches, routes, _ in asked.get(prefix, ()):
                if matches is None:
                    return None
                if (values := matches(path)) is not None:
                    route = routes.get(method) or routes.get("*")
                    if route is not None:
                        return UrlMappingMatchInfo(values, route, app=app)
                    allowed.update(routes)
            if prefix == "/":
                break
            prefix = prefix.rpartition("/")[0] or "/"
        return MatchInfoError(HTTPMethodNotAllowed(method, allowed) if allowed else HTTPNotFound())

    async def _ask(self, request: Request) -> UrlMappingMatchInfo:
        """Ask the resources in their order, those of other kinds by awaiting them."""
        method = request.method
        match: UrlMappingMatchInfo | None
        for application in self._matched_sub_app_resources:
            match, _ = await application.resolve(request)
            if match is not None:
                return match
        path = request.routing_path
        if "%" in path:
            path = request.rel_url.path_safe
        asked = self._asked
        allowed: set[str] = set()
        prefix = path if path.count("/") <= self._depth + SPARE_CUTS else self._cut(path)
        while prefix:
            for matches, routes, resource in asked.get(prefix, ()):
                if matches is None:
                    match, methods = await resource.resolve(request)
                    if match is not None:
                        return match
                    allowed |= methods
                elif (values := matches(path)) is not None:
                    route = routes.get(method) or routes.get("*")
                    if route is not None:
                        return UrlMappingMatchInfo(values, route)
                    allowed.update(routes)
            if prefix == "/":
                break
            prefix = prefix.rpartition("/")[0] or "/"
        return MatchInfoError(HTTPMethodNotAllowed(method, allowed) if allowed else HTTPNotFound())

    @property
    def finds_at_once(self) -> bool:
        """Whether `find` may be asked in place of `resolve`: nobody has replaced that."""
        return type(self).resolve is _resolve and "resolve" not in self.__dict__

    def _cut(self, path: str) -> str:
        """Return as much of ``path`` as has the slashes of the longest prefix there is."""
        return "/".join(path.split("/", self._depth + 1)[:-1]) or "/"

    def _refresh(self) -> None:
        """Make the tables that requests are answered from."""
        self._asked = {
            prefix: [(*asked_by(resource), resource) for resource in resources]
            for prefix, resources in self._resource_index.items()
        }
        self._depth = max((prefix.count("/") for prefix in self._asked), default=1)
        self._plain = {}
        if not self._matched_sub_app_resources:
            for resources in self._resource_index.values():
                self._refresh_plain(resources)
        self._stale = False

    def _refresh_plain(self, resources: list[AbstractResource]) -> None:
        """Note the paths that need no search: nothing that is asked earlier can match them."""
        heads: tuple[str, ...] = ()
        for resource in resources:
            if isinstance(resource, PlainResource) and matches_as(resource, PlainResource):
                if not resource.decoded.startswith(heads):
                    self._plain.setdefault(resource.decoded, resource.methods)
            else:
                heads += (constant_head(resource),)

    def index_resource(self, resource: AbstractResource) -> None:
        """Let requests find ``resource``; to be called again after ``unindex_resource`` and a change of its path."""
        self._stale = True
        self._plain = {}
        if isinstance(resource, MatchedSubAppResource):
            self._matched_sub_app_resources.append(resource)
        else:
            self._resource_index.setdefault(self._index_key(resource), []).append(resource)

    def unindex_resource(self, resource: AbstractResource) -> None:
        """Let requests no longer find ``resource``, whose path is about to change.

        Raises KeyError or ValueError when the resource is not indexed under its path.
        """
        self._stale = True
        self._plain = {}
        if isinstance(resource, MatchedSubAppResource):
            self._matched_sub_app_resources.remove(resource)
        else:
            self._resource_index[self._index_key(resource)].remove(resource)

    def _index_key(self, resource: AbstractResource) -> str:
        constant, brace, _ = resource.canonical.partition("{")
        if brace:
            constant = constant.rpartition("/")[0]
        return decode_path(constant).rstrip("/") or "/"

    def register_resource(self, resource: AbstractResource) -> None:
        """Add a resource that was made elsewhere.

        Raises RuntimeError when the router is frozen, ValueError when the name is taken or is not made of identifiers.
        """
        if not isinstance(resource, AbstractResource):
            raise AssertionError(f"Instance of AbstractResource class is required, got {resource!r}")
        if self.frozen:
            raise RuntimeError("Cannot register a resource into frozen router.")
        name = resource.name
        if name is not None:
            self._check_name(name)
            self._named_resources[name] = resource
        self._resources.append(resource)
        self.index_resource(resource)

    def _check_name(self, name: str) -> None:
        for part in self.NAME_SPLIT_RE.split(name):
            if keyword.iskeyword(part):
                raise ValueError(f"Incorrect route name {name!r}, python keywords cannot be used for route name")
            if not part.isidentifier():
                raise ValueError(
                    f"Incorrect route name {name!r}, the name should be a sequence of "
                    "python identifiers separated by dash, dot or column"
                )
        if name in self._named_resources:
            raise ValueError(f"Duplicate {name!r}, already handled by {self._named_resources[name]!r}")

    def add_resource(self, path: str, *, name: str | None = None) -> Resource:
        """Return a resource for ``path``: the last one if it has the same path and name, else a new one.

        Raises ValueError for a path that does not begin with a slash or cannot be read, and for a wrong name.
        """
        if not isinstance(path, str):
            raise TypeError(f"path should be str, got {path!r}")
        if path and not path.startswith("/"):
            raise ValueError("path should be started with / or be empty")
        if self._resources:
            last = self._resources[-1]
            if last.name == name and last.raw_match(path) and isinstance(last, Resource):
                return last
        resource = (DynamicResource if is_dynamic(path) else PlainResource)(path, name=name)
        self.register_resource(resource)
        return resource

    def add_route(
        self,
        method: str,
        path: str,
        handler: Handler | type[AbstractView],
        *,
        name: str | None = None,
        expect_handler: ExpectHandler | None = None,
    ) -> AbstractRoute:
        """Let ``handler`` answer ``method`` on ``path``; errors as of ``add_resource`` and ``Resource.add_route``."""
        return self.add_resource(path, name=name).add_route(method, handler, expect_handler=expect_handler)

    def add_static(
        self,
        prefix: str,
        path: PathLike,
        *,
        name: str | None = None,
        expect_handler: ExpectHandler | None = None,
        chunk_size: int = DEFAULT_CHUNK_SIZE,
        show_index: bool = False,
        follow_symlinks: bool = False,
        append_version: bool = False,
    ) -> AbstractResource:
        """Answer everything below ``prefix`` with the files of the directory ``path``.

        ``chunk_size`` is in bytes. Raises ValueError when the directory does not exist.
        """
        from .static import StaticResource

        if not prefix.startswith("/"):
            raise AssertionError(f"Prefix must start with a slash, got {prefix!r}")
        resource = StaticResource(
            prefix.removesuffix("/"),
            path,
            name=name,
            expect_handler=expect_handler,
            chunk_size=chunk_size,
            show_index=show_index,
            follow_symlinks=follow_symlinks,
            append_version=append_version,
        )
        self.register_resource(resource)
        return resource

    def add_head(self, path: str, handler: Handler, **kwargs: Any) -> AbstractRoute:
        """Add a route for HEAD."""
        return self.add_route(hdrs.METH_HEAD, path, handler, **kwargs)

    def add_options(self, path: str, handler: Handler, **kwargs: Any) -> AbstractRoute:
        """Add a route for OPTIONS."""
        return self.add_route(hdrs.METH_OPTIONS, path, handler, **kwargs)

    def add_get(
        self, path: str, handler: Handler, *, name: str | None = None, allow_head: bool = True, **kwargs: Any
    ) -> AbstractRoute:
        """Add a route for GET and, with ``allow_head``, one for HEAD; return the one for GET."""
        resource = self.add_resource(path, name=name)
        if allow_head:
            resource.add_route(hdrs.METH_HEAD, handler, **kwargs)
        return resource.add_route(hdrs.METH_GET, handler, **kwargs)

    def add_post(self, path: str, handler: Handler, **kwargs: Any) -> AbstractRoute:
        """Add a route for POST."""
        return self.add_route(hdrs.METH_POST, path, handler, **kwargs)

    def add_put(self, path: str, handler: Handler, **kwargs: Any) -> AbstractRoute:
        """Add a route for PUT."""
        return self.add_route(hdrs.METH_PUT, path, handler, **kwargs)

    def add_patch(self, path: str, handler: Handler, **kwargs: Any) -> AbstractRoute:
        """Add a route for PATCH."""
        return self.add_route(hdrs.METH_PATCH, path, handler, **kwargs)

    def add_delete(self, path: str, handler: Handler, **kwargs: Any) -> AbstractRoute:
        """Add a route for DELETE."""
        return self.add_route(hdrs.METH_DELETE, path, handler, **kwargs)

    def add_view(self, path: str, handler: type[AbstractView], **kwargs: Any) -> AbstractRoute:
        """Let a view class answer every method on ``path``."""
        return self.add_route(hdrs.METH_ANY, path, handler, **kwargs)

    def add_routes(self, routes: Iterable[AbstractRouteDef]) -> list[AbstractRoute]:
        """Add the routes of a RouteTableDef or of a list of definitions; return all that were added."""
        added: list[AbstractRoute] = []
        for definition in routes:
            added.extend(definition.register(self))
        return added

    def freeze(self) -> None:
        """Allow no more resources."""
        super().freeze()
        for resource in self._resources:
            resource.freeze()
        self._stale = True
        self._plain = {}

    def resources(self) -> ResourcesView:
        """Return the resources in the order in which they were added."""
        return ResourcesView(self._resources)

    def routes(self) -> RoutesView:
        """Return the routes, those of sub-applications included."""
        return RoutesView(self._resources)

    def named_resources(self) -> Mapping[str, AbstractResource]:
        """Return a read-only view of the resources by their names."""
        return MappingProxyType(self._named_resources)

    def __iter__(self) -> Iterator[str]:
        return iter(self._named_resources)

    def __len__(self) -> int:
        return len(self._named_resources)

    def __contains__(self, resource: object) -> bool:
        return resource in self._named_resources

    def __getitem__(self, name: str) -> AbstractResource:
        return self._named_resources[name]


_resolve = UrlDispatcher.resolve

"""Definitions of routes that are written down first and added to a router later.

In: decorators of a RouteTableDef, or calls of ``get``, ``post`` … in a list. Out: what ``Application.add_routes`` adds,
in the order in which it was written.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

from .. import hdrs

if TYPE_CHECKING:
    from ..typedefs import PathLike
    from .abstract import AbstractView, Handler
    from .router import UrlDispatcher
    from .routes import AbstractRoute

    HandlerType: TypeAlias = type[AbstractView] | Handler

_Handler = TypeVar("_Handler", bound="HandlerType")

__all__ = (
    "AbstractRouteDef",
    "RouteDef",
    "RouteTableDef",
    "StaticDef",
    "delete",
    "get",
    "head",
    "options",
    "patch",
    "post",
    "put",
    "route",
    "static",
    "view",
)


def _arguments(kwargs: dict[str, Any]) -> str:
    return "".join(f", {name}={value!r}" for name, value in sorted(kwargs.items()))


class AbstractRouteDef(ABC):
    """Something that can be added to a router."""

    __slots__ = ()

    @abstractmethod
    def register(self, router: UrlDispatcher) -> list[AbstractRoute]:
        """Add the routes to ``router`` and return them."""


@dataclass(frozen=True, order=True, slots=True, weakref_slot=True, repr=False)
class RouteDef(AbstractRouteDef):
    """A method, a path, a handler, and the keyword arguments for the router."""

    method: str
    path: str
    handler: HandlerType
    kwargs: dict[str, Any]

    def __repr__(self) -> str:
        handler = getattr(self.handler, "__name__", self.handler)
        return f"<RouteDef {self.method} {self.path} -> {handler!r}{_arguments(self.kwargs)}>"

    def register(self, router: UrlDispatcher) -> list[AbstractRoute]:
        """Add the route to ``router`` and return it."""
        # The methods of a router are used where there are any, since a subclass may do more in them.
        add = getattr(router, f"add_{self.method.lower()}", None) if self.method in hdrs.METH_ALL else None
        if add is not None:
            return [add(self.path, self.handler, **self.kwargs)]
        return [router.add_route(self.method, self.path, self.handler, **self.kwargs)]


@dataclass(frozen=True, order=True, slots=True, weakref_slot=True, repr=False)
class StaticDef(AbstractRouteDef):
    """A prefix, a directory, and the keyword arguments of ``add_static``."""

    prefix: str
    path: PathLike
    kwargs: dict[str, Any]

    def __repr__(self) -> str:
        return f"<StaticDef {self.prefix} -> {os.fspath(self.path)}{_arguments(self.kwargs)}>"

    def register(self, router: UrlDispatcher) -> list[AbstractRoute]:
        """Add the static resource to ``router`` and return its routes."""
        resource = router.add_static(self.prefix, self.path, **self.kwargs)
        return list(resource.get_info().get("routes", {}).values())


def route(method: str, path: str, handler: HandlerType, **kwargs: Any) -> RouteDef:
    """Define a route; ``kwargs`` are those of ``UrlDispatcher.add_route``."""
    return RouteDef(method, path, handler, kwargs)


def head(path: str, handler: HandlerType, **kwargs: Any) -> RouteDef:
    """Define a route for HEAD."""
    return route(hdrs.METH_HEAD, path, handler, **kwargs)


def options(path: str, handler: HandlerType, **kwargs: Any) -> RouteDef:
    """Define a route for OPTIONS."""
    return route(hdrs.METH_OPTIONS, path, handler, **kwargs)


def get(
    path: str, handler: HandlerType, *, name: str | None = None, allow_head: bool = True, **kwargs: Any
) -> RouteDef:
    """Define a route for GET, and with ``allow_head`` one for HEAD."""
    return route(hdrs.METH_GET, path, handler, name=name, allow_head=allow_head, **kwargs)


def post(path: str, handler: HandlerType, **kwargs: Any) -> RouteDef:
    """Define a route for POST."""
    return route(hdrs.METH_POST, path, handler, **kwargs)


def put(path: str, handler: HandlerType, **kwargs: Any) -> RouteDef:
    """Define a route for PUT."""
    return route(hdrs.METH_PUT, path, handler, **kwargs)


def patch(path: str, handler: HandlerType, **kwargs: Any) -> RouteDef:
    """Define a route for PATCH."""
    return route(hdrs.METH_PATCH, path, handler, **kwargs)


def delete(path: str, handler: HandlerType, **kwargs: Any) -> RouteDef:
    """Define a route for DELETE."""
    return route(hdrs.METH_DELETE, path, handler, **kwargs)


def view(path: str, handler: type[AbstractView], **kwargs: Any) -> RouteDef:
    """Define that a view class answers every method."""
    return route(hdrs.METH_ANY, path, handler, **kwargs)


def static(prefix: str, path: PathLike, **kwargs: Any) -> StaticDef:
    """Define that files of a directory answer; ``kwargs`` are those of ``UrlDispatcher.add_static``."""
    return StaticDef(prefix, path, kwargs)


class RouteTableDef(Sequence[AbstractRouteDef]):
    """Collects routes with decorators, for ``Application.add_routes``."""

    def __init__(self) -> None:
        self._items: list[AbstractRouteDef] = []

    def __repr__(self) -> str:
        return f"<RouteTableDef count={len(self._items)}>"

    @overload
    def __getitem__(self, index: int) -> AbstractRouteDef: ...

    @overload
    def __getitem__(self, index: slice) -> list[AbstractRouteDef]: ...

    def __getitem__(self, index: int | slice) -> AbstractRouteDef | list[AbstractRouteDef]:
        return self._items[index]

    def __iter__(self) -> Iterator[AbstractRouteDef]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def route(self, method: str, path: str, **kwargs: Any) -> Callable[[_Handler], _Handler]:
        """Let the decorated handler answer ``method`` on ``path``."""

        def note(handler: _Handler) -> _Handler:
            self._items.append(RouteDef(method, path, handler, kwargs))
            return handler

        return note

    def head(self, path: str, **kwargs: Any) -> Callable[[_Handler], _Handler]:
        """Let the decorated handler answer HEAD."""
        return self.route(hdrs.METH_HEAD, path, **kwargs)

    def get(self, path: str, **kwargs: Any) -> Callable[[_Handler], _Handler]:
        """Let the decorated handler answer GET, and HEAD too unless ``allow_head=False`` is given."""
        return self.route(hdrs.METH_GET, path, **kwargs)

    def post(self, path: str, **kwargs: Any) -> Callable[[_Handler], _Handler]:
        """Let the decorated handler answer POST."""
        return self.route(hdrs.METH_POST, path, **kwargs)

    def put(self, path: str, **kwargs: Any) -> Callable[[_Handler], _Handler]:
        """Let the decorated handler answer PUT."""
        return self.route(hdrs.METH_PUT, path, **kwargs)

    def patch(self, path: str, **kwargs: Any) -> Callable[[_Handler], _Handler]:
        """Let the decorated handler answer PATCH."""
        return self.route(hdrs.METH_PATCH, path, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> Callable[[_Handler], _Handler]:
        """Let the decorated handler answer DELETE."""
        return self.route(hdrs.METH_DELETE, path, **kwargs)

    def options(self, path: str, **kwargs: Any) -> Callable[[_Handler], _Handler]:
        """Let the decorated handler answer OPTIONS."""
        return self.route(hdrs.METH_OPTIONS, path, **kwargs)

    def view(self, path: str, **kwargs: Any) -> Callable[[_Handler], _Handler]:
        """Let the decorated view class answer every method."""
        return self.route(hdrs.METH_ANY, path, **kwargs)

    def static(self, prefix: str, path: PathLike, **kwargs: Any) -> None:
        """Answer everything below ``prefix`` with the files of the directory ``path``."""
        self._items.append(StaticDef(prefix, path, kwargs))

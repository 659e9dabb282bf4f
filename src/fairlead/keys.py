"""Small things that others are found, named or remembered by.

``ConnectionKey`` says when two requests may share a connection; it is hashed for every request, so it is a tuple.
``RequestInfo`` is what an error remembers of the request that it came from.
``AppKey``, ``RequestKey`` and ``ResponseKey`` name what a program keeps in an application, a request or a response.
``Unset`` is the default of arguments for which None means something.
"""

from __future__ import annotations

import functools
import sys
from enum import Enum
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

if TYPE_CHECKING:
    from ssl import SSLContext

    from .client.auth import BasicAuth
    from .wire.tls import Fingerprint


T = TypeVar("T")


class Unset(Enum):
    """The type of `UNSET`, so that type checkers can tell it from every other value."""

    UNSET = "sentinel"


UNSET: Final = Unset.UNSET
"""Stands for an argument that was not given."""


class ConnectionKey(NamedTuple):
    """The facts that must be equal for two requests to share one connection.

    ``ssl`` is True for default verification, False for none, or a context or fingerprint. ``server_hostname`` is the
    name that TLS verifies when the caller overrides it.
    """

    host: str
    port: int | None
    is_ssl: bool
    ssl: SSLContext | bool | Fingerprint
    proxy: URL | None
    proxy_auth: BasicAuth | None
    proxy_headers_hash: int | None
    server_hostname: str | None = None


class _RequestInfoFields(NamedTuple):
    url: URL
    method: str
    headers: CIMultiDictProxy[str]
    real_url: URL


class RequestInfo(_RequestInfoFields):
    """The request that a response or an error belongs to; ``real_url`` keeps the fragment and defaults to ``url``."""

    __slots__ = ()

    def __new__(cls, url: URL, method: str, headers: CIMultiDictProxy[str], real_url: URL | None = None) -> RequestInfo:
        """Record the request; no copy of the fields is taken."""
        return super().__new__(cls, url, method, headers, url if real_url is None else real_url)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the fields as pairs, because a multidict proxy refuses to be pickled."""
        return _restore_request_info, (self.url, self.method, tuple(self.headers.items()), self.real_url)


def _restore_request_info(url: URL, method: str, pairs: tuple[tuple[str, str], ...], real_url: URL) -> RequestInfo:
    return RequestInfo(url, method, CIMultiDictProxy(CIMultiDict(pairs)), real_url)


@functools.total_ordering
class BaseKey(Generic[T]):
    """A key with a name to read and a type for the type checker; two keys are never equal, whatever their names.

    Keys sort by name, which is prefixed with the module that made the key, and before everything that is no key.
    """

    __slots__ = ("__orig_class__", "_name", "_t")

    # Set by typing when a key is made as AppKey[int]("name").
    __orig_class__: type[object]

    def __init__(self, name: str, t: type[T] | None = None) -> None:
        """Name the key; `t`, or the type argument of the class, is shown in its repr."""
        self._name = f"{_defining_module(sys._getframe(1))}.{name}"
        self._t = t

    def __lt__(self, other: object) -> bool:
        return self._name < other._name if isinstance(other, BaseKey) else True

    def __repr__(self) -> str:
        t: Any = self._t
        if t is None:
            made_as = getattr(self, "__orig_class__", None)
            t = made_as.__args__[0] if made_as is not None else None
        if t is None:
            shown = "<<Unknown>>"
        elif isinstance(t, type) and type(t) is not type(list[int]):
            shown = t.__qualname__ if t.__module__ == "builtins" else f"{t.__module__}.{t.__qualname__}"
        else:
            shown = repr(t)
        return f"<{type(self).__name__}({self._name}, type={shown})>"


def _defining_module(frame: FrameType) -> str:
    """Name the module whose execution the frame is a part of; in a thread, the one whose code it runs."""
    search: FrameType | None = frame
    while search is not None and search.f_code.co_name != "<module>":
        search = search.f_back
    name: str = (search or frame).f_globals.get("__name__", "<unknown>")
    return name


class AppKey(BaseKey[T]):
    """A key for `Application`: ``config = web.AppKey("config", dict)``."""


class RequestKey(BaseKey[T]):
    """A key for `Request`."""


class ResponseKey(BaseKey[T]):
    """A key for `StreamResponse`."""

"""Type aliases for what the public functions accept, so that callers can annotate their own wrappers.

The ``Loose...`` aliases are the generous argument types of the verbs; everything behind the doors uses the strict ones.
"""

import json
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, Union

from multidict import CIMultiDict, CIMultiDictProxy, MultiDict, MultiDictProxy, istr
from yarl import URL
from yarl import Query as Query

if TYPE_CHECKING:
    from http.cookies import BaseCookie, Morsel

    # The server's request and response. Until that door is part of the package their facts are open to type checkers.
    Request = Any
    StreamResponse = Any

    _CIMultiDict = CIMultiDict[str]
    _CIMultiDictProxy = CIMultiDictProxy[str]
    _MultiDict = MultiDict[str]
    _MultiDictProxy = MultiDictProxy[str]
else:
    _CIMultiDict = CIMultiDict
    _CIMultiDictProxy = CIMultiDictProxy
    _MultiDict = MultiDict
    _MultiDictProxy = MultiDictProxy

DEFAULT_JSON_ENCODER = json.dumps
DEFAULT_JSON_DECODER = json.loads

Byteish = Union[bytes, bytearray, memoryview]
JSONEncoder = Callable[[Any], str]
JSONBytesEncoder = Callable[[Any], bytes]
JSONDecoder = Callable[[str], Any]
LooseHeaders = Union[
    Mapping[str, str],
    Mapping[istr, str],
    _CIMultiDict,
    _CIMultiDictProxy,
    Iterable[tuple[str | istr, str]],
]
RawHeaders = tuple[tuple[bytes, bytes], ...]
StrOrURL = Union[str, URL]

LooseCookiesMappings = Mapping[str, Union[str, "BaseCookie[str]", "Morsel[Any]"]]
LooseCookiesIterables = Iterable[tuple[str, Union[str, "BaseCookie[str]", "Morsel[Any]"]]]
LooseCookies = Union[LooseCookiesMappings, LooseCookiesIterables, "BaseCookie[str]"]

Handler = Callable[["Request"], Awaitable["StreamResponse"]]


class Middleware(Protocol):
    """A server middleware: called with the request and the next handler, awaited for the response."""

    def __call__(self, request: "Request", handler: Handler) -> Awaitable["StreamResponse"]:
        """Answer the request, or let ``handler`` answer it."""


PathLike = Union[str, "os.PathLike[str]"]

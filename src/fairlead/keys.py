"""The two small records that connections, errors and tracing share: which peer, and which request.

``ConnectionKey`` says when two requests may share a connection; it is hashed for every request, so it is a tuple.
``RequestInfo`` is what an error remembers of the request that it came from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

if TYPE_CHECKING:
    from ssl import SSLContext

    from .client.auth import BasicAuth
    from .wire.tls import Fingerprint


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

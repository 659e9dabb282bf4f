"""Redirects: what to do with a 3xx response.  Pure: a decision from facts, nothing is sent.

In: the request's method, URL and header fields, the response's status and fields.  Out: `Follow` (the next request),
or None when the response is the answer.  RFC 9110 §15.4.

What changes on the way:
- 303 turns every method but HEAD into GET; 301 and 302 turn POST into GET, as all user agents do.  The body goes with
  the method.
- Credentials (Authorization, Cookie, Proxy-Authorization fields and `auth`) do not cross origins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from yarl import URL

from .. import hdrs
from ..codec.urls import InvalidLocation, join_redirect, same_origin
from ..errors import InvalidUrlRedirectClientError, NonHttpUrlRedirectClientError

if TYPE_CHECKING:
    from collections.abc import Mapping

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
"""Statuses that are followed automatically."""

CROSS_ORIGIN_SECRETS: Final = (hdrs.AUTHORIZATION, hdrs.COOKIE, hdrs.PROXY_AUTHORIZATION)
"""Fields that are sent to the origin that they were given for, and to no other."""

BODY_FIELDS: Final = (hdrs.CONTENT_LENGTH, hdrs.TRANSFER_ENCODING)
"""Fields that frame a body and go with it."""


class Follow(NamedTuple):
    """The next request: `same_origin` says whether credentials go along, `keep_body` whether the body does."""

    method: str
    url: URL
    keep_body: bool
    same_origin: bool


def decide(method: str, url: URL, status: int, headers: Mapping[str, str], *, requote: bool) -> Follow | None:
    """Decide about a response with a redirect status.

    Raises InvalidUrlRedirectClientError or NonHttpUrlRedirectClientError for a target that can not be followed.
    """
    location = headers.get(hdrs.LOCATION) or headers.get(hdrs.URI)
    if not location:
        return None
    try:
        target = join_redirect(url, location, requote=requote)
    except InvalidLocation as exc:
        if exc.scheme:
            raise NonHttpUrlRedirectClientError(exc.target) from exc
        raise InvalidUrlRedirectClientError(exc.target, exc.reason) from exc
    keep_body = True
    if (status == 303 and method != hdrs.METH_HEAD) or (status in (301, 302) and method == hdrs.METH_POST):
        method = hdrs.METH_GET
        keep_body = False
    return Follow(method, target, keep_body, same_origin(url, target))

"""Responses that can be raised: one class for each status code that means the end of a handler.

An `HTTPException` is a `Response` and an exception at once: a handler may raise it from any depth, and a middleware may
catch it by its class and look at its headers.  The text is "404: Not Found" unless another is given; the answers that
have no body (204, 205, 304) have none here.  RFC 9110 §15.

The tree::

    HTTPException
      HTTPSuccessful              2xx
      HTTPRedirection             3xx
        HTTPMove                  those that carry a Location
        HTTPNotModified
      HTTPError
        HTTPClientError           4xx
        HTTPServerError           5xx
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from multidict import CIMultiDict
from yarl import URL

from ..typedefs import LooseHeaders, StrOrURL
from .forms import refuse_with
from .response import Response
from .stream_response import REASONS

__all__ = (
    "HTTPAccepted",
    "HTTPBadGateway",
    "HTTPBadRequest",
    "HTTPClientError",
    "HTTPConflict",
    "HTTPCreated",
    "HTTPError",
    "HTTPException",
    "HTTPExpectationFailed",
    "HTTPFailedDependency",
    "HTTPForbidden",
    "HTTPFound",
    "HTTPGatewayTimeout",
    "HTTPGone",
    "HTTPInsufficientStorage",
    "HTTPInternalServerError",
    "HTTPLengthRequired",
    "HTTPMethodNotAllowed",
    "HTTPMisdirectedRequest",
    "HTTPMove",
    "HTTPMovedPermanently",
    "HTTPMultipleChoices",
    "HTTPNetworkAuthenticationRequired",
    "HTTPNoContent",
    "HTTPNonAuthoritativeInformation",
    "HTTPNotAcceptable",
    "HTTPNotExtended",
    "HTTPNotFound",
    "HTTPNotImplemented",
    "HTTPNotModified",
    "HTTPOk",
    "HTTPPartialContent",
    "HTTPPaymentRequired",
    "HTTPPermanentRedirect",
    "HTTPPreconditionFailed",
    "HTTPPreconditionRequired",
    "HTTPProxyAuthenticationRequired",
    "HTTPRedirection",
    "HTTPRequestEntityTooLarge",
    "HTTPRequestHeaderFieldsTooLarge",
    "HTTPRequestRangeNotSatisfiable",
    "HTTPRequestTimeout",
    "HTTPRequestURITooLong",
    "HTTPResetContent",
    "HTTPSeeOther",
    "HTTPServerError",
    "HTTPServiceUnavailable",
    "HTTPSuccessful",
    "HTTPTemporaryRedirect",
    "HTTPTooManyRequests",
    "HTTPUnauthorized",
    "HTTPUnavailableForLegalReasons",
    "HTTPUnprocessableEntity",
    "HTTPUnsupportedMediaType",
    "HTTPUpgradeRequired",
    "HTTPUseProxy",
    "HTTPVariantAlsoNegotiates",
    "HTTPVersionNotSupported",
)


def _restore(cls: type[HTTPException], args: tuple[Any, ...], state: dict[str, Any]) -> HTTPException:
    """Rebuild an exception without calling `__init__`, whose signature subclasses are free to change."""
    exc = cls.__new__(cls, *args)
    exc.args = args
    exc.__dict__.update(state)
    return exc


class HTTPException(Response, Exception):
    """The base of all responses that can be raised.

    `reason` defaults to the phrase of the status code and `text` to both of them.  `body` is deprecated.  Raises
    ValueError for both a text and a body, and for what `Response` refuses.
    """

    status_code = -1
    """The status of the responses of this class; subclasses set it."""

    empty_body = False
    """Whether there is no text unless one is given."""

    def __init__(
        self,
        *,
        headers: LooseHeaders | None = None,
        reason: str | None = None,
        body: Any = None,
        text: str | None = None,
        content_type: str | None = None,
    ) -> None:
        if body is not None:
            warnings.warn("body argument is deprecated for http web exceptions", DeprecationWarning, stacklevel=2)
        status = self.status_code
        if body is None and text is None and not self.empty_body:
            text = f"{status}: {REASONS.get(status, '') if reason is None else reason}"
        Response.__init__(
            self, status=status, headers=headers, reason=reason, body=body, text=text, content_type=content_type
        )
        Exception.__init__(self, self.reason)

    def __bool__(self) -> bool:
        """Return True, although a response without stored values is an empty mapping."""
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by the attributes, since most of these classes take keywords only."""
        state = self.__dict__.copy()
        if "_fields" in state:
            # A copy that gets a header must not give it to the others.
            state["_fields"] = CIMultiDict(self.headers)
        return _restore, (type(self), self.args, state)


class HTTPError(HTTPException):
    """The base of 4xx and 5xx."""


class HTTPRedirection(HTTPException):
    """The base of 3xx."""


class HTTPSuccessful(HTTPException):
    """The base of 2xx."""


class HTTPOk(HTTPSuccessful):
    """200: here it is.  RFC 9110 §15.3.1."""

    status_code = 200


class HTTPCreated(HTTPSuccessful):
    """201: a new resource was made.  RFC 9110 §15.3.2."""

    status_code = 201


class HTTPAccepted(HTTPSuccessful):
    """202: it will be done later.  RFC 9110 §15.3.3."""

    status_code = 202


class HTTPNonAuthoritativeInformation(HTTPSuccessful):
    """203: changed by a proxy on the way.  RFC 9110 §15.3.4."""

    status_code = 203


class HTTPNoContent(HTTPSuccessful):
    """204: done, and there is nothing to show.  RFC 9110 §15.3.5."""

    status_code = 204
    empty_body = True


class HTTPResetContent(HTTPSuccessful):
    """205: done, and the form may be cleared.  RFC 9110 §15.3.6."""

    status_code = 205
    empty_body = True


class HTTPPartialContent(HTTPSuccessful):
    """206: the ranges that were asked for.  RFC 9110 §15.3.7."""

    status_code = 206


class HTTPMove(HTTPRedirection):
    """The base of the answers that send the client to another `location`.

    The location may be relative; what a URL does not allow is quoted in the header.  Raises ValueError for an empty
    one.  RFC 9110 §10.2.2.
    """

    def __init__(
        self,
        location: StrOrURL,
        *,
        headers: LooseHeaders | None = None,
        reason: str | None = None,
        body: Any = None,
        text: str | None = None,
        content_type: str | None = None,
    ) -> None:
        if not location:
            raise ValueError("HTTP redirects need a location to redirect to.")
        super().__init__(headers=headers, reason=reason, body=body, text=text, content_type=content_type)
        self.headers["Location"] = str(URL(location))
        self.location = location


class HTTPMultipleChoices(HTTPMove):
    """300: there are several, and Location is the preferred one.  RFC 9110 §15.4.1."""

    status_code = 300


class HTTPMovedPermanently(HTTPMove):
    """301: it has another address for good; a POST may become a GET.  RFC 9110 §15.4.2."""

    status_code = 301


class HTTPFound(HTTPMove):
    """302: it is elsewhere for now; a POST may become a GET.  RFC 9110 §15.4.3."""

    status_code = 302


class HTTPSeeOther(HTTPMove):
    """303: get the result there.  RFC 9110 §15.4.4."""

    status_code = 303


class HTTPNotModified(HTTPRedirection):
    """304: what you have is still good.  RFC 9110 §15.4.5."""

    status_code = 304
    empty_body = True


class HTTPUseProxy(HTTPMove):
    """305: deprecated, and ignored by clients.  RFC 9110 §15.4.6."""

    status_code = 305


class HTTPTemporaryRedirect(HTTPMove):
    """307: it is elsewhere for now; the method stays.  RFC 9110 §15.4.8."""

    status_code = 307


class HTTPPermanentRedirect(HTTPMove):
    """308: it has another address for good; the method stays.  RFC 9110 §15.4.9."""

    status_code = 308


class HTTPClientError(HTTPError):
    """The base of 4xx: what the client did wrong."""


class HTTPBadRequest(HTTPClientError):
    """400: the request makes no sense.  RFC 9110 §15.5.1."""

    status_code = 400


class HTTPUnauthorized(HTTPClientError):
    """401: credentials are missing or wrong; a WWW-Authenticate header belongs to it.  RFC 9110 §15.5.2."""

    status_code = 401


class HTTPPaymentRequired(HTTPClientError):
    """402: reserved.  RFC 9110 §15.5.3."""

    status_code = 402


class HTTPForbidden(HTTPClientError):
    """403: not with these credentials.  RFC 9110 §15.5.4."""

    status_code = 403


class HTTPNotFound(HTTPClientError):
    """404: there is nothing at this address.  RFC 9110 §15.5.5."""

    status_code = 404


class HTTPMethodNotAllowed(HTTPClientError):
    """405: not with this method; the Allow header lists those that work.  RFC 9110 §15.5.6."""

    status_code = 405

    def __init__(
        self,
        method: str,
        allowed_methods: Iterable[str],
        *,
        headers: LooseHeaders | None = None,
        reason: str | None = None,
        body: Any = None,
        text: str | None = None,
        content_type: str | None = None,
    ) -> None:
        super().__init__(headers=headers, reason=reason, body=body, text=text, content_type=content_type)
        self.allowed_methods: set[str] = set(allowed_methods)
        self.method = method.upper()
        self.headers["Allow"] = ",".join(sorted(self.allowed_methods))


class HTTPNotAcceptable(HTTPClientError):
    """406: there is no form of it that the client accepts.  RFC 9110 §15.5.7."""

    status_code = 406


class HTTPProxyAuthenticationRequired(HTTPClientError):
    """407: a proxy wants credentials.  RFC 9110 §15.5.8."""

    status_code = 407


class HTTPRequestTimeout(HTTPClientError):
    """408: the request did not arrive in time.  RFC 9110 §15.5.9."""

    status_code = 408


class HTTPConflict(HTTPClientError):
    """409: it does not fit the state of the resource.  RFC 9110 §15.5.10."""

    status_code = 409


class HTTPGone(HTTPClientError):
    """410: it was here and will not come back.  RFC 9110 §15.5.11."""

    status_code = 410


class HTTPLengthRequired(HTTPClientError):
    """411: a Content-Length is needed.  RFC 9110 §15.5.12."""

    status_code = 411


class HTTPPreconditionFailed(HTTPClientError):
    """412: an If- header of the request does not hold.  RFC 9110 §15.5.13."""

    status_code = 412


class HTTPRequestEntityTooLarge(HTTPClientError):
    """413: the body is larger than `max_size` bytes.  RFC 9110 §15.5.14.

    `actual_size` is what had arrived or was announced.
    """

    status_code = 413

    def __init__(self, max_size: float, actual_size: float = 0, **kwargs: Any) -> None:
        if kwargs.get("text") is None and kwargs.get("body") is None:
            kwargs["text"] = f"Maximum request body size {max_size} exceeded."
        super().__init__(**kwargs)
        self.max_size = max_size
        self.actual_size = actual_size


class HTTPRequestURITooLong(HTTPClientError):
    """414: the target is longer than the server reads.  RFC 9110 §15.5.15."""

    status_code = 414


class HTTPUnsupportedMediaType(HTTPClientError):
    """415: the body has a type or coding that is not understood.  RFC 9110 §15.5.16."""

    status_code = 415


class HTTPRequestRangeNotSatisfiable(HTTPClientError):
    """416: the ranges lie outside of the resource.  RFC 9110 §15.5.17."""

    status_code = 416


class HTTPExpectationFailed(HTTPClientError):
    """417: what the Expect header wants cannot be had.  RFC 9110 §15.5.18."""

    status_code = 417


class HTTPMisdirectedRequest(HTTPClientError):
    """421: this server does not answer for that host.  RFC 9110 §15.5.20."""

    status_code = 421


class HTTPUnprocessableEntity(HTTPClientError):
    """422: well formed, but it cannot be done.  RFC 9110 §15.5.21."""

    status_code = 422


class HTTPFailedDependency(HTTPClientError):
    """424: an action before it failed.  RFC 4918 §11.4."""

    status_code = 424


class HTTPUpgradeRequired(HTTPClientError):
    """426: only by another protocol, named in an Upgrade header.  RFC 9110 §15.5.22."""

    status_code = 426


class HTTPPreconditionRequired(HTTPClientError):
    """428: only with an If- header.  RFC 6585 §3."""

    status_code = 428


class HTTPTooManyRequests(HTTPClientError):
    """429: too many in that time.  RFC 6585 §4."""

    status_code = 429


class HTTPRequestHeaderFieldsTooLarge(HTTPClientError):
    """431: the header section is larger than the server reads.  RFC 6585 §5."""

    status_code = 431


class HTTPUnavailableForLegalReasons(HTTPClientError):
    """451: not for legal reasons; `link` is the address of whoever blocks it, or None.  RFC 7725 §3."""

    status_code = 451

    def __init__(
        self,
        link: StrOrURL | None,
        *,
        headers: LooseHeaders | None = None,
        reason: str | None = None,
        body: Any = None,
        text: str | None = None,
        content_type: str | None = None,
    ) -> None:
        super().__init__(headers=headers, reason=reason, body=body, text=text, content_type=content_type)
        self._link = URL(link) if link else None
        if self._link is not None:
            self.headers["Link"] = f'<{self._link}>; rel="blocked-by"'

    @property
    def link(self) -> URL | None:
        """The address of the party that blocks the resource."""
        return self._link


class HTTPServerError(HTTPError):
    """The base of 5xx: what went wrong at the server."""


class HTTPInternalServerError(HTTPServerError):
    """500: the server failed.  RFC 9110 §15.6.1."""

    status_code = 500


class HTTPNotImplemented(HTTPServerError):
    """501: the server cannot do that at all.  RFC 9110 §15.6.2."""

    status_code = 501


class HTTPBadGateway(HTTPServerError):
    """502: the server behind this one answered nonsense.  RFC 9110 §15.6.3."""

    status_code = 502


class HTTPServiceUnavailable(HTTPServerError):
    """503: not now; a Retry-After header may say when.  RFC 9110 §15.6.4."""

    status_code = 503


class HTTPGatewayTimeout(HTTPServerError):
    """504: the server behind this one did not answer in time.  RFC 9110 §15.6.5."""

    status_code = 504


class HTTPVersionNotSupported(HTTPServerError):
    """505: not in that version of HTTP.  RFC 9110 §15.6.6."""

    status_code = 505


class HTTPVariantAlsoNegotiates(HTTPServerError):
    """506: the negotiation leads in a circle.  RFC 2295 §8.1."""

    status_code = 506


class HTTPInsufficientStorage(HTTPServerError):
    """507: there is no room to store it.  RFC 4918 §11.5."""

    status_code = 507


class HTTPNotExtended(HTTPServerError):
    """510: an extension is missing.  RFC 2774 §7."""

    status_code = 510


class HTTPNetworkAuthenticationRequired(HTTPServerError):
    """511: the network wants credentials first.  RFC 6585 §6."""

    status_code = 511


refuse_with(HTTPRequestEntityTooLarge)

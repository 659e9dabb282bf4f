"""The cookie jar of a session: what servers set, kept and sent back by the rules of RFC 6265bis.

In: ``Set-Cookie`` field values or cookies of the caller, with the URL that they came from. Out: the cookies, or the
ready ``Cookie`` field value, for a URL. `abstract` has what a session asks of a jar, `shelf` files cookies by domain
and path and gives them up, `jar` has the rules.

Limits, all named in `shelf` and `jar`: cookies of one domain, of the whole jar, in one request, octets of a ``Cookie``
field, remembered answers. A full domain or jar gives up expired cookies first, then those unused for longest.

RFC 6265bis (draft-ietf-httpbis-rfc6265bis) sections 5.1, 5.6, 5.7, 5.8.
"""

from .abstract import AbstractCookieJar, DummyCookieJar
from .jar import CookieJar

__all__ = ("AbstractCookieJar", "CookieJar", "DummyCookieJar")

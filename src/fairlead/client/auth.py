"""Basic credentials: as the class that callers pass around, as a field value, and as a part of a URL.

In: login, password and a charset, an Authorization field, or a URL with user and password. Out: the credentials, or the
value of an Authorization field. ``encode_basic_auth`` is the way to write new code; ``BasicAuth`` warns when it is made
by hand, as it does in aiohttp. RFC 7617.
"""

from __future__ import annotations

import base64
import binascii
import warnings
from typing import Any, NamedTuple

from yarl import URL

BASIC_AUTH_DEPRECATED = (
    "BasicAuth is deprecated; use fairlead.encode_basic_auth() with headers={'Authorization': ...} instead"
)
AUTH_ARGUMENT_DEPRECATED = (
    "The 'auth' parameter is deprecated; "
    "pass headers={'Authorization': fairlead.encode_basic_auth(login, password)} instead"
)
PROXY_AUTH_ARGUMENT_DEPRECATED = (
    "The 'proxy_auth' parameter is deprecated; "
    "pass proxy_headers={'Proxy-Authorization': fairlead.encode_basic_auth(login, password)} instead"
)


class _Credentials(NamedTuple):
    login: str
    password: str
    encoding: str


class BasicAuth(_Credentials):
    """Login, password and the charset in which they are sent; deprecated in favour of ``encode_basic_auth``.

    Making one warns with DeprecationWarning; ``decode``, ``from_url``, copies and pickles do not. Raises ValueError for
    None and for a login with a colon, TypeError for a login that is no str. RFC 7617 section 2.
    """

    __slots__ = ()

    def __new__(cls, login: str, password: str = "", encoding: str = "latin1") -> BasicAuth:
        """Check the arguments and warn."""
        if login is None:
            raise ValueError("None is not allowed as login value")
        if password is None:
            raise ValueError("None is not allowed as password value")
        _check_login(login)
        _check_not_bytes(password)
        warnings.warn(BASIC_AUTH_DEPRECATED, DeprecationWarning, stacklevel=2)
        return super().__new__(cls, login, password, encoding)

    @classmethod
    def decode(cls, auth_header: str, encoding: str = "latin1") -> BasicAuth:
        """Read the value of an Authorization field; ValueError when it is not Basic, not base64, or has no colon."""
        scheme, space, credentials = auth_header.partition(" ")
        if not space:
            raise ValueError("Could not parse authorization header.")
        if scheme.lower() != "basic":
            raise ValueError(f"Unknown authorization method {scheme}")
        try:
            decoded = base64.b64decode(credentials.encode("ascii"), validate=True).decode(encoding)
        except (binascii.Error, UnicodeEncodeError):
            raise ValueError("Invalid base64 encoding.") from None
        login, colon, password = decoded.partition(":")
        if not colon:
            raise ValueError("Invalid credentials.")
        return cls._make((login, password, encoding))

    @classmethod
    def from_url(cls, url: URL, *, encoding: str = "latin1") -> BasicAuth | None:
        """Return the credentials that ``url`` holds, None when it holds none; TypeError unless it is a URL."""
        if not isinstance(url, URL):
            raise TypeError("url should be yarl.URL instance")
        if url.raw_user is None and url.raw_password is None:
            return None
        return cls._make((url.user or "", url.password or "", encoding))

    def encode(self) -> str:
        """Return the value of the Authorization field; UnicodeEncodeError when the charset lacks a character."""
        return _encode(self.login, self.password, self.encoding)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and unpickle without a second warning."""
        return type(self)._make, (tuple(self),)


def encode_basic_auth(login: str, password: str = "", encoding: str = "utf-8") -> str:
    """Return the value of an Authorization or Proxy-Authorization field for these credentials.

    Raises ValueError for a login with a colon, TypeError when login or password are no str, UnicodeEncodeError when the
    charset lacks a character. RFC 7617 section 2.
    """
    _check_login(login, rule="RFC 7617#section-2")
    if not isinstance(password, str):
        raise TypeError(f"password must be a str, got {type(password).__name__}")
    return _encode(login, password, encoding)


def strip_auth_from_url(url: URL) -> tuple[URL, BasicAuth | None]:
    """Return ``url`` without user and password, and the credentials that it held (None when there were none)."""
    if url.raw_user is None and url.raw_password is None:
        return url, None
    return url.with_user(None), BasicAuth.from_url(url)


def _check_login(login: str, *, rule: str = "RFC 1945#section-11.1") -> None:
    if not isinstance(login, str):
        raise TypeError(f"login must be a str, got {type(login).__name__}")
    if ":" in login:
        raise ValueError(f'A ":" is not allowed in login ({rule})')


def _check_not_bytes(password: object) -> None:
    # Numbers have always worked as passwords; bytes would be sent as "b'...'", which no server knows.
    if isinstance(password, (bytes, bytearray)):
        raise TypeError(f"password must be a str, got {type(password).__name__}")


def _encode(login: str, password: str, encoding: str) -> str:
    return f"Basic {base64.b64encode(f'{login}:{password}'.encode(encoding)).decode('ascii')}"

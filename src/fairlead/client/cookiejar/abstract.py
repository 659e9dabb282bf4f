"""What a session asks of a cookie jar, and the jar that keeps nothing."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from http.cookies import BaseCookie, Morsel, SimpleCookie
from types import MappingProxyType
from typing import TYPE_CHECKING

from yarl import URL

from ...codec.cookies import parse_set_cookie_headers
from ...typedefs import LooseCookies, StrOrURL

if TYPE_CHECKING:
    import asyncio

__all__ = ("NO_URL", "AbstractCookieJar", "DummyCookieJar", "log_refused", "log_warning")

# The origin of cookies that are shared by all hosts.
NO_URL = URL()


def log_warning(text: str, *details: object) -> None:
    """Write to the client's log; the logging module is loaded when there is something to say."""
    import logging

    logging.getLogger("fairlead.client").warning(text, *details)


def log_refused(reason: str) -> None:
    """Log that a cookie was not taken."""
    log_warning("Can not load cookies: %s", reason)


class AbstractCookieJar(Sized, Iterable["Morsel[str]"], ABC):
    """What a session needs of a cookie jar; subclass it to keep cookies elsewhere."""

    def __init__(self, *, loop: "asyncio.AbstractEventLoop | None" = None) -> None:
        """Make an empty jar; ``loop`` is accepted for compatibility and not used."""

    @property
    @abstractmethod
    def unsafe(self) -> bool:
        """Tell whether hosts that are IP addresses may have cookies."""

    @property
    @abstractmethod
    def quote_cookie(self) -> bool:
        """Tell whether values with separators are sent in quotes."""

    @property
    def treat_as_secure_origin(self) -> frozenset[URL]:
        """Return the origins that get ``Secure`` cookies although they do not use TLS."""
        return frozenset()

    @property
    @abstractmethod
    def cookies(self) -> "Mapping[tuple[str, str], BaseCookie[str]]":
        """Return a read-only view of the cookies by (domain, path without trailing slash)."""

    @property
    @abstractmethod
    def host_only_cookies(self) -> frozenset[tuple[str, str, str]]:
        """Return (domain, path, name) of the cookies that are not sent to subdomains."""

    @abstractmethod
    def clear(self, predicate: "Callable[[Morsel[str]], bool] | None" = None) -> None:
        """Remove all cookies, or those for which ``predicate`` is true."""

    @abstractmethod
    def clear_domain(self, domain: str) -> None:
        """Remove the cookies of ``domain`` and of all its subdomains."""

    @abstractmethod
    def update_cookies(self, cookies: LooseCookies, response_url: URL = NO_URL) -> None:
        """Add or replace cookies as if ``response_url`` had set them."""

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: URL) -> None:
        """Add or replace the cookies of ``Set-Cookie`` field values; those that can't be accepted are ignored."""
        cookies = parse_set_cookie_headers(headers, log_refused)
        if cookies:
            self.update_cookies(cookies, response_url)

    @abstractmethod
    def filter_cookies(self, request_url: URL) -> "BaseCookie[str]":
        """Return the cookies to send with a request for ``request_url``."""


class DummyCookieJar(AbstractCookieJar):
    """A jar that keeps nothing, for sessions that must not remember cookies."""

    def __init__(self, *, loop: "asyncio.AbstractEventLoop | None" = None) -> None:
        """Make the jar; ``loop`` is accepted for compatibility and not used."""
        super().__init__(loop=loop)

    def __iter__(self) -> "Iterator[Morsel[str]]":
        return iter(())

    def __len__(self) -> int:
        return 0

    @property
    def unsafe(self) -> bool:
        """Return False."""
        return False

    @property
    def quote_cookie(self) -> bool:
        """Return True."""
        return True

    @property
    def cookies(self) -> "Mapping[tuple[str, str], BaseCookie[str]]":
        """Return an empty mapping."""
        return MappingProxyType({})

    @property
    def host_only_cookies(self) -> frozenset[tuple[str, str, str]]:
        """Return an empty set."""
        return frozenset()

    def clear(self, predicate: "Callable[[Morsel[str]], bool] | None" = None) -> None:
        """Do nothing: there is nothing to remove."""

    def clear_domain(self, domain: str) -> None:
        """Do nothing: there is nothing to remove."""

    def update_cookies(self, cookies: LooseCookies, response_url: StrOrURL = NO_URL) -> None:
        """Forget the cookies."""

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: StrOrURL) -> None:
        """Forget the cookies without parsing them."""

    def filter_cookies(self, request_url: StrOrURL) -> "BaseCookie[str]":
        """Return no cookies."""
        return SimpleCookie()

    def cookie_header(self, url: StrOrURL) -> str:
        """Return ""."""
        return ""

"""The rules by which a jar takes cookies, keeps them and sends them back.

A finished ``Cookie`` field value is remembered for each host until a cookie changes or one of those in it expires; for
each path as well only where the path of some cookie of that host is not ``/``.

Deliberate differences from aiohttp 3.14, each to be found in RFC 6265bis: ``Domain`` is compared without regard to
case; an ``Expires`` at the epoch deletes the cookie; a ``Path`` is compared with the path as sent and as decoded; name
prefixes (``__Host-``, ``__Secure-``) are enforced for cookies that come in a response. No event loop is needed.
"""

import calendar
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from http.cookies import BaseCookie, Morsel, SimpleCookie
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from yarl import URL

from ...codec.cookies import (
    MAX_FILE_SIZE,
    StoredCookie,
    default_path,
    domain_match,
    dump_cookie_file,
    has_control,
    is_ip_host,
    load_cookie_file,
    max_age_seconds,
    parse_set_cookie_headers,
    path_match,
    prefix_allows,
    set_attribute,
)
from ...codec.dates import parse_cookie_date
from ...typedefs import LooseCookies, PathLike, StrOrURL
from .abstract import NO_URL, AbstractCookieJar, log_refused, log_warning
from .shelf import Answer, Entry, Shelf

if TYPE_CHECKING:
    import asyncio

__all__ = ("MAX_ANSWERS", "MAX_COOKIES_SENT", "MAX_COOKIE_FIELD", "CookieJar")

# Cookies in one request, the most specific first.
MAX_COOKIES_SENT = 150
# Octets of the value of a Cookie field: with its name, the 8190 that most servers accept as one line.
MAX_COOKIE_FIELD = 8190 - len("Cookie: ")
# Remembered field values; all are dropped at once, it takes microseconds to find one again.
MAX_ANSWERS = 1024

_SECURE_SCHEMES = frozenset({"https", "wss"})


def _as_url(url: StrOrURL) -> URL:
    return url if isinstance(url, URL) else URL(url)


def _as_origins(origins: StrOrURL | Iterable[StrOrURL] | None) -> frozenset[URL]:
    if origins is None:
        return frozenset()
    if isinstance(origins, str | URL):
        origins = (origins,)
    return frozenset(_as_url(origin).origin() for origin in origins)


@lru_cache(maxsize=128)  # the cookies of one response tend to have the same date
def _moment_of(text: str) -> float | None:
    date = parse_cookie_date(text)
    return None if date is None else calendar.timegm(date.utctimetuple())


class _DatePattern:
    """A regular expression that is compiled when somebody asks for it."""

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self.pattern = pattern
        self.flags = flags

    def __get__(self, instance: object, owner: type) -> "re.Pattern[str]":
        return re.compile(self.pattern, self.flags)


class CookieJar(AbstractCookieJar):
    """Cookies in memory by the rules of RFC 6265bis, with `save` and `load`; belongs to one thread."""

    # The productions of RFC 6265 section 5.1.1: delimiter and date-token, time, day-of-month, month, year.
    DATE_TOKENS_RE = _DatePattern(
        r"[\x09\x20-\x2F\x3B-\x40\x5B-\x60\x7B-\x7E]*(?P<token>[\x00-\x08\x0A-\x1F\d:a-zA-Z\x7F-\xFF]+)"
    )
    DATE_HMS_TIME_RE = _DatePattern(r"(\d{1,2}):(\d{1,2}):(\d{1,2})")
    DATE_DAY_OF_MONTH_RE = _DatePattern(r"(\d{1,2})")
    DATE_MONTH_RE = _DatePattern("(jan)|(feb)|(mar)|(apr)|(may)|(jun)|(jul)|(aug)|(sep)|(oct)|(nov)|(dec)", re.I)
    DATE_YEAR_RE = _DatePattern(r"(\d{2,4})")
    # 9999-12-31T23:59:59Z, the last second of the calendar, in seconds since the epoch.
    MAX_TIME = 253402300799
    SUB_MAX_TIME = MAX_TIME - 1

    def __init__(
        self,
        *,
        unsafe: bool = False,
        quote_cookie: bool = True,
        treat_as_secure_origin: StrOrURL | Iterable[StrOrURL] | None = None,
        loop: "asyncio.AbstractEventLoop | None" = None,
    ) -> None:
        """Make an empty jar.

        ``unsafe`` also keeps cookies of hosts that are IP addresses; ``quote_cookie`` sends values with separators in
        quotes; ``treat_as_secure_origin`` names origins without TLS that get ``Secure`` cookies all the same (raises
        ValueError for a relative URL). ``loop`` is accepted for compatibility and not used.
        """
        super().__init__(loop=loop)
        self._unsafe = unsafe
        self._quote_cookie = quote_cookie
        self._treat_as_secure_origin = _as_origins(treat_as_secure_origin)
        self._open_shelf()

    def _open_shelf(self) -> None:
        self._shelf = Shelf()
        self._cookies = self.stored = self._shelf.cookies

    def _now(self) -> float:
        return time.time()

    @property
    def unsafe(self) -> bool:
        """Tell whether hosts that are IP addresses may have cookies."""
        return self._unsafe

    @property
    def quote_cookie(self) -> bool:
        """Tell whether values with separators are sent in quotes."""
        return self._quote_cookie

    @property
    def treat_as_secure_origin(self) -> frozenset[URL]:
        """Return the origins that get ``Secure`` cookies although they do not use TLS."""
        return self._treat_as_secure_origin

    @property
    def cookies(self) -> "Mapping[tuple[str, str], BaseCookie[str]]":
        """Return a live read-only view of the cookies by (domain, path without trailing slash)."""
        self._shelf.exposed()
        return MappingProxyType(self._cookies)

    @property
    def host_only_cookies(self) -> frozenset[tuple[str, str, str]]:
        """Return (domain, path without trailing slash, name) of the cookies that are not sent to subdomains."""
        return frozenset((entry.domain, entry.place, entry.name) for entry in self._shelf if entry.host_only)

    def __iter__(self) -> "Iterator[Morsel[str]]":
        self._shelf.expire(self._now())
        self._shelf.exposed()
        for cookies in self._cookies.values():
            yield from cookies.values()

    def __len__(self) -> int:
        return self._shelf.total

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name not in ("_shelf", "_cookies")}
        return state | {"stored": self._stored()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update((name, value) for name, value in state.items() if name != "stored")
        self._open_shelf()
        for domain, path, name, morsel, host_only, expires in state["stored"]:
            entry = self._shelf.add(domain, path, name, secure=bool(morsel["secure"]), now=self._now())
            if entry is not None:
                self._shelf.put(entry, morsel.copy(), host_only, expires)

    def _stored(self) -> list[StoredCookie]:
        self._shelf.expire(self._now())
        return [StoredCookie(e.domain, e.place, e.name, e.morsel, e.host_only, e.expires) for e in self._shelf]

    def save(self, file_path: PathLike) -> None:
        """Write the cookies to ``file_path`` as JSON.

        The file is replaced at once where the file system allows it, so that a crash leaves the old or the new one; a
        new file is readable by its owner only, an old one keeps its mode. Raises OSError.
        """
        text = dump_cookie_file(self._stored())
        _write_file(os.path.realpath(file_path), text.encode("ascii"))

    def load(self, file_path: PathLike) -> None:
        """Replace the cookies by those of a file that `save` or aiohttp wrote.

        JSON is read as well as the pickles of older aiohttp releases; nothing that a pickle names is run. The cookies
        pass the same rules as in `update_cookies`. Raises OSError, or ValueError, EOFError or
        ``pickle.UnpicklingError`` for a file that is no saved jar; the jar then stays as it was.
        """
        with open(file_path, "rb") as file:
            stored = load_cookie_file(file.read(MAX_FILE_SIZE + 1))
        self.clear()
        now = self._now()
        for cookie in stored:
            if cookie.host_only:
                cookie.morsel["domain"] = ""
            if not self._is_refused_host(cookie.domain):
                self._accept(cookie.name, cookie.morsel, cookie.domain, cookie.path or "/", now, cookie.expires)
        self._shelf.expire(now)

    def clear(self, predicate: "Callable[[Morsel[str]], bool] | None" = None) -> None:
        """Remove all cookies, or the expired ones and those for which ``predicate`` is true."""
        if predicate is None:
            self._shelf.clear()
            return
        self._shelf.expire(self._now())
        self._shelf.exposed()
        self._shelf.remove([entry for entry in self._shelf if predicate(entry.morsel)])

    def clear_domain(self, domain: str) -> None:
        """Remove the cookies of ``domain`` and of all its subdomains; ``""`` means those that all hosts share."""
        wanted = domain.lower().removeprefix(".")
        shelf = self._shelf
        shelf.remove([e for e in shelf if e.domain == wanted or (wanted and domain_match(wanted, e.domain))])

    def update_cookies(self, cookies: LooseCookies, response_url: StrOrURL = NO_URL) -> None:
        """Add or replace cookies as if ``response_url`` had set them.

        Without a URL a cookie that names no domain is sent to every host. A cookie for a foreign domain, or from an IP
        address unless the jar is ``unsafe``, is ignored. Raises ``http.cookies.CookieError`` for an illegal name.
        """
        pairs = cookies.items() if isinstance(cookies, Mapping) else cookies
        self._update((pair for pair in map(_own_morsel, pairs) if pair), _as_url(response_url))

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: StrOrURL) -> None:
        """Add or replace the cookies of ``Set-Cookie`` field values; those that can't be accepted are ignored.

        A cookie whose name begins with ``__Host-`` or ``__Secure-`` must keep what that promises (RFC 6265bis section
        5.7). Refused cookies never affect the others; syntax errors are logged.
        """
        url = _as_url(response_url)
        cookies = parse_set_cookie_headers(headers, log_refused)
        if cookies:
            secure = self._is_secure(url)
            self._update([pair for pair in cookies if prefix_allows(pair[1], secure)], url)

    def _update(self, cookies: "Iterable[tuple[str, Morsel[str]]]", url: URL) -> None:
        host = (url.raw_host or "").lower()
        if self._is_refused_host(host):
            return
        now = self._now()
        path = default_path(url.path)
        try:
            for name, morsel in cookies:
                self._accept(name, morsel, host, path, now, None)
        finally:
            self._shelf.expire(now)

    def _is_refused_host(self, host: str) -> bool:
        return not self._unsafe and is_ip_host(host)

    def _is_secure(self, url: URL) -> bool:
        if url.scheme in _SECURE_SCHEMES:
            return True
        return bool(self._treat_as_secure_origin) and url.absolute and url.origin() in self._treat_as_secure_origin

    def _accept(
        self, name: str, morsel: "Morsel[str]", host: str, path: str, now: float, expires: float | None
    ) -> None:
        """File a cookie that ``host`` set, if it may; ``path`` is for one that names none (RFC 6265bis section 5.7)."""
        domain = morsel["domain"]
        if domain:
            domain = domain.lower().removeprefix(".")
            if domain.endswith("."):
                domain = ""
            elif domain and host and not domain_match(domain, host):
                return
        host_only = not domain and bool(host)
        domain = domain or host
        set_attribute(morsel, "domain", domain)
        if morsel["path"].startswith("/"):
            path = morsel["path"]
        else:
            set_attribute(morsel, "path", path)
        place = path.rstrip("/")
        if expires is None and (morsel["max-age"] or morsel["expires"]):
            expires = self._expiry_of(morsel, now)
        entry = self._shelf.find(domain, place, name)
        if entry is None:
            if expires is not None and expires <= now:
                return
            entry = self._shelf.add(domain, place, name, secure=bool(morsel["secure"]), now=now)
        if entry is not None:
            self._shelf.put(entry, morsel, host_only, expires)

    def _expiry_of(self, morsel: "Morsel[str]", now: float) -> float | None:
        """Return the moment at which the cookie ends; Max-Age wins (RFC 6265bis section 5.7, step 7)."""
        age = max_age_seconds(str(morsel["max-age"]))
        if age is not None:
            return min(now + age, self.MAX_TIME)
        set_attribute(morsel, "max-age", "")
        moment = _moment_of(morsel["expires"]) if morsel["expires"] else None
        if moment is None:
            set_attribute(morsel, "expires", "")
        return moment

    def filter_cookies(self, request_url: StrOrURL = NO_URL) -> "BaseCookie[str]":
        """Return the cookies to send with a request for ``request_url``: no attributes, values coded for sending."""
        filtered: BaseCookie[str] = BaseCookie()
        if self._shelf.total:
            url = _as_url(request_url)
            for name, entry in self._choose(url, self._is_secure(url))[0].items():
                dict.__setitem__(filtered, name, entry.sent)
        return filtered

    def cookie_header(self, url: StrOrURL) -> str:
        """Return the ``Cookie`` field value for a request for ``url``, "" when there is nothing to send.

        The same cookies as `filter_cookies`, sorted by name. The answer is remembered until the jar changes.
        """
        shelf = self._shelf
        if not shelf.total:
            return ""
        if not isinstance(url, URL):
            url = URL(url)
        secure = url.scheme in _SECURE_SCHEMES
        if not secure and self._treat_as_secure_origin:
            secure = self._is_secure(url)
        answer = shelf.answers.get((secure, url.raw_host))
        if isinstance(answer, dict):
            answer = answer.get(url.raw_path)
        if answer is not None and (answer.until is None or self._now() < answer.until):
            return answer.field
        return self._answer(url, secure)

    def _answer(self, url: URL, secure: bool) -> str:
        shelf = self._shelf
        chosen, by_path = self._choose(url, secure)
        sent = [chosen[name].sent for name in sorted(chosen)]
        moments = [entry.expires for entry in chosen.values() if entry.expires is not None]
        answer = Answer("; ".join([f"{m.key}={m.coded_value}" for m in sent]), min(moments, default=None))
        if shelf.answer_count >= MAX_ANSWERS:
            shelf.changed()
        shelf.answer_count += 1
        key = (secure, url.raw_host)
        if by_path:
            of_host = shelf.answers.get(key)
            if not isinstance(of_host, dict):
                of_host = shelf.answers[key] = {}
            of_host[url.raw_path] = answer
        else:
            shelf.answers[key] = answer
        return answer.field

    def _choose(self, url: URL, secure: bool) -> tuple[dict[str, Entry], bool]:
        """Return the cookies to send by name, the least specific first, and whether another path could get others."""
        shelf = self._shelf
        shelf.expire(self._now())
        raw, decoded = url.raw_path, url.path
        if not raw.startswith("/"):
            raw = decoded = "/"
        host = (url.raw_host or "").lower()
        chosen: dict[str, Entry] = {}
        by_path = False
        for domain, places in shelf.domains_of(host, self._unsafe):
            for place in sorted(places, key=len) if len(places) > 1 else places:
                for name, entry in places[place].items():
                    morsel = entry.morsel
                    path = morsel["path"]
                    if path != "/":
                        by_path = True
                        if not path_match(path, raw) and (raw == decoded or not path_match(path, decoded)):
                            continue
                    if (entry.host_only and domain != host) or (not secure and morsel["secure"]):
                        continue
                    chosen.pop(name, None)  # a more specific one takes the place, and its turn in the order
                    chosen[name] = entry
        total = 0
        for entry in chosen.values():
            if entry.seen != shelf.exposures:
                entry.prepare(self._quote_cookie, shelf.exposures)
            total += entry.size + 2
        if total > MAX_COOKIE_FIELD + 2 or len(chosen) > MAX_COOKIES_SENT:
            chosen = _within_limits(chosen, host)
        for entry in chosen.values():
            entry.used = shelf.generation
        return chosen, by_path


def _within_limits(chosen: dict[str, Entry], host: str) -> dict[str, Entry]:
    """Return what fits into one Cookie field, the most specific cookies first; the log has the number of the others."""
    room = MAX_COOKIE_FIELD + len("; ")
    kept: list[str] = []
    for name, entry in reversed(chosen.items()):
        size = entry.size + len("; ")
        if len(kept) < MAX_COOKIES_SENT and size <= room:
            room -= size
            kept.append(name)
    log_warning(
        "%d of %d cookies are not sent to %s: a Cookie field holds at most %d cookies and %d octets",
        *(len(chosen) - len(kept), len(chosen), host or "any host", MAX_COOKIES_SENT, MAX_COOKIE_FIELD),
    )
    return {name: chosen[name] for name in reversed(kept)}


def _own_morsel(pair: tuple[str, Any]) -> "tuple[str, Morsel[str]] | None":
    """Return a Morsel that the jar may change, None for one with text that no cookie may contain."""
    name, value = pair
    if isinstance(value, Morsel):
        morsel = value.copy()
        texts = (morsel.key, morsel.value, morsel.coded_value, *filter(None, morsel.values()))
        if has_control("".join(map(str, texts))) or ";" in morsel.key:
            log_refused(f"control character or semicolon in cookie {name!a}")
            return None
        return name, morsel
    text = str(value)
    if has_control(text):  # Python's own check, where there is one, would lose the cookies after it
        log_refused(f"control character in the value of cookie {name!a}")
        return None
    made = SimpleCookie()
    made[name] = text
    return name, made[name]


def _write_file(target: str, data: bytes) -> None:
    import tempfile

    try:
        mode = os.stat(target).st_mode
    except OSError:
        mode = 0
    try:
        if mode and not os.path.isfile(target):
            raise OSError("a device or pipe is written to, not replaced")
        fd, temporary = tempfile.mkstemp(dir=os.path.dirname(target), prefix=f".{os.path.basename(target)}.")
    except OSError:
        _write_in_place(target, data)
        return
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        if mode:
            os.chmod(temporary, mode & 0o7777)
        os.replace(temporary, target)
    except BaseException as exc:
        os.unlink(temporary)
        if not isinstance(exc, OSError):
            raise
        # A file that is a mount point, or that another process holds open on Windows, can't be replaced.
        _write_in_place(target, data)


def _write_in_place(target: str, data: bytes) -> None:
    with open(target, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(data)

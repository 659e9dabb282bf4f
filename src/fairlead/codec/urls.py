"""What a request needs to know of its URL: the Host field, the request target, the origin, and what a Location means.

In: ``yarl.URL`` and what callers and servers write where a URL is expected. Out: field values, targets and URLs that
are safe to put on a line of HTTP/1.1. Nothing here is cached, sent or resolved.

A URL that was built with ``encoded=True`` is sent as it was written, so it may hold what no request line can carry.
Spaces become ``%20``, because nothing else can be meant; control characters are refused. What is not ASCII goes out
as it is: servers that need it are the reason for ``encoded=True`` and for ``requote_redirect_url=False``.

RFC 3986 section 3.2.2 (host) and 5 (references), RFC 9110 section 4.3.1 (origin), 7.2 (Host) and 10.2.2 (Location),
RFC 9112 section 3.2 (request target).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from yarl import URL

HTTP_SCHEMES = frozenset({"http", "https"})
"""The schemes that a redirect may lead to."""

# RFC 3986 section 3.2.2: reg-name, or an IP-literal with an optional zone (RFC 6874; a raw "%" is common there).
_HOST = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=%]+|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9\-._~%]+)?\])(?::[0-9]+)?")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_UNDECODED_BYTES = re.compile(r"[\udc80-\udcff]")
_NUMERIC_HOST = re.compile(r"[0-9][0-9.]*")
_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!\Z)|\Z)){4}")
_SHOWN_CHARACTERS = 120


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def host_header(url: URL) -> str:
    """Return the Host field value for ``url``: no default port, IPv6 in brackets, no dot at the end of the name.

    Raises ValueError when the URL has no host, or one that cannot stand in a field (a space, a control character,
    a letter outside ASCII that was not IDNA-encoded). RFC 9110 section 7.2.
    """
    host = url.host_port_subcomponent
    if not host or _HOST.fullmatch(host) is None:
        raise ValueError(f"URL needs a host name or an IP address that can stand in the Host field, got {_shown(host)}")
    return host


def origin_form(url: URL) -> str:
    """Return path and query as they stand in the request line.

    Raises ValueError for control characters, which only a URL with ``encoded=True`` can hold. RFC 9112 section 3.2.1.
    """
    target = url.raw_path_qs
    if target.isascii() and target.isprintable() and " " not in target:
        return target
    return _safe_target(target)


def _safe_target(target: str) -> str:
    if _CONTROLS.search(target) is not None:
        raise ValueError(f"URL must not hold control characters in path or query, got {_shown(target)}")
    return target.replace(" ", "%20")


def absolute_form(url: URL) -> str:
    """Return the target for a proxy: scheme, host, path and query, without user, password and fragment.

    Raises ValueError like ``host_header`` and ``origin_form``. RFC 9112 section 3.2.2.
    """
    host_header(url)
    port = url.explicit_port
    authority = url.host_subcomponent if port is None or url.is_default_port() else authority_form(url)
    return f"{url.scheme}://{authority}{origin_form(url)}"


def authority_form(url: URL) -> str:
    """Return ``host:port``, the target of CONNECT; the port is always there.

    Raises ValueError like ``host_header``, or when the scheme has no default port and the URL names none.
    RFC 9112 section 3.2.3.
    """
    host_header(url)
    if url.port is None:
        raise ValueError(f"URL needs a port, since scheme {url.scheme!r} has no default one, got {_shown(str(url))}")
    return f"{url.host_subcomponent}:{url.port}"


Origin = tuple[str, str, int | None]
"""Scheme, host in lower case, and port; the default port is filled in."""


def origin_of(url: URL) -> Origin:
    """Return what decides whether two URLs belong to one server and may share credentials. RFC 9110 section 4.3.1."""
    return url.scheme, (url.raw_host or "").lower(), url.port


def same_origin(one: URL, other: URL) -> bool:
    """Return whether scheme, host and port are the same: what credentials may follow. RFC 9110 section 4.3.1."""
    return origin_of(one) == origin_of(other)


def is_noncanonical_ipv4(host: str) -> bool:
    """Return whether ``host`` is made of digits and dots without being four numbers from 0 to 255.

    System resolvers read ``127.1``, ``2130706433`` and ``0177.0.0.1`` as addresses, each in its own way, which makes
    them a way around filters on the name; a client refuses them.
    """
    return _NUMERIC_HOST.fullmatch(host) is not None and _IPV4.fullmatch(host) is None


class InvalidLocation(ValueError):
    """The Location field does not lead to a URL that a client can follow.

    ``target`` is what to show as the URL: the text of the field, or the joined URL when only its host is missing.
    ``reason`` is one sentence. ``scheme`` is set when the reference is fine and only its scheme is not http or https.
    """

    def __init__(self, target: str | URL, reason: str, *, scheme: str = "") -> None:
        """Record the facts; the message is target and reason."""
        super().__init__(f"{target} - {reason}")
        self.target = target
        self.reason = reason
        self.scheme = scheme


def join_redirect(base: URL, location: str, *, requote: bool = True) -> URL:
    """Return the URL that ``location`` means to the response of ``base``.

    With ``requote`` escapes are normalised as in a URL that a user typed; without it the text is kept as the server
    wrote it, but for the host, which is IDNA-encoded all the same. Bytes of the field that were not UTF-8 (surrogates
    U+DC80 to U+DCFF) are percent-encoded as browsers do. The fragment is the one of ``location``. Raises
    InvalidLocation (a ValueError). RFC 9110 section 10.2.2, RFC 3986 section 5.
    """
    if not location.isascii():
        location = _UNDECODED_BYTES.sub(lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", location)
    try:
        reference = URL(location, encoded=not requote)
        _ = reference.port  # with encoded=True a wrong port is only found when it is looked at
    except ValueError as exc:
        raise InvalidLocation(
            location, "Server attempted redirecting to a location that does not look like a URL"
        ) from exc
    if reference.scheme and reference.scheme.lower() not in HTTP_SCHEMES:
        raise InvalidLocation(location, "Redirects are followed to http and https only", scheme=reference.scheme)
    # RFC 9110 section 4.2.1: an empty host is to be rejected, not replaced. Backslashes are slashes to browsers.
    if reference.scheme and not reference.raw_host and location.partition(":")[2].startswith(("//", "\\")):
        raise InvalidLocation(reference, "Invalid redirect URL origin")
    joined = base.join(reference)
    host = joined.raw_host
    if not host:
        raise InvalidLocation(joined, "Invalid redirect URL origin")
    if not host.isascii():
        try:
            joined = joined.with_host(host)
        except ValueError as exc:
            raise InvalidLocation(joined, "Invalid redirect URL origin") from exc
    return joined


def merge_params(url: URL, params: Any) -> URL:
    """Return ``url`` with ``params`` added behind its query; what is there stays.

    ``params`` is a mapping (values may be lists or tuples), a sequence of pairs, or a str; values are str, int or
    float, not bool. None and empty ones change nothing. Raises TypeError, or ValueError for a float that is not
    finite and for pairs that are not pairs; the message names ``params``, and the key where there is one.
    """
    if not params:
        return url
    try:
        return url.extend_query(params)
    except TypeError as exc:
        raise TypeError(_explain_params(params, exc)) from exc
    except ValueError as exc:
        raise ValueError(_explain_params(params, exc)) from exc


def _explain_params(params: Any, error: Exception) -> str:
    """Find the first item that cannot be encoded on its own, so that the message can name it."""
    items: list[Any] = []
    if isinstance(params, Mapping):
        items = [{key: value} for key, value in params.items()]
        names = [f"params[{_shown(key)}]" for key in params]
    elif isinstance(params, Sequence) and not isinstance(params, (str, bytes, bytearray, memoryview)):
        items = [[item] for item in params]
        names = [f"params[{index}]" for index in range(len(items))]
    for position, item in enumerate(items):
        try:
            URL("http://params.invalid").extend_query(item)
        except (TypeError, ValueError) as exc:
            return f"{names[position]}: {exc}"
    return f"params: {error}"


def check_proxy_url(proxy: str | URL) -> URL:
    """Return ``proxy`` as a URL that names a host and is reached over http or https.

    Raises TypeError for anything but str and URL, ValueError otherwise; the message names ``proxy``.
    """
    if not isinstance(proxy, (str, URL)):
        raise TypeError(f"proxy must be a str or a yarl.URL, got {_shown(proxy)} of type {type(proxy).__name__}")
    try:
        url = URL(proxy)
    except ValueError as exc:
        raise ValueError(f"proxy must be a URL such as http://proxy.example:3128, got {_shown(proxy)}: {exc}") from exc
    if not url.raw_host or url.scheme not in HTTP_SCHEMES:
        raise ValueError(f"proxy must be a URL such as http://proxy.example:3128, got {_shown(str(url))}")
    host_header(url)
    return url

"""What the environment says about credentials and proxies; read when ``trust_env`` is set.

In: ``NETRC``, ``~/.netrc`` (``~/_netrc`` on Windows), ``<scheme>_proxy`` and ``no_proxy`` in either case, and what the
system settings of macOS and Windows say when no such variable is set. Out: ``BasicAuth`` and proxy URLs.

Everything is looked up for each call, so a changed variable or file is seen by the next request; the parsed netrc file
is kept for as long as its path, size and times stay the same. The calls block for a look at a file, on Windows at the
registry: microseconds, but for a home directory on a slow network. The modules behind them are heavy and imported on
first use.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from yarl import URL

from .auth import BasicAuth, strip_auth_from_url

if TYPE_CHECKING:
    from netrc import netrc

client_logger = logging.getLogger("fairlead.client")

PROXIED_SCHEMES = ("https", "http", "wss", "ws")
"""The request schemes for which a proxy is looked up."""
MAX_NETRC_SIZE = 1024 * 1024
"""Bytes; a file that is larger is no netrc file (the usual one has a few lines) and is not read."""


class ProxyInfo(NamedTuple):
    """A proxy and the credentials that its URL held."""

    proxy: URL
    proxy_auth: BasicAuth | None


_Fingerprint = tuple[str, int, int, int]
_parsed_netrc: tuple[_Fingerprint, netrc] | None = None


def netrc_from_env() -> netrc | None:
    """Return the parsed netrc file of the user, None when there is none or it cannot be used.

    A file that cannot be read, although ``NETRC`` names it or it exists, and one that cannot be parsed are logged as
    warnings. Blocks for a look at the file, and for reading it when it changed.
    """
    global _parsed_netrc
    named = os.environ.get("NETRC")
    try:
        path = Path(named) if named is not None else _default_netrc_path()
        if path is None or named == "":
            return None
        status = path.stat()
        fingerprint = (str(path), status.st_mtime_ns, status.st_size, status.st_ino)
        if _parsed_netrc is not None and _parsed_netrc[0] == fingerprint:
            return _parsed_netrc[1]
        if status.st_size > MAX_NETRC_SIZE:
            client_logger.warning(
                "Could not read .netrc file: %s has %d bytes, expected at most %d", path, status.st_size, MAX_NETRC_SIZE
            )
            return None
        parsed = _parse_netrc(path)
    except OSError as exc:
        client_logger.warning("Could not read .netrc file: %s", exc)
        return None
    if parsed is not None:
        _parsed_netrc = (fingerprint, parsed)
    return parsed


def _default_netrc_path() -> Path | None:
    try:
        home = Path.home()
    except RuntimeError as exc:  # no HOME, and no entry for this user in the password database
        client_logger.debug("Could not resolve home directory when trying to look for .netrc file: %s", exc)
        return None
    path = home / ("_netrc" if sys.platform == "win32" else ".netrc")
    return path if path.exists() else None


def _parse_netrc(path: Path) -> netrc | None:
    from netrc import NetrcParseError, netrc

    try:
        return netrc(str(path))
    except (NetrcParseError, UnicodeDecodeError) as exc:
        client_logger.warning("Could not parse .netrc file: %s", exc)
        return None


def basicauth_from_netrc(netrc_obj: netrc | None, host: str) -> BasicAuth:
    """Return the credentials for ``host``, those of the ``default`` entry when it has none of its own.

    Raises LookupError when there is no file or no entry.
    """
    if netrc_obj is None:
        raise LookupError("No .netrc file found")
    entry = netrc_obj.authenticators(host)
    if entry is None:
        raise LookupError(f"No entry for {host} found in the `.netrc` file.")
    login, account, password = entry
    # Python 3.11 gives "" for what an entry leaves out, earlier files of other tools may give None.
    return BasicAuth._make((login or account or "", password or "", "latin1"))


def proxies_from_env() -> dict[str, ProxyInfo]:
    """Return the proxy for each request scheme that the environment names one for.

    A proxy that is itself reached over wss or https is logged as a warning and left out. Raises ValueError, naming the
    variable, for a value that is no URL.
    """
    from urllib.request import getproxies

    found = getproxies()
    proxies: dict[str, ProxyInfo] = {}
    for scheme in PROXIED_SCHEMES:
        value = found.get(scheme)
        if not value:
            continue
        try:
            proxy, credentials = strip_auth_from_url(URL(value.strip()))
        except ValueError as exc:
            raise ValueError(f"{scheme}_proxy in the environment must be a URL: {exc}") from exc
        if proxy.scheme in ("https", "wss"):
            client_logger.warning("%s proxies %s are not supported, ignoring", proxy.scheme.upper(), proxy)
            continue
        proxies[scheme] = ProxyInfo(proxy, credentials)
    return proxies


def get_env_proxy_for_url(url: URL) -> tuple[URL, BasicAuth | None]:
    """Return the proxy to use for ``url`` and the credentials for it.

    An entry of ``no_proxy`` with a port counts when the URL names that port. Raises LookupError when no proxy is named
    for its scheme or ``no_proxy`` lists its host.
    """
    from urllib.request import proxy_bypass

    host, port = url.host, url.explicit_port
    if host and (proxy_bypass(host) or (port is not None and proxy_bypass(f"{host}:{port}"))):
        raise LookupError(f"Proxying is disallowed for `{host!r}`")
    proxy = proxies_from_env().get(url.scheme)
    if proxy is None:
        raise LookupError(f"No proxies found for `{url}` in the env")
    return proxy.proxy, proxy.proxy_auth

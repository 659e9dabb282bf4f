"""The options of one call: `Plan`.

In: a session's defaults and the keyword arguments of a call.  Out: one record that everything below reads.  An option
that is not set costs nothing: it is a class attribute.  Wrong types and values are refused here, before anything is
sent, with the name of the argument.
"""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..codec.urls import check_proxy_url
from ..wire.tls import check_ssl_argument, merge_ssl_arguments
from .auth import BasicAuth
from .timeouts import DEFAULT_TIMEOUT, ClientTimeout, check_request_timeout, limit_of

if TYPE_CHECKING:
    from ssl import SSLContext

    from yarl import URL

    from ..wire.tls import Fingerprint
    from .request import UploadTracker
    from .response import ClientResponse


READ_BUFSIZE: Final = 262144
"""Default of `read_bufsize`: bytes in a response's buffer; reading pauses at twice as much."""

UNSET: Final[Any] = object()
"""Stands for an argument that was not given, where None means something."""


class Plan:
    """What one call is asked to do; see `ClientSession.request` for the meaning of each option."""

    params: Any = None
    data: Any = None
    json: Any = None
    cookies: Any = None
    headers: Any = None
    skip_auto_headers: Iterable[str] | None = None
    auth: BasicAuth | None = None
    allow_redirects: bool = True
    max_redirects: int = 10
    compress: str | bool | None = None
    chunked: bool | None = None
    expect100: bool = False
    raise_for_status: bool | Callable[[ClientResponse], Awaitable[None]] = False
    read_until_eof: bool = True
    proxy: URL | None = None
    proxy_auth: BasicAuth | None = None
    proxy_headers: Any = None
    timeout: ClientTimeout = DEFAULT_TIMEOUT
    ssl: SSLContext | bool | Fingerprint = True
    server_hostname: str | None = None
    trace_request_ctx: Any = None
    read_bufsize: int = READ_BUFSIZE
    auto_decompress: bool = True
    max_line_size: int = 8190
    max_field_size: int = 8190
    max_headers: int = 128
    middlewares: Sequence[Any] = ()
    upload_tracker: UploadTracker | None = None

    # What follows from the options.
    plain = True
    """Whether nothing is asked for that would change the request's head or its connection."""
    bare = True
    """Whether there is no body."""
    usual = True
    """Whether the exchange needs no setting beyond a coarse deadline."""
    total: float | None = DEFAULT_TIMEOUT.total
    """The limit of the whole call in seconds, None for none."""
    limits = (8190, 8190, 128)
    """Of the response decoder: `max_line_size`, `max_field_size`, `max_headers`."""

    def merged(self, options: dict[str, Any]) -> Plan:
        """Return these options overridden by the arguments of a call.

        Raises TypeError for an unknown argument or a wrong type, ValueError for a wrong value.
        """
        plan = Plan.__new__(Plan)
        facts = plan.__dict__
        facts.update(self.__dict__)
        if _BODY.issuperset(options):
            facts.update(options)
            facts["bare"] = facts["json"] is None and facts["data"] is None
            if facts["json"] is not None and facts["data"] is not None:
                raise ValueError("data and json parameters can not be used at the same time")
            return plan
        for name, value in options.items():
            try:
                check = _CHECKS[name]
            except KeyError:
                raise TypeError(f"ClientSession._request() got an unexpected keyword argument {name!r}") from None
            if check is not None:
                value = check(name, value)
                if value is _DEFAULT:
                    continue
            facts[name] = value
        plan.settle()
        if "verify_ssl" in facts or "ssl_context" in facts or "fingerprint" in facts:
            facts["ssl"] = merge_ssl_arguments(
                facts.get("ssl", True),
                facts.pop("verify_ssl", None),
                facts.pop("ssl_context", None),
                facts.pop("fingerprint", None),
            )
        if facts.get("json") is not None and facts.get("data") is not None:
            raise ValueError("data and json parameters can not be used at the same time")
        return plan

    def settle(self) -> None:
        """Work out what follows from the options, so that a request need not."""
        facts = self.__dict__
        facts["plain"] = _PLAIN.issuperset(facts) and not self.middlewares
        facts["bare"] = self.data is None and self.json is None
        timeout = self.timeout
        total = facts["total"] = limit_of(timeout.total)
        facts["usual"] = (
            self.auto_decompress
            and self.read_until_eof
            and not timeout.sock_read
            and (total is None or total > timeout.ceil_threshold)
        )
        limits = (self.max_line_size, self.max_field_size, self.max_headers)
        if limits != self.limits:
            facts["limits"] = limits
        for name in _HOT:
            facts.setdefault(name, getattr(Plan, name))


_DEFAULT: Any = object()

_PLAIN = frozenset(
    {
        "allow_redirects",
        "auto_decompress",
        "data",
        "json",
        "max_field_size",
        "max_headers",
        "max_line_size",
        "max_redirects",
        "middlewares",
        "params",
        "raise_for_status",
        "read_bufsize",
        "read_until_eof",
        "timeout",
        "trace_request_ctx",
        # what follows from the options
        "bare",
        "limits",
        "plain",
        "total",
        "usual",
    }
)
"""Options that leave the request's own header fields and its connection alone."""


_BODY = frozenset({"allow_redirects", "data", "json"})
"""Options that need no check and change nothing else."""

_HOT = ("allow_redirects", "data", "json", "limits", "params", "raise_for_status", "read_bufsize")
"""Options that each request looks at: found fastest on the instance."""


def _none_is_default(name: str, value: Any) -> Any:
    return _DEFAULT if value is None else value


def _positive_or_default(name: str, value: Any) -> Any:
    if value is None:
        return _DEFAULT
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if value <= 0:
        raise ValueError(f"{name} must be positive, got {value}")
    return value


def _not_negative(name: str, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if value < 0:
        raise ValueError(f"{name} must not be negative, got {value}")
    return value


def _timeout(name: str, value: Any) -> Any:
    if isinstance(value, ClientTimeout):
        return value
    return _DEFAULT if value is UNSET else check_request_timeout(value)


def check_auth(name: str, value: Any) -> Any:
    """Take a BasicAuth or None; `auth=` itself is deprecated."""
    if value is None:
        return _DEFAULT
    if not isinstance(value, BasicAuth):
        raise TypeError("BasicAuth() tuple is required instead")
    return value


def _auth(name: str, value: Any) -> Any:
    if value is not None:
        warn_about_auth(stacklevel=5)
    return check_auth(name, value)


def warn_about_auth(stacklevel: int) -> None:
    """Say that `auth=` is deprecated, as aiohttp 3.14 does."""
    warnings.warn(
        "The 'auth' parameter is deprecated and will be removed in v4; "
        "pass headers={'Authorization': fairlead.encode_basic_auth(login, password)} instead",
        DeprecationWarning,
        stacklevel=stacklevel,
    )


def _proxy(name: str, value: Any) -> Any:
    return _DEFAULT if value is None else check_proxy_url(value)


def _proxy_auth(name: str, value: Any) -> Any:
    if value is None:
        return _DEFAULT
    if not isinstance(value, BasicAuth):
        raise ValueError("proxy_auth must be None or BasicAuth() tuple")
    return value


def _ssl(name: str, value: Any) -> Any:
    if value is True:
        return _DEFAULT
    return check_ssl_argument(True if value is None else value)


def _raise_for_status(name: str, value: Any) -> Any:
    if value is None:
        return _DEFAULT
    if not isinstance(value, bool) and not callable(value):
        raise TypeError(f"raise_for_status must be a bool or a coroutine function, got {value!r}")
    return value


_CHECKS: dict[str, Callable[[str, Any], Any] | None] = {
    "params": None,
    "data": None,
    "json": None,
    "cookies": _none_is_default,
    "headers": _none_is_default,
    "skip_auto_headers": _none_is_default,
    "auth": _auth,
    "allow_redirects": None,
    "max_redirects": _not_negative,
    "compress": _none_is_default,
    "chunked": _none_is_default,
    "expect100": None,
    "raise_for_status": _raise_for_status,
    "read_until_eof": None,
    "proxy": _proxy,
    "proxy_auth": _proxy_auth,
    "proxy_headers": _none_is_default,
    "timeout": _timeout,
    "verify_ssl": _none_is_default,
    "fingerprint": _none_is_default,
    "ssl_context": _none_is_default,
    "ssl": _ssl,
    "server_hostname": _none_is_default,
    "trace_request_ctx": None,
    "read_bufsize": _positive_or_default,
    "auto_decompress": _none_is_default,
    "max_line_size": _positive_or_default,
    "max_field_size": _positive_or_default,
    "max_headers": _positive_or_default,
    "middlewares": _none_is_default,
    "upload_tracker": _none_is_default,
}

_SESSION_DEFAULTS: Final = {
    "timeout": Plan.timeout,
    "raise_for_status": Plan.raise_for_status,
    "auto_decompress": Plan.auto_decompress,
    "read_bufsize": Plan.read_bufsize,
    "max_line_size": Plan.max_line_size,
    "max_field_size": Plan.max_field_size,
    "max_headers": Plan.max_headers,
    "middlewares": Plan.middlewares,
    "proxy": Plan.proxy,
    "proxy_auth": Plan.proxy_auth,
}

_USUAL: Final = Plan().merged(_SESSION_DEFAULTS)
"""Most sessions ask for nothing else, so they share it: a plan never changes."""


def session_plan(**options: Any) -> Plan:
    """Return the options of a session, checked like those of a call."""
    return _USUAL if options == _SESSION_DEFAULTS else Plan().merged(options)

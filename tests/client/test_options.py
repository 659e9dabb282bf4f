"""The options of a call: merged, checked, and refused with the name of the argument."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from yarl import URL

import fairlead
from fairlead.client.options import _CHECKS, Plan
from fairlead.client.session import ClientSession, _RequestOptions


def test_every_option_of_the_verbs_has_a_check_and_a_default() -> None:
    assert set(_CHECKS) == set(_RequestOptions.__annotations__)
    merged_away = {"verify_ssl", "fingerprint", "ssl_context"}  # older spellings of `ssl`
    for name in set(_CHECKS) - merged_away:
        assert hasattr(Plan, name), name


def test_a_plan_is_not_changed_by_what_is_made_of_it() -> None:
    base = Plan().merged({"max_redirects": 3})
    more = base.merged({"max_redirects": 4, "headers": {"A": "1"}, "data": b"x"})
    assert (base.max_redirects, base.headers, base.data) == (3, None, None)
    assert (more.max_redirects, more.headers, more.data) == (4, {"A": "1"}, b"x")
    assert Plan().max_redirects == 10


@pytest.mark.parametrize(
    ("options", "plain"),
    [
        ({"params": {"a": "b"}, "json": {}, "timeout": 5, "allow_redirects": False}, True),
        ({"headers": None, "cookies": None, "auth": None, "proxy": None, "compress": None}, True),
        ({"ssl": True}, True),
        ({"headers": {"A": "1"}}, False),
        ({"cookies": {"a": "b"}}, False),
        ({"ssl": False}, False),
        ({"compress": "gzip"}, False),
        ({"expect100": True}, False),
        ({"chunked": True}, False),
        ({"proxy": "http://proxy.test/"}, False),
        ({"skip_auto_headers": ["User-Agent"]}, False),
        ({"server_hostname": "a.test"}, False),
        ({"middlewares": (print,)}, False),
    ],
    ids=str,
)
def test_what_is_plain(options: dict[str, Any], plain: bool) -> None:
    """Plain requests take a shorter path, which knows nothing of the other options."""
    assert Plan().merged(options).plain is plain


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"no_such": 1}, TypeError, "unexpected keyword argument 'no_such'"),
        ({"data": b"x", "json": {}}, ValueError, "data and json parameters can not be used at the same time"),
        ({"timeout": "5"}, TypeError, "timeout must be a ClientTimeout"),
        ({"max_redirects": -1}, ValueError, "max_redirects must not be negative, got -1"),
        ({"max_redirects": "3"}, TypeError, "max_redirects must be an int, got '3'"),
        ({"read_bufsize": 0}, ValueError, "read_bufsize must be positive, got 0"),
        ({"max_line_size": 1.5}, TypeError, "max_line_size must be an int, got 1.5"),
        ({"max_headers": True}, TypeError, "max_headers must be an int, got True"),
        ({"auth": ("a", "b")}, TypeError, "BasicAuth"),
        ({"proxy_auth": ("a", "b")}, ValueError, "proxy_auth must be None or BasicAuth"),
        ({"ssl": "yes"}, TypeError, "ssl should be"),
        ({"raise_for_status": 5}, TypeError, "raise_for_status must be a bool or a coroutine function, got 5"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_wrong_values_are_refused_by_name(options: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        Plan().merged(options)
    async with fairlead.ClientSession() as session:
        for url in ("http://a.test/", URL("http://a.test/")):
            with pytest.raises(kind, match=text):
                await session.get(url, **options)


@pytest.mark.parametrize(
    ("name", "value"),
    [("headers", {"A": "b\r\nC: d"}), ("headers", {"A\n": "b"}), ("headers", {"A": "b\0"})],
)
async def test_injections_are_refused(name: str, value: Any) -> None:
    async with fairlead.ClientSession() as session:
        with pytest.raises(ValueError) as caught:
            await session.get("http://a.test/", **{name: value})
        assert "a.test" not in str(caught.value)
        assert session.connector.in_use == 0


@pytest.mark.parametrize(
    ("older", "newer"),
    [({"verify_ssl": False}, False), ({"fingerprint": b"x" * 32}, None)],
    ids=str,
)
def test_older_spellings_of_ssl(older: dict[str, Any], newer: Any) -> None:
    with pytest.warns(DeprecationWarning, match="use ssl"):
        plan = Plan().merged(older)
    if newer is None:
        assert isinstance(plan.ssl, fairlead.Fingerprint)
    else:
        assert plan.ssl is newer
    with pytest.warns(DeprecationWarning, match="use ssl"), pytest.raises(ValueError, match="exclusive"):
        Plan().merged({"verify_ssl": False, "fingerprint": b"x" * 32})


async def test_no_limit_for_one_call() -> None:
    async with fairlead.ClientSession(timeout=fairlead.ClientTimeout(total=5)) as session:
        assert session._defaults.timeout.total == 5
        assert session._defaults.merged({"timeout": None}).timeout == fairlead.ClientTimeout()
        assert session._defaults.merged({"timeout": 2}).timeout == fairlead.ClientTimeout(total=2)


def test_the_verbs_show_what_they_take() -> None:
    for name in ("get", "options", "head", "post", "put", "patch", "delete", "request"):
        method = getattr(ClientSession, name)
        assert method.__doc__
        assert not asyncio.iscoroutinefunction(method)
        assert next(iter(inspect.signature(method).parameters)) == "self"

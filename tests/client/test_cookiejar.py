"""The cookie jar: RFC 6265bis rules, aiohttp as the oracle, limits, files, and how much a lookup looks at."""

from __future__ import annotations

import copy
import http.cookies
import inspect
import json
import logging
import os
import pickle
import re
import stat
from collections.abc import Iterable
from http.cookies import BaseCookie, CookieError, Morsel, SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from fairlead.client.cookiejar import AbstractCookieJar, CookieJar, DummyCookieJar, shelf
from fairlead.client.cookiejar import jar as jar_module

NOW = 1_800_000_000.0
DATE = "Wed, 01 Jan 2031 00:00:00 GMT"


class ClockedJar(CookieJar):
    """A jar whose time is set by the test."""

    now = NOW

    def _now(self) -> float:
        return self.now


def jar_of(fields: Iterable[str], url: str = "https://www.example.com/a/b", **options: Any) -> ClockedJar:
    jar = ClockedJar(**options)
    jar.update_cookies_from_headers(list(fields), URL(url))
    return jar


def names(jar: AbstractCookieJar) -> list[str]:
    return sorted(morsel.key for morsel in jar)


def sent(jar: CookieJar, url: str) -> str:
    """Return the field value, after a check that both ways to get it agree."""
    header = jar.cookie_header(URL(url))
    filtered = jar.filter_cookies(URL(url))
    assert header == "; ".join(f"{m.key}={m.coded_value}" for _, m in sorted(filtered.items()))
    assert header == jar.cookie_header(url)  # now remembered, and from a str
    return header


# What is taken, and where it is sent


@pytest.mark.parametrize(
    ("field", "origin", "request_url", "is_sent"),
    [
        # host-only and domain cookies (5.7 steps 8-10)
        ("a=1", "https://www.example.com/", "https://www.example.com/", True),
        ("a=1", "https://www.example.com/", "https://x.www.example.com/", False),
        ("a=1", "https://www.example.com/", "https://example.com/", False),
        ("a=1; domain=example.com", "https://www.example.com/", "https://example.com/", True),
        ("a=1; domain=.example.com", "https://www.example.com/", "https://x.y.example.com/", True),
        ("a=1; domain=EXAMPLE.com", "https://www.example.com/", "https://example.com/", True),
        ("a=1; domain=example.com", "https://WWW.Example.COM/", "https://example.com/", True),
        ("a=1; domain=example.com", "https://www.example.com/", "https://badexample.com/", False),
        ("a=1; domain=other.com", "https://www.example.com/", "https://other.com/", False),
        ("a=1; domain=x.www.example.com", "https://www.example.com/", "https://x.www.example.com/", False),
        ("a=1; domain=..example.com", "https://www.example.com/", "https://www.example.com/", False),
        ("a=1; domain=.", "https://www.example.com/", "https://www.example.com/", True),
        ("a=1; domain=example.com.", "https://www.example.com/", "https://www.example.com/", True),
        ("a=1; domain=example.com.", "https://www.example.com/", "https://example.com/", False),
        ("a=1; domain=xn--e1afmkfd.xn--p1ai", "https://www.пример.рф/", "https://пример.рф/", True),
        ("a=1; domain=localhost", "http://localhost/", "http://localhost:8080/", True),
        # paths (5.1.4)
        ("a=1", "https://example.com/a/b", "https://example.com/a/c", True),
        ("a=1", "https://example.com/a/b", "https://example.com/a", True),
        ("a=1", "https://example.com/a/b", "https://example.com/", False),
        ("a=1; path=/x", "https://example.com/", "https://example.com/x", True),
        ("a=1; path=/x", "https://example.com/", "https://example.com/x/y", True),
        ("a=1; path=/x", "https://example.com/", "https://example.com/xy", False),
        ("a=1; path=/x/", "https://example.com/", "https://example.com/x/", True),
        ("a=1; path=/x/", "https://example.com/", "https://example.com/x", False),
        ("a=1; path=x", "https://example.com/", "https://example.com/y", True),
        ("a=1; path=/a%20b", "https://example.com/", "https://example.com/a b/c", True),
        ("a=1; path=/a b", "https://example.com/", "https://example.com/a%20b", True),
        ("a=1; path=/é", "https://example.com/", "https://example.com/é/x", True),
        ("a=1; path=/%C3%A9", "https://example.com/", "https://example.com/é/x", True),
        ("a=1; path=/x", "https://example.com/", "https://example.com/x?q=/y#z", True),
        # secure
        ("a=1; path=/; secure", "https://example.com/", "https://example.com/", True),
        ("a=1; path=/; secure", "https://example.com/", "wss://example.com/", True),
        ("a=1; path=/; secure", "https://example.com/", "http://example.com/", False),
        ("a=1; path=/; secure", "http://example.com/", "https://example.com/", True),
        ("a=1; path=/", "https://example.com/", "http://example.com:8080/", True),
        # name prefixes (5.7 steps 20 and 21)
        ("__Host-a=1; path=/; secure", "https://example.com/", "https://example.com/", True),
        ("__Host-a=1; path=/; secure; domain=example.com", "https://example.com/", "https://example.com/", False),
        ("__Host-a=1; path=/; secure", "http://example.com/", "https://example.com/", False),
        ("__Secure-a=1; secure", "https://example.com/", "https://example.com/", True),
        ("__Secure-a=1", "https://example.com/", "https://example.com/", False),
        # expiry
        ("a=1; max-age=100", "https://example.com/", "https://example.com/", True),
        ("a=1; max-age=0", "https://example.com/", "https://example.com/", False),
        ("a=1; max-age=-1", "https://example.com/", "https://example.com/", False),
        ("a=1; max-age=junk", "https://example.com/", "https://example.com/", True),
        ("a=1; max-age=" + "9" * 900, "https://example.com/", "https://example.com/", True),
        ("a=1; expires=" + DATE, "https://example.com/", "https://example.com/", True),
        ("a=1; expires=Thu, 01 Jan 1970 00:00:00 GMT", "https://example.com/", "https://example.com/", False),
        ("a=1; expires=Thu, 01-Jan-1971 00:00:00 GMT", "https://example.com/", "https://example.com/", False),
        ("a=1; expires=Fri, 31 Dec 9999 23:59:59 GMT", "https://example.com/", "https://example.com/", True),
        ("a=1; expires=never", "https://example.com/", "https://example.com/", True),
        ("a=1; expires=Thu, 01 Jan 1970 00:00:00 GMT; max-age=9", "https://example.com/", "https://example.com/", True),
        ("a=1; expires=" + DATE + "; max-age=0", "https://example.com/", "https://example.com/", False),
        ("a=1; expires=Thu, 01 Jan 1970 00:00:00 GMT; max-age=x", "https://a.com/", "https://a.com/", False),
        # IP addresses
        ("a=1", "http://127.0.0.1/", "http://127.0.0.1/", False),
        ("a=1", "http://[::1]/", "http://[::1]/", False),
    ],
)
def test_rules(field: str, origin: str, request_url: str, is_sent: bool) -> None:
    jar = jar_of([field, "other=1; domain=.; path=/"], origin)
    assert any(part.endswith("a=1") for part in sent(jar, request_url).split("; ")) is is_sent


@pytest.mark.parametrize(
    ("field", "url", "is_sent"),
    [
        ("a=1", "http://127.0.0.1/", True),
        ("a=1; domain=127.0.0.1", "http://127.0.0.1/", True),
        ("a=1; domain=0.0.1", "http://127.0.0.1/", False),
        ("a=1", "http://[::1]:8080/", True),
    ],
)
def test_unsafe_jar_takes_cookies_of_addresses(field: str, url: str, is_sent: bool) -> None:
    jar = jar_of([field], url, unsafe=True)
    assert jar.unsafe
    assert bool(sent(jar, url)) is is_sent
    assert sent(jar, "http://1.127.0.0.1/") == ""


def test_deleting_needs_the_same_domain_and_path() -> None:
    jar = jar_of(["a=1; domain=example.com; path=/", "a=2; path=/x", "a=3; path=/"])
    jar.update_cookies_from_headers(["a=; path=/x; max-age=0"], "https://www.example.com/")
    assert sent(jar, "https://www.example.com/x") == "a=3"
    jar.update_cookies_from_headers(["a=; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT"], "https://www.example.com/")
    assert sent(jar, "https://www.example.com/x") == "a=1"
    jar.update_cookies_from_headers(["a=; path=/; domain=example.com; max-age=0"], "https://www.example.com/")
    assert len(jar) == 0


def test_replacing_takes_over_every_attribute() -> None:
    jar = jar_of(["a=1; domain=example.com; path=/; max-age=5"], "https://example.com/")
    assert sent(jar, "https://www.example.com/") == "a=1"
    jar.update_cookies_from_headers(["a=2; path=/"], "https://example.com/")
    assert sent(jar, "https://www.example.com/") == ""
    assert jar.host_only_cookies == {("example.com", "", "a")}
    jar.now += 10
    assert sent(jar, "https://example.com/") == "a=2"
    jar.update_cookies_from_headers(["a=3; path=/; domain=example.com"], "https://example.com/")
    assert sent(jar, "https://www.example.com/") == "a=3"
    assert jar.host_only_cookies == frozenset()


def test_the_most_specific_of_a_name_is_sent() -> None:
    jar = jar_of(
        [
            "x=root; path=/",
            "x=deep; path=/a/b",
            "x=mid; path=/a",
            "x=dom; domain=example.com; path=/a/b/c",
            "y=1; path=/",
        ]
    )
    assert sent(jar, "https://www.example.com/a/b/c/d") == "x=deep; y=1"
    assert sent(jar, "https://www.example.com/a") == "x=mid; y=1"
    assert sent(jar, "https://www.example.com/q") == "x=root; y=1"
    assert sent(jar, "https://example.com/a/b/c") == "x=dom"


def test_shared_cookies_go_everywhere_and_yield_to_others() -> None:
    jar = ClockedJar()
    jar.update_cookies({"s": "shared", "x": "shared"})
    jar.update_cookies({"x": "own"}, "http://example.com/")
    assert sent(jar, "http://example.com/") == "s=shared; x=own"
    assert sent(jar, "http://other.org/deep/path") == "s=shared; x=shared"
    assert sent(jar, "http://127.0.0.1/") == "s=shared; x=shared"
    assert list(jar.filter_cookies()) == ["s", "x"]
    assert set(jar.cookies) == {("", ""), ("example.com", "")}
    assert jar.host_only_cookies == {("example.com", "", "x")}


def test_secure_origins() -> None:
    fields = ["a=1; path=/; secure", "__Host-b=1; path=/; secure"]
    jar = jar_of(fields, "http://a.com:8080/", treat_as_secure_origin=["http://a.com:8080/x", URL("http://b.com")])
    assert jar.treat_as_secure_origin == {URL("http://a.com:8080"), URL("http://b.com")}
    assert sent(jar, "http://a.com:8080/x") == "__Host-b=1; a=1"
    assert sent(jar, "http://a.com/") == ""
    assert sent(jar, "ws://a.com:8080/") == ""
    assert sent(jar, "https://a.com/") == "__Host-b=1; a=1"
    assert ClockedJar(treat_as_secure_origin="http://q/").treat_as_secure_origin == {URL("http://q")}
    assert ClockedJar(treat_as_secure_origin=URL("http://q/")).treat_as_secure_origin == {URL("http://q")}
    assert jar.filter_cookies(URL("/relative")) == {}


def test_bad_secure_origins() -> None:
    with pytest.raises(ValueError):
        CookieJar(treat_as_secure_origin="localhost")
    with pytest.raises(TypeError):
        CookieJar(treat_as_secure_origin=5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "quoted", "raw"),
    [
        ("a=x y", 'a="x y"', "a=x y"),
        ('a="x y"', 'a="x y"', "a=x y"),
        ("a=x,y", r'a="x\054y"', "a=x,y"),
        ("a=eA==", 'a="eA=="', "a=eA=="),
        ("a=", 'a=""', "a="),
        ("a=plain", "a=plain", "a=plain"),
        ("path=/x", 'path="/x"', "path=/x"),
    ],
)
def test_quoting(field: str, quoted: str, raw: str) -> None:
    assert sent(jar_of([field]), "https://www.example.com/a/") == quoted
    jar = jar_of([field], quote_cookie=False)
    assert not jar.quote_cookie
    assert sent(jar, "https://www.example.com/a/") == raw


def test_prefixes_bind_servers_not_callers() -> None:
    jar = ClockedJar()
    jar.update_cookies({"__Secure-a": "1", "__Host-b": "2"}, "https://example.com/")
    assert sent(jar, "https://example.com/") == "__Host-b=2; __Secure-a=1"


@pytest.mark.parametrize(
    ("cookies", "expected"),
    [
        ({"a": "1", "b": 2}, "a=1; b=2"),
        ([("a", "1"), ("a", "2")], "a=2"),
        (SimpleCookie("a=1; b=2"), "a=1; b=2"),
        ({"a": SimpleCookie("a=1")["a"]}, "a=1"),
        ({"a": "é"}, r'a="\351"'),
        ({"a": None}, "a=None"),
        ({"a": "x\r\ny: z", "b": "1"}, "b=1"),
        ({}, ""),
    ],
)
def test_cookies_of_the_caller(cookies: Any, expected: str) -> None:
    jar = ClockedJar()
    jar.update_cookies(cookies, URL("http://example.com/"))
    assert sent(jar, "http://example.com/") == expected


def test_bad_arguments() -> None:
    jar = ClockedJar()
    for name in ("a b", "", "a,b", "path", "é"):
        with pytest.raises(CookieError):
            jar.update_cookies({name: "x"})
    with pytest.raises(ValueError):
        jar.update_cookies("a=1")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        jar.update_cookies(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        jar.update_cookies({"a": "1"}, 5)  # type: ignore[arg-type]
    assert len(jar) == 0


def test_morsels_of_the_caller_are_copied() -> None:
    morsel = SimpleCookie('a="1"; domain=Example.com')["a"]
    jar = ClockedJar()
    jar.update_cookies({"a": morsel}, "http://www.example.com/x/y")
    assert morsel["domain"] == "Example.com"
    assert morsel["path"] == ""
    (kept,) = jar
    assert (kept["domain"], kept["path"]) == ("example.com", "/x")


def test_morsel_with_control_characters_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    bad: Morsel[str] = Morsel()
    try:
        bad.__setstate__({"key": "a", "value": "x", "coded_value": "x\r\nSet-Cookie: y"})  # type: ignore[attr-defined]
    except CookieError:
        pytest.skip("this Python does not even make such a Morsel")
    jar = ClockedJar()
    jar.update_cookies([("a", bad), ("b", "1")])
    assert names(jar) == ["b"]
    assert "control character" in caplog.text


def test_refused_fields_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    jar = jar_of(["a b=1", "c=1"])
    assert names(jar) == ["c"]
    assert caplog.record_tuples == [
        ("fairlead.client", logging.WARNING, "Can not load cookies: illegal cookie name 'a b'")
    ]


# Time


def test_cookies_end_at_their_moment() -> None:
    jar = jar_of(["a=1; path=/; max-age=10", "b=2; path=/; max-age=20", "c=3; path=/"])
    url = "https://www.example.com/"
    assert sent(jar, url) == "a=1; b=2; c=3"
    jar.now = NOW + 9.9
    assert sent(jar, url) == "a=1; b=2; c=3"
    jar.now = NOW + 10
    assert sent(jar, url) == "b=2; c=3"
    assert len(jar) == 2
    jar.now = NOW + 20
    assert [m.key for m in jar] == ["c"]
    assert sent(jar, url) == "c=3"


def test_a_shadowed_cookie_comes_back_when_the_other_ends() -> None:
    jar = jar_of(["a=short; path=/a; max-age=10", "a=long; path=/; max-age=100"])
    assert sent(jar, "https://www.example.com/a") == "a=short"
    jar.now += 10
    assert sent(jar, "https://www.example.com/a") == "a=long"


def test_prolonged_and_shortened_cookies() -> None:
    jar = jar_of(["a=1; path=/; max-age=10"])
    url = "https://www.example.com/"
    assert sent(jar, url) == "a=1"
    jar.now += 5
    jar.update_cookies_from_headers(["a=1; path=/; max-age=10"], url)
    jar.now += 9
    assert sent(jar, url) == "a=1"
    jar.update_cookies_from_headers(["a=1; path=/; max-age=0"], url)
    assert sent(jar, url) == ""
    jar.update_cookies_from_headers(["a=1; path=/"], url)
    assert sent(jar, url) == "a=1"
    jar.update_cookies_from_headers(["a=1; path=/; max-age=3"], url)
    assert sent(jar, url) == "a=1"
    jar.now += 3
    assert sent(jar, url) == ""


def test_the_expiry_heap_stays_bounded() -> None:
    jar = ClockedJar()
    for second in range(5000):
        jar.now = NOW + second
        jar.update_cookies_from_headers(["a=1; path=/; max-age=3600"], URL("https://example.com/"))
    assert len(jar._shelf._heap) <= 2 * len(jar) + shelf.HEAP_SLACK
    jar.now += 3599
    assert sent(jar, "https://example.com/") == "a=1"
    jar.now += 1
    assert sent(jar, "https://example.com/") == ""


def test_real_time() -> None:
    jar = CookieJar()
    jar.update_cookies_from_headers(
        ["a=1; max-age=1000", "b=1; expires=Thu, 01 Jan 2015 00:00:00 GMT"], URL("http://a.b/")
    )
    assert jar.cookie_header(URL("http://a.b/")) == "a=1"


# Looking into the jar, and taking out


def test_views() -> None:
    jar = jar_of(["a=1", "b=2; path=/; domain=example.com"])
    assert len(jar) == 2
    assert bool(jar)
    assert {m.key: (m["domain"], m["path"]) for m in jar} == {"a": ("www.example.com", "/a"), "b": ("example.com", "/")}
    view = jar.cookies
    assert view["www.example.com", "/a"]["a"].value == "1"
    assert view["example.com", ""]["b"].value == "2"
    assert isinstance(view["nobody", ""], SimpleCookie)
    assert len(view) == 2
    with pytest.raises(TypeError):
        view["x", "y"] = SimpleCookie()  # type: ignore[index]
    assert jar.host_only_cookies == {("www.example.com", "/a", "a")}
    jar.clear()
    assert len(view) == len(jar) == len(list(jar)) == 0
    assert not jar
    assert jar.host_only_cookies == frozenset()


def test_filtered_cookies_have_no_attributes() -> None:
    filtered = jar_of(["a=1; path=/; secure; max-age=5"]).filter_cookies(URL("https://www.example.com/"))
    assert type(filtered) is BaseCookie
    assert filtered["a"].OutputString() == "a=1"


def test_changes_of_a_morsel_are_seen() -> None:
    jar = jar_of(["a=1; path=/", "b=2; path=/"])
    url = "https://www.example.com/"
    assert sent(jar, url) == "a=1; b=2"
    for morsel in jar:
        if morsel.key == "a":
            morsel.set("a", "changed", "changed")
    assert sent(jar, url) == "a=changed; b=2"
    jar.cookies["www.example.com", ""]["b"]["path"] = "/deeper"
    assert sent(jar, url) == "a=changed"


def test_clear_with_a_predicate() -> None:
    jar = jar_of(["a=1; path=/", "b=2; path=/", "c=3; path=/x"])
    assert sent(jar, "https://www.example.com/x") == "a=1; b=2; c=3"
    jar.clear(lambda morsel: morsel.key != "b")
    assert sent(jar, "https://www.example.com/x") == "b=2"
    assert set(jar.cookies) == {("www.example.com", "")}

    def fail(morsel: Morsel[str]) -> bool:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        jar.clear(fail)
    assert len(jar) == 1


@pytest.mark.parametrize(
    ("domain", "left"),
    [
        ("example.com", ["other", "shared"]),
        (".Example.COM", ["other", "shared"]),
        ("www.example.com", ["other", "parent", "shared"]),
        ("ample.com", ["host", "other", "parent", "shared"]),
        ("", ["host", "other", "parent"]),
    ],
)
def test_clear_domain(domain: str, left: list[str]) -> None:
    jar = jar_of(["host=1", "parent=1; domain=example.com"])
    jar.update_cookies({"other": "1"}, "https://other.org/")
    jar.update_cookies({"shared": "1"})
    jar.clear_domain(domain)
    assert names(jar) == left
    assert len(jar) == len(left)


def test_dummy_jar() -> None:
    jar = DummyCookieJar(loop=None)
    jar.update_cookies({"a": "1"}, URL("http://a.com/"))
    jar.update_cookies_from_headers(["a=1"], URL("http://a.com/"))
    jar.clear()
    jar.clear(lambda morsel: True)
    jar.clear_domain("a.com")
    assert len(jar) == 0
    assert list(jar) == []
    assert jar.cookies == {}
    assert jar.host_only_cookies == jar.treat_as_secure_origin == frozenset()
    assert (jar.unsafe, jar.quote_cookie) == (False, True)
    assert type(jar.filter_cookies(URL("http://a.com/"))) is SimpleCookie
    assert jar.cookie_header(URL("http://a.com/")) == ""


class ListJar(AbstractCookieJar):
    """The least that a jar of a user must have."""

    def __init__(self) -> None:
        super().__init__()
        self.updates: list[Any] = []

    unsafe = quote_cookie = True
    cookies: Any = {}
    host_only_cookies: Any = frozenset()

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0

    def clear(self, predicate: Any = None) -> None:
        self.updates.clear()

    def clear_domain(self, domain: str) -> None:
        self.updates.clear()

    def update_cookies(self, cookies: Any, response_url: URL = URL()) -> None:  # noqa: B008
        self.updates.append(([(name, morsel.value) for name, morsel in cookies], response_url))

    def filter_cookies(self, request_url: URL) -> BaseCookie[str]:
        return BaseCookie()


def test_abstract_jar_parses_for_its_subclasses() -> None:
    jar = ListJar()
    url = URL("http://a.com/")
    jar.update_cookies_from_headers(["a=1; max-age=0", "b b=2", "c=3"], url)
    jar.update_cookies_from_headers(["b b=2"], url)
    jar.update_cookies_from_headers([], url)
    assert jar.updates == [([("a", "1"), ("c", "3")], url)]
    assert jar.treat_as_secure_origin == frozenset()
    with pytest.raises(TypeError):
        AbstractCookieJar()  # type: ignore[abstract]


# Limits


def test_a_full_domain_gives_up_what_was_unused_for_longest() -> None:
    jar = ClockedJar()
    url = "https://example.com/"
    for number in range(shelf.MAX_COOKIES_PER_DOMAIN):
        path = "/used" if number < 10 else "/idle"
        jar.update_cookies_from_headers([f"n{number:03}=1; path={path}"], url)
    assert len(jar) == shelf.MAX_COOKIES_PER_DOMAIN
    jar.update_cookies({"elsewhere": "1"}, "https://other.org/")
    assert "n000=1" in jar.cookie_header(url + "used")
    jar.update_cookies_from_headers(["n000=2; path=/used"], url)  # a replacement needs no room
    assert len(jar) == shelf.MAX_COOKIES_PER_DOMAIN + 1
    jar.update_cookies_from_headers(["new=1; path=/"], url)
    left = names(jar)
    assert len(left) == shelf.KEPT_COOKIES_PER_DOMAIN + 1
    assert {"elsewhere", "new", "n000", "n009"} <= set(left)


def test_expired_cookies_go_before_others() -> None:
    jar = ClockedJar()
    url = "https://example.com/"
    for number in range(shelf.MAX_COOKIES_PER_DOMAIN):
        jar.update_cookies_from_headers([f"n{number}=1; path=/" + ("; max-age=5" if number == 179 else "")], url)
    jar.now += 5
    jar.update_cookies_from_headers(["new=1; path=/"], url)
    assert len(jar) == shelf.MAX_COOKIES_PER_DOMAIN
    assert "n0" in names(jar)


def test_plain_cookies_never_displace_secure_ones() -> None:
    jar = ClockedJar()
    url = "https://example.com/"
    for number in range(shelf.MAX_COOKIES_PER_DOMAIN):
        jar.update_cookies_from_headers([f"n{number}=1; path=/" + ("; secure" if number < 170 else "")], url)
    jar.update_cookies_from_headers(["plain=1; path=/"], url)
    assert len(jar) == 171  # the ten plain ones made room
    for number in range(9):
        jar.update_cookies_from_headers([f"m{number}=1; path=/; secure"], url)
    jar.clear(lambda morsel: morsel.key == "plain")
    jar.update_cookies_from_headers(["last=1; path=/; secure"], url)
    assert len(jar) == shelf.MAX_COOKIES_PER_DOMAIN
    jar.update_cookies_from_headers(["plain=1; path=/"], url)
    assert "plain" not in names(jar)
    jar.update_cookies_from_headers(["secure=1; path=/; secure"], url)
    assert "secure" in names(jar)
    assert len(jar) == shelf.KEPT_COOKIES_PER_DOMAIN


def test_a_full_jar_gives_up_what_was_unused_for_longest() -> None:
    jar = ClockedJar()
    for number in range(shelf.MAX_COOKIES):
        jar.update_cookies({"a": "1"}, URL(f"https://h{number}.com/"))
    assert len(jar) == shelf.MAX_COOKIES
    assert sent(jar, "https://h0.com/") == "a=1"
    jar.update_cookies({"a": "1"}, URL("https://new.com/"))
    assert len(jar) == shelf.KEPT_COOKIES
    assert sent(jar, "https://h0.com/") == sent(jar, "https://new.com/") == "a=1"
    assert sent(jar, "https://h1.com/") == ""
    assert len(jar._shelf._counts) == len(jar._shelf._index) == shelf.KEPT_COOKIES


def test_a_field_never_gets_longer_than_servers_take(caplog: pytest.LogCaptureFixture) -> None:
    big = "x" * 4000
    jar = jar_of([f"a={big}; path=/x", f"b={big}; path=/", f"c={'x' * 400}; path=/", "d=1; path=/"], "http://a.com/")
    assert [part[:2] for part in sent(jar, "http://a.com/x").split("; ")] == ["a=", "c=", "d="]
    assert "1 of 4 cookies are not sent to a.com" in caplog.text
    rest = jar_module.MAX_COOKIE_FIELD - 2 * 4002 - 2 * 2 - 2
    assert len(sent(jar_of([f"a={big}", f"b={big}", f"c={'x' * rest}"], "http://a.com/"), "http://a.com/")) == 8182
    assert sent(jar_of([f"a={big}", f"b={big}", f"c={'x' * (rest + 1)}"], "http://a.com/"), "http://a.com/")[0] == "b"


def test_a_field_never_holds_more_cookies_than_the_limit() -> None:
    jar = ClockedJar()
    jar.update_cookies({f"n{number:03}": "1" for number in range(180)}, "http://a.com/")
    parts = sent(jar, "http://a.com/").split("; ")
    assert len(parts) == jar_module.MAX_COOKIES_SENT
    assert parts[-1] == "n179=1"


def test_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jar_module, "MAX_ANSWERS", 8)
    jar = jar_of(["a=1; path=/x; domain=example.com"], "https://example.com/")
    for number in range(50):
        assert sent(jar, f"https://example.com/x/{number}") == "a=1"
        assert sent(jar, f"https://h{number}.example.com/") == ""
        answers = jar._shelf.answers.values()
        assert sum(len(answer) if isinstance(answer, dict) else 1 for answer in answers) <= 8


# What a lookup looks at


class CountingDict(dict[str, Any]):
    asked = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.asked += 1
        return super().get(key, default)

    def __iter__(self) -> Any:
        raise AssertionError("the whole index is walked")

    keys = values = items = __iter__


def test_a_lookup_among_many_domains_looks_at_the_suffixes_of_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "MAX_COOKIES", 20_000)
    jar = ClockedJar()
    for number in range(10_000):
        jar.update_cookies_from_headers([f"a{number}=1; path=/p; max-age=1000"], URL(f"https://h{number}.example.com/"))
    jar.update_cookies_from_headers(["parent=1; domain=example.com; path=/p"], URL("https://h7.example.com/"))
    index = jar._shelf._index = CountingDict(jar._shelf._index)
    tested: list[tuple[str, str]] = []

    def counting_path_match(cookie_path: str, request_path: str) -> bool:
        tested.append((cookie_path, request_path))
        return request_path.startswith(cookie_path)

    monkeypatch.setattr(jar_module, "path_match", counting_path_match)
    url = URL("https://h7.example.com/p")
    assert jar.cookie_header(url) == "a7=1; parent=1"
    assert index.asked == 4  # "", com, example.com, h7.example.com
    assert len(tested) == 2
    assert list(jar.filter_cookies(url)) == ["parent", "a7"]
    assert len(tested) == 4
    for _ in range(100):
        assert jar.cookie_header(url) == "a7=1; parent=1"
        assert jar.cookie_header(URL("https://elsewhere.org/")) == ""
    assert len(tested) == 4
    assert index.asked == 8 + 3  # the second host was asked for once, with its own suffixes


def test_setting_the_same_again_keeps_the_answers() -> None:
    fields = ["a=1; path=/; max-age=100; httponly", "b=2; path=/"]
    jar = jar_of(fields)
    url = "https://www.example.com/"
    assert sent(jar, url) == "a=1; b=2"
    jar.now += 50
    jar.update_cookies_from_headers(fields, url)
    assert len(jar._shelf.answers) == 1
    jar.now += 60
    assert sent(jar, url) == "a=1; b=2"
    jar.update_cookies_from_headers(["b=3; path=/"], url)
    assert sent(jar, url) == "a=1; b=3"


# Files, copies


def test_save_and_load(tmp_path: Path) -> None:
    jar = jar_of(
        [
            'a="q;é"; max-age=50; httponly; secure; samesite=Strict',
            "b=2; domain=example.com; path=/",
            f"c=3; expires={DATE}",
        ]
    )
    jar.update_cookies({"shared": "1"})
    path = tmp_path / "jar.json"
    jar.save(path)
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    other = ClockedJar()
    other.update_cookies({"old": "1"})
    other.load(str(path))
    assert names(other) == ["a", "b", "c", "shared"]
    assert other.host_only_cookies == jar.host_only_cookies
    for url in ("https://www.example.com/a/x", "https://example.com/", "https://x.example.com/a"):
        assert sent(other, url) == sent(jar, url)
    jar.now = other.now = NOW + 50
    assert (
        sent(other, "https://www.example.com/a/x") == sent(jar, "https://www.example.com/a/x") == "b=2; c=3; shared=1"
    )
    other.save(path)
    assert "q;" not in path.read_text()
    assert os.listdir(tmp_path) == ["jar.json"]


def test_load_keeps_the_rules(tmp_path: Path) -> None:
    record = {"key": "a", "value": "1", "coded_value": "1"}
    data = {
        "127.0.0.1|": {"a": record},
        "a.com|": {"a": record | {"domain": "b.com"}},
        "c.com|": {"a": record | {"expires_timestamp": NOW - 1}},
        "d.com|/x": {"a": record | {"max-age": "100"}},
    }
    path = tmp_path / "jar"
    path.write_text(json.dumps(data))
    jar = ClockedJar()
    jar.load(path)
    assert set(jar.cookies) == {("d.com", "/x")}
    jar.now += 100
    assert list(jar) == []
    unsafe = ClockedJar(unsafe=True)
    unsafe.load(path)
    assert sent(unsafe, "http://127.0.0.1/") == "a=1"


def test_a_bad_file_leaves_the_jar_as_it_was(tmp_path: Path) -> None:
    jar = jar_of(["a=1"])
    path = tmp_path / "jar"
    for data, error in [(b"", EOFError), (b"{", ValueError), (b"nope", pickle.UnpicklingError)]:
        path.write_bytes(data)
        with pytest.raises(error):
            jar.load(path)
    with pytest.raises(FileNotFoundError):
        jar.load(tmp_path / "nothing")
    assert names(jar) == ["a"]


def test_save_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "jar"
    jar = jar_of(["a=1"])
    jar.save(path)
    before = path.read_bytes()
    jar.update_cookies({"b": "2"})

    def interrupted(fd: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            jar.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["jar"]


def test_save_where_a_file_cannot_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*paths: object) -> None:
        raise OSError("device or resource busy")

    monkeypatch.setattr(os, "replace", refuse)
    path = tmp_path / "jar"
    jar_of(["a=1"]).save(path)
    assert list(json.loads(path.read_text())) == ["www.example.com|/a"]
    assert os.listdir(tmp_path) == ["jar"]
    with pytest.raises(FileNotFoundError):
        jar_of(["a=1"]).save(tmp_path / "no" / "jar")


@pytest.mark.skipif(os.name != "posix", reason="modes and symbolic links of POSIX")
def test_save_keeps_mode_and_links(tmp_path: Path) -> None:
    target, link = tmp_path / "jar", tmp_path / "link"
    target.write_text("{}")
    target.chmod(0o644)
    link.symlink_to(target)
    jar_of(["a=1"]).save(link)
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert "www.example.com|/a" in target.read_text()
    jar_of(["a=1"]).save(os.devnull)
    assert not os.path.isfile(os.devnull)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda jar: pickle.loads(pickle.dumps(jar))])
def test_copies_are_jars_of_their_own(duplicate: Any) -> None:
    jar = jar_of(["a=1; path=/; max-age=50", "b=2; path=/; domain=example.com"], treat_as_secure_origin="http://x")
    other = duplicate(jar)
    assert type(other) is ClockedJar
    assert other.treat_as_secure_origin == jar.treat_as_secure_origin
    assert other.host_only_cookies == jar.host_only_cookies
    jar.clear(lambda morsel: morsel.key == "b")
    assert sent(other, "https://www.example.com/") == "a=1; b=2"
    other.now = NOW + 50
    assert sent(other, "https://www.example.com/") == "b=2"


# aiohttp as the oracle

aiohttp = pytest.importorskip("aiohttp")
LOOP: Any = object()  # aiohttp's jar wants one and does nothing with it


def oracle_of(fields: list[str], url: str, **options: Any) -> Any:
    jar = aiohttp.CookieJar(loop=LOOP, **options)
    jar.update_cookies_from_headers(fields, URL(url))
    return jar


def contents(jar: Any) -> list[tuple[Any, ...]]:
    return sorted((m.key, m.value, m.coded_value, m["domain"], m["path"], bool(m["secure"])) for m in jar)


LATIN = st.text(st.characters(min_codepoint=32, max_codepoint=255, blacklist_characters="\x7f"))
# Without what differs on purpose: upper case in Domain, the epoch, non-ASCII and blank paths, "+5", prefixes.
HOSTS = ["example.com", "www.example.com", "a.www.example.com", "other.com", "localhost", "127.0.0.1"]
PATHS = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/%C3%A9/x"]
NAMES = st.sampled_from(["a", "b", "c", "sid", "path", "x[1]", "a b", ""])
VALUES = st.sampled_from(["1", "2", "", "x y", '"x y"', "a=b", "a,b", '"', '"a;b"', "é", "{}", r'"\054"', "x" * 3000])
ATTRIBUTES = st.one_of(
    st.sampled_from(HOSTS + [f".{host}" for host in HOSTS] + ["com", "", ".", "example.com."]).map("Domain={}".format),
    st.sampled_from([*PATHS[:-1], "", "x", '"/a"']).map("path={}".format),
    st.sampled_from(["0", "100", "-1", "x", ""]).map("Max-Age={}".format),
    st.sampled_from([DATE, "Thu, 01-Jan-1971 00:00:00 GMT", "x", ""]).map("expires={}".format),
    st.sampled_from(["Secure", "HttpOnly", "SameSite=Lax", "foo=bar", "", "version=1"]),
)
FIELDS = st.builds(
    lambda name, value, rest: "; ".join([f"{name}={value}", *rest]), NAMES, VALUES, st.lists(ATTRIBUTES, max_size=3)
)
URLS = st.builds(
    lambda scheme, host, path: f"{scheme}://{host}{path}", st.sampled_from(["http", "https"]), st.sampled_from(HOSTS),
    st.sampled_from(PATHS),
)  # fmt: skip


def expires_and_max_age_disagree(field: str) -> bool:
    # aiohttp forgets Expires when Max-Age is no number; the RFC ignores that Max-Age alone.
    ages = re.findall("Max-Age=([^;]*)", field)
    return bool(ages) and ages[-1] in ("x", "") and "expires=" in field


@given(
    st.lists(st.tuples(st.lists(FIELDS, max_size=4), URLS), max_size=4),
    st.lists(URLS, max_size=4),
    st.booleans(),
    st.booleans(),
)
def test_same_as_aiohttp(
    responses: list[tuple[list[str], str]], requests: list[str], unsafe: bool, quote: bool
) -> None:
    ours = CookieJar(unsafe=unsafe, quote_cookie=quote)
    theirs = aiohttp.CookieJar(loop=LOOP, unsafe=unsafe, quote_cookie=quote)
    for fields, url in responses:
        kept = [field for field in fields if not expires_and_max_age_disagree(field)]
        ours.update_cookies_from_headers(kept, URL(url))
        theirs.update_cookies_from_headers(kept, URL(url))
    assert contents(ours) == contents(theirs)
    assert ours.host_only_cookies == theirs.host_only_cookies
    assert {key: dict(value) for key, value in ours.cookies.items() if value} == {
        key: dict(value) for key, value in theirs.cookies.items() if value
    }
    for request in requests:
        one, two = ours.filter_cookies(URL(request)), theirs.filter_cookies(URL(request))
        assert sorted(one.items()) == sorted(two.items())
        assert ours.cookie_header(URL(request)) == "; ".join(f"{m.key}={m.coded_value}" for _, m in sorted(two.items()))


@given(st.dictionaries(st.sampled_from("abc"), LATIN), URLS, URLS, st.booleans())
def test_cookies_of_the_caller_as_with_aiohttp(cookies: dict[str, str], origin: str, request: str, quote: bool) -> None:
    ours, theirs = CookieJar(quote_cookie=quote), aiohttp.CookieJar(loop=LOOP, quote_cookie=quote)
    for jar in (ours, theirs):
        jar.update_cookies(cookies, URL(origin))
        jar.update_cookies(cookies)
    assert contents(ours) == contents(theirs)
    assert list(ours.filter_cookies(URL(request)).items()) == list(theirs.filter_cookies(URL(request)).items())


@given(st.lists(FIELDS, max_size=5), URLS, URLS)
def test_files_are_exchanged_with_aiohttp(fields: list[str], origin: str, request: str) -> None:
    import tempfile

    fields = [field for field in fields if not expires_and_max_age_disagree(field)]
    ours, theirs = CookieJar(), oracle_of(fields, origin)
    ours.update_cookies_from_headers(fields, origin)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "jar")
        theirs.save(path)
        from_theirs = CookieJar()
        from_theirs.load(path)
        ours.save(path)
        from_ours = aiohttp.CookieJar(loop=LOOP)
        from_ours.load(path)
    assert contents(from_theirs) == contents(from_ours) == contents(theirs)
    assert from_theirs.host_only_cookies == from_ours.host_only_cookies
    assert from_theirs.cookie_header(request) == ours.cookie_header(request)


@given(st.lists(st.text(), max_size=3))
def test_any_field_is_taken_or_left(fields: list[str]) -> None:
    jar = jar_of([*fields, "last=1"])
    assert "last" in names(jar)
    sent(jar, "https://www.example.com/a/b").encode("utf-8", "surrogateescape")


def test_same_members_as_aiohttp() -> None:
    for ours, theirs in [
        (AbstractCookieJar, aiohttp.abc.AbstractCookieJar),
        (CookieJar, aiohttp.CookieJar),
        (DummyCookieJar, aiohttp.DummyCookieJar),
    ]:
        for name in dir(theirs):
            if name.startswith("_"):
                continue
            mine, other = getattr(ours, name), getattr(theirs, name)
            if inspect.isfunction(other):
                assert list(inspect.signature(mine).parameters) == list(inspect.signature(other).parameters), name
            elif isinstance(other, int):
                assert mine == other
            elif isinstance(other, re.Pattern):
                assert isinstance(mine, re.Pattern)
                assert mine.groups == other.groups
                for text in (DATE, "1 jan 70 1:2:3", "Thu, 01-Jan-1971 00:00:00 GMT", "x"):
                    assert mine.findall(text) == other.findall(text)
    assert inspect.signature(CookieJar).parameters.keys() == inspect.signature(aiohttp.CookieJar).parameters.keys()
    assert AbstractCookieJar.__abstractmethods__ == aiohttp.abc.AbstractCookieJar.__abstractmethods__


def test_partitioned_follows_python() -> None:
    (morsel,) = jar_of(["a=1; secure; partitioned"])
    assert ("partitioned" in morsel) is ("partitioned" in http.cookies.Morsel())

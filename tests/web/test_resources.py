"""Resources: URLs, prefixes, matching, rules for hosts, compared with aiohttp's."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.web.routing import Site, Stub, fill, handler, now, oracle_request
from yarl import URL

from fairlead.web import resources
from fairlead.web.resources import (
    Domain,
    DynamicResource,
    MaskDomain,
    MatchedSubAppResource,
    PlainResource,
    PrefixedSubAppResource,
    PrefixResource,
    Resource,
)
from fairlead.web.routes import ResourceRoute

oracle = pytest.importorskip("aiohttp.web_urldispatcher")


def said(make: Any, *args: Any) -> Any:
    try:
        return make(*args)
    except Exception as exc:
        return type(exc).__name__, str(exc)


URL_PARTS: list[tuple[str, dict[str, Any]]] = [
    ("/{a}", {"a": "x"}),
    ("/{a}", {"a": "é"}),
    ("/{a}", {"a": "a/b"}),
    ("/{a}", {"a": "a%b"}),
    ("/{a}", {"a": "a%20b"}),
    ("/{a}", {"a": "a b"}),
    ("/{a}", {"a": "a?b#c"}),
    ("/{a}", {"a": "a+b"}),
    ("/{a}", {"a": ""}),
    ("/{a}", {}),
    ("/{a}", {"a": "x", "b": "y"}),
    ("/{a}/{b}", {"a": "{b}", "b": "y"}),
    ("/{a:\\d+}", {"a": "abc"}),
    ("/é/{a}", {"a": "é"}),
    ("/a b/{a}", {"a": "1"}),
    ("/a%20b/{a}", {"a": "1"}),
    ("/{a}/b", {"a": ".."}),
    ("/{a}", {"a": "/evil.com"}),
    ("/{a}", {"a": "%2F"}),
    ("/{a}", {"a": "a%25"}),
    ("/{a}", {"a": 'a"<>|\\^`{}'}),
    ("/{a}", {"a": "'()*,;=@!$&~"}),
    ("/{a:.*}", {"a": "x/y"}),
]


@pytest.mark.parametrize(("path", "parts"), URL_PARTS, ids=str)
def test_urls_of_dynamic_resources_are_those_of_aiohttp(path: str, parts: dict[str, Any]) -> None:
    theirs = said(lambda: oracle.DynamicResource(path).url_for(**parts))
    ours = said(lambda: DynamicResource(path).url_for(**parts))
    assert ours == theirs
    assert str(ours) == str(theirs)


@pytest.mark.parametrize("value", [3, None, b"x", URL("/x")])
def test_the_parts_of_a_url_are_texts(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^Argument should be str, got .* for 'a'$"):
        DynamicResource("/{a}").url_for(a=value)


@pytest.mark.parametrize("path", ["", "/", "/a", "/a%20b", "/%C3%A9", "/a%2Fb", "/a%25b", "/a+b", "/a'b(c)*,;=@!$&~"])
def test_urls_of_plain_resources_are_those_of_aiohttp(path: str) -> None:
    assert str(PlainResource(path).url_for()) == str(oracle.PlainResource(path).url_for())


@pytest.mark.parametrize(
    ("path", "url"), [("/é", "/%C3%A9"), ("/a b", "/a%20b"), ("/a?b", "/a%3Fb"), ("/a#b", "/a%23b"), ('/"', "/%22")]
)
def test_urls_of_plain_resources_are_percent_encoded(path: str, url: str) -> None:
    made = PlainResource(path).url_for()
    assert str(made) == url
    assert now(fill_plain(path).resolve(Stub("GET", url)))[0] is not None  # type: ignore[arg-type]


def fill_plain(path: str) -> PlainResource:
    resource = PlainResource(path)
    resource.add_route("GET", handler("x"))
    return resource


def test_what_a_url_is_made_of_comes_back_as_the_match() -> None:
    hypothesis = pytest.importorskip("hypothesis")
    text = hypothesis.strategies.text(
        hypothesis.strategies.characters(exclude_characters="{}", exclude_categories=["Cs"]), min_size=1
    )
    resource = DynamicResource("/é/{a}/x")
    resource.add_route("GET", handler("x"))

    @hypothesis.given(text)
    def check(value: str) -> None:
        url = resource.url_for(a=value)
        # A slash in a value is a separator in the URL, which is how paths are put into "{a:.*}".
        match, _ = now(resource.resolve(Stub("GET", url.raw_path)))  # type: ignore[arg-type]
        assert (match is None) == ("/" in value)
        if match is not None:
            assert match == {"a": value}

    check()


PREFIXES = ["/p", "/p/", "p", "", "/", "/p q", "/é", "/p%20q", "/p/q", "/p?"]


@pytest.mark.parametrize("path", ["", "/", "/a", "/a b", "/{a}", "/{a:\\d+}", "/é/{a}"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_of_paths_are_those_of_aiohttp(path: str, prefix: str) -> None:
    def put(lib: Any) -> Any:
        resource = (lib.DynamicResource if "{" in path else lib.PlainResource)(path)
        try:
            resource.add_prefix(prefix)
        except AssertionError:
            return "AssertionError"
        return resource.canonical, repr(resource), sorted(resource.get_info()), resource.raw_match(path)

    assert put(resources) == put(oracle)


class Anything(PrefixResource):
    def get_info(self) -> Any:
        return {}

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Any:
        return iter(())

    async def resolve(self, request: Any) -> Any:
        return None, set()

    def url_for(self, **kwargs: str) -> Any:
        return None


class OracleAnything(oracle.PrefixResource):  # type: ignore[misc,name-defined]
    get_info, __len__, __iter__ = Anything.get_info, Anything.__len__, Anything.__iter__
    resolve, url_for = Anything.resolve, Anything.url_for


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefix_resources_are_those_of_aiohttp(prefix: str) -> None:
    def put(cls: Any) -> Any:
        try:
            resource = cls(prefix, name="n")
        except AssertionError:
            return "AssertionError"
        before = resource.canonical, resource.name, resource.raw_match(prefix)
        resource.add_prefix("/z")
        return before, resource.canonical

    def add(cls: Any) -> Any:
        resource = cls("/z")
        try:
            resource.add_prefix(prefix)
        except AssertionError:
            return "AssertionError"
        return resources.decode_path(resource.canonical)

    assert put(Anything) == put(OracleAnything)
    assert add(Anything) == add(OracleAnything)


@pytest.mark.parametrize(
    ("prefix", "path", "rest"),
    [
        ("/s", "/s/a/b", "a/b"),
        ("/s", "/s/", ""),
        ("/s", "/s", None),
        ("/s", "/sa", None),
        ("/s", "/x/s/a", None),
        ("", "/a", "a"),
        ("", "*", None),
        ("/é", "/é/a%2Fb", "a%2Fb"),
        ("/%C3%A9", "/é/a", "a"),
    ],
)
def test_what_follows_a_prefix(prefix: str, path: str, rest: str | None) -> None:
    assert Anything(prefix).rest_of(path) == rest


@pytest.mark.parametrize("path", ["a", "{a}", "a/{b}"])
def test_paths_begin_with_a_slash(path: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(repr(path))):
        (DynamicResource if "{" in path else PlainResource)(path)


def test_a_resource_answers_with_the_allowed_methods() -> None:
    def ask(lib: Any, request: Any) -> Any:
        results = []
        for routes in (["GET"], ["GET", "POST"], ["POST"], ["*"], ["POST", "*"]):
            resource = lib.PlainResource("/a")
            for method in routes:
                resource.add_route(method, handler(method))
            match, allowed = now(resource.resolve(request))
            results.append((match and match.route.method, allowed, len(resource), [route.method for route in resource]))
        return results

    assert ask(resources, Stub("GET", "/a")) == ask(oracle, oracle_request("GET", "/a"))
    assert ask(resources, Stub("GET", "/b")) == ask(oracle, oracle_request("GET", "/b"))


def test_the_allowed_methods_of_an_answer_are_a_copy() -> None:
    resource = fill_plain("/a")
    for method in ("GET", "PUT"):
        _, allowed = now(resource.resolve(Stub(method, "/a")))  # type: ignore[arg-type]
        allowed.add("FOO")
    assert now(resource.resolve(Stub("PUT", "/a"))) == (None, {"GET"})  # type: ignore[arg-type]


def test_routes_that_were_made_elsewhere() -> None:
    resource = PlainResource("/a")
    first, second = ResourceRoute("GET", handler("1"), resource), ResourceRoute("GET", handler("2"), resource)
    resource.register_route(first)
    resource.register_route(second)
    assert list(resource) == [second]
    assert resource.methods == {"GET": second}
    with pytest.raises(AssertionError, match="Instance of Route class is required, got 3"):
        resource.register_route(3)  # type: ignore[arg-type]


def test_values_are_decoded_wholly() -> None:
    resource = DynamicResource("/{a}/{b:.*}")
    assert resource._match("/x%2Fy/100%25/%252F") == {"a": "x/y", "b": "100%/%2F"}
    assert resource._match("/x") is None


def test_resource_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Resource()  # type: ignore[abstract]


def site(*table: str) -> Site:
    made = Site("s")
    fill(made.router, list(table))
    return made


def test_a_sub_application() -> None:
    inner = site("GET /x", "POST /{d}")
    resource = PrefixedSubAppResource("/p", inner)  # type: ignore[arg-type]
    assert repr(resource) == "<PrefixedSubAppResource /p -> <Site s>>"
    assert resource.get_info() == {"app": inner, "prefix": "/p"}
    assert (len(resource), [route.method for route in resource]) == (2, ["GET", "POST"])
    assert not resource.raw_match("/p")
    with pytest.raises(RuntimeError, match=r"^\.url_for\(\) is not supported by sub-application root$"):
        resource.url_for()
    match, allowed = now(resource.resolve(Stub("PUT", "/p/x")))  # type: ignore[arg-type]
    assert match is not None
    assert (match.http_exception.status, match.apps, allowed) == (405, (inner,), {"GET", "POST"})
    match, allowed = now(resource.resolve(Stub("PUT", "/p/x/y")))  # type: ignore[arg-type]
    assert (match.http_exception.status, allowed) == (404, set())
    resource.add_prefix("/q")
    assert resource.canonical == "/q/p"
    assert [route.resource.canonical for route in resource if route.resource] == ["/q/p/x", "/q/p/{d}"]


def test_an_application_for_a_host() -> None:
    inner = site("GET /x")
    resource = MatchedSubAppResource(Domain("example.com"), inner)  # type: ignore[arg-type]
    assert repr(resource) == "<MatchedSubAppResource -> <Site s>>"
    assert resource.canonical == "example.com"
    info: Any = resource.get_info()
    assert (info["app"], info["rule"].canonical) == (inner, "example.com")
    assert now(resource.resolve(Stub("GET", "/x"))) == (None, set())  # type: ignore[arg-type]
    match, _ = now(resource.resolve(Stub("GET", "/x", {"Host": "EXAMPLE.com"})))  # type: ignore[arg-type]
    assert match.apps == (inner,)


DOMAINS: list[Any] = [
    "example.com", "EXAMPLE.com", "example.com:80", "example.com:8080", "http://example.com", "*", "*.example.com",
    "exa*mple.com", "-a.com", "a-.com", "a_b.com", "", ".", "a..b", "a.", "é.com", "127.0.0.1", "[::1]", "::1",
    "a" * 64 + ".com", "a" * 63 + ".com", "a b", None, 3, "localhost", "example.com/path", "a.com:", "user@a.com",
    "*:8080", "*.*", "a.*:80", "**",
]  # fmt: skip
HOSTS = [
    "example.com", "EXAMPLE.COM", "example.com:80", "example.com:8080", "example.com:443", "www.example.com",
    "a.www.example.com", "exaXmple.com", "a.b", "a.com:80", "a.com", "127.0.0.1", "127.0.0.1:8080", "", None,
    "example.com.", "exa.mple.com", "example.com:", "[::1]", "[::1]:80", "a.example.comx", "localhost",
]  # fmt: skip


@pytest.mark.parametrize("domain", DOMAINS, ids=repr)
@pytest.mark.parametrize("mask", [False, True])
def test_rules_for_hosts_are_those_of_aiohttp(domain: Any, mask: bool) -> None:
    def rule(lib: Any, request: Any) -> Any:
        made = (lib.MaskDomain if mask else lib.Domain)(domain)
        matched = []
        for host in HOSTS:
            matched.append(now(made.match(request("GET", "/", {} if host is None else {"Host": host}))))
        return made.canonical, made.get_info(), matched

    assert said(rule, resources, Stub) == said(rule, oracle, oracle_request)


def test_a_mask_stands_for_no_colon() -> None:
    assert MaskDomain("*.com").match_domain("a.com:8080")
    assert not MaskDomain("*.com:8080").match_domain("a.com:80")
    assert isinstance(MaskDomain("*"), Domain)

"""The router: who answers which path, compared with aiohttp's; names, freezing, views; and what a lookup costs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.web.routing import Site, Stub, fill, handler, now, oracle_request, outcome

from fairlead.web.exceptions import HTTPMethodNotAllowed, HTTPNotFound
from fairlead.web.resources import AbstractResource, DynamicResource, PlainResource
from fairlead.web.router import UrlDispatcher
from fairlead.web.routes import MatchInfoError, SystemRoute, UrlMappingMatchInfo
from fairlead.web.view import View

oracle = pytest.importorskip("aiohttp.web")

METHODS = "GET HEAD POST PUT DELETE OPTIONS FOO".split()

TABLES: list[tuple[list[str], str]] = [
    (["GET /", "POST /", "GET /a", "* /any", "FOO /foo"], "/ /a /any /foo /b /a/ //a"),
    (["GET /{a}", "GET /x"], "/x /y / /x/y"),
    (["GET /{a}/b", "GET /a/{b}"], "/a/b /c/b /a/c /c/d"),
    (["GET /a/{b:.*}", "GET /a/"], "/a/ /a /a/b /a/b/c"),
    (["GET /a/", "GET /a/{b:.*}"], "/a/ /a /a/b"),
    (["GET /{a:.*}", "GET /"], "/ /x /x/y/z"),
    (["GET /", "GET /{a:.*}"], "/ /x"),
    (["POST /a", "GET /{a}", "PUT /{a:.*}"], "/a /b"),
    (["POST /a", "PUT /{a}", "* /{a:.*}"], "/a /b /b/c"),
    (["GET /a", "POST /a", "PUT /{x}", "DELETE /{x:.*}"], "/a /b /b/c"),
    (["GET /a{b}", "GET /{a}", "GET /{a}.html", "GET /{a}-{b}"], "/ab /a /x.html /x-y /x-y-z"),
    (["GET /a/b{c}", "GET /a/{c}", "GET /a/bc"], "/a/bc /a/bd /a/c /a/b"),
    (["GET /a//{c}", "GET /a/{c}", "GET //a"], "/a//x /a/x /a/ //a"),
    (["GET /a//", "GET /a/", "GET /a"], "/a// /a/ /a /a///"),
    (["GET /a{b:/.*}", "GET /a/{c:.*}"], "/a/x /a/"),
    (["GET /{a:x/y}", "GET /x/{b}"], "/x/y /x/z"),
    (["GET /u/{id:\\d+}", "POST /u/{id}", "GET /u/{id:\\d{2,3}}/{b}"], "/u/1 /u/x /u/12/3 /u/1/3 /u/1234/3"),
    (["GET /users/{id}", "GET /users", "POST /users", "GET /users/"], "/users /users/ /users/1 /users/1/"),
    (["GET /a/b/c/d/{e}", "GET /{x}"], "/a/b/c/d/e /a/b/c /a /a/b/c/d/e/f/g/h"),
    (["GET /{a}{b}", "GET /{a:[^/]*}.{e}"], "/xy /x /.py"),
    # Escapes: %2F and %25 are data; everything else is compared decoded.
    (
        ["GET /é", "GET /a b", "GET /a%2Fb", "GET /a%25b", "GET /a+b", "GET /a:b", "GET /q?x", "GET /~"],
        "/%C3%A9 /%c3%a9 /a%20b /a%2Fb /a%2fb /a%25b /a+b /a%2Bb /a:b /a%3Ab /q%3Fx /q?x /%7E /%7e /a%2525b /%FF /%",
    ),
    (
        ["GET /{a}", "PUT /{a:.*}", "POST /{a:é+}", "DELETE /{a:a b}"],
        "/%C3%A9 /a%20b /a%2Fb /a%2fb /a%25b /a%252Fb /a%2525b /a%b /%FF /%C3 /a%00 /a%0Ab /%7Ba%7D /%E4%B8%AD /a%5Cb"
        " /%2F /a%2F%25%C3%A9 /.. /%2e%2e /a;b /a%3Bb /a@b /%61 /%zz /%25zz /a%2F/b",
    ),
    (
        ["GET /a%2Fb/{x}", "GET /a%25b/{x}", "GET /a:b/{x}", "GET /a~b/{x}"],
        "/a%2Fb/v /a%2fb/v /a%25b/v /a:b/v /a~b/%7E",
    ),
    (["GET "], "/ *"),
    (["GET /", "GET /{a:.*}", "OPTIONS /x"], "* /x x"),
]


def cases() -> Iterator[Any]:
    for table, paths in TABLES:
        for path in paths.split():
            yield pytest.param(table, path, id=f"{' | '.join(table)} @ {path}")


@pytest.mark.parametrize(("table", "path"), list(cases()))
def test_answers_as_aiohttp(table: list[str], path: str) -> None:
    ours, theirs = fill(UrlDispatcher(), table), fill(oracle.UrlDispatcher(), table)
    for method in [*METHODS, "freeze", *METHODS]:
        if method == "freeze":
            ours.freeze()
            theirs.freeze()
            continue
        expected = outcome(now(theirs.resolve(oracle_request(method, path))))
        assert outcome(now(ours.resolve(Stub(method, path)))) == expected, method
        # The second time it is answered from the tables.
        assert outcome(now(ours.resolve(Stub(method, path)))) == expected, method


def test_random_tables_answer_as_aiohttp() -> None:
    hypothesis = pytest.importorskip("hypothesis")
    st = hypothesis.strategies
    segment = st.sampled_from(["a", "b", "a-b", "", "{x}", "{y:[ab]+}", "{z:.*}", "c{w}"])
    path = st.lists(segment, min_size=1, max_size=4, unique=True).map(lambda parts: "/" + "/".join(parts))
    route = st.tuples(st.sampled_from(["GET", "POST", "*"]), path)
    asked = st.lists(st.sampled_from(["a", "b", "a-b", "", "ca", "%61", "a%2Fb"]), max_size=4)

    @hypothesis.given(st.lists(route, min_size=1, max_size=8), asked)
    def check(routes: list[tuple[str, str]], parts: list[str]) -> None:
        ours, theirs = UrlDispatcher(), oracle.UrlDispatcher()
        for method, template in routes:
            results = []
            for router in (ours, theirs):
                try:
                    router.add_route(method, template, handler(f"{method} {template}"))
                except RuntimeError as exc:
                    results.append(str(exc))
                else:
                    results.append("added")
            assert results[0] == results[1]
        target = "/" + "/".join(parts)
        for method in ("GET", "POST", "PUT"):
            found = outcome(now(ours.resolve(Stub(method, target))))
            assert found == outcome(now(theirs.resolve(oracle_request(method, target)))), (method, target)

    check()


PATHS = [
    "", "a", "/", "/a", "a/b", "*", "//", "/{a", "/a}", "/{a}}", "/{{a}}", "/{}", "/{1a}", "/{a-b}", "/{a:}", "/{a:[}",
    "/{a:(}", "/{a:\\d{2}}/x", "/{a}/{a}", "/x{a}y", "/{é}", "/{ a }", "{a}", "{a}/b", "/{a:(?P<z>x)}", "/{a:b:c}",
    "/{a}/b c", "/a%20b/{a}", "/é/{a}", "/a%b/{x}", "/{x}%", "/a?b#/{x}", "/a\\/{x}", "/%2f/{x}",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_paths_are_read_as_aiohttp_reads_them(path: str) -> None:
    def read(router: Any) -> tuple[Any, ...]:
        try:
            resource = router.add_resource(path)
        except Exception as exc:
            return type(exc), str(exc)
        info = resource.get_info()
        return type(resource).__name__, resource.canonical, sorted(info), repr(resource), resource.raw_match(path)

    assert read(UrlDispatcher()) == read(oracle.UrlDispatcher())


@pytest.mark.parametrize("path", ["/{a:\\d+}", "/{a}-{b}", "/x.y/{a}", "/a%2Fb/{x:.*}", "/{a:\\d{2}}/x"])
def test_patterns_are_those_of_aiohttp(path: str) -> None:
    assert UrlDispatcher().add_resource(path).get_info() == oracle.UrlDispatcher().add_resource(path).get_info()


NAMES: list[Any] = [
    "a", "a.b", "a:b-c", "a b", "1a", "class", "a.class", "", ".", "a..b", "é", "a.1", "self", "True", "a/b", "match",
    "async", "_", "print",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_are_those_of_aiohttp(name: str) -> None:
    def add(router: Any) -> Any:
        try:
            router.add_resource("/", name=name)
        except ValueError as exc:
            return str(exc)
        return list(router), name in router, len(router), router[name].name

    assert add(UrlDispatcher()) == add(oracle.UrlDispatcher())


METHOD_NAMES = ["get", "GeT", "FOO", "f o", "", "*", "GE\nT", "GET ", "é", "foo-bar!#$%&", "A(B"]


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_methods_are_those_of_aiohttp(method: str) -> None:
    def add(router: Any) -> str:
        try:
            return str(router.add_route(method, "/", handler("")).method)
        except ValueError as exc:
            return f"ValueError: {exc}"

    assert add(UrlDispatcher()) == add(oracle.UrlDispatcher())


Build = Callable[[Any], Any]
DUPLICATES: dict[str, Build] = {
    "same method": lambda r: [r.add_post("/a", handler("")), r.add_post("/a", handler(""))],
    "after any": lambda r: [r.add_route("*", "/a", handler("")), r.add_post("/a", handler(""))],
    "any after": lambda r: [r.add_post("/a", handler("")), r.add_route("*", "/a", handler(""))],
    "any twice": lambda r: [r.add_route("*", "/a", handler("")), r.add_route("*", "/a", handler(""))],
    "head of get": lambda r: [r.add_get("/a", handler("")), r.add_head("/a", handler(""))],
    "head without": lambda r: [r.add_get("/a", handler(""), allow_head=False), r.add_head("/a", handler(""))],
    "case": lambda r: [r.add_route("get", "/a", handler("")), r.add_route("GET", "/a", handler(""))],
    "other between": lambda r: [
        r.add_post("/a", handler("")),
        r.add_put("/b", handler("")),
        r.add_post("/a", handler("")),
    ],
    "name": lambda r: [r.add_post("/a", handler(""), name="n"), r.add_post("/b", handler(""), name="n")],
    "names": lambda r: [r.add_post("/a", handler(""), name="n"), r.add_post("/a", handler(""), name="m")],
    "no name": lambda r: [r.add_post("/a", handler(""), name="n"), r.add_get("/a", handler(""))],
    "joins": lambda r: [r.add_post("/a", handler(""), name="n"), r.add_get("/a", handler(""), name="n")],
    "dynamic": lambda r: [r.add_post("/{a}", handler("")), r.add_post("/{a}", handler(""))],
    "dynamic, other variable": lambda r: [r.add_post("/{a}", handler("")), r.add_post("/{b}", handler(""))],
    "all verbs": lambda r: [
        getattr(r, f"add_{verb}")("/a", handler("")) for verb in "head post put patch delete options view".split()
    ],
}


@pytest.mark.parametrize("case", DUPLICATES)
def test_duplicates_are_those_of_aiohttp(case: str) -> None:
    def add(router: Any) -> Any:
        try:
            returned = [route.method for route in DUPLICATES[case](router)]
        except (RuntimeError, ValueError) as exc:
            return type(exc), str(exc)
        routes = [(route.method, route.name, route.resource.canonical) for route in router.routes()]
        names = {name: resource.canonical for name, resource in router.items()}
        return returned, routes, [repr(resource) for resource in router.resources()], names

    assert add(UrlDispatcher()) == add(oracle.UrlDispatcher())


def test_a_frozen_router_takes_no_resources_but_its_resources_take_routes() -> None:
    router = UrlDispatcher()
    resource = router.add_resource("/a")
    assert not router.frozen
    router.freeze()
    router.freeze()
    assert router.frozen
    for add in (
        lambda: router.add_get("/b", handler("")),
        lambda: router.register_resource(PlainResource("/b")),
        lambda: router.add_resource("/{b}"),
    ):
        with pytest.raises(RuntimeError, match=r"^Cannot register a resource into frozen router\.$"):
            add()
    assert now(router.resolve(Stub("GET", "/a"))).http_exception.status == 404
    resource.add_route("GET", handler("late"))
    assert outcome(now(router.resolve(Stub("GET", "/a"))))[1] == "late"


def test_an_empty_path_is_the_root_of_a_frozen_router() -> None:
    router = fill(UrlDispatcher(), ["GET "])
    assert now(router.resolve(Stub("GET", "/"))).http_exception.status == 404
    router.freeze()
    assert outcome(now(router.resolve(Stub("GET", "/"))))[1] == "GET "
    assert next(iter(router.resources())).canonical == "/"


def test_only_resources_are_registered() -> None:
    with pytest.raises(AssertionError, match="Instance of AbstractResource class is required, got 3"):
        UrlDispatcher().register_resource(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="path should be str, got None"):
        UrlDispatcher().add_resource(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/a", "/a/{x}"])
def test_a_resource_is_found_under_its_new_path_after_it_is_indexed_anew(path: str) -> None:
    router = fill(UrlDispatcher(), [f"GET {path}"])
    resource = next(iter(router.resources()))
    asked = path.format(x=1)
    assert now(router.resolve(Stub("GET", asked))).http_exception is None
    router.unindex_resource(resource)
    assert now(router.resolve(Stub("GET", asked))).http_exception.status == 404
    resource.add_prefix("/p")
    router.index_resource(resource)
    assert now(router.resolve(Stub("GET", asked))).http_exception.status == 404
    assert now(router.resolve(Stub("GET", f"/p{asked}"))).http_exception is None
    with pytest.raises(KeyError):
        router.unindex_resource(PlainResource("/elsewhere"))


def test_views_of_resources_and_routes() -> None:
    router = fill(UrlDispatcher(), ["GET /a", "POST /a", "GET /{b}"])
    resources_view, routes_view = router.resources(), router.routes()
    assert (len(resources_view), len(routes_view)) == (2, 3)
    assert all(resource in resources_view for resource in resources_view)
    assert all(route in routes_view for route in routes_view)
    assert 3 not in resources_view
    assert 3 not in routes_view
    assert [route.method for route in routes_view] == ["GET", "POST", "GET"]
    router.add_get("/later", handler(""))
    assert (len(resources_view), len(routes_view)) == (3, 3)


def test_the_router_is_a_mapping_of_names() -> None:
    router = UrlDispatcher()
    assert not router
    route = router.add_get("/a", handler(""), name="n")
    assert dict(router) == {"n": route.resource} == dict(router.named_resources())
    assert router.get("m") is None
    with pytest.raises(KeyError):
        router["m"]
    with pytest.raises(TypeError):
        router.named_resources()["m"] = route.resource  # type: ignore[index]


def test_what_an_error_match_says() -> None:
    router = fill(UrlDispatcher(), ["GET /a", "POST /a"])
    match = now(router.resolve(Stub("DELETE", "/a")))
    error = match.http_exception
    assert isinstance(match, MatchInfoError)
    assert isinstance(error, HTTPMethodNotAllowed)
    assert (error.method, set(error.allowed_methods)) == ("DELETE", {"GET", "POST"})
    assert repr(match) == "<MatchInfoError 405: Method Not Allowed>"
    assert isinstance(match.route, SystemRoute)
    assert match.get_info() == {"http_exception": error}
    with pytest.raises(HTTPMethodNotAllowed):
        now(match.handler(None))
    missing = now(router.resolve(Stub("DELETE", "/b")))
    assert isinstance(missing.http_exception, HTTPNotFound)
    assert missing.http_exception is not now(router.resolve(Stub("DELETE", "/b"))).http_exception


SITES = {
    "root": ["GET /", "GET /p/x", "GET /p/{z}", "PUT /p/y", "GET /{any:.*}"],
    "sub": ["GET /x", "GET ", "GET /", "POST /y", "GET /d/{id}"],
    "deep": ["GET /deep", "GET ", "GET /{v:\\d+}"],
}
NESTED_PATHS = (
    "/ /p/x /p/zz /p /p/ /p/y /p/d/3 /p/d/a%2Fb /p/t/deep /p/t /p/t/ /p/t/no /p/t/7 /px /p/no/no /other /p//x /P/x"
    " /%70/x /p/%64/3 /p%2Fx"
).split()


def nested(application: Callable[[], Any], first: bool) -> Any:
    root, sub, deep = application(), application(), application()
    fill(deep.router, SITES["deep"])
    fill(sub.router, SITES["sub"])
    sub.add_subapp("/t", deep)
    if first:
        root.add_subapp("/p/", sub)
    fill(root.router, SITES["root"])
    if not first:
        root.add_subapp("/p", sub)
    return root


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("path", NESTED_PATHS)
def test_sub_applications_answer_as_in_aiohttp(path: str, first: bool) -> None:
    ours, theirs = nested(Site, first), nested(oracle.Application, first)
    for method in METHODS:
        expected = outcome(now(theirs.router.resolve(oracle_request(method, path))))
        assert outcome(now(ours.router.resolve(Stub(method, path)))) == expected, method


def test_routes_of_sub_applications_are_listed_with_their_prefixes() -> None:
    def listed(application: Any) -> Any:
        root = nested(application, False)
        resources_listed = [type(resource).__name__ for resource in root.router.resources()]
        return resources_listed, [(route.method, route.resource.canonical) for route in root.router.routes()]

    assert listed(Site) == listed(oracle.Application)


def test_the_applications_of_a_match_have_the_outermost_first() -> None:
    root = nested(Site, False)
    match = now(root.router.resolve(Stub("GET", "/p/t/deep")))
    match.add_app(root)
    match.freeze()
    deep = match.current_app
    assert match.apps[0] is root
    assert match.apps[-1] is deep
    assert len(match.apps) == 3
    with pytest.raises(RuntimeError, match=r"^Cannot change apps stack after \.freeze\(\) call$"):
        match.add_app(root)


HOSTS = ["example.com", "EXAMPLE.com:8080", "x.org", "x.y.org:1", "other", "", None]


def hosted(application: Callable[[], Any]) -> Any:
    root, exact, mask = application(), application(), application()
    fill(root.router, ["GET /", "GET /only", "GET /{x}"])
    fill(exact.router, ["GET /", "POST /p", "GET /sub/{y}"])
    fill(mask.router, ["GET /m"])
    root.add_domain("example.com", exact)
    root.add_domain("*.org", mask)
    return root


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", "/ /only /p /zz/zz /m /x /sub/1".split())
def test_domains_are_asked_before_paths(host: str | None, path: str) -> None:
    ours, theirs = hosted(Site), hosted(oracle.Application)
    headers = {} if host is None else {"Host": host}
    for method in METHODS:
        expected = outcome(now(theirs.router.resolve(oracle_request(method, path, headers))))
        assert outcome(now(ours.router.resolve(Stub(method, path, headers)))) == expected, method


def test_a_domain_inside_a_prefix() -> None:
    root, sub, inner = Site("root"), Site("sub"), Site("inner")
    fill(inner.router, ["GET /x"])
    sub.add_domain("example.com", inner)
    root.add_subapp("/p", sub)
    match = now(root.router.resolve(Stub("GET", "/p/x", {"Host": "example.com"})))
    assert outcome(match)[:2] == ({}, "GET /x")
    assert match.apps == (sub, inner)
    assert now(root.router.resolve(Stub("GET", "/p/x", {"Host": "example.org"}))).http_exception.status == 404


WRITTEN = [
    # What is written, what is asked for, the values: aiohttp never matches these, since it compares the constant parts
    # percent-encoded with a decoded path.
    ("/é/{a}", "/%C3%A9/x", {"a": "x"}),
    ("/%C3%A9/{a}", "/%c3%a9/x", {"a": "x"}),
    ("/a b/{a}", "/a%20b/x", {"a": "x"}),
    ("/a%20b/{a}", "/a%20b/x", {"a": "x"}),
    ("/a%2Bb/{a}", "/a+b/x", {"a": "x"}),
    ("/a|b/{a}", "/a%7Cb/x", {"a": "x"}),
    ("/%C3%A9", "/%C3%A9", {}),
    ("/a%20b", "/a%20b", {}),
    ("/%7euser", "/~user", {}),
]


@pytest.mark.parametrize(("written", "asked", "values"), WRITTEN)
def test_paths_may_be_written_encoded_or_decoded(written: str, asked: str, values: dict[str, str]) -> None:
    router = fill(UrlDispatcher(), [f"GET {written}"])
    match = now(router.resolve(Stub("GET", asked)))
    assert match.http_exception is None
    assert match == values


@pytest.mark.parametrize("prefix", ["/é", "/%C3%A9", "/%c3%a9"])
@pytest.mark.parametrize("path", ["/x", "/{d}", "/é/{d}"])
def test_prefixes_may_be_written_encoded_or_decoded(prefix: str, path: str) -> None:
    root, sub = Site("root"), Site("sub")
    fill(sub.router, [f"GET {path}"])
    root.add_subapp(prefix, sub)
    asked = f"/%C3%A9{path}".replace("é", "%C3%A9").replace("{d}", "v")
    match = now(root.router.resolve(Stub("GET", asked)))
    assert match.http_exception is None
    assert match.apps == (sub,)
    assert str(match.route.url_for(**match)).lower() == asked.lower()


class Odd(AbstractResource):
    """A resource of somebody else, that notes what it is asked."""

    def __init__(self, canonical: str) -> None:
        super().__init__()
        self.path = canonical
        self.asked: list[str] = []

    @property
    def canonical(self) -> str:
        return self.path

    def url_for(self, **kwargs: str) -> Any:
        raise NotImplementedError

    def add_prefix(self, prefix: str) -> None:
        self.path = prefix + self.path

    def get_info(self) -> Any:
        return {}

    def raw_match(self, path: str) -> bool:
        return False

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    async def resolve(self, request: Any) -> tuple[UrlMappingMatchInfo | None, set[str]]:
        self.asked.append(request.rel_url.path)
        return None, {"ODD"}


def test_resources_of_others_are_asked_in_their_turn() -> None:
    router = UrlDispatcher()
    odd = Odd("/c/{x}")
    router.register_resource(odd)
    fill(router, ["GET /c", "PUT /c/d"])
    assert outcome(now(router.resolve(Stub("PUT", "/c/d"))))[1] == "PUT /c/d"
    assert odd.asked == []
    assert now(router.resolve(Stub("GET", "/c/d"))).http_exception.allowed_methods == {"ODD", "PUT"}
    assert outcome(now(router.resolve(Stub("GET", "/c"))))[1] == "GET /c"
    assert odd.asked == ["/c/d", "/c"], "it was added before /c and has the same prefix, so it is asked before"
    assert now(router.resolve(Stub("GET", "/d"))).http_exception.status == 404
    assert len(odd.asked) == 2


def test_overridden_matching_is_respected() -> None:
    class Loose(PlainResource):
        def _match(self, path: str) -> dict[str, str] | None:
            return {"loose": path} if path.lower() == self.canonical else None

    class Closed(DynamicResource):
        async def resolve(self, request: Any) -> tuple[UrlMappingMatchInfo | None, set[str]]:
            return None, set()

    router = UrlDispatcher()
    loose, closed = Loose("/a"), Closed("/b/{x}")
    for resource in (loose, closed):
        resource.add_route("GET", handler("own"))
        router.register_resource(resource)
    assert now(router.resolve(Stub("GET", "/a"))) == {"loose": "/a"}
    assert now(router.resolve(Stub("GET", "/b/x"))).http_exception.status == 404


def test_a_view_answers_every_method() -> None:
    class Answer(View):
        async def get(self) -> Any:
            return "got"

    router = UrlDispatcher()
    route = router.add_view("/v", Answer)
    assert (route.method, route.handler) == ("*", Answer)
    match = now(router.resolve(Stub("PATCH", "/v")))
    assert match.handler is Answer


# What a lookup costs, in resources that are asked, since time says little on a machine that others use.


class Count:
    def __init__(self) -> None:
        self.tries = 0


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Count:
    count = Count()

    for cls in (PlainResource, DynamicResource):

        def counting(self: Any, path: str, match: Any = cls._match) -> Any:
            count.tries += 1
            return match(self, path)

        monkeypatch.setattr(cls, "_match", counting)
    return count


def tries(count: Count, router: UrlDispatcher, path: str) -> int:
    now(router.resolve(Stub("GET", path)))
    count.tries = 0
    now(router.resolve(Stub("GET", path)))
    return count.tries


@pytest.mark.parametrize("size", [0, 10, 1000])
def test_the_cost_of_a_dynamic_lookup_does_not_grow(asked: Count, size: int) -> None:
    router = UrlDispatcher()
    for number in range(size):
        router.add_get(f"/static{number}", handler(""))
        router.add_get(f"/section/static{number}/page", handler(""))
        router.add_get(f"/dynamic{number}/{{id}}", handler(""))
        router.add_get(f"/dynamic{number}/{{id}}/edit", handler(""))
        router.add_get(f"/section/dynamic{number}/{{id}}", handler(""))
    router.add_get("/users/{id}", handler(""))
    router.add_get("/section/users/{id}/posts/{post}", handler(""))
    router.freeze()
    assert tries(asked, router, "/users/1") == 1
    assert tries(asked, router, "/section/users/1/posts/2") == 1
    assert tries(asked, router, "/nothing/here") == 0
    assert tries(asked, router, "/section/nothing") == 0
    if size:
        assert tries(asked, router, f"/dynamic{size - 1}/1") == 1
        assert tries(asked, router, f"/dynamic{size - 1}/1/edit") == 2
        assert tries(asked, router, f"/section/dynamic{size // 2}/1") == 1


@pytest.mark.parametrize("size", [1, 1000])
def test_a_plain_path_asks_nobody(size: int) -> None:
    router = UrlDispatcher()
    for number in range(size):
        router.add_get(f"/s/{number}", handler(f"{number}"))
        router.add_get(f"/s/{number}/{{id}}", handler(""))
    router.freeze()
    path = f"/s/{size - 1}"
    now(router.resolve(Stub("GET", path)))

    class Bare:
        method = "GET"
        routing_path = path

    assert outcome(now(router.resolve(Bare())))[1] == str(size - 1)  # type: ignore[arg-type]


def test_a_path_of_many_slashes_costs_no_more_than_the_longest_prefix() -> None:
    router = fill(UrlDispatcher(), ["GET /a/b/{x}", "GET /{y:z.*}"])
    now(router.resolve(Stub("GET", "/")))
    looked_up: list[str] = []

    class Spy(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            looked_up.append(key)
            return super().get(key, default)

    router._asked = Spy(router._asked)
    assert now(router.resolve(Stub("GET", "/a/b" + "/" * 8000))).http_exception.status == 404
    assert looked_up == ["/a/b", "/a", "/"]
    looked_up.clear()
    assert now(router.resolve(Stub("GET", "/z" + "/" * 8000))).route.resource.canonical == "/{y}"
    assert all(len(key) < 10 for key in looked_up)


def test_no_warnings_while_routes_are_added() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fill(UrlDispatcher(), ["GET /", "POST /{a}"])

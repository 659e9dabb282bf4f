"""Middlewares: their order, the current application, old ones, and the redirects that normalize paths.

What the middlewares of nested applications see is compared with aiohttp, request by request.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from tests.web.routing import Site, Stub, fill, handler, now, oracle_request
from yarl import URL

from fairlead.web import exceptions, middlewares
from fairlead.web.middlewares import compose, is_new_style, middleware, normalize_path_middleware, warn_of_old_style
from fairlead.web.view import View

oracle = pytest.importorskip("aiohttp.web")

Log = list[Any]
Names = dict[int, str]


def current(names: Names, request: Any) -> str:
    return names[id(request.match_info.current_app)]


def new_style(mark: Callable[[Any], Any], name: str, names: Names, log: Log) -> Any:
    @mark
    async def layer(request: Any, handler: Any) -> Any:
        log.append((name, "in", current(names, request), handler.__name__))
        try:
            return await handler(request)
        finally:
            log.append((name, "out", current(names, request)))

    return layer


def old_style(name: str, names: Names, log: Log) -> Any:
    async def factory(app: Any, handler: Any) -> Any:
        log.append((name, "made", names[id(app)]))

        async def layer(request: Any) -> Any:
            log.append((name, "in", current(names, request)))
            return await handler(request)

        return layer

    return factory


class Library:
    """Builds a tree of applications and asks the root, with either library."""

    def __init__(self, ours: bool) -> None:
        self.ours = ours
        self.names: Names = {}
        self.log: Log = []

    def app(self, name: str, *layers: str) -> Any:
        made: list[Any] = []
        for layer in layers:
            if layer.startswith("old"):
                made.append(old_style(layer, self.names, self.log))
            else:
                made.append(new_style(middleware if self.ours else oracle.middleware, layer, self.names, self.log))
        app = Site(name, *made) if self.ours else oracle.Application(middlewares=made)
        self.names[id(app)] = name

        async def answer(request: Any) -> Any:
            self.log.append(
                ("handler", current(self.names, request), [self.names[id(a)] for a in request.match_info.apps])
            )
            if "boom" in request.rel_url.path:
                raise ZeroDivisionError
            return oracle.Response()

        app.router.add_route("GET", "/h", answer)
        app.router.add_route("GET", "/boom", answer)
        return app

    def ask(self, app: Any, path: str) -> Log:
        self.log.clear()
        try:
            if self.ours:
                request = Stub("GET", path)
                match = now(app.router.resolve(request))  # type: ignore[arg-type]
                match.bind(app)
                request.match_info = match
                now(compose(match.handler, match.apps)(request))  # type: ignore[arg-type]
                assert match.current_app is match.apps[-1]
            else:
                app.freeze()
                asyncio.run(app._handle(oracle_request("GET", path).clone()))
        except (exceptions.HTTPException, oracle.HTTPException) as exc:
            self.log.append(exc.status)
        except ZeroDivisionError:
            self.log.append("boom")
        return [entry for entry in self.log if not (isinstance(entry, tuple) and entry[1] == "made")]


def tree(lib: Library, root: list[str], sub: list[str], deep: list[str]) -> Any:
    apps = lib.app("root", *root), lib.app("sub", *sub), lib.app("deep", *deep)
    apps[1].add_subapp("/t", apps[2])
    apps[0].add_subapp("/s", apps[1])
    return apps


TREES: list[tuple[list[str], list[str], list[str]]] = [
    ([], [], []),
    (["r1", "r2"], [], []),
    ([], ["s1", "s2"], []),
    ([], [], ["d1"]),
    (["r1"], [], ["d1"]),
    (["r1", "r2"], ["s1", "s2"], ["d1"]),
    (["r1"], ["s1"], []),
]


@pytest.mark.parametrize("layers", TREES, ids=str)
@pytest.mark.parametrize("path", "/h /s/h /s/t/h /s/t/no /no /s/no /boom /s/boom /s/t/boom".split())
def test_middlewares_see_what_they_see_in_aiohttp(layers: tuple[list[str], list[str], list[str]], path: str) -> None:
    logs = []
    for ours in (True, False):
        lib = Library(ours)
        apps = tree(lib, *layers)
        logs.append(lib.ask(apps[0], path))
        assert lib.ask(apps[0], path) == logs[-1], "the second request is as the first"
    assert logs[0] == logs[1]


OLD_TREES: list[tuple[list[str], list[str], list[str]]] = [
    (["old1"], [], []),
    (["old1", "r2"], ["s1", "old2"], []),
    (["old1"], ["s1"], ["d1", "old2"]),
]


@pytest.mark.filterwarnings("ignore:old-style middleware:DeprecationWarning")
@pytest.mark.parametrize("layers", OLD_TREES, ids=str)
@pytest.mark.parametrize("path", "/h /s/h /s/t/h /no".split())
def test_old_middlewares_run_in_their_turn(layers: tuple[list[str], list[str], list[str]], path: str) -> None:
    logs = []
    for ours in (True, False):
        lib = Library(ours)
        apps = tree(lib, *layers)
        # The handler's name is not compared: it is the factory's doing what it gives on.
        logs.append([entry[:3] if isinstance(entry, tuple) else entry for entry in lib.ask(apps[0], path)])
    assert logs[0] == logs[1]


def test_a_new_root_may_have_an_old_sub_application() -> None:
    """aiohttp looks at the root alone to tell whether any middleware is old, and calls the factory as a middleware."""
    lib = Library(True)
    apps = tree(lib, ["r1"], ["old1"], [])
    assert lib.ask(apps[0], "/s/h") == [
        ("r1", "in", "root", "answer"),
        ("old1", "in", "sub"),
        ("handler", "sub", ["root", "sub"]),
        ("r1", "out", "root"),
    ]


def test_an_old_middleware_is_made_with_its_own_application_for_each_request() -> None:
    lib = Library(True)
    apps = tree(lib, ["old1"], ["old2"], [])
    for _ in range(2):
        lib.ask(apps[0], "/s/h")
        assert [entry for entry in lib.log if entry[1] == "made"] == [("old1", "made", "root"), ("old2", "made", "sub")]


def test_old_middlewares_are_warned_of() -> None:
    factory = old_style("x", {}, [])
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        oracle.Application(middlewares=[factory]).freeze()
    with pytest.warns(DeprecationWarning, match="old-style") as ours:
        warn_of_old_style([factory, middleware(partial(factory))])
    assert [str(warning.message) for warning in ours] == [str(warning.message) for warning in seen]


def test_without_middlewares_the_handler_is_left_alone() -> None:
    answer: Any = handler("x")
    assert compose(answer, (Site("a"), Site("b"))) is answer  # type: ignore[arg-type]


def test_what_is_a_middleware() -> None:
    class Counting:
        __middleware_version__ = 1
        count = 0

        async def __call__(self, request: Any, handler: Any) -> Any:
            self.count += 1
            return await handler(request)

    class Holder:
        @middleware
        async def method(self, request: Any, handler: Any) -> Any:
            return await handler(request), "method"

    @middleware
    def plain(request: Any, handler: Any) -> Any:
        return handler(request)

    counting = Counting()
    layers = [Holder().method, plain, counting, middleware(partial(plain))]
    assert all(is_new_style(layer) for layer in layers)
    assert not is_new_style(partial(plain)), "a partial does not hand on what it is marked with"
    chain = compose(handler("x"), [Site("a", *layers)])  # type: ignore[list-item]
    assert now(chain(None)) == ("x", "method")  # type: ignore[arg-type]
    assert counting.count == 1


def test_the_chain_is_dressed_as_the_handler() -> None:
    async def named(request: Any) -> Any:
        """Answer."""

    named.mark = 1  # type: ignore[attr-defined]
    seen: list[Any] = []

    @middleware
    async def look(request: Any, handler: Any) -> Any:
        seen.append((handler.__name__, handler.__doc__, handler.mark))
        return await handler(request)

    now(compose(named, [Site("a", look, look)])(None))  # type: ignore[list-item, arg-type]
    assert seen == [("named", "Answer.", 1)] * 2


def test_a_view_within_middlewares() -> None:
    class Page(View):
        async def get(self) -> Any:
            return "page"

    @middleware
    async def layer(request: Any, handler: Any) -> Any:
        return await handler(request), handler.__name__

    chain = compose(Page, [Site("a", layer)])  # type: ignore[arg-type, list-item]
    assert now(chain(Stub("GET", "/"))) == ("page", "Page")  # type: ignore[arg-type]


# Redirects to another spelling.

ROUTES = ["/a/", "/b", "/c/d", "/é/", "/", "/e f", "/p/{x}", "/p/{x:.*}/q", "/{w}/z/", "//double"]
SPELLINGS = (
    "/a /a/ //a //a// /a// /a?x=1&y=%20 /a/?x=1 //a?x=1// /b /b/ //b//?q /nope /c//d /c//d/ /a%2F /a%2f/ /%C3%A9"
    " /%C3%A9// //evil.com //evil.com/ ///evil.com/.. // / /// /e%20f /e%20f/ /e+f/ /p/%2F%2Fx //x?//y /a?"
    " /p/evil//z?a=//b /p//%25/ /p/%3F//  /s /s/ /s//x /s/x /s/x/ /a//?next=//evil /%2Fevil.com/ //double *"
    " /x//z /x/z //x//z //evil.com/z /%5Cevil.com/z"
).split()
OPTIONS: list[dict[str, Any]] = [
    {},
    {"append_slash": False, "remove_slash": True},
    {"append_slash": False},
    {"merge_slashes": False},
    {"append_slash": False, "remove_slash": True, "merge_slashes": False},
    {"append_slash": False, "merge_slashes": False},
    {"redirect_class": "HTTPFound"},
]


def where(ours: bool, options: dict[str, Any], routes: list[str], target: str, method: str = "GET") -> Any:
    """Return the status and the location that one request gets."""
    lib: Any = exceptions if ours else oracle
    if "redirect_class" in options:
        options = options | {"redirect_class": getattr(lib, options["redirect_class"])}
    layer = (normalize_path_middleware if ours else oracle.normalize_path_middleware)(**options)
    root: Any = Site("root", layer) if ours else oracle.Application(middlewares=[layer])
    sub: Any = Site("sub") if ours else oracle.Application()
    fill(root.router, [f"GET {path}" for path in routes])
    fill(sub.router, ["GET /x", "GET /y/"])
    root.add_subapp("/s", sub)
    try:
        if ours:
            request = Stub(method, target)
            match = now(root.router.resolve(request))
            match.bind(root)
            request.match_info = match
            return now(compose(match.handler, match.apps)(request))  # type: ignore[arg-type]
        root.freeze()
        return asyncio.run(root._handle(oracle_request(method, target).clone()))
    except (exceptions.HTTPException, oracle.HTTPException) as exc:
        return exc.status, exc.headers.get("Location")


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("target", SPELLINGS)
def test_paths_are_normalized_as_by_aiohttp(options: dict[str, Any], target: str) -> None:
    theirs = where(False, options, ROUTES, target)
    ours = where(True, options, ROUTES, target)
    if options.get("remove_slash") and not target.partition("?")[0].endswith("/") and isinstance(theirs, tuple):
        # aiohttp cuts off the last character even when it is no slash, which leads from "/a" to "/".
        assert ours == (404, None) or ours == theirs
        assert theirs[0] in (308, 404)
    else:
        assert ours == theirs


@pytest.mark.parametrize("target", ["/a", "//a", "/a/", "/b/", "/nope"])
def test_paths_are_normalized_for_the_method_that_is_asked(target: str) -> None:
    assert where(True, {}, ROUTES, target, "POST") == where(False, {}, ROUTES, target, "POST")


def test_only_a_slash_is_removed() -> None:
    options = {"append_slash": False, "remove_slash": True}
    assert where(True, options, ["/a", "/"], "/ab") == (404, None)
    assert where(True, options, ["/a", "/"], "/x") == (404, None)
    assert where(True, options, ["/a", "/"], "/a/") == (308, "/a")


EVIL = [
    "//evil.com", "///evil.com", "//evil.com//", "//evil.com/..//", "/\\evil.com", "\\\\evil.com", "/\\/evil.com",
    "//\\evil.com", "/%5Cevil.com", "/%2F/evil.com", "//%5C/evil.com", "//evil.com?//x", "/\t/evil.com",
    "/%09/evil.com", "/.//evil.com", "//user@evil.com", "//evil.com:80", "/a\r\nX: y", "/http://evil.com",
    "http://evil.com/a", "//",
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS[:6], ids=str)
@pytest.mark.parametrize("target", EVIL)
@pytest.mark.parametrize("end", ["", "/", "//"])
def test_no_location_names_another_host(options: dict[str, Any], target: str, end: str) -> None:
    routes = ["/{a}", "/{a}/", "/{a}/{b}", "/{a}/{b}/", "//{a}", "//{a}/", "/{a}/{b}/{c:.*}"]
    for chosen in (routes, routes[1::2], routes[::2]):
        found = where(True, options, chosen, target + end)
        if not isinstance(found, tuple) or found[1] is None:
            continue
        location = found[1]
        assert location.startswith("/")
        # What a browser makes of it: tabs and line ends are dropped, a backslash is a slash.
        assert not any(mark in location for mark in "\\\t\r\n")
        assert not location.startswith("//")
        assert URL("http://here/").join(URL(location)).host == "here"


@pytest.mark.parametrize(
    ("target", "location"),
    [("//evil.com", "/evil.com/"), ("/\\evil.com", "/%5Cevil.com/"), ("/%5Cevil.com", "/%5Cevil.com/")],
)
def test_the_location_is_a_path_of_this_host(target: str, location: str) -> None:
    assert where(True, {}, ["/{a}/"], target) == where(False, {}, ["/{a}/"], target) == (308, location)


def test_a_slash_is_either_appended_or_removed() -> None:
    with pytest.raises(AssertionError, match="Cannot both remove and append slash"):
        normalize_path_middleware(append_slash=True, remove_slash=True)


def test_what_the_module_shows() -> None:
    assert set(middlewares.__all__) == {"middleware", "normalize_path_middleware"}
    assert logging.getLogger("fairlead.web").handlers == []

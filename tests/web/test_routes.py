"""Routes and matches: which handlers are taken and how, expectations, the applications of a match."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from types import coroutine
from typing import Any
from unittest import mock

import pytest
from tests.web.routing import Stub, handler, now

from fairlead.codec.events import HttpVersion10, HttpVersion11
from fairlead.web.exceptions import HTTPExpectationFailed, HTTPNotFound
from fairlead.web.resources import DynamicResource, PlainResource
from fairlead.web.routes import MatchInfoError, ResourceRoute, SystemRoute, UrlMappingMatchInfo
from fairlead.web.view import View

oracle = pytest.importorskip("aiohttp.web")
HttpVersions = pytest.importorskip("aiohttp")


async def answer(request: Any) -> Any:
    return "answer"


def plain(request: Any) -> Any:
    return "plain"


def plain_awaitable(request: Any) -> Any:
    return answer(request)


async def asynchronous_generator(request: Any) -> Any:
    yield 1


def generator(request: Any) -> Iterator[int]:
    yield 1


class Methods:
    async def method(self, request: Any) -> Any:
        return "method"

    @staticmethod
    async def static(request: Any) -> Any:
        return "static"


class Callable:
    async def __call__(self, request: Any) -> Any:
        return "called"


class PlainCallable:
    def __call__(self, request: Any) -> Any:
        return "plainly called"


class Page(View):
    async def get(self) -> Any:
        return "page"


class OraclePage(oracle.View):  # type: ignore[misc,name-defined]
    pass


KINDS: dict[str, Any] = {
    "coroutine function": answer,
    "bound method": Methods().method,
    "static method": Methods.static,
    "partial": partial(answer),
    "partial twice": partial(partial(answer)),
    "AsyncMock": mock.AsyncMock(),
    "function": plain,
    "function that gives a coroutine": plain_awaitable,
    "partial of a function": partial(plain),
    "lambda": lambda request: "x",
    "callable": PlainCallable(),
    "class that is no view": PlainCallable,
    "Mock": mock.Mock(),
    "asynchronous generator": asynchronous_generator,
    "generator": generator,
    "number": 3,
    "nothing": None,
    "text": "x",
}


def taken(route: Any, view: Any, kind: Any) -> Any:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            made = route("GET", kind, view)
        except AssertionError:
            return "AssertionError"
    return made.handler is kind, [(warning.category, str(warning.message)) for warning in seen]


@pytest.mark.parametrize("kind", KINDS)
def test_handlers_are_taken_as_by_aiohttp(kind: str) -> None:
    theirs = taken(oracle.ResourceRoute, oracle.UrlDispatcher().add_resource("/"), KINDS[kind])
    assert taken(ResourceRoute, PlainResource("/"), KINDS[kind]) == theirs


def test_views_are_taken_as_they_are() -> None:
    route = ResourceRoute("*", Page, PlainResource("/"))
    assert route.handler is Page
    assert now(route.handler(Stub("GET", "/"))._iter()) == "page"  # type: ignore[attr-defined,arg-type]


@pytest.mark.parametrize("kind", [Callable(), partial(Callable())])
def test_an_object_with_an_asynchronous_call_is_no_bare_function(kind: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        route = ResourceRoute("GET", kind, PlainResource("/"), expect_handler=kind)
    assert now(route.handler(None)) == "called"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "result"), [(plain, "plain"), (plain_awaitable, "answer"), (PlainCallable(), "plainly called")]
)
def test_bare_functions_still_answer_and_the_warning_names_this_line(kind: Any, result: str) -> None:
    with pytest.warns(DeprecationWarning, match="^Bare functions are deprecated, use async ones$") as seen:
        route = PlainResource("/").add_route("GET", kind)
    assert seen[0].filename == __file__
    assert now(route.handler(None)) == result  # type: ignore[arg-type]
    assert getattr(kind, "__name__", "handler_wrapper") == route.handler.__name__


def test_coroutines_of_the_old_kind_still_answer() -> None:
    @coroutine
    def old(request: Any) -> Any:
        return "old"
        yield

    with pytest.warns(DeprecationWarning, match="^Bare generators are deprecated, use @coroutine wrapper$"):
        route = PlainResource("/").add_route("GET", old)

    async def ask() -> Any:
        return await route.handler(None)  # type: ignore[arg-type]

    assert now(ask()) == "old"


def test_an_expect_handler_must_be_asynchronous() -> None:
    with pytest.raises(AssertionError, match=r"^Coroutine is expected, got <function plain at"):
        ResourceRoute("GET", answer, PlainResource("/"), expect_handler=plain)


def test_what_a_route_says() -> None:
    resource = DynamicResource("/{a}", name="n")
    route = resource.add_route("get", answer)
    assert (route.method, route.name, route.resource) == ("GET", "n", resource)
    assert route.get_info() == resource.get_info()
    assert str(route.url_for(a="b c")) == "/b%20c"
    assert repr(route) == f"<ResourceRoute [GET] <DynamicResource 'n'  /{{a}}> -> {answer!r}"
    theirs = oracle.UrlDispatcher().add_resource("/{a}", name="n").add_route("get", answer)
    assert repr(route) == repr(theirs)
    assert {route: 1}[route] == 1


def test_what_the_route_of_an_error_says() -> None:
    error = HTTPNotFound(reason="Gone fishing")
    route = SystemRoute(error)
    assert (route.status, route.reason, route.method, route.name, route.resource) == (
        404,
        "Gone fishing",
        "*",
        None,
        None,
    )
    assert route.get_info() == {"http_exception": error}
    assert repr(route) == "<SystemRoute 404: Gone fishing>"
    with pytest.raises(RuntimeError, match=r"^\.url_for\(\) is not allowed for SystemRoute$"):
        route.url_for()
    with pytest.raises(HTTPNotFound):
        now(route.handler(None))  # type: ignore[arg-type]


class Expecting(Stub):
    def __init__(self, value: str | None, version: Any) -> None:
        super().__init__("GET", "/", {} if value is None else {"Expect": value})
        self.version = version
        self.written: list[bytes] = []
        self.writer = self
        self.output_size = 25

    async def write(self, data: bytes) -> None:
        self.written.append(data)


@pytest.mark.parametrize("value", ["100-continue", "100-Continue", "foo", "", None])
@pytest.mark.parametrize("old", [False, True])
async def test_expectations_are_answered_as_by_aiohttp(value: str | None, old: bool) -> None:
    from aiohttp.test_utils import make_mocked_request

    headers = {} if value is None else {"Expect": value}
    theirs: Any = make_mocked_request(
        "GET", "/", headers, version=HttpVersions.HttpVersion10 if old else HttpVersions.HttpVersion11
    )
    theirs.writer.write = mock.AsyncMock()
    ours = Expecting(value, HttpVersion10 if old else HttpVersion11)
    expected: Any
    try:
        expected = await oracle.UrlDispatcher().add_post("/", answer).handle_expect_header(theirs)
    except oracle.HTTPExpectationFailed as exc:
        with pytest.raises(HTTPExpectationFailed) as caught:
            await PlainResource("/").add_route("POST", answer).handle_expect_header(ours)  # type: ignore[arg-type]
        assert (caught.value.status, caught.value.text) == (exc.status, exc.text)
    else:
        assert expected is None
        assert await PlainResource("/").add_route("POST", answer).handle_expect_header(ours) is None  # type: ignore[arg-type]
    assert ours.written == [call.args[0] for call in theirs.writer.write.mock_calls]
    assert ours.output_size == (0 if ours.written else 25)


async def test_an_expect_handler_of_the_user_is_asked_instead() -> None:
    async def refuse(request: Any) -> Any:
        return "refused"

    route = PlainResource("/").add_route("POST", answer, expect_handler=refuse)
    match = UrlMappingMatchInfo({}, route)
    assert await match.expect_handler(None) == "refused"  # type: ignore[arg-type]


class App:
    """Stands for an application."""


def a_match(**values: str) -> UrlMappingMatchInfo:
    return UrlMappingMatchInfo(values, PlainResource("/").add_route("GET", handler("x")))


def test_a_match_is_a_dictionary_that_knows_its_route() -> None:
    match = a_match(a="1")
    assert match == {"a": "1"}
    assert type(match.copy()) is dict
    assert (match.http_exception, match.get_info(), match.apps) == (None, {"path": "/"}, ())
    assert match.handler is match.route.handler
    assert repr(match) == f"<MatchInfo {{'a': '1'}}: {match.route!r}>"
    match["b"] = "2"
    assert a_match() == {}
    with pytest.raises(AttributeError):
        match.other = 1  # type: ignore[attr-defined]
    assert not hasattr(match, "__dict__")


def test_matches_do_not_share_their_values() -> None:
    values = {"a": "1"}
    match = UrlMappingMatchInfo(values, a_match().route)
    match["b"] = "2"
    assert values == {"a": "1"}


@pytest.mark.parametrize("bound", [False, True])
def test_the_first_application_is_the_current_one_and_the_last_the_outermost(bound: bool) -> None:
    inner: Any = App()
    outer: Any = App()
    match = a_match()
    with pytest.raises(AssertionError):
        match.current_app
    match.add_app(inner)
    if bound:
        match.bind(outer)
    else:
        match.add_app(outer)
        match.freeze()
    assert match.apps == (outer, inner)
    assert match.current_app is inner
    match.current_app = outer
    assert match.current_app is outer
    for change in (match.add_app, match.bind):
        with pytest.raises(RuntimeError, match=r"^Cannot change apps stack after \.freeze\(\) call$"):
            change(inner)


def test_bound_to_one_application() -> None:
    app: Any = App()
    match = a_match()
    match.bind(app)
    assert (match.apps, match.current_app) == ((app,), app)


def test_the_match_of_an_error() -> None:
    error = HTTPNotFound()
    match = MatchInfoError(error)
    assert match.http_exception is error
    assert match == {}
    assert repr(match) == "<MatchInfoError 404: Not Found>"
    assert isinstance(match.route, SystemRoute)
    match.add_app(App())  # type: ignore[arg-type]
    assert len(match.apps) == 1

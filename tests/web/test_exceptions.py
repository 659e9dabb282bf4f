"""The responses that can be raised, against aiohttp's: every class, every constructor, and what is sent."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from multidict import CIMultiDict
from yarl import URL

from fairlead import web
from fairlead.test_utils import RawTestServer, TestClient, make_mocked_request
from fairlead.web import exceptions

aiohttp_web = pytest.importorskip("aiohttp.web")

NAMES = sorted(exceptions.__all__)

# What the classes need that need something.
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "HTTPMethodNotAllowed": ("get", {"PUT", "DELETE"}),
    "HTTPRequestEntityTooLarge": (10, 20),
    "HTTPUnavailableForLegalReasons": ("http://example.org/a b",),
}


def arguments(name: str) -> tuple[Any, ...]:
    if issubclass(getattr(web, name), web.HTTPMove):
        return ("/x y?z=ü#f",)
    return ARGUMENTS.get(name, ())


def facts(exc: Any) -> dict[str, Any]:
    return {
        "status": exc.status,
        "status_code": exc.status_code,
        "reason": exc.reason,
        "text": exc.text,
        "body": exc.body if isinstance(exc.body, bytes) else type(exc.body).__name__,
        "headers": list(exc.headers.items()),
        "content_type": exc.content_type,
        "charset": exc.charset,
        "empty_body": exc.empty_body,
        "str": str(exc),
        "repr": repr(exc),
        "args": exc.args,
        "bool": bool(exc),
        "len": len(exc),
        **{
            name: getattr(exc, name) for name in ("location", "link", "allowed_methods", "method") if hasattr(exc, name)
        },
    }


def outcome(make: Callable[[], Any]) -> Any:
    """Return the facts or the error, and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result: Any = facts(make())
        except Exception as exc:
            result = (type(exc).__name__, str(exc))
    return result, [(warning.category.__name__, str(warning.message)) for warning in caught]


def test_the_same_classes() -> None:
    theirs = {
        name
        for name, value in vars(aiohttp_web).items()
        if isinstance(value, type) and issubclass(value, aiohttp_web.HTTPException)
    }
    assert set(NAMES) == theirs


def test_ancestors() -> None:
    def ancestors(cls: type) -> list[str]:
        return [base.__name__ for base in cls.__mro__ if base.__name__.startswith("HTTP")]

    for name in NAMES:
        ours = getattr(web, name)
        assert ancestors(ours) == ancestors(getattr(aiohttp_web, name))
        assert issubclass(ours, web.Response)
        assert issubclass(ours, Exception)


def compare(names: list[str], keywords: dict[str, Any]) -> list[Any]:
    """Make each class in both packages; return the outcomes of ours."""
    outcomes = []
    for name in names:
        given = arguments(name)
        ours = outcome(partial(getattr(web, name), *given, **keywords))
        theirs = outcome(partial(getattr(aiohttp_web, name), *given, **keywords))
        assert ours == theirs, name
        outcomes.append(ours)
    return outcomes


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"text": "hello"},
        {"text": ""},
        {"reason": "Because"},
        {"reason": ""},
        {"headers": {"X-Y": "z"}},
        {"headers": [("a", "1"), ("a", "2")]},
        {"headers": {"Content-Type": "text/html"}},
        {"headers": CIMultiDict(location="q", allow="r", link="s")},
        {"content_type": "application/json"},
        {"content_type": "application/json", "text": "{}"},
        {"content_type": "a/b", "headers": {"Content-Type": "c/d"}},
        {"content_type": "text/html; charset=x"},
        {"reason": "line\nbreak"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_parity_of_keywords(keywords: dict[str, Any]) -> None:
    compare(NAMES, keywords)


@pytest.mark.parametrize(
    "keywords", [{"body": b"x"}, {"body": b""}, {"body": "text"}, {"body": b"x", "text": "y"}], ids=str
)
def test_parity_of_bodies(keywords: dict[str, Any]) -> None:
    # The text of 413 does not stand in the way of a body here.
    for _, warned in compare([name for name in NAMES if name != "HTTPRequestEntityTooLarge"], keywords):
        assert warned == [("DeprecationWarning", "body argument is deprecated for http web exceptions")]


@pytest.mark.parametrize(
    "expression",
    [
        'HTTPFound("http://exämple.org/%20")',
        'HTTPFound(URL("/a b?c=ü#f"))',
        'HTTPFound("")',
        "HTTPFound(None)",
        "HTTPFound(5)",
        'HTTPFound("/a\\r\\nSet-Cookie: y")',
        'HTTPFound("/%2f%20%zz")',
        'HTTPFound("http://h:80/a/../b")',
        'HTTPFound("//h/x")',
        "HTTPFound()",
        'HTTPMethodNotAllowed("GET", [])',
        'HTTPMethodNotAllowed("GET", ["b", "a", "C"])',
        'HTTPMethodNotAllowed("GET", None)',
        'HTTPMethodNotAllowed("GET")',
        "HTTPRequestEntityTooLarge(10)",
        "HTTPRequestEntityTooLarge(max_size=10.5, actual_size=11)",
        "HTTPRequestEntityTooLarge()",
        'HTTPRequestEntityTooLarge(1, 2, text="x")',
        "HTTPUnavailableForLegalReasons(None)",
        'HTTPUnavailableForLegalReasons("")',
        'HTTPUnavailableForLegalReasons(URL("http://a/b c"))',
        'HTTPUnavailableForLegalReasons("http://a/>; rel=x")',
        'HTTPUnavailableForLegalReasons("http://a\\r\\nX: b")',
        "HTTPUnavailableForLegalReasons()",
        'HTTPNotFound("positional")',
        'HTTPNotFound(text=b"x")',
        "HTTPNotFound(text=5)",
    ],
)
def test_parity_of_arguments(expression: str) -> None:
    def make(module: Any) -> Any:
        return eval(expression, {"URL": URL, **vars(module)})

    assert outcome(lambda: make(web)) == outcome(lambda: make(aiohttp_web))


@pytest.mark.parametrize(
    "members",
    [{"status_code": 499}, {"status_code": 422}, {"status_code": 204}, {"status_code": 499, "empty_body": True}],
    ids=str,
)
@pytest.mark.parametrize("keywords", [{}, {"reason": "Hey"}], ids=str)
def test_parity_of_subclasses(members: dict[str, Any], keywords: dict[str, Any]) -> None:
    ours = type("Mine", (web.HTTPClientError,), members)
    theirs = type("Mine", (aiohttp_web.HTTPClientError,), members)
    assert outcome(lambda: ours(**keywords)) == outcome(lambda: theirs(**keywords))


def test_methods_may_come_from_an_iterator() -> None:
    exc = web.HTTPMethodNotAllowed("GET", iter(["PUT", "HEAD"]))
    assert exc.allowed_methods == {"PUT", "HEAD"}
    assert exc.headers["Allow"] == "HEAD,PUT"


def test_too_large_keeps_the_sizes_and_takes_a_body() -> None:
    exc = web.HTTPRequestEntityTooLarge(10, 20)
    assert (exc.max_size, exc.actual_size) == (10, 20)
    with pytest.warns(DeprecationWarning, match="body argument is deprecated"):
        exc = web.HTTPRequestEntityTooLarge(10, 20, body=b"x")
    assert exc.body == b"x"


def test_may_be_changed_before_it_is_sent() -> None:
    exc = web.HTTPNotFound()
    exc.text = "nothing"
    exc.set_cookie("a", "b")
    exc.headers["X"] = "y"
    exc["key"] = "value"
    exc.set_status(410)
    assert (exc.text, exc.status, exc.reason, exc["key"]) == ("nothing", 410, "Gone", "value")
    assert exc.cookies["a"].value == "b"
    assert exc.args == ("Not Found",)


def test_is_compared_by_identity() -> None:
    exc = web.HTTPNotFound()
    assert exc == exc
    assert exc != web.HTTPNotFound()
    assert len({exc, web.HTTPNotFound()}) == 2


class Teapot(web.HTTPClientError):
    """An exception with a signature of its own."""

    status_code = 418

    def __init__(self, size: int, *, lid: bool) -> None:
        super().__init__(text="short and stout", headers={"X-Size": str(size)})
        self.size = size
        self.lid = lid


@pytest.mark.parametrize("remake", [copy.copy, copy.deepcopy, lambda exc: pickle.loads(pickle.dumps(exc))])
def test_copies_and_pickles(remake: Callable[[Any], Any]) -> None:
    for name in NAMES:
        exc = getattr(web, name)(*arguments(name), headers={"X": "y"})
        again = remake(exc)
        assert type(again) is type(exc)
        assert facts(again) == facts(exc)
        again.headers["Only"] = "there"
        assert "Only" not in exc.headers


def test_copies_a_subclass_without_calling_its_init() -> None:
    again = pickle.loads(pickle.dumps(Teapot(3, lid=True)))
    assert (again.size, again.lid, again.text, again.headers["X-Size"]) == (3, True, "short and stout", "3")


def test_every_class_names_where_it_is_defined() -> None:
    for name in NAMES:
        cls = getattr(web, name)
        if cls.status_code > 0:
            assert (cls.__doc__ or "").startswith(f"{cls.status_code}: "), name
            assert "RFC" in cls.__doc__, name


async def test_is_sent_when_it_is_raised() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        name = request.path[1:]
        exc = getattr(web, name)(*arguments(name), headers={"X-Y": "z"})
        exc.set_cookie("crumb", "1")
        raise exc

    async with TestClient(RawTestServer(handler)) as client:
        for name in NAMES:
            exc = getattr(web, name)(*arguments(name))
            if exc.status_code < 0:
                continue
            async with client.get(f"/{name}", allow_redirects=False) as response:
                assert response.status == exc.status_code
                assert response.reason == exc.reason
                assert response.headers["X-Y"] == "z"
                assert response.cookies["crumb"].value == "1"
                assert await response.text() == ("" if exc.empty_body else exc.text)
                for header in ("Location", "Allow", "Link"):
                    assert response.headers.get(header) == exc.headers.get(header)


async def test_is_sent_when_it_is_returned_and_raised_again() -> None:
    gone = web.HTTPGone()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/returned":
            return gone
        raise gone

    async with TestClient(RawTestServer(handler)) as client:
        for path in ("/returned", "/raised", "/raised"):
            async with client.get(path) as response:
                assert (response.status, await response.text()) == (410, "410: Gone")


async def test_a_cause_is_kept() -> None:
    with pytest.raises(web.HTTPBadRequest) as caught:
        try:
            int("x")
        except ValueError as exc:
            raise web.HTTPBadRequest(text="a number is expected") from exc
    assert isinstance(caught.value.__cause__, ValueError)


async def test_can_be_prepared_for_a_mocked_request() -> None:
    exc = web.HTTPNotFound()
    await exc.prepare(make_mocked_request("GET", "/"))
    await exc.write_eof()
    assert exc.prepared

"""Definitions of routes, compared with aiohttp's: what they are, how they look, and what they add to a router."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest

from fairlead.web import routedef
from fairlead.web.router import UrlDispatcher
from fairlead.web.routes import AbstractRoute
from fairlead.web.view import View

oracle = pytest.importorskip("aiohttp.web")


async def answer(request: Any) -> Any:
    return None


class Page(View):
    pass


Define = Callable[[Any], Any]
DEFINITIONS: dict[str, Define] = {
    "head": lambda lib: lib.head("/", answer),
    "options": lambda lib: lib.options("/", answer),
    "get": lambda lib: lib.get("/", answer),
    "get with a name": lambda lib: lib.get("/", answer, name="q", allow_head=False),
    "post": lambda lib: lib.post("/{a}", answer),
    "patch": lambda lib: lib.patch("/", answer),
    "put": lambda lib: lib.put("/", answer),
    "delete": lambda lib: lib.delete("/", answer, name="d"),
    "lower case": lambda lib: lib.route("get", "/", answer),
    "upper case": lambda lib: lib.route("GET", "/", answer),
    "any": lambda lib: lib.route("*", "/", answer, expect_handler=answer),
    "unknown method": lambda lib: lib.route("PURGE", "/", answer),
    "constructor": lambda lib: lib.RouteDef("GET", "/", answer, {}),
    "wrong argument": lambda lib: lib.post("/", answer, wrong=1),
    "wrong path": lambda lib: lib.post("x", answer),
}


@pytest.mark.parametrize("case", DEFINITIONS)
def test_definitions_are_those_of_aiohttp(case: str) -> None:
    def seen(lib: Any) -> Any:
        definition = DEFINITIONS[case](lib)
        facts = definition.method, definition.path, definition.handler, definition.kwargs, repr(definition)
        router = lib.UrlDispatcher()
        try:
            added = definition.register(router)
        except (TypeError, ValueError) as exc:
            return facts, type(exc), str(exc)
        routes = [(route.method, route.name, route.resource.canonical) for route in router.routes()]
        return facts, [route.method for route in added], routes

    class Ours:
        UrlDispatcher = UrlDispatcher

        def __getattr__(self, name: str) -> Any:
            return getattr(routedef, name)

    assert seen(Ours()) == seen(oracle)


def test_a_view() -> None:
    assert repr(routedef.view("/", Page)) == repr(oracle.view("/", Page)) == "<RouteDef * / -> 'Page'>"
    (route,) = routedef.view("/", Page).register(UrlDispatcher())
    assert (route.method, route.handler) == ("*", Page)


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_methods_that_the_router_has_no_verb_for(method: str) -> None:
    (route,) = routedef.route(method, "/", answer).register(UrlDispatcher())
    assert route.method == method


def test_a_handler_without_a_name_has_a_repr() -> None:
    from functools import partial

    assert "partial" in repr(routedef.post("/", partial(answer)))


def test_the_verbs_of_a_subclass_are_used() -> None:
    class Router(UrlDispatcher):
        def add_post(self, path: str, handler: Any, **kwargs: Any) -> AbstractRoute:
            return super().add_post(f"/v1{path}", handler, **kwargs)

    (route,) = Router().add_routes([routedef.post("/a", answer)])
    assert route.resource is not None
    assert route.resource.canonical == "/v1/a"


@pytest.mark.parametrize("path", ["files", Path("files")])
def test_static_definitions(path: Any) -> None:
    ours = routedef.static("/s", path, name="n", show_index=True)
    theirs = oracle.static("/s", path, name="n", show_index=True)
    assert repr(ours) == repr(theirs) == "<StaticDef /s -> files, name='n', show_index=True>"
    assert (ours.prefix, ours.path, ours.kwargs) == (theirs.prefix, theirs.path, theirs.kwargs)


def test_a_static_definition_adds_a_static_resource(tmp_path: Path) -> None:
    router = UrlDispatcher()
    added = routedef.static("/s", tmp_path, name="n").register(router)
    assert sorted(route.method for route in added) == ["GET", "HEAD"]
    assert router["n"].canonical == "/s"
    for prefix in ("", "s"):
        with pytest.raises(AssertionError):
            router.add_static(prefix, tmp_path)


def test_definitions_are_values() -> None:
    one = routedef.get("/", answer)
    assert one == routedef.get("/", answer)
    assert one != routedef.post("/", answer)
    assert one < routedef.get("/a", answer)
    assert copy.copy(one) == one
    assert replace(one, path="/z").path == "/z"
    assert routedef.static("/a", "b") == routedef.static("/a", "b")
    with pytest.raises(FrozenInstanceError):
        one.path = "/x"  # type: ignore[misc]
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_what_is_not_a_definition_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        routedef.AbstractRouteDef()  # type: ignore[abstract]


def fill_table(table: Any) -> Any:
    @table.get("/a", name="n")
    async def a(request: Any) -> None:
        pass

    @table.view("/v")
    class V(View):
        pass

    table.static("/s", "files", name="x", show_index=True)

    @table.route("FOO", "/f")
    @table.post("/b", expect_handler=answer)
    async def b(request: Any) -> None:
        pass

    for verb in "head get put patch delete options".split():
        assert getattr(table, verb)(f"/{verb}", name=verb)(answer) is answer
    return table


def test_tables_are_those_of_aiohttp() -> None:
    ours, theirs = fill_table(routedef.RouteTableDef()), fill_table(oracle.RouteTableDef())
    assert repr(ours) == repr(theirs) == "<RouteTableDef count=11>"
    assert [repr(item) for item in ours] == [repr(item) for item in theirs]
    assert [repr(item) for item in ours[1:3]] == [repr(item) for item in theirs[1:3]]
    assert repr(ours[-1]) == repr(theirs[-1])
    assert ours[0] in ours
    assert routedef.get("/elsewhere", answer) not in ours
    assert ours.index(ours[2]) == 2
    assert list(reversed(ours))[0] == ours[-1]  # noqa: RUF015
    with pytest.raises(TypeError):
        ours[0] = ours[1]


def test_a_table_is_added_in_its_order() -> None:
    table = routedef.RouteTableDef()
    assert not table
    table.get("/a", allow_head=False)(answer)
    table.put("/b")(answer)
    router = UrlDispatcher()
    added = router.add_routes(table)
    assert [route.method for route in added] == ["GET", "PUT"]
    assert list(router.routes()) == added
    assert router.add_routes(definition for definition in [routedef.post("/c", answer)])[0].method == "POST"
    with pytest.raises(AttributeError, match="register"):
        router.add_routes([3])  # type: ignore[list-item]

"""Applications: state, freezing, signals, cleanup contexts, sub-applications, and what `_handle` does for a request."""

from __future__ import annotations

import asyncio
import gc
import re
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.web.both import Log, logs, same

from fairlead import web
from fairlead.test_utils import TestClient, TestServer, make_mocked_request
from fairlead.web import app as app_module

SIGNALS = ("on_startup", "on_shutdown", "on_cleanup")


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


def traced(web: Any, log: Log, name: str, *failing: str) -> Any:
    """An application that notes its life, and fails at the points that are named."""
    app = web.Application()

    def note(what: str) -> None:
        log.add(name, what)
        if what in failing:
            raise ValueError(f"{name} {what}")

    for signal in SIGNALS:

        async def receiver(given: Any, signal: str = signal) -> None:
            assert given is app
            note(signal)

        getattr(app, signal).append(receiver)

    async def context(given: Any) -> AsyncIterator[None]:
        assert given is app
        note("enter")
        yield
        note("leave")

    app.cleanup_ctx.append(context)
    return app


async def live(web: Any, log: Log, app: Any, cleanups: int = 1) -> None:
    runner = web.AppRunner(app)
    await log.awaited("setup", runner.setup())
    for _ in range(cleanups):
        await log.awaited("cleanup", runner.cleanup())


def family(web: Any, log: Log, **failing: str) -> Any:
    """An application with two sub-applications, the first of which has one as well."""
    apps = {name: traced(web, log, name, failing.get(name, "")) for name in ("root", "first", "nested", "second")}
    apps["first"].add_subapp("/nested", apps["nested"])
    apps["root"].add_subapp("/first", apps["first"])
    apps["root"].add_subapp("/second", apps["second"])
    return apps["root"]


# --- the mapping -----------------------------------------------------------------------------------------------------


async def test_the_state_is_a_mapping() -> None:
    async def scenario(web: Any, log: Log) -> None:
        app, key, other = web.Application(), log.key, "other"
        log.tried("empty", lambda: (len(app), list(app), bool(app)))
        log.tried("set", lambda: app.__setitem__(key, 1))
        log.tried("get", lambda: (app[key], app.get(key), app.get(other), app.get(other, 5), key in app))
        log.tried("missing", lambda: app[other])
        log.tried("delete", lambda: app.__delitem__(key))
        log.tried("delete again", lambda: app.__delitem__(key))
        log.tried("equality", lambda: (app == app, app == web.Application(), app == {}, len({app, app})))
        log.tried("repr", lambda: app)
        log.tried("called", lambda: app() is app)

    await same(scenario)


def test_a_key_that_is_text_is_warned_of_at_the_line_of_the_caller() -> None:
    app = web.Application()
    with pytest.warns(
        web.NotAppKeyWarning, match=r"^It is recommended to use web\.AppKey instances for keys\."
    ) as told:
        app["key"] = 1
    assert told[0].filename == __file__
    assert app["key"] == 1


async def test_deprecations_are_told_in_the_same_words() -> None:
    async def scenario(web: Any, log: Log) -> None:
        loop = asyncio.get_running_loop()
        log.tried("loop", lambda: web.Application(loop=loop).loop is loop)
        log.tried("debug", lambda: web.Application(debug=True).debug)
        log.tried("router", lambda: web.Application(router=web.UrlDispatcher()))
        log.tried("make_handler", lambda: bool(web.Application().make_handler()))
        log.tried("subclass", lambda: type("Sub", (web.Application,), {})())
        log.tried("properties", lambda: (web.Application().loop, web.Application().debug))

    await same(scenario)


async def test_arguments_that_can_not_be_are_refused() -> None:
    with (
        pytest.warns(DeprecationWarning, match="^router argument is deprecated$"),
        pytest.raises(TypeError, match="AbstractRouter, got 5"),
    ):
        web.Application(router=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword argument 'foo'"):
        web.Application(foo=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        web.Application(web.UrlDispatcher())  # type: ignore[misc]


async def test_a_router_of_ones_own_hears_of_its_application() -> None:
    heard: list[Any] = []

    class Router(web.UrlDispatcher):
        def post_init(self, app: web.Application) -> None:
            heard.append(app)

    with pytest.warns(DeprecationWarning, match="^router argument is deprecated$"):
        app = web.Application(router=Router())
    assert heard == [app]


def test_the_attributes_are_those_that_are_listed() -> None:
    assert set(vars(web.Application())) == web.Application.ATTRS


# --- freezing --------------------------------------------------------------------------------------------------------


async def test_a_frozen_application_refuses_changes_in_the_same_words() -> None:
    async def scenario(web: Any, log: Log) -> None:
        key = log.key
        for step in ("pre_freeze", "freeze"):
            app = web.Application()
            app.router.add_get("/there", hello)
            getattr(app, step)()
            log.tried(step, lambda app=app: (app.pre_frozen, app.frozen))
            log.tried("set", lambda app=app: app.__setitem__(key, 1))
            log.tried("text", lambda app=app: app.__setitem__("a", 1))
            log.tried("delete", lambda app=app: app.__delitem__(key))
            log.tried("middleware", lambda app=app: app.middlewares.append(5))
            log.tried("context", lambda app=app: app.cleanup_ctx.append(5))
            for name in (*SIGNALS, "on_response_prepare"):
                log.tried(name, lambda app=app, name=name: getattr(app, name).append(5))
            log.tried("route", lambda app=app: app.router.add_get("/", hello))
            log.tried("routes", lambda app=app: app.add_routes([web.get("/", hello)]))
            log.tried("subapp", lambda app=app: app.add_subapp("/a", web.Application()))
            log.tried("domain", lambda app=app: app.add_domain("a.b", web.Application()))
            log.tried("to another", lambda app=app: web.Application().add_subapp("/b", app))
            log.tried("again", lambda app=app, step=step: getattr(app, step)())
        for name in ("frozen", "pre_frozen", "router", "loop", "debug", "middlewares", "on_startup", "cleanup_ctx"):
            log.tried(name, lambda name=name: setattr(web.Application(), name, 1))

    await same(scenario)


async def test_what_may_be_changed_while_the_application_starts() -> None:
    async def scenario(web: Any, log: Log) -> None:
        async def change(app: Any) -> None:
            log.add(app.pre_frozen, app.frozen, app.router.frozen, app.on_startup.frozen, app.on_cleanup.frozen)
            log.tried("state", lambda: app.__setitem__("key", 1))
            log.tried("route", lambda: app.router.add_get("/", hello))
            log.tried("middleware", lambda: app.middlewares.append(web.normalize_path_middleware()))
            log.tried("startup", lambda: app.on_startup.append(hello))
            log.tried("shutdown", lambda: app.on_shutdown.append(late))

        async def late(app: Any) -> None:
            log.add("late")

        for nested in (False, True):
            app = web.Application()
            app.on_startup.append(change)
            if nested:
                outer = web.Application()
                outer.add_subapp("/a", app)
                app = outer
            await live(web, log, app)

    await same(scenario)


async def test_an_application_belongs_to_one_loop() -> None:
    app = web.Application()
    await app.launch()

    def elsewhere() -> None:
        with (
            asyncio.Runner() as runner,
            pytest.raises(RuntimeError, match=r"^web\.Application instance initialized with"),
        ):
            runner.run(app.launch())

    await asyncio.to_thread(elsewhere)


# --- life ------------------------------------------------------------------------------------------------------------


async def test_signals_and_contexts_of_a_family_come_in_the_same_order() -> None:
    async def scenario(web: Any, log: Log) -> None:
        await live(web, log, family(web, log))

    seen = await same(scenario)
    assert seen[:4] == [["root", "enter"], ["root", "on_startup"], ["first", "enter"], ["first", "on_startup"]]


@pytest.mark.parametrize("name", ["root", "first", "nested", "second"])
@pytest.mark.parametrize("point", ["enter", "on_startup"])
async def test_a_failing_start_leaves_every_context_that_was_entered(name: str, point: str) -> None:
    async def scenario(web: Any, log: Log) -> None:
        await live(web, log, family(web, log, **{name: point}))

    theirs, ours = await logs(scenario)
    start = theirs.index(["cleanup", None])
    entered = [who for who, *what in ours if what == ["enter"] and [who, point] != [name, "enter"]]
    # aiohttp leaves the contexts of the outermost application only.
    assert ours[:-1] == theirs[:start] + [[who, "leave"] for who in entered if who != "root"]
    assert ours[-1] == ["cleanup", None]
    assert ["setup", ["ValueError", f"{name} {point}"]] in ours


@pytest.mark.parametrize("name", ["root", "first", "second"])
@pytest.mark.parametrize("point", ["on_shutdown", "leave", "on_cleanup"])
async def test_a_failing_end_does_not_keep_the_rest_from_ending(name: str, point: str) -> None:
    async def scenario(web: Any, log: Log) -> None:
        await live(web, log, family(web, log, **{name: point}))

    theirs, ours = await logs(scenario)
    log = Log()
    await live(web, log, family(web, log))
    # The same error as with aiohttp, and nothing is left out.
    assert ours[-1] == theirs[-1] == ["cleanup", ["ValueError", f"{name} {point}"]]
    assert ours[:-1] == log[:-1]


async def test_several_failures_come_out_together() -> None:
    log = Log()
    app = family(web, log, root="on_shutdown", first="leave", second="on_cleanup")
    runner = web.AppRunner(app)
    await runner.setup()
    with pytest.raises(web.CleanupError) as caught:
        await runner.cleanup()
    assert [str(error) for error in caught.value.exceptions] == ["root on_shutdown", "first leave", "second on_cleanup"]
    assert caught.value.args[0] == "Multiple errors on cleanup stage"


@pytest.mark.parametrize(
    "names",
    [
        "a b",
        "a fails b",
        "a fails fails",
        "a unyielding b",
        "a early b",
        "a manager b",
        "kind b",
        "a cancelled b",
        "iterator",
    ],
)
async def test_contexts_are_entered_and_left_in_the_same_way(names: str) -> None:
    async def scenario(web: Any, log: Log) -> None:
        app = web.Application()
        app.cleanup_ctx.extend(contexts(log)[name] for name in names.split())
        await live(web, log, app)

    theirs, ours = await logs(scenario)
    assert _without_names(ours) == _without_names(theirs)


def contexts(log: Log) -> dict[str, Any]:
    async def a(app: Any) -> AsyncIterator[None]:
        log.add("a+")
        yield
        log.add("a-")

    async def b(app: Any) -> AsyncIterator[None]:
        log.add("b+")
        yield
        log.add("b-")

    async def fails(app: Any) -> AsyncIterator[None]:
        yield
        log.add("fails-")
        raise KeyError("fails")

    async def unyielding(app: Any) -> AsyncIterator[None]:
        log.add("unyielding")
        if app is None:
            yield

    async def early(app: Any) -> AsyncIterator[None]:
        raise KeyError("early")
        yield

    async def cancelled(app: Any) -> AsyncIterator[None]:
        yield
        log.add("cancelled-")
        raise asyncio.CancelledError

    @asynccontextmanager
    async def manager(app: Any) -> AsyncIterator[int]:
        log.add("manager+")
        try:
            yield 5
        finally:
            log.add("manager-")

    class Kind:
        def __init__(self, app: Any) -> None:
            log.add("made")

        async def __aenter__(self) -> None:
            log.add("kind+")

        async def __aexit__(self, *args: Any) -> None:
            log.add("kind-", args)

    class Iterator:
        def __init__(self, app: Any) -> None:
            self.count = 0

        async def __anext__(self) -> None:
            self.count += 1
            log.add("iterator", self.count)
            if self.count > 1:
                raise StopAsyncIteration

        def __aiter__(self) -> Iterator:
            return self

    return {
        **{f.__name__: f for f in (a, b, fails, unyielding, early, cancelled, manager)},
        "kind": Kind,
        "iterator": Iterator,
    }


def _without_names(log: Log) -> list[Any]:
    """A log without what our messages add to those of aiohttp: the function that was to yield once."""
    return [re.sub(r": <function .*ADDRESS> must yield once", "", str(line)) for line in log]


async def test_a_context_is_left_once() -> None:
    log = Log()
    app = web.Application()
    app.cleanup_ctx.append(contexts(log)["kind"])
    await live(web, log, app, cleanups=2)
    assert [line for line in log if line[0] == "kind-"] == [["kind-", [None, None, None]]]


async def test_a_generator_that_yields_twice_is_closed() -> None:
    log = Log()

    async def twice(app: web.Application) -> AsyncIterator[None]:
        try:
            yield
            yield
        finally:
            log.add("closed")

    app = web.Application()
    app.cleanup_ctx.append(twice)
    runner = web.AppRunner(app)
    await runner.setup()
    with pytest.raises(RuntimeError, match=r"^generator didn't stop: <function .*twice.* must yield once$"):
        await runner.cleanup()
    assert log == [["closed"]]


@pytest.mark.parametrize("given", [lambda app: 5, lambda app: None, hello])
async def test_what_is_no_context_is_refused_by_name(given: Any) -> None:
    app = web.Application()
    app.cleanup_ctx.append(given)
    with pytest.raises(TypeError, match=r"is not an async iterator or an async context manager.*must.*be an async gen"):
        await app.launch()
    await app.cleanup()


async def test_an_error_of_a_cleanup_is_not_in_a_cycle_with_its_traceback() -> None:
    class Mine(ValueError):
        pass

    async def fail(app: web.Application) -> None:
        raise Mine

    async def context(app: web.Application) -> AsyncIterator[None]:
        yield
        raise Mine

    async def clean_up(app: web.Application) -> weakref.ref[Exception]:
        try:
            await app.cleanup()
        except (Mine, web.CleanupError) as exc:
            return weakref.ref(exc)
        raise AssertionError("no error")

    gc.collect()
    gc.disable()
    try:
        for receivers, contexts in (([fail], []), ([], [context]), ([fail], [context])):
            app = web.Application()
            app.on_cleanup.extend(receivers)
            app.cleanup_ctx.extend(contexts)
            await app.launch()
            assert (await clean_up(app))() is None
    finally:
        gc.enable()


async def test_a_cancelled_cleanup_says_so() -> None:
    app = web.Application()
    reached: list[str] = []

    async def hang(app: web.Application) -> None:
        reached.append("hang")
        await asyncio.Event().wait()

    async def later(app: web.Application) -> None:
        reached.append("later")

    app.on_cleanup.append(hang)
    app.on_cleanup.append(later)
    app.freeze()
    task = asyncio.create_task(app.cleanup())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reached == ["hang"]


async def test_signals_before_the_freeze_are_refused() -> None:
    async def scenario(web: Any, log: Log) -> None:
        app = web.Application()
        await log.awaited("startup", app.startup())
        await log.awaited("shutdown", app.shutdown())
        await log.awaited("cleanup", app.cleanup())

    await same(scenario)


async def test_receivers_that_are_no_coroutine_functions_fail_the_start() -> None:
    async def scenario(web: Any, log: Log) -> None:
        for receiver in (5, lambda app: None):
            app = web.Application()
            app.on_startup.append(receiver)
            await live(web, log, app)

    await same(scenario)


# --- sub-applications ------------------------------------------------------------------------------------------------


async def test_prefixes_and_domains_are_judged_alike() -> None:
    async def scenario(web: Any, log: Log) -> None:
        for prefix in ("/x", "/x/", "/a/b/", "", "/", "//", "/{n}", 5):
            log.tried(
                f"prefix {prefix!r}", lambda prefix=prefix: web.Application().add_subapp(prefix, web.Application())
            )
        for domain in ("example.com", "*.example.com", "", "a b", "EXAMPLE.com:80", "http://a", "a..b", "*", 5, None):
            log.tried(
                f"domain {domain!r}", lambda domain=domain: web.Application().add_domain(domain, web.Application())
            )

    await same(scenario)


async def test_a_sub_application_is_frozen_when_it_is_added_and_keeps_its_state() -> None:
    async def scenario(web: Any, log: Log) -> None:
        root, sub, key = web.Application(), web.Application(), log.key
        root.add_subapp("/sub", sub)
        log.add(sub.pre_frozen, sub.frozen, root.pre_frozen, sub.router.frozen, sub.middlewares.frozen)
        log.tried("state", lambda: sub.__setitem__(key, 1))
        log.tried("route", lambda: sub.router.add_get("/", hello))
        log.tried("receiver", lambda: sub.on_startup.append(5))
        log.tried("isolation", lambda: (sub[key], key in root))
        root.freeze()
        log.add(sub.frozen)

    await same(scenario)


def test_an_application_can_not_be_its_own_sub_application() -> None:
    root, sub = web.Application(), web.Application()
    with pytest.raises(ValueError, match="of itself"):
        root.add_subapp("/a", root)
    root.add_subapp("/sub", sub)
    with pytest.raises(ValueError, match="of itself"):
        sub._add_subapp(lambda: pytest.fail("made"), root)
    assert (root.contains(sub), sub.contains(root)) == (True, False)
    with pytest.raises(TypeError, match=r"must be a web\.Application instance, got None"):
        root.add_subapp("/b", None)  # type: ignore[arg-type]


async def test_requests_see_the_state_and_the_middlewares_of_their_application() -> None:
    async def scenario(web: Any, log: Log) -> None:
        def layer(name: str) -> Any:
            @web.middleware
            async def run(request: Any, handler: Any) -> Any:
                log.add(name, request.app["name"], handler.__name__)
                response = await handler(request)
                log.add(name, request.app["name"], "out")
                return response

            return run

        async def handler(request: Any) -> Any:
            log.add("handler", request.app["name"], request.config_dict.get("only"), len(request.match_info.apps))
            return web.Response(text="ok")

        apps = {}
        for name, layers in (("root", ["one", "two"]), ("sub", ["three"]), ("bare", [])):
            apps[name] = web.Application(middlewares=[layer(each) for each in layers])
            apps[name]["name"] = name
            apps[name].router.add_get("/here", handler)
        apps["root"]["only"] = "root's"
        apps["root"].add_subapp("/sub", apps["sub"])
        apps["root"].add_subapp("/bare", apps["bare"])
        apps["root"].freeze()
        for path in ("/here", "/sub/here", "/sub/here", "/bare/here", "/sub/none", "/none"):
            request = mocked(web, path)
            await log.awaited(path, _status(apps["root"]._handle(request)))

    await same(scenario)


def mocked(web: Any, path: str, **kwargs: Any) -> Any:
    if web.__name__.startswith("aiohttp"):
        from aiohttp.test_utils import make_mocked_request as make
    else:
        make = make_mocked_request  # type: ignore[assignment]
    return make("GET", path, **kwargs)


async def _status(answer: Any) -> int:
    return (await answer).status  # type: ignore[no-any-return]


# --- _handle ---------------------------------------------------------------------------------------------------------


async def test_a_chain_is_composed_once_for_each_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    composed: list[Any] = []

    def compose(handler: Any, apps: Any) -> Any:
        composed.append(handler)
        return handler

    monkeypatch.setattr(app_module, "compose", compose)

    @web.middleware
    async def layer(request: web.Request, handler: Any) -> web.StreamResponse:
        raise AssertionError("not composed")

    app = web.Application(middlewares=[layer])
    app.router.add_get("/a", hello)
    app.router.add_get("/b", hello)
    app.router.add_get("/c", lambda_handler)
    app.freeze()
    for path in ("/a", "/b", "/c", "/a", "/c"):
        assert (await app._handle(make_mocked_request("GET", path))).status == 200
    assert composed == [hello, lambda_handler]


async def lambda_handler(request: web.Request) -> web.Response:
    return web.Response(text="other")


async def test_the_kept_chains_are_bounded_and_errors_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "CHAINS", 2)

    @web.middleware
    async def layer(request: web.Request, handler: Any) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request)
        return response

    def answering(text: str) -> Any:
        async def answer(request: web.Request) -> web.Response:
            return web.Response(text=text)

        return answer

    app = web.Application(middlewares=[layer])
    for name in "abc":
        app.router.add_get(f"/{name}", answering(name))
    app.freeze()
    for _ in range(2):
        for name in "abc":
            response = await app._handle(make_mocked_request("GET", f"/{name}"))
            assert isinstance(response, web.Response)
            assert response.text == name
    for _ in range(3):
        with pytest.raises(web.HTTPNotFound):
            await app._handle(make_mocked_request("GET", "/none"))
    assert len(app._chains) == 2


async def test_an_expectation_is_answered_before_the_middlewares() -> None:
    ran: list[str] = []

    async def expect(request: web.Request) -> web.Response | None:
        ran.append("expect")
        return web.Response(status=417) if "refuse" in request.headers else None

    @web.middleware
    async def layer(request: web.Request, handler: Any) -> web.StreamResponse:
        ran.append("layer")
        response: web.StreamResponse = await handler(request)
        return response

    app = web.Application(middlewares=[layer])
    app.router.add_get("/", hello, expect_handler=expect)
    app.freeze()
    headers = {"Expect": "100-continue"}
    assert (await app._handle(make_mocked_request("GET", "/", headers=headers))).status == 200
    assert (await app._handle(make_mocked_request("GET", "/", headers={**headers, "refuse": "1"}))).status == 417
    assert (await app._handle(make_mocked_request("GET", "/"))).status == 200
    assert ran == ["expect", "layer", "expect", "layer"]


async def test_a_router_that_returns_no_match_is_named() -> None:
    class Router(web.UrlDispatcher):
        async def resolve(self, request: web.Request) -> Any:
            return 5

    with pytest.warns(DeprecationWarning, match="^router argument is deprecated$"):
        app = web.Application(router=Router())
    with pytest.raises(TypeError, match=r"^match_info should be AbstractMatchInfo instance, not 5$"):
        await app._handle(make_mocked_request("GET", "/"))


async def test_a_match_of_another_kind_is_asked_as_the_public_api_says() -> None:
    class Match(web.UrlMappingMatchInfo):
        pass

    class Router(web.UrlDispatcher):
        async def resolve(self, request: web.Request) -> Any:
            found = await super().resolve(request)
            return Match({"extra": "1"}, found.route)

    with pytest.warns(DeprecationWarning, match="^router argument is deprecated$"):
        app = web.Application(router=Router())
    app.router.add_get("/", hello)
    request = make_mocked_request("GET", "/")
    assert (await app._handle(request)).status == 200
    assert (request.match_info["extra"], request.app) == ("1", app)


async def test_packages_may_replace_handle_and_make_request_in_the_class(monkeypatch: pytest.MonkeyPatch) -> None:
    before = web.Application._handle
    seen: list[Any] = []

    class MyRequest(web.Request):
        pass

    with pytest.warns(DeprecationWarning, match="Inheritance class Mine from web.Application is discouraged") as told:

        class Mine(web.Application):
            def _make_request(  # type: ignore[override]
                self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any, _cls: Any = MyRequest
            ) -> Any:
                return _cls(
                    message, payload, protocol, writer, task, loop=self._loop, client_max_size=self._client_max_size
                )

    assert told[0].filename == __file__

    async def handle(self: web.Application, request: web.Request) -> web.StreamResponse:
        seen.append(type(request))
        return await before(self, request)

    monkeypatch.setattr(web.Application, "_handle", handle)
    app = Mine(client_max_size=5)
    app.router.add_get("/", hello)
    async with TestClient(TestServer(app)) as client, client.get("/") as response:
        assert (response.status, await response.text()) == (200, "hello")
    assert seen == [MyRequest]


async def test_the_limits_of_the_application_are_those_of_its_requests() -> None:
    async def limits(request: web.Request) -> web.Response:
        return web.json_response([request.client_max_size, request.client_max_fields])

    for options, expected in (({}, [1048576, 1000]), ({"client_max_size": 7, "client_max_fields": 3}, [7, 3])):
        app = web.Application(**options)  # type: ignore[arg-type]
        app.router.add_get("/", limits)
        async with TestClient(TestServer(app)) as client, client.get("/") as response:
            assert await response.json() == expected


async def test_receivers_of_on_response_prepare_are_asked_in_every_application() -> None:
    seen: list[str] = []
    root, sub, bare = web.Application(), web.Application(), web.Application()

    async def of_root(request: web.Request, response: web.StreamResponse) -> None:
        seen.append("root")

    async def of_sub(request: web.Request, response: web.StreamResponse) -> None:
        seen.append("sub")
        response.headers["X-Sub"] = "1"

    sub.on_response_prepare.append(of_sub)
    for app in (root, sub, bare):
        app.router.add_get("/here", hello)
    root.add_subapp("/sub", sub)
    root.add_subapp("/bare", bare)
    root.on_response_prepare.append(of_root)
    async with TestClient(TestServer(root)) as client:
        for path, expected in (("/here", ["root"]), ("/sub/here", ["root", "sub"]), ("/bare/here", ["root"])):
            seen.clear()
            async with client.get(path) as response:
                assert response.headers.get("X-Sub") == ("1" if "sub" in expected else None)
            assert seen == expected


async def test_a_receiver_in_a_sub_application_alone_is_asked() -> None:
    root, sub = web.Application(), web.Application()

    async def receiver(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Sub"] = "1"

    sub.on_response_prepare.append(receiver)
    sub.router.add_get("/here", hello)
    root.router.add_get("/here", hello)
    root.add_subapp("/sub", sub)
    async with TestClient(TestServer(root)) as client:
        async with client.get("/sub/here") as response:
            assert response.headers["X-Sub"] == "1"
        async with client.get("/here") as response:
            assert "X-Sub" not in response.headers

"""Fixtures for tests of servers and clients, and a runner of coroutine tests.

    async def test_hello(aiohttp_client):
        client = await aiohttp_client(make_app())
        async with client.get("/") as response:
            assert await response.text() == "hello"

What a fixture has opened is closed when the test is over, in the loop that it was opened in.

Several packages define fixtures of these names, and a library must not disturb the tests of a project that did not ask
for it. So there are two ways in.

*Asked for*, by ``-p fairlead.pytest_plugin`` on the command line or in ``addopts``, or by
``pytest_plugins = ["fairlead.pytest_plugin"]``: all of this module. Coroutine tests and fixtures that no other plugin
runs are run here.

*Installed*, by the entry point: once pytest has read the first conftest files,

===========================================  ===========================  =============================================
other plugins                                fixtures                     coroutine tests
===========================================  ===========================  =============================================
none of those below                          all                          run here, unless a conftest does it
pytest-asyncio                               all, without need of `loop`  left to pytest-asyncio, strict or auto
one with `aiohttp_client` (of aiohttp or     `fairlead_client` and so on  left to the others
pytest-aiohttp)
===========================================  ===========================  =============================================

A fixture or hook of a conftest file goes first in each case. ``-p no:fairlead`` switches the entry point off.

``fairlead_client``, ``fairlead_server``, ``fairlead_raw_server``, ``fairlead_unused_port`` and ``fairlead_client_cls``
are there in every case, and do what those whose names begin with ``aiohttp_`` do.

Options: ``--aiohttp-loop`` (pyloop, uvloop, all, or several with commas; a "?" behind a name leaves out what is not
installed), ``--aiohttp-fast`` (no collection of garbage after each test), ``--aiohttp-enable-loop-debug``.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, overload

import pytest

if TYPE_CHECKING:
    from .test_utils import BaseTestServer, RawTestServer, TestClient, TestServer
    from .web.app import Application
    from .web.request import BaseRequest, Request
    from .web.stream_response import StreamResponse

    RawHandler = Callable[[BaseRequest], Awaitable[StreamResponse]]

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
Loops = Iterator[asyncio.AbstractEventLoop]

LOOP = pytest.StashKey[asyncio.AbstractEventLoop]()
"""Where a node keeps the loop that its coroutine fixtures ran in."""

RUNS_TESTS = pytest.StashKey[bool]()
"""Where a run of pytest keeps whether the entry point runs coroutine tests."""


class AiohttpClient(Protocol):
    """The type of the fixture `aiohttp_client`: makes a client of an application or of a test server."""

    @overload
    async def __call__(
        self, app: Application, *, server_kwargs: dict[str, Any] | None = None, **kwargs: Any
    ) -> TestClient[Request, Application]: ...
    @overload
    async def __call__(
        self, app: BaseTestServer, *, server_kwargs: dict[str, Any] | None = None, **kwargs: Any
    ) -> TestClient[BaseRequest, None]: ...


class AiohttpServer(Protocol):
    """The type of the fixture `aiohttp_server`: starts a server of an application."""

    async def __call__(
        self, app: Application, *, host: str = "127.0.0.1", port: int | None = None, **kwargs: Any
    ) -> TestServer: ...


class AiohttpRawServer(Protocol):
    """The type of the fixture `aiohttp_raw_server`: starts a server of one handler."""

    async def __call__(self, handler: RawHandler, *, port: int | None = None, **kwargs: Any) -> RawTestServer: ...


# ---- what is opened is closed


class Opened:
    """What one fixture has opened, by loop.

    The fixture closes it in the loop while that can still be run. Who runs the test may have closed the loop by then;
    an asynchronous generator for each loop stands guard, which ends with the loop (`loop.shutdown_asyncgens()`).
    """

    def __init__(self) -> None:
        self._things: dict[asyncio.AbstractEventLoop, list[Any]] = {}
        self._guards: dict[asyncio.AbstractEventLoop, AsyncGenerator[None]] = {}

    async def note(self, thing: Any) -> None:
        """Take note of something with a coroutine method `close`."""
        loop = asyncio.get_running_loop()
        things = self._things.setdefault(loop, [])
        things.append(thing)
        if loop not in self._guards:
            guard = self._guards[loop] = self._stand_guard(things)
            await anext(guard)

    async def _stand_guard(self, things: list[Any]) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            while things:
                await things.pop().close()

    def close(self) -> None:
        """Close everything that was opened in a loop that is open."""
        for loop, guard in self._guards.items():
            if not loop.is_closed() and not loop.is_running():
                loop.run_until_complete(guard.aclose())


@contextlib.contextmanager
def opening() -> Iterator[Opened]:
    """Give a list of things to close in the end."""
    opened = Opened()
    try:
        yield opened
    finally:
        opened.close()


def clients(client_cls: type[TestClient[Any, Any]] | None) -> Iterator[AiohttpClient]:
    """Give a function that makes clients, and close them in the end."""
    from .test_utils import BaseTestServer, TestClient, TestServer
    from .web.app import Application

    make: Any = TestClient if client_cls is None else client_cls

    with opening() as opened:

        async def go(app: Any, *args: Any, server_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> Any:
            if callable(app) and not isinstance(app, (Application, BaseTestServer)):
                # A function of a loop that makes an application, which aiohttp takes as well.
                app = app(asyncio.get_running_loop(), *args, **kwargs)
                args, kwargs = (), {}
            if isinstance(app, Application):
                assert not args, "args should be empty"
                client = make(TestServer(app, **(server_kwargs or {})), **kwargs)
            elif isinstance(app, BaseTestServer):
                assert not args, "args should be empty"
                client = make(app, **kwargs)
            else:
                raise ValueError(f"Unknown argument type: {type(app)!r}")
            await opened.note(client)
            await client.start_server()
            return client

        yield go


def servers() -> Iterator[AiohttpServer]:
    """Give a function that starts servers of applications, and close them in the end."""
    from .test_utils import TestServer

    with opening() as opened:

        async def go(
            app: Application, *, host: str = "127.0.0.1", port: int | None = None, **kwargs: Any
        ) -> TestServer:
            server = TestServer(app, host=host, port=port)
            await server.start_server(**kwargs)
            await opened.note(server)
            return server

        yield go


def raw_servers() -> Iterator[AiohttpRawServer]:
    """Give a function that starts servers of one handler, and close them in the end."""
    from .test_utils import RawTestServer

    with opening() as opened:

        async def go(handler: RawHandler, *, port: int | None = None, **kwargs: Any) -> RawTestServer:
            server = RawTestServer(handler, port=port)
            await server.start_server(**kwargs)
            await opened.note(server)
            return server

        yield go


# ---- loops


def loop_factories(config: pytest.Config) -> dict[str, LoopFactory]:
    """Return what makes the loops that --aiohttp-loop asks for; UsageError for a name that is not known."""
    asked = str(config.getoption("aiohttp_loop", "pyloop"))
    factories: dict[str, LoopFactory] = {}
    for word in asked.replace("all", "pyloop,uvloop?").split(","):
        name = word.strip().removesuffix("?")
        factory = _loop_factory(name)
        if factory is not None:
            factories[name] = factory
        elif not word.strip().endswith("?"):
            raise pytest.UsageError(
                f"--aiohttp-loop={asked}: {name!r} is not a loop that is installed; known are pyloop, uvloop and all"
            )
    return factories


def _loop_factory(name: str) -> LoopFactory | None:
    if name == "pyloop":
        return asyncio.new_event_loop
    if name == "uvloop":
        try:
            import uvloop
        except ImportError:
            return None
        factory: LoopFactory = uvloop.new_event_loop
        return factory
    return None


def loops(factory: LoopFactory, fast: bool, debug: bool) -> Iterator[asyncio.AbstractEventLoop]:
    """Give a loop and close it in the end."""
    from .test_utils import loop_context

    with loop_context(factory, fast=fast) as loop:
        if debug:
            loop.set_debug(True)
        yield loop


# ---- fixtures


@pytest.fixture
def fast(request: pytest.FixtureRequest) -> bool:
    """Whether the option --aiohttp-fast was given."""
    return bool(request.config.getoption("aiohttp_fast", False))


@pytest.fixture
def loop_debug(request: pytest.FixtureRequest) -> bool:
    """Whether the option --aiohttp-enable-loop-debug was given."""
    return bool(request.config.getoption("aiohttp_enable_loop_debug", False))


@pytest.fixture
def fairlead_loop_factory(request: pytest.FixtureRequest) -> LoopFactory:
    """What makes the loop: the first of --aiohttp-loop, where the test is not run with each of them."""
    return next(iter(loop_factories(request.config).values()), asyncio.new_event_loop)


@pytest.fixture
def loop(fairlead_loop_factory: LoopFactory, fast: bool, loop_debug: bool) -> Iterator[asyncio.AbstractEventLoop]:
    """Give a new event loop, the current one of the thread, in which coroutine tests and fixtures run."""
    yield from loops(fairlead_loop_factory, fast, loop_debug)


@pytest.fixture
def proactor_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give a new proactor event loop, which only Windows has; coroutine tests that ask for it run in it."""
    factory = getattr(asyncio, "ProactorEventLoop", None)
    if factory is None:
        pytest.skip("asyncio.ProactorEventLoop exists on Windows only")
    yield from loops(factory, False, False)


@pytest.fixture
def fairlead_client_cls() -> type[TestClient[Any, Any]]:
    """Return the class of the clients that `fairlead_client` makes; override it to have another."""
    from .test_utils import TestClient

    return TestClient


@pytest.fixture
def aiohttp_client_cls(fairlead_client_cls: type[TestClient[Any, Any]]) -> type[TestClient[Any, Any]]:
    """Return the class of the clients that `aiohttp_client` makes; override it to have another."""
    return fairlead_client_cls


@pytest.fixture
def fairlead_unused_port() -> Callable[[], int]:
    """Return a function that returns a port of the loopback interface that is free."""
    from .test_utils import unused_port

    return unused_port


@pytest.fixture
def aiohttp_unused_port(fairlead_unused_port: Callable[[], int]) -> Callable[[], int]:
    """Return a function that returns a port of the loopback interface that is free."""
    return fairlead_unused_port


@pytest.fixture
def aiohttp_client(
    loop: asyncio.AbstractEventLoop, aiohttp_client_cls: type[TestClient[Any, Any]]
) -> Iterator[AiohttpClient]:
    """Make a TestClient: `await aiohttp_client(app, **kwargs)`; takes a test server as well."""
    yield from clients(aiohttp_client_cls)


@pytest.fixture
def fairlead_client(
    loop: asyncio.AbstractEventLoop, fairlead_client_cls: type[TestClient[Any, Any]]
) -> Iterator[AiohttpClient]:
    """Make a TestClient: `await fairlead_client(app, **kwargs)`; takes a test server as well."""
    yield from clients(fairlead_client_cls)


@pytest.fixture
def aiohttp_server(loop: asyncio.AbstractEventLoop) -> Iterator[AiohttpServer]:
    """Start a TestServer: `await aiohttp_server(app, **kwargs)`."""
    yield from servers()


@pytest.fixture
def fairlead_server(loop: asyncio.AbstractEventLoop) -> Iterator[AiohttpServer]:
    """Start a TestServer: `await fairlead_server(app, **kwargs)`."""
    yield from servers()


@pytest.fixture
def aiohttp_raw_server(loop: asyncio.AbstractEventLoop) -> Iterator[AiohttpRawServer]:
    """Start a RawTestServer: `await aiohttp_raw_server(handler, **kwargs)`."""
    yield from raw_servers()


@pytest.fixture
def fairlead_raw_server(loop: asyncio.AbstractEventLoop) -> Iterator[AiohttpRawServer]:
    """Start a RawTestServer: `await fairlead_raw_server(handler, **kwargs)`."""
    yield from raw_servers()


@pytest.fixture
def test_client(aiohttp_client: AiohttpClient) -> AiohttpClient:
    """Do what `aiohttp_client` does; deprecated."""
    warnings.warn("Deprecated, use aiohttp_client fixture instead", DeprecationWarning, stacklevel=2)
    return aiohttp_client


@pytest.fixture
def test_server(aiohttp_server: AiohttpServer) -> AiohttpServer:
    """Do what `aiohttp_server` does; deprecated."""
    warnings.warn("Deprecated, use aiohttp_server fixture instead", DeprecationWarning, stacklevel=2)
    return aiohttp_server


@pytest.fixture
def raw_test_server(aiohttp_raw_server: AiohttpRawServer) -> AiohttpRawServer:
    """Do what `aiohttp_raw_server` does; deprecated."""
    warnings.warn("Deprecated, use aiohttp_raw_server fixture instead", DeprecationWarning, stacklevel=2)
    return aiohttp_raw_server


@pytest.fixture
def unused_port(aiohttp_unused_port: Callable[[], int]) -> Callable[[], int]:
    """Do what `aiohttp_unused_port` does; deprecated."""
    warnings.warn("Deprecated, use aiohttp_unused_port fixture instead", DeprecationWarning, stacklevel=2)
    return aiohttp_unused_port


def loopless(prefix: str) -> dict[str, Any]:
    """Return the fixtures that open something, for tests that others run in loops of their own."""

    @pytest.fixture(name=f"{prefix}_client")
    def client(request: pytest.FixtureRequest) -> Iterator[AiohttpClient]:
        """Make a TestClient of an application or a test server."""
        yield from clients(request.getfixturevalue(f"{prefix}_client_cls"))

    @pytest.fixture(name=f"{prefix}_server")
    def server() -> Iterator[AiohttpServer]:
        """Start a TestServer of an application."""
        yield from servers()

    @pytest.fixture(name=f"{prefix}_raw_server")
    def raw_server() -> Iterator[AiohttpRawServer]:
        """Start a RawTestServer of a handler."""
        yield from raw_servers()

    return {f"{prefix}_client": client, f"{prefix}_server": server, f"{prefix}_raw_server": raw_server}


FAIRLEAD_NAMES = "fairlead_client fairlead_client_cls fairlead_raw_server fairlead_server fairlead_unused_port".split()
AIOHTTP_NAMES = (
    "aiohttp_client aiohttp_client_cls aiohttp_raw_server aiohttp_server aiohttp_unused_port"
    " fairlead_loop_factory fast loop loop_debug proactor_loop raw_test_server test_client test_server unused_port"
).split()


# ---- hooks


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the options, unless another plugin has them."""
    if not is_given("aiohttp_client", pluginmanager):
        add_options(parser)


def add_options(parser: pytest.Parser) -> None:
    """Add the options, by the names that they have in aiohttp's plugin."""
    group = parser.getgroup("fairlead")
    group.addoption(
        "--aiohttp-fast", action="store_true", default=False, help="do not collect garbage after each coroutine test"
    )
    group.addoption(
        "--aiohttp-loop", default="pyloop", help="run coroutine tests with specific loops: pyloop, uvloop or all"
    )
    group.addoption(
        "--aiohttp-enable-loop-debug", action="store_true", default=False, help="turn on the debug mode of event loops"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses `loop` with all the loops of --aiohttp-loop."""
    if "fairlead_loop_factory" in metafunc.fixturenames:
        factories = loop_factories(metafunc.config)
        metafunc.parametrize("fairlead_loop_factory", list(factories.values()), ids=list(factories))


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Run fixtures that are coroutine functions or asynchronous generators, where no other plugin has wrapped them."""
    function: Any = fixturedef.func
    if not (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)):
        return (yield)
    instance = request.instance
    if inspect.ismethod(function) and isinstance(instance, type(function.__self__)):
        # pytest collects with one instance of a test class and runs with another.
        bound: Any = function.__func__.__get__(instance)
    else:
        bound = function
    name = "proactor_loop" if "proactor_loop" in request.fixturenames else "loop"
    loop: asyncio.AbstractEventLoop = request.getfixturevalue(name)
    request.node.stash[LOOP] = loop

    def fixture(**kwargs: Any) -> Any:
        if inspect.iscoroutinefunction(function):
            return loop.run_until_complete(bound(**kwargs))
        generator = bound(**kwargs)
        value = loop.run_until_complete(anext(generator))
        request.addfinalizer(lambda: loop.run_until_complete(_end(generator, fixturedef.argname)))
        return value

    # What pytest calls; the names of its arguments are known already.
    fixturedef.func = fixture  # type: ignore[misc]
    try:
        return (yield)
    finally:
        fixturedef.func = function  # type: ignore[misc]


async def _end(generator: AsyncGenerator[Any], name: str) -> None:
    try:
        await anext(generator)
    except StopAsyncIteration:
        return
    await generator.aclose()
    pytest.fail(f"the fixture {name} has yielded more than once", pytrace=False)


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine function, in the loop of its fixtures or in one of its own."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    funcargs = pyfuncitem.funcargs
    arguments = {name: funcargs[name] for name in inspect.signature(test).parameters if name in funcargs}
    loop = _loop_of(pyfuncitem)
    with no_runtime_warnings():
        if loop is not None:
            loop.run_until_complete(test(**arguments))
            return True
        config = pyfuncitem.config
        factory = next(iter(loop_factories(config).values()), asyncio.new_event_loop)
        fast = bool(config.getoption("aiohttp_fast", False))
        debug = bool(config.getoption("aiohttp_enable_loop_debug", False))
        with contextlib.contextmanager(loops)(factory, fast, debug) as own:
            own.run_until_complete(test(**arguments))
    return True


def _loop_of(item: pytest.Function) -> asyncio.AbstractEventLoop | None:
    """Return the loop that a fixture of the test has made."""
    for name in ("proactor_loop", "loop"):
        found = item.funcargs.get(name)
        if isinstance(found, asyncio.AbstractEventLoop):
            return found
    return next((node.stash[LOOP] for node in reversed(item.listchain()) if LOOP in node.stash), None)


@contextlib.contextmanager
def no_runtime_warnings() -> Iterator[None]:
    """Turn RuntimeWarnings into one error: "coroutine was never awaited" is a test that has tested nothing."""
    with warnings.catch_warnings(record=True) as caught:
        yield
    worst = [warning for warning in caught if issubclass(warning.category, RuntimeWarning)]
    for warning in caught:
        if warning not in worst:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno, source=warning.source
            )
    if worst:
        listed = "\n".join(f"{warning.filename}:{warning.lineno}: {warning.message}" for warning in worst)
        raise RuntimeError(f"{len(worst)} RuntimeWarning{'s' if len(worst) > 1 else ''} during the test:\n{listed}")


# ---- the entry point


class Installed:
    """What the entry point registers: looks who else is there, and adds what is not given by others."""

    # There is one of it in a process, and pytest may run within pytest: what was decided is kept with the run.

    @pytest.hookimpl(wrapper=True)
    def pytest_load_initial_conftests(
        self, early_config: pytest.Config, parser: pytest.Parser, args: list[str]
    ) -> Generator[None, object, object]:
        """Decide when the first conftest files have been read, and with them the plugins that they ask for."""
        result = yield
        names_given = self.join(early_config)
        # An option that is there twice is an error, and a test module may ask for aiohttp's plugin later on.
        if names_given and any(arg.startswith("--aiohttp-") or arg in ("-h", "--help") for arg in args):
            add_options(parser)
        return result

    def join(self, config: pytest.Config) -> bool:
        """Register the fixtures that the project shall have; tell whether those of aiohttp's names are among them."""
        plugins = config.pluginmanager
        names_given = runs_tests = False
        here = globals()
        given = {name: here[name] for name in FAIRLEAD_NAMES}
        others_run = plugins.has_plugin("asyncio") or plugins.has_plugin("pytest_asyncio")
        if plugins.has_plugin(__name__):
            # The project has asked for this module. Of equal names, pytest takes those of the last plugin.
            given |= {name: here[name] for name in AIOHTTP_NAMES}
        elif is_given("aiohttp_client", plugins):
            if not is_given("loop", plugins):
                given |= loopless("fairlead")
        else:
            given |= {name: here[name] for name in AIOHTTP_NAMES if not is_given(name, plugins)}
            given["pytest_generate_tests"] = pytest_generate_tests
            if others_run:
                given |= loopless("fairlead") | loopless("aiohttp")
            names_given, runs_tests = True, not others_run
        # Of all objects pytest looks for fixtures in, modules are those that any version of it knows.
        plugin = ModuleType(f"{__name__}.given")
        plugin.__dict__.update(given)
        plugins.register(plugin, plugin.__name__)
        config.stash[RUNS_TESTS] = runs_tests
        return names_given

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Run coroutine fixtures, unless that is left to others."""
        if request.config.stash.get(RUNS_TESTS, False):
            return (yield from pytest_fixture_setup(fixturedef, request))
        return (yield)

    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Run coroutine tests, unless that is left to others."""
        return pytest_pyfunc_call(pyfuncitem) if pyfuncitem.config.stash.get(RUNS_TESTS, False) else None


def is_given(name: str, plugins: pytest.PytestPluginManager) -> bool:
    """Tell whether a plugin other than this one defines a name; conftest files do not count, they go first anyway."""
    for plugin in plugins.get_plugins():
        file = os.path.basename(getattr(plugin, "__file__", None) or "")
        own = getattr(plugin, "__name__", "").startswith(__name__)
        if not own and file != "conftest.py" and name in dir(plugin):
            return True
    return False


installed = Installed()

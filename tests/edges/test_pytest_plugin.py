"""The pytest plugin, in projects of users: installed or asked for, alone or beside the plugins of others."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path

import pytest

from fairlead import pytest_plugin, web

pytest_plugins = ["pytester"]

# The project's pytest runs in this process, where plugins have been imported before.
STRICT = ["-W", "error", "-W", "ignore:Module already imported"]

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"

# A project that knows nothing of us but the names of fixtures; PREFIX is aiohttp or fairlead.
PROJECT = """
import asyncio, pytest
from fairlead import web

async def hello(request):
    return web.Response(text="hello")

def make_app():
    app = web.Application()
    app.router.add_get("/", hello)
    return app

async def test_plain():
    await asyncio.sleep(0)

async def test_client(PREFIX_client):
    client = await PREFIX_client(make_app(), headers={"X": "y"})
    async with client.get("/") as response:
        assert await response.text() == "hello"
    assert client.session.headers["X"] == "y"

async def test_server(PREFIX_server, PREFIX_unused_port):
    port = PREFIX_unused_port()
    server = await PREFIX_server(make_app(), port=port, access_log=None)
    assert (server.started, server.port) == (True, port)

async def test_raw_server(PREFIX_raw_server, PREFIX_client):
    server = await PREFIX_raw_server(hello)
    client = await PREFIX_client(server)
    async with client.get("/") as response:
        assert await response.text() == "hello"

@pytest.fixture
async def client(PREFIX_client):
    return await PREFIX_client(make_app())

async def test_fixture(client):
    async with client.get("/") as response:
        assert await response.text() == "hello"

class TestMethods:
    @pytest.fixture
    async def made(self, PREFIX_client):
        self.started = True
        yield await PREFIX_client(make_app())
        assert self.started

    async def test_method(self, made):
        assert self.started
        async with made.get("/") as response:
            assert response.status == 200
"""
TESTS = 6

# Runs coroutine tests and fixtures, as pytest-asyncio does in its automatic mode.
RUNNER = """
import asyncio, inspect, pytest

@pytest.fixture
def runner():
    with asyncio.Runner() as runner:
        yield runner

def pytest_itemcollected(item):
    item.fixturenames.insert(0, "runner")

@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef, request):
    function = fixturedef.func
    runner = request.getfixturevalue("runner") if fixturedef.argname != "runner" else None
    if inspect.iscoroutinefunction(function):
        def fixture(**kwargs):
            bound = function.__func__.__get__(request.instance) if inspect.ismethod(function) else function
            return runner.run(bound(**kwargs))
    elif inspect.isasyncgenfunction(function):
        def fixture(**kwargs):
            bound = function.__func__.__get__(request.instance) if inspect.ismethod(function) else function
            generator = bound(**kwargs)
            async def begin():
                return await anext(generator)
            async def end():
                assert await anext(generator, "end") == "end"
            value = runner.run(begin())
            request.addfinalizer(lambda: runner.run(end()))
            return value
    else:
        return (yield)
    fixturedef.func = fixture
    try:
        return (yield)
    finally:
        fixturedef.func = function

@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    test = pyfuncitem.obj
    if inspect.iscoroutinefunction(test):
        names = inspect.signature(test).parameters
        pyfuncitem.funcargs["runner"].run(test(**{name: pyfuncitem.funcargs[name] for name in names}))
        return True
"""


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    # Other plugins of this environment have nothing to say here.
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.delenv("PYTHONASYNCIODEBUG", raising=False)


def install(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, name: str, target: str) -> None:
    """Make an entry point, as the installation of a package does."""
    site = pytester.path / "site"
    metadata = site / f"made_{name}-1.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: made-{name}\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[pytest11]\n{name} = {target}\n")
    monkeypatch.syspath_prepend(str(site))


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project in whose environment this package is installed."""
    [(name, target)] = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"]["pytest11"].items()
    install(pytester, monkeypatch, name, target)
    return pytester


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    disabled = [
        word for name in ("xdist", "anyio", "hypothesispytest", "cacheprovider") for word in ("-p", f"no:{name}")
    ]
    return pytester.runpytest_inprocess(*disabled, *STRICT, *args)


def project_for(prefix: str) -> str:
    return PROJECT.replace("PREFIX", prefix)


# ---- alone


@pytest.mark.parametrize("prefix", ["aiohttp", "fairlead"])
def test_installed(project: pytest.Pytester, prefix: str) -> None:
    project.makepyfile(project_for(prefix))
    run(project).assert_outcomes(passed=TESTS)


@pytest.mark.parametrize(
    ("way", "installed", "prefix"),
    [
        ("option", True, "aiohttp"),
        ("option", False, "fairlead"),
        ("ini", True, "fairlead"),
        ("ini", False, "aiohttp"),
        ("conftest", True, "aiohttp"),
        ("conftest", False, "fairlead"),
    ],
)
def test_asked_for(
    pytester: pytest.Pytester, request: pytest.FixtureRequest, way: str, installed: bool, prefix: str
) -> None:
    if installed:
        request.getfixturevalue("project")
    pytester.makepyfile(project_for(prefix))
    if way == "ini":
        pytester.makeini("[pytest]\naddopts = -p fairlead.pytest_plugin")
    if way == "conftest":
        pytester.makeconftest('pytest_plugins = ["fairlead.pytest_plugin"]')
    run(pytester, *(["-p", "fairlead.pytest_plugin"] if way == "option" else [])).assert_outcomes(passed=TESTS)


def test_switched_off(project: pytest.Pytester) -> None:
    project.makepyfile("def test_client(aiohttp_client): pass\ndef test_ours(fairlead_client): pass")
    run(project, "-p", "no:fairlead").assert_outcomes(errors=2)


# ---- the loop


def test_plain_tests_use_the_loop(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import asyncio
        from fairlead import web

        def test_client(loop, aiohttp_client):
            client = loop.run_until_complete(aiohttp_client(web.Application()))
            async def ask():
                async with client.get("/") as response:
                    return response.status
            assert loop.run_until_complete(ask()) == 404

        def test_order(aiohttp_client, loop):
            loop.run_until_complete(aiohttp_client(web.Application()))

        async def test_loop(loop):
            assert asyncio.get_running_loop() is loop

        def test_loop_of_ones_own(fairlead_client):
            async def ask():
                client = await fairlead_client(web.Application())
                async with client.get("/") as response:
                    return response.status
            assert asyncio.run(ask()) == 404
            assert asyncio.run(ask()) == 404
        """
    )
    run(project).assert_outcomes(passed=4)


def test_fixtures_share_the_loop_of_the_test(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import asyncio, pytest

        seen = []

        @pytest.fixture
        async def first():
            return asyncio.get_running_loop()

        @pytest.fixture
        async def second(first):
            yield asyncio.get_running_loop()
            await asyncio.sleep(0)
            seen.append(asyncio.get_running_loop())

        async def test_same(first, second):
            assert first is second is asyncio.get_running_loop()
            seen.append(first)

        def test_ended():
            assert len(seen) == 2
            assert seen[0] is seen[1]
            assert seen[0].is_closed()

        def test_plain(second):
            assert isinstance(second, asyncio.AbstractEventLoop)
        """
    )
    run(project).assert_outcomes(passed=3)


def test_a_fixture_of_a_wider_scope_needs_a_wider_loop(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="module")
        async def wide():
            return 5

        async def test_wide(wide):
            assert wide == 5
        """
    )
    result = run(project)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ScopeMismatch*loop*"])
    project.makeconftest(
        """
        import asyncio, pytest

        @pytest.fixture(scope="module")
        def loop():
            loop = asyncio.new_event_loop()
            yield loop
            loop.close()
        """
    )
    run(project).assert_outcomes(passed=1)


def test_fixtures_that_fail(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.fixture
        async def broken():
            raise ValueError("broken fixture")

        @pytest.fixture
        async def twice():
            yield 1
            yield 2

        @pytest.fixture
        async def late():
            yield 1
            raise ValueError("broken end")

        async def test_broken(broken): pass
        async def test_twice(twice): pass
        async def test_late(late): pass
        """
    )
    result = run(project)
    result.assert_outcomes(passed=2, errors=3)
    result.stdout.fnmatch_lines(["*ValueError: broken fixture*", "*twice has yielded more than once*", "*broken end*"])


def test_tests_that_fail(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import asyncio, pytest, unittest.mock, warnings

        async def test_fails():
            assert 1 == 2

        async def test_raises():
            raise KeyError("key")

        async def test_forgets_to_await():
            asyncio.sleep(0)

        @pytest.mark.xfail(strict=True)
        async def test_expected():
            raise KeyError

        async def test_skips():
            pytest.skip("not today")

        async def test_warns():
            with pytest.warns(UserWarning):
                warnings.warn("own")

        @unittest.mock.patch("os.getpid")
        async def test_patched(getpid, tmp_path):
            assert tmp_path.exists()

        @pytest.mark.parametrize("x", [1, 2])
        async def test_parameters(x, loop):
            assert x
        """
    )
    result = run(project, "-k", "not patched")
    result.assert_outcomes(passed=3, failed=3, xfailed=1, skipped=1, deselected=1)
    result.stdout.fnmatch_lines(["*assert 1 == 2*", "*KeyError: 'key'*", "*coroutine 'sleep' was never awaited*"])


def test_a_warning_of_a_test_is_reported(project: pytest.Pytester) -> None:
    project.makepyfile('import warnings\nasync def test_warns(): warnings.warn("own words")')
    result = project.runpytest_inprocess("-W", "always")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*test_warns*", "*UserWarning: own words*"])


@pytest.mark.parametrize("way", ["installed", "asked for"])
def test_options(project: pytest.Pytester, way: str) -> None:
    pytest.importorskip("uvloop")
    project.makepyfile(
        """
        import asyncio

        async def test_loop(loop, fast, loop_debug):
            print("LOOP", type(loop).__module__.split(".")[0], loop.get_debug(), fast, loop_debug)

        async def test_own():
            loop = asyncio.get_running_loop()
            print("OWN", type(loop).__module__.split(".")[0], loop.get_debug())
        """
    )
    asked = ["-p", "fairlead.pytest_plugin"] if way == "asked for" else []
    result = run(project, "-v", "-s", *asked)
    result.stdout.fnmatch_lines(["*LOOP asyncio False False False*", "*OWN asyncio False*"])
    result = run(project, "-v", "-s", "--aiohttp-loop=uvloop", "--aiohttp-enable-loop-debug", "--aiohttp-fast", *asked)
    result.stdout.fnmatch_lines(["*test_loop?uvloop?*LOOP uvloop True True True*", "*OWN uvloop True*"])
    result = run(project, "-v", "--aiohttp-loop=all", *asked)
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*test_loop?pyloop? PASSED*", "*test_loop?uvloop? PASSED*"])
    run(project, "--aiohttp-loop=pyloop,none?", *asked).assert_outcomes(passed=2)
    result = run(project, "--aiohttp-loop=none", *asked)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*'none' is not a loop that is installed*"])
    result = run(project, "--help", *asked)
    result.stdout.fnmatch_lines(["*--aiohttp-fast*", "*--aiohttp-loop=*", "*--aiohttp-enable-loop-debug*"])


def test_deprecated_names(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from fairlead import web

        async def test_clients(test_client):
            async with (await test_client(web.Application())).get("/") as response:
                assert response.status == 404

        async def test_servers(test_server):
            assert (await test_server(web.Application())).started

        async def test_raw_servers(raw_test_server):
            assert (await raw_test_server(None)).started

        def test_ports(unused_port):
            assert unused_port() > 0
        """
    )
    result = project.runpytest_inprocess(*STRICT, "-W", "always:Deprecated, use:DeprecationWarning")
    result.assert_outcomes(passed=4, warnings=4)
    names = ("client", "server", "raw_server", "unused_port")
    result.stdout.fnmatch_lines([f"*Deprecated, use aiohttp_{name} fixture instead*" for name in names])


def test_the_proactor_loop(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import asyncio

        async def test_proactor(proactor_loop):
            assert asyncio.get_running_loop() is proactor_loop
        """
    )
    exists = hasattr(asyncio, "ProactorEventLoop")
    run(project).assert_outcomes(passed=int(exists), skipped=int(not exists))


def test_a_client_class_of_ones_own(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from fairlead import web
        from fairlead.test_utils import TestClient

        class Mine(TestClient): pass

        @pytest.fixture
        def aiohttp_client_cls():
            return Mine

        async def test_own(aiohttp_client):
            assert type(await aiohttp_client(web.Application())) is Mine

        async def test_other(fairlead_client):
            assert type(await fairlead_client(web.Application())) is TestClient
        """
    )
    run(project).assert_outcomes(passed=2)


def test_what_a_client_is_made_of(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from fairlead import web

        async def test_wrong(aiohttp_client):
            with pytest.raises(ValueError, match="Unknown argument type: <class 'int'>"):
                await aiohttp_client(5)

        async def test_function(aiohttp_client):
            client = await aiohttp_client(lambda loop: web.Application())
            assert isinstance(client.app, web.Application)

        async def test_server_options(aiohttp_client, aiohttp_unused_port):
            port = aiohttp_unused_port()
            client = await aiohttp_client(web.Application(), server_kwargs={"port": port})
            assert client.port == port

        async def test_start_up_fails(aiohttp_client):
            async def fail(app):
                raise RuntimeError("broken start-up")
            app = web.Application()
            app.on_startup.append(fail)
            with pytest.raises(RuntimeError, match="broken start-up"):
                await aiohttp_client(app)
        """
    )
    run(project).assert_outcomes(passed=4)


# ---- beside others


def test_a_conftest_goes_first(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        import asyncio, inspect, pytest

        ran = []

        @pytest.fixture
        def aiohttp_server(aiohttp_server):
            return "mine", aiohttp_server

        @pytest.fixture
        def unused_port():
            return "mine"

        def pytest_pyfunc_call(pyfuncitem):
            if inspect.iscoroutinefunction(pyfuncitem.obj):
                ran.append(pyfuncitem.name)
                names = inspect.signature(pyfuncitem.obj).parameters
                asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
                return True

        def pytest_unconfigure():
            print("RAN", *ran)
        """
    )
    project.makepyfile(
        """
        from fairlead import web

        async def test_plain(unused_port):
            assert unused_port == "mine"

        async def test_server(aiohttp_server):
            word, make = aiohttp_server
            assert word == "mine"
            assert (await make(web.Application())).started
        """
    )
    result = run(project, "-s")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*RAN test_plain test_server?pyloop?*"])


@pytest.mark.parametrize("prefix", ["aiohttp", "fairlead"])
@pytest.mark.parametrize("asked", [True, False])
def test_beside_a_plugin_that_runs_tests(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, prefix: str, asked: bool
) -> None:
    project.makepyfile(project_for(prefix))
    (project.path / "site" / "made_runner.py").write_text(RUNNER)
    install(project, monkeypatch, "asyncio", "made_runner")
    run(project, *(["-p", "fairlead.pytest_plugin"] if asked else [])).assert_outcomes(passed=TESTS)


def test_tests_are_left_to_a_plugin_that_runs_marked_ones_only(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makepyfile(project_for("aiohttp"), test_loop="def test_loop(loop): assert not loop.is_running()")
    (project.path / "site" / "made_strict.py").write_text("")
    install(project, monkeypatch, "asyncio", "made_strict")
    run(project, "-W", "default").assert_outcomes(passed=1, failed=4, errors=2)
    run(project, "-p", "fairlead.pytest_plugin").assert_outcomes(passed=TESTS + 1)


def test_beside_a_plugin_with_the_same_fixtures(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    site = project.path / "site"
    site.joinpath("made_theirs.py").write_text(
        """
import pytest

@pytest.fixture
def aiohttp_client():
    return "theirs"
"""
    )
    site.joinpath("made_runner.py").write_text(RUNNER)
    install(project, monkeypatch, "aiohttp", "made_theirs")
    project.makepyfile(
        test_whose="""
        def test_whose(aiohttp_client):
            assert aiohttp_client == "theirs"

        def test_all_or_nothing(request):
            with __import__("pytest").raises(LookupError):
                request.getfixturevalue("aiohttp_server")
        """
    )
    run(project).assert_outcomes(passed=2)
    run(project, "-p", "fairlead.pytest_plugin").assert_outcomes(failed=2)
    project.makepyfile(test_project=project_for("fairlead"))
    install(project, monkeypatch, "asyncio", "made_runner")
    run(project, "test_project.py").assert_outcomes(passed=TESTS)


@pytest.mark.parametrize("way", ["option", "conftest", "module"])
def test_beside_the_plugin_of_aiohttp(project: pytest.Pytester, way: str) -> None:
    pytest.importorskip("aiohttp.pytest_plugin")
    asks = 'pytest_plugins = ["aiohttp.pytest_plugin"]\n'
    whose = """
async def test_whose(aiohttp_client):
    from aiohttp import web
    async with (await aiohttp_client(web.Application())).get("/") as response:
        assert response.status == 404
"""
    project.makepyfile(test_project=project_for("fairlead"), test_whose=(asks if way == "module" else "") + whose)
    if way == "conftest":
        project.makeconftest(asks)
    quiet = ["-W", "ignore::DeprecationWarning", "-W", "ignore::Warning:aiohttp"]
    asked = ["-p", "aiohttp.pytest_plugin"] if way == "option" else []
    # Their plugin runs asynchronous fixtures of test classes with another instance than that of the test.
    result = run(project, *quiet, *asked, "-k", "not TestMethods", "test_project.py", "test_whose.py")
    result.assert_outcomes(passed=TESTS, deselected=1)


def test_beside_the_plugin_of_aiohttp_when_both_were_asked_for(project: pytest.Pytester) -> None:
    pytest.importorskip("aiohttp.pytest_plugin")
    project.makepyfile(project_for("aiohttp"))
    result = run(
        project, "-W", "ignore::DeprecationWarning", "-p", "aiohttp.pytest_plugin", "-p", "fairlead.pytest_plugin"
    )
    result.assert_outcomes(passed=TESTS)


# ---- parts


def make_app() -> web.Application:
    return web.Application()


async def test_what_was_opened_ends_with_its_loop() -> None:
    closed: list[str] = []

    class Thing:
        def __init__(self, name: str) -> None:
            self.name = name

        async def close(self) -> None:
            await asyncio.sleep(0)
            closed.append(self.name)

    opened = pytest_plugin.Opened()

    async def use() -> None:
        await opened.note(Thing("first"))
        await opened.note(Thing("second"))

    def run_elsewhere() -> None:
        asyncio.run(use())
        assert closed == ["second", "first"]
        opened.close()
        with asyncio.Runner() as runner:
            runner.run(use())
            opened.close()
            assert closed == ["second", "first"] * 2

    await asyncio.to_thread(run_elsewhere)
    assert closed == ["second", "first"] * 2


def test_the_types_of_fixtures() -> None:
    """A type checker reads this; at run time it shows that the names are there."""
    for protocol in (pytest_plugin.AiohttpClient, pytest_plugin.AiohttpServer, pytest_plugin.AiohttpRawServer):
        assert callable(protocol.__call__)


def test_the_entry_point_is_light() -> None:
    """Only what a test uses is loaded; the server is not."""
    import subprocess
    import sys

    code = (
        "import fairlead.pytest_plugin, sys; print('fairlead.web' in sys.modules, 'fairlead.test_utils' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.split() == ["False", "False"]

"""The documentation keeps its word: its code runs, its links lead somewhere, its tables say what the source says.

Every page is run from top to bottom, as a reader would: ``python`` blocks share the names of their page and may use
``await`` at the top, as in ``python -m asyncio``; ``console`` blocks run the command line. What a page shows as output
(a ``text`` block right behind a ``python`` block, the lines behind a command) is compared; ``...`` stands for anything.
Host names lead to a server on this machine (see ``tests/docs_site.py``), and the files that examples read are there.

A block behind ``<!-- file: name -->`` is a file. Commands that serve run in the background until the next one or the
page's end, ``curl`` and ``pytest`` run as they are, and 8080 stands for a free port in all of them.

A block that cannot run everywhere is preceded by ``<!-- not run: reason -->``, and still has to compile.
"""

from __future__ import annotations

import ast
import asyncio
import gc
import importlib
import importlib.util
import inspect
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import fairlead
from fairlead import cli, pytest_plugin, test_utils, web
from fairlead.codec.events import END
from fairlead.errors import ProtocolError
from fairlead.wire import dns, tls

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
LANGUAGES = {"python", "console", "text", "html"}
FENCE = re.compile(
    r"^(?:<!-- (?:not run: (?P<reason>[^>]+)|file: (?P<file>[\w./]+)) -->\n)?```(?P<lang>\w*)\n(?P<code>.*?)^```",
    re.M | re.S,
)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.M)
# What servers of the examples listen at; it stands for a free port.
PORT = "8080"
# Commands that serve until the next one, or until the end of the page.
SERVING = ("python hello.py", "python chat.py", "python -m fairlead.web ", "gunicorn ")
# Commands of console blocks that are about the reader's machine; what they name is checked by other tests.
NOT_RUN = ("git ", "cd ", "make ", "pip ", "python -m pip ", "python3 -m venv ", ". ", "python -m bench")


@dataclass
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    code: str
    reason: str | None
    file: str | None
    output: str | None = None

    @property
    def place(self) -> str:
        return f"{page_id(self.page)}:{self.line}"


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    end = 0
    for match in FENCE.finditer(text):
        line = text[: match.start("code")].count("\n") + 1
        block = Block(page, line, match["lang"], match["code"], match["reason"], match["file"])
        if (
            block.language == "text"
            and found
            and found[-1].language == "python"
            and not text[end : match.start()].strip()
        ):
            found[-1].output = block.code
        found.append(block)
        end = match.end()
    return found


def prose_of(page: Path) -> str:
    """The text of a page without its blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def compiled(block: Block) -> Any:
    # Padded, so that an error points at the line of the page; await at the top is fine in an example.
    source = "\n" * (block.line - 1) + block.code
    return compile(source, str(block.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


def check_output(place: str, expected: str, got: str) -> None:
    """Compare with ``...`` as a wildcard; trailing white space does not count."""
    wanted = "\n".join(line.rstrip() for line in expected.strip().splitlines())
    found = "\n".join(line.rstrip() for line in got.strip().splitlines())
    pattern = ".*?".join(re.escape(piece) for piece in wanted.split("..."))
    assert re.fullmatch(pattern, found, re.S), f"{place} shows\n{wanted}\nbut the output is\n{found}"


# --- running ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with the files of the examples, in a world where every name leads to the site."""
    trustme = pytest.importorskip("trustme")
    assert trustme
    from tests.docs_site import Site, certificate, resolver_for
    from tests.peers.tls import authority

    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    (tmp_path / "report.csv").write_text("day,visits\n1,20\n2,30\n")
    (tmp_path / "photo.jpg").write_bytes(bytes(300_000))
    authority().cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "server.pem").write_text(certificate())
    server = authority().issue_cert("localhost", "127.0.0.1")
    server.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    server.private_key_pem.write_to_path(tmp_path / "key.pem")
    client = authority().issue_cert("client.example.org")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    client.private_key_pem.write_to_path(tmp_path / "client.key")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setattr(tls, "_contexts", {})
    with Site(tmp_path) as site:
        monkeypatch.setattr(dns, "DefaultResolver", resolver_for(site))
        yield tmp_path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Served:
    """A server that a console block has started."""

    def __init__(self, argv: list[str]) -> None:
        self.output = Path("served.log")
        paths = [str(Path.cwd()), str(ROOT / "src")]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
        with self.output.open("wb") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT, env=environ)

    def said(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def wait_for(self, place: str, expected: str) -> None:
        """Wait until the last that the page shows is there, then compare."""
        last = [piece for piece in re.split(r"\.\.\.|\n", expected) if piece.strip()][-1]
        until = time.monotonic() + 20
        while last not in self.said() and self.process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        check_output(place, expected, self.said())

    def stop(self) -> None:
        """Do what Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(20) == 0, self.said()


class Reader:
    """Somebody who tries every example of one page, in order."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.capfd = capfd
        self.exit_code = 0
        self.port = str(free_port())
        self.served: Served | None = None

    def close(self) -> None:
        self.names.clear()
        if self.served is not None:
            self.served.process.kill()
            self.served.process.wait()

    def stop(self) -> None:
        served, self.served = self.served, None
        if served is not None:
            served.stop()

    def run(self, block: Block, runner: asyncio.Runner) -> None:
        block.code = block.code.replace(PORT, self.port)
        if block.output is not None:
            block.output = block.output.replace(PORT, self.port)
        if block.file is not None:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(block.code, encoding="utf-8")
            if block.language == "python":
                compiled(block)
        elif block.language == "python":
            code = compiled(block)
            if not block.reason:
                self.run_python(block, code, runner)
        elif block.language == "console" and not block.reason:
            self.run_console(block)

    def run_python(self, block: Block, code: Any, runner: asyncio.Runner) -> None:
        async def inside() -> None:
            result = eval(code, self.names)
            if inspect.iscoroutine(result):
                await result

        self.capfd.readouterr()
        if "asyncio.run(" in block.code:
            exec(code, self.names)
        else:
            runner.run(inside())
        if block.output is not None:
            check_output(block.place, block.output, self.capfd.readouterr().out)

    def run_console(self, block: Block) -> None:
        for part in re.split(r"^\$ ", block.code, flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            command = command.partition("  # ")[0].strip()
            if command == "echo $?":
                check_output(block.place, output, str(self.exit_code))
            elif command.startswith(("fairlead ", "python -m fairlead ")):
                argv = shlex.split(command)
                self.capfd.readouterr()
                self.exit_code = cli.main(argv[3:] if argv[0] == "python" else argv[1:])
                sys.stdout.flush()
                got = self.capfd.readouterr()
                check_output(block.place, output, got.err + got.out)
            elif command.startswith(SERVING):
                self.serve(block.place, command, output)
            elif command.startswith(("curl ", "pytest")):
                self.run_program(block.place, command, output)
            else:
                assert command.startswith(NOT_RUN), f"{block.place}: who runs {command!r}?"

    def serve(self, place: str, command: str, output: str) -> None:
        self.stop()
        argv = shlex.split(command)
        if argv[0] == "gunicorn":
            if importlib.util.find_spec("gunicorn") is None:
                return
            argv = ["python", "-m", *argv]
        self.served = Served([sys.executable, *argv[1:]])
        self.served.wait_for(place, output)

    def run_program(self, place: str, command: str, output: str) -> None:
        argv = shlex.split(command)
        if argv[0] == "pytest":
            argv = [sys.executable, "-m", "pytest", "-p", "fairlead.pytest_plugin", "-p", "no:cacheprovider", *argv[1:]]
        elif shutil.which("curl") is None or self.served is None:
            return
        environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=environ)
        check_output(place, output, done.stdout)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_what_a_page_shows_is_what_happens(page: Path, desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    problems: list[str] = []

    def note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # What a loop in debug mode says of a client whose certificate is refused.
        if context["message"] != "Error on transport creation for incoming connection":
            problems.append(str(context))

    reader = Reader(capfd)
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(note)
        try:
            for block in blocks_of(page):
                reader.run(block, runner)
            runner.run(asyncio.sleep(0))
            reader.stop()
        finally:
            reader.close()
    gc.collect()
    assert not problems


async def test_the_nginx_configuration_of_the_tutorial_works() -> None:
    pytest.importorskip("trustme")
    from tests.peers.nginx import Nginx

    (block,) = (block for block in blocks_of(DOCS / "tutorial" / "server.md") if block.file == "site.conf")

    class Front(Nginx):
        def _write(self) -> None:
            self.tls_port = self.port  # where it is waited for
            site = block.code.replace(PORT, str(self.upstream.port)).replace("80;", f"127.0.0.1:{self.port};")
            temporary = "".join(
                f"{kind}_temp_path {self.root}/{kind};" for kind in "client_body proxy fastcgi uwsgi scgi".split()
            )
            text = f"daemon off; master_process off; pid {self.root}/nginx.pid; events {{}}"
            (self.root / "nginx.conf").write_text(f"{text} http {{ access_log off; {temporary} {site} }}")

    read = asyncio.Event()
    peers = []

    async def who(request: web.Request) -> web.Response:
        peers.append(request.get_extra_info("peername"))
        return web.Response(text=f"{request.headers['X-Forwarded-For']} {request.headers['X-Forwarded-Proto']}")

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one\n")
        await read.wait()
        await response.write(b"two\n")
        return response

    app = web.Application()
    app.router.add_get("/", who)
    app.router.add_get("/stream", stream)
    async with test_utils.TestServer(app) as server, Front(server.make_url("/")) as front:
        async with fairlead.ClientSession(front.url) as session:
            for _ in range(2):
                async with session.get("") as response:
                    assert await response.text() == "127.0.0.1 http"
            async with session.get("stream") as response:
                assert await response.content.readline() == b"one\n"
                read.set()
                assert await response.content.read() == b"two\n"
    assert len(set(peers)) == 1, "nginx keeps its connection"


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_the_blocks_of_a_page_have_a_language_that_is_tested(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("```") == 2 * len(blocks_of(page)), "a fence is not closed, or not at the start of a line"
    for block in blocks_of(page):
        assert block.language in LANGUAGES, block.place


def anchor_of(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    plain = re.sub(r"[`*]|\[([^\]]+)\]\([^)]+\)", lambda m: m[1] or "", heading)
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose_of(page)):
        if "://" in link or link.startswith("mailto:"):
            continue
        target, _, anchor = link.partition("#")
        goal = (page.parent / target).resolve() if target else page
        assert goal.exists(), f"{page_id(page)} links to {link}"
        if anchor:
            anchors = [anchor_of(heading) for heading in HEADING.findall(prose_of(goal))]
            assert anchor in anchors, f"{page_id(page)} links to {link}"


def test_every_page_can_be_found_from_the_index() -> None:
    index = DOCS / "index.md"
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text(encoding="utf-8"))}
    missing = [page_id(page) for page in DOCS.rglob("*.md") if page != index and page.resolve() not in linked]
    assert not missing
    assert "docs/index.md" in LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"[`$] ?make ([a-z]+)", page.read_text(encoding="utf-8")))
        assert named <= targets, page_id(page)
    assert re.search(r"make demo", (ROOT / "README.md").read_text(encoding="utf-8"))


def test_extras_that_are_named_exist() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = set(
        re.findall(r"^(\w+) = \[", text.partition("[project.optional-dependencies]")[2].partition("\n[")[0], re.M)
    )
    for page in PAGES:
        for group in re.findall(r"\.\[([\w,]+)\]|fairlead\[([\w,]+)\]", page.read_text(encoding="utf-8")):
            assert set("".join(group).split(",")) <= extras, page_id(page)


# --- comparing with the source ----------------------------------------------------------------------------------------


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    text = (DOCS / page).read_text(encoding="utf-8")
    _, found, after = text.partition(f"\n{heading}\n")
    assert found, f"{page} has no heading {heading!r}"
    table = re.search(r"^\|.*\n\|[ :|-]+\|\n((?:\|.*\n)+)", after, re.M)
    assert table, f"no table under {heading!r}"
    lines = table[1].strip().splitlines()
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def source_modules() -> list[Path]:
    return sorted(p for p in (ROOT / "src" / "fairlead").rglob("*.py") if not p.name.startswith("__"))


def test_every_room_is_on_the_architecture_page() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    for layer in ("edges", "client", "message", "wire", "codec", "words"):
        assert re.search(rf"^ {layer} ", page, re.MULTILINE), layer
    table = "\n".join(line for line in page.splitlines() if line.startswith("|"))
    for module in source_modules():
        assert f"{module.name}`" in table, f"{module.relative_to(ROOT)} has no room on the page"
    for name in re.findall(r"`([\w/]+\.py)`", table):
        assert any(str(module).endswith(f"/{name}") for module in source_modules()), f"{name} is no module"


def public_members(kind: type) -> set[str]:
    """The public attributes that a class and its bases in fairlead define."""
    bases = [base for base in kind.__mro__ if base.__module__.startswith("fairlead.")]
    return {name for base in bases for name in vars(base) if not name.startswith("_")}


def test_every_public_name_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "client.md").read_text(encoding="utf-8")
    missing = [name for name in fairlead.__all__ if not re.search(rf"`@?{name}\b", page)]
    assert not missing


def test_every_public_name_of_the_server_is_in_its_reference() -> None:
    quoted = words_in_code("reference/server.md")
    assert not set(web.__all__) - quoted
    assert not set(test_utils.__all__) - quoted
    assert not {*pytest_plugin.FAIRLEAD_NAMES, *pytest_plugin.AIOHTTP_NAMES} - quoted


def words_in_code(page: str) -> set[str]:
    """The words that stand between backticks."""
    spans = re.findall(r"`([^`]+)`", (DOCS / page).read_text(encoding="utf-8"))
    return {word for span in spans for word in re.findall(r"\w+", span)}


def test_names_that_are_functions_are_no_modules() -> None:
    """`fairlead.web` has modules that are called like functions; importing them must not hide the functions."""
    modules = [name for name in web.__all__ if inspect.ismodule(getattr(web, name))]
    assert not modules


HOOKS = set(
    # For subclasses and for the parts of the server among themselves.
    "ATTRS answered bind close_files decoded expect expects find finds_at_once holds_files hooked index_resource plain"
    " prepare_hook register_site check_site unregister_site render rendered rest_of set_match_info unindex_resource"
    " writer_used unanswered for_request"
    " NAME_SPLIT_RE VERSION_KEY DYN DYN_WITH_RE GOOD setUpAsync tearDownAsync get_app".split()
)


@pytest.mark.parametrize(
    "kind",
    [
        web.AccessLogger,
        web.AppRunner,
        web.Application,
        web.ContentCoding,
        web.DynamicResource,
        web.FileField,
        web.FileResponse,
        web.Request,
        web.ResourceRoute,
        web.Response,
        web.RouteTableDef,
        web.ServerRunner,
        web.StaticResource,
        web.TCPSite,
        web.UrlDispatcher,
        web.UrlMappingMatchInfo,
        web.View,
        web.WebSocketResponse,
        test_utils.AioHTTPTestCase,
        test_utils.TestClient,
        test_utils.TestServer,
    ],
)
def test_every_member_of_the_server_is_in_its_reference(kind: type) -> None:
    details = {"FORMAT_RE", "LOG_FORMAT_MAP", "compile_format", "log_format"} if kind is web.AccessLogger else set()
    renamed = {"as_json", "limit_pieces", "unlimit_pieces"}
    assert not public_members(kind) - words_in_code("reference/server.md") - HOOKS - details - renamed


def test_every_response_that_can_be_raised_has_its_status() -> None:
    kinds = [getattr(web, name) for name in web.__all__ if name.startswith("HTTP")]
    expected = {kind.__name__: str(kind.status_code) for kind in kinds if kind.status_code != -1}
    assert {row[0].strip("`"): row[1] for row in rows("reference/server.md", "## Exceptions")} == expected


def shown_value(value: object) -> str:
    """How the reference writes a default."""
    from fairlead.client.options import UNSET

    if value is UNSET or value is inspect.Parameter.empty:
        return ""
    if isinstance(value, type):
        return value.__name__
    if inspect.isfunction(value):
        return "" if value.__name__ == "<lambda>" else f"{value.__module__.partition('.')[0]}.{value.__name__}"
    return repr(value)


@pytest.mark.parametrize(
    ("heading", "function"),
    [
        ("### Arguments of `ClientSession`", fairlead.ClientSession.__init__),
        ("### `TCPConnector`", fairlead.TCPConnector.__init__),
        ("### `UnixConnector` and `NamedPipeConnector`", fairlead.UnixConnector.__init__),
        ("## `CookieJar`", fairlead.CookieJar.__init__),
        ("## `FormData`", fairlead.FormData.__init__),
        ("### Options of `ws_connect`", fairlead.ClientSession.ws_connect),
        ("## `ClientTimeout`", fairlead.ClientTimeout.__init__),
        ("## `DigestAuthMiddleware`", fairlead.DigestAuthMiddleware.__init__),
    ],
)
def test_argument_tables_have_all_arguments_with_their_defaults(heading: str, function: Any) -> None:
    check_arguments("reference/client.md", heading, function, "self url")


def check_arguments(page: str, heading: str, function: Any, without: str = "self") -> None:
    """Compare a table with a signature: names, order and defaults."""
    told = {row[0].strip("`"): row[1].strip("`") for row in rows(page, heading)}
    parameters = inspect.signature(function).parameters
    named = [name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD]
    assert [*told] == [name for name in named if name not in without.split() and not name.startswith("_")]
    for name, default in told.items():
        expected = shown_value(parameters[name].default)
        if expected and "=" not in default and not default.startswith(("see", "from")):
            assert default == expected, name


@pytest.mark.parametrize(
    ("heading", "function", "without"),
    [
        ("### `Application`", web.Application.__init__, "self"),
        ("### Static files", web.UrlDispatcher.add_static, "self"),
        ("### Middlewares", web.normalize_path_middleware, ""),
        ("### `StreamResponse`", web.StreamResponse.__init__, "self"),
        ("### Cookies", web.StreamResponse.set_cookie, "self"),
        ("### `Response`", web.Response.__init__, "self"),
        ("### `FileResponse`", web.FileResponse.__init__, "self"),
        ("### `WebSocketResponse`", web.WebSocketResponse.__init__, "self"),
        ("### `run_app`", web.run_app, ""),
        ("### Options of the server", web.RequestHandler.__init__, "self manager loop"),
        ("### Runners", web.AppRunner.__init__, "self"),
        ("### Sites", web.TCPSite.__init__, "self"),
    ],
)
def test_argument_tables_of_the_server_have_all_arguments(heading: str, function: Any, without: str) -> None:
    check_arguments("reference/server.md", heading, function, without)


def test_the_options_of_a_request_are_all_there() -> None:
    from fairlead.client.session import ClientSession

    hints = ClientSession._request.__globals__["_RequestOptions"].__annotations__
    told = [row[0].strip("`") for row in rows("reference/client.md", "### Options of a request")]
    assert sorted(told) == sorted(hints)


def constants_of(path: Path) -> dict[str, float]:
    """The numbers that a module gives names to, read without importing it: some need what is not installed here."""
    known: dict[str, Any] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ) if name.isupper():
                try:
                    known[name] = eval(compile(ast.Expression(value), str(path), "eval"), {"__builtins__": {}}, known)
                except Exception:
                    continue  # it is no number
    return {name: value for name, value in known.items() if type(value) in (int, float) and name[0] != "_"}


@pytest.mark.parametrize("page", ["reference/client.md", "reference/server.md"])
def test_limits_are_those_of_the_source(page: str) -> None:
    for name, value, *_ in rows(page, "## Limits"):
        module_path, constant = re.fullmatch(r"`([\w/]+\.py)` `(\w+)`", name).groups()  # type: ignore[union-attr]
        number = value.partition(" ")[0].replace(",", "")
        said = float(number) if "." in number else int(number)
        found = constants_of(ROOT / "src" / "fairlead" / module_path).get(constant)
        if found is None:
            found = getattr(importlib.import_module("fairlead." + module_path[:-3].replace("/", ".")), constant)
        assert said == found, name


def test_every_limit_of_the_source_is_on_a_page() -> None:
    told = {row[0] for side in ("client", "server") for row in rows(f"reference/{side}.md", "## Limits")}
    named = re.compile(r"(?:MAX|KEPT|TOO)_[A-Z_]+")
    for path in source_modules():
        room = path.relative_to(ROOT / "src" / "fairlead").as_posix()
        for constant in constants_of(path):
            # In the server every number is one that an administrator may ask for.
            wanted = room.startswith("web/") or named.fullmatch(constant)
            if wanted and constant not in NO_LIMITS:
                assert f"`{room}` `{constant}`" in told, f"{constant} of {room} is not in a table of limits"


NO_LIMITS = {
    "BOOT_ERROR",
    "FAILED",
    "MAX_CARRY",
    "MAX_DIGITS",
    "MAX_SHORT_LINE",
    "MAX_WINDOW",
    "PORT",
    "TLS_PORT",
}
"""Constants whose names look like limits of the user's data and that are details of one function, and other numbers."""

def decoded(example: str) -> list[Any]:
    """What the client's decoder makes of the bytes that an example of the page shows."""
    from fairlead.codec.http1 import ResponseDecoder

    decoder = ResponseDecoder(lenient=True)
    decoder.expect("GET")
    data = example.strip("`").encode("latin-1").decode("unicode_escape").encode("latin-1")
    return decoder.feed(data) + decoder.feed_eof()


@pytest.mark.parametrize("row", rows("reference/leniency.md", "## Accepted"), ids=lambda row: row[0])
def test_what_is_said_to_be_accepted_is_a_whole_response(row: list[str]) -> None:
    events = decoded(row[1])
    assert [type(event).__name__ for event in events if isinstance(event, Exception)] == []
    assert events[-1] is END


@pytest.mark.parametrize("row", rows("reference/leniency.md", "## Refused"), ids=lambda row: row[0])
def test_what_is_said_to_be_refused_is_an_error_with_a_name(row: list[str]) -> None:
    last = decoded(row[1])[-1]
    assert isinstance(last, ProtocolError)
    assert not last.slug.startswith("h1.eof"), "it is refused for what it is, not for its end"


@pytest.mark.parametrize("row", rows("explanation/server.md", "## Where a request ends"), ids=lambda row: row[0])
def test_what_a_server_is_said_to_refuse_has_that_status_and_name(row: list[str]) -> None:
    from fairlead.codec.http1 import RequestDecoder

    data = row[1].strip("`").encode("latin-1").decode("unicode_escape").encode("latin-1")
    last = RequestDecoder(one_by_one=True).feed(data)[-1]
    assert isinstance(last, ProtocolError)
    assert row[2] == f"{last.status} `{last.slug}`"


def test_every_exception_says_when_it_is_raised() -> None:
    told = {row[0].strip("`") for row in rows("reference/client.md", "## Exceptions")}
    expected = {
        name
        for name in fairlead.__all__
        if isinstance(getattr(fairlead, name), type)
        and issubclass(getattr(fairlead, name), Exception)
        and not issubclass(getattr(fairlead, name), Warning)
    }
    assert expected - {"EofStream"} <= told


def test_exit_codes_are_those_of_the_command_line() -> None:
    meanings = dict(cli.OTHER_CODES) | {code: text for _, code, text in cli.EXIT_CODES}
    told = {int(row[0]): row[1] for row in rows("reference/cli.md", "## Exit codes")}
    assert told == dict(sorted(meanings.items()))


def test_options_of_the_command_line_are_all_there() -> None:
    known = {option for action in cli.make_parser()._actions for option in action.option_strings} - {"-h", "--help"}
    told = {option for row in rows("reference/cli.md", "## Options") for option in re.findall(r"--?[\w-]+", row[0])}
    assert told == known


@pytest.mark.parametrize("table", ["tests.parity.differences", "tests.web.server_differences"])
def test_deliberate_differences_have_a_place_on_their_page(table: str) -> None:
    """Each reason in the tables that the comparisons with aiohttp use stands on the page, word by word."""
    pytest.importorskip("aiohttp")
    try:
        differences = importlib.import_module(table).DIFFERENCES
    except ImportError:
        pytest.skip("no comparison here")
    page = plain_words((DOCS / "differences.md").read_text(encoding="utf-8"))
    reasons = {reason for difference in differences.values() for reason in difference.reason.split("; ")}
    missing = [reason for reason in sorted(reasons) if plain_words(reason) not in page]
    assert not missing


def plain_words(text: str) -> str:
    return " ".join(text.replace("`", "").replace("*", "").lower().split())

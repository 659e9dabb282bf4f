"""The command line: what goes to which stream, what a script can read from it, and that no half file stays."""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import fairlead
from fairlead import cli, errors
from fairlead.keys import ConnectionKey

KEY = ConnectionKey("h", 1, True, True, None, None, None)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


class Handler(BaseHTTPRequestHandler):
    """Answers by path; /echo tells what was received."""

    protocol_version = "HTTP/1.1"
    timeout = 5

    def log_message(self, *args: object) -> None:
        """Keep standard error for the command."""

    def answer(self, status: int, body: bytes, **fields: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **fields}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size + 2)[:size]
            self.rfile.readline()
        path = self.path.partition("?")[0]
        if path == "/echo":
            seen = {"method": self.command, "target": self.path, "body": body.decode(), "headers": dict(self.headers)}
            self.answer(200, json.dumps(seen).encode())
        elif path.startswith("/status/"):
            self.answer(int(path[8:]), b"the body")
        elif path == "/redirect":
            self.answer(302, b"", Location="/echo")
        elif path == "/loop":
            self.answer(302, b"", Location="/loop")
        elif path == "/ftp":
            self.answer(302, b"", Location="ftp://h/")
        elif path == "/binary":
            self.answer(200, bytes(range(256)) * 1000)
        elif path == "/short":
            self.answer(200, b"half", Content_Length="8")
            self.close_connection = True
        elif path == "/close":
            self.close_connection = True
        elif path == "/hang":
            self.server.released.wait(5)  # type: ignore[attr-defined]
            self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_BREW = do_GET


class QuietServer(ThreadingHTTPServer):
    """Says nothing of connections that the client drops; they would mix with what the command says."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[str]:
    with QuietServer(("127.0.0.1", 0), Handler) as server:
        server.released = threading.Event()  # type: ignore[attr-defined]
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}"
        finally:
            server.released.set()  # type: ignore[attr-defined]
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as url:
        yield url


class Result(SimpleNamespace):
    code: int
    out: bytes
    err: str


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Any:
    def run(*argv: str) -> Result:
        try:
            code = cli.main(argv)
        except SystemExit as exc:
            assert isinstance(exc.code, int)
            code = exc.code
        sys.stdout.flush()
        captured = capfdbinary.readouterr()
        return Result(code=code, out=captured.out, err=captured.err.decode())

    return run


def seen(result: Result) -> Any:
    assert result.code == 0, result.err
    return json.loads(result.out)


# --- Requests ---------------------------------------------------------------------------------------------------------


def test_get_writes_the_body_and_nothing_else(run: Any, server: str) -> None:
    result = run("get", f"{server}/echo?a=b")
    assert (seen(result)["method"], seen(result)["target"], result.err) == ("GET", "/echo?a=b", "")


def test_get_is_the_default_and_the_scheme_may_be_left_out(run: Any, server: str) -> None:
    assert seen(run(f"{server.removeprefix('http://')}/echo"))["method"] == "GET"


@pytest.mark.parametrize("word", ["post", "put", "patch", "delete", "POST"])
def test_methods_as_words(run: Any, server: str, word: str) -> None:
    assert seen(run(word, f"{server}/echo"))["method"] == word.upper()


def test_other_methods_with_an_option(run: Any, server: str) -> None:
    assert seen(run("-X", "brew", f"{server}/echo"))["method"] == "BREW"


def test_head_shows_the_head_on_standard_output(run: Any, server: str) -> None:
    result = run("head", f"{server}/status/200")
    assert result.out.startswith(b"HTTP/1.1 200 OK\n")
    assert b"Content-Length: 8\n" in result.out
    assert b"the body" not in result.out


def test_options_may_stand_between_the_words(run: Any, server: str) -> None:
    assert seen(run("put", "-d", "x", f"{server}/echo", "-s"))["method"] == "PUT"


def test_data_is_posted_as_a_form(run: Any, server: str) -> None:
    got = seen(run(f"{server}/echo", "-d", "a=1", "-d", "b=ü"))
    assert (got["method"], got["body"]) == ("POST", "a=1&b=ü")
    assert got["headers"]["Content-Type"] == "application/x-www-form-urlencoded"


def test_data_from_a_file(run: Any, server: str, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("from a file")
    assert seen(run("put", f"{server}/echo", "-d", f"@{tmp_path}/data"))["body"] == "from a file"
    assert seen(run(f"{server}/echo", "-d", "x=1", "-d", f"@{tmp_path}/data"))["body"] == "x=1&from a file"


def test_data_from_standard_input(run: Any, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped")))
    assert seen(run(f"{server}/echo", "-d", "@-"))["body"] == "piped"


def test_json_sends_and_asks_for_json(run: Any, server: str) -> None:
    got = seen(run(f"{server}/echo", "--json", '{"a": 1}'))
    assert (got["method"], got["body"]) == ("POST", '{"a": 1}')
    assert (got["headers"]["Content-Type"], got["headers"]["Accept"]) == ("application/json", "application/json")


def test_headers_of_the_user_win(run: Any, server: str) -> None:
    got = seen(run(f"{server}/echo", "-H", "X-A:  b: c ", "-H", "content-type: text/x", "-d", "y"))
    assert (got["headers"]["X-A"], got["headers"]["content-type"]) == ("b: c", "text/x")
    assert "Content-Type" not in got["headers"]


def test_user_is_sent_as_basic(run: Any, server: str) -> None:
    got = seen(run(f"{server}/echo", "-u", "me:s:ü"))
    assert got["headers"]["Authorization"] == "Basic " + base64.b64encode("me:s:ü".encode()).decode()


def test_redirects_are_followed_unless_told_not_to(run: Any, server: str) -> None:
    assert seen(run(f"{server}/redirect"))["target"] == "/echo"
    assert seen(run("-L", f"{server}/redirect"))["target"] == "/echo"
    result = run(f"{server}/redirect", "--no-redirects", "-v")
    assert (result.code, result.out) == (0, b"")
    assert "< HTTP/1.1 302 Found" in result.err


def test_verbose_shows_every_head_on_standard_error(run: Any, server: str) -> None:
    result = run("-v", f"{server}/redirect?x=1")
    assert seen(result)["target"] == "/echo"
    lines = result.err.splitlines()
    for line in ("> GET /redirect?x=1 HTTP/1.1", "< HTTP/1.1 302 Found", "> GET /echo HTTP/1.1", "< HTTP/1.1 200 OK"):
        assert line in lines
    assert lines.index("< HTTP/1.1 302 Found") < lines.index("> GET /echo HTTP/1.1")
    assert any(line.startswith("> User-Agent: ") for line in lines)


# --- Exit codes -------------------------------------------------------------------------------------------------------


def test_status_decides_only_with_fail(run: Any, server: str) -> None:
    for status, code in ((404, 4), (503, 5), (200, 0)):
        assert (run(f"{server}/status/{status}").code, run("--fail", f"{server}/status/{status}").code) == (0, code)
    result = run("--fail", f"{server}/status/404")
    assert (result.out, result.err) == (b"", f"fairlead: 404 Not Found from {server}/status/404\n")


def test_silent_says_nothing(run: Any, server: str) -> None:
    result = run("--fail", "-s", f"{server}/status/404")
    assert (result.code, result.err) == (4, "")


@pytest.mark.parametrize(
    ("path", "code"), [("/loop", 47), ("/ftp", 3), ("/short", 56), ("/close", 52)], ids=lambda value: str(value)
)
def test_exit_codes_of_broken_answers(run: Any, server: str, path: str, code: int) -> None:
    result = run(f"{server}{path}")
    assert result.code == code, result.err
    assert result.err.startswith("fairlead: ")
    assert result.err.count("\n") == 1


def test_exit_code_of_a_timeout(run: Any, server: str) -> None:
    result = run("--timeout", "0.05", f"{server}/hang")
    assert result.code == 28
    assert "0.05 s" in result.err


def test_exit_code_when_nobody_listens(run: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = run(f"http://127.0.0.1:{unused.getsockname()[1]}/")
    assert result.code == 7
    assert "Cannot connect to host 127.0.0.1" in result.err


def test_exit_codes_of_tls(run: Any, tmp_path: Path) -> None:
    trustme = pytest.importorskip("trustme")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with serving(context) as url:
        result = run(f"{url}/status/200")
        assert result.code == 60
        assert "--insecure" in result.err
        assert run("--insecure", f"{url}/status/200").out == b"the body"
    with serving() as url:
        assert run(f"{url.replace('http', 'https')}/").code == 35


@pytest.mark.parametrize(
    ("exc", "code"),
    [
        (errors.ClientConnectorDNSError(KEY, OSError(-2, "unknown")), 6),
        (errors.ClientConnectorError(KEY, OSError(111, "refused")), 7),
        (errors.ClientProxyConnectionError(KEY, OSError(111, "refused")), 7),
        (errors.ClientConnectorSSLError(KEY, ssl.SSLError(1, "handshake")), 35),
        (errors.ClientConnectorCertificateError(KEY, ssl.CertificateError("no")), 60),
        (errors.ServerFingerprintMismatch(b"a", b"b", "h", 1), 60),
        (errors.ConnectionTimeoutError(), 28),
        (errors.TotalTimeoutError(1, "headers", 1), 28),
        (TimeoutError(), 28),
        (errors.ServerDisconnectedError(), 52),
        (errors.ClientConnectionResetError(), 56),
        (errors.ClientPayloadError(), 56),
        (errors.InvalidUrlRedirectClientError("x"), 3),
        (errors.ClientError(), 1),
        (ValueError(), 1),
        (cli.CommandError(23, ""), 23),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_exit_code_of_each_error(monkeypatch: pytest.MonkeyPatch, exc: Exception, code: int) -> None:
    monkeypatch.setattr(cli, "fairlead", errors)
    assert cli.exit_code(exc) == code


def test_every_exit_code_is_documented() -> None:
    text = cli.make_parser().format_help()
    for code in {code for _, code, _ in cli.EXIT_CODES} | {code for code, _ in cli.OTHER_CODES}:
        assert f"\n  {code:3}  " in text


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ((), "required"),
        (("get", "put", "http://h/"), "expected [METHOD] URL"),
        (("brew", "http://h/"), "expected [METHOD] URL"),
        (("get", "-X", "PUT", "http://h/"), "given twice"),
        (("http://h/", "-H", "no colon"), "expected 'NAME: VALUE'"),
        (("http://h/", "-d", "a", "--json", "1"), "exclude each other"),
        (("http://h/", "-L", "--no-redirects"), "exclude each other"),
        (("http://h/", "--timeout", "-1"), "not negative"),
        (("http://h/", "-u", "me"), "NAME:PASSWORD"),
        (("http://h/", "-o", os.curdir), "is a directory"),
        (("http://[::1/",), "expected a URL"),
    ],
)
def test_a_wrong_command_line_ends_with_2(run: Any, argv: tuple[str, ...], text: str) -> None:
    result = run(*argv)
    assert (result.code, result.out) == (2, b"")
    assert text in result.err


def test_a_file_to_send_that_is_not_there(run: Any, server: str, tmp_path: Path) -> None:
    result = run(f"{server}/echo", "-d", f"@{tmp_path}/none")
    assert result.code == 26
    assert "none" in result.err


# --- Output to a file -------------------------------------------------------------------------------------------------


def test_output_is_saved_whole_and_alone(run: Any, server: str, tmp_path: Path) -> None:
    target = tmp_path / "out"
    result = run(f"{server}/binary", "-o", str(target))
    assert (result.code, result.out, result.err) == (0, b"", "")
    assert target.read_bytes() == bytes(range(256)) * 1000
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("path", ["/short", "/status/404"])
def test_a_failed_download_leaves_what_was_there(run: Any, server: str, tmp_path: Path, path: str) -> None:
    target = tmp_path / "out"
    target.write_text("before")
    assert run(f"{server}{path}", "-o", str(target), "--fail").code in (56, 4)
    assert target.read_text() == "before"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.skipif(os.name == "nt", reason="permission bits and links are those of Unix")
def test_permissions_and_links_are_kept(run: Any, server: str, tmp_path: Path) -> None:
    target, link, fresh = tmp_path / "out", tmp_path / "link", tmp_path / "fresh"
    target.write_text("before")
    target.chmod(0o640)
    link.symlink_to(target)
    assert run(f"{server}/status/200", "-o", str(link)).code == 0
    assert link.is_symlink()
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("the body", 0o640)
    fresh.touch()
    wanted = fresh.stat().st_mode
    fresh.unlink()
    assert run(f"{server}/status/200", "-o", str(fresh)).code == 0
    assert fresh.stat().st_mode == wanted


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="needs a file that is no regular one")
def test_what_is_no_regular_file_is_written_to_directly(run: Any, server: str) -> None:
    assert run(f"{server}/binary", "-o", "/dev/null").code == 0
    assert not os.path.isfile("/dev/null")


def test_output_that_cannot_be_written(run: Any, server: str, tmp_path: Path) -> None:
    result = run(f"{server}/status/200", "-o", str(tmp_path / "no" / "out"))
    assert result.code == 23
    assert "cannot write" in result.err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_reported(run: Any, server: str) -> None:
    result = run(f"{server}/binary", "-o", "/dev/full")
    assert result.code == 23
    assert "No space left" in result.err


def test_dash_is_standard_output(run: Any, server: str) -> None:
    assert run(f"{server}/status/200", "-o", "-").out == b"the body"


def terminal(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(getattr(sys, name), "isatty", lambda: True, raising=False)


def test_a_terminal_is_spared_binary_output(run: Any, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal(monkeypatch, "stdout")
    result = run(f"{server}/binary")
    assert (result.code, result.out) == (23, b"")
    assert "-o FILE" in result.err
    assert run(f"{server}/status/200").out == b"the body"


def test_progress_on_a_terminal(run: Any, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    terminal(monkeypatch, "stderr")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    result = run(f"{server}/binary", "-o", str(tmp_path / "out"))
    assert "256.0/256.0 kB" in result.err
    assert run(f"{server}/binary", "-s", "-o", str(tmp_path / "out")).err == ""


def test_progress_without_rich_is_a_sentence(
    run: Any, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal(monkeypatch, "stderr")
    monkeypatch.setitem(sys.modules, "rich.console", None)
    result = run(f"{server}/binary", "-o", str(tmp_path / "out"))
    assert (result.code, result.err) == (0, "fairlead: no progress bar without rich: pip install 'fairlead[cli]'\n")
    assert (tmp_path / "out").stat().st_size == 256_000


def test_an_interrupted_download_leaves_nothing(
    run: Any, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: cli.Destination, chunk: bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.Destination, "write", interrupt)
    assert run(f"{server}/binary", "-o", str(tmp_path / "out")).code == 130
    assert os.listdir(tmp_path) == []


# --- As a process -----------------------------------------------------------------------------------------------------


def command(*argv: str) -> tuple[list[str], dict[str, str]]:
    paths = os.pathsep.join([str(Path(cli.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    return [sys.executable, "-W", "error", "-m", "fairlead", *argv], {**os.environ, "PYTHONPATH": paths}


def test_the_module_runs_as_a_command() -> None:
    argv, env = command("--version")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False, env=env)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"fairlead {fairlead.__version__}\n", "")


@pytest.mark.skipif(os.name == "nt", reason="closed pipes are told otherwise there")
def test_a_reader_that_has_seen_enough_ends_the_command_without_a_word(server: str) -> None:
    argv, env = command(f"{server}/binary")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1) == b"\0"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 23

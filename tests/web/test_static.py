"""Directories as resources: what a client can name, what is listed, and what packages do with the class."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html.parser
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote

import pytest
from tests.web.raw_client import RawResponse, connect
from tests.web.tree import LINKS, POSIX, TEN, TIME_NS, build, etag, write

from fairlead import web
from fairlead.test_utils import TestServer, make_mocked_request
from fairlead.web.disk import SMALL_FILE
from fairlead.web.static import StaticResource, split_names

posix_only = pytest.mark.skipif(not POSIX, reason="needs POSIX files")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return build(tmp_path / "root")


@asynccontextmanager
async def serving(directory: Path, prefix: str = "/s", **options: Any) -> AsyncIterator[Any]:
    """A server of the directory, as a function that asks it."""
    app = web.Application()
    app.router.add_static(prefix, directory, **options)
    async with TestServer(app) as server:

        async def ask(target: str, method: str = "GET", **fields: str) -> RawResponse:
            lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
            async with connect(server.port) as client:
                await client.send(f"{method} {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode("latin-1"))
                return await client.response(method)

        yield ask


# ---- names


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("", []),
        ("a", ["a"]),
        ("a/b", ["a", "b"]),
        ("a//b/", ["a", "b"]),
        ("./a/.", ["a"]),
        ("a/../b", ["b"]),
        ("a/..", []),
        ("a/../..", None),
        ("..", None),
        ("../root/a", None),
        ("a/../../root/a", None),
        ("/etc/passwd", None),
        ("//host/share", None),
        ("a\0", None),
        ("a\0/../b", None),
        ("...", ["..."]),
        ("a b", ["a b"]),
    ],
)
@pytest.mark.parametrize("windows", [True, False])
def test_names_on_all_platforms(path: str, names: list[str] | None, windows: bool) -> None:
    if windows and path == "...":
        names = None
    assert split_names(path, windows) == names


@pytest.mark.parametrize(
    "path",
    [
        "..\\..\\secret", "a\\..\\..\\secret", "\\secret", "\\\\host\\share", "C:", "C:/x", "C:x", "C:\\x", "a/C:/x",
        "a.txt:stream", "a.txt::$DATA", "con", "CON", "nul.txt", "a/aux", "com1", "LPT9.log", "com\u00b9", "conin$",
        "nul .txt", "a.", "a ", "a. /b", "a?", "a*", "a|b", "a<b", 'a"b', "a\tb", "a\x1fb", "\\\\?\\C:\\x",
        "\\\\.\\nul",
    ],
)  # fmt: skip
def test_what_only_windows_reads_in_its_own_way(path: str) -> None:
    assert split_names(path, windows=True) is None
    assert split_names(path, windows=False) is not None


@pytest.mark.parametrize("path", ["console", "com", "com10", "nulls.txt", "a.b.c", "lpt", ".hidden", "ü", "a..b"])
def test_what_windows_takes_as_it_is(path: str) -> None:
    assert split_names(path, windows=True) == [path]


# ---- what can be asked for


def _files() -> list[str]:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        root = build(Path(directory) / "root")
        return sorted(
            PurePosixPath(path.relative_to(root)).as_posix()
            for path in root.rglob("*")
            if path.is_file() and not path.is_symlink()
        )


async def test_every_file_can_be_had_by_its_quoted_name(tree: Path) -> None:
    async with serving(tree) as ask:
        for name in _files():
            answer = await ask(f"/s/{quote(name)}")
            assert (answer.status, answer.body) == (200, (tree / name).read_bytes()), name
            answer = await ask("/s/" + "".join(f"%{byte:02x}" for byte in name.encode()))
            assert answer.status == 200, name


ESCAPES = [
    "..", "../outside/secret.txt", "%2e%2e/outside/secret.txt", "..%2foutside%2fsecret.txt", "%2e%2e%2foutside",
    "dir/../../outside/secret.txt", "dir/%2e%2e/%2E%2E/outside/secret.txt", "./../outside/secret.txt",
    "/etc/passwd", "%2fetc%2fpasswd", "//etc/passwd", "%2f%2fetc/passwd", "dir//../../outside/secret.txt",
    "..%5coutside%5csecret.txt", "..\\outside\\secret.txt", "%5c%5chost%5cshare", "C:/Windows/win.ini", "C%3a%5cx",
    "%00", "a.txt%00", "a.txt%00.html", "%252e%252e/outside/secret.txt", "..%252foutside", "%c0%ae%c0%ae/outside",
    "..;/outside/secret.txt", "dir/....//....//outside/secret.txt", "%u002e%u002e/outside", "file:///etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize("index", [True, False])
async def test_nothing_leads_out_of_the_directory(tree: Path, follow: bool, index: bool) -> None:
    async with serving(tree, follow_symlinks=follow, show_index=index) as ask:
        for path in ESCAPES:
            answer = await ask(f"/s/{path}")
            assert answer.status == 404, path
            assert b"secret" not in answer.body


async def test_a_directory_of_a_similar_name_lies_outside(tmp_path: Path) -> None:
    write(tmp_path / "root" / "a"), write(tmp_path / "root-2" / "b")
    if POSIX:
        (tmp_path / "root" / "link").symlink_to("../root-2/b")
    async with serving(tmp_path / "root") as ask:
        assert (await ask("/s/../root-2/b")).status == 404
        assert (await ask("/s/link")).status == 404


async def test_paths_that_are_not_as_short_as_they_could_be(tree: Path) -> None:
    async with serving(tree) as ask:
        for path in ("dir//inner.txt", "dir/./inner.txt", "dir/deep/../inner.txt", "dir%2Finner.txt", "dir/inner.txt/"):
            assert (await ask(f"/s/{path}")).body == TEN, path
        assert (await ask("/s/a.txt?x=1")).body == TEN
        assert (await ask("/s/a.txt/below")).status == 404


@posix_only
@pytest.mark.parametrize(
    ("name", "kept", "followed"),
    [
        ("link-to-file", 200, 200),
        ("link-to-dir/inner.txt", 200, 200),
        ("link-out", 404, 200),
        ("link-dir-out/secret.txt", 404, 200),
        ("link-dir-out", 404, 403),
        ("link-up", 404, 403),
        ("link-up/outside/secret.txt", 404, 200),
        ("link-up/root/a.txt", 200, 200),
        ("link-broken", 404, 404),
        ("link-loop", 404, 404),
        ("link-loop/a", 404, 404),
        ("link-to-dir", 403, 403),
    ],
)
async def test_links(tree: Path, name: str, kept: int, followed: int) -> None:
    assert name.split("/")[0] in LINKS
    async with serving(tree) as ask:
        assert (await ask(f"/s/{name}")).status == kept
    async with serving(tree, follow_symlinks=True) as ask:
        answer = await ask(f"/s/{name}")
        assert answer.status == followed
        assert (answer.body == b"secret") is (name.endswith("secret.txt") or name == "link-out")


@posix_only
async def test_a_link_is_typed_and_compressed_as_the_file_it_leads_to(tree: Path) -> None:
    for follow in (True, False):
        async with serving(tree, follow_symlinks=follow) as ask:
            assert (await ask("/s/link-to-file")).get("Content-Type") == "text/plain"
            answer = await ask("/s/link-to-sibling", Accept_Encoding="gzip")
            assert (answer.body, answer.get("Content-Encoding")) == (b"GZIPPED", "gzip")


@posix_only
async def test_a_sibling_that_is_a_link_or_a_directory_is_none(tree: Path) -> None:
    for follow in (True, False):
        async with serving(tree, follow_symlinks=follow) as ask:
            for name in ("d.txt", "e.txt"):
                answer = await ask(f"/s/{name}", Accept_Encoding="gzip")
                assert (answer.body, answer.get("Content-Encoding")) == (TEN, None), name


@posix_only
async def test_a_directory_that_is_reached_by_a_link_itself(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("root")
    async with serving(tmp_path / "current") as ask:
        assert (await ask("/s/a.txt")).body == TEN
        assert (await ask("/s/link-to-file")).body == TEN


async def test_what_is_no_file(tree: Path) -> None:
    async with serving(tree) as ask:
        for path, status in [("missing", 404), ("x" * 300, 404), ("dir", 403), ("dir/", 403), ("", 403), (".", 403)]:
            assert (await ask(f"/s/{path}")).status == status, path
        if POSIX:
            assert (await ask("/s/fifo")).status == 403


async def test_methods(tree: Path) -> None:
    async with serving(tree) as ask:
        answer = await ask("/s/a.txt", "HEAD")
        assert (answer.status, answer.get("Content-Length"), answer.get("ETag")) == (200, "10", etag())
        for method in ("POST", "PUT", "OPTIONS"):
            answer = await ask("/s/a.txt", method)
            assert (answer.status, answer.get("Allow")) == (405, "GET,HEAD")


async def test_conditions_ranges_and_large_files(tree: Path) -> None:
    data = os.urandom(SMALL_FILE * 3)
    write(tree / "large.bin", data)
    async with serving(tree) as ask:
        assert (await ask("/s/a.txt", If_None_Match=etag())).status == 304
        assert (await ask("/s/a.txt", If_Match='"x"')).status == 412
        assert (await ask("/s/a.txt", Range="bytes=2-3")).body == b"23"
        assert (await ask("/s/a.txt", Range="bytes=10-")).status == 416
        assert (await ask("/s/large.bin")).body == data
        assert (await ask("/s/large.bin", Range="bytes=-70000")).body == data[-70000:]
        assert (await ask("/s/large.bin", "HEAD")).get("Content-Length") == str(len(data))


async def test_changes_are_seen_at_once(tree: Path) -> None:
    async with serving(tree) as ask:
        for body in (b"one", b"two", b"three"):
            (tree / "a.txt").write_bytes(body)
            assert (await ask("/s/a.txt")).body == body
        (tree / "a.txt").unlink()
        assert (await ask("/s/a.txt")).status == 404


async def test_one_trip_to_the_executor_for_a_small_file(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, trips = asyncio.get_running_loop(), []
    real = loop.run_in_executor

    def counting(executor: Any, job: Any, *args: Any) -> Any:
        trips.append(job)
        return real(executor, job, *args)

    async with serving(tree) as ask:
        monkeypatch.setattr(loop, "run_in_executor", counting)
        for target in ("/s/a.txt", "/s/dir/deep/x.txt", "/s/missing", "/s/dir"):
            trips.clear()
            await ask(target)
            assert len(trips) == 1, target


@pytest.mark.parametrize("prefix", ["/", "/s/", "/a/b", "/with space", "/ü"])
async def test_prefixes(tree: Path, prefix: str) -> None:
    async with serving(tree, prefix) as ask:
        assert (await ask(quote(prefix.rstrip("/")) + "/a%20b.txt")).body == TEN
    resource = web.Application().router.add_static(prefix, tree)
    assert str(resource.url_for(filename="a b.txt")) == quote(prefix.rstrip("/")) + "/a%20b.txt"


async def test_in_a_subapplication(tree: Path) -> None:
    inner, outer = web.Application(), web.Application()
    resource = inner.router.add_static("/s", tree, show_index=True)
    outer.add_subapp("/sub", inner)
    assert str(resource.url_for(filename="a.txt")) == "/sub/s/a.txt"
    async with TestServer(outer) as server, connect(server.port) as client:
        await client.send(b"GET /sub/s/a.txt HTTP/1.1\r\nHost: a\r\n\r\nGET /sub/s/dir HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.response()).body == TEN
        assert b'<a href="/sub/s/dir/inner.txt">' in (await client.response()).body


# ---- the listing


class Page(html.parser.HTMLParser):
    """Reads a listing as a browser would: tags, and links with their texts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[tuple[str, str]] = []
        self.title = ""
        self.within = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.within = tag
        if tag == "a":
            self.links.append((dict(attrs)["href"] or "", ""))

    def handle_endtag(self, tag: str) -> None:
        self.within = ""

    def handle_data(self, data: str) -> None:
        if self.within == "a":
            href, text = self.links[-1]
            self.links[-1] = href, text + data
        elif self.within == "title":
            self.title += data


async def test_a_listing_shows_all_names_as_they_are(tree: Path) -> None:
    async with serving(tree, show_index=True) as ask:
        answer = await ask("/s/")
        assert (answer.status, answer.get("Content-Type")) == (200, "text/html; charset=utf-8")
        page = Page(answer.body.decode())
        names = sorted(os.listdir(tree))
        assert [text for _, text in page.links] == [n + "/" if (tree / n).is_dir() else n for n in names]
        assert [unquote(href.removeprefix("/s/")) for href, _ in page.links] == names
        assert page.tags <= {"html", "head", "title", "body", "h1", "ul", "li", "a"}
        assert page.attributes == {"href"}
        assert page.title == "Index of /."
        for href, text in page.links:
            status = (await ask(href)).status
            outside = text.rstrip("/") in {
                "link-out",
                "link-dir-out",
                "link-broken",
                "link-loop",
                "link-up",
                "d.txt.gz",
            }
            assert status == (404 if outside else 403 if text == "fifo" else 200), text


async def test_a_listing_of_a_directory_below(tree: Path) -> None:
    async with serving(tree, show_index=True) as ask:
        for target in ("/s/dir", "/s/dir/", "/s/dir/deep/.."):
            page = Page((await ask(target)).body.decode())
            assert page.title == "Index of /dir"
            assert page.links == [("/s/dir/deep", "deep/"), ("/s/dir/inner.txt", "inner.txt")]
        assert Page((await ask("/s/empty")).body.decode()).links == []
        answer = await ask("/s/dir", "HEAD")
        assert int(answer.get("Content-Length") or 0) > 100


async def test_the_exact_page(tree: Path) -> None:
    async with serving(tree, show_index=True) as ask:
        assert (await ask("/s/dir")).body.decode() == (
            "<html>\n<head>\n<title>Index of /dir</title>\n</head>\n<body>\n<h1>Index of /dir</h1>\n<ul>\n"
            '<li><a href="/s/dir/deep">deep/</a></li>\n<li><a href="/s/dir/inner.txt">inner.txt</a></li>\n'
            "</ul>\n</body>\n</html>"
        )


@posix_only
async def test_a_linked_directory_does_not_tell_where_it_lies(tree: Path, tmp_path: Path) -> None:
    async with serving(tree, show_index=True, follow_symlinks=True) as ask:
        page = Page((await ask("/s/link-dir-out")).body.decode())
        assert page.title == "Index of /link-dir-out"
        assert page.links == [("/s/link-dir-out/secret.txt", "secret.txt")]
        assert Page((await ask("/s/link-to-dir")).body.decode()).title == "Index of /dir"


@posix_only
async def test_names_that_are_no_text(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    try:
        open(root + b"/\xff<.txt", "wb").close()
    except OSError:
        pytest.skip("the file system takes text only")
    async with serving(tmp_path, show_index=True) as ask:
        assert Page((await ask("/s")).body.decode()).links == [("/s/%FF%3C.txt", "\ufffd<.txt")]


async def test_a_directory_that_may_not_be_listed(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scandir(path: str) -> Any:
        raise PermissionError(13, "no")

    async with serving(tree, show_index=True) as ask:
        monkeypatch.setattr(os, "scandir", scandir)
        answer = await ask("/s/dir")
        assert (answer.status, answer.body) == (403, b"403: Forbidden")


@pytest.mark.skipif(not hasattr(os, "seteuid") or os.geteuid() != 0, reason="needs to be root and stop being it")
def test_permissions_of_the_machine(tree: Path) -> None:
    """As an ordinary user: in a process of its own, since the user is a matter of the whole process."""
    (tree / "a.txt").chmod(0)
    (tree / "dir").chmod(0)
    for parent in (tree, *tree.parents):
        if parent.stat().st_uid == 0 and len(parent.parts) > 2:
            parent.chmod(0o755)
    script = """
import asyncio, os, sys
sys.path[:0] = sys.argv[2:]
from fairlead import web
from fairlead.test_utils import TestClient, TestServer
async def main():
    await asyncio.get_running_loop().run_in_executor(None, int)
    os.seteuid(65534)
    app = web.Application()
    app.router.add_static("/s", sys.argv[1], show_index=True)
    async with TestClient(TestServer(app)) as client:
        for path in ("a.txt", "dir", "dir/inner.txt", "b.html"):
            async with client.get("/s/" + path) as response:
                print(response.status)
asyncio.run(main())
"""
    command = [sys.executable, "-c", script, str(tree), *sys.path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (done.stdout.split(), done.stderr) == (["403", "403", "403", "200"], "")


# ---- URLs


URLS = [
    ("a.txt", "/p/a.txt"), ("/a.txt", "/p/a.txt"), ("//a.txt", "/p/a.txt"), ("a b.txt", "/p/a%20b.txt"),
    ("p%41.txt", "/p/p%2541.txt"), ("ü", "/p/%C3%BC"), ("q?u#e.txt", "/p/q%3Fu%23e.txt"), ("dir/x", "/p/dir/x"),
    ("../x", "/p/../x"), ("a.txt/", "/p/a.txt/"), ("", "/p/"), ('q"u\'o', "/p/q%22u'o"), ("b\\s", "/p/b%5Cs"),
    ("a+b", "/p/a+b"), ("s;a=b&c", "/p/s;a=b&c"), (PurePosixPath("dir/x"), "/p/dir/x"), ("C:foo", "/p/C:foo"),
]  # fmt: skip


@pytest.mark.parametrize(("filename", "url"), URLS)
def test_urls(tree: Path, filename: Any, url: str) -> None:
    assert str(StaticResource("/p", tree).url_for(filename=filename)) == url


def test_url_for_wants_a_name(tree: Path) -> None:
    with pytest.raises(TypeError):
        StaticResource("/p", tree).url_for()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        StaticResource("/p", tree).url_for("a.txt")  # type: ignore[misc]


def version(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()


def test_versions_change_with_the_file(tree: Path) -> None:
    resource = StaticResource("/p", tree, append_version=True)
    assert dict(resource.url_for(filename="/a.txt").query) == {"v": version(TEN)}
    (tree / "a.txt").write_bytes(b"new")
    assert dict(resource.url_for(filename="a.txt").query) == {"v": version(b"new")}
    assert str(resource.url_for(filename="a.txt", append_version=False)) == "/p/a.txt"
    assert str(resource.url_for(filename="dir/../a.txt")).startswith("/p/dir/../a.txt?v=")
    assert resource.VERSION_KEY == "v"


def test_versions_are_remembered(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = StaticResource("/p", tree, append_version=True)
    first = resource.url_for(filename="a.txt")
    monkeypatch.setattr("builtins.open", lambda *args: pytest.fail("read again"))
    assert resource.url_for(filename="a.txt") == first
    monkeypatch.undo()
    monkeypatch.setattr(sys.modules[StaticResource.__module__], "MAX_VERSIONS", 2)
    for name in ("b.html", "c.txt", "noext"):
        resource.url_for(filename=name)
    assert len(resource._versions) <= 2


@pytest.mark.parametrize("name", ["missing", "dir", "", "../outside/secret.txt", "a\0", "/etc/../../x"])
def test_what_has_no_version(tree: Path, name: str) -> None:
    assert not StaticResource("/p", tree, append_version=True).url_for(filename=name).query


@posix_only
def test_versions_of_links(tree: Path) -> None:
    kept = StaticResource("/p", tree, append_version=True)
    followed = StaticResource("/p", tree, append_version=True, follow_symlinks=True)
    assert kept.url_for(filename="link-to-file").query["v"] == version(TEN)
    assert not kept.url_for(filename="link-out").query
    assert followed.url_for(filename="link-out").query["v"] == version(b"secret")


# ---- the resource


@pytest.mark.parametrize("name", ["missing", "a.txt"])
def test_a_directory_must_be_one(tree: Path, name: str) -> None:
    with pytest.raises(ValueError, match="does not exist" if name == "missing" else "is not a directory"):
        StaticResource("/p", tree / name)


def test_the_home_directory(monkeypatch: pytest.MonkeyPatch, tree: Path) -> None:
    monkeypatch.setenv("HOME", str(tree))
    monkeypatch.setenv("USERPROFILE", str(tree))
    assert StaticResource("/p", "~/dir")._directory == (tree / "dir").resolve()


def test_facts(tree: Path) -> None:
    resource = StaticResource("/p", tree, name="files")
    directory = tree.resolve()
    assert repr(resource) == f"<StaticResource 'files' /p -> {directory!r}>"
    assert repr(StaticResource("/p", tree)) == f"<StaticResource  /p -> {directory!r}>"
    assert (len(resource), resource.canonical, resource.name) == (2, "/p", "files")
    assert [route.method for route in resource] == ["GET", "HEAD"]
    info = resource.get_info()
    assert (info["directory"], info["prefix"], list(info["routes"])) == (directory, "/p", ["GET", "HEAD"])
    assert [route.name for route in resource] == ["files", "files"]
    assert not resource.raw_match("/p")
    resource.add_prefix("/x")
    assert (resource.canonical, str(resource.url_for(filename="a"))) == ("/x/p", "/x/p/a")


async def test_resolve(tree: Path) -> None:
    resource = StaticResource("/p", tree)
    for target, filename in [
        ("/p/a.txt", "a.txt"), ("/p", ""), ("/p/", ""), ("/p/a%20b/%2e%2e/c%2Fd", "a b/../c/d"),
        ("/p/%2525", "%25"), ("/q", None), ("/px", None), ("/", None),
    ]:  # fmt: skip
        match, allowed = await resource.resolve(make_mocked_request("GET", target))
        assert (None if match is None else match["filename"]) == filename, target
        assert allowed == (set() if match is None else {"GET", "HEAD"})
    match, allowed = await resource.resolve(make_mocked_request("POST", "/p/a.txt"))
    assert (match, allowed) == (None, {"GET", "HEAD"})


async def test_an_options_route(tree: Path) -> None:
    app = web.Application()
    resource = app.router.add_static("/s", tree)
    assert isinstance(resource, StaticResource)

    async def options(request: web.Request) -> web.Response:
        return web.Response(headers={"X-Options": request.match_info["filename"]})

    resource.set_options_route(options)
    with pytest.raises(RuntimeError, match="OPTIONS route was set already"):
        resource.set_options_route(options)
    assert [route.method for route in resource] == ["GET", "HEAD", "OPTIONS"]
    async with TestServer(app) as server, connect(server.port) as client:
        await client.send(b"OPTIONS /s/x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.response()).get("X-Options") == "x"


async def test_the_expect_handler(tree: Path) -> None:
    seen: list[str] = []

    async def expect(request: web.Request) -> None:
        seen.append(request.path)

    async with serving(tree, expect_handler=expect) as ask:
        assert (await ask("/s/a.txt", Expect="100-continue")).body == TEN
    assert seen == ["/s/a.txt"]


# ---- what packages do


async def test_a_subclass_that_finds_its_own_files(tree: Path) -> None:
    class Own(StaticResource):
        async def _handle(self, request: web.Request) -> web.StreamResponse:
            if request.match_info["filename"] == "else":
                return await super()._handle(request)
            path = self._directory / "a.txt"
            return web.FileResponse(path, chunk_size=self._chunk_size, headers={"Cache-Control": "max-age=1"})

    app = web.Application()
    app.router.register_resource(Own("/s", tree))
    async with TestServer(app) as server, connect(server.port) as client:
        await client.send(b"GET /s/whatever HTTP/1.1\r\nHost: a\r\n\r\nGET /s/else HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await client.response()
        assert (answer.body, answer.get("Cache-Control")) == (TEN, "max-age=1")
        assert (await client.response()).status == 404


async def test_a_subclass_that_changes_names_and_responses(tree: Path) -> None:
    class Own(StaticResource):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._show_index = True

        async def _handle(self, request: web.Request) -> web.StreamResponse:
            request.match_info["filename"] += ".html"
            response = await super()._handle(request)
            assert isinstance(response, web.FileResponse)
            assert response._path == self._directory / "b.html"
            response.headers["X-Own"] = response._path.read_text()
            return response

    app = web.Application()
    app.router.register_resource(Own("/s", tree))
    async with TestServer(app) as server, connect(server.port) as client:
        await client.send(b"GET /s/b HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await client.response()
        assert (answer.body, answer.get("X-Own"), answer.get("ETag")) == (TEN, TEN.decode(), etag())


async def middleware_answer(tree: Path, middleware: Any, target: str, fields: str = "") -> RawResponse:
    app = web.Application(middlewares=[web.middleware(middleware)])
    app.router.add_static("/s", tree)
    async with TestServer(app) as server, connect(server.port) as client:
        await client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode())
        return await client.response()


async def test_a_middleware_may_change_what_was_found_already(tree: Path) -> None:
    async def error_page(request: web.Request, handler: Any) -> web.StreamResponse:
        response = await handler(request)
        response.set_status(404)
        return response

    async def elsewhere(request: web.Request, handler: Any) -> web.StreamResponse:
        response = await handler(request)
        response._path = tree / "b.html"
        return response

    async def compress(request: web.Request, handler: Any) -> web.StreamResponse:
        response = await handler(request)
        response.enable_compression()
        return response

    async def drop(request: web.Request, handler: Any) -> web.StreamResponse:
        await handler(request)
        return web.Response(text="dropped")

    answer = await middleware_answer(tree, error_page, "/s/a.txt", f"If-None-Match: {etag()}\r\n")
    assert (answer.status, answer.body) == (404, TEN)
    answer = await middleware_answer(tree, elsewhere, "/s/a.txt")
    assert answer.get("Content-Type") == "text/html"
    answer = await middleware_answer(tree, compress, "/s/a.txt", "Accept-Encoding: gzip\r\nRange: bytes=0-1\r\n")
    assert (answer.status, answer.get("Content-Encoding")) == (200, "gzip")
    write(tree / "large", bytes(SMALL_FILE * 2))
    assert (await middleware_answer(tree, drop, "/s/large")).body == b"dropped"


async def test_a_middleware_sees_errors_of_names_but_not_of_files(tree: Path) -> None:
    seen: list[Any] = []

    async def watch(request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPException as exc:
            seen.append(type(exc))
            raise
        seen.append((type(response), response.status))
        return response

    for target in ("/s/a.txt", "/s/missing", "/s/..%2f", "/s/dir"):
        await middleware_answer(tree, watch, target)
    assert seen == [(web.FileResponse, 200), (web.FileResponse, 200), web.HTTPNotFound, web.HTTPForbidden]


def test_the_tree_is_what_it_should_be(tree: Path) -> None:
    assert (tree / "a.txt").stat().st_mtime_ns == TIME_NS
    assert len(_files()) > 20

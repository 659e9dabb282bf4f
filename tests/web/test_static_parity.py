"""The same directory behind aiohttp.web and behind fairlead.web, asked with the same bytes.

Compared are the status line, the fields with their order (but for Date, Server and Connection) and the body. What
differs on purpose stands in `DIFFERENCES` with its reason; an entry that is no longer true fails.
"""

from __future__ import annotations

import asyncio
import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from tests.web.tree import LAST_MODIFIED, POSIX, build, etag

aiohttp_web = pytest.importorskip("aiohttp.web")
pytestmark = pytest.mark.skipif(not POSIX, reason="the table is of POSIX files")

TAG = etag()
BEFORE, EARLIER, LATER = (f"Sun, 13 Sep {text} GMT" for text in ("2020 12:26:40", "2019 12:26:41", "2021 12:26:41"))
UNSEEN = {"date", "server", "connection"}


class Case(NamedTuple):
    """A request."""

    target: str
    fields: tuple[tuple[str, str], ...] = ()
    method: str = "GET"
    version: str = "1.1"

    def __str__(self) -> str:
        told = "" if self.method == "GET" else f"{self.method} "
        told += "" if self.version == "1.1" else f"{self.version} "
        return told + " | ".join([self.target[:40], *(f"{name}: {value}" for name, value in self.fields)])

    @property
    def data(self) -> bytes:
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.fields)
        text = f"{self.method} {self.target} HTTP/{self.version}\r\nHost: a\r\nConnection: close\r\n{lines}\r\n"
        return text.encode("latin-1")


class Answer(NamedTuple):
    """What came."""

    line: str
    fields: list[tuple[str, str]]
    body: bytes

    @property
    def status(self) -> str:
        return self.line.split(" ")[1] if self.line else "none"


def application(web: Any, root: Path) -> Any:
    app = web.Application()
    for prefix, options in [("/s", {}), ("/f", {"follow_symlinks": True}), ("/i", {"show_index": True})]:
        app.router.add_static(prefix, root, **options)
    app.router.add_static("/fi", root, follow_symlinks=True, show_index=True)

    async def plain(request: Any) -> Any:
        return web.FileResponse(root / request.match_info["name"], status=int(request.query.get("status", 200)))

    async def compressed(request: Any) -> Any:
        response = web.FileResponse(root / request.match_info["name"])
        response.enable_compression()
        return response

    async def with_fields(request: Any) -> Any:
        fields = {"Content-Type": "x/y", "ETag": '"own"', "Last-Modified": EARLIER, "Content-Encoding": "zz"}
        return web.FileResponse(root / request.match_info["name"], headers=fields)

    app.router.add_route("*", "/file/{name:.*}", plain)
    app.router.add_get("/compressed/{name:.*}", compressed)
    app.router.add_get("/fields/{name:.*}", with_fields)
    return app


PATHS = """
dir dir/ dir//inner.txt dir/../a.txt dir/%2e%2e/a.txt dir%2Finner.txt ../x %2e%2e/x /etc/passwd %2Fetc%2Fpasswd
%2f..%2fetc ..%2f..%2fetc%2fpasswd ..%5c..%5cx %00 a.txt%00 a.txt/ a.txt/x empty fifo link-to-file link-to-dir link-out
link-dir-out link-dir-out/secret.txt link-to-dir/inner.txt link-broken link-loop link-up link-to-sibling missing .
./a.txt %2e/a.txt dir/.. dir/. %ff %FF%FE a.txt?x=1 p%41.txt C:foo C%3Afoo back\\slash.txt
""".split()
RANGES = """
bytes=0-4 bytes=5- bytes=-3 bytes=-0 bytes=-100 bytes=0- bytes=9-9 bytes=10- bytes=10-20 bytes=3-100 bytes=5-2 bytes=
bytes=- bytes=0-0,2-3 bytes=a-b chars=0-3 BYTES=0-3 0-3 bytes=0-99999999999999999999999 bytes=99999999999999999999999-
bytes=+1-3 bytes=1_0- bytes=--1
""".split()
CODINGS = ["gzip", "br", "gzip, br", "br, gzip", "identity", "*", "gzip;q=0, br", "GZIP", "x-gzip", "deflate", ""]
CODINGS += ["zstd", "gzip;q=0", "br;q=0.1, gzip;q=1", "notgzip"]


def conditions() -> Iterator[tuple[tuple[str, str], ...]]:
    """Every combination of conditions that are met, not met, or no conditions at all."""
    values = {
        "If-Match": (None, TAG, '"x"'),
        "If-Unmodified-Since": (None, LAST_MODIFIED, BEFORE),
        "If-None-Match": (None, TAG, '"x"'),
        "If-Modified-Since": (None, LAST_MODIFIED, BEFORE),
    }
    for chosen in itertools.product(*values.values()):
        yield tuple((name, value) for name, value in zip(values, chosen, strict=True) if value is not None)
    for name, value in [
        ("If-Match", "*"), ("If-Match", f"W/{TAG}"), ("If-Match", f'"x", {TAG}'), ("If-Match", "bare"),
        ("If-Match", ""),
        ("If-None-Match", "*"), ("If-None-Match", f"W/{TAG}"), ("If-None-Match", f'W/"x",{TAG}'),
        ("If-None-Match", "bare"), ("If-None-Match", ""), ("If-None-Match", f'"a,b",{TAG}'),
        ("If-None-Match", f"{TAG},"),
        ("If-None-Match", f", {TAG}"), ("If-None-Match", '"a" "b"'), ("If-None-Match", '"z", *'),
        ("If-Modified-Since", LATER), ("If-Modified-Since", "bad"), ("If-Modified-Since", EARLIER),
        ("If-Unmodified-Since", LATER), ("If-Unmodified-Since", "bad"), ("If-Unmodified-Since", EARLIER),
    ]:  # fmt: skip
        yield ((name, value),)


def cases(root: Path) -> Iterator[Case]:
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    for prefix in ("/s", "/f", "/i", "/fi", "/file"):
        for path in ["", *PATHS]:
            yield Case(f"{prefix}/{path}")
    for name in [*names, "x" * 300]:
        yield Case(f"/s/{quote(name)}")
    yield from (Case(target) for target in ("/s", "/i", "/sx"))
    for method in ("HEAD", "POST", "OPTIONS", "PUT"):
        yield from (Case(target, (), method) for target in ("/s/a.txt", "/s/missing", "/s/dir", "/i/dir"))
    yield from (Case(target, (), "GET", "1.0") for target in ("/s/a.txt", "/s/missing", "/s/dir", "/s/empty.txt"))
    for wanted in RANGES:
        yield from (Case(target, (("Range", wanted),)) for target in ("/s/a.txt", "/s/empty.txt"))
    for known in (TAG, LAST_MODIFIED, BEFORE, EARLIER, LATER, f"W/{TAG}", '"x"', "garbage"):
        for wanted in ("bytes=0-3", "bytes=100-"):
            yield Case("/s/a.txt", (("Range", wanted), ("If-Range", known)))
    for fields in conditions():
        yield Case("/s/a.txt", fields)
    for fields in [(("If-None-Match", TAG),), (("If-Match", '"x"'),)]:
        yield Case("/s/a.txt", (*fields, ("Range", "bytes=0-3")))
        yield Case("/s/a.txt", fields, "HEAD")
    for coding in CODINGS:
        yield Case("/s/c.txt", (("Accept-Encoding", coding),))
    for name in ("a.txt", "d.txt", "e.txt", "only.gz", "t.tar.gz", "orphan.js", "c.txt.gz", "link-to-sibling"):
        yield Case(f"/s/{name}", (("Accept-Encoding", "gzip, br"),))
    yield Case("/s/c.txt", (("Accept-Encoding", "br"), ("Range", "bytes=1-2")))
    yield Case("/s/c.txt", (("Accept-Encoding", "br"), ("If-None-Match", etag(4))))
    yield Case("/s/c.txt", (("Accept-Encoding", "br"),), "HEAD")
    for method in ("HEAD", "POST", "DELETE"):
        for field in (
            ("Range", "bytes=0-3"),
            ("If-None-Match", "*"),
            ("If-Match", '"x"'),
            ("If-Modified-Since", LATER),
        ):
            yield Case("/file/a.txt", (field,), method)
    for status in (201, 204, 304, 404, 503):
        for fields in ((), (("Range", "bytes=0-3"),), (("If-None-Match", TAG),)):
            yield Case(f"/file/a.txt?status={status}", fields)
    yield from (Case(f"/compressed/{name}") for name in ("a.txt", "c.txt", "missing"))
    yield Case("/compressed/c.txt", (("Accept-Encoding", "gzip, br"),))
    for fields in ((), (("Accept-Encoding", "br"),), (("If-None-Match", '"own"'),), (("If-None-Match", TAG),)):
        yield Case("/fields/c.txt", fields)


async def answers(web: Any, root: Path, wanted: list[Case]) -> list[Answer]:
    runner = web.AppRunner(application(web, root), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        return [await answer(runner.addresses[0][1], case) for case in wanted]
    finally:
        await runner.cleanup()


async def answer(port: int, case: Case) -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(case.data)
    async with asyncio.timeout(20):
        data = await reader.read(-1)
    writer.close()
    await writer.wait_closed()
    head, _, body = data.partition(b"\r\n\r\n")
    line, *rest = head.decode("latin-1").split("\r\n")
    fields = [(name, value.strip()) for name, _, value in (text.partition(":") for text in rest)]
    return Answer(line, [field for field in fields if field[0].lower() not in UNSEEN], body)


def reference(root: Path, wanted: list[Case]) -> list[Answer]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with asyncio.Runner() as runner:
            runner.get_loop().set_exception_handler(lambda loop, context: None)
            return runner.run(answers(aiohttp_web, root, wanted))


def without_an_empty_body(found: Answer) -> Answer:
    """An empty body is the same whether its length is told or it has no chunks; so is the type of nothing."""
    empty = found.body == b"0\r\n\r\n" or (not found.body and not found.status.startswith("2"))
    if not empty:
        return found
    framing = {"transfer-encoding", "content-length", "content-type"}
    return Answer(found.line, [field for field in found.fields if field[0].lower() not in framing], b"")


IGNORED = "a range in another unit, and several ranges, are ignored (RFC 9110 section 14.2)"
GET_ONLY = "ranges are for GET only (RFC 9110 section 14.2)"
UNSAFE = "304 is for GET and HEAD, and so is If-Modified-Since (RFC 9110 sections 13.1.2, 13.1.3)"
IF_RANGE = "If-Range knows entity tags, compares strongly, and a date must be the one told (RFC 9110 section 13.1.5)"
SUCCESS = "conditions and ranges count where the answer would be a success (RFC 9110 sections 13.2.1 and 14.2)"
WEIGHTS = "Accept-Encoding is read with its weights (RFC 9110 section 12.5.3)"
LISTS = "empty elements of a list are skipped (RFC 9110 section 5.6.1)"
TYPES = "types that newer versions of Python know"
NAMES = "a name that no file can have is not found, and no failure of the server"
VARY = "304 has Vary (RFC 9110 section 15.4.5)"
ESCAPED = "& in a link of a listing is escaped"

# (What the case is called, or how it begins), status of aiohttp and status here; "=" for the same.
DIFFERENCES: list[tuple[str, str, str, str]] = [
    ("/s/" + "x" * 37, "500", "404", NAMES),
    ("/file/%00", "none", "404", NAMES),
    ("/file/a.txt%00", "none", "404", NAMES),
    ("/fi/link-dir-out", "500", "200", "a directory that a link leads to is listed under the name of the link"),
    ("/fi/link-up", "500", "200", "a directory that a link leads to is listed under the name of the link"),
    *((f"/{prefix}{path}", "200", "=", ESCAPED) for prefix in ("i", "fi") for path in ("/", "/.", "/dir/..")),
    ("/i", "200", "=", ESCAPED),
    ("/s/a.txt | Range: bytes=-0", "206", "416", "the last 0 bytes are none (RFC 9110 section 14.1.2)"),
    ("/s/a.txt | Range: bytes=0-0,2-3", "416", "200", IGNORED),
    ("/s/empty.txt | Range: bytes=0-0,2-3", "416", "200", IGNORED),
    ("/s/a.txt | Range: chars=0-3", "416", "200", IGNORED),
    ("/s/empty.txt | Range: chars=0-3", "416", "200", IGNORED),
    *((f"{method} /file/a.txt | Range: bytes=0-3", "206", "200", GET_ONLY) for method in ("HEAD", "POST", "DELETE")),
    *((f"{method} /file/a.txt | If-None-Match: *", "304", "412", UNSAFE) for method in ("POST", "DELETE")),
    *((f"{method} /file/a.txt | If-Modified-Since: {LATER}", "304", "200", UNSAFE) for method in ("POST", "DELETE")),
    *((f"/s/a.txt | Range: bytes=0-3 | If-Range: {known}", "206", "200", IF_RANGE)
      for known in (LATER, f"W/{TAG}", '"x"', "garbage")),
    *((f"/s/a.txt | Range: bytes=100- | If-Range: {known}", "416", "200", IF_RANGE)
      for known in (LATER, f"W/{TAG}", '"x"', "garbage")),
    *((f"/file/a.txt?status={status} | Range: bytes=0-3", "206", str(status), SUCCESS)
      for status in (204, 304, 404, 503)),
    *((f"/file/a.txt?status={status} | If-None-Match: {TAG}", "304", str(status), SUCCESS)
      for status in (304, 404, 503)),
    (f"/s/a.txt | If-None-Match: , {TAG}", "200", "304", LISTS),
    *((f"/s/c.txt | Accept-Encoding: {field}", "200", "=", WEIGHTS)
      for field in ("gzip;q=0", "br;q=0.1, gzip;q=1", "notgzip")),
    ("/s/c.txt | Accept-Encoding: zstd", "200", "=", "siblings in zstd are known"),
    (f"/s/c.txt | Accept-Encoding: br | If-None-Match: {etag(4)}", "304", "=", VARY),
    ("/s/c.txt.zst", "200", "=", TYPES),
]  # fmt: skip


def test_the_same_directory_behind_both(tmp_path: Path) -> None:
    from fairlead import web

    root = build(tmp_path / "root")
    wanted = list(cases(root))
    theirs = reference(root, wanted)
    with asyncio.Runner() as runner:
        ours = runner.run(answers(web, root, wanted))
    expected = {name: rest for name, *rest in DIFFERENCES}
    used: set[str] = set()
    wrong = []
    for case, their, our in zip(wanted, theirs, ours, strict=True):
        same = without_an_empty_body(their) == without_an_empty_body(our)
        known = expected.get(str(case))
        if known is not None:
            used.add(str(case))
            before, after, _ = known
            if same or their.status != before or our.status != (before if after == "=" else after):
                wrong.append(
                    f"{case}: expected to differ as {before} and {after}, came {their.line!r} and {our.line!r}"
                )
        elif not same:
            wrong.append(f"{case}:\n    aiohttp  {their}\n    fairlead {our}")
    wrong += [f"{name}: a difference that does not exist" for name in expected if name not in used]
    assert not wrong, "\n" + "\n".join(wrong)
    assert len(wanted) > 500

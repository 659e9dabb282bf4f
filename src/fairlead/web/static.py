"""Files of a directory as a resource: `StaticResource`.

In: a prefix and a directory, then requests below the prefix. Out: a file as `FileResponse` sends it, a list of what is
in a directory, 403 for a directory that may not be listed, 404 for everything that does not lie below the directory.

What a client can name. The path of a request is decoded once and cut at its slashes, and each part must be the plain
name of one file: `..` may go back as far as the directory and no further, an empty first part (an absolute path) and
NUL name nothing. On Windows nothing passes that its file system reads in its own way: backslashes, drives and streams
(`:`), names of devices, trailing dots and spaces, wildcards. Then the parts are looked up one after the other, and
where one of them is a symbolic link, its end must lie below the directory as well, unless links are to be followed.

Limits: `MAX_VERSIONS` hashes of files are remembered for `url_for(append_version=True)`, each as long as the file's
size, inode and time of modification stay the same.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import html
import os
import pathlib
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import quote

from yarl import URL

from .. import hdrs
from .disk import Look, Wish, take
from .exceptions import HTTPForbidden, HTTPNotFound
from .file_response import DEFAULT_CHUNK_SIZE, FileResponse
from .resources import PrefixResource, decode_value, quote_path
from .response import Response
from .routes import ResourceRoute, UrlMappingMatchInfo

if TYPE_CHECKING:
    from ..typedefs import PathLike
    from .abstract import ExpectHandler, Handler
    from .request import Request
    from .resources import Resolved
    from .routes import AbstractRoute, InfoDict
    from .stream_response import StreamResponse

__all__ = ("StaticResource",)

WINDOWS: Final = os.name == "nt"

MAX_VERSIONS: Final = 4096
"""Files whose hashes are remembered; beyond that all are forgotten."""

HASH_BLOCK: Final = 64 * 1024
"""Bytes that are read and hashed at once."""

# What Windows reads as something else than a name in a directory.
_DEVICES: Final = frozenset("CON PRN AUX NUL CONIN$ CONOUT$".split()) | {
    f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"
}
_NOT_IN_NAMES: Final = frozenset('\\:*?"<>|') | frozenset(map(chr, range(32)))


def split_names(path: str, windows: bool = WINDOWS) -> list[str] | None:
    """Return the names that lead from a directory to what a decoded path means; None when it does not lie in there."""
    if "\0" in path or path.startswith("/"):
        return None
    names: list[str] = []
    for name in path.split("/"):
        if name == "..":
            if not names:
                return None
            names.pop()
        elif name and name != ".":
            if windows and not _is_windows_name(name):
                return None
            names.append(name)
    return names


def _is_windows_name(name: str) -> bool:
    if name[-1] in ". " or not _NOT_IN_NAMES.isdisjoint(name):
        return False
    return name.partition(".")[0].rstrip(" ").upper() not in _DEVICES


class Visit(Look):
    """A look that stays in a directory."""

    __slots__ = ("follow", "names", "outside", "root")

    def __init__(self, root: str, names: list[str], wish: Wish, *, follow: bool) -> None:
        super().__init__(root, wish)
        self.root = root
        self.names = names
        self.follow = follow
        self.outside = False

    def _find(self) -> None:
        found = self._walk()
        if self.outside:
            self.status = 404
        elif found is None or stat.S_ISREG(found.st_mode):
            if not self._serve_sibling() and found is not None:
                self._serve(self.path, found, follow=False)
        else:
            self._serve(self.path, found, follow=False)

    def _walk(self) -> os.stat_result | None:
        """Set the path, without any link in it unless links are followed; return what is there, None for nothing."""
        path = self.root
        names = self.names
        if not names:
            return os.stat(path)
        found: os.stat_result | None = None
        begin = path if path.endswith(os.sep) else path + os.sep
        self.path = begin + os.sep.join(names)
        # Without links, only the last name tells anything that opening the file would not.
        ends = range(len(names), len(names) + 1) if self.follow else range(1, len(names) + 1)
        for end in ends:
            try:
                found = os.lstat(begin + os.sep.join(names[:end]))
            except FileNotFoundError:
                return None
            if WINDOWS or stat.S_ISLNK(found.st_mode):
                return self._resolve(begin)
        return found

    def _resolve(self, begin: str) -> os.stat_result | None:
        """Find where the links in the path lead."""
        self.path = os.path.realpath(self.path)
        here, inside = os.path.normcase(self.path), os.path.normcase(begin)
        if not self.follow and here != os.path.normcase(self.root) and not here.startswith(inside):
            self.outside = True
            return None
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return None
        if stat.S_ISLNK(found.st_mode):  # it leads back to itself, or was put there just now
            self.outside = True
        return found


class StaticResource(PrefixResource):
    """The files of a directory, below a prefix, for GET and HEAD."""

    VERSION_KEY: ClassVar[str] = "v"

    def __init__(
        self,
        prefix: str,
        directory: PathLike,
        *,
        name: str | None = None,
        expect_handler: ExpectHandler | None = None,
        chunk_size: int = DEFAULT_CHUNK_SIZE,
        show_index: bool = False,
        follow_symlinks: bool = False,
        append_version: bool = False,
    ) -> None:
        """Take a directory, whose own links are resolved now; raises ValueError when there is none.

        `show_index` lists directories, `follow_symlinks` lets links lead out of the directory, `append_version` is the
        default of `url_for`; `chunk_size` is in bytes.
        """
        super().__init__(prefix, name=name)
        try:
            directory = pathlib.Path(directory).expanduser().resolve(strict=True)
        except FileNotFoundError as exc:
            raise ValueError(f"'{directory}' does not exist") from exc
        if not directory.is_dir():
            raise ValueError(f"'{directory}' is not a directory")
        self._directory = directory
        self._show_index = show_index
        self._chunk_size = chunk_size
        self._follow_symlinks = follow_symlinks
        self._expect_handler = expect_handler
        self._append_version = append_version
        # File: (what tells that it is the same), its hash.
        self._versions: dict[str, tuple[tuple[int, int, int], str]] = {}
        self._routes: dict[str, ResourceRoute] = {
            method: ResourceRoute(method, self._handle, self, expect_handler=expect_handler)
            for method in (hdrs.METH_GET, hdrs.METH_HEAD)
        }
        self._allowed_methods = set(self._routes)

    def __repr__(self) -> str:
        name = f"{self.name!r}" if self.name is not None else ""
        return f"<StaticResource {name} {self._prefix} -> {self._directory!r}>"

    def __len__(self) -> int:
        return len(self._routes)

    def __iter__(self) -> Iterator[AbstractRoute]:
        return iter(self._routes.values())

    def get_info(self) -> InfoDict:
        """Return the ``directory``, the ``prefix`` and the ``routes`` by their methods."""
        return {"directory": self._directory, "prefix": self._prefix, "routes": {**self._routes}}

    def set_options_route(self, handler: Handler) -> None:
        """Let ``handler`` answer OPTIONS; raises RuntimeError the second time."""
        if hdrs.METH_OPTIONS in self._routes:
            raise RuntimeError("OPTIONS route was set already")
        self._routes[hdrs.METH_OPTIONS] = ResourceRoute(
            hdrs.METH_OPTIONS, handler, self, expect_handler=self._expect_handler
        )
        self._allowed_methods.add(hdrs.METH_OPTIONS)

    # ---- finding it

    def find(self, path: str, method: str, allowed: set[str]) -> UrlMappingMatchInfo | None:
        """Return the match, or add what would be allowed to ``allowed`` when the path is right and the method wrong."""
        rest = "" if path == self._decoded_prefix else self.rest_of(path)
        if rest is None:
            return None
        route = self._routes.get(method)
        if route is None:
            allowed |= self._allowed_methods
            return None
        return UrlMappingMatchInfo({"filename": decode_value(rest)}, route)

    async def resolve(self, request: Request) -> Resolved:
        """Return the match or None, and the methods that are allowed for the path of ``request``."""
        path = request.routing_path
        allowed: set[str] = set()
        match = self.find(request.rel_url.path_safe if "%" in path else path, request.method, allowed)
        return match, allowed if match is None else set(self._allowed_methods)

    def url_for(self, *, filename: PathLike, append_version: bool | None = None) -> URL:  # type: ignore[override]
        """Return the URL of a file, given by its path in the directory.

        With ``append_version`` a hash of the file is put into the query, so that the URL changes when the file does; a
        file that does not exist gets none. Blocks while a file is read whose hash is not known.
        """
        if append_version is None:
            append_version = self._append_version
        if isinstance(filename, pathlib.PurePath):
            filename = filename.as_posix()
        path = str(filename).lstrip("/")
        url = URL.build(path=self._prefix.rstrip("/") + quote_path("/" + path), encoded=True)
        version = self._version_of(path) if append_version else None
        return url if version is None else url.with_query({self.VERSION_KEY: version})

    def _version_of(self, path: str) -> str | None:
        """Return the hash of a file below the directory, None when there is none."""
        names = split_names(path)
        if not names:
            return None
        root = str(self._directory)
        file = os.path.realpath(os.path.join(root, *names))
        if not self._follow_symlinks and os.path.commonpath((root, file)) != root:
            return None
        try:
            found = os.stat(file)
            if not stat.S_ISREG(found.st_mode):
                return None
            same = (found.st_mtime_ns, found.st_size, found.st_ino)
            known = self._versions.get(file)
            if known is not None and known[0] == same:
                return known[1]
            digest = hashlib.sha256()
            with open(file, "rb") as opened:
                while block := opened.read(HASH_BLOCK):
                    digest.update(block)
        except (OSError, ValueError):
            return None
        version = base64.urlsafe_b64encode(digest.digest()).decode("ascii")
        if len(self._versions) >= MAX_VERSIONS:
            self._versions.clear()
        self._versions[file] = (same, version)
        return version

    # ---- answering

    async def _handle(self, request: Request) -> StreamResponse:
        names = split_names(request.match_info["filename"])
        if names is None:
            raise HTTPNotFound()
        visit = Visit(str(self._directory), names, Wish(request, 200), follow=self._follow_symlinks)
        await take(visit)
        if visit.outside:
            raise HTTPNotFound()
        if visit.directory:
            return await self._list(visit)
        response = FileResponse(visit.path, chunk_size=self._chunk_size)
        response.expect(visit, request)
        return response

    async def _list(self, visit: Visit) -> StreamResponse:
        """Answer with what is in a directory."""
        if not self._show_index:
            raise HTTPForbidden()
        loop = asyncio.get_running_loop()
        try:
            text = await loop.run_in_executor(None, functools.partial(self._listing, visit.path, visit.names))
        except PermissionError:
            raise HTTPForbidden() from None
        except (FileNotFoundError, NotADirectoryError):
            raise HTTPNotFound() from None
        return Response(body=text.encode("utf-8", "replace"), content_type="text/html", charset="utf-8")

    def _listing(self, directory: str, names: list[str]) -> str:
        """Write the page of a directory, in whatever thread."""
        if pathlib.Path(directory).is_relative_to(self._directory):
            below = os.path.relpath(directory, self._directory).replace(os.sep, "/")
        else:
            below = "/".join(names)  # where it really lies is nobody's business
        here = self._prefix.rstrip("/") + ("" if below == "." else "/" + _quoted(below))
        with os.scandir(directory) as entries:
            listed = sorted((entry.name, _is_directory(entry)) for entry in entries)
        items = "\n".join(_item(here, name, is_directory) for name, is_directory in listed)
        title = _shown(f"Index of /{below}")
        return (
            f"<html>\n<head>\n<title>{title}</title>\n</head>\n<body>\n<h1>{title}</h1>\n"
            f"<ul>\n{items}\n</ul>\n</body>\n</html>"
        )


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _shown(text: str) -> str:
    """Escape a name for a text or an attribute; bytes that are no text are shown as such."""
    return html.escape(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def _quoted(path: str) -> str:
    return quote(path, safe="/:@!$&'()*+,;=~", errors="surrogateescape")


def _item(here: str, name: str, is_directory: bool) -> str:
    """Write the line of one name, which may be anything that a file system allows."""
    text = _shown(name + "/" if is_directory else name)
    return f'<li><a href="{html.escape(f"{here}/{_quoted(name)}")}">{text}</a></li>'

"""The layer law: who may import whom, read from the source without running it.

A module imports only lower layers, or modules of its own layer that stand to its left in ``LAYERS``. Imports inside
functions count; imports under ``if TYPE_CHECKING:`` do not, since they are not there at run time. On top of that:

* there is no cycle,
* words and codec are free of I/O, clocks, threads, randomness and logs,
* a third-party name appears only where ``THIRD_PARTY`` allows it, and inside a function where it says so,
* nothing that exists on Unix only is imported when a module is imported,
* no module touches a ``_private`` name of another module's objects.

A new module fails here until it is given its place: add its name to the order of its layer.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "fairlead"
SOURCE = Path(__file__).parent.parent / "src" / PACKAGE

# Layer: its modules from left to right. A package in a layer (client/middlewares/) is one room under one name.
LAYERS = {
    "words": "version hdrs typedefs keys signals errors",
    "codec": "grammar events fields framing chunked http1 coding mime disposition links dates cookies forms multipart"
    " urls challenge json_text conditional preconditions forwarded ws_handshake ws_frames ws_deflate ws_decoder ws",
    "wire": "clock streams queues writer exchange pieces link h1_link sockets tls dns eyeballs pool dial proxy",
    "message": "facts mixins text body files payload parts multipart formdata ws_channel ws_verbs",
    "client": "tracing auth env cookiejar timeouts redirects options connector template response request tcp"
    " local follow ws reconnect session middlewares",
    "web": "abstract errors message chain forms request stream_response response exceptions access_log protocol"
    " server disk file_response view routes resources static router routedef middlewares disconnect app"
    " ws sites runner run worker __main__",
    "edges": "abc test_utils pytest_plugin cli compat __main__",
}
# Layers that do not know each other, though one is written above the other.
STRANGERS = {("web", "client")}
# Layers whose modules lie directly in the package. Its __init__, the face, stands between client and edges.
TOP_LEVEL = ("words", "edges")
FACE = "edges"

FORBIDDEN = {
    "words": "asyncio socket selectors threading concurrent multiprocessing subprocess time random secrets logging",
    "codec": "asyncio socket ssl selectors threading concurrent multiprocessing subprocess signal time random secrets"
    " uuid logging",
}

# Only on Unix; asking for them inside a function, behind a check, is fine.
UNIX_ONLY = frozenset("fcntl grp posix pty pwd resource syslog termios tty".split())

# Names that begin with an underscore and are public all the same.
PUBLIC_UNDERSCORES = frozenset("_replace _asdict _make _fields _field_defaults _value_ _name_ _missing_".split())


class Place(NamedTuple):
    """Where a third-party name may be written."""

    where: str  # "layer" or "layer/module"; "" is everywhere
    lazy: bool = False  # only inside functions


THIRD_PARTY = {
    "multidict": [Place("")],
    "yarl": [Place("")],
    "attr": [Place("client")],
    "attrs": [Place("client")],
    "brotli": [Place("codec/coding", lazy=True)],
    "brotlicffi": [Place("codec/coding", lazy=True)],
    "backports": [Place("codec/coding", lazy=True)],
    "aiodns": [Place("wire/dns", lazy=True)],
    "pycares": [Place("wire/dns", lazy=True)],
    "certifi": [Place("wire/tls", lazy=True)],
    "truststore": [Place("wire/tls", lazy=True)],
    "rich": [Place("edges/cli", lazy=True)],
    "uvloop": [Place(where, lazy=True) for where in ("edges/cli", "edges/pytest_plugin", "web/worker")],
    "gunicorn": [Place("web/worker")],
    "pytest": [Place("edges/pytest_plugin")],
}
STDLIB = sys.stdlib_module_names | {"compression"}


@dataclass
class Import:
    """One imported name: the dotted target, the line, and whether it happens inside a function."""

    target: str
    line: int
    lazy: bool


@dataclass
class Module:
    """What the law needs to know of one file."""

    path: Path
    name: str
    layer: str = ""
    rank: tuple[int, int] = (0, 0)
    room: str = ""
    imports: list[Import] = field(default_factory=list)
    foreign_privates: list[tuple[int, str]] = field(default_factory=list)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name != "_" and name not in PUBLIC_UNDERSCORES


def own_privates(tree: ast.Module) -> set[str]:
    """Collect the private names that this file itself defines, on whatever object."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id="__slots__")], value=value):
                names.update(c.value for c in ast.walk(value) if isinstance(c, ast.Constant) and type(c.value) is str)
    return names


class Reader(ast.NodeVisitor):
    """Walks one file and notes its imports and the private names of others that it touches."""

    def __init__(self, module: Module, is_package: bool, tree: ast.Module) -> None:
        self.module = module
        self.base = module.name.split(".") if is_package else module.name.split(".")[:-1]
        self.depth = 0
        self.own = own_privates(tree)
        self.visit(tree)

    def note(self, target: str, node: ast.AST) -> None:
        self.module.imports.append(Import(target, getattr(node, "lineno", 0), self.depth > 0))

    def touch(self, name: str, node: ast.AST) -> None:
        if is_private(name) and name not in self.own:
            self.module.foreign_privates.append((getattr(node, "lineno", 0), name))

    def visit_If(self, node: ast.If) -> None:
        for child in node.orelse if is_type_checking(node) else ast.iter_child_nodes(node):
            self.visit(child)

    def visit_function(self, node: ast.AST) -> None:
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = visit_function

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.note(alias.name, node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        stem = self.base[: len(self.base) - node.level + 1] if node.level else []
        origin = ".".join([*stem, *([node.module] if node.module else [])])
        for alias in node.names:
            self.note(f"{origin}.{alias.name}", node)
            if origin.split(".")[0] == PACKAGE:
                self.touch(alias.name, node)

    def visit_Call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"), args=[arg, *_]):
                if isinstance(arg, ast.Constant) and isinstance(arg.value, str) and not arg.value.startswith("."):
                    self.note(arg.value, node)
            case ast.Call(func=ast.Name(id="getattr" | "setattr" | "hasattr"), args=[obj, ast.Constant(str(name)), *_]):
                if not (isinstance(obj, ast.Name) and obj.id in {"self", "cls"}):
                    self.touch(name, node)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        match node.value:
            case ast.Name(id="self" | "cls" | "sys"):
                pass
            case ast.Call(func=ast.Name(id="super")):
                pass
            case _:
                self.touch(node.attr, node)
        self.generic_visit(node)


def place(module: Module, parts: list[str]) -> str | None:
    """Give the module its layer and rank; return what is wrong when it has no room."""
    layers = list(LAYERS)
    if not parts:
        module.layer, module.room, module.rank = "face", "the face", (layers.index(FACE) * 2 - 1, 0)
        return None
    if parts[0] in LAYERS and parts[0] not in TOP_LEVEL:
        layer, candidates = parts[0], [parts[0]]
        inside = parts[1:]
    else:
        inside = parts
        candidates = [layer for layer in TOP_LEVEL if inside[0] in LAYERS[layer].split()]
        layer = candidates[0] if candidates else ""
    order = LAYERS[layer].split() if layer else []
    if not layer or (inside and inside[0] not in order):
        where = f"layer {layer!r}" if layer else "a layer (words and edges lie at the top)"
        return f"{module.path.name}: {module.name} has no room: add {inside[0]!r} to the order of {where} in LAYERS"
    module.layer = layer
    module.room = f"{layer}/{inside[0]}" if inside else layer
    # The __init__ of a layer stands at its right end.
    module.rank = (layers.index(layer) * 2, order.index(inside[0]) if inside else len(order))
    return None


def read(root: Path) -> tuple[dict[str, Module], list[str]]:
    modules: dict[str, Module] = {}
    wrong = []
    for path in sorted(root.rglob("*.py")):
        parts = list(path.relative_to(root).with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        if is_package:
            parts.pop()
        module = Module(path, ".".join([PACKAGE, *parts]))
        problem = place(module, parts)
        if problem:
            wrong.append(problem)
            continue
        modules[module.name] = module
        Reader(module, is_package, ast.parse(path.read_bytes(), str(path)))
    return modules, wrong


def resolve(modules: dict[str, Module], target: str) -> Module | None:
    """Find the module that a dotted name is, or is a name of."""
    while target:
        if target in modules:
            return modules[target]
        target = target.rpartition(".")[0]
    return None


def check_inside(module: Module, imp: Import, target: Module) -> str | None:
    """Judge an import within the package."""
    if (module.layer, target.layer) in STRANGERS:
        return f"{module.name}:{imp.line} imports {imp.target}: doors {module.layer} and {target.layer} are strangers"
    same_room = module.room == target.room and module.rank == target.rank
    if target.rank < module.rank or same_room:
        return None
    return f"{module.name}:{imp.line} imports {imp.target}: {target.room} is not below it and not to its left"


def check_outside(module: Module, imp: Import) -> str | None:
    """Judge an import of the standard library or of a third party."""
    top = imp.target.split(".")[0]
    if top in FORBIDDEN.get(module.layer, "").split():
        return f"{module.name}:{imp.line} imports {top}, which layer {module.layer!r} must not know"
    if top in UNIX_ONLY and not imp.lazy:
        return f"{module.name}:{imp.line} imports {top} at the top, which exists on Unix only"
    if top in STDLIB:
        return None
    places = THIRD_PARTY.get(top)
    if places is None:
        return f"{module.name}:{imp.line} imports {top}, which no module may import"
    here = [p for p in places if p.where in ("", module.layer, module.room)]
    if not here:
        return f"{module.name}:{imp.line} imports {top}, allowed only in {', '.join(p.where for p in places)}"
    if not imp.lazy and all(p.lazy for p in here):
        return f"{module.name}:{imp.line} imports {top} at the top, allowed only inside a function"
    return None


def cycles(graph: dict[str, set[str]]) -> Iterator[str]:
    """Yield one line for each cycle that a depth-first walk meets."""
    done: set[str] = set()

    def walk(name: str, trail: list[str]) -> Iterator[str]:
        if name in trail:
            yield "cycle: " + " -> ".join([*trail[trail.index(name) :], name])
        elif name not in done:
            for other in sorted(graph[name]):
                yield from walk(other, [*trail, name])
            done.add(name)

    for name in sorted(graph):
        yield from walk(name, [])


def violations(root: Path) -> list[str]:
    """Return everything in the package at ``root`` that breaks the law."""
    modules, wrong = read(root)
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for module in modules.values():
        for imp in module.imports:
            if imp.target.split(".")[0] != PACKAGE:
                problem = check_outside(module, imp)
            elif (target := resolve(modules, imp.target)) is None or target is module:
                problem = None
            else:
                graph[module.name].add(target.name)
                problem = check_inside(module, imp, target)
            if problem:
                wrong.append(problem)
        wrong += [
            f"{module.name}:{line} touches {name}, which is private to another module"
            for line, name in module.foreign_privates
        ]
    return [*dict.fromkeys(wrong), *cycles(graph)]


def test_the_package_keeps_the_law() -> None:
    assert not (wrong := violations(SOURCE)), "\n" + "\n".join(wrong)


def test_the_package_was_really_read() -> None:
    modules, _ = read(SOURCE)
    assert {"fairlead", "fairlead.errors", "fairlead.keys"} <= set(modules)
    assert "ssl.SSLError" in {imp.target for imp in modules["fairlead.errors"].imports}


Files = dict[str, str]


def build(root: Path, files: Files) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


BREAKS: dict[str, tuple[Files, str]] = {
    "upward": ({"codec/fields.py": "from ..wire import link", "wire/link.py": ""}, "imports fairlead.wire.link"),
    "upward in a function": (
        {"keys.py": "def f():\n    from .client.auth import BasicAuth", "client/auth.py": ""},
        "imports fairlead.client.auth",
    ),
    "upward by full name": (
        {"codec/fields.py": "import fairlead.wire.link", "wire/link.py": ""},
        "imports fairlead.wire.link",
    ),
    "upward through importlib": (
        {"wire/link.py": "import importlib\nimportlib.import_module('fairlead.client.auth')", "client/auth.py": ""},
        "imports fairlead.client.auth",
    ),
    "to the right": ({"codec/fields.py": "from .http1 import x", "codec/http1.py": ""}, "imports fairlead.codec.http1"),
    "the face from below": ({"__init__.py": "", "client/session.py": "import fairlead"}, "imports fairlead:"),
    "else of TYPE_CHECKING": (
        {
            "keys.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n    from . import errors",
            "errors.py": "",
        },
        "imports fairlead.errors",
    ),
    "cycle inside a room": (
        {"client/middlewares/a.py": "from . import b", "client/middlewares/b.py": "def f():\n    from . import a"},
        "cycle: fairlead.client.middlewares.a -> fairlead.client.middlewares.b -> fairlead.client.middlewares.a",
    ),
    "one door from the other": (
        {"web/app.py": "from ..client.auth import BasicAuth", "client/auth.py": ""},
        "doors web and client are strangers",
    ),
    "asyncio in the codec": ({"codec/fields.py": "import asyncio.streams"}, "imports asyncio"),
    "time in the codec": ({"codec/dates.py": "def f():\n    from time import time"}, "imports time"),
    "attrs outside the client": ({"wire/dns.py": "import attrs"}, "imports attrs, allowed only in client"),
    "brotli at the top": ({"codec/coding.py": "import brotli"}, "allowed only inside a function"),
    "brotli elsewhere": ({"codec/fields.py": "def f():\n    import brotli"}, "allowed only in codec/coding"),
    "unknown third party": ({"wire/dns.py": "import requests"}, "which no module may import"),
    "Unix only": ({"wire/sockets.py": "import fcntl"}, "exists on Unix only"),
    "no room": ({"wire/toolbox.py": ""}, "add 'toolbox' to the order of layer 'wire'"),
    "no room at the top": ({"helpers.py": ""}, "add 'helpers' to the order of a layer"),
    "private attribute": ({"wire/link.py": "def f(pool):\n    return pool._idle"}, "touches _idle"),
    "private attribute by name": ({"wire/link.py": "def f(pool):\n    getattr(pool, '_idle')"}, "touches _idle"),
    "private import": ({"wire/link.py": "from ..errors import _x", "errors.py": "_x = 1"}, "touches _x"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_law_bites(name: str, tmp_path: Path) -> None:
    files, expected = BREAKS[name]
    wrong = violations(build(tmp_path, files))
    assert any(expected in line for line in wrong), wrong


KEEPS: dict[str, Files] = {
    "downward": {
        "client/session.py": "from ..codec import http1\nfrom .. import hdrs",
        "codec/http1.py": "",
        "hdrs.py": "",
    },
    "to the left": {"codec/http1.py": "from .fields import parse", "codec/fields.py": ""},
    "the face and the edges": {"__init__.py": "from .errors import x", "errors.py": "", "cli.py": "import fairlead"},
    "TYPE_CHECKING": {
        "keys.py": "import typing\nif typing.TYPE_CHECKING:\n    from .client.auth import A\n    import requests",
        "client/auth.py": "",
    },
    "third parties in their places": {
        "codec/coding.py": "import multidict\ndef f():\n    import brotli",
        "client/timeouts.py": "import attrs",
        "pytest_plugin.py": "import pytest",
    },
    "own private names": {
        "wire/pool.py": "class A:\n    __slots__ = ('_a',)\n    def __eq__(self, o):\n        return self._b == o._a",
    },
    "namedtuple methods": {"errors.py": "def f(key):\n    return key._replace(ssl=True)"},
    "inside one room": {"client/middlewares/a.py": "from . import b", "client/middlewares/b.py": ""},
}


@pytest.mark.parametrize("name", KEEPS)
def test_the_law_lets_honest_code_pass(name: str, tmp_path: Path) -> None:
    assert violations(build(tmp_path, KEEPS[name])) == []

"""Parity of the server's public names: `web`, `test_utils` and `abc` have the same things with the same members.

Judged as in `test_surface`: parameters by name, order, kind and default; fairlead may add optional keyword arguments
and members. Each thing that is not the same has its reason in `EXCEPTIONS`.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import os
from types import ModuleType
from typing import Any

import pytest
from tests.parity.test_surface import compare_parameters, kind, member_kind, parameters, public_members

LATER = {"WebSocketResponse", "WebSocketReady", "WSMsgType", "WSCloseCode", "WSMessage", "WSMessageTypeError"}
"""Names of WebSocket."""

EXCEPTIONS = {
    "web.ContentCoding": "br and zstd besides gzip and deflate, where they are installed",
    "web.RequestHandler.set_parser": "a hook of aiohttp's own WebSocket; frames are decoded elsewhere here",
    "web.RequestHandler.resume_reading": "its argument belongs to aiohttp's own parser",
    "test_utils.TestClient.ws_connect": "WebSocket",
    "abc.AbstractStreamWriter.on_body_write": "a hook of aiohttp's own client",
    "abc.AbstractStreamWriter.transport": "on StreamWriter; other writers need none",
}
"""What differs on purpose, as module.name or module.name.member, and why."""


def pair(module: str) -> tuple[ModuleType, ModuleType]:
    pytest.importorskip("aiohttp")
    library = os.environ.get("FAIRLEAD_PARITY_LIBRARY", "fairlead")
    return importlib.import_module(f"aiohttp.{module}"), importlib.import_module(f"{library}.{module}")


def own_names(module: ModuleType) -> list[str]:
    """The public names: `__all__`, or what the module and its package's own modules define."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    package = module.__name__.partition(".")[0]
    return [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(thing) or inspect.isfunction(thing))
        and thing.__module__.partition(".")[0] == package
        and (package == "fairlead" or thing.__module__ == module.__name__)
    ]


def cases() -> list[tuple[str, str]]:
    return [(m, name) for m in ("web", "test_utils", "abc") for name in sorted(set(own_names(pair(m)[0])) - LATER)]


def alike(thing: Any) -> Any:
    """`thing` with the defaults that only look different: loggers of either library, and 1.0 for 1."""

    def default(value: Any) -> Any:
        if isinstance(value, logging.Logger):
            return value.name.partition(".")[2]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return thing
    changed = [p.replace(default=default(p.default)) for p in signature.parameters.values()]

    def stand_in() -> None: ...

    stand_in.__signature__ = signature.replace(parameters=changed)  # type: ignore[attr-defined]
    return stand_in


CASES = cases()
CLASSES = [(m, n) for m, n in CASES if inspect.isclass(getattr(pair(m)[0], n))]


def both(module: str, name: str) -> tuple[Any, Any]:
    reference, ours = pair(module)
    assert hasattr(ours, name), f"fairlead.{module} has no {name}"
    return getattr(reference, name), getattr(ours, name)


@pytest.mark.parametrize(("module", "name"), CASES)
def test_name(module: str, name: str) -> None:
    reference, ours = both(module, name)
    assert kind(ours) == kind(reference)
    if inspect.isclass(reference):
        assert ours.__name__ == reference.__name__
        assert inspect.isabstract(ours) == inspect.isabstract(reference)
    if kind(reference) == "enum":
        theirs = {m.name: m.value for m in reference}
        assert theirs.items() <= {m.name: m.value for m in ours}.items()
        assert len(theirs) == len(ours) or f"{module}.{name}" in EXCEPTIONS
    elif kind(reference) in ("class", "function") and f"{module}.{name}" not in EXCEPTIONS:
        compare_parameters(name, *(alike(thing) for thing in (reference, ours)))


@pytest.mark.parametrize(("module", "name"), CLASSES)
def test_members(module: str, name: str) -> None:
    reference, ours = both(module, name)
    wrong = []
    for member in public_members(reference):
        if f"{module}.{name}.{member}" in EXCEPTIONS:
            continue
        if not hasattr(ours, member):
            wrong.append(f"{member}: missing")
            continue
        wanted, got = member_kind(reference, member), member_kind(ours, member)
        if wanted == "coroutine function" and got == "function":
            got = wanted  # a plain function that returns an awaitable serves the same caller
        if wanted != got:
            wrong.append(f"{member}: a {wanted} there, a {got} here")
        elif "function" in wanted and not member.startswith("__"):
            try:
                compare_parameters(member, getattr(reference, member), getattr(ours, member))
            except AssertionError as exc:
                wrong.append(f"{member}: {str(exc).splitlines()[0]}: {parameters(getattr(ours, member))}")
    assert not wrong, f"{module}.{name}:\n  " + "\n  ".join(wrong)


@pytest.mark.parametrize(("module", "name"), CLASSES)
def test_bases(module: str, name: str) -> None:
    """Whoever asks isinstance with a public class or a builtin gets the same answer."""
    reference, ours = both(module, name)
    known = {n for m in ("web", "test_utils", "abc") for n in own_names(pair(m)[0])} - LATER

    def told(cls: type) -> set[str]:
        outside = ("builtins", "collections", "abc", "typing", "enum", "unittest")
        return {c.__name__ for c in cls.__mro__ if c.__name__ in known or c.__module__.partition(".")[0] in outside}

    missing = told(reference) - told(ours) - {"ABC", "Generic", "Enum"}
    missing = {base for base in missing if f"{module}.{name}({base})" not in EXCEPTIONS}
    assert not missing


def test_exceptions_name_what_exists() -> None:
    modules = {m: pair(m)[0] for m in ("web", "test_utils", "abc")}
    for place in EXCEPTIONS:
        module, name, *member = place.partition("(")[0].split(".")
        thing = getattr(modules[module], name)
        assert not member or hasattr(thing, member[0]), place

"""Parity of the public names: each exists, is the same kind of thing, and has the same arguments and members.

Arguments are compared by name, order, kind and default; fairlead may add optional keyword arguments and members.
"""

from __future__ import annotations

import enum
import inspect
from typing import Any

import pytest
from tests.parity.compare import Names, libraries

SET_WHEN_MADE = {"ClientRequest.url"}
"""Facts that an instance has and the class does not."""

KEYWORD = inspect.Parameter.KEYWORD_ONLY


def names() -> list[str]:
    reference, _ = libraries()
    return sorted(reference.__all__)


def shown(default: Any) -> str:
    if callable(default) and hasattr(default, "__name__"):
        return str(default.__name__)
    if type(default) is object or "sentinel" in repr(default).lower() or repr(default) == "BaseException()":
        return "<default>"
    return Names().hide(repr(default))


def parameters(thing: Any) -> list[tuple[str, str, str]] | None:
    """Name, kind and default of each parameter; None where Python cannot tell."""
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return None
    return [
        (p.name, p.kind.name, "" if p.default is p.empty else shown(p.default))
        for p in signature.parameters.values()
        if p.name != "self"
    ]


def kind(thing: Any) -> str:
    if inspect.isclass(thing):
        return "enum" if issubclass(thing, enum.Enum) else "class"
    if inspect.isfunction(thing) or inspect.isbuiltin(thing):
        return "function"
    if inspect.ismodule(thing):
        return "module"
    return "value"


def member_kind(owner: type, name: str) -> str:
    static = inspect.getattr_static(owner, name)
    if isinstance(static, property) or type(static).__name__ in ("reify", "cached_property", "under_cached_property"):
        return "fact"
    if inspect.iscoroutinefunction(static):
        return "coroutine function"
    if isinstance(static, staticmethod | classmethod):
        return "class function"
    if callable(static) and not inspect.isclass(static):
        return "function"
    return "fact"  # slots, class attributes and properties look the same to who reads them


def public_members(thing: type) -> list[str]:
    skipped = {"__init__", "__module__"}
    wanted = ("__aenter__", "__aexit__", "__aiter__", "__anext__", "__iter__", "__len__", "__contains__", "__getitem__")
    return [n for n in dir(thing) if (not n.startswith("_") or n in wanted) and n not in skipped]


@pytest.mark.parametrize("name", names())
def test_name(name: str) -> None:
    if name.startswith("Gunicorn"):
        pytest.importorskip("gunicorn")
    reference, ours = [getattr(library, name, None) for library in libraries()]
    assert ours is not None or reference is None, f"fairlead has no {name}"
    assert kind(ours) == kind(reference)
    if inspect.isclass(reference):
        assert inspect.isclass(ours)
        assert ours.__name__ == reference.__name__
    if kind(reference) in ("class", "function"):
        compare_parameters(name, reference, ours)


def compare_parameters(name: str, reference: Any, ours: Any) -> None:
    wanted, got = parameters(reference), parameters(ours)
    if wanted is None or got is None:
        return
    known = {p[0]: p[2] for p in wanted}
    optional = [p for p in got if p[0] not in known and p[1] == KEYWORD.name and p[2]]
    # What must be given there may have a default here, and "not given" may be spelled None.
    asked = [
        (n, k, known[n] if known.get(n) in ("", "<default>") else d) for n, k, d in got if (n, k, d) not in optional
    ]
    assert asked == wanted, name


CLASSES = [n for n in names() if inspect.isclass(getattr(libraries()[0], n))]


@pytest.mark.parametrize("name", CLASSES)
def test_members(name: str) -> None:
    there, here = libraries()
    reference: type = getattr(there, name)
    ours: type | None = getattr(here, name, None)
    if ours is None:
        pytest.fail(f"fairlead has no {name}")
    wrong = []
    for member in public_members(reference):
        if f"{name}.{member}" in SET_WHEN_MADE:
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
    assert not wrong, f"{name}:\n  " + "\n  ".join(wrong)


@pytest.mark.parametrize("name", [n for n in CLASSES if issubclass(getattr(libraries()[0], n), BaseException)])
def test_exception_bases(name: str) -> None:
    reference, ours = (getattr(library, name) for library in libraries())
    assert [c.__name__ for c in ours.__mro__] == [c.__name__ for c in reference.__mro__]


def test_field_names_are_all_there() -> None:
    reference, ours = libraries()
    missing = [
        n for n in dir(reference.hdrs) if n.isupper() and getattr(ours.hdrs, n, None) != getattr(reference.hdrs, n)
    ]
    assert not missing

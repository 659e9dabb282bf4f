"""Keys of applications, requests and responses, and the default of arguments."""

from __future__ import annotations

import copy
import functools
import pickle
import threading
from typing import Any

import aiohttp.web
import pytest

from fairlead.keys import UNSET, AppKey, BaseKey, RequestKey, ResponseKey

KINDS = (AppKey, RequestKey, ResponseKey)
MODULE_KEY = AppKey("at.module.level", int)


class Setting:
    in_class = AppKey[str]("in class")


def made_by(kind: Any, name: str = "name", *t: Any, argument: Any = None) -> Any:
    return (kind if argument is None else kind[argument])(name, *t)


@pytest.mark.parametrize(
    ("t", "argument"),
    [
        ((), None),
        ((int,), None),
        ((Setting,), None),
        ((list[int],), None),
        ((dict[str, Setting],), None),
        ((int | None,), None),
        ((Any,), None),
        (("text",), None),
        ((), int),
        ((), dict[str, int]),
        ((), Setting),
        ((str,), int),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_repr_is_as_in_aiohttp(kind: Any, t: tuple[Any, ...], argument: Any) -> None:
    reference = getattr(aiohttp.web, kind.__name__)
    # Both are made by the same line, so that both name the same module.
    theirs, ours = [repr(made_by(which, "name", *t, argument=argument)) for which in (reference, kind)]
    assert ours == theirs


def test_the_name_has_the_module_that_was_executed() -> None:
    scope: dict[str, Any] = {"AppKey": AppKey, "__name__": "some.module"}
    exec("key = AppKey('key')\nclass Place:\n    key = AppKey('inner')", scope)
    assert repr(scope["key"]) == "<AppKey(some.module.key, type=<<Unknown>>)>"
    assert repr(scope["Place"].key) == "<AppKey(some.module.inner, type=<<Unknown>>)>"


def test_a_key_can_be_made_where_no_module_is_executed() -> None:
    made: list[AppKey[Any]] = []
    thread = threading.Thread(target=lambda: made.append(AppKey("late")))
    thread.start()
    thread.join()
    assert repr(made[0]) == f"<AppKey({__name__}.late, type=<<Unknown>>)>"


def test_keys_are_themselves() -> None:
    one, other = AppKey("name", int), AppKey("name", int)
    assert one != other
    assert {one: 1}.get(other) is None
    assert {one: 1}[one] == 1


def test_keys_sort_by_name_before_everything_else() -> None:
    made = functools.partial(made_by, AppKey)
    b, a, c = made("b"), made("a"), made("c")
    assert sorted([c, b, a]) == [a, b, c]
    assert b > a
    assert a <= a <= b
    assert c >= b
    assert a < "a"
    assert sorted(["z", c, "b"], key=functools.cmp_to_key(lambda x, y: -1 if x < y else 1))[0] is c


def test_a_key_needs_a_name() -> None:
    with pytest.raises(TypeError):
        AppKey()  # type: ignore[call-arg]


def test_classes_are_kinds_of_one() -> None:
    for kind in KINDS:
        assert issubclass(kind, BaseKey)
        assert not any(issubclass(kind, other) for other in KINDS if other is not kind)


def test_copies_keep_name_and_type() -> None:
    for key in (copy.copy(MODULE_KEY), copy.deepcopy(MODULE_KEY), pickle.loads(pickle.dumps(MODULE_KEY))):
        assert repr(key) == repr(MODULE_KEY)


def test_unset_is_one_thing_and_says_so() -> None:
    assert copy.deepcopy(UNSET) is UNSET
    assert pickle.loads(pickle.dumps(UNSET)) is UNSET
    assert "sentinel" in repr(UNSET)

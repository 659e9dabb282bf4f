"""Views: which method of the class answers which request."""

from __future__ import annotations

from typing import Any

import pytest
from tests.web.routing import Stub

from fairlead.web.exceptions import HTTPMethodNotAllowed
from fairlead.web.view import View


class Page(View):
    title = "attributes are no answers"

    async def get(self) -> Any:
        return "get", self.request

    async def post(self) -> Any:
        return "post", self.request

    async def secret(self) -> Any:
        return "secret", self.request


class Longer(Page):
    async def delete(self) -> Any:
        return await super().get()


async def test_the_method_of_the_same_name_answers() -> None:
    for method in ("GET", "POST"):
        request = Stub(method, "/")
        assert await Page(request) == (method.lower(), request)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["PUT", "HEAD", "OPTIONS", "SECRET", "TITLE", "REQUEST", "__INIT__", "_ITER", "get"])
async def test_no_other_attribute_can_be_reached(method: str) -> None:
    with pytest.raises(HTTPMethodNotAllowed) as caught:
        await Page(Stub(method, "/"))  # type: ignore[arg-type]
    assert caught.value.method == method.upper()
    assert set(caught.value.allowed_methods) == {"GET", "POST"}
    assert caught.value.headers["Allow"] == "GET,POST"


async def test_subclasses_inherit_answers() -> None:
    assert (await Longer(Stub("DELETE", "/")))[0] == "get"  # type: ignore[arg-type]
    with pytest.raises(HTTPMethodNotAllowed) as caught:
        await Longer(Stub("PUT", "/"))  # type: ignore[arg-type]
    assert set(caught.value.allowed_methods) == {"GET", "POST", "DELETE"}

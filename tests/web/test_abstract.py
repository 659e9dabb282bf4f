"""The abstract classes: what a subclass must provide and what it gets."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any

import pytest

from fairlead.web.abstract import AbstractAccessLogger, AbstractMatchInfo, AbstractRouter, AbstractView

oracle = pytest.importorskip("aiohttp.abc")


@pytest.mark.parametrize("cls", [AbstractMatchInfo, AbstractRouter, AbstractView, AbstractAccessLogger])
def test_the_abstract_members_are_those_of_aiohttp(cls: Any) -> None:
    theirs = getattr(oracle, cls.__name__)
    assert cls.__abstractmethods__ == theirs.__abstractmethods__
    assert {name for name in vars(theirs) if not name.startswith("_")} == {
        name for name in vars(cls) if not name.startswith("_")
    }
    assert vars(cls).get("__slots__") is None or set(cls.__slots__) == set(theirs.__slots__)
    with pytest.raises(TypeError, match="abstract"):
        cls()


class Router(AbstractRouter):
    async def resolve(self, request: Any) -> Any:
        return None


def test_a_router_remembers_that_it_is_frozen() -> None:
    router = Router()
    router.post_init(object())  # type: ignore[arg-type]
    assert not router.frozen
    router.freeze()
    assert router.frozen


class Answer(AbstractView):
    def __await__(self) -> Generator[Any, None, Any]:
        return self.request
        yield


async def test_a_view_is_made_with_the_request_and_awaited() -> None:
    request = object()
    assert await Answer(request) is request  # type: ignore[arg-type]


class Logger(AbstractAccessLogger):
    def log(self, request: Any, response: Any, time: float) -> None:
        self.logger.info(self.log_format, time)


def test_an_access_logger_is_enabled_and_keeps_what_it_is_given() -> None:
    logger = logging.getLogger("test")
    access = Logger(logger, "%f")
    assert (access.logger, access.log_format, access.enabled) == (logger, "%f", True)

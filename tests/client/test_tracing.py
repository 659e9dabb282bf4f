"""Trace configs, the params of each signal, and what can be skipped when nobody listens."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import pickle
from types import SimpleNamespace
from typing import Any, cast

import pytest
from multidict import CIMultiDict
from yarl import URL

from fairlead.client import tracing
from fairlead.client.tracing import Trace, TraceConfig

needs_oracle = pytest.mark.skipif(importlib.util.find_spec("aiohttp") is None, reason="aiohttp is not installed")

URL_ = URL("http://h/")
HEADERS = CIMultiDict({"A": "b"})
RESPONSE = cast(Any, object())
ERROR = ValueError("x")
SESSION = cast(Any, object())

# signal, the coroutine that sends it, its arguments, its params
SENT: list[tuple[str, str, tuple[Any, ...], type[Any]]] = [
    ("request_start", "request_start", ("GET", URL_, HEADERS), tracing.TraceRequestStartParams),
    ("request_end", "request_end", ("GET", URL_, HEADERS, RESPONSE), tracing.TraceRequestEndParams),
    ("request_exception", "request_exception", ("GET", URL_, HEADERS, ERROR), tracing.TraceRequestExceptionParams),
    ("request_redirect", "request_redirect", ("GET", URL_, HEADERS, RESPONSE), tracing.TraceRequestRedirectParams),
    ("request_headers_sent", "request_headers", ("GET", URL_, HEADERS), tracing.TraceRequestHeadersSentParams),
    ("request_chunk_sent", "request_chunk_sent", ("GET", URL_, b"c"), tracing.TraceRequestChunkSentParams),
    (
        "response_chunk_received",
        "response_chunk_received",
        ("GET", URL_, b"c"),
        tracing.TraceResponseChunkReceivedParams,
    ),
    ("connection_queued_start", "connection_queued_start", (), tracing.TraceConnectionQueuedStartParams),
    ("connection_queued_end", "connection_queued_end", (), tracing.TraceConnectionQueuedEndParams),
    ("connection_create_start", "connection_create_start", (), tracing.TraceConnectionCreateStartParams),
    ("connection_create_end", "connection_create_end", (), tracing.TraceConnectionCreateEndParams),
    ("connection_reuseconn", "connection_reuseconn", (), tracing.TraceConnectionReuseconnParams),
    ("dns_resolvehost_start", "dns_resolvehost_start", ("h",), tracing.TraceDnsResolveHostStartParams),
    ("dns_resolvehost_end", "dns_resolvehost_end", ("h",), tracing.TraceDnsResolveHostEndParams),
    ("dns_cache_hit", "dns_cache_hit", ("h",), tracing.TraceDnsCacheHitParams),
    ("dns_cache_miss", "dns_cache_miss", ("h",), tracing.TraceDnsCacheMissParams),
]


def signal_of(config: TraceConfig, name: str) -> Any:
    return getattr(config, f"on_{name}")


@pytest.mark.parametrize(("signal", "sender", "args", "params"), SENT, ids=[case[0] for case in SENT])
async def test_each_signal_reaches_its_receivers(
    signal: str, sender: str, args: tuple[Any, ...], params: type[Any]
) -> None:
    seen: list[tuple[Any, ...]] = []

    async def receiver(*received: Any) -> None:
        seen.append(received)

    config = TraceConfig()
    signal_of(config, signal).append(receiver)
    config.freeze()
    context = config.trace_config_ctx("from the caller")
    trace = Trace(SESSION, config, context)
    for _, other, other_args, _ in SENT:
        await getattr(trace, f"send_{other}")(*other_args)
    assert seen == [(SESSION, context, params(*args))]
    assert seen[0][2]._values() == args
    assert trace.wants == {signal}
    assert trace.wants_chunks is ("chunk" in signal)


def test_the_table_has_all_signals() -> None:
    assert sorted(case[0] for case in SENT) == sorted(tracing.SIGNALS)
    assert len(SENT) == 16


def test_silent_config() -> None:
    config = TraceConfig()
    config.freeze()
    trace = Trace(SESSION, config, config.trace_config_ctx())
    assert not trace.wants
    assert not trace.wants_chunks


async def test_receivers_run_in_order_and_errors_come_out() -> None:
    seen: list[str] = []

    async def first(*args: Any) -> None:
        seen.append("first")
        raise ERROR

    async def second(*args: Any) -> None:
        seen.append("second")

    config = TraceConfig()
    config.on_dns_cache_hit.append(first)
    config.on_dns_cache_hit.append(second)
    config.on_dns_cache_miss.append(second)
    config.on_dns_cache_miss.append(first)
    config.freeze()
    trace = Trace(SESSION, config, config.trace_config_ctx())
    with pytest.raises(ValueError):
        await trace.send_dns_cache_hit("h")
    with pytest.raises(ValueError):
        await trace.send_dns_cache_miss("h")
    assert seen == ["first", "second", "first"]


async def test_frozen_and_unfrozen() -> None:
    async def receiver(*args: Any) -> None: ...

    config = TraceConfig()
    trace = Trace(SESSION, config, config.trace_config_ctx())
    with pytest.raises(RuntimeError):
        await trace.send_request_start("GET", URL_, HEADERS)
    config.on_request_start.append(receiver)
    assert config.listened == {"request_start"}
    config.freeze()
    config.freeze()
    assert config.listened == {"request_start"}
    for name in tracing.SIGNALS:
        with pytest.raises(RuntimeError):
            signal_of(config, name).append(receiver)


def test_contexts() -> None:
    assert TraceConfig().trace_config_ctx() == SimpleNamespace(trace_request_ctx=None)
    assert TraceConfig().trace_config_ctx({"a": 1}) == SimpleNamespace(trace_request_ctx={"a": 1})
    assert TraceConfig(trace_config_ctx_factory=dict).trace_config_ctx(3) == {"trace_request_ctx": 3}

    class Context:
        def __init__(self, trace_request_ctx: Any = None) -> None:
            self.given = trace_request_ctx

    assert TraceConfig(Context).trace_config_ctx(7).given == 7


def test_subclasses_that_register_themselves() -> None:
    class Timing(TraceConfig):
        def __init__(self) -> None:
            super().__init__()
            self.count = 0
            self.on_request_start.append(self.started)

        async def started(self, *args: Any) -> None:
            self.count += 1

    assert Timing().listened == {"request_start"}


@pytest.mark.parametrize(("args", "params"), [case[2:] for case in SENT], ids=[case[0] for case in SENT])
def test_params_are_immutable_records(args: tuple[Any, ...], params: type[Any]) -> None:
    record = params(*args)
    assert record == params(*args)
    assert record != object()
    assert not hasattr(record, "__dict__")
    for name, value in zip(params.__match_args__, args, strict=True):
        assert getattr(record, name) is value
        with pytest.raises(AttributeError, match=f"cannot set '{name}'"):
            setattr(record, name, value)
        with pytest.raises(AttributeError):
            delattr(record, name)
    with pytest.raises(AttributeError):
        record.other = 1
    assert copy.copy(record) == record
    if RESPONSE not in args and ERROR not in args:
        assert pickle.loads(pickle.dumps(record)) == record


def test_params_of_two_signals_differ() -> None:
    assert tracing.TraceDnsCacheHitParams("h") != tracing.TraceDnsCacheMissParams("h")
    assert tracing.TraceDnsCacheHitParams("h") != tracing.TraceDnsCacheHitParams("i")
    assert hash(tracing.TraceDnsCacheHitParams("h")) == hash(tracing.TraceDnsCacheHitParams("h"))
    with pytest.raises(TypeError):
        hash(tracing.TraceRequestStartParams("GET", URL_, HEADERS))


@needs_oracle
@pytest.mark.parametrize(("args", "params"), [case[2:] for case in SENT], ids=[case[0] for case in SENT])
def test_params_as_in_the_original(args: tuple[Any, ...], params: type[Any]) -> None:
    import aiohttp

    original = getattr(aiohttp, params.__name__)
    assert repr(params(*args)) == repr(original(*args))
    assert params.__match_args__ == original.__match_args__
    assert list(inspect.signature(params).parameters) == list(inspect.signature(original).parameters)


@needs_oracle
def test_surface_as_in_the_original() -> None:
    import aiohttp
    import aiohttp.tracing

    def public(cls: type[Any]) -> set[str]:
        return {name for name in dir(cls) if not name.startswith("_")}

    assert public(TraceConfig) - {"listened"} == public(aiohttp.TraceConfig)
    assert public(Trace) - {"wants", "wants_chunks"} == public(aiohttp.tracing.Trace)
    for name in public(aiohttp.tracing.Trace):
        expected = inspect.signature(getattr(aiohttp.tracing.Trace, name)).parameters
        assert list(inspect.signature(getattr(Trace, name)).parameters) == list(expected)

"""client.connector: callers that wait for a slot, cancelled as they are served, and listeners that are slow or fail."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any

import pytest
from tests.peers.raw import answering, raw_server, response
from tests.peers.turns import turns
from tests.wire.fakes import FakeTransport

import fairlead
from fairlead.client.connector import BaseConnector, Connection
from fairlead.client.timeouts import ClientTimeout
from fairlead.wire.h1_link import H1ClientLink

OK = response(200, b"ok")


class Dialling(BaseConnector):
    """Opens connections to nobody."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.transports: list[FakeTransport] = []

    async def _create_connection(self, req: Any, traces: Any, timeout: ClientTimeout) -> H1ClientLink:
        await asyncio.sleep(0)
        link = self._factory()
        self.transports.append(FakeTransport(link))
        return link

    def request(self, key: str = "host") -> Any:
        return SimpleNamespace(connection_key=key, phase=None, fresh=False, url=f"http://{key}/")

    def connecting(self, key: str = "host", traces: Any = ()) -> asyncio.Task[Connection]:
        return asyncio.ensure_future(self.connect(self.request(key), list(traces), ClientTimeout()))

    async def over(self) -> None:
        """Close, and play the loop for the transports."""
        self.shut_down()
        for transport in self.transports:
            assert transport.closing
            transport.lose()


@pytest.mark.parametrize("first", ["cancel", "release"])
async def test_a_caller_that_is_cancelled_as_it_is_served_passes_the_slot_on(first: str) -> None:
    connector = Dialling(limit=1)
    conn = await connector.connecting()
    tasks = [connector.connecting() for _ in range(3)]
    await turns(3)
    if first == "cancel":
        tasks[0].cancel()
        conn.release()
    else:
        conn.release()
        tasks[0].cancel()
    second = await asyncio.wait_for(tasks[1], 5)
    assert tasks[0].cancelled()
    assert connector.in_use == 1
    tasks[2].cancel()
    second.release()
    await asyncio.wait([tasks[2]])
    assert (connector.in_use, connector.idle) == (0, 1)
    await connector.over()


async def test_all_callers_but_the_last_are_cancelled_at_once() -> None:
    connector = Dialling(limit=1)
    conn = await connector.connecting()
    tasks = [connector.connecting() for _ in range(100)]
    await turns(3)
    conn.close()
    for task in tasks[:-1]:
        task.cancel()
    last = await asyncio.wait_for(tasks[-1], 5)
    last.close()
    assert (connector.in_use, connector.idle) == (0, 0)
    await connector.over()


@pytest.mark.parametrize("seed", range(10))
async def test_random_cancellation_loses_no_slot_and_no_caller(seed: int) -> None:
    dice = random.Random(seed)
    connector = Dialling(limit=5, limit_per_host=2)
    served: set[int] = set()

    async def call(number: int) -> None:
        conn = await connector.connect(connector.request(dice.choice("abcd")), [], ClientTimeout())
        assert connector.in_use <= 5
        try:
            await turns(dice.randrange(4))
            served.add(number)
        finally:
            conn.release() if dice.random() < 0.7 else conn.close()

    tasks = [asyncio.ensure_future(call(number)) for number in range(200)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        if dice.random() < 0.5:
            dice.choice(tasks).cancel()
    assert connector.in_use == 0
    assert served >= {number for number, task in enumerate(tasks) if not task.cancelled()}
    assert served
    await connector.over()


async def test_a_slot_that_is_freed_while_a_listener_takes_its_time_is_not_lost() -> None:
    """The caller is in line before its listeners are told that it waits."""
    gate = asyncio.Event()

    async def queued(session: Any, context: Any, params: Any) -> None:
        await gate.wait()

    tracing = fairlead.TraceConfig()
    tracing.on_connection_queued_start.append(queued)
    async with raw_server(answering(OK)) as server:
        connector = fairlead.TCPConnector(limit=1)
        async with (
            fairlead.ClientSession(connector=connector, connector_owner=False) as holder,
            fairlead.ClientSession(connector=connector, trace_configs=[tracing]) as session,
        ):
            request = holder.request_class("GET", server.url, loop=asyncio.get_running_loop(), session=holder)
            conn = await connector.connect(request, [], ClientTimeout())
            task = asyncio.ensure_future(session._request("GET", server.url))
            await turns(5)
            conn.release()
            await turns(5)
            gate.set()
            answer = await asyncio.wait_for(task, 5)
            assert await answer.read() == b"ok"
            assert connector.in_use == 0


@pytest.mark.parametrize("end", ["raises", "is cancelled"])
async def test_a_listener_that_fails_while_a_caller_waits_costs_no_slot(end: str) -> None:
    class Trace:
        async def send_connection_queued_start(self) -> None:
            if end == "raises":
                raise LookupError("listener")
            await asyncio.Event().wait()

    connector = Dialling(limit=1)
    conn = await connector.connecting()
    task = connector.connecting(traces=[Trace()])
    other = connector.connecting()
    await turns(3)
    if end == "is cancelled":
        conn.release()  # to the caller whose listener is busy
        task.cancel()
    else:
        conn.release()
    await asyncio.wait([task])
    (await asyncio.wait_for(other, 5)).release()
    with pytest.raises((LookupError, asyncio.CancelledError)):
        task.result()
    assert (connector.in_use, connector.idle) == (0, 1)
    await connector.over()


async def test_a_listener_that_fails_on_reuse_costs_no_connection() -> None:
    class Trace:
        async def send_connection_reuseconn(self) -> None:
            raise LookupError("listener")

    connector = Dialling()
    (await connector.connecting()).release()
    assert connector.idle == 1
    with pytest.raises(LookupError, match="listener"):
        await connector.connecting(traces=[Trace()])
    assert (connector.in_use, connector.idle) == (0, 1)
    (await connector.connecting()).release()
    assert len(connector.transports) == 1
    await connector.over()

"""Clients of a soak, in a process of their own: REST and gRPC requests at a share of what the servers were seen to answer.

The rate is relative to the machine: the same clients first ask as fast as they are answered, and then at `SHARE` of that.
No more than `CLIENTS` requests are under way at a time, so that a machine that becomes slower is asked less, not swamped.
"""

import asyncio
import collections
import dataclasses
import json
import time

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

CLIENTS = 8
SHARE = 0.8
CALIBRATION_S = 5.0
ANSWER_S = 60.0  # the longest that an answer is waited for


@dataclasses.dataclass
class Target:
    """A model, and what it answers to one row."""

    name: str
    address: str  # HOST:PORT
    protocol: str  # "rest" or "grpc"
    input: str
    datatype: str
    row: list
    output: str
    expected: list

    @property
    def label(self) -> str:
        return f"{self.name} over {self.protocol}"


@dataclasses.dataclass
class Tally:
    answered: collections.Counter = dataclasses.field(default_factory=collections.Counter)  # by label
    failures: list = dataclasses.field(default_factory=list)  # (label, what)
    slowest: float = 0
    rate: float = 0  # wanted


class Rest:
    def __init__(self, target: Target):
        self.target, self.streams = target, None
        body = json.dumps({"inputs": [{"name": target.input, "shape": [1, len(target.row)], "datatype": target.datatype, "data": target.row}],
                           "outputs": [{"name": target.output}]}).encode()
        self.request = (f"POST /v2/models/{target.name}/infer HTTP/1.1\r\nHost: {target.address}\r\nContent-Type: application/json\r\n"
                        f"Content-Length: {len(body)}\r\n\r\n").encode() + body

    async def ask(self) -> str:
        """"" if the answer is right, else what came instead."""
        if self.streams is None:
            self.streams = await asyncio.open_connection(*self.target.address.split(":"))
        reader, writer = self.streams
        writer.write(self.request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().split("content-length:")[1].split("\r\n")[0])
        body = await reader.readexactly(length)
        if not head.startswith("HTTP/1.1 200"):
            return f"{head.splitlines()[0]}: {body.decode()}"
        data = json.loads(body)["outputs"][0]["data"]
        return "" if data == self.target.expected else f"answered {data}, expected {self.target.expected}"

    async def close(self) -> None:
        if self.streams:
            self.streams[1].close()
            self.streams = None


class Grpc:
    def __init__(self, target: Target):
        self.target, self.channel = target, None
        request = service_pb2.ModelInferRequest(model_name=target.name)
        given = request.inputs.add(name=target.input, datatype=target.datatype, shape=[1, len(target.row)])
        (given.contents.fp32_contents if target.datatype == "FP32" else given.contents.fp64_contents).extend(target.row)
        request.outputs.add(name=target.output)
        self.request = request
        self.expected = None

    async def ask(self) -> str:
        if self.channel is None:
            self.channel = grpc.aio.insecure_channel(self.target.address)
            self.stub = service_pb2_grpc.GRPCInferenceServiceStub(self.channel)
        try:
            answer = await self.stub.ModelInfer(self.request)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
        raw = bytes(answer.raw_output_contents[0])
        self.expected = self.expected or raw  # the first, as bytes; REST compares the numbers themselves
        return "" if raw == self.expected else f"answered {raw!r}, expected {self.expected!r}"

    async def close(self) -> None:
        if self.channel:
            await self.channel.close()


async def _clients(targets: list[Target], seconds: float, rate: float | None, tally: Tally) -> None:
    """Each client goes round the targets. With a rate, requests are due one after the other; who is late skips none
    but waits for no one."""
    begin, sent = time.monotonic(), 0

    async def one(number: int) -> None:
        nonlocal sent
        mine = [Rest(t) if t.protocol == "rest" else Grpc(t) for t in targets]
        turn = number
        while (now := time.monotonic() - begin) < seconds:
            if rate is not None:
                due, sent = sent / rate, sent + 1
                if due > now:
                    await asyncio.sleep(due - now)
                elif now - due > 1:  # the machine has become slower: what was missed is not made up for
                    sent = int(now * rate)
            client = mine[turn % len(mine)]
            turn += 1
            asked = time.monotonic()
            try:
                wrong = await asyncio.wait_for(client.ask(), ANSWER_S)
            except Exception as error:  # a broken connection, no answer: each is a failure
                wrong = f"{type(error).__name__}: {error}"
                await client.close()
            tally.slowest = max(tally.slowest, time.monotonic() - asked)
            if wrong:
                tally.failures.append((client.target.label, wrong))
            else:
                tally.answered[client.target.label] += 1
        for client in mine:
            await client.close()

    await asyncio.gather(*(one(number) for number in range(CLIENTS)))


def run(pipe, targets: list[Target], seconds: float) -> None:
    """In a process of its own: sends a Tally through `pipe`, and before it the word that the calibration is over."""
    first = Tally()
    asyncio.run(_clients(targets, CALIBRATION_S, None, first))
    tally = Tally(failures=first.failures, rate=SHARE * sum(first.answered.values()) / CALIBRATION_S)
    pipe.send("calibrated")
    if not tally.failures:
        asyncio.run(_clients(targets, seconds, max(tally.rate, 1), tally))
    pipe.send(tally)

"""Load that comes whatever happens: requests at a given rate, each on a connection of its own turn, so that a server that
falls behind meets all of them (a closed loop would wait for it and hide the overload).

Workers are processes, each an asyncio loop over plain sockets. A request that finds no free connection opens one, up to
a bound; beyond it the request counts as unsent.
"""

import asyncio
import collections
import dataclasses
import multiprocessing
import time
from urllib.parse import urlsplit

CONNECTIONS = 1500  # of one worker, at most


@dataclasses.dataclass
class Outcome:
    """What came back. Times in seconds, of answers with status 200."""

    seconds: float = 0
    statuses: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    took: list = dataclasses.field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        self.seconds = max(self.seconds, other.seconds)
        self.statuses += other.statuses
        self.took += other.took

    def goodput(self) -> float:
        return self.statuses[200] / self.seconds

    def percentile(self, percent: float) -> float:
        times = sorted(self.took)
        return times[min(int(len(times) * percent / 100), len(times) - 1)] if times else float("inf")


def message(url: str, body: bytes, method: str = "POST") -> bytes:
    at = urlsplit(url)
    head = f"{method} {at.path} HTTP/1.1\r\nHost: {at.netloc}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


class Client(asyncio.Protocol):
    """One connection with one request under way at most."""

    def __init__(self) -> None:
        self.transport, self.answer, self.read = None, None, b""

    def connection_made(self, transport) -> None:
        self.transport = transport

    def connection_lost(self, error) -> None:
        if self.answer and not self.answer.done():
            self.answer.set_result(0)
        self.transport = None

    def data_received(self, data: bytes) -> None:
        self.read += data
        head, found, rest = self.read.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(rest) >= length and self.answer and not self.answer.done():
            self.read = b""
            self.answer.set_result(int(head[9:12]))

    def ask(self, request: bytes) -> asyncio.Future:
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answer


async def _drive(url: str, body: bytes, rate: float, begin: float, warm: float, seconds: float) -> Outcome:
    at = urlsplit(url)
    loop, free, out, tasks, opened = asyncio.get_running_loop(), [], Outcome(seconds), set(), 0
    request = message(url, body)

    async def one(counted: bool) -> None:
        nonlocal opened
        asked = time.monotonic()
        client = free.pop() if free else None
        if client is None or client.transport is None:
            if opened >= CONNECTIONS:
                out.statuses["unsent"] += counted
                return
            opened += 1
            try:
                _, client = await loop.create_connection(Client, at.hostname, at.port)
            except OSError:
                opened -= 1
                out.statuses["unsent"] += counted
                return
        status = await client.ask(request)
        if client.transport is None:
            opened -= 1
        else:
            free.append(client)
        if counted:
            out.statuses[status] += 1
            if status == 200:
                out.took.append(time.monotonic() - asked)

    sent, total = 0, int(rate * (warm + seconds))
    while sent < total:
        now = time.monotonic() - begin
        while sent < total and sent / rate <= now:
            task = loop.create_task(one(sent / rate >= warm))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.sleep(max(min(sent / rate - (time.monotonic() - begin), 0.01), 0))
    if tasks:
        await asyncio.wait(tasks, timeout=60)
    return out


async def _closed(url: str, body: bytes, connections: int, warm: float, seconds: float) -> Outcome:
    at, out, request = urlsplit(url), Outcome(seconds), message(url, body)
    loop, begin = asyncio.get_running_loop(), time.monotonic()

    async def one() -> None:
        _, client = await loop.create_connection(Client, at.hostname, at.port)
        while (asked := time.monotonic()) - begin < warm + seconds:
            status = await client.ask(request)
            if warm <= time.monotonic() - begin < warm + seconds:
                out.statuses[status] += 1
                out.took.append(time.monotonic() - asked)
        client.transport.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return out


def _run(pipe, drive, arguments) -> None:
    pipe.send(asyncio.run(drive(*arguments)))


def _in_processes(drive, arguments: list[tuple]) -> Outcome:
    out, running = Outcome(), []
    for each in arguments:
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.Process(target=_run, args=(theirs, drive, each))
        process.start()
        theirs.close()
        running.append((process, ours))
    for process, pipe in running:
        out.add(pipe.recv())
        process.join()
    return out


def open_loop(url: str, body: bytes, rate: float, seconds: float, warm: float = 0, processes: int = 1) -> Outcome:
    """`rate` requests a second for `warm` seconds that are not counted, and for `seconds` that are."""
    begin = time.monotonic() + 0.2
    return _in_processes(_drive, [(url, body, rate / processes, begin, warm, seconds)] * processes)


def closed_loop(url: str, body: bytes, connections: int, seconds: float, warm: float = 0) -> Outcome:
    """As many at a time as there are connections: the most that the server answers."""
    return _in_processes(_closed, [(url, body, connections, warm, seconds)])

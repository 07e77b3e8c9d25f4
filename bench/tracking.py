"""The same tracking work against Lathe and against the real `mlflow server`, in one run: `./dev bench tracking`, and
`./dev bench tracking_postgres`.

Both on SQLite or both on one PostgreSQL, with their default settings, on the project's disk; a request of ours is durable
before its answer.
"""

import contextlib
import http.client
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time
from urllib.parse import urlsplit

import search_fill
from harness import ROOT, Server, server, wrk
from mlflow_peer import Peer, peer
from postgres import Postgres, postgres

API = "/api/2.0/mlflow"
RUNS = int(os.environ.get("LATHE_BENCH_RUNS", "100000"))
ARTIFACT = 256 << 20
PIECE = 1 << 20
PEER_SECONDS = 20  # on a busy machine it answers a few requests a second


class Caller:
    """One keep-alive connection."""

    def __init__(self, url: str):
        self.connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=900)

    def call(self, method: str, path: str, body=None) -> dict:
        data = None if body is None else json.dumps(body)
        self.connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        answer = self.connection.getresponse()
        text = answer.read()
        assert answer.status == 200, f"{method} {path}: {answer.status} {text[:300]!r}"
        return json.loads(text)

    def new_run(self) -> str:
        run = self.call("POST", f"{API}/runs/create", {"experiment_id": "0", "start_time": 1, "run_name": "bench"})
        return run["run"]["info"]["run_id"]


def sound(got: dict) -> dict:
    assert not got["errors"], f"{got['errors']} requests were answered with errors"
    assert got["rps"], "no request was answered in time"
    return got


def create_run(s, seconds: float) -> dict:
    wrk(f"{s.url}{API}/runs/create", s, 16, 1, "create_run.lua")
    return sound(wrk(f"{s.url}{API}/runs/create", s, 16, seconds, "create_run.lua"))


def log_batch(s, metrics: int, connections: int, seconds: float) -> dict:
    caller = Caller(s.url)
    runs = [caller.new_run() for _ in range(connections)]
    arguments = [str(metrics), *runs]
    wrk(f"{s.url}{API}/runs/log-batch", s, connections, 1, "log_batch.lua", arguments)
    return sound(wrk(f"{s.url}{API}/runs/log-batch", s, connections, seconds, "log_batch.lua", ["%d" % metrics, *(caller.new_run() for _ in runs)]))


def get_history(s, seconds: float) -> dict:
    caller = Caller(s.url)
    run = caller.new_run()
    for first in range(0, 10_000, 1_000):
        points = [{"key": "loss", "value": i * 0.37, "timestamp": 1_700_000_000_000 + i * 50, "step": i} for i in range(first, first + 1_000)]
        caller.call("POST", f"{API}/runs/log-batch", {"run_id": run, "metrics": points})
    path = f"{API}/metrics/get-history?run_id={run}&metric_key=loss&max_results=25000"
    assert len(caller.call("GET", path)["metrics"]) == 10_000
    return sound(wrk(f"{s.url}{path}", s, 1, seconds))


def search(s, seconds: float) -> dict:
    body = {"experiment_ids": ["0"], "filter": "metrics.loss < 0.5", "order_by": ["metrics.loss DESC"], "max_results": 100}
    found = Caller(s.url).call("POST", f"{API}/runs/search", body)["runs"]
    losses = [run["data"]["metrics"][0]["value"] for run in found]
    assert len(losses) == 100 and losses == sorted(losses, reverse=True) and losses[0] < 0.5
    return sound(wrk(f"{s.url}{API}/runs/search", s, 1, seconds, "post.lua", [json.dumps(body)]))


def version_alias(s, seconds: float) -> dict:
    caller = Caller(s.url)
    run = caller.new_run()
    caller.call("POST", f"{API}/registered-models/create", {"name": "bench"})
    arguments = ["bench", f"mlflow-artifacts:/0/{run}/artifacts/model", run]
    return sound(wrk(f"{s.url}{API}/model-versions/create", s, 1, seconds, "version_alias.lua", arguments))


def forget_cached(*roots: pathlib.Path) -> None:
    """Makes the next read of these files come from the disk."""
    for root in roots:
        for file in [root] if root.is_file() else root.rglob("*"):
            with contextlib.suppress(OSError):
                if file.is_file():
                    fd = os.open(file, os.O_RDONLY)
                    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                    os.close(fd)


def disk_speed() -> tuple[float, float]:
    """MiB/s of writing (with its fsync) and reading one file in order, where the servers' folders lie."""
    path, piece = ROOT / "build" / f"disk.{os.getpid()}", os.urandom(PIECE)
    try:
        begun = time.monotonic()
        with path.open("wb", buffering=0) as file:
            for _ in range(ARTIFACT // PIECE):
                file.write(piece)
            os.fsync(file.fileno())
        wrote = time.monotonic() - begun
        forget_cached(path)
        begun = time.monotonic()
        with path.open("rb", buffering=0) as file:
            while file.read(PIECE):
                pass
        return (ARTIFACT >> 20) / wrote, (ARTIFACT >> 20) / (time.monotonic() - begun)
    finally:
        path.unlink(missing_ok=True)


def artifact_speed(s) -> tuple[float, float]:
    """MiB/s of an upload and a download through the proxied artifacts."""
    caller = Caller(s.url)
    path = f"/api/2.0/mlflow-artifacts/artifacts/0/{caller.new_run()}/artifacts/big-{time.monotonic_ns()}.bin"
    connection, piece = caller.connection, os.urandom(PIECE)
    begun = time.monotonic()
    connection.putrequest("PUT", path)
    connection.putheader("Content-Length", str(ARTIFACT))
    connection.endheaders()
    for i in range(ARTIFACT // PIECE):
        connection.sock.sendall(i.to_bytes(8) + piece[8:])
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
    up = time.monotonic() - begun
    forget_cached(s.folder)
    begun = time.monotonic()
    connection.request("GET", path)
    answer, size, buffer = connection.getresponse(), 0, bytearray(PIECE)
    while got := answer.readinto(buffer):
        size += got
    assert size == ARTIFACT, size
    return (ARTIFACT >> 20) / up, (ARTIFACT >> 20) / (time.monotonic() - begun)


def receiver_speed() -> float:
    """MiB/s into a program that receives the same bytes from the same client and writes them, with an fsync: the ceiling."""
    path = ROOT / "build" / f"received.{os.getpid()}"
    program = ("import os, socket, sys\n"
               "s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); c, _ = s.accept()\n"
               "f = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY); b = memoryview(bytearray(1 << 20))\n"
               "while n := c.recv_into(b): os.write(f, b[:n])\n"
               "os.fsync(f); c.sendall(b'x')")
    try:
        with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True) as receiver:
            piece = os.urandom(PIECE)
            with socket.create_connection(("127.0.0.1", int(receiver.stdout.readline()))) as connection:
                begun = time.monotonic()
                for i in range(ARTIFACT // PIECE):
                    connection.sendall(i.to_bytes(8) + piece[8:])
                connection.shutdown(socket.SHUT_WR)
                assert connection.recv(1) == b"x"
                return (ARTIFACT >> 20) / (time.monotonic() - begun)
    finally:
        path.unlink(missing_ok=True)


def artifacts(s) -> tuple[float, ...]:
    """Upload, download, the disk's own speed both ways and the bare receiver's, in turn: the medians of three."""
    speeds = [(*artifact_speed(s), *disk_speed(), receiver_speed()) for _ in range(3)]
    return tuple(statistics.median(column) for column in zip(*speeds))


def searched(engine: "Engine", start, fill, seconds: float) -> dict:
    """Search over 100,000 runs: the database is filled while no server runs on it."""
    with start(engine) as (s, place):
        s.stop()
        fill(place, RUNS)
        again = s.again()
        try:
            return search(again, seconds)
        finally:
            again.stop()


class Engine:
    """Where both servers keep their rows: SQLite, or a cluster that gives each a database of its own."""

    def __init__(self, cluster: Postgres | None):
        self.cluster, self.name = cluster, "PostgreSQL" if cluster else "SQLite"

    @contextlib.contextmanager
    def ours(self):
        database = self.cluster.database() if self.cluster else ""
        with server(*(["--store", self.cluster.url_of(database)] if self.cluster else [])) as s:
            yield s, (self.cluster, database) if self.cluster else s.folder / "lathe.db"

    @contextlib.contextmanager
    def theirs(self):
        database = self.cluster.database() if self.cluster else ""
        with peer(self.cluster.url_of(database) if self.cluster else "") as s:
            yield s, (self.cluster, database) if self.cluster else s.folder / "mlflow.db"


def rate(got: dict) -> str:
    return f"{got['rps']:,.1f}/s, median {got['median_ms']:,.2f} ms, {got['cpu_us'] / 1e3:,.3f} ms CPU"


class Comparison:
    """Lines of ours against theirs. Ours are measured first, by themselves; a line is told once theirs is measured."""

    def __init__(self, report, held):
        self.report, self.held, self.ours = report, held, {}

    def against(self, name: str, what: str, theirs: dict, faster: float = 0, cpu: float = 0) -> None:
        ours, verdict = self.ours[name], []
        if faster:
            verdict.append(self.held(ours["rps"] / theirs["rps"], faster, False, "×"))
        if cpu:
            verdict.append("CPU 1/" + self.held(theirs["cpu_us"] / ours["cpu_us"], cpu, False))
        self.report(what, rate(ours), f"mlflow server: {rate(theirs)}", "; ".join(verdict))

    def less(self, name: str, what: str, theirs: float, unit: str, times: float) -> None:
        ours = self.ours[name]
        self.report(what, f"{ours:,.1f} {unit}", f"mlflow server: {theirs:,.0f} {unit}", "1/" + self.held(theirs / ours, times, False))


# name, what it is, how it is measured, how many times faster it must be, which part of the CPU it may take
WORK = [
    ("create_run", "create_run, 16 connections", create_run, 30, 100),
    ("batch_10", "log-batch of 10, 16 connections", lambda s, t: log_batch(s, 10, 16, t), 50, 0),
    ("batch_10_alone", "log-batch of 10, 1 connection", lambda s, t: log_batch(s, 10, 1, t), 0, 50),
    ("batch_500", "log-batch of 500, 16 connections", lambda s, t: log_batch(s, 500, 16, t), 50, 0),
    ("batch_500_alone", "log-batch of 500, 1 connection", lambda s, t: log_batch(s, 500, 1, t), 0, 50),
    ("history", "get-history of 10,000 points", get_history, 50, 0),
    ("version", "model version, then alias", version_alias, 20, 0),
]


def compare(report, held) -> None:
    compare_on(Engine(None), report, held)


def compare_on_postgres(report, held) -> None:
    with postgres() as cluster:
        compare_on(Engine(cluster), report, held)


def compare_on(engine: Engine, report, held) -> None:
    report(f"both on {engine.name}", "", "", "")
    seconds = float(os.environ.get("LATHE_BENCH_SECONDS", "5"))
    lines = Comparison(report, held)
    with engine.ours() as (s, _):
        time.sleep(2)
        lines.ours |= {"start": s.first_answer_ms, "memory": s.pss_mb()}
        for name, _, measure, *_ in WORK:
            lines.ours[name] = measure(s, seconds)
        up, down, write, read, bare = artifacts(s)
        report("artifact of 256 MiB, upload", f"{up:,.0f} MiB/s", f"disk: {write:,.0f} MiB/s; a bare receiver: {bare:,.0f} MiB/s",
               held(up / write, 0.7, False, "×"))
        report("artifact of 256 MiB, download", f"{down:,.0f} MiB/s", f"disk: {read:,.0f} MiB/s", held(down / read, 0.7, False, "×"))
    lines.ours["search"] = searched(engine, Engine.ours, search_fill.fill_lathe, seconds)
    report(f"search over {RUNS:,} runs: median", f"{lines.ours['search']['median_ms']:.2f} ms", "",
           held(lines.ours["search"]["median_ms"], 10, True, " ms"))
    with engine.theirs() as (s, _):
        time.sleep(2)
        lines.less("start", "start", s.first_answer_ms, "ms", 30)
        lines.less("memory", "memory when idle (PSS)", s.pss_mb(), "MB", 30)
        for name, what, measure, faster, cpu in WORK:
            lines.against(name, what, measure(s, PEER_SECONDS), faster, cpu)
        report("artifact of 256 MiB, both ways", f"{up:,.0f}, {down:,.0f} MiB/s", "mlflow server: {:,.0f}, {:,.0f} MiB/s".format(*artifact_speed(s)), "")
    lines.against("search", f"search over {RUNS:,} runs", searched(engine, Engine.theirs, search_fill.fill_mlflow, PEER_SECONDS), 100)

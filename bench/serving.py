"""One-row inference against the servers people have, and what serving must not cost: `./dev bench serving`.

The load generator and one server at a time share the machine's cores. Lathe runs with one I/O thread and capture at its
default. On a busy machine rates say little: then the CPU of a request is the verdict, and the line says so.
"""

import contextlib
import json
import os
import pathlib
import shutil
import tempfile
import time
import urllib.request

from harness import BUILD, ROOT, Process, load_average, wrk
from infer import ceiling, deploy, deployed, made_models
from serving_peers import OIP, PEERS, free_ports, peer, wait_answer

SECONDS = float(os.environ.get("LATHE_BENCH_SECONDS", "3"))
PEER_SECONDS = max(SECONDS, 10)  # on a busy machine they answer a few requests a second
BUSY = 2.0  # load average of the machine before anything was started
MODELS = 200
RELOADS = 1000
TENSOR = 1 << 20


def sound(got: dict) -> dict:
    assert got["rps"] and not got["errors"], got
    return got


def row(url: str, process: Process, connections: int, body: str = OIP, seconds: float = SECONDS) -> dict:
    return sound(wrk(url, process, connections, seconds, "post.lua", [body]))


def in_turn(*measures, rounds: int = 3) -> list[dict]:
    """Each measured `rounds` times, in turn, so that the machine's drift meets all of them: the medians."""
    taken = [[measure() for measure in measures] for _ in range(rounds)]
    return [{key: sorted(got[key] for got in column)[rounds // 2] for key in column[0]} for column in zip(*taken)]


def told(got: dict) -> str:
    return f"{got['rps']:,.0f}/s, {got['cpu_us']:,.1f} µs CPU, p50 {got['median_ms']:,.3f} ms"


class Verdicts:
    def __init__(self, held):
        self.held, self.busy = held, float(load_average()) > BUSY

    def share(self, ours: dict, theirs: dict, bar: float) -> str:
        """Of a ceiling, or of a peer's speed many times over."""
        rate, cpu = ours["rps"] / theirs["rps"], theirs["cpu_us"] / ours["cpu_us"]
        if not bar:
            return f"rate {rate:.3g}×; CPU {cpu:.3g}×"
        first, other = (f"CPU {self.held(cpu, bar, False, '×')}", f"rate {rate:.3g}×") if self.busy else (
            f"rate {self.held(rate, bar, False, '×')}", f"CPU {cpu:.3g}×")
        return f"{first}; {other}"


def against_ceiling(report, held, verdicts) -> None:
    with ceiling() as (bare, bare_url), deployed("--threads", "1") as (s, url):
        row(url, s, 64), row(bare_url, bare, 64)
        theirs, ours = in_turn(lambda: row(bare_url, bare, 64), lambda: row(url, s, 64))
        report("one row, 64 connections", told(ours), f"bare epoll + ORT: {told(theirs)}", verdicts.share(ours, theirs, 0.8))
        theirs, ours = in_turn(lambda: row(bare_url, bare, 1), lambda: row(url, s, 1))
        report("one row, 1 connection", told(ours), f"bare epoll + ORT: {told(theirs)}",
               "p50 " + held(ours["median_ms"] / theirs["median_ms"], 1.3, True, "×") + f"; CPU {ours['cpu_us'] / theirs['cpu_us']:.2f}×")


def against_peers(report, held, verdicts) -> None:
    with deployed("--threads", "1") as (s, url):
        wait_answer(s, url, OIP)
        ours = {n: row(url, s, n) for n in (64, 1)}
        report("start to the first prediction", f"{s.first_answer_ms:,.0f} ms", "", "")
        start, memory = s.first_answer_ms, s.pss_mb()
        report("memory after it (PSS)", f"{memory:,.1f} MB", "", "")
    for name, (launch, bar) in PEERS.items():
        with peer(launch, made_models() / "iris/model.onnx") as p:
            wrk(p.url, p, 64, SECONDS, "post.lua", [p.body])
            for n, times in ((64, bar), (1, 0)):
                theirs = row(p.url, p, n, p.body, PEER_SECONDS)
                report(f"one row, {n} connection{'s' * (n > 1)}", told(ours[n]), f"{name}: {told(theirs)}", verdicts.share(ours[n], theirs, times))
            report("start; memory (PSS)", f"{start:,.0f} ms; {memory:,.1f} MB", f"{name}: {p.first_answer_ms:,.0f} ms; {p.pss_mb():,.0f} MB",
                   f"1/{p.first_answer_ms / start:.0f}; 1/{p.pss_mb() / memory:.1f}")


@contextlib.contextmanager
def repository(models: dict[str, str], *options: str, first: str):
    """`lathe serve` on a repository in Triton's layout."""
    with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="bench-") as home:
        for name, source in models.items():
            shutil.copytree(made_models() / source, pathlib.Path(home) / name / "1")
        [port] = free_ports(1)
        process = Process(BUILD / "lathe", "serve", "--model-repository", home, "--http-port", port, "--grpc-port", free_ports(1)[0],
                          "--metrics-port", free_ports(1)[0], *options)
        process.url = f"http://127.0.0.1:{port}"
        try:
            wait_answer(process, f"{process.url}/v2/models/{first}/infer", OIP)
            yield process
        finally:
            process.stop()


def large_tensors(report, held, verdicts) -> None:
    ask = json.dumps({"parameters": {"binary_data_output": True},
                      "inputs": [{"name": "in", "shape": [1, TENSOR // 4], "datatype": "FP32", "parameters": {"binary_data_size": TENSOR}}]})
    [port] = free_ports(1)
    bare = Process(BUILD / "bin/copy_ceiling", port)
    try:
        wait_answer(bare, f"http://127.0.0.1:{port}/", OIP)
        with deployed("--threads", "1", model="echo_fp32") as (s, url):
            def measure(at, process):
                return lambda: sound(wrk(at, process, 8, SECONDS, "binary.lua", [ask, str(TENSOR // 4)]))
            theirs, ours = in_turn(measure(f"http://127.0.0.1:{port}/", bare), measure(url, s))
        report("binary tensor of 1 MiB there and back", told(ours), f"bare epoll, one copy: {told(theirs)}", verdicts.share(ours, theirs, 0.6))
    finally:
        bare.stop()


def many_models(report, held, _) -> None:
    with repository({f"iris_{i}": "iris_bare" for i in range(MODELS)}, first=f"iris_{MODELS - 1}") as s:
        def measure(count: int):
            return lambda: sound(wrk(s.url, s, 16, SECONDS, "models.lua", [str(count)]))
        measure(MODELS)()
        before = s.rss_mb()
        one, all_ = in_turn(measure(1), measure(MODELS))
        report(f"one row to each of {MODELS} models in turn", told(all_), f"to one of them: {told(one)}",
               held(all_["cpu_us"] - one["cpu_us"], 30, True, " µs CPU more"))
        report("memory over these requests", f"RSS {s.rss_mb():.1f} MB", f"before: {before:.1f} MB", held(s.rss_mb() / before, 1.02, True, "×"))


def reloads(report, held, _) -> None:
    """Flat: what 900 more reloads, each with a prediction, add after the first 100 is at most 2 %."""
    with repository({"iris": "iris_bare"}, "--model-control-mode", "explicit", "--load-model", "iris", first="iris") as s:
        def ask(path: str, body: str) -> None:
            request = urllib.request.Request(s.url + path, body.encode(), {"Content-Type": "application/json"})
            assert urllib.request.urlopen(request, timeout=60).status == 200

        begun = time.monotonic()
        for i in range(RELOADS):
            if i == RELOADS // 10:
                before = s.rss_mb()
            ask("/v2/repository/models/iris/load", "{}")
            ask("/v2/models/iris/infer", OIP)
        each = (time.monotonic() - begun) / RELOADS * 1e3
        report(f"{RELOADS:,} reloads of a model", f"RSS {s.rss_mb():.1f} MB, {each:.1f} ms each", f"after {RELOADS // 10}: {before:.1f} MB",
               held(s.rss_mb() / before, 1.02, True, "×"))


PARTS = {"ceiling": against_ceiling, "tensors": large_tensors, "models": many_models, "reloads": reloads, "peers": against_peers}


def compare(report, held) -> None:
    verdicts = Verdicts(held)
    for part in os.environ.get("LATHE_BENCH_PARTS", " ".join(PARTS)).split():
        PARTS[part](report, held, verdicts)

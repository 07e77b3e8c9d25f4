"""Ratios in one run: Lathe against a peer or the ceiling, on this machine, now. `./dev bench [NAME ...]`.

Absolute numbers of a shared machine mean little; the ratios, and the CPU of a request, are the verdict. Each line says
what was measured, against what, the ratio, and the bar it is held to.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

from harness import BUILD, certificate, fsyncs_per_second, h2load, load_average, server, wrk

lines: list[tuple[str, str, str, str]] = []


def report(what: str, measured: str, against: str, verdict: str) -> None:
    lines.append((what, measured, against, verdict))
    print(f"{what:34} {measured:44} {against:44} {verdict}", flush=True)


def held(value: float, bar: float, at_most: bool, unit: str = "") -> str:
    good = value <= bar if at_most else value >= bar
    return f"{value:.3g}{unit} ({'≤' if at_most else '≥'} {bar:g}{unit}) {'ok' if good else 'MISSED'}"


def start() -> None:
    """Start, idle memory."""
    with server() as s:
        time.sleep(1)
        report("start: first answer", f"{s.first_answer_ms:.0f} ms after exec, empty folder", "", held(s.first_answer_ms, 300, True, " ms"))
        report("idle memory", f"RSS {s.rss_mb():.1f} MB", "", held(s.rss_mb(), 40, True, " MB"))


def health() -> None:
    """GET /health at 64 connections."""
    with server() as s:
        wrk(f"{s.url}/health", s, 64, 1)
        got = wrk(f"{s.url}/health", s, 64)
        report("GET /health, 64 connections", f"{got['rps']:,.0f}/s, {got['cpu_us']:.1f} µs CPU, p99 {got['p99_ms']:.2f} ms",
               "", held(got["cpu_us"], 8, True, " µs"))


def create_run() -> None:
    """Durable runs/create at 1 and 64 connections against one fsync a request on the same disk."""
    with server() as s:
        url = f"{s.url}/api/2.0/mlflow/runs/create"
        wrk(url, s, 8, 1, "create_run.lua")
        one = wrk(url, s, 1, 4, "create_run.lua")
        floor = fsyncs_per_second()
        many = wrk(url, s, 64, 4, "create_run.lua")
        floor = (floor + fsyncs_per_second()) / 2
        assert not one["errors"] and not many["errors"], "create_run answered errors"
        report("create_run, durable, 1 connection", f"{one['rps']:,.0f}/s, median {one['median_ms']:.2f} ms",
               f"one fsync a request: {floor:,.0f}/s", f"{one['rps'] / floor:.2f}×")
        report("create_run, durable, 64 connections", f"{many['rps']:,.0f}/s, {many['cpu_us']:.0f} µs CPU, p99 {many['p99_ms']:.1f} ms",
               f"one fsync a request: {floor:,.0f}/s", f"{held(many['rps'] / floor, 8, False, '×')}; {held(many['cpu_us'], 60, True, ' µs')}")


def infer() -> None:
    """One-row inference, capture on, against a bare epoll + ONNX Runtime program; one I/O thread each."""
    from infer import ceiling, deployed

    with ceiling() as (bare, bare_url), deployed("--threads", "1") as (s, url):
        ours, theirs = [], []
        for _ in range(3):  # in turn, so that the machine's drift meets both
            theirs.append(wrk(bare_url, bare, 64, 3, "infer.lua"))
            ours.append(wrk(url, s, 64, 3, "infer.lua"))
        assert not any(r["errors"] for r in ours + theirs), "inference answered errors"
        cpu, floor = (sorted(r["cpu_us"] for r in rs)[1] for rs in (ours, theirs))
        rate, top = (sorted(r["rps"] for r in rs)[1] for rs in (ours, theirs))
        report("inference, 1 row, capture on", f"{rate:,.0f}/s, {cpu:.1f} µs CPU", f"bare epoll + ORT: {top:,.0f}/s, {floor:.1f} µs CPU",
               held(cpu / floor, 1 / 0.7, True, "×"))


def grpc() -> None:
    """ModelInfer of one row at 64 streams of one connection, capture on, against bare epoll + nghttp2 + protobuf + ORT."""
    from infer import GRPC, deployed, grpc_call, grpc_ceiling

    with tempfile.TemporaryDirectory() as folder:
        call = grpc_call(pathlib.Path(folder))
        with grpc_ceiling(call) as (bare, bare_url), deployed("--threads", "1") as (s, _):
            ours, theirs = [], []
            for _ in range(3):  # in turn, so that the machine's drift meets both
                theirs.append(h2load(bare_url, bare, 64, 100_000, call))
                ours.append(h2load(s.url + GRPC, s, 64, 100_000, call))
        assert not any(r["errors"] for r in ours + theirs), "a call failed"
        cpu, floor = (sorted(r["cpu_us"] for r in rs)[1] for rs in (ours, theirs))
        rate, top = (sorted(r["rps"] for r in rs)[1] for rs in (ours, theirs))
        report("gRPC ModelInfer, 1 row, 64 streams", f"{rate:,.0f}/s, {cpu:.1f} µs CPU", f"bare nghttp2 + ORT: {top:,.0f}/s, {floor:.1f} µs CPU",
               f"{held(rate, 40_000, False, '/s')}; {held(cpu / floor, 1 / 0.8, True, '×')}")


def python() -> None:
    """One row to a Python model in its worker at one connection: what it takes longer than a model in the server."""
    from infer import deployed, deployed_python

    with deployed("--threads", "1") as (onnx, onnx_url), deployed_python("--threads", "1") as (s, url, direct_us):
        ours, theirs = [], []
        for _ in range(3):  # in turn, so that the machine's drift meets both
            theirs.append(wrk(onnx_url, onnx, 1, 3, "infer.lua"))
            ours.append(wrk(url, s, 1, 3, "infer.lua"))
        assert not any(r["errors"] for r in ours + theirs), "inference answered errors"
        median, floor = (sorted(r["median_ms"] for r in rs)[1] * 1e3 for rs in (ours, theirs))
        over = median - floor - direct_us
        report("Python model, 1 row, 1 connection", f"median {median:.0f} µs, of which predict() {direct_us:.1f} µs",
               f"ONNX in the server: {floor:.0f} µs", held(over, 60, True, " µs over"))


def flow() -> None:
    """Task transitions through the real store; from the end of a local task to the start of the next."""
    out = json.loads(subprocess.run([BUILD / "bin/flow_bench", "--json"], capture_output=True, text=True, check=True, timeout=300).stdout)
    report("task transitions, real store", f"{out['transitions_per_second']:,.0f}/s", "", held(out["transitions_per_second"], 3000, False, "/s"))
    report("end of a task → start of the next", f"median {out['handover_median_ms']:.2f} ms, p99 {out['handover_p99_ms']:.1f} ms", "",
           held(out["handover_median_ms"], 10, True, " ms"))


def trees() -> None:
    """A row of 100 features through 200 boosted trees: Lathe's own walk against the libraries' calls for one row."""
    import os

    os.environ["OMP_NUM_THREADS"] = "1"
    import lightgbm
    import numpy as np
    import xgboost

    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 100)).astype(np.float32)
    y = (x[:, :5].sum(axis=1) + rng.normal(size=len(x)) > 0).astype(int)
    with tempfile.TemporaryDirectory() as home:
        folder = pathlib.Path(home)
        x[:512].astype(float).tofile(folder / "rows")
        booster = xgboost.train({"objective": "binary:logistic", "max_depth": 6, "nthread": 1}, xgboost.DMatrix(x, y), 200)
        (folder / "xgboost").mkdir()
        booster.save_model(folder / "xgboost" / "model.ubj")
        params = {"objective": "binary", "num_leaves": 31, "verbose": -1, "num_threads": 1}
        (folder / "lightgbm").mkdir()
        lightgbm.train(params, lightgbm.Dataset(x.astype(float), y), 200).save_model(folder / "lightgbm" / "model.txt")

        def ns(model: pathlib.Path, *how: str) -> float:
            command = [str(BUILD / "bin" / "trees_bench"), str(model), str(folder / "rows"), "100", *how]
            return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

        for library, file in ((xgboost, "model.ubj"), (lightgbm, "model.txt")):
            name = library.__name__
            shared = next(pathlib.Path(library.__file__).parent.glob("lib/*.so"))
            own, theirs = [], []
            for _ in range(3):  # in turn
                own.append(ns(folder / name, "20000"))
                theirs.append(ns(folder / name / file, name, str(shared)))
            report(f"one row, 200 trees, {name}", f"{min(own) / 1000:.2f} µs CPU", f"the library's call: {min(theirs) / 1000:.2f} µs CPU",
                   held(min(theirs) / min(own), 0.9, False, "×"))


def proxy() -> None:
    """A small request through the proxy to a trivial backend on a Unix socket, and the same in TLS."""
    def measured(*options: str) -> dict:
        with server("--threads", "1", *options) as s:
            s.call("POST", "/api/lathe/v1/lab", {"python": str(BUILD / "bin/proxy_backend"), "root": str(s.folder)})
            while s.call("GET", "/api/lathe/v1/lab")["state"] != "running":
                time.sleep(0.05)
            try:
                wrk(f"{s.url}/user/local/api", s, 64, 1)
                got = wrk(f"{s.url}/user/local/api", s, 64)
            finally:
                s.down()
            assert not got["errors"], "the proxy answered errors"
            return got

    got = measured()
    report("proxied GET, 64 connections", f"{got['rps']:,.0f}/s, {got['cpu_us']:.1f} µs CPU, p99 {got['p99_ms']:.2f} ms",
           "", held(got["cpu_us"], 30, True, " µs"))
    with certificate() as (cert, key):
        tls = measured("--tls-cert", cert, "--tls-key", key)
    report("the same over TLS 1.3", f"{tls['rps']:,.0f}/s, {tls['cpu_us']:.1f} µs CPU, p99 {tls['p99_ms']:.2f} ms",
           f"in the clear: {got['cpu_us']:.1f} µs", f"{tls['cpu_us'] / got['cpu_us']:.2f}×")


def tracking() -> None:
    """Tracking against the real mlflow server, which is installed at first use; minutes, so only when asked for."""
    from tracking import compare

    compare(report, held)


def serving() -> None:
    """Inference against the ceilings and the servers people have, which are installed at first use; minutes, so only when asked for."""
    from serving import compare

    compare(report, held)


def tracking_postgres() -> None:
    """The same with both on PostgreSQL."""
    from tracking import compare_on_postgres

    compare_on_postgres(report, held)


def history() -> None:
    """Ten million points of one metric; a minute, so only when asked for."""
    from history import measure

    measure(report, held)


def search() -> None:
    """Searches of a million runs; minutes, so only when asked for."""
    from search_scale import measure

    measure(report, held)


def overload() -> None:
    """Three times the load that can be answered; two minutes, so only when asked for."""
    from overload import measure

    measure(report, held)


def instructions() -> None:
    """Instructions a request against those recorded in README.md; under valgrind, so only when asked for."""
    from instructions import PATHS, recorded

    for name, count in PATHS.items():
        with tempfile.TemporaryDirectory(prefix="lathe-bench-") as out:
            got, known = count(pathlib.Path(out)), recorded()[name]
        report(f"instructions: {name}", f"{got:,.0f} a request", f"recorded: {known:,}", held(got / known, 1.02, True, "×"))


BENCHES = {"start": start, "health": health, "create_run": create_run, "infer": infer, "grpc": grpc, "python": python, "flow": flow, "trees": trees, "proxy": proxy}
ON_DEMAND = {"instructions": instructions, "tracking": tracking, "tracking_postgres": tracking_postgres, "serving": serving, "history": history,
             "search": search, "overload": overload}


def main() -> int:
    wanted = sys.argv[1:] or list(BENCHES)
    known = BENCHES | ON_DEMAND
    if unknown := [name for name in wanted if name not in known]:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    print(f"load average {load_average()} before")
    for name in wanted:
        known[name]()
    print(f"load average {load_average()} after")
    return 1 if any("MISSED" in verdict for *_, verdict in lines) else 0


if __name__ == "__main__":
    sys.exit(main())

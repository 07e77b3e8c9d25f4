"""Ratios in one run: Lathe against a peer or the ceiling, on this machine, now. `./dev bench [NAME ...]`.

Absolute numbers of a shared machine mean little; the ratios, and the CPU of a request, are the verdict. Each line says
what was measured, against what, the ratio, and the bar it is held to.
"""

import json
import subprocess
import sys
import time

from harness import BUILD, fsyncs_per_second, load_average, server, wrk

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


def flow() -> None:
    """Task transitions through the real store; from the end of a local task to the start of the next."""
    out = json.loads(subprocess.run([BUILD / "bin/flow_bench", "--json"], capture_output=True, text=True, check=True, timeout=300).stdout)
    report("task transitions, real store", f"{out['transitions_per_second']:,.0f}/s", "", held(out["transitions_per_second"], 3000, False, "/s"))
    report("end of a task → start of the next", f"median {out['handover_median_ms']:.2f} ms, p99 {out['handover_p99_ms']:.1f} ms", "",
           held(out["handover_median_ms"], 10, True, " ms"))


BENCHES = {"start": start, "health": health, "create_run": create_run, "infer": infer, "flow": flow}


def main() -> int:
    wanted = sys.argv[1:] or list(BENCHES)
    if unknown := [name for name in wanted if name not in BENCHES]:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    print(f"load average {load_average()} before")
    for name in wanted:
        BENCHES[name]()
    print(f"load average {load_average()} after")
    return 1 if any("MISSED" in verdict for *_, verdict in lines) else 0


if __name__ == "__main__":
    sys.exit(main())

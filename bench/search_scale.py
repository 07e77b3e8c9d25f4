"""Searches of one experiment with a million runs (LATHE_BENCH_SCALE names another number): what people and their clients
ask for, each many times over one connection, all of them in turn, while another connection logs. `./dev bench search`."""

import json
import os
import statistics
import time

import search_fill
from harness import server
from tracking import API, Caller

RUNS = int(os.environ.get("LATHE_BENCH_SCALE", "1000000"))
ROUNDS = int(os.environ.get("LATHE_BENCH_ROUNDS", "12"))

# name, filter, order_by; the middle of the list is far from both ends
SEARCHES = [
    ("newest runs", "", []),
    ("oldest runs", "", ["start_time ASC"]),
    ("metric filter and order", "metrics.loss < 0.5", ["metrics.loss DESC"]),
    ("best by a metric", "", ["metrics.loss ASC"]),
    ("few by a metric", "metrics.loss < 0.0001", []),
    ("metric band, newest first", "metrics.loss > 0.4 AND metrics.loss < 0.6", []),
    ("param of every third", "params.optimizer = 'adam'", []),
    ("tag of every fiftieth", "tags.team = 'team-7'", []),
    ("tag of every fiftieth, best first", "tags.team = 'team-7'", ["metrics.loss ASC"]),
    ("param and tag", "params.optimizer = 'sgd' AND tags.team = 'team-7'", ["metrics.loss ASC"]),
    ("param and tag that never meet", "params.optimizer = 'adam' AND params.optimizer = 'sgd'", []),
    ("one run by its name", "attributes.run_name = 'run-{middle}'", []),
    ("name that begins so", "attributes.run_name LIKE 'run-{middle}%'", []),
    ("name that holds", "attributes.run_name LIKE '%{middle}%'", []),
    ("status and time", "attributes.status = 'FINISHED' AND attributes.start_time > {half_ms}", []),
    ("failed ones, of which there are none", "attributes.status = 'FAILED'", []),
    ("order by end time", "", ["attributes.end_time DESC"]),
    ("order by name", "", ["attributes.run_name ASC"]),
    ("order by a param", "", ["params.optimizer ASC"]),
    ("order by a tag, then a metric", "", ["tags.team ASC", "metrics.loss DESC"]),
    ("order by the least ever", "", ["min(metrics.loss) ASC"]),
    ("this or that", "tags.team = 'team-7' OR metrics.loss < 0.0001", ["metrics.loss ASC"]),
    ("not", "NOT params.optimizer = 'adam'", ["metrics.loss ASC"]),
]


def bodies() -> list[tuple[str, dict]]:
    words = {"middle": RUNS // 2, "half_ms": search_fill.START_MS + RUNS // 2}
    return [(name, {"experiment_ids": ["0"], "filter": text.format(**words), "order_by": order, "max_results": 100})
            for name, text, order in SEARCHES]


def ask_all(s, report) -> list[float]:
    caller, logger, everything = Caller(s.url), Caller(s.url), []
    run = logger.new_run()
    for name, body in bodies():
        times, found, cpu = [], 0, 0.0
        for step in range(ROUNDS):
            point = {"key": "loss", "value": 2.0, "timestamp": 1, "step": step}  # so that no answer is an old one
            logger.call("POST", f"{API}/runs/log-batch", {"run_id": run, "metrics": [point]})
            if step == 1:
                cpu = s.cpu_seconds()
            begun = time.monotonic()
            found = len(caller.call("POST", f"{API}/runs/search", body).get("runs", []))
            times.append((time.monotonic() - begun) * 1e3)
        cpu = (s.cpu_seconds() - cpu) / (ROUNDS - 1) * 1e3
        everything += times[1:]  # the first may read the experiment, or pages of the disk
        report(name, f"{found} runs, median {statistics.median(times[1:]):.1f} ms, {cpu:.1f} ms CPU",
               f"first {times[0]:.1f} ms, worst {max(times[1:]):.1f} ms", "")
    return everything


def measure(report, held) -> None:
    with server() as s:
        s.stop()
        begun = time.monotonic()
        search_fill.fill_lathe(s.folder / "lathe.db", RUNS)
        report("filling", f"{RUNS:,} runs in {time.monotonic() - begun:.0f} s", "", "")
        again = s.again()
        try:
            everything = ask_all(again, report)
            report("memory afterwards (PSS)", f"{again.pss_mb():.0f} MB", "", "")
        finally:
            again.stop()
        p99 = sorted(everything)[int(len(everything) * 0.99)]
        report(f"{len(everything)} searches of {RUNS:,} runs", f"p99 {p99:.1f} ms", f"median {statistics.median(everything):.1f} ms",
               held(p99, 50, True, " ms"))

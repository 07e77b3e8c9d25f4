"""A history of ten million points: what it takes on disk, and how soon its curve is there. `./dev bench history`."""

import os
import pathlib
import subprocess
import time

from harness import ROOT, server
from tracking import API, Caller

POINTS = 10_000_000


def disk_bytes(folder: pathlib.Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("lathe.db*") if not file.name.endswith(".lock"))


def fill(s, run: str, points: int) -> float:
    """Logs them in batches of 1,000 over one connection; seconds it took."""
    begun = time.monotonic()
    caller = Caller(s.url)
    words = ["wrk", "-t1", "-c1", "--timeout", "60s", "-s", str(ROOT / "bench/points.lua"), f"{s.url}{API}/runs/log-batch", "--", run]
    client = subprocess.Popen([*words[:1], "-d36000s", *words[1:]], stdout=subprocess.DEVNULL)
    try:
        while True:
            time.sleep(1)
            latest = caller.call("GET", f"{API}/runs/get?run_id={run}")["run"]["data"].get("metrics", [])
            if latest and latest[0]["step"] >= points:
                return (time.monotonic() - begun) * points / latest[0]["step"]
            if client.poll() is not None:
                raise SystemExit("wrk ended")
    finally:
        client.kill()
        client.wait()


def fastest_ms(caller: Caller, path: str) -> tuple[float, dict]:
    """The least of seven: what the work takes when nothing else runs on the machine."""
    times = []
    for _ in range(7):
        begun = time.monotonic()
        answer = caller.call("GET", path)
        times.append((time.monotonic() - begun) * 1e3)
    return min(times), answer


def measure(report, held) -> None:
    points = int(os.environ.get("LATHE_BENCH_POINTS", POINTS))
    with server() as s:
        caller = Caller(s.url)
        run = caller.new_run()
        before = disk_bytes(s.folder)
        took = fill(s, run, points)
        caller = Caller(s.url)  # the first one was idle for too long
        stored = caller.call("GET", f"{API}/runs/get?run_id={run}")["run"]["data"]["metrics"][0]["step"]
        report("logging in batches of 1,000", f"{stored / took:,.0f} points/s over one connection", "", "")
        for smooth in ("0", "0.9"):
            ms, got = fastest_ms(caller, f"/api/lathe/v1/pages/runs/curves?run={run}&key=loss&pixels=800&smooth={smooth}")
            curve = got["curves"][0]
            assert curve["total"] >= points and len(curve["step"]) <= 1600, curve["total"]
            report(f"curve of {curve['total']:,} points" + (", smoothed" if smooth != "0" else ""), f"{ms:.0f} ms", "",
                   held(ms, 100, True, " ms") if smooth == "0" else "")
        ms, got = fastest_ms(caller, f"/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids={run}&metric_key=loss&max_results=320")
        report("the same by get-history-bulk-interval", f"{ms:.0f} ms, {len(got['metrics'])} points", "", "")
        s.stop()  # the log goes into the file
        bytes_each = (disk_bytes(s.folder) - before) / stored
        report("on disk, everything", f"{bytes_each:.1f} bytes a point", "", held(bytes_each, 16, True, " bytes"))

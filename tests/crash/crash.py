"""kill -9 under load, against a journal of what was acknowledged.

Writers, an uploader, pipelines and promotions run against one server, which is killed at random moments and started
again on the same folder. After every restart:
  - everything acknowledged is there: runs, tags, every metric point (once), every uploaded byte;
  - traces keep their spans, infos and assessments; a moved, copied or removed run is whole, in one place, or gone;
  - a stage never ran twice at once, and every accepted pipeline run comes to its end;
  - a promotion is whole or absent: alias, live revision and what the endpoint answers with are one version.
At the end `lathe fsck` reads every byte.

kill -9 proves that nothing is half done and that answers wait for the commit; it cannot prove an fsync (the kernel
keeps written pages). For that, run with --powercut as root: the store then lives on a loop device whose image is copied
at the moment of the cut, so that only what was synced is found.
"""

import argparse
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree as ET

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from powercut import PowerCut  # noqa: E402
from server import Server  # noqa: E402
from workloads import Acts, Artifacts, Pipelines, Promotions, Traces, Tracking  # noqa: E402


def run(args) -> list[str]:
    rng = random.Random(args.seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lathe-crash-"))
    cut = PowerCut(folder) if args.powercut else None
    server = Server(args.binary, (cut.live if cut else folder) / "state")
    problems: list[str] = []
    try:
        server.start()
        workloads = [Tracking(server, rng), Tracking(server, rng), Artifacts(server, rng), Traces(server, rng), Acts(server, rng),
                     Pipelines(server, rng, folder), Promotions(server, rng, folder)]
        for workload in workloads:
            workload.prepare()
        for kill in range(1, args.kills + 1):
            for workload in workloads:
                workload.start()
            time.sleep(rng.uniform(0.1, args.longest))
            if cut:
                server.pause()
                live = cut.take(f"cut{kill}")
                server.kill_all()
                server.state = live / "state"
            else:
                server.kill()
            for workload in workloads:
                workload.stop()
            server.start()
            for workload in workloads:
                problems += [f"after kill {kill}: {p}" for p in workload.verify()]
            counts = ", ".join(f"{w.name} {w.acknowledged}" for w in workloads)
            print(f"kill {kill:3}: {counts}: {problems[-1] if problems else 'ok'}", flush=True)
            if problems:
                break
        if not problems:
            for workload in workloads:
                problems += workload.settle()
            server.stop()
            problems += server.fsck()
    finally:
        server.kill_all()
        if cut:
            cut.end()
        if args.keep:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return problems


def write_junit(path: str, problems: list[str], seconds: float) -> None:
    suite = ET.Element("testsuite", name="crash", tests="1", failures=str(int(bool(problems))))
    case = ET.SubElement(suite, "testcase", classname="crash", name="kill-9-under-load", time=f"{seconds:.1f}")
    if problems:
        ET.SubElement(case, "failure", message=problems[0]).text = "\n".join(problems)
    ET.ElementTree(suite).write(path)


def main() -> int:
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--longest", type=float, default=1.5, help="seconds of load before a kill, at most")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--binary", default=os.environ.get("LATHE_BINARY", str(root / "build/release/lathe")))
    parser.add_argument("--powercut", action="store_true", help="cut the power of a loop device instead (needs root)")
    parser.add_argument("--junit", help="also write the outcome here")
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    start = time.monotonic()
    print(f"seed {args.seed}", flush=True)
    try:
        problems = run(args)
    except Exception as error:  # a server that does not come back, a set-up that fails: a problem, and a report of it
        traceback.print_exc()
        problems = [f"{type(error).__name__}: {error}"]
    if args.junit:
        write_junit(args.junit, problems, time.monotonic() - start)
    for problem in problems:
        print(f"PROBLEM {problem}")
    print(f"{args.kills} kills in {time.monotonic() - start:.0f} s: {'FAILED' if problems else 'ok'}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

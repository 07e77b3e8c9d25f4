"""Runs the fuzz targets of build/asan/fuzz, two at a time, from the kept corpus; see tests/fuzz/README.md."""

import argparse
import concurrent.futures
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parents[1]
KEPT = ROOT / "tests/fuzz/corpus"
GROWN = ROOT / "build/fuzz/corpus"  # what longer runs learn
CRASHES = ROOT / "build/fuzz/crashes"
MAX_BYTES = 4000  # of one input
INPUT_SECONDS = 10  # one input that takes longer is a finding
MEMORY_MB = 2048
LINES_OF_A_FINDING = 60


def command(binary: pathlib.Path, *options: str) -> list[str]:
    return [str(binary), f"-max_len={MAX_BYTES}", f"-timeout={INPUT_SECONDS}", f"-rss_limit_mb={MEMORY_MB}",
            f"-artifact_prefix={CRASHES}/{binary.name}-", "-close_fd_mask=1", *options]


def run(binary: pathlib.Path, seconds: int) -> tuple[str, float, str, bool]:
    """One target: its name, seconds, the log's end and whether it found nothing."""
    grown = GROWN / binary.name
    grown.mkdir(parents=True, exist_ok=True)
    kept = KEPT / binary.name
    began = time.monotonic()
    done = subprocess.run(
        command(binary, f"-max_total_time={seconds}", "-print_final_stats=1", str(grown), *([str(kept)] if kept.is_dir() else [])),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
        timeout=seconds + 300,
    )
    return binary.name, time.monotonic() - began, done.stderr, done.returncode == 0


def summary(log: str) -> str:
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", log)
    covered = re.findall(r" cov: (\d+)", log)
    return f"{int(runs[1]) if runs else 0:>9,} inputs, {covered[-1] if covered else '?'} edges"


def finding(log: str) -> str:
    lines = log.splitlines()
    start = next((i for i, line in enumerate(lines) if "ERROR" in line or "runtime error" in line or "broken promise" in line), 0)
    saved = [line for line in lines if "Test unit written" in line]
    return "\n".join(lines[start:start + LINES_OF_A_FINDING] + saved)


def merge(binary: pathlib.Path) -> None:
    """The smallest set of inputs that covers what kept and grown corpora cover, with everything that is kept by name."""
    new = ROOT / "build/fuzz/merged" / binary.name
    if new.exists():
        for file in new.iterdir():
            file.unlink()
    new.mkdir(parents=True, exist_ok=True)
    kept = KEPT / binary.name
    kept.mkdir(parents=True, exist_ok=True)
    sources = [str(kept), str(GROWN / binary.name)]
    (GROWN / binary.name).mkdir(parents=True, exist_ok=True)
    subprocess.run(command(binary, "-set_cover_merge=1", str(new), *sources), check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for file in kept.iterdir():
        if not file.name.startswith(("seed-", "once-")):  # what people wrote, and what once broke it, stays
            file.unlink()
    named = {file.read_bytes() for file in kept.iterdir()}
    for file in new.iterdir():
        if file.read_bytes() not in named:
            (kept / file.name[:12]).write_bytes(file.read_bytes())
    print(f"{binary.name:10} {sum(1 for _ in kept.iterdir())} inputs kept")


def report(path: pathlib.Path, results: list[tuple[str, float, str, bool]]) -> None:
    suite = ET.Element("testsuite", name="fuzz")
    for name, seconds, log, good in results:
        case = ET.SubElement(suite, "testcase", classname="fuzz", name=name, time=f"{seconds:.1f}")
        if not good:
            text = "".join(c for c in finding(log) if c in "\t\n" or 32 <= ord(c) < 0xD800)
            ET.SubElement(case, "failure", message="a finding").text = text
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(suite).write(path, encoding="unicode", xml_declaration=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="targets (default: all)")
    parser.add_argument("--seconds", type=int, default=10, help="for each target [10]")
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time [2]")
    parser.add_argument("--merge", action="store_true", help="keep the smallest set of what was learnt in tests/fuzz/corpus")
    parser.add_argument("--junit", type=pathlib.Path, help="file of the results for machines")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/asan", help="where the targets were built")
    options = parser.parse_args()
    found = {path.stem: options.build / "fuzz" / path.stem for path in sorted((ROOT / "tests/fuzz").glob("*.cc"))}
    for name in options.names:
        if name not in found:
            parser.error(f"no target '{name}'; there are {', '.join(found)}")
    chosen = [found[name] for name in options.names] or list(found.values())
    CRASHES.mkdir(parents=True, exist_ok=True)
    if options.merge:
        for binary in chosen:
            merge(binary)
        return 0
    results = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for future in [pool.submit(run, binary, options.seconds) for binary in chosen]:
            name, seconds, log, good = future.result()
            results.append((name, seconds, log, good))
            print(f"{name:10} {summary(log)} in {seconds:.0f} s" if good else f"{name:10} A FINDING\n{finding(log)}", flush=True)
    if options.junit:
        report(options.junit, results)
    bad = sum(not good for *_, good in results)
    print(f"{len(results) - bad} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

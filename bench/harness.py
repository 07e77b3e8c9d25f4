"""What the benchmarks share: a server on a fresh folder, wrk, CPU and memory of a process, and the disk's own pace."""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build/release"
TICK = os.sysconf("SC_CLK_TCK")


class Process:
    """A started program with its CPU seconds and resident memory."""

    def __init__(self, *argv, env=None):
        self.started = time.monotonic()
        self.popen = subprocess.Popen([str(a) for a in argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                      env={**os.environ, **(env or {})}, start_new_session=True)

    def cpu_seconds(self) -> float:
        fields = pathlib.Path(f"/proc/{self.popen.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def rss_mb(self) -> float:
        status = pathlib.Path(f"/proc/{self.popen.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024

    def stop(self) -> None:
        self.popen.terminate()
        try:
            self.popen.wait(15)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


class Server(Process):
    """`lathe up` on a fresh folder; `first_answer_ms` counts from exec to the first /health."""

    def __init__(self, folder: pathlib.Path, *options: str):
        self.folder = folder
        super().__init__(BUILD / "lathe", "up", "--dir", folder, "--listen", "127.0.0.1:0", *options)
        address = folder / "address"
        while True:
            if self.popen.poll() is not None:
                raise SystemExit(f"the server ended with {self.popen.returncode}")
            with contextlib.suppress(OSError):
                if text := address.read_text().strip():
                    self.url = text if text.startswith("http") else f"http://{text}"
                    if urllib.request.urlopen(f"{self.url}/health", timeout=5).read() == b"OK":
                        break
            time.sleep(0.001)
        self.first_answer_ms = (time.monotonic() - self.started) * 1e3

    def call(self, method: str, path: str, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        return json.load(urllib.request.urlopen(request, timeout=60))


@contextlib.contextmanager
def server(*options: str):
    # On the project's disk, not in a tmpfs: durable writes must meet a real fsync.
    with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="bench-") as folder:
        made = Server(pathlib.Path(folder) / "state", *options)
        try:
            yield made
        finally:
            made.stop()


def wrk(url: str, process: Process, connections: int, seconds: float = 4, script: str = "") -> dict:
    """One wrk thread. Answers requests/s, the server's CPU µs a request, median and 99th percentile in ms, errors."""
    before = process.cpu_seconds()
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency"]
    out = subprocess.run(words + (["-s", str(ROOT / "bench" / script)] if script else []) + [url],
                         capture_output=True, text=True, check=True).stdout
    cpu = process.cpu_seconds() - before
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    unit = {"us": 1e-3, "ms": 1.0, "s": 1e3}

    def latency(percent: str) -> float:
        value, of = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)", out).groups()
        return float(value) * unit[of]

    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    return {"rps": float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)), "cpu_us": cpu * 1e6 / max(requests, 1),
            "median_ms": latency("50"), "p99_ms": latency("99"), "errors": int(bad.group(1)) if bad else 0}


def fsyncs_per_second(seconds: float = 2) -> float:
    """One 4 KiB append and fdatasync after the other, on the disk where the server's folder lies."""
    path = ROOT / "build" / f"fsync.{os.getpid()}"
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        count, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            os.write(file, b"x" * 4096)
            os.fdatasync(file)
            count += 1
        return count / seconds
    finally:
        os.close(file)
        path.unlink()


def load_average() -> str:
    return pathlib.Path("/proc/loadavg").read_text().split()[0]

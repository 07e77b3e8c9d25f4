"""What the benchmarks share: a server on a fresh folder, wrk, CPU and memory of a process, and the disk's own pace."""

import contextlib
import json
import os
import pathlib
import re
import ssl
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build/release"
TICK = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    parents: dict[int, list[int]] = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rsplit(")", 1)[1].split()
            parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


class Process:
    """A started program with the CPU seconds of all its processes, and its memory."""

    def __init__(self, *argv, env=None):
        self.started = time.monotonic()
        self.popen = subprocess.Popen([str(a) for a in argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                      env={**os.environ, **(env or {})}, start_new_session=True)

    def cpu_seconds(self) -> float:
        ticks = 0
        for pid in family(self.popen.pid):
            with contextlib.suppress(OSError):
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                ticks += sum(map(int, fields[11:15]))  # with those of children that ended
        return ticks / TICK

    def pss_mb(self) -> float:
        kib = 0
        for pid in family(self.popen.pid):
            with contextlib.suppress(OSError):
                kib += int(re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M).group(1))
        return kib / 1024

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

    def __init__(self, folder: pathlib.Path, *options: str, under: tuple[str, ...] = ()):
        binary = BUILD / "lathe"
        if under:  # valgrind does not read this compiler's debug information; the symbols suffice
            binary = folder.parent / "lathe"
            subprocess.run(["objcopy", "--strip-debug", BUILD / "lathe", binary], check=True)
        self.folder, self.options = folder, options
        super().__init__(*under, binary, "up", "--dir", folder, "--listen", "127.0.0.1:0", *options)
        address = folder / "address"
        while True:
            if self.popen.poll() is not None:
                raise SystemExit(f"the server ended with {self.popen.returncode}")
            with contextlib.suppress(OSError):
                if text := address.read_text().strip():
                    self.url = text if text.startswith("http") else f"http://{text}"
                    if urllib.request.urlopen(f"{self.url}/health", timeout=5, context=self.trust()).read() == b"OK":
                        break
            time.sleep(0.001)
        self.first_answer_ms = (time.monotonic() - self.started) * 1e3

    def again(self) -> "Server":
        """Another one on the same folder, once this one has ended."""
        return Server(self.folder, *self.options)

    def trust(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=self.folder / "ca.pem") if self.url.startswith("https") else None

    def down(self) -> None:
        """Ends what it started, too."""
        subprocess.run([BUILD / "lathe", "down", "--dir", self.folder], check=True, capture_output=True, timeout=60)

    def call(self, method: str, path: str, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        return json.load(urllib.request.urlopen(request, timeout=60, context=self.trust()))


@contextlib.contextmanager
def server(*options: str, under: tuple[str, ...] = ()):
    # On the project's disk, not in a tmpfs: durable writes must meet a real fsync.
    with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="bench-") as folder:
        made = Server(pathlib.Path(folder) / "state", *options, under=under)
        try:
            yield made
        finally:
            made.stop()


@contextlib.contextmanager
def certificate():
    """A self-made certificate for this machine, and its key."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        cert, key = pathlib.Path(folder) / "cert.pem", pathlib.Path(folder) / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=bench", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
                       check=True, capture_output=True)
        yield cert, key


def wrk(url: str, process: Process, connections: int, seconds: float = 4, script: str = "", arguments: list[str] = []) -> dict:
    """One wrk thread. Answers requests/s, the server's CPU µs a request, median and 99th percentile in ms, errors."""
    before = process.cpu_seconds()
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency"]
    words += ["--timeout", "60s"] + (["-s", str(ROOT / "bench" / script)] if script else []) + [url] + (["--", *arguments] if arguments else [])
    out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    cpu = process.cpu_seconds() - before
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    unit = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}

    def latency(percent: str) -> float:
        value, of = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s|m)", out).groups()
        return float(value) * unit[of]

    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    return {"rps": float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)), "cpu_us": cpu * 1e6 / max(requests, 1),
            "median_ms": latency("50"), "p99_ms": latency("99"), "errors": int(bad.group(1)) if bad else 0}


def h2load(url: str, process: Process, streams: int, calls: int, body: pathlib.Path) -> dict:
    """gRPC calls over one connection. Answers calls/s, the server's CPU µs a call, median latency in ms, errors."""
    before = process.cpu_seconds()
    out = subprocess.run(["h2load", "-t1", "-c1", f"-m{streams}", f"-n{calls}", "-d", body, "-H", "content-type: application/grpc",
                          "-H", "te: trailers", url], capture_output=True, text=True, check=True).stdout
    cpu = process.cpu_seconds() - before
    good = int(re.search(r"status codes: (\d+) 2xx", out).group(1))
    mean, of = re.search(r"time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)", out).groups()
    return {"rps": float(re.search(r"([\d.]+) req/s", out).group(1)), "cpu_us": cpu * 1e6 / calls,
            "mean_ms": float(mean) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[of], "errors": calls - good}


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

"""Instructions of one request on the hot paths, counted by callgrind: a busy machine counts the same as a quiet one.
Those of the kernel are not among them, and where a request is one thread's work, not those of the other threads: they go
by the clock (the capture's writer wakes so and so often), and a busy machine gives them more time for each request.

`./dev bench instructions` compares with the figures recorded in README.md. To see where they go:
`.venv/bin/python bench/instructions.py NAME`, then callgrind_annotate of the largest file in the folder it names.
"""

import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
from urllib.parse import urlsplit

from harness import ROOT, Server, h2load, server

JSON = "Content-Type: application/json"


def lua(script: str, key: str) -> str:
    """What a wrk script sends, so that both measure the same request."""
    text = (ROOT / "bench" / script).read_text()
    return "".join(re.findall(r"'([^']*)'", text.split(key, 1)[1]))


class Client:
    """Keep-alive connections that send one request each, then read the answers."""

    def __init__(self, url: str, method: str, body: str, connections: int):
        at = urlsplit(url)
        head = f"{method} {at.path} HTTP/1.1\r\nHost: {at.netloc}\r\n"
        if body:
            head += f"{JSON}\r\nContent-Length: {len(body)}\r\n"
        self.request = f"{head}\r\n{body}".encode()
        self.sockets = [socket.create_connection((at.hostname, at.port)) for _ in range(connections)]

    def round(self) -> None:
        for s in self.sockets:
            s.sendall(self.request)
        for s in self.sockets:
            answer = s.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200"), answer
            head, _, rest = answer.partition(b"\r\n\r\n")
            left = int(re.search(rb"Content-Length: (\d+)", head).group(1)) - len(rest)
            while left > 0:
                left -= len(s.recv(left))


def counted(process: Server, out: pathlib.Path, client: Client, rounds: int, loop_only: bool = True) -> float:
    """Instructions of a server under callgrind per request: of its one loop, which does the most, or of all threads."""
    control = ["callgrind_control", "--instr=on", str(process.popen.pid)]
    for _ in range(max(rounds // 4, 2)):
        client.round()
    subprocess.run(control, check=True, capture_output=True)
    for _ in range(rounds):
        client.round()
    subprocess.run([*control[:1], "--instr=off", *control[2:]], check=True, capture_output=True)
    process.stop()
    threads = [int(total) for file in out.glob(f"callgrind.{process.popen.pid}-*")
               for total in re.findall(r"^totals: (\d+)", file.read_text(), re.M)]
    return (max if loop_only else sum)(threads) / (rounds * len(client.sockets))


def callgrind(out: pathlib.Path) -> tuple[str, ...]:
    return ("valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes", f"--callgrind-out-file={out}/callgrind.%p")


def health(out: pathlib.Path) -> float:
    with server("--threads", "1", under=callgrind(out)) as s:
        return counted(s, out, Client(f"{s.url}/health", "GET", "", 1), 1000)


def create_run(out: pathlib.Path) -> float:
    with server("--threads", "1", under=callgrind(out)) as s:
        url = f"{s.url}/api/2.0/mlflow/runs/create"
        return counted(s, out, Client(url, "POST", lua("create_run.lua", "wrk.body"), 64), 20, loop_only=False)


def infer(out: pathlib.Path) -> float:
    from infer import deployed

    with deployed("--threads", "1", under=callgrind(out)) as (s, url):
        return counted(s, out, Client(url, "POST", lua("infer.lua", "wrk.body"), 1), 1000)


def grpc(out: pathlib.Path) -> float:
    from infer import GRPC, deployed, grpc_call

    class Calls:  # 64 at a time over one connection
        sockets = [None] * 64

        def __init__(self, url: str, server: Server):
            self.url, self.server, self.call = url, server, grpc_call(out)

        def round(self) -> None:
            assert h2load(self.url, self.server, 64, 64, self.call)["errors"] == 0

    with deployed("--threads", "1", under=callgrind(out)) as (s, _):
        return counted(s, out, Calls(s.url + GRPC, s), 20)


def log_batch(out: pathlib.Path) -> float:
    with server("--threads", "1", under=callgrind(out)) as s:
        run = s.call("POST", "/api/2.0/mlflow/runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
        points = [{"key": f"m{i}", "value": i / 7, "timestamp": 1700000000000, "step": 1} for i in range(10)]
        body = json.dumps({"run_id": run, "metrics": points})
        return counted(s, out, Client(f"{s.url}/api/2.0/mlflow/runs/log-batch", "POST", body, 1), 100, loop_only=False)


PATHS = {"health": health, "create_run": create_run, "infer": infer, "grpc": grpc, "log_batch": log_batch}


def recorded() -> dict[str, int]:
    """What README.md says, from rows like: | `health` | 5,210 |"""
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \|$", (ROOT / "bench/README.md").read_text(), re.M)
    return {name: int(number.replace(",", "")) for name, number in rows}


def main() -> int:
    for name in sys.argv[1:] or PATHS:
        out = pathlib.Path(tempfile.mkdtemp(prefix=f"lathe-{name}-"))
        print(f"{name}: {PATHS[name](out):,.0f} instructions a request; {out}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

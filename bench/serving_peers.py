"""The servers that Lathe's serving is measured against, each from PyPI in a venv of its own under build/peers, made at
first use, with the iris model behind it and its own default settings."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from harness import ROOT, Process

PROGRAMS = ROOT / "bench/peers"
ONNX = "onnxruntime==1.32.0"
ROW = [5.1, 3.5, 1.4, 0.2]
OIP = json.dumps({"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32", "data": ROW}]})


def venv(name: str, *packages: str) -> pathlib.Path:
    folder = ROOT / "build/peers" / name
    stamp, wanted = folder / "packages", "\n".join(packages)
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing {', '.join(packages)} into {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin/pip", "install", "-q", "--disable-pip-version-check", *packages], check=True)
        stamp.write_text(wanted)
    return folder


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]


def wait_answer(process: Process, url: str, body: str) -> None:
    """`first_answer_ms`: from exec to the first answer with a prediction."""
    ask = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
    while process.popen.poll() is None and time.monotonic() - process.started < 300:
        with contextlib.suppress(OSError, urllib.error.HTTPError):
            if urllib.request.urlopen(ask, timeout=60).status == 200:
                process.first_answer_ms = (time.monotonic() - process.started) * 1e3
                return
        time.sleep(0.005)
    process.stop()
    raise SystemExit(f"{url} does not answer")


class Peer(Process):
    def __init__(self, argv: list, url: str, body: str, env: dict | None = None):
        super().__init__(*argv, env=env)
        self.url, self.body = url, body
        wait_answer(self, url, body)

    def stop(self) -> None:
        super().stop()
        with contextlib.suppress(ProcessLookupError):  # workers that it left behind
            os.killpg(self.popen.pid, signal.SIGKILL)


def mlserver(model: pathlib.Path, home: pathlib.Path) -> Peer:
    python = venv("mlserver", "mlserver==1.7.1", "uvloop==0.21.0", ONNX)  # its workers fail with a later uvloop
    http, grpc, metrics = free_ports(3)
    (home / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics, "metrics_dir": str(home)}))
    (home / "model-settings.json").write_text(json.dumps(
        {"name": "iris", "implementation": "mlserver_onnx.Onnx", "parameters": {"uri": str(model)}}))
    return Peer([python / "bin/mlserver", "start", home], f"http://127.0.0.1:{http}/v2/models/iris/infer", OIP,
                {"PYTHONPATH": str(PROGRAMS)})


def mlflow(model: pathlib.Path, home: pathlib.Path) -> Peer:
    python = venv("mlflow", "mlflow==3.17.2", "onnx==1.22.0", ONNX)
    subprocess.run([python / "bin/python", PROGRAMS / "mlflow_save.py", model, home / "model"], check=True, capture_output=True)
    [port] = free_ports(1)
    # Its scoring server starts uvicorn by name.
    return Peer([python / "bin/mlflow", "models", "serve", "-m", home / "model", "--env-manager", "local", "-h", "127.0.0.1", "-p", port],
                f"http://127.0.0.1:{port}/invocations", json.dumps({"inputs": [ROW]}),
                {"PATH": f"{python / 'bin'}:{os.environ['PATH']}"})


TRITON_CONFIG = """
backend: "python"
input [ { name: "X" data_type: TYPE_FP32 dims: [ -1, 4 ] } ]
output [ { name: "label" data_type: TYPE_INT64 dims: [ -1 ] }, { name: "probabilities" data_type: TYPE_FP32 dims: [ -1, 3 ] } ]
"""


def triton(model: pathlib.Path, home: pathlib.Path) -> Peer:
    """The server that nvidia-pytriton carries, started as such: its Python backend is all it has."""
    python = venv("triton", "nvidia-pytriton==0.7.0", ONNX)
    packages = next((python / "lib").glob("python3*/site-packages"))
    server = packages / "pytriton/tritonserver"
    stub = server / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}" / "triton_python_backend_stub"
    shutil.copytree(server / "backends", home / "backends")
    shutil.copy(stub, home / "backends/python")
    version = home / "models/iris/1"
    version.mkdir(parents=True)
    (home / "models/iris/config.pbtxt").write_text(TRITON_CONFIG)
    shutil.copy(PROGRAMS / "triton_model.py", version / "model.py")
    shutil.copy(model, version / "model.onnx")
    http, grpc, metrics = free_ports(3)
    return Peer([server / "bin/tritonserver", f"--model-repository={home / 'models'}", f"--backend-directory={home / 'backends'}",
                 f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"],
                f"http://127.0.0.1:{http}/v2/models/iris/infer", OIP,
                {"PATH": f"{python / 'bin'}:{os.environ['PATH']}", "LD_LIBRARY_PATH": str(packages / "nvidia_pytriton.libs")})


def fastapi(model: pathlib.Path, home: pathlib.Path) -> Peer:
    python = venv("fastapi", "fastapi==0.165.0", "uvicorn[standard]==0.54.0", ONNX)
    [port] = free_ports(1)
    return Peer([python / "bin/uvicorn", "fastapi_app:app", "--app-dir", PROGRAMS, "--port", port, "--no-access-log"],
                f"http://127.0.0.1:{port}/predict", json.dumps({"rows": [ROW]}), {"MODEL": str(model)})


# How many times faster Lathe must be.
PEERS = {"MLServer": (mlserver, 35), "MLflow": (mlflow, 70), "Triton, Python backend": (triton, 7), "FastAPI + ONNX Runtime": (fastapi, 12)}


@contextlib.contextmanager
def peer(start, model: pathlib.Path):
    with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="bench-", ignore_cleanup_errors=True) as home:
        made = start(model, pathlib.Path(home))
        try:
            yield made
        finally:
            made.stop()

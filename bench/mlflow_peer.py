"""The real `mlflow server`, in a venv that the benchmark makes: what Lathe's tracking is measured against."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

from harness import ROOT, Process

VERSION = "3.17.2"


def with_driver(mlflow: pathlib.Path) -> None:
    """What it needs to speak to PostgreSQL, which its own package does not bring."""
    python = mlflow.parent / "python"
    if subprocess.run([python, "-c", "import psycopg2"], capture_output=True).returncode:
        subprocess.run([python, "-m", "pip", "install", "-q", "psycopg2-binary"], check=True)


def program() -> pathlib.Path:
    """LATHE_BENCH_MLFLOW names an `mlflow` to use; else one is installed into build/, once."""
    if named := os.environ.get("LATHE_BENCH_MLFLOW"):
        return pathlib.Path(named)
    venv = ROOT / f"build/mlflow-{VERSION}"
    if not (venv / "bin/mlflow").exists():
        print(f"installing mlflow {VERSION} into {venv}", flush=True)
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        try:
            subprocess.run([venv / "bin/pip", "install", "-q", f"mlflow=={VERSION}"], check=True)
        except BaseException:
            shutil.rmtree(venv, ignore_errors=True)
            raise
    return venv / "bin/mlflow"


class Peer(Process):
    """Its default settings, on SQLite or the given database, artifacts proxied; `first_answer_ms` counts from exec to the first
    /health."""

    def __init__(self, folder: pathlib.Path, store: str = ""):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.store, self.url = folder, store, f"http://127.0.0.1:{port}"
        super().__init__(program(), "server", "--backend-store-uri", store or f"sqlite:///{folder}/mlflow.db",
                         "--artifacts-destination", folder / "artifacts", "--host", "127.0.0.1", "--port", port)
        while True:
            if self.popen.poll() is not None:
                raise SystemExit(f"mlflow server ended with {self.popen.returncode}")
            with contextlib.suppress(OSError):
                if urllib.request.urlopen(f"{self.url}/health", timeout=5).status == 200:
                    break
            time.sleep(0.05)
        self.first_answer_ms = (time.monotonic() - self.started) * 1e3

    def again(self) -> "Peer":
        return Peer(self.folder, self.store)


@contextlib.contextmanager
def peer(store: str = ""):
    with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="bench-", ignore_cleanup_errors=True) as folder:
        if store:
            with_driver(program())
        made = Peer(pathlib.Path(folder) / "state", store)
        try:
            yield made
        finally:
            made.stop()

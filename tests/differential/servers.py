"""The real `mlflow server`, and Lathe, each fresh in a folder of its own. LATHE_MLFLOW_PEER names another environment
with the full mlflow than .venv-mlflow."""
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "api"))
from lathe_server import Server, clean_environment  # noqa: E402

PEER = pathlib.Path(os.environ.get("LATHE_MLFLOW_PEER", ROOT / ".venv-mlflow"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Mlflow:
    """One `mlflow server` on SQLite, artifacts proxied, one worker."""

    def __init__(self, home, env=None):
        self.home = pathlib.Path(home)
        self.url = f"http://127.0.0.1:{free_port()}"
        command = [str(PEER / "bin" / "mlflow"), "server", "--host", "127.0.0.1", "--port", self.url.rsplit(":", 1)[1], "--workers", "1",
                   "--backend-store-uri", f"sqlite:///{self.home}/mlflow.db", "--artifacts-destination", str(self.home / "artifacts")]
        path = str(PEER / "bin") + os.pathsep + os.environ["PATH"]
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PATH": path, **(env or {})}
        self.log = open(self.home / "mlflow.log", "wb")
        self.process = subprocess.Popen(command, cwd=self.home, env=clean_environment(**quiet), stdout=self.log, stderr=self.log, start_new_session=True)
        until = time.monotonic() + 900  # a busy machine starts it in minutes
        try:
            self.wait(until)
        except BaseException:
            self.down()
            raise

    def wait(self, until):
        while True:
            try:
                if requests.get(self.url + "/health", timeout=2).status_code == 200:
                    return
            except requests.RequestException:
                pass
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError("mlflow server does not start: " + (self.home / "mlflow.log").read_text(errors="replace")[-3000:])
            time.sleep(0.2)

    def down(self):
        """The whole session: the server starts processes of its own."""
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        except ProcessLookupError:
            pass
        self.log.close()


def lathe(home, *args, env=None):
    return Server(home, args, env)

"""One `lathe serve` as API tests see it, and repositories in Triton's layout made of tests/models' models."""
import pathlib
import re
import shutil
import signal
import subprocess
import time

from deploy import made_models
from lathe_server import BINARY, clean_environment

IRIS_CONFIG = """
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "label" data_type: TYPE_INT64 dims: [ 1 ] reshape { shape: [ ] } },
         { name: "probabilities" data_type: TYPE_FP32 dims: [ 3 ] label_filename: "labels.txt" } ]
"""


def put(repository, name, model="iris_bare", version=1, config=None, files=None):
    """<repository>/<name>/<version>/… and beside it config.pbtxt and other files."""
    folder = pathlib.Path(repository) / name
    target = folder / str(version)
    target.parent.mkdir(parents=True, exist_ok=True)
    new = folder / f".new-{version}"
    shutil.copytree(made_models() / model, new)
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)
    if config is not None:
        (folder / "config.pbtxt").write_text(config)
    for file, text in (files or {}).items():
        (folder / file).write_text(text)
    return folder


class Models:
    def __init__(self, home, *args, env=None, wait=True):
        self.log_path = pathlib.Path(home) / "serve.log"
        self.env = clean_environment(**(env or {}))
        self.process = None
        self.url = self.grpc = self.metrics = None
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([str(BINARY), "serve", *map(str, args)], cwd=home, env=self.env, stdout=log, stderr=log)
        if wait:
            self.wait_ready()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_ready(self, seconds=60):
        until = time.monotonic() + seconds
        while not (found := re.search(r"serves \d+ models at (.*)\n", self.log())):
            assert self.process.poll() is None, f"it ended: {self.log()}"
            assert time.monotonic() < until, f"it does not start: {self.log()}"
            time.sleep(0.01)
        for place in found[1].split(", "):
            what, _, url = place.rpartition(" ")
            if what == "gRPC":
                self.grpc = url.split("//")[1]
            elif what == "metrics":
                self.metrics = url
            else:
                self.url = url

    def memory(self):
        return int(re.search(r"VmRSS:\s+(\d+) kB", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1]) * 1024

    def wait(self, seconds=30):
        return self.process.wait(seconds)

    def stop(self, seconds=20):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"it did not stop within {seconds} s: {self.log()}") from None
        return self.process.returncode

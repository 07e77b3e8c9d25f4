"""The iris model behind an endpoint, and behind the bare program that is its ceiling.

By hand: build/release/bin/infer_ceiling MODEL.onnx 9000, then
wrk -t1 -c64 -d5s -s bench/infer.lua http://127.0.0.1:9000/ and the same against .../v2/models/iris/infer.
"""

import contextlib
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from harness import BUILD, ROOT, Process, Server

sys.path.insert(0, str(ROOT / "tests/api"))
os.environ.setdefault("LATHE_BINARY", str(BUILD / "lathe"))
from deploy import deploy, made_models  # noqa: E402


GRPC = "/inference.GRPCInferenceService/ModelInfer"


@contextlib.contextmanager
def ceiling(port: int = 9077):
    bare = Process(BUILD / "bin/infer_ceiling", made_models() / "iris/model.onnx", port)
    url = f"http://127.0.0.1:{port}"
    body = b'{"inputs":[{"data":[5.1,3.5,1.4,0.2]}]}'
    try:
        for _ in range(2000):
            with contextlib.suppress(OSError):
                if urllib.request.urlopen(urllib.request.Request(url, body), timeout=5).status == 200:
                    break
            if bare.popen.poll() is not None:
                raise SystemExit("infer_ceiling ended; is its port taken?")
        yield bare, url
    finally:
        bare.stop()


def grpc_call(folder: pathlib.Path) -> pathlib.Path:
    """A ModelInfer of one iris row as it stands in a body: model_name 1, inputs 5 (name, datatype, shape), raw_input_contents 7."""
    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    tensor = field(1, input_name().encode()) + field(2, b"FP32") + field(3, bytes([1, 4]))
    message = field(1, b"iris") + field(5, tensor) + field(7, struct.pack("<4f", 5.1, 3.5, 1.4, 0.2))
    file = folder / "call.bin"
    file.write_bytes(b"\0" + struct.pack(">I", len(message)) + message)
    return file


def input_name() -> str:
    import onnx

    return onnx.load(made_models() / "iris/model.onnx").graph.input[0].name


@contextlib.contextmanager
def grpc_ceiling(call: pathlib.Path, port: int = 9078):
    bare = Process(BUILD / "bin/grpc_ceiling", made_models() / "iris/model.onnx", port)
    url = f"http://127.0.0.1:{port}{GRPC}"
    try:
        for _ in range(200):
            time.sleep(0.05)
            if bare.popen.poll() is not None:
                raise SystemExit("grpc_ceiling ended; is its port taken?")
            if not subprocess.run(["h2load", "-n1", "-d", call, url], capture_output=True, text=True).stdout.count("0 succeeded"):
                break
        yield bare, url
    finally:
        bare.stop()


@contextlib.contextmanager
def deployed(*options: str, model: str = "iris", under: tuple[str, ...] = ()):
    with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="bench-") as folder:
        state = pathlib.Path(folder) / "state"
        Server(state, *options).stop()
        deploy(state, model, made_models() / model)
        made = Server(state, *options, under=under)
        try:
            yield made, f"{made.url}/v2/models/{model}/infer"
        finally:
            made.stop()


PYTHON_MODEL = """
import numpy as np
class Model:
    inputs = [{"name": "INPUT", "datatype": "FP32", "shape": [-1, 4]}]
    outputs = [{"name": "label", "datatype": "INT64", "shape": [-1]}]
    weights = np.arange(12.0).reshape(4, 3)
    def predict(self, data):
        return (data @ self.weights).argmax(axis=1)
"""


@contextlib.contextmanager
def deployed_python(*options: str):
    """A Python model of one small matrix product; with what predict() itself takes, in µs."""
    import numpy as np

    os.environ["LATHE_PYTHON"] = sys.executable
    source = PYTHON_MODEL.replace("INPUT", input_name())
    names: dict = {}
    exec(source, names)
    model, row, took = names["Model"](), np.array([[5.1, 3.5, 1.4, 0.2]], "f4"), []
    for _ in range(5000):
        began = time.perf_counter()
        model.predict(row)
        took.append(time.perf_counter() - began)
    with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="bench-") as folder:
        files = pathlib.Path(folder) / "model"
        files.mkdir()
        (files / "model.py").write_text(source)
        state = pathlib.Path(folder) / "state"
        Server(state, *options).stop()
        deploy(state, "iris", files)
        made = Server(state, *options)
        try:
            ready = None
            while ready != 200:  # it is loaded after the server answers
                time.sleep(0.1)
                with contextlib.suppress(urllib.error.HTTPError):
                    ready = urllib.request.urlopen(f"{made.url}/v2/health/ready", timeout=5).status
            yield made, f"{made.url}/v2/models/iris/infer", sorted(took)[2500] * 1e6
        finally:
            made.stop()

"""Three times the load that the server can answer, for models of different kinds: what is still answered, how quickly,
and whether health checks get through. Load comes in an open loop: bench/open_loop.py.
"""

import contextlib
import os
import pathlib
import sys
import tempfile
import threading
import time
import urllib.request

from harness import BUILD, Server
from infer import deploy
from open_loop import closed_loop, open_loop

os.environ["LATHE_PYTHON"] = sys.executable

# A model that takes its time without taking the processor's: its capacity is known whatever else runs here.
RESTING = """
import time
class Model:
    inputs = [{"name": "x", "datatype": "FP64", "shape": [-1, 1]}]
    outputs = [{"name": "y", "datatype": "FP64", "shape": [-1, 1]}]
    serving = {"min_workers": WORKERS, "max_workers": WORKERS}
    def predict(self, data):
        time.sleep(SECONDS)
        return data
"""
BODY = b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP64","data":[1]}]}'
PATIENCE_S = 1.0  # what the server takes for acceptable (serve::Limiter::kPatienceUs)


def work_model(folder: pathlib.Path, rounds: int) -> None:
    """An ONNX model that multiplies matrices of 160 × 160 for a while, on the processor."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    size = 160
    weights = numpy_helper.from_array((np.random.default_rng(0).normal(size=(size, size)) / size).astype("f4"), "w")
    nodes = [helper.make_node("MatMul", ["x", "row"], ["m0"])]
    nodes += [helper.make_node("MatMul", [f"m{i}", "w"], [f"m{i + 1}"]) for i in range(rounds)]
    nodes += [helper.make_node("ReduceMean", [f"m{rounds}"], ["y"], axes=[1], keepdims=1)]
    row = numpy_helper.from_array(np.ones((1, size), "f4"), "row")
    graph = helper.make_graph(nodes, "work", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [size, 1])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [size, 1])], [weights, row])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")


def work_body() -> bytes:
    return b'{"inputs":[{"name":"x","shape":[160,1],"datatype":"FP32","data":[' + b",".join([b"1"] * 160) + b"]}]}"


@contextlib.contextmanager
def deployed(name: str, make):
    with tempfile.TemporaryDirectory(dir=BUILD.parent, prefix="bench-") as home:
        folder = pathlib.Path(home)
        make(folder / "model")
        Server(folder / "state").stop()
        deploy(folder / "state", name, folder / "model")
        made = Server(folder / "state")
        try:
            while True:  # a Python model is loaded after the server answers
                with contextlib.suppress(OSError):
                    if urllib.request.urlopen(f"{made.url}/v2/health/ready", timeout=5).status == 200:
                        break
                time.sleep(0.05)
            yield made, f"{made.url}/v2/models/{name}/infer"
        finally:
            made.stop()


class Health:
    """Asks /health twenty times a second, on connections of its own; `worst` is the slowest answer in seconds."""

    def __init__(self, server: Server):
        self.url, self.worst, self.failed, self.ended = f"{server.url}/health", 0.0, 0, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        while not self.ended.wait(0.05):
            began = time.monotonic()
            try:
                urllib.request.urlopen(self.url, timeout=30).read()
            except OSError:
                self.failed += 1
            self.worst = max(self.worst, time.monotonic() - began)

    def __enter__(self) -> "Health":
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.ended.set()
        self.thread.join()


def measure(report, held) -> None:
    def resting(workers: int, seconds: float):
        def make(folder: pathlib.Path) -> None:
            folder.mkdir(parents=True)
            (folder / "model.py").write_text(RESTING.replace("WORKERS", str(workers)).replace("SECONDS", str(seconds)))
        return make

    cases = [("a Python model, 2 × 10 ms", resting(2, 0.01), BODY, 16), ("a Python model, 2 × 100 ms", resting(2, 0.1), BODY, 16),
             ("ONNX, some ms of the processor", lambda folder: work_model(folder, 12), work_body(), 16)]
    for what, make, body, connections in cases:
        with deployed("m", make) as (server, url):
            before = server.cpu_seconds()
            peak = closed_loop(url, body, connections, 8, 2)
            cpu = (server.cpu_seconds() - before) * 0.8 / max(peak.statuses[200], 1)
            with Health(server) as health:
                got = open_loop(url, body, 3 * peak.goodput(), 15, 10)
            again = closed_loop(url, body, connections, 5, 2)
            calm = (peak.goodput() + again.goodput()) / 2  # so that the machine's drift meets both
            told = ", ".join(f"{count / got.seconds:,.0f}/s {status}" for status, count in sorted(got.statuses.items(), key=str))
            report(f"overload ×3: {what}", f"{got.goodput():,.0f}/s answered, median {got.percentile(50) * 1e3:.0f}, p99 {got.percentile(99) * 1e3:.0f} ms ({told})",
                   f"peak {calm:,.0f}/s ({cpu * 1e3:.2f} ms CPU), p99 {peak.percentile(99) * 1e3:.0f} ms",
                   f"{held(got.goodput() / calm, 0.9, False, '×')}; p99 {held(got.percentile(99), 1.5 * PATIENCE_S, True, ' s')}")
            report("  health meanwhile", f"worst of {health.worst * 1e3:.0f} ms, {health.failed} failed", "", held(health.failed, 0, True, " failed"))

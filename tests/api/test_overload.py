"""Requests that are late, urgent or too many: what is run, what is refused, and what is answered meanwhile."""
import concurrent.futures
import json
import re
import socket
import threading
import time

import grpc
import numpy as np
import pytest
import requests
import tritonclient.grpc
import tritonclient.http

from deploy import deploy, made_models
from model_server import Models, put
from test_python_models import ENV, folder, start_loaded

# Writes down what it runs. A negative number holds it until the file `go` is there.
NOTING = """
    import os, time
    class Model:
        inputs = [{"name": "x", "datatype": "FP64", "shape": [-1, 1]}]
        outputs = [{"name": "y", "datatype": "FP64", "shape": [-1, 1]}]
        serving = {"min_workers": 1, "max_workers": 1}

        def predict(self, data, params=None):
            with open("NOTES", "a") as notes:
                notes.write("%g\\n" % data[0, 0])
            while data[0, 0] < 0 and not os.path.exists("NOTES.go"):
                time.sleep(0.005)
            time.sleep(SECONDS)
            return data * 2
"""
URGENT, LATE = 1, 3


class Noting:
    """A server with the model `noting`, and its notes."""

    def __init__(self, start_server, path, seconds=0.0):
        self.notes = path / "notes"
        self.server = start_server(env=ENV)
        self.server.stop()
        source = NOTING.replace("NOTES", str(self.notes)).replace("SECONDS", str(seconds))
        deploy(self.server.dir, "noting", folder(path / "noting", source))
        start_loaded(self.server)
        self.notes.unlink(missing_ok=True)  # its warm-up's
        self.url = f"{self.server.url}/v2/models/noting/infer"
        self.address = self.server.url.removeprefix("http://")

    def ran(self):
        return [float(line) for line in self.notes.read_text().split()] if self.notes.exists() else []

    def ask(self, x, headers={}, **parameters):
        body = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP64", "data": [x]}], "parameters": parameters}
        return requests.post(self.url, json=body, timeout=60, headers=headers)

    def ask_grpc(self, x, **options):
        with tritonclient.grpc.InferenceServerClient(self.address) as client:
            given = tritonclient.grpc.InferInput("x", [1, 1], "FP64")
            given.set_data_from_numpy(np.array([[float(x)]]))
            return client.infer("noting", [given], **options).as_numpy("y")[0, 0]

    def hold(self, pool):
        """The model's only worker is busy until release()."""
        held = pool.submit(self.ask, -1)
        self.wait(lambda: self.ran() == [-1])
        return held

    def wait(self, until, seconds=30):
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end
            time.sleep(0.005)

    def waiting(self):
        text = requests.get(f"{self.server.url}/metrics").text
        return int(re.search(r'nv_inference_pending_request_count{model="noting",[^}]*} (\d+)', text)[1])

    def release(self):
        self.notes.with_name("notes.go").touch()


@pytest.fixture
def noting(start_server, tmp_path):
    return Noting(start_server, tmp_path)


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(64) as made:
        yield made


def test_a_request_past_its_timeout_is_not_run(noting, pool):
    held = noting.hold(pool)
    late = noting.ask(2, timeout=50_000)
    assert late.status_code == 503 and "Request timeout expired" in late.json()["error"] and late.headers["Retry-After"]
    with pytest.raises(tritonclient.grpc.InferenceServerException) as refused:
        noting.ask_grpc(3, timeout=50_000)
    assert refused.value.status() == "StatusCode.UNAVAILABLE" and "Request timeout expired" in refused.value.message()
    with pytest.raises(tritonclient.grpc.InferenceServerException) as refused:
        noting.ask_grpc(4, client_timeout=0.05)
    assert "DEADLINE_EXCEEDED" in refused.value.status() or "Deadline" in refused.value.message()
    gone = noting.ask(5, headers={"X-Envoy-Expected-Rq-Timeout-Ms": "50"})
    assert gone.status_code == 504, gone.text
    noting.release()
    assert held.result().status_code == 200
    assert noting.ask(6, timeout=50_000_000, headers={"X-Envoy-Expected-Rq-Timeout-Ms": "50000"}).json()["outputs"][0]["data"] == [12]
    assert noting.ran() == [-1, 6]
    bad = noting.ask(7, headers={"X-Envoy-Expected-Rq-Timeout-Ms": "soon"})
    assert bad.status_code == 400 and "milliseconds" in bad.json()["error"]


def test_a_timeout_is_the_queues_and_not_the_models(noting, pool):
    held = pool.submit(noting.ask, -1, timeout=100_000)
    noting.wait(lambda: noting.ran() == [-1])
    time.sleep(0.2)
    noting.release()
    assert held.result().status_code == 200


def test_the_urgent_go_first_over_both_protocols_and_beyond_the_threads(noting, pool):
    held = noting.hold(pool)
    answers, expected = [], {}
    for x in range(1, 51):  # more than there are threads that wait for workers
        priority = LATE if x <= 40 else URGENT
        call = (lambda x, p: noting.ask(x, priority=p).json()["outputs"][0]["data"][0]) if x % 2 else (lambda x, p: noting.ask_grpc(x, priority=p))
        answers.append(pool.submit(call, x, priority))
        noting.wait(lambda: noting.waiting() == x)
        expected[x] = 2 * x
    noting.release()
    assert held.result().status_code == 200
    assert {x: answer.result() for x, answer in enumerate(answers, 1)} == expected
    ran = noting.ran()[1:]
    # The first late ones had got a thread each before anybody urgent came: those are not taken from it.
    assert sorted(ran) == list(range(1, 51))
    assert sum(x > 40 for x in ran[:20]) >= 5, f"the urgent wait behind the late: {ran}"


def test_who_comes_to_a_full_house_is_told_and_others_are_answered(start_server, tmp_path):
    noting = Noting(start_server, tmp_path, seconds=0.02)
    body = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP64", "data": [1]}]}
    ended, outcomes, lock = time.monotonic() + 8, [], threading.Lock()

    def flood():
        with requests.Session() as session:
            while time.monotonic() < ended:
                answer = session.post(noting.url, json=body, timeout=60)
                with lock:
                    outcomes.append((answer.status_code, answer.headers.get("Retry-After")))

    with concurrent.futures.ThreadPoolExecutor(150) as many:
        asked = [many.submit(flood) for _ in range(150)]
        while time.monotonic() < ended:
            assert requests.get(f"{noting.server.url}/health", timeout=20).text == "OK"
            assert requests.get(f"{noting.server.url}/v2/health/ready", timeout=20).status_code == 200
            time.sleep(0.2)
        metrics = requests.get(f"{noting.server.url}/metrics", timeout=20).text
        for one in asked:
            one.result()
    statuses = {status for status, _ in outcomes}
    assert statuses == {200, 503}, statuses
    assert all(after == "1" for status, after in outcomes if status == 503)
    number = lambda name: float(re.search(rf'^{name}{{[^}}]*endpoint="noting"[^}}]*}} (\S+)$', metrics, re.M)[1])
    assert number("lathe_inference_refused_total") > 0
    assert 4 <= number("lathe_inference_limit") < 150
    # Who was refused is no failure of the endpoint: it must not be rolled back for it.
    assert number("lathe_inference_failures_total") == 0


TOLD = """
max_batch_size: 4
dynamic_batching { priority_levels: 2 default_priority_level: 2
  priority_queue_policy { key: 1 value { max_queue_size: 1 } } }
"""


def test_a_configuration_bounds_its_queues(tmp_path, pool):
    notes = tmp_path / "notes"
    source = NOTING.replace("NOTES", str(notes)).replace("SECONDS", "0")
    folder(tmp_path / "models/noting/1", source)
    (tmp_path / "models/noting/config.pbtxt").write_text(TOLD)
    server = Models(tmp_path, "--model-repository", tmp_path / "models", "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0", env=ENV)
    try:
        notes.unlink(missing_ok=True)
        ask = lambda x, p: requests.post(f"{server.url}/v2/models/noting/infer", timeout=60, json={
            "inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP64", "data": [x]}], "parameters": {"priority": p}})
        stats = lambda: requests.get(f"{server.url}/v2/models/noting/stats").json()["model_stats"][0]["inference_stats"]["queue"]["count"]
        asked, ends = [pool.submit(ask, -1, 2)], time.monotonic() + 30
        while not notes.exists():
            assert time.monotonic() < ends
        asked.append(pool.submit(ask, 1, 1))
        asked += [pool.submit(ask, x, 2) for x in (2, 3)]
        refused = None
        while refused is None or refused.status_code == 200:  # until the first of priority 1 has come
            assert time.monotonic() < ends
            refused = ask(9, 1) if stats() >= 4 else None
            time.sleep(0.01)
        assert refused.status_code == 503 and "Exceeds maximum queue size" in refused.json()["error"]
        notes.with_name("notes.go").touch()
        assert [one.result().status_code for one in asked] == [200] * 4
    finally:
        server.stop()


FIXED = """
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "label" data_type: TYPE_INT64 dims: [ 1 ] reshape { shape: [ ] } } ]
"""


def test_a_body_is_bounded_by_what_the_model_takes(tmp_path):
    put(tmp_path / "models", "bounded", config=FIXED)
    put(tmp_path / "models", "open")
    server = Models(tmp_path, "--model-repository", tmp_path / "models", "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
    try:
        rows = lambda count: json.dumps({"inputs": [{"name": "X", "shape": [count, 4], "datatype": "FP32", "data": [0.5] * 4 * count}]})
        post = lambda name, data: requests.post(f"{server.url}/v2/models/{name}/infer", data=data, timeout=30)
        assert post("bounded", rows(8)).status_code == 200
        large = rows(100_000)
        refused = post("bounded", large)
        assert refused.status_code == 413 and "this model takes at most" in refused.json()["error"]
        assert post("open", large).status_code == 200
        chunked = post("bounded", (large[at:at + 9999].encode() for at in range(0, len(large), 9999)))
        assert chunked.status_code == 413
        # A promise alone takes no memory: a thousand of them, none kept.
        before = server.memory()
        host, port = server.url.removeprefix("http://").split(":")
        slow = []
        for _ in range(200):
            s = socket.create_connection((host, int(port)))
            s.sendall(b"POST /v2/models/open/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 67000000\r\n\r\n" + b" " * 100)
            slow.append(s)
        assert requests.get(f"{server.url}/v2/health/ready", timeout=10).status_code == 200
        assert server.memory() - before < 200 * (64 << 10) + (32 << 20)
        for s in slow:
            s.close()
    finally:
        server.stop()

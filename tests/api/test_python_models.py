"""Models in Python: MLflow's own flavours and plain classes, in worker processes that may fail without harm."""
import json
import os
import pathlib
import signal
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import requests
import tritonclient.grpc
import tritonclient.http

from deploy import deploy

ENV = {"LATHE_PYTHON": sys.executable}

PLAIN = """
    import os, signal, sys, time
    import numpy as np

    class Model:
        inputs = [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}]
        outputs = [{"name": "y", "datatype": "FP64", "shape": [-1]}]
        serving = {"max_workers": 2, "timeout_ms": 1500, "memory_mb": 200}

        def load(self, context):
            self.factor = float(open(context.path("factor.txt")).read())

        def predict(self, data, params=None):
            what = data[0, 1]
            if what == -1: os.kill(os.getpid(), signal.SIGSEGV)
            if what == -2: time.sleep(60)
            if what == -3: hog = np.ones(1 << 27)
            if what == -4: raise ValueError("no such row")
            if what == -5: return np.zeros((64 << 20,))
            if what == -6: sys.exit(3)
            if what == -7: time.sleep(0.4)
            return data[:, 0] * self.factor + (params or {}).get("plus", 0)
"""
ANSWERS = """
    class Model:
        inputs = [{"name": "x", "datatype": "FP64", "shape": [-1, 1]}]
        outputs = [{"name": "out", "datatype": "BYTES", "shape": [-1]}]

        def predict(self, data):
            kind = int(data[0, 0])
            return [["a", "ü"], [{"label": "cat", "score": 0.5}, {"label": None}], [[1, 2], [3]], "text", {"out": ["x", "y"]}][kind]
"""


def folder(path, source, **files):
    path.mkdir(parents=True, exist_ok=True)
    (path / "model.py").write_text(textwrap.dedent(source))
    for name, text in files.items():
        (path / name.replace("_txt", ".txt")).write_text(text)
    return path


def start_loaded(server):
    """Python models are loaded after the server answers: waits until each is there, or says why not."""
    server.start()
    until = time.monotonic() + 120
    while any("being loaded" in e.get("problem", "") for e in requests.get(server.api("/endpoints")).json()["endpoints"]):
        assert time.monotonic() < until
        time.sleep(0.2)


def infer(server, x, name="plain", what=0.0, timeout=30):
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [x, what]}]}
    return requests.post(f"{server.url}/v2/models/{name}/infer", json=body, timeout=timeout)


def workers_of(server, holding=""):
    """Forked workers of this server: grandchildren whose parent is a keeper; of the model whose folder holds this file."""
    def parent(pid):
        try:
            return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            return 0
    pids = [int(p.name) for p in pathlib.Path("/proc").iterdir() if p.name.isdigit()]
    parents = {pid: parent(pid) for pid in pids}

    def is_worker(pid):
        try:
            return b"keeper" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() and pathlib.Path(f"/proc/{pid}/cwd/{holding}").exists()
        except OSError:  # it has just ended
            return False
    return [pid for pid in pids if parents.get(parents[pid]) == server.process.pid and is_worker(pid)]


@pytest.fixture
def plain(start_server, tmp_path):
    server = start_server(env=ENV)
    server.stop()
    deploy(server.dir, "plain", folder(tmp_path / "plain", PLAIN, factor_txt="3"))
    deploy(server.dir, "answers", folder(tmp_path / "answers", ANSWERS))
    start_loaded(server)
    return server


def test_a_plain_class_over_every_protocol(plain):
    answer = infer(plain, 2.0)
    assert answer.status_code == 200 and answer.json()["outputs"] == [{"name": "y", "shape": [1], "datatype": "FP64", "data": [6]}], answer.text
    assert requests.get(plain.url + "/v2/models/plain").json()["platform"] == "python"
    assert requests.post(plain.url + "/v1/models/plain:predict", json={"instances": [[1, 0], [2, 0]]}).json() == {"predictions": [3, 6]}
    invoke = lambda **body: requests.post(plain.url + "/endpoints/plain/invocations", json=body)
    assert invoke(inputs=[[1, 0], [4, 0]]).json() == {"predictions": [3, 12]}
    assert invoke(inputs=[[1, 0]], params={"plus": 10}).json() == {"predictions": [13]}
    bad = invoke(inputs=[[1, 0]], params=7)
    assert bad.status_code == 400 and "params" in bad.json()["message"]
    data = np.array([[5.0, 0.0]])
    for module, url in ((tritonclient.http, plain.url.removeprefix("http://")), (tritonclient.grpc, plain.url.removeprefix("http://"))):
        client = module.InferenceServerClient(url)
        given = module.InferInput("x", [1, 2], "FP64")
        given.set_data_from_numpy(data)
        assert client.infer("plain", [given]).as_numpy("y").tolist() == [15.0]
        assert client.is_model_ready("plain")
    wrong = requests.post(plain.url + "/v2/models/plain/infer", json={"inputs": [{"name": "z", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]})
    assert wrong.status_code == 400 and "'x' is missing" in wrong.json()["error"]


def test_answers_that_are_no_numbers(plain):
    ask = lambda kind: requests.post(plain.url + "/v1/models/answers:predict", json={"instances": [[kind]]})
    assert ask(0).json() == {"predictions": ["a", "ü"]}
    assert ask(1).json() == {"predictions": [{"label": "cat", "score": 0.5}, {"label": None}]}
    assert ask(2).json() == {"predictions": [[1, 2], [3]]}
    assert ask(3).json() == {"predictions": ["text"]}
    assert ask(4).json() == {"predictions": {"out": ["x", "y"]}}
    body = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP64", "data": [1]}]}
    out = requests.post(plain.url + "/v2/models/answers/infer", json=body).json()["outputs"][0]
    assert out["datatype"] == "BYTES" and json.loads(out["data"][0]) == {"label": "cat", "score": 0.5}


def test_what_fails_fails_alone(plain):
    assert infer(plain, 1).status_code == 200
    refused = infer(plain, 1, what=-4)
    assert refused.status_code == 400 and "ValueError: no such row" in refused.json()["error"]
    memory = infer(plain, 1, what=-3)
    assert memory.status_code in (500, 503) and ("Memory" in memory.text or "memory" in memory.text), memory.text
    assert infer(plain, 1).status_code == 200
    huge = infer(plain, 1, what=-5)
    assert huge.status_code == 500 and "allowed are" in huge.text or "Memory" in huge.text, huge.text
    crash = infer(plain, 1, what=-1)
    assert crash.status_code == 503 and "signal 11" in crash.text and crash.headers["Retry-After"] == "1", crash.text
    assert infer(plain, 1).status_code == 200
    hang = infer(plain, 1, what=-2)
    assert hang.status_code == 504 and "1500 ms" in hang.text, hang.text
    assert infer(plain, 1).status_code == 200
    assert infer(plain, 1, what=-6).status_code == 503
    assert infer(plain, 2).json()["outputs"][0]["data"] == [6]


def test_a_short_deadline_ends_no_worker(plain):
    assert infer(plain, 1).status_code == 200
    before = set(workers_of(plain))
    client = tritonclient.grpc.InferenceServerClient(plain.url.removeprefix("http://"))
    given = tritonclient.grpc.InferInput("x", [1, 2], "FP64")
    given.set_data_from_numpy(np.array([[1.0, -7.0]]))
    with pytest.raises(tritonclient.grpc.InferenceServerException, match="(?i)deadline|time"):
        client.infer("plain", [given], client_timeout=0.1)
    time.sleep(0.6)
    assert infer(plain, 1).status_code == 200
    assert before <= set(workers_of(plain))


def test_a_crash_loop_opens_the_breaker(plain):
    codes = [infer(plain, 1, what=-1).status_code for _ in range(4)]
    assert set(codes) == {503}
    page = requests.get(plain.api("/pages/endpoints/plain")).text
    assert "signal 11" in page
    until = time.monotonic() + 20
    while infer(plain, 1).status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.2)


def test_killed_workers_cost_only_their_own_requests(plain):
    answers, stop = [], threading.Event()

    def ask():
        session = requests.Session()
        while not stop.is_set():
            body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [7, 0]}]}
            answer = session.post(f"{plain.url}/v2/models/plain/infer", json=body, timeout=30)
            answers.append((answer.status_code, answer.text))
            assert answer.status_code != 200 or answer.json()["outputs"][0]["data"] == [21]
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    kills = 0
    for _ in range(6):
        time.sleep(0.5)
        pids = workers_of(plain)
        if pids:
            os.kill(pids[0], signal.SIGKILL)
            kills += 1
    time.sleep(0.5)
    stop.set()
    for thread in threads:
        thread.join()
    failed = [text for code, text in answers if code != 200]
    assert kills >= 4 and len(answers) > 200
    assert len(failed) <= kills, failed


def test_no_worker_outlives_the_server(plain):
    assert infer(plain, 1).status_code == 200
    workers = workers_of(plain)
    assert workers
    plain.kill()
    until = time.monotonic() + 10
    while any(pathlib.Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_an_import_error_is_shown(start_server, tmp_path):
    server = start_server(env=ENV)
    server.stop()
    deploy(server.dir, "broken", folder(tmp_path / "broken", "import nothing_of_that_name\nclass Model:\n    pass\n"))
    deploy(server.dir, "empty", folder(tmp_path / "empty", "class Other:\n    pass\n"))
    start_loaded(server)
    answer = infer(server, 1, name="broken")
    assert answer.status_code == 503 and "ModuleNotFoundError: No module named 'nothing_of_that_name'" in answer.json()["error"]
    assert "has no class Model" in infer(server, 1, name="empty").json()["error"]
    assert requests.get(server.api("/endpoints/broken")).json()["state"] == "failed"


@pytest.fixture(scope="module")
def mlflow_models(tmp_path_factory):
    import mlflow
    import pandas as pd
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import OneHotEncoder

    out = tmp_path_factory.mktemp("models")
    iris = load_iris(as_frame=True)
    model = LogisticRegression(max_iter=500).fit(iris.data, iris.target_names[iris.target])
    mlflow.sklearn.save_model(model, out / "iris", input_example=iris.data[:2], serialization_format="cloudpickle")
    cars = pd.DataFrame({"colour": ["red", "blue", "red", "green"] * 5, "age": np.arange(20.0), "doors": np.arange(20) % 3})
    shop = make_pipeline(make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["colour"]), remainder="passthrough"),
                         LogisticRegression(max_iter=500)).fit(cars, np.arange(20) > 9)
    mlflow.sklearn.save_model(shop, out / "cars", input_example=cars[:2], serialization_format="cloudpickle")
    code = out / "code" / "helping"
    code.mkdir(parents=True)
    (code / "__init__.py").write_text("FACTOR = 5\n")

    class Custom(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            from helping import FACTOR
            return pd.DataFrame({"value": model_input["a"] * FACTOR + (params or {}).get("plus", 0), "name": model_input["b"]})

    sys.path.insert(0, str(out / "code"))
    example = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    signature = mlflow.models.infer_signature(example, pd.DataFrame({"value": [1.0], "name": ["x"]}), params={"plus": 0})
    mlflow.pyfunc.save_model(out / "custom", python_model=Custom(), code_paths=[str(code)], signature=signature, input_example=example)
    return out, iris, model, cars, shop


def test_mlflow_models_answer_as_mlflow_does(start_server, mlflow_models):
    models, iris, model, cars, shop = mlflow_models
    server = start_server(env=ENV)
    server.stop()
    for name in ("iris", "cars", "custom"):
        deploy(server.dir, name, models / name)
    start_loaded(server)
    invoke = lambda name, **body: requests.post(f"{server.url}/endpoints/{name}/invocations", json=body, timeout=60)
    split = json.loads(iris.data[::10].to_json(orient="split"))
    answer = invoke("iris", dataframe_split={"columns": split["columns"], "data": split["data"]})
    assert answer.json() == {"predictions": model.predict(iris.data[::10]).tolist()}, answer.text
    assert invoke("iris", dataframe_records=json.loads(iris.data[:3].to_json(orient="records"))).json()["predictions"] == ["setosa"] * 3
    metadata = requests.get(server.url + "/v2/models/iris").json()
    assert metadata["platform"] == "mlflow_pyfunc" and [i["name"] for i in metadata["inputs"]] == list(iris.data.columns)
    records = json.loads(cars.to_json(orient="records"))
    answer = invoke("cars", dataframe_records=records)
    assert answer.json()["predictions"] == shop.predict(cars).tolist(), answer.text
    inputs = [{"name": c, "shape": [2], "datatype": t, "data": cars[c][:2].tolist()} for c, t in (("colour", "BYTES"), ("age", "FP64"), ("doors", "INT64"))]
    answer = requests.post(server.url + "/v2/models/cars/infer", json={"inputs": inputs})
    assert answer.json()["outputs"][0]["data"] == shop.predict(cars[:2]).tolist(), answer.text
    answer = invoke("custom", dataframe_split={"columns": ["a", "b"], "data": [[1.0, "x"], [2.0, "y"]]})
    assert answer.json() == {"predictions": [{"value": 5, "name": "x"}, {"value": 10, "name": "y"}]}, answer.text
    answer = invoke("custom", dataframe_split={"columns": ["a", "b"], "data": [[1.0, "x"]]}, params={"plus": 2})
    assert answer.json()["predictions"][0]["value"] == 7
    missing = invoke("cars", dataframe_records=[{"age": 1, "doors": 2}])
    assert missing.status_code == 400 and "colour" in missing.json()["message"]


def test_batches_form_under_load(start_server, tmp_path):
    source = PLAIN.replace('"max_workers": 2', '"max_workers": 1, "batch": {"max_rows": 32}').replace(
        "what = data[0, 1]", "what = data[0, 1]; time.sleep(0.01)")
    server = start_server(env=ENV)
    server.stop()
    deploy(server.dir, "plain", folder(tmp_path / "plain", source, factor_txt="3"))
    start_loaded(server)
    wrong = []

    def ask(number):
        session = requests.Session()
        for i in range(15):
            x = number * 1000 + i
            body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [x, 0]}]}
            answer = session.post(f"{server.url}/v2/models/plain/infer", json=body, timeout=30).json()
            if answer.get("outputs", [{}])[0].get("data") != [3 * x]:
                wrong.append((x, answer))
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
    stats = requests.get(server.url + "/v2/models/plain/stats").json()["model_stats"][0]
    assert stats["inference_count"] == 120 and stats["execution_count"] < 100, stats
    assert stats["inference_stats"]["queue"]["ns"] > 0 and any(b["batch_size"] > 1 for b in stats["batch_stats"])


def test_threads_concurrency_and_no_workers_at_rest(start_server, tmp_path):
    """A model that cannot be forked, one that answers several at once, and one that keeps no worker at rest."""
    threads = """
        import threading, time
        class Model:
            def load(self, context):
                threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
            def predict(self, data):
                return data.sum(axis=1)
    """
    together = """
        import threading
        four = threading.Barrier(4)
        class Model:
            inputs = [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}]
            outputs = [{"name": "y", "datatype": "FP64", "shape": [-1]}]
            serving = {"max_workers": 1, "concurrency": 4}
            def predict(self, data):
                if data[0, 0] >= 10:
                    four.wait(30)  # none of the four gets further before all are here
                return data[:, 0]
    """
    resting = together.replace('"max_workers": 1, "concurrency": 4', '"min_workers": 0')
    wrong = together.replace('"concurrency": 4', '"workers": 4')
    server = start_server(env=ENV)
    server.stop()
    for name, source in (("threads", threads), ("together", together), ("resting", resting), ("wrong", wrong)):
        deploy(server.dir, name, folder(tmp_path / name, source))
    start_loaded(server)
    answer = requests.post(server.url + "/v1/models/threads:predict", json={"instances": [[1, 2], [3, 4]]})
    assert answer.json() == {"predictions": [3, 7]}, answer.text
    assert infer(server, 5, name="resting").json()["outputs"][0]["data"] == [5]
    refused = infer(server, 1, name="wrong")
    assert refused.status_code == 503 and "'workers' is unknown" in refused.text
    infer(server, 1, name="together")
    got = []
    asking = [threading.Thread(target=lambda n=n: got.append(infer(server, n, name="together").json()["outputs"][0]["data"][0] == n)) for n in range(10, 14)]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert got == [True] * 4


# --- what an endpoint says about running its model --------------------------------------------------------------------

PROJECT = """project: plain
data: {{rows: {{path: rows.csv, label: "y"}}}}
stages: {{train: {{cmd: "true", deps: [rows]}}}}
model: {{name: plain, from: train}}
endpoint: {endpoint}
"""


def apply(server, home, endpoint):
    home.mkdir(exist_ok=True)
    (home / "rows.csv").write_text("x,y\n1,2\n")
    (home / "lathe.yaml").write_text(PROJECT.format(endpoint=json.dumps(endpoint)))
    done = server.cli("apply", "--no-run", cwd=home)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def serving(server, name="plain"):
    return requests.get(server.api("/endpoints/" + name)).json()["serving"]


def test_an_endpoints_settings_take_effect_without_a_failed_request(plain, tmp_path):
    assert serving(plain)["endpoint"] == {}
    was = serving(plain)["in_force"]
    assert (was["min_workers"], was["max_workers"], was["timeout_ms"], was["memory_mb"]) == (1, 2, 1500, 200), "the model's own"
    wrong, asked, stop = [], [], threading.Event()

    def ask(number):
        session = requests.Session()
        while not stop.is_set():
            x = float(number * 1000 + len(asked))
            body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [x, 0]}]}
            answer = session.post(f"{plain.url}/v2/models/plain/infer", json=body, timeout=60)
            asked.append(x)
            if answer.status_code != 200 or answer.json()["outputs"][0]["data"] != [3 * x]:
                wrong.append((answer.status_code, answer.text))
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    try:
        home = tmp_path / "project"
        for workers, batch in (({"min": 3, "max": 4}, {"max_size": 8, "preferred": [4]}), ({"min": 0, "max": 1, "memory_mb": 300}, {"max_size": 1}),
                               ({"min": 2, "max": 2, "idle": "5s"}, {})):
            before = len(asked)
            apply(plain, home, {"name": "plain", "timeout": "20s", "workers": workers, "batch": batch})
            now = serving(plain)["in_force"]
            assert (now["min_workers"], now["max_workers"], now["timeout_ms"]) == (workers["min"], workers["max"], 20_000)
            assert now["memory_mb"] == workers.get("memory_mb", 200) and now.get("batch", {}).get("max_rows", 1) == batch.get("max_size", 1)
            until = time.monotonic() + 60
            while len(asked) < before + 20 or not workers["min"] <= len(workers_of(plain, "factor.txt")) <= workers["max"]:
                assert time.monotonic() < until, (serving(plain), workers_of(plain), plain.log())
                time.sleep(0.1)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[:3]
    shown = plain.cli("endpoints", "plain").stdout
    assert "serving.in_force.min_workers" in shown and "serving.endpoint.max_workers" in shown, shown
    # A worker that was started with another limit of memory is replaced: the new limit holds.
    refused = infer(plain, 1, what=-3)  # takes a gigabyte
    assert refused.status_code in (500, 503), refused.text


@pytest.mark.parametrize("concurrency", (1, 2))
def test_workers_beyond_a_lower_maximum_finish_what_they_run_and_go(start_server, tmp_path, concurrency):
    """Under requests that never let one of them rest: none is lost, and none goes on for ever."""
    source = PLAIN.replace('"timeout_ms": 1500', f'"timeout_ms": 20_000, "concurrency": {concurrency}')
    server = start_server(env=ENV)
    server.stop()
    deploy(server.dir, "plain", folder(tmp_path / "plain", source, factor_txt="3"))
    start_loaded(server)
    wrong, stop = [], threading.Event()

    def ask(number):
        while not stop.is_set():
            answer = infer(server, float(number), what=-7, timeout=60)
            if answer.status_code != 200 or answer.json()["outputs"][0]["data"] != [3.0 * number]:
                wrong.append((answer.status_code, answer.text))
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(10)]
    for thread in threads:
        thread.start()
    try:
        for most, count in ((4, 4), (1, 1)):
            apply(server, tmp_path / "project", {"name": "plain", "workers": {"min": 1, "max": most}})
            until = time.monotonic() + 60
            while len(workers_of(server)) != count:
                assert time.monotonic() < until, (serving(server), workers_of(server), wrong[:3], server.log())
                time.sleep(0.05)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[:3]
    assert {line.split()[-1] for line in requests.get(server.url + "/metrics").text.splitlines() if line.startswith("lathe_inference_worker_failures{")} == {"0"}


def test_workers_come_from_none_and_go_again(start_server, tmp_path):
    source = PLAIN.replace('"max_workers": 2, "timeout_ms": 1500, "memory_mb": 200', '"min_workers": 0, "max_workers": 3, "idle_ms": 300')
    server = start_server(env=ENV)
    server.stop()
    deploy(server.dir, "plain", folder(tmp_path / "plain", source, factor_txt="3"))
    start_loaded(server)

    def wait_for(count):
        until = time.monotonic() + 30
        while len(workers_of(server)) != count:
            assert time.monotonic() < until, (workers_of(server), serving(server), server.log())
            time.sleep(0.05)
    wait_for(0)
    got = []
    threads = [threading.Thread(target=lambda n=n: got.append(infer(server, float(n), what=-7).status_code)) for n in range(12)]
    for thread in threads:
        thread.start()
    wait_for(3)
    for thread in threads:
        thread.join()
    assert got == [200] * 12, got
    wait_for(0)
    workers = serving(server)["workers"]
    assert workers["started"] >= 3 and workers["failed"] == 0 and workers["waited"] > 0 and workers["wait_us"] > 0
    time.sleep(1.1)  # what is published once a second
    metrics = requests.get(server.url + "/metrics").text
    value = lambda name: float(next(line for line in metrics.splitlines() if line.startswith(name + "{")).rsplit(" ", 1)[1])
    assert value("lathe_inference_workers") == 0 and value("lathe_inference_workers_max") == 3
    assert value("lathe_inference_waits") > 0 and value("lathe_inference_workers_started") >= 3
    # A request whose time is shorter than what is before it is told so; no worker is ended for it.
    assert infer(server, 1.0).status_code == 200


# --- interpreters -----------------------------------------------------------------------------------------------------

COLOURS = """
    import colours
    class Model:
        inputs = [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}]
        outputs = [{"name": "y", "datatype": "BYTES", "shape": [-1]}]
        def predict(self, data):
            return [colours.VERSION] * len(data)
"""


def wheel(place, name, version, source):
    """A wheel of one module, as an index on a machine without a network has it."""
    import zipfile
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(place / f"{name}-{version}-py3-none-any.whl", "w") as out:
        out.writestr(f"{name}.py", source)
        out.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        out.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        out.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A folder that pip takes packages from: colours 1.0 and 2.0, and a `numpy` that leads to this interpreter's own."""
    place = tmp_path_factory.mktemp("packages")
    for version in ("1.0", "2.0"):
        wheel(place, "colours", version, f"VERSION = 'colours {version}'\n")
    site = str(pathlib.Path(np.__file__).parent.parent)
    wheel(place, "numpylink", "1.0", "")
    import zipfile
    with zipfile.ZipFile(place / "numpylink-1.0-py3-none-any.whl", "a") as out:
        out.writestr("numpylink.pth", site + "\n")
    return place


def answer_of(server, name):
    answer = infer(server, 1, name=name)
    return answer.json()["outputs"][0]["data"] if answer.status_code == 200 else answer.text


def test_models_with_other_versions_of_a_library_side_by_side(start_server, tmp_path, packages):
    """Environments that somebody made, named by the endpoint."""
    import subprocess
    envs = tmp_path / "envs"
    for name, version in (("old", "1.0"), ("new", "2.0")):
        subprocess.run([sys.executable, "-m", "venv", envs / name], check=True)
        subprocess.run([envs / name / "bin/pip", "install", "-q", "--no-index", "--find-links", packages, f"colours=={version}", "numpylink"], check=True)
    server = start_server("--python-envs", envs, env=ENV)
    server.stop()
    for name in ("plain", "other"):
        deploy(server.dir, name, folder(tmp_path / name, COLOURS))
    start_loaded(server)
    assert "No module named 'colours'" in answer_of(server, "plain"), "the server's own interpreter has none"
    apply(server, tmp_path / "one", {"name": "plain", "python": "old"})
    assert answer_of(server, "plain") == ["colours 1.0"]
    assert "No module named 'colours'" in answer_of(server, "other")
    apply(server, tmp_path / "one", {"name": "plain", "python": str(envs / "new")})
    assert answer_of(server, "plain") == ["colours 2.0"]
    # Outside the server's roots there is none, and what served goes on.
    for python in ("/usr/bin/python3", str(envs / ".." / ".." / "x"), "../x", "missing"):
        apply(server, tmp_path / "one", {"name": "plain", "python": python})
        assert answer_of(server, "plain") == ["colours 2.0"], python


def test_an_environment_is_built_from_the_models_requirements(start_server, tmp_path, packages):
    env = {**ENV, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(packages), "PIP_CONFIG_FILE": os.devnull}
    server = start_server("--python-build", "1", env=env)
    server.stop()
    for name, text in (("one", "colours==1.0\nnumpylink\n"), ("two", "colours==2.0\nnumpylink\n"), ("three", "colours==3.0\n")):
        deploy(server.dir, name, folder(tmp_path / name, COLOURS, requirements_txt=text))
    start_loaded(server)
    assert answer_of(server, "one") == ["colours 1.0"]
    assert answer_of(server, "two") == ["colours 2.0"]
    assert "pip install -r requirements.txt" in answer_of(server, "three") and "colours==3.0" in answer_of(server, "three")
    built = {p.name for p in (server.dir / "serve" / "python").iterdir()}
    server.stop()
    start_loaded(server)
    assert answer_of(server, "two") == ["colours 2.0"]
    assert {p.name for p in (server.dir / "serve" / "python").iterdir()} == built, "not built twice"


def test_nothing_is_built_unless_the_server_was_told_to(start_server, tmp_path, packages):
    server = start_server(env={**ENV, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(packages)})
    server.stop()
    deploy(server.dir, "one", folder(tmp_path / "one", COLOURS, requirements_txt="colours==1.0\nnumpylink\n"))
    start_loaded(server)
    assert "No module named 'colours'" in answer_of(server, "one")
    assert not (server.dir / "serve" / "python").exists()


# --- BentoML ----------------------------------------------------------------------------------------------------------

SERVICE = """
    import time
    import bentoml
    import numpy as np
    import pandas as pd

    @bentoml.service(workers=1, traffic={"timeout": 30})
    class Words:
        def __init__(self):
            self.factor = 3

        @bentoml.api
        def greet(self, name: str, times: int = 1) -> str:
            return " ".join([f"hello {name}"] * times)

        @bentoml.api(route="/scale")
        def scaled(self, data: np.ndarray) -> np.ndarray:
            return data * self.factor

        @bentoml.api
        def ages(self, people: pd.DataFrame) -> pd.DataFrame:
            return people.assign(older=people["age"] + 1)

        @bentoml.api
        async def later(self, value: int) -> int:
            return value * value

        @bentoml.api(batchable=True, max_batch_size=64)
        def lengths(self, texts: list[str]) -> list[dict]:
            time.sleep(0.05)
            return [{"length": len(t), "together": len(texts)} for t in texts]

        @bentoml.api
        def fail(self) -> int:
            raise ValueError("no such word")
"""
SERVING_PYTHON = pathlib.Path(__file__).resolve().parents[2] / ".venv-serving/bin/python"


@pytest.mark.skipif(not SERVING_PYTHON.exists(), reason="needs .venv-serving (tests/requirements-serving.txt)")
def test_a_bentoml_service_answers_bentomls_own_client(start_server, tmp_path):
    import subprocess
    server = start_server(env={"LATHE_PYTHON": str(SERVING_PYTHON)})
    server.stop()
    place = tmp_path / "words"
    place.mkdir()
    (place / "service.py").write_text(textwrap.dedent(SERVICE))
    deploy(server.dir, "words", place)
    start_loaded(server)
    done = subprocess.run([SERVING_PYTHON, pathlib.Path(__file__).parent / "serving_clients.py", "service", server.url], input="{}",
                          text=True, capture_output=True, timeout=180)
    assert done.returncode == 0, done.stderr + server.log()
    got = json.loads(done.stdout)
    assert got["ready"] and {"greet", "scaled", "ages", "later", "lengths", "fail"} <= set(got["routes"])
    assert got["greet"] == "hello Ada hello Ada" and got["default"] == "hello Ada"
    assert got["array"] == [[3.0, 6.0], [9.0, 12.0]] and got["frame"] == [{"age": 1, "older": 2}, {"age": 2, "older": 3}] and got["later"] == 16
    assert got["lengths"] == [[i, i + 1] for i in range(24)], "answers are never mixed"
    assert got["together"] >= 2, "requests that queued are run together"
    assert got["bad_greet"][0] == 400 and got["bad_fail"][0] == 400 and "no such word" in got["bad_fail"][1]
    for path, status in (("/nothing", 404), ("/greet", 400)):
        assert requests.post(server.url + path, data="{", headers={"Content-Type": "application/json"}).status_code == status
    assert requests.post(server.url + "/greet", data=b"x", headers={"Content-Type": "multipart/form-data"}).status_code == 400
    assert serving(server, "words")["in_force"]["timeout_ms"] == 30_000

"""MLflow's REST calls by hand: shapes, errors, tokens, artifacts. Bad input is never a 5xx."""
import base64
import concurrent.futures
import itertools
import os
import random

import pytest

COUNT = itertools.count()


@pytest.fixture
def call(server, http):
    def send(method, path, body=None, status=200, prefix="/api/2.0/mlflow/", **kwargs):
        url = server.url + (path if path.startswith("/") else prefix + path)
        if method == "GET":
            answer = http.get(url, params=body, **kwargs)
        else:
            answer = http.request(method, url, json=body, **kwargs)
        assert answer.status_code == status, (method, path, body, answer.status_code, answer.text[:500])
        return answer.json()

    return send


@pytest.fixture
def experiment(call):
    return call("POST", "experiments/create", {"name": f"e{next(COUNT)}"})["experiment_id"]


@pytest.fixture
def run(call, experiment):
    return call("POST", "runs/create", {"experiment_id": experiment, "start_time": 1})["run"]["info"]["run_id"]


def test_the_default_experiment_exists(call):
    zero = call("GET", "experiments/get", {"experiment_id": "0"})["experiment"]
    assert zero["name"] == "Default" and zero["workspace"] == "default" and zero["creation_time"] > 0


@pytest.mark.parametrize("prefix", ["/api/2.0/mlflow/", "/api/3.0/mlflow/", "/ajax-api/2.0/mlflow/", "/ajax-api/3.0/mlflow/"])
def test_every_prefix_serves_the_same(call, prefix):
    assert call("GET", "experiments/get", {"experiment_id": "0"}, prefix=prefix)["experiment"]["experiment_id"] == "0"
    error = call("GET", "no/such/thing", status=404, prefix=prefix)
    assert error["error_code"] == "ENDPOINT_NOT_FOUND"


def test_version_and_server_info(server, http, call):
    answer = http.get(server.url + "/version")
    assert answer.text == "3.17.2" and answer.headers["Content-Type"].startswith("text/html")
    assert call("GET", "server-info", prefix="/api/3.0/mlflow/")["store_type"] == "SqlStore"


def test_numbers_are_numbers_and_nan_is_a_word(call, run):
    big = 2**62
    call("POST", "runs/log-metric", {"run_id": run, "key": "n", "value": "NaN", "timestamp": str(big), "step": 3.0})
    call("POST", "runs/log-metric", {"run_id": run, "key": "i", "value": "-Infinity", "timestamp": 1})
    metrics = {m["key"]: m for m in call("GET", "runs/get", {"run_id": run})["run"]["data"]["metrics"]}
    assert metrics["n"] == {"key": "n", "value": "NaN", "timestamp": big, "step": 3}
    assert metrics["i"]["value"] == -1.7976931348623157e308


def test_doubles_come_back_bit_by_bit(call, run):
    rng = random.Random(3)
    values = [0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0, 1 / 3] + [rng.random() * 10.0 ** rng.randrange(-30, 30) for _ in range(300)]
    metrics = [{"key": "d", "value": v, "timestamp": i, "step": i} for i, v in enumerate(values)]
    call("POST", "runs/log-batch", {"run_id": run, "metrics": metrics})
    history = call("GET", "metrics/get-history", {"run_id": run, "metric_key": "d"})["metrics"]
    assert [m["value"] for m in history] == values


def test_old_spellings_work(call, run, server, http):
    assert call("GET", "runs/get", {"run_uuid": run})["run"]["info"]["run_id"] == run
    call("POST", "runs/set-tag", {"runUuid": run, "key": "a", "value": "b"})
    twice = '"{\\"run_id\\": \\"%s\\", \\"key\\": \\"c\\", \\"value\\": \\"d\\"}"' % run
    answer = http.post(server.url + "/api/2.0/mlflow/runs/set-tag", data=twice, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text


def test_search_pages_by_keyset_and_by_offset(call, experiment):
    ids = [call("POST", "runs/create", {"experiment_id": experiment, "start_time": t})["run"]["info"]["run_id"]
           for t in (5, 5, 5, 7, 9)]
    seen, token = [], None
    while True:
        page = call("POST", "runs/search", {"experiment_ids": [experiment], "max_results": 2, "page_token": token})
        seen += [r["info"]["run_id"] for r in page["runs"]]
        token = page.get("next_page_token")
        if token is None:
            break
    assert sorted(seen) == sorted(ids) and seen[:2] == [ids[4], ids[3]]
    offset = base64.b64encode(b'{"offset": 4}').decode()
    page = call("POST", "runs/search", {"experiment_ids": [experiment], "page_token": offset})
    assert [r["info"]["run_id"] for r in page["runs"]] == seen[4:]


BAD_CALLS = [
    ("POST", "experiments/create", {}), ("POST", "experiments/create", {"name": 5}), ("POST", "experiments/create", [1]),
    ("POST", "experiments/create", {"name": "x" * 501}), ("POST", "experiments/create", {"name": "nul\u0000"}),
    ("GET", "experiments/get", {"experiment_id": "x"}), ("POST", "experiments/search", {"max_results": -1}),
    ("POST", "experiments/search", {"max_results": 5, "view_type": "NONE"}),
    ("POST", "runs/create", {"experiment_id": "x"}), ("POST", "runs/create", {"experiment_id": "0", "tags": {"a": 1}}),
    ("POST", "runs/create", {"experiment_id": "0", "tags": [{"value": "v"}]}),
    ("POST", "runs/log-batch", {"run_id": "../x"}), ("POST", "runs/log-metric", {"run_id": "r", "key": "k"}),
    ("POST", "runs/search", {"experiment_ids": ["0"], "max_results": 50001}),
    ("POST", "runs/search", {"experiment_ids": ["0"], "page_token": "%%%"}),
    ("POST", "runs/search", {"experiment_ids": ["0"], "filter": "(" * 5000}),
    ("POST", "runs/search", {"experiment_ids": ["0"], "order_by": ["metrics.a", "metrics.a"]}),
    ("POST", "registered-models/create", {"name": "a/b"}), ("POST", "registered-models/create", {"name": " "}),
    ("POST", "logged-models", {"experiment_id": "0", "name": "a.b"}), ("POST", "logged-models/search", {"experiment_ids": ["x"]}),
    ("GET", "model-versions/search", {"max_results": "0"}), ("GET", "artifacts/list", {}),
]


@pytest.mark.parametrize("method,path,body", BAD_CALLS)
def test_bad_input_is_the_callers(call, method, path, body):
    error = call(method, path, body, status=400)
    assert error["error_code"] == "INVALID_PARAMETER_VALUE" and error["message"]


def test_garbage_never_breaks_the_server(server, http):
    """Every POST route with bodies that a seeded generator makes up."""
    paths = ["experiments/create", "experiments/search", "runs/create", "runs/log-batch", "runs/log-metric", "runs/search",
             "runs/set-tag", "runs/log-inputs", "runs/outputs", "runs/update", "logged-models", "logged-models/search",
             "registered-models/create", "model-versions/create", "registered-models/alias", "runs/log-model"]
    names = ["name", "run_id", "experiment_id", "experiment_ids", "metrics", "params", "tags", "key", "value", "filter",
             "order_by", "page_token", "max_results", "datasets", "models", "source", "version", "status", "step", "timestamp"]
    rng = random.Random(7)

    def text():
        return "".join(rng.choice("\"'`()=A\u00e9\U0001f600") for _ in range(rng.randrange(9)))

    def value(depth=0):
        makers = [lambda: None, lambda: rng.randrange(-2**63, 2**64), lambda: rng.random() * 10.0 ** rng.randrange(-300, 300),
                  lambda: "0", text, lambda: rng.random() < 0.5]
        if depth < 3:
            makers += [lambda: [value(depth + 1) for _ in range(rng.randrange(4))],
                       lambda: {rng.choice(names): value(depth + 1) for _ in range(rng.randrange(5))},
                       lambda: {"key": "k", "value": value(depth + 1)}]
        return rng.choice(makers)()

    for _ in range(800):
        path = rng.choice(paths)
        body = {rng.choice(names): value() for _ in range(rng.randrange(8))}
        answer = http.post(server.url + "/api/2.0/mlflow/" + path, json=body)
        assert answer.status_code < 500, (path, body, answer.text[:300])
        answer.json()


# --- artifacts -------------------------------------------------------------------------------------------------------

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


def test_artifacts_are_stored_read_in_part_replaced_and_deleted(server, http, call, experiment, run):
    folder = f"{experiment}/{run}/artifacts"
    base = server.url + ARTIFACTS + "/" + folder
    data = os.urandom(3_000_000)
    assert http.put(base + "/dir/b.bin", data=data).status_code == 200
    assert http.get(base + "/dir/b.bin").content == data
    part = http.get(base + "/dir/b.bin", headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == data[10:20]
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(data)}"
    assert http.get(base + "/dir/b.bin", headers={"Range": "bytes=-5"}).content == data[-5:]
    assert http.get(base + "/dir/b.bin", headers={"Range": f"bytes={len(data)}-"}).status_code == 416
    http.put(base + "/dir/b.bin", data=b"new")
    assert http.get(base + "/dir/b.bin").content == b"new"
    http.put(base + "/page.html", data=b"<script>")
    page = http.get(base + "/page.html")
    assert page.headers["Content-Security-Policy"].startswith("sandbox;") and "attachment" in page.headers["Content-Disposition"]
    listing = call("GET", "artifacts/list", {"run_id": run})
    assert listing["root_uri"] == f"mlflow-artifacts:/{folder}"
    assert listing["files"] == [{"path": "dir", "is_dir": True}, {"path": "page.html", "is_dir": False, "file_size": 8}]
    assert call("GET", ARTIFACTS, {"path": folder + "/dir"})["files"] == [{"path": "b.bin", "is_dir": False, "file_size": 3}]
    assert {"path": run, "is_dir": True} in call("GET", ARTIFACTS, {"path": experiment})["files"]
    assert http.get(server.url + "/get-artifact", params={"run_id": run, "path": "dir/b.bin"}).content == b"new"
    assert http.delete(base + "/dir").status_code == 200
    assert [f["path"] for f in call("GET", "artifacts/list", {"run_id": run})["files"]] == ["page.html"]
    assert http.get(base + "/dir/b.bin").status_code == 404


@pytest.mark.parametrize("path", ["..%2fx", "a/..%2f..%2fx", "%2e%2e/x", "a%00b", "a%5cb", "a%23b", "%252e%252e%252fx", "a//b"])
def test_unsafe_paths_are_refused(server, http, path):
    for method in ("PUT", "GET", "DELETE"):
        answer = http.request(method, server.url + ARTIFACTS + "/" + path, data=b"x")
        assert 400 <= answer.status_code < 500, (method, path, answer.status_code)


def test_a_file_and_a_folder_cannot_share_a_path(server, http, experiment, run):
    base = f"{server.url}{ARTIFACTS}/{experiment}/{run}/artifacts"
    http.put(base + "/a", data=b"1")
    assert http.put(base + "/a/b", data=b"2").status_code == 400
    http.put(base + "/d/e", data=b"1")
    assert http.put(base + "/d", data=b"2").status_code == 400


def test_a_version_keeps_the_files_it_was_made_of(server, http, call, experiment, run):
    base = f"{server.url}{ARTIFACTS}/{experiment}/{run}/artifacts/model"
    http.put(base + "/MLmodel", data=b"old")
    name = f"m{next(COUNT)}"
    call("POST", "registered-models/create", {"name": name})
    call("POST", "model-versions/create", {"name": name, "source": f"runs:/{run}/model", "run_id": run})
    http.put(base + "/MLmodel", data=b"new")
    got = http.get(server.url + "/model-versions/get-artifact", params={"name": name, "version": "1", "path": "MLmodel"})
    assert got.content == b"old"
    error = call("POST", "model-versions/create", {"name": name, "source": f"runs:/{run}/model"}, status=400)
    assert "must identify the resource" in error["message"]


def test_many_clients_at_once(server, http, call, experiment, run):
    """Versions stay distinct, a param is written once, and the alias ends at one of the versions."""
    name = f"m{next(COUNT)}"
    call("POST", "registered-models/create", {"name": name})

    def work(i):
        version = call("POST", "model-versions/create", {"name": name, "source": f"s3://b/{i}"})["model_version"]["version"]
        call("POST", "registered-models/alias", {"name": name, "alias": "best", "version": version})
        answer = http.post(server.url + "/api/2.0/mlflow/runs/log-parameter", json={"run_id": run, "key": "p", "value": str(i)})
        return version, answer.status_code

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        done = list(pool.map(work, range(48)))
    assert sorted(int(v) for v, _ in done) == list(range(1, 49))
    assert [s for _, s in done].count(200) == 1
    assert call("GET", "registered-models/alias", {"name": name, "alias": "best"})["model_version"]["version"]

"""Moving, copying, losing and removing runs; folders of experiments and of files; what operators of MLflow set."""
import io
import subprocess
import time
import zipfile

import pytest

from lathe_server import ROOT, clean_environment


@pytest.fixture
def call(server, http):
    def send(method, path, body=None, status=200, on=server, headers=None):
        url = on.url + ("/api/2.0/mlflow/" + path if not path.startswith("/") else path)
        answer = http.request(method, url, headers=headers, **({"params": body} if method == "GET" else {"json": body}))
        assert answer.status_code == status, (method, path, body, answer.status_code, answer.text[:500])
        return answer.json()

    return send


def ours(path):
    return "/api/lathe/v1" + path


def new_experiment(call, name, **kwargs):
    return call("POST", "experiments/create", {"name": name}, **kwargs)["experiment_id"]


def new_run(call, experiment, end=True, **kwargs):
    run = call("POST", "runs/create", {"experiment_id": experiment, "start_time": 1}, **kwargs)["run"]["info"]["run_id"]
    call("POST", "runs/log-batch", {"run_id": run, "metrics": [{"key": "loss", "value": v, "timestamp": i, "step": i} for i, v in enumerate([3, 1, 2])],
                                    "params": [{"key": "lr", "value": "0.1"}]}, **kwargs)
    if end:
        call("POST", "runs/update", {"run_id": run, "status": "FINISHED", "end_time": 2}, **kwargs)
    return run


def put(http, server, experiment, run, path, data):
    answer = http.put(f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/{path}", data=data)
    assert answer.status_code == 200, answer.text


def found(call, experiment, text):
    return [r["info"]["run_id"] for r in call("POST", "runs/search", {"experiment_ids": [experiment], "filter": text}).get("runs", [])]


def test_runs_move_and_are_copied(server, http, call):
    first, second = new_experiment(call, "acts/from"), new_experiment(call, "acts/to")
    run = new_run(call, first)
    put(http, server, first, run, "deep/a.txt", b"hello")
    assert call("POST", ours("/runs/move"), {"runs": [run], "experiment": second}) == {"moved": 1}
    assert found(call, second, "metrics.loss = 2 AND params.lr = '0.1'") == [run] and found(call, first, "") == []
    assert [f["path"] for f in call("GET", "artifacts/list", {"run_id": run})["files"]] == ["deep"]
    copy = call("POST", ours("/runs/copy"), {"runs": [run], "experiment": first}, status=201)["copies"][0]
    assert copy["from"] == run and found(call, first, "best(metrics.loss) = 1 and max(metrics.loss) = 3") == [copy["to"]]
    assert http.get(f"{server.url}/get-artifact", params={"run_id": copy["to"], "path": "deep/a.txt"}).content == b"hello"
    running = new_run(call, first, end=False)
    assert "RUNNING" in call("POST", ours("/runs/move"), {"runs": [running], "experiment": second}, status=409)["error"]["message"]
    for wrong in ({}, {"runs": [], "experiment": second}, {"runs": "x", "experiment": second}, {"runs": [run], "experiment": "x"},
                  {"runs": [run] * 1001, "experiment": second}, {"runs": [run], "experiment": second, "extra": 1}):
        call("POST", ours("/runs/move"), wrong, status=400)


def test_deleted_runs_go_for_good(server, http, call):
    experiment = new_experiment(call, "acts/gone")
    run, kept = new_run(call, experiment), new_run(call, experiment)
    put(http, server, experiment, run, "a.txt", b"hello")
    assert "active" in call("POST", ours("/runs/purge"), {"runs": [run]}, status=400)["error"]["message"]
    call("POST", ours("/runs/purge"), {}, status=400)
    call("POST", "runs/delete", {"run_id": run})
    assert call("POST", ours("/runs/purge"), {"older_than_s": 3600})["runs"] == 0
    done = server.cli("gc", "--older-than", "0s", "--run-ids", run)
    assert done.returncode == 0 and "1 runs" in done.stdout and "1 files" in done.stdout, done.stdout + done.stderr
    call("GET", "runs/get", {"run_id": run}, status=404)
    call("GET", "runs/get", {"run_id": kept})
    assert server.cli("gc", "--older-than", "soon").returncode != 0
    assert any(e["kind"] == "run.purged" for e in call("GET", ours("/events"), {"limit": 1000})["events"])


def test_an_experiment_goes_with_all_that_is_its(server, http, call):
    experiment, kept = new_experiment(call, "acts/whole"), new_experiment(call, "acts/kept")
    ids = {}
    for e in (experiment, kept):
        trace = f"tr-{e}-{time.time_ns()}"
        call("POST", "traces", {"trace": {"trace_info": {"trace_id": trace, "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": e}},
                                                         "request_time": "2026-11-23T10:31:28.049Z", "state": "OK"}}})
        call("POST", f"traces/{trace}/assessments", {"assessment": {"assessment_name": "a", "feedback": {"value": 1}, "source": {"source_type": "HUMAN", "source_id": "a"}}})
        assert http.put(f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{e}/traces/{trace}/artifacts/traces.json", data=b"{}").ok
        call("POST", "scorers/register", {"experiment_id": e, "name": "s", "serialized_scorer": "{}"})
        issue = call("POST", "issues", {"experiment_id": e, "name": "i", "description": "d"})["issue"]["issue_id"]
        schema = call("POST", "label-schemas/create", {"experiment_id": e, "name": "l", "type": "FEEDBACK", "input": {"text": {}}})["label_schema"]["schema_id"]
        queue = call("POST", "review-queues/create", {"experiment_id": e, "name": "q", "queue_type": "CUSTOM", "users": ["u"]})["review_queue"]["queue_id"]
        call("POST", "review-queues/items/add", {"queue_id": queue, "item_ids": [trace]})
        ids[e] = (trace, issue, schema, queue)
        new_run(call, e)
    shared = call("POST", "datasets/create", {"name": "shared", "experiment_ids": [experiment, kept]})["dataset"]["dataset_id"]
    call("POST", "experiments/delete", {"experiment_id": experiment})
    done = call("POST", ours("/runs/purge"), {"experiments": [experiment]})
    assert done["experiments"] == 1 and done["runs"] >= 0
    for e, status in ((experiment, 404), (kept, 200)):
        trace, issue, schema, queue = ids[e]
        call("GET", f"traces/{trace}", status=status)
        call("GET", f"issues/{issue}", status=status)
        call("GET", "label-schemas/get", {"schema_id": schema}, status=status)
        call("GET", "review-queues/get", {"queue_id": queue}, status=status)
        answer = http.get(f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{e}/traces/{trace}/artifacts/traces.json")
        assert answer.status_code == status, (e, answer.status_code)
    assert call("GET", f"datasets/{shared}/experiment-ids")["experiment_ids"] == [kept]
    assert [x["experiment_id"] for x in call("GET", "scorers/list", {"experiment_ids": [experiment, kept]})["scorers"]] == [int(kept)]


def test_experiments_are_a_tree(call):
    for name in ("tree/a", "tree/b/c", "tree/b/d"):
        new_experiment(call, name)
    top = call("GET", ours("/pages/experiments/folder"))
    assert {"name": "tree", "experiments": 3} in top["folders"] and any(e["name"] == "Default" for e in top["experiments"])
    tree = call("GET", ours("/pages/experiments/folder"), {"path": "tree/"})
    assert tree["folders"] == [{"name": "b", "experiments": 2}] and [e["name"] for e in tree["experiments"]] == ["tree/a"]


def test_a_folder_is_one_zip_file(server, http, call):
    experiment = new_experiment(call, "acts/zip")
    run = new_run(call, experiment)
    files = {"a.txt": b"hello", "sub/empty": b"", "sub/\u00fc b.bin": bytes(range(256)) * 1000}
    for path, data in files.items():
        put(http, server, experiment, run, path, data)
    url = server.url + "/ajax-api/2.0/mlflow/artifacts/zip"
    answer = http.get(url, params={"run_id": run})
    assert answer.status_code == 200 and int(answer.headers["Content-Length"]) == len(answer.content)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert {i.filename: archive.read(i) for i in archive.infolist()} == files
    with zipfile.ZipFile(io.BytesIO(http.get(url, params={"run_id": run, "path": "sub"}).content)) as archive:
        assert sorted(archive.namelist()) == ["empty", "\u00fc b.bin"]
    for query, status in (({"run_id": run, "path": "nobody"}, 404), ({"run_id": run, "path": "../x"}, 400), ({}, 400), ({"run_id": "nobody"}, 404)):
        assert http.get(url, params=query).status_code == status, query


def test_pages_upload_small_files(server, http, call):
    run = new_run(call, "0")
    url = server.url + "/ajax-api/2.0/mlflow/upload-artifact"
    assert http.post(url, params={"run_uuid": run, "path": "notes/a.md"}, data=b"# words").status_code == 200
    assert http.get(f"{server.url}/get-artifact", params={"run_id": run, "path": "notes/a.md"}).content == b"# words"
    for query, data in (({"path": "a"}, b"x"), ({"run_uuid": run}, b"x"), ({"run_uuid": run, "path": "a"}, b""), ({"run_uuid": run, "path": "../a"}, b"x"),
                        ({"run_uuid": run, "path": "a"}, b"x" * (10 * 2**20 + 1))):
        assert http.post(url, params=query, data=data).status_code in (400, 413), query


def test_every_project_has_a_default_experiment(server, http, call):
    call("POST", ours("/projects"), {"name": "other"}, status=201)
    there = {"X-MLFLOW-WORKSPACE": "other"}
    zero = call("GET", "experiments/get", {"experiment_id": "0"}, headers=there)["experiment"]
    assert zero["name"] == "Default" and zero["workspace"] == "other" and zero["experiment_id"] != "0"
    run = call("POST", "runs/create", {"experiment_id": "0"}, headers=there)["run"]["info"]
    assert run["experiment_id"] == zero["experiment_id"]
    assert len(call("POST", "runs/search", {"experiment_ids": ["0"]}, headers=there)["runs"]) == 1
    nobody = call("GET", "experiments/get", {"experiment_id": "0"}, headers={"X-MLFLOW-WORKSPACE": "nobody"}, status=404)
    assert nobody["error_code"] == "RESOURCE_DOES_NOT_EXIST" and "nobody" in nobody["message"]


def test_the_stock_client_works_in_a_project(server, call):
    call("POST", ours("/projects"), {"name": "client"}, status=201)
    script = ("import mlflow\nassert 'client' in [w.name for w in mlflow.list_workspaces()]\nmlflow.create_workspace('made')\n"
              "assert mlflow.get_workspace('made').name == 'made'\nmlflow.set_workspace('client')\n"
              "with mlflow.start_run() as run:\n    mlflow.log_metric('a', 1)\n    mlflow.log_text('hello', 'a.txt')\n"
              "assert mlflow.MlflowClient().get_run(run.info.run_id).data.metrics == {'a': 1.0}\n"
              "assert mlflow.artifacts.load_text(run.info.artifact_uri + '/a.txt') == 'hello'\n"
              "assert mlflow.get_experiment_by_name('Default').experiment_id == run.info.experiment_id\nprint('OK')")
    env = clean_environment(MLFLOW_TRACKING_URI=server.url, MLFLOW_HTTP_REQUEST_MAX_RETRIES="1")
    done = subprocess.run([ROOT / ".venv" / "bin" / "python", "-c", script], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "OK" in done.stdout, done.stderr[-2000:]


def test_operators_rule_where_files_lie(start_server, http, call):
    server = start_server("--default-artifact-root", "s3://bucket/runs", "--purge-deleted-after-days", "30",
                          env={"MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX": "^s3://bucket/",
                               "MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES": "ftp, HDFS"})
    assert call("GET", "experiments/get", {"experiment_id": "0"}, on=server)["experiment"]["artifact_location"] == "s3://bucket/runs/0"
    experiment = new_experiment(call, "rooted", on=server)
    got = call("GET", "experiments/get", {"experiment_id": experiment}, on=server)["experiment"]
    assert got["artifact_location"] == f"s3://bucket/runs/{experiment}"
    call("POST", "registered-models/create", {"name": "m"}, on=server)
    call("POST", "model-versions/create", {"name": "m", "source": "s3://bucket/m"}, on=server)
    assert "Invalid model version source" in call("POST", "model-versions/create", {"name": "m", "source": "s3://other/m"}, status=400, on=server)["message"]
    for location, status in (("hdfs://host/a", 200), ("http://host/a", 400), ("mlflow-artifacts://host/a", 400), ("mlflow-artifacts:/a", 200)):
        call("POST", "experiments/create", {"name": location, "artifact_location": location}, status=status, on=server)


@pytest.mark.parametrize("args", [("--default-artifact-root", "relative"), ("--purge-deleted-after-days", "-1"), ("--run-lost-after-minutes", "x"),
                                  ("--mlflow-source-regex", "(")])
def test_settings_that_make_no_sense_stop_the_start(start_server, args):
    server = start_server(*args, wait=False)
    assert server.process.wait(30) != 0 and args[1] in server.log()


def test_the_silent_are_marked_lost_and_come_back(start_server, http, call):
    server = start_server("--run-lost-after-minutes", "1")
    run, ended = new_run(call, "0", end=False, on=server), new_run(call, "0", on=server)
    until = time.monotonic() + 110
    while call("GET", "runs/get", {"run_id": run}, on=server)["run"]["info"]["status"] == "RUNNING":
        assert time.monotonic() < until, "a silent run stays RUNNING"
        time.sleep(1)
    got = call("GET", "runs/get", {"run_id": run}, on=server)["run"]
    assert got["info"]["status"] == "FAILED" and any(t["key"] == "lathe.lost" for t in got["data"]["tags"])
    assert call("GET", "runs/get", {"run_id": ended}, on=server)["run"]["info"]["status"] == "FINISHED"
    call("POST", "runs/log-metric", {"run_id": run, "key": "loss", "value": 5, "timestamp": 9}, on=server)
    until = time.monotonic() + 40
    while call("GET", "runs/get", {"run_id": run}, on=server)["run"]["info"]["status"] != "RUNNING":
        assert time.monotonic() < until, "a run that writes again stays lost"
        time.sleep(0.5)


def test_a_history_is_searched(call):
    run = new_run(call, "0")

    def search(text, **more):
        return call("GET", ours("/pages/runs/history"), {"run": run, "key": "loss", "q": text, **more})

    assert [p["value"] for p in search("value > 1 AND step < 2")["points"]] == [3.0]
    assert [p["step"] for p in search("NOT (value = 3) OR timestamp = 0")["points"]] == [0, 1, 2]
    assert search("", limit=2)["more"] is True and search("value > 99")["points"] == []
    error = call("GET", ours("/pages/runs/history"), {"run": run, "key": "loss", "q": "value >> 1"}, status=400)["error"]["message"]
    assert "character 7" in error
    call("GET", ours("/pages/runs/history"), {"run": "nobody", "key": "loss"}, status=404)
    call("GET", ours("/pages/runs/history"), {"run": run}, status=400)

"""The stock `mlflow` client, 3.17.2 and 3.12.0, each in its own environment against one server."""
import pathlib
import subprocess

import pytest
import requests

from lathe_server import ROOT, clean_environment

SCENARIO = pathlib.Path(__file__).with_name("mlflow_scenario.py")


def play(server, venv, *parts, **variables):
    python = ROOT / venv / "bin" / "python"
    assert python.exists(), f"{python} is missing; ./dev setup"
    env = clean_environment(MLFLOW_TRACKING_URI=server.url, GIT_PYTHON_REFRESH="quiet", MLFLOW_DISABLE_TELEMETRY="true",
                            MLFLOW_HTTP_REQUEST_MAX_RETRIES="1", **variables)
    done = subprocess.run([python, SCENARIO, *parts], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "OK" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.parametrize("venv", [".venv", ".venv-mlflow312"])
def test_runs_search_and_registry(server, venv):
    play(server, venv, "core")


@pytest.mark.parametrize("flavour", ["pickle", "skops", "onnx"])
def test_log_model_and_load_model(server, flavour):
    play(server, ".venv", flavour)


def test_autolog_and_datasets(server):
    play(server, ".venv", "autolog")


def test_prompts(server):
    play(server, ".venv", "prompts")


def test_the_full_package_evaluates(server):
    """The environment of the real server (tests/requirements-mlflow.txt), which has what evaluate() draws with."""
    play(server, ".venv-mlflow", "core", "evaluate", "prompts")


@pytest.mark.parametrize("venv", [".venv", ".venv-mlflow312"])
def test_multipart_upload(server, venv):
    play(server, venv, "multipart", MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD="true", MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE="1000000",
         MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE="1000000")
    assert requests.get(server.url + "/api/3.0/mlflow/server-info", timeout=10).json()["multipart_uploads_enabled"] is True


def test_multipart_mistakes(server):
    url = server.url + "/api/2.0/mlflow-artifacts/mpu/"

    def post(act, folder, **body):
        return requests.post(url + act + "/" + folder, json=body, timeout=10)

    assert post("create", "0/x/artifacts", path="f", num_parts=0).status_code == 400
    assert post("create", "0/x/artifacts", num_parts=1).status_code == 400
    assert post("create", "0/%2e%2e/artifacts", path="f", num_parts=1).status_code == 400
    assert post("complete", "0/x/artifacts", path="f", upload_id="nothing", parts=[]).status_code == 404
    begun = post("create", "0/x/artifacts", path="/tmp/f", num_parts=2).json()
    first, second = (c["url"] for c in begun["credentials"])
    etag = requests.put(second, data=b"world", timeout=10).headers["ETag"]
    missing = post("complete", "0/x/artifacts", path="f", upload_id=begun["upload_id"], parts=[{"part_number": 2, "etag": etag, "url": second}])
    assert missing.status_code == 400 and "part 1 of 2 has not been uploaded" in missing.json()["message"]
    requests.put(first, data=b"hello ", timeout=10)
    wrong = post("complete", "0/x/artifacts", path="f", upload_id=begun["upload_id"], parts=[{"part_number": 1, "etag": etag, "url": first}])
    assert wrong.status_code == 400 and "ETag" in wrong.json()["message"]
    assert post("complete", "0/y/artifacts", path="f", upload_id=begun["upload_id"], parts=[]).status_code == 400
    assert post("complete", "0/x/artifacts", path="f", upload_id=begun["upload_id"], parts=[]).status_code == 200
    assert requests.get(server.url + "/api/2.0/mlflow-artifacts/artifacts/0/x/artifacts/f", timeout=10).content == b"hello world"
    assert post("complete", "0/x/artifacts", path="f", upload_id=begun["upload_id"], parts=[]).status_code == 404
    again = post("create", "0/x/artifacts", path="g", num_parts=1).json()
    assert post("abort", "0/x/artifacts", path="g", upload_id=again["upload_id"]).status_code == 200
    assert requests.put(again["credentials"][0]["url"], data=b"x", timeout=10).status_code == 404


def test_files_of_a_registered_model_are_final(server):
    def call(method, path, **body):
        return requests.request(method, f"{server.url}/api/2.0/mlflow/{path}", json=body, timeout=10)

    model = call("POST", "logged-models", experiment_id="0", name="m").json()["model"]["info"]
    folder = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/0/models/{model['model_id']}/artifacts"
    assert requests.put(folder + "/MLmodel", data=b"one", timeout=10).status_code == 200
    assert requests.put(folder + "/MLmodel", data=b"two", timeout=10).status_code == 200
    call("PATCH", f"logged-models/{model['model_id']}", model_id=model["model_id"], status=2)
    assert call("POST", "registered-models/create", name="final").status_code == 200
    made = call("POST", "model-versions/create", name="final", source=f"models:/{model['model_id']}", model_id=model["model_id"])
    assert made.status_code == 200, made.text
    refused = requests.put(folder + "/MLmodel", data=b"three", timeout=10)
    assert refused.status_code == 409 and "registered as final version 1" in refused.json()["message"]
    assert requests.delete(folder + "/MLmodel", timeout=10).status_code == 409
    assert requests.get(folder + "/MLmodel", timeout=10).content == b"two"

    # A version made of a run's whole folder keeps what it was made of; the run goes on.
    run = call("POST", "runs/create", experiment_id="0").json()["run"]["info"]["run_id"]
    files = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts"
    requests.put(files + "/a.txt", data=b"before", timeout=10)
    made = call("POST", "model-versions/create", name="final", source=f"runs:/{run}/", run_id=run)
    if made.status_code == 200:
        assert requests.put(files + "/a.txt", data=b"after", timeout=10).status_code == 200
        got = requests.get(f"{server.url}/model-versions/get-artifact?name=final&version=2&path=a.txt", timeout=10)
        assert got.content == b"before"

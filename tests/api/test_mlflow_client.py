"""The stock `mlflow` client, 3.17.2 and 3.12.0, each in its own environment against one server."""
import pathlib
import subprocess

import pytest

from lathe_server import ROOT, clean_environment

SCENARIO = pathlib.Path(__file__).with_name("mlflow_scenario.py")


def play(server, venv, *parts):
    python = ROOT / venv / "bin" / "python"
    assert python.exists(), f"{python} is missing; ./dev setup"
    env = clean_environment(MLFLOW_TRACKING_URI=server.url, GIT_PYTHON_REFRESH="quiet", MLFLOW_DISABLE_TELEMETRY="true",
                            MLFLOW_HTTP_REQUEST_MAX_RETRIES="1")
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

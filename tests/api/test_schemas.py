"""Requests made from the published schemas (schemathesis): whatever comes, no answer is a 5xx."""
import json
import os
import subprocess

import pytest

from deploy import deploy, made_models
from lathe_server import ROOT

PYTHON = ROOT / ".venv-serving/bin/python"


def run(server, which, examples):
    if not PYTHON.exists():
        pytest.skip(".venv-serving is not installed")
    done = subprocess.run([PYTHON, ROOT / "tests/api/schema_run.py", which, server.url, str(examples)], text=True, capture_output=True,
                          timeout=600, env={"PATH": os.environ["PATH"], "HOME": str(server.dir)})
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-4000:]
    return {int(status): count for status, count in json.loads(done.stdout.splitlines()[-1]).items()}


def test_open_inference_protocol(start_module_server):
    server = start_module_server()
    server.stop()
    deploy(server.dir, "iris", made_models() / "iris", default=True)
    server.start()
    seen = run(server, "oip", 60)
    assert seen[200] and seen[400] and seen[404], seen


def test_our_own_document(start_server):
    server = start_server()
    seen = run(server, "lathe", 6)
    assert seen[200] and seen[400] and seen[404], seen
    assert server.process.poll() is None

#!/usr/bin/env python3
"""Brings docs/openapi.json up to the routes of a running server: adds what is new, drops what is gone, keeps every word
that was written by hand. Usage: tools/openapi.py [http://127.0.0.1:8000]; without an address it starts a server of its own
(build/release/lathe, or LATHE_BINARY)."""
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

FILE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "openapi.json"
ROOT = "/api/lathe/v1"

SUMMARIES = {
    "GET /status": "The server: version, process, store, connections",
    "GET /audit": "Audit lines, newest first; ?before=ID&limit=N",
    "GET /events": "Events after a position (?after=&limit=); live with Accept: text/event-stream and Last-Event-ID",
    "GET /routes": "All routes with their permission and limits",
    "GET /openapi.json": "This document",
    "GET /pipelines": "Names of all pipelines",
    "GET /pipelines/{name}": "A pipeline's stages, schedule and limits",
    "GET /pipelines/{name}/runs": "Runs of a pipeline, newest first",
    "POST /pipelines/{name}/runs": "Start a run",
    "GET /pipeline-runs/{id}": "A run with its stages",
    "GET /pipeline-runs/{id}/outs": "Files that the stages of a run made",
    "GET /pipeline-runs/{id}/dvc.lock": "The run as a dvc.lock file",
    "POST /pipeline-runs/{id}/cancel": "Ask a run to stop",
    "GET /attempts/self": "The attempt behind this request's token",
    "GET /attempts/{id}/log": "An attempt's log; ?follow=true streams it until the attempt ends",
    "PUT /blobs/{sha256}": "Store a blob; its bytes must have this digest",
    "GET /blobs/{sha256}": "A blob's bytes",
    "POST /blobs/missing": "Which of these digests the server does not have",
    "GET /data": "Names of all data sets",
    "GET /data/{name}/versions": "Versions of a data set, newest first",
    "GET /data/{name}/versions/{id}": "A data version: manifest, schema, profile",
    "GET /data/{name}/versions/{id}/files/{path}": "A file of a data version",
    "POST /data/{name}/versions": "Register a prepared data version",
    "POST /bundles": "Register a bundle of files whose blobs are stored",
    "GET /bundles/{id}": "A bundle's files, commit and dirty flag",
    "POST /apply": "Apply a bundle's lathe.yaml, or say what would change",
    "GET /config": "What has been applied",
    "GET /schema": "The JSON Schema of lathe.yaml",
    "GET /evaluation-plan": "What a run's evaluate stage has still to measure; ?run= or the run's own token",
    "POST /evaluations": "Predictions of one model on one part, as the plan asks; the server measures them",
    "GET /evaluations": "Evaluations, newest first",
    "GET /evaluations/{id}": "An evaluation with its numbers",
    "POST /verdicts": "Ask the gate about a challenger",
    "GET /verdicts/{id}": "A verdict with its numbers",
    "GET /verdicts": "Verdicts, newest first; ?pipeline= or ?run=",
    "POST /promotions": "Promote a verdict's challenger, or move what one environment verified to another",
    "GET /promotions": "Promotions and rollbacks, newest first; ?endpoint=",
    "GET /retrainings": "Retrainings that alerts of an endpoint started; ?endpoint=",
    "POST /endpoints/{name}/rollback": "Back to the revision before",
    "GET /lineage/{id}": "What something came from, or what it touched",
    "GET /endpoints": "All endpoints",
    "GET /endpoints/{name}": "An endpoint with its revisions",
    "GET /endpoints/{name}/requests": "Captured rows with their labels, as NDJSON",
    "GET /predictions/{id}": "One captured prediction",
    "POST /feedback": "Labels for predictions",
    "GET /monitors": "All monitors",
    "PUT /monitors/{endpoint}": "Watch an endpoint, or change how",
    "GET /windows/{id}": "A window with its numbers per feature",
    "GET /monitors/{endpoint}": "What is watched at an endpoint, and how",
    "GET /monitors/{endpoint}/windows": "Evaluated windows of an endpoint, newest first",
    "GET /alerts": "Alerts, newest first",
    "GET /alerts/{id}": "An alert with its numbers and thresholds",
}
PERMISSIONS = {"none": "anybody", "read": "read", "write": "write", "run-code": "run code", "infer": "infer", "admin": "administer"}


def operation(method, path, route):
    fallback = f"{method} {' '.join(re.sub(r'[{}]', '', part) for part in path.strip('/').split('/'))}"
    made = {"summary": SUMMARIES.get(f"{method} {path}", fallback),
            "parameters": [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                           for name in re.findall(r"{(\w+)}", path)],
            "responses": {"200": {"description": "done"}, "default": {"$ref": "#/components/responses/Error"}}}
    if method in ("POST", "PUT", "PATCH") and route["body_bytes"]:
        kind = "application/octet-stream" if method == "PUT" else "application/json"
        made["requestBody"] = {"content": {kind: {}}}
    return made


def main(url):
    with urllib.request.urlopen(f"{url}{ROOT}/routes") as answer:
        routes = json.load(answer)["routes"]
    document = json.loads(FILE.read_text())
    paths = {}
    for route in routes:
        if not route["pattern"].startswith(ROOT + "/"):
            continue
        path = route["pattern"].removeprefix(ROOT).replace("...}", "}")
        method = route["method"].lower()
        kept = document.get("paths", {}).get(path, {}).get(method)
        entry = kept or operation(route["method"], path, route)
        entry["x-permission"] = route["permission"]
        entry["x-body-bytes"] = route["body_bytes"]
        paths.setdefault(path, {})[method] = entry
    error = {"type": "object", "properties": {"error": {"type": "object", "required": ["code", "message", "request_id"], "properties": {
        name: {"type": "string"} for name in ("code", "message", "request_id")}}}}
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Lathe", "version": document["info"]["version"],
                 "description": "Lathe's own API. The protocols of other tools (MLflow, Open Inference Protocol, …) are served beside it."},
        "servers": [{"url": ROOT}],
        "security": [{}, {"token": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {"Error": {"description": "What was found, and what is allowed",
                                    "content": {"application/json": {"schema": error}}}},
        },
    }
    FILE.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def own_server():
    binary = os.environ.get("LATHE_BINARY", FILE.parents[1] / "build" / "release" / "lathe")
    with tempfile.TemporaryDirectory() as home:
        state = pathlib.Path(home) / "state"
        process = subprocess.Popen([binary, "up", "--dir", state, "--listen", "127.0.0.1:0"])
        try:
            while not (state / "address").exists():
                if process.poll() is not None:
                    sys.exit("openapi.py: the server does not start")
                time.sleep(0.02)
            yield (state / "address").read_text().strip()
        finally:
            subprocess.run([binary, "down", "--dir", state], check=False, capture_output=True)
            process.wait()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1].rstrip("/"))
    else:
        with own_server() as url:
            main(url)

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
    "GET /status": "The server: version, process, store, disk; what serves, what runs, open alerts",
    "GET /audit": "Audit lines, newest first; ?after=&limit=&actor=&kind=&model=&about=models",
    "GET /models/{name}/audit": "What was done to a registered model, by whom, newest first; ?after=&limit=&actor=&kind=",
    "POST /login": "Log in with user and password: 204 and a session cookie; 401, or 429 with Retry-After",
    "POST /logout": "End the session of this cookie",
    "GET /me": "Who the caller is: name, kind, roles and permissions in the project, projects, mode (local or users)",
    "POST /me/password": "Change one's own password (old_password, new_password); ends all of one's sessions",
    "GET /users": "All users with their roles",
    "POST /users": "Add a user (name, password) or a service (kind: service), with roles by project",
    "PATCH /users/{name}": "Change a user's password, admin, disabled or roles by project",
    "GET /tokens": "One's own tokens, with their last use; ?all=true: everybody's",
    "POST /tokens": "Make a token (label, role, project, expires_in_s, user); its secret is shown this once",
    "DELETE /tokens/{id}": "Revoke a token at once",
    "GET /projects": "The projects that the caller may enter",
    "POST /projects": "Add a project",
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
    "GET /attempts/{id}/log": "An attempt's log; ?follow=true streams it until the attempt ends; ?offset=BYTE begins there",
    "GET /endpoints/{name}/traffic": "Weights, shadow and its agreement, accuracy by labels with its test, rollouts; ?since_us=",
    "PUT /endpoints/{name}/traffic": "Divide the traffic (weights, shadow, shadow_percent, sticky, generation)",
    "GET /model-files": "A model's files by digest and its preparation; ?model=models:/NAME@ALIAS, NAME/VERSION or an endpoint",
    "POST /replays": "Captured requests once more (endpoint or prediction; version or revision; since_us, until_us, limit), in a child",
    "GET /pages/pipelines": "For the browser: every pipeline with its newest runs and schedule; ?runs=N",
    "GET /pages/pipelines/{name}": "For the browser: a pipeline's stages, schedule and grid of stages over runs; ?runs=N&before=NUMBER",
    "GET /pages/pipelines/{name}/runs/{run}": "For the browser: one run by number or id: graph, stages, attempts, what each waits for",
    "GET /pages/attempts/{id}/log": "Lines of an attempt's log; ?from=LINE&limit=N, a negative from counts from the end",
    "GET /pages/attempts/{id}/log/search": "Numbers of the log's lines that hold a text, or are of a level; ?q=TEXT&level=warn|error&limit=N",
    "GET /pages/data": "For the browser: every data set with its newest version",
    "GET /pages/data/{ref}": "For the browser: a data version (NAME@WHICH or an id) with schema, profile, files and uses",
    "GET /pages/data/{ref}/rows": "Rows of one of a version's CSV files; ?file=PATH&from=ROW&limit=N",
    "GET /pages/data/{ref}/diff": "What differs from another version; ?against=NAME@WHICH",
    "GET /pages/endpoints": "For the browser: every endpoint with its last quarter of an hour",
    "GET /pages/endpoints/{name}": "For the browser: an endpoint's signature, revisions, traffic and latency; ?from_us=&to_us=&step_us=",
    "GET /pages/loaded": "For the browser: every model in memory, with its state, size, queue and last use",
    "GET /pages/endpoints/{name}/requests": "Captured requests, newest first, with labels; ?after=&limit=&prediction=&wrong=1&labelled=1&below_score=&least_us=&revision=&from_us=&to_us=&id=",
    "GET /pages/monitors": "For the browser: every monitor with its newest windows and open alerts",
    "GET /pages/monitors/{endpoint}": "For the browser: drift per feature over windows, accuracy, alerts and what they started; ?from_us=&to_us=&windows=&features=",
    "GET /pages/monitors/{endpoint}/feature": "One feature's baseline beside a window; ?name=FEATURE&window=ID",
    "GET /pages/lineage": "For the browser: an object's surroundings both ways; ?id=&up=STEPS&down=STEPS",
    "GET /pages/lineage/start": "For the browser: the newest objects that a lineage can begin with",
    "PUT /blobs/{sha256}": "Store a blob; its bytes must have this digest",
    "GET /blobs/{sha256}": "A blob's bytes",
    "GET /metric-rules": "Rules on metrics of runs; ?experiment=",
    "POST /metric-rules": "Add a rule: experiment, name, kind (above, below, not_finite, stalled), metric, threshold, silent_s, filter",
    "DELETE /metric-rules/{id}": "Remove a rule and what it raised",
    "GET /metric-alerts": "What rules on metrics have raised, newest first; ?experiment=&run=&rule=&before_ms=&limit=",
    "POST /import/{act}": "What `lathe import` asks of a running server: packed bytes for a command of the same version (src/takeover)",
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
    "GET /pages/experiments": "Active experiments with how many runs each has",
    "GET /pages/experiments/folder": "What lies directly in a folder of experiments, which '/' in their names makes; ?path=team/vision",
    "GET /pages/runs/history": "Points of a run's metrics that match a filter over value, step and timestamp; ?run=&key=&q=&limit=",
    "POST /runs/move": "Move runs (runs, experiment) to another experiment; those that have ended",
    "POST /runs/copy": "Copy runs (runs, experiment) with all they hold; answers which copy is whose",
    "POST /runs/purge": "Remove deleted runs, logged models and experiments for good (runs, experiments, older_than_s)",
    "GET /pages/runs": "A window of runs with chosen columns; ?exp=&q=&sort=&col=&view=&limit=&offset=&after=&until=",
    "GET /pages/runs/count": "How many runs match; past 10,000 matches of a filter 'at least'; ?above= counts what is newer",
    "GET /pages/runs/keys": "Names of metrics, parameters or tags in use; ?exp=&kind=&contains=&limit=",
    "GET /pages/runs/values": "Values of a parameter or tag; ?exp=&kind=&key=&contains=&limit=",
    "GET /pages/runs.csv": "Runs as CSV: those of a filter, or those that are named (?id=)",
    "GET /pages/runs/curves": "Histories as charts draw them; ?run=&key=&axis=step|time&pixels=&from=&to=&smooth=",
    "GET /pages/runs/compare": "Runs side by side; ?id= for each",
    "GET /pages/runs/{id}": "A run: parameters, metrics with last and best, data, models, children, stage",
    "GET /pages/models": "Registered models with where they serve and what judged them; ?q=&limit=&after=",
    "GET /pages/models/{name}": "A model's versions, verdicts and promotions; ?below=&limit=",
    "GET /pages/models/{name}/{version}": "A version with its evaluations, verdicts and promotions",
    "GET /pages/promotion": "What a promotion would change now, and whether it may; ?verdict=&environment=",
    "GET /pages/rollback": "What a rollback would change now; ?endpoint=",
    "GET /pages/evaluations": "Evaluations with the names of what they judged, newest first; ?model=&limit=&after=",
    "GET /pages/evaluations/{id}": "An evaluation with its numbers and the others of the same rows",
    "GET /pages/evaluations/{id}/rows": "Its rows, mistakes first; ?label=&predicted=&wrong=&slice=&value=&against=&disagree=",
    "GET /endpoints": "All endpoints",
    "GET /endpoints/{name}": "An endpoint with its revisions",
    "GET /endpoints/{name}/requests": "Captured rows with their labels, as NDJSON",
    "GET /predictions/{id}": "One captured prediction",
    "POST /feedback": "Labels for predictions",
    "GET /planes": "Data planes of the project, what each of them serves, and whether that is what is wanted",
    "DELETE /planes/{id}": "Forget a data plane that is gone",
    "GET /plane/snapshot": "For data planes: all that is served in the project, and of which files",
    "GET /plane/events": "For data planes: what changes after Last-Event-ID, live; 409 when events are missing",
    "GET /plane/blobs/{sha256}": "For data planes: a file of a revision",
    "POST /plane/callers": "For data planes: who tokens belong to (hashes), and what they may",
    "PUT /plane/planes/{id}": "For data planes: what it serves now; answers its writer number",
    "POST /plane/planes/{id}/captures/{endpoint}": "For data planes: requests that were captured there",
    "GET /monitors": "All monitors",
    "PUT /monitors/{endpoint}": "Watch an endpoint, or change how",
    "GET /windows/{id}": "A window with its numbers per feature",
    "GET /monitors/{endpoint}": "What is watched at an endpoint, and how",
    "GET /monitors/{endpoint}/windows": "Evaluated windows of an endpoint, newest first",
    "GET /lab": "One's own notebook server: state, address, what is at work in it",
    "POST /lab": "Start one's own notebook server; {root?, python?, memory_mib?, idle_minutes?}",
    "DELETE /lab": "Stop one's own notebook server and all that runs in it",
    "GET /lab/log": "The end of what one's own notebook server wrote",
    "GET /labs": "Everybody's notebook servers",
    "DELETE /labs/{owner}": "Stop somebody's notebook server",
    "GET /webhooks": "Webhooks with their events and how many deliveries wait, are done, are dead; all events there are",
    "POST /webhooks": "Add a webhook (name, url, events, secret?, description?, active?), for Lathe's events too",
    "PATCH /webhooks/{id}": "Change a webhook",
    "DELETE /webhooks/{id}": "Delete a webhook and its deliveries",
    "GET /webhooks/deliveries": "Deliveries, newest first; ?state=waiting|delivered|dead&webhook=&limit=&after=",
    "GET /webhooks/deliveries/{id}": "A delivery with its body",
    "POST /webhooks/deliveries/{id}/send": "Send a dead letter again",
    "GET /alerts": "Alerts, newest first",
    "GET /alerts/{id}": "An alert with its numbers and thresholds",
}
PERMISSIONS = {"none": "anybody", "read": "read", "write": "write", "run-code": "run code", "infer": "infer", "admin": "administer", "plane": "be a data plane"}


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

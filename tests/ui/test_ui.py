"""Every page in both themes and on a phone, and what people do in them; what the pages weigh."""
import json
import re
import time

import requests

from ui_paths import ROOT, SHOTS


def api(url, path):
    answer = requests.get(f"{url}/api/lathe/v1{path}", timeout=30)
    answer.raise_for_status()
    return answer.json()


def pages_of(life):
    """Every page of the map with real objects in it."""
    p = "/p/default"
    run = api(life.server.url, "/pipelines/digits/runs")["runs"][0]
    version = api(life.server.url, "/data/digits/versions")["versions"][0]["id"]
    evaluation = api(life.server.url, "/evaluations")["evaluations"][0]["id"]
    found = requests.post(f"{life.server.url}/api/2.0/mlflow/runs/search", json={"experiment_ids": ["1"], "max_results": 2}, timeout=30).json()["runs"]
    runs = [r["info"]["run_id"] for r in found]
    pages = {
        "overview": p, "data": f"{p}/data", "data-version": f"{p}/data/{version}", "data-profile": f"{p}/data/{version}/profile", "data-rows": f"{p}/data/{version}/rows",
        "pipelines": f"{p}/pipelines", "pipeline": f"{p}/pipelines/digits", "pipeline-run": f"{p}/pipelines/digits/runs/{run['number']}?task=evaluate",
        "runs": f"{p}/runs", "runs-peek": f"{p}/runs?peek={runs[0]}", "runs-charts": f"{p}/runs?view=charts", "run": f"{p}/runs/{runs[0]}", "compare": f"{p}/runs/compare?ids={','.join(runs)}",
        "runs-grouped": f"{p}/runs?group=status", "runs-values": f"{p}/runs?view=charts&charts=bar~metrics.accuracy,box~metrics.accuracy~status", "run-metrics": f"{p}/runs/{runs[0]}/metrics", "run-files": f"{p}/runs/{runs[0]}/artifacts",
        "run-code": f"{p}/runs/{runs[0]}/code", "traces": f"{p}/traces", "prompts": f"{p}/prompts", "projects": "/projects",
        "models": f"{p}/models", "model": f"{p}/models/digits", "model-version": f"{p}/models/digits/1",
        "evaluations": f"{p}/evaluations", "evaluation": f"{p}/evaluations/{evaluation}",
        "endpoints": f"{p}/endpoints", "endpoint": f"{p}/endpoints/digits", "endpoint-requests": f"{p}/endpoints/digits/requests", "endpoint-try": f"{p}/endpoints/digits/try",
        "monitors": f"{p}/monitors", "monitor": f"{p}/monitors/digits", "lineage": f"{p}/lineage?id=digits/1", "login": "/login",
        "admin-users": "/admin/users", "admin-tokens": "/admin/tokens", "admin-audit": "/admin/audit", "admin-about": "/admin/about",
    }
    return pages


def test_every_page_in_both_themes_and_on_a_phone(life, browse):
    outcome = browse("pages.mjs", life.server.url, SHOTS, json.dumps(pages_of(life)), timeout=900)
    assert not outcome["problems"], "\n".join(outcome["problems"])
    assert outcome["pages"] >= 4


def test_an_empty_server_says_what_to_do(empty_server, browse):
    pages = {"empty-" + (path or "overview"): f"/p/default/{path}".rstrip("/") for path in ("", "data", "pipelines", "runs", "models", "evaluations", "endpoints", "monitors", "lineage", "traces", "prompts")}
    outcome = browse("pages.mjs", empty_server.url, SHOTS, json.dumps(pages))
    assert not outcome["problems"], "\n".join(outcome["problems"])


def test_keyboard_only(life, browse):
    outcome = browse("flows.mjs", "keyboard", life.server.url, json.dumps({"search": "digits", "found": "digits", "chord": "d", "chordPath": "/data"}))
    assert not outcome["problems"], "\n".join(outcome["problems"])


def test_addresses(empty_server, browse):
    outcome = browse("flows.mjs", "addresses", empty_server.url)
    # The run of MLflow's link is not on this server: the page says so, and the browser notes the 404.
    problems = [p for p in outcome["problems"] if "404" not in p]
    assert not problems, "\n".join(problems)


def wait_for(file, text, seconds=60):
    until = time.monotonic() + seconds
    while not (file.exists() and file.read_text() == text):
        assert time.monotonic() < until, f"the browser did not say {text}"
        time.sleep(0.02)


def make_experiment(url, name):
    requests.post(f"{url}/api/2.0/mlflow/registered-models/create", json={"name": name}, timeout=30).raise_for_status()


def test_eight_tabs_hear_of_an_event(empty_server, browse, tmp_path):
    make_experiment(empty_server.url, "before")
    ready = tmp_path / "ready"
    browser = browse.start("flows.mjs", "tabs", empty_server.url, json.dumps({"ready": str(ready), "text": "Model heard-by-all registered"}))
    wait_for(ready, "ready", 120)
    make_experiment(empty_server.url, "heard-by-all")
    outcome = json.loads(browser.communicate(timeout=180)[0].splitlines()[-1])
    assert not outcome["problems"], "\n".join(outcome["problems"])


def test_a_server_that_was_killed_and_came_back(empty_server, browse, tmp_path):
    make_experiment(empty_server.url, "before")
    port = empty_server.port
    ready = tmp_path / "ready"
    browser = browse.start("flows.mjs", "reconnect", empty_server.url, json.dumps({"ready": str(ready), "path": "/p/default", "text": "Model after-the-gap registered"}))
    wait_for(ready, "kill", 120)
    empty_server.kill()
    wait_for(ready, "start", 60)
    empty_server.args = ["--listen", f"127.0.0.1:{port}"]
    empty_server.start()
    ready.write_text("started")
    wait_for(ready, "event", 60)
    make_experiment(empty_server.url, "after-the-gap")
    outcome = json.loads(browser.communicate(timeout=120)[0].splitlines()[-1])
    assert not outcome["problems"], "\n".join(outcome["problems"])


def test_what_the_pages_weigh(empty_server):
    """Budgets of the first visit and of each further page, in bytes on the wire."""
    url = empty_server.url
    index = requests.get(url + "/", headers={"Accept": "text/html"}, timeout=30)
    assert "frame-ancestors 'none'" in index.headers["Content-Security-Policy"] and index.headers["Cache-Control"] == "no-cache"
    first = {"js": 0, "css": 0}
    for path in set(re.findall(r'(?:src|href)="(/assets/[^"]+)"', index.text)):
        got = requests.get(url + path, headers={"Accept-Encoding": "gzip"}, stream=True, timeout=30)
        size = len(got.raw.read())
        assert got.headers["Content-Encoding"] == "gzip" and "immutable" in got.headers["Cache-Control"]
        first[path.rsplit(".", 1)[1]] += size
    assert first["js"] <= 210 * 1024 * 1.1, first
    assert first["css"] <= 25 * 1024 * 1.1, first


def test_the_files_are_served_as_browsers_and_proxies_expect(empty_server):
    url = empty_server.url
    html = {"Accept": "text/html"}
    index = requests.get(url + "/", headers={**html, "Accept-Encoding": "br"}, stream=True, timeout=30)
    assert index.headers["Content-Encoding"] == "br" and index.headers["Vary"] == "Accept-Encoding"
    etag = index.headers["ETag"]
    assert requests.get(url + "/", headers={**html, "Accept-Encoding": "br", "If-None-Match": f'"other", W/{etag}'}, timeout=30).status_code == 304
    plain = requests.get(url + "/", headers={**html, "Accept-Encoding": "identity"}, timeout=30)
    assert "Content-Encoding" not in plain.headers and plain.headers["ETag"] != etag
    head = requests.head(url + "/p/default/runs", headers={**html, "Accept-Encoding": "identity"}, timeout=30)
    assert head.status_code == 200 and not head.content and int(head.headers["Content-Length"]) == len(plain.content)
    assert requests.get(url + "/p/any/thing", headers=html, timeout=30).text == plain.text
    assert requests.get(url + "/assets/missing.js", headers=html, timeout=30).status_code == 404
    assert requests.get(url + "/nothing", headers={"Accept": "*/*"}, timeout=30).status_code == 404
    assert requests.post(url + "/p/default", timeout=30).status_code in (403, 404, 405)
    assert requests.get(url + "/api/2.0/mlflow/nothing", headers=html, timeout=30).json()["error_code"] == "ENDPOINT_NOT_FOUND"
    assert requests.get(url + "/assets/..%2f..%2fetc/passwd", headers={"Accept": "*/*"}, timeout=30).status_code in (400, 404)

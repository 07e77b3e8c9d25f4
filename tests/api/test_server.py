"""The server as a process: health, metrics, limits, access, configuration, locks, drain."""
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from lathe_server import BINARY, clean_environment


def raw(server, data, timeout=10):
    with socket.create_connection(("127.0.0.1", server.port), timeout=timeout) as s:
        s.sendall(data)
        got = b""
        while piece := s.recv(65536):
            got += piece
        return got


def test_health_and_metrics(server, http):
    answer = http.get(server.url + "/health")
    assert (answer.status_code, answer.text) == (200, "OK")
    assert answer.headers["X-Request-Id"].startswith("rq_")
    assert http.head(server.url + "/health").headers["Content-Length"] == "2"
    text = http.get(server.url + "/metrics").text
    assert "lathe_http_answers_total" in text
    check = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
    assert check.returncode == 0, check.stdout + check.stderr


def test_first_answer_and_memory(start_server, http):
    began = time.monotonic()
    server = start_server()
    while True:
        try:
            assert http.get(server.url + "/health").text == "OK"
            break
        except ConnectionError:
            time.sleep(0.005)
    assert time.monotonic() - began < 5  # on a busy machine; the figure itself is bench's
    rss_kb = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{server.process.pid}/status").read())[1])
    if "asan" not in str(BINARY) and "tsan" not in str(BINARY):
        assert rss_kb < 40 * 1024


def test_status_and_request_ids(server, http):
    status = http.get(server.api("/status"), headers={"X-Request-Id": "mine-1"})
    assert status.headers["X-Request-Id"] == "mine-1"
    assert status.json()["pid"] == server.process.pid
    assert status.json()["store"] == "sqlite"
    listed = server.cli("status")
    assert listed.returncode == 0 and str(server.process.pid) in listed.stdout


@pytest.mark.parametrize("path, shape", [
    ("/api/lathe/v1/nowhere", lambda a: a.json()["error"]["code"] == "not-found"),
    ("/nowhere", lambda a: a.headers["Content-Type"].startswith("text/plain")),
])
def test_unknown_paths(server, http, path, shape):
    answer = http.get(server.url + path)
    assert answer.status_code == 404
    assert shape(answer)


def test_wrong_method_says_what_is_allowed(server, http):
    answer = http.post(server.url + "/health", data=b"x" * 100)
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


def test_bodies_past_the_limit(server, http):
    answer = http.get(server.api("/status"), data=b"x" * 10_000_000)
    assert answer.status_code == 413
    assert http.get(server.url + "/health").text == "OK"


def test_browsers_of_other_sites_and_proxies(server, http):
    url = server.api("/status")
    assert http.get(url, headers={"Host": "evil.example"}).status_code == 403
    assert http.get(url, headers={"Origin": "http://evil.example"}).status_code == 403
    assert http.get(url, headers={"Origin": server.url}).status_code == 200
    assert http.get(url, headers={"X-Forwarded-For": "10.0.0.1"}).status_code == 403
    refused = http.get(url, headers={"Authorization": "Bearer nobody-knows-me"})
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "unauthenticated"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_other_users_of_the_machine(server):
    def as_nobody():
        os.setgid(65534)
        os.setuid(65534)
    for path, code in (("/health", "200"), ("/api/lathe/v1/status", "403"), ("/metrics", "403")):
        out = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", server.url + path], text=True,
                             capture_output=True, preexec_fn=as_nobody, cwd="/")
        assert out.stdout == code, path


def test_malformed_requests_never_give_a_500(server):
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100 + b"\r\n\r\n", b"GET /%00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                 b"GET / HTTP/1.1\nHost: localhost\n\n", b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"):
        assert raw(server, data).startswith(b"HTTP/1.1 400 "), data


def test_events_as_pages_and_errors(server, http):
    page = http.get(server.api("/events")).json()
    assert isinstance(page["events"], list)
    assert re.fullmatch(r"\d+\.\d+", page["next"])
    for query in ("after=x", "after=1", "limit=-1", "limit=9999"):
        answer = http.get(server.api("/events?" + query))
        assert answer.status_code == 400, query
    audit = http.get(server.api("/audit")).json()
    assert isinstance(audit["lines"], list)
    assert http.get(server.api("/audit?before=x")).status_code == 400


def test_event_stream_ends_with_the_server(start_server, http):
    server = start_server()
    stream = http.get(server.api("/events"), headers={"Accept": "text/event-stream"}, stream=True)
    assert stream.headers["Content-Type"] == "text/event-stream"
    threading.Timer(0.2, server.process.send_signal, [signal.SIGTERM]).start()
    began = time.monotonic()
    list(stream.iter_lines())
    assert server.process.wait(20) == 0
    assert time.monotonic() - began < 8


def test_a_request_that_does_not_end_does_not_hold_the_server_up(start_server):
    server = start_server()
    with socket.create_connection(("127.0.0.1", server.port)) as s:
        s.sendall(b"PUT /api/lathe/v1/blobs/" + b"a" * 64 + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf of")
        while not json.loads(subprocess.run(["curl", "-s", server.api("/status")], text=True, capture_output=True).stdout)["connections"] >= 2:
            time.sleep(0.02)
        began = time.monotonic()
        assert server.stop() == 0
        assert 5 < time.monotonic() - began < 10, "given time to end, and the limit of SIGTERM to exit kept"


def test_second_server_is_refused_with_who_holds_it(server):
    second = subprocess.run([BINARY, "up", "--dir", str(server.dir), "--listen", "127.0.0.1:0"], text=True, capture_output=True,
                            env=clean_environment(), timeout=20)
    assert second.returncode == 1
    assert f"process {server.process.pid}" in second.stderr
    assert server.url in (server.dir / "address").read_text(), "the first one's address is left alone"


def test_a_taken_port_is_refused(start_server, server):
    other = start_server("--listen", f"127.0.0.1:{server.port}", wait=False)
    assert other.process.wait(20) == 1
    assert "is taken" in other.log()


def test_only_loopback_is_listened_on(start_server):
    other = start_server("--listen", "0.0.0.0:0", wait=False)
    assert other.process.wait(20) != 0
    assert "which other machines reach" in other.log()


def test_restart_after_kill(start_server, http):
    server = start_server()
    server.kill()
    server.start()
    assert http.get(server.url + "/health").text == "OK"
    assert server.stop() == 0
    assert not (server.dir / "address").exists()


def config(home, *args, env=None):
    out = subprocess.run([BINARY, "config", *args], cwd=home, env=clean_environment(**(env or {})), text=True, capture_output=True)
    lines = dict(re.findall(r"^(\w+): (.*)$", out.stdout, re.M))
    return out, {key: tuple(part.strip() for part in value.split("  # ")) if "  # " in value else ("", value.strip("# "))
                 for key, value in lines.items()}


def test_config_precedence(tmp_path):
    _, values = config(tmp_path)
    assert values["listen"] == ("127.0.0.1:8000", "default")
    (tmp_path / ".lathe").mkdir()
    (tmp_path / ".lathe" / "config.yaml").write_text("# settings\nlisten: 127.0.0.1:1111\nlog_format: json\n")
    _, values = config(tmp_path)
    assert values["listen"] == ("127.0.0.1:1111", ".lathe/config.yaml:2")
    _, values = config(tmp_path, env={"LATHE_LISTEN": "127.0.0.1:2222"})
    assert values["listen"] == ("127.0.0.1:2222", "LATHE_LISTEN")
    _, values = config(tmp_path, "--listen", "127.0.0.1:3333", env={"LATHE_LISTEN": "127.0.0.1:2222"})
    assert values["listen"] == ("127.0.0.1:3333", "--listen")
    assert values["log_format"] == ("json", ".lathe/config.yaml:3")
    other = tmp_path / "other.yaml"
    other.write_text("threads: 3\n")
    _, values = config(tmp_path, "--config", str(other))
    assert values["threads"][0] == "3" and values["listen"][1] == "default"


@pytest.mark.parametrize("text, said", [
    ("listne: x\n", "unknown setting 'listne'"), ("listen: 8000\n", "ADDRESS:PORT"), ("threads: 0\n", "from 1 to 64"),
    ("log_level: loud\n", "debug, info, warn, error"), ("- a\n", "expected settings"), ("listen: a\nlisten: b\n", "listen"),
    ("store: mysql://x\n", "postgresql://"), ("threads: [1]\n", "one value"),
])
def test_config_mistakes_name_the_place(tmp_path, text, said):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    out, _ = config(tmp_path, "--config", str(file))
    assert out.returncode == 2
    assert said in out.stderr and "bad.yaml" in out.stderr, out.stderr


def test_a_password_is_not_printed(tmp_path):
    out, _ = config(tmp_path, "--store", "postgresql://ann:secret@localhost/lathe")
    assert "secret" not in out.stdout and "ann:***@localhost" in out.stdout


def test_cli_without_a_server(tmp_path):
    def run(*args, **env):
        return subprocess.run([BINARY, *args], cwd=tmp_path, env=clean_environment(**env), text=True, capture_output=True)
    nothing = run("status")
    assert nothing.returncode == 3 and ".lathe/address" in nothing.stderr
    closed = run("status", LATHE_SERVER="127.0.0.1:1")
    assert closed.returncode == 3
    assert run("frobnicate").returncode == 2
    assert run().returncode == 2
    assert run("--help").returncode == 0
    assert run("version").stdout.startswith("lathe ")
    assert run("down").returncode == 0


def test_the_nearest_address_upward_is_found(server, tmp_path):
    deep = server.home / "a" / "b"
    deep.mkdir(parents=True, exist_ok=True)
    out = subprocess.run([BINARY, "status"], cwd=deep, env=clean_environment(), text=True, capture_output=True)
    assert out.returncode == 0 and server.url in out.stdout


def test_json_logs(start_server, http):
    server = start_server("--log-format", "json", "--log-level", "debug")
    http.get(server.url + "/health", headers={"X-Request-Id": "find-me"})
    server.stop()
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    assert any(line.get("request") == "find-me" and line.get("status") == 200 for line in lines)


def test_down_stops_the_server(start_server):
    server = start_server()
    out = subprocess.run([BINARY, "down"], cwd=server.home, env=clean_environment(), text=True, capture_output=True, timeout=30)
    assert out.returncode == 0, out.stderr
    assert server.process.wait(5) == 0

"""`lathe status`: what the server says of itself, for people and as JSON."""

import json
import os
import shutil

import requests


def test_a_server_with_nothing_in_it(fresh_server):
    done = fresh_server.cli("status")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert fresh_server.url in lines["lathe"] and str(fresh_server.process.pid) in lines["process"]
    assert "sqlite" in lines["store"] and str(fresh_server.dir) in lines["store"] and "free of" in lines["disk"]
    for what in ("endpoints", "running", "alerts"):
        assert lines[what].split() == [what, "none"]

    status = json.loads(fresh_server.cli("status", "--json").stdout)
    assert status == requests.get(fresh_server.api("/status"), timeout=10).json() | {name: status[name] for name in ("connections", "disk")}  # others write meanwhile
    usage = shutil.disk_usage(fresh_server.dir)
    assert status["disk"]["total_bytes"] == usage.total and abs(status["disk"]["free_bytes"] - usage.free) < 10e9
    assert status["endpoints"] == status["running"] == status["alerts"] == []
    assert status["pid"] == fresh_server.process.pid and os.path.samefile(status["dir"], fresh_server.dir)


def test_what_runs_is_told(fresh_server, tmp_path):
    (tmp_path / "lathe.yaml").write_text("project: slow\nstages: {wait: {cmd: sleep 60}}\n")
    assert fresh_server.cli("apply", cwd=tmp_path).returncode == 0
    running = json.loads(fresh_server.cli("status", "--json").stdout)["running"]
    assert [(r["pipeline"], r["number"], r["cause"]) for r in running] == [("slow", 1, "apply")]
    line = next(line for line in fresh_server.cli("status").stdout.splitlines() if line.startswith("running"))
    assert "slow #1" in line and running[0]["id"] in line


def test_nobody_there(tmp_path, fresh_server):
    fresh_server.stop()
    done = fresh_server.cli("status", env={"LATHE_SERVER": "http://127.0.0.1:1"})
    assert done.returncode == 3 and "127.0.0.1:1" in done.stderr

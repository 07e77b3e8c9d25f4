"""What people do in the pages of the loop: a failing task's log, from an alert to its lineage, asking an endpoint."""
import json
import subprocess
import sys

FAILING = """project: failing
stages:
  first: {cmd: echo begins > first.txt, outs: [first.txt]}
  breaks: {cmd: sh breaks.sh, deps: [breaks.sh, first.txt], outs: [second.txt], retries: 1, retry_delay: 1s}
  later: {cmd: cat second.txt, deps: [second.txt]}
"""
BREAKS = "for i in 1 2 3 4 5 6; do echo line $i; sleep 1; done\necho 'ERROR the disk is full' >&2\nexit 3\n"


def no_problems(outcome):
    assert not outcome["problems"], "\n".join(outcome["problems"])
    return outcome


def test_a_failing_tasks_log_is_watched_live(empty_server, browse, tmp_path):
    (tmp_path / "lathe.yaml").write_text(FAILING)
    (tmp_path / "breaks.sh").write_text(BREAKS)
    done = empty_server.cli("apply", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    no_problems(browse("loop.mjs", "log", empty_server.url, json.dumps({"pipeline": "failing"})))


def test_from_a_drift_alert_to_its_lineage(life, browse):
    no_problems(browse("loop.mjs", "drift", life.server.url))


def test_an_endpoint_is_asked_and_the_same_call_works_elsewhere(life, browse):
    outcome = no_problems(browse("loop.mjs", "ask", life.server.url))
    curl = subprocess.run(["sh", "-c", outcome["curl"].replace("curl ", "curl -s ", 1)], capture_output=True, text=True, timeout=60)
    assert curl.returncode == 0, curl.stderr
    label = next(o for o in json.loads(curl.stdout)["outputs"] if "label" in o["name"])["data"][0]
    assert str(label) == outcome["answer"]
    python = subprocess.run([sys.executable, "-c", outcome["python"]], capture_output=True, text=True, timeout=60)
    assert python.returncode == 0 and f"[{label}]" in python.stdout, python.stdout + python.stderr


def test_the_loop_by_keyboard_only(life, browse):
    no_problems(browse("loop.mjs", "keyboard", life.server.url))

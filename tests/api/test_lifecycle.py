"""Stages and the server's life: what runs survives a stop, is adopted at the next start, and ends with `lathe down`."""
import os
import pathlib
import time

import pytest

# The stage says that it runs, then waits for `go`, so that the test decides how long it takes.
STAGE = """echo started; echo $$ > "{home}/pid"; while [ ! -e "{home}/go" ]; do sleep 0.05; done; echo finished"""


def eventually(holds, what, seconds=30):
    until = time.monotonic() + seconds
    while not (got := holds()):
        assert time.monotonic() < until, what
        time.sleep(0.02)
    return got


def processes_of(folder):
    """Processes that run in `folder`, or were started with its name, by /proc."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            where = os.readlink(entry / "cwd")
        except OSError:
            continue
        if command and (str(folder) in where or str(folder) in command):
            found[int(entry.name)] = command
    return found


@pytest.fixture
def running(start_server):
    """A server on which the stage `wait` of a pipeline run runs; answers it with the run's id and the stage's pid."""
    server = start_server()
    project = server.home / "project"
    project.mkdir()
    (project / "wait.sh").write_text(STAGE.format(home=server.home))
    (project / "lathe.yaml").write_text("project: waiting\nstages:\n  wait: {cmd: sh wait.sh, deps: [wait.sh]}\n")
    server.cli("apply", cwd=project, check=True)
    pid = int(eventually(lambda: (server.home / "pid").exists() and (server.home / "pid").read_text().strip(), "the stage does not start"))
    run = server.cli("runs", cwd=project, check=True).stdout
    return server, next(word for word in run.split() if word.startswith("pl_")), pid


def state_of(server, http, run):
    answer = http.get(server.api(f"/pipeline-runs/{run}")).json()
    return answer, {stage["name"]: stage for stage in answer["stages"]}["wait"]


def alive(pid):
    return pathlib.Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_stage_survives_a_restart(running, http, end):
    server, run, pid = running
    began = time.monotonic()
    getattr(server, end)()
    assert time.monotonic() - began < 10, "a running stage does not hold the server up"
    assert alive(pid), "what runs stays with the warden"
    server.start()
    answer, stage = state_of(server, http, run)
    assert (answer["state"], stage["state"]) == ("running", "running")
    (server.home / "go").touch()
    eventually(lambda: state_of(server, http, run)[0]["ended_us"], "the run does not end")
    answer, stage = state_of(server, http, run)
    assert (answer["state"], stage["state"]) == ("succeeded", "succeeded"), answer
    log = http.get(server.api(f"/attempts/{stage['attempt']}/log")).text
    assert "started" in log and "finished" in log, "one attempt, whose log goes on"


def test_a_stage_that_ends_while_nobody_serves_has_succeeded(running, http):
    server, run, pid = running
    assert server.stop() == 0
    (server.home / "go").touch()
    eventually(lambda: not alive(pid), "the stage does not end")
    server.start()
    eventually(lambda: state_of(server, http, run)[0]["state"] == "succeeded", "the run does not end")


def test_down_leaves_no_process(running, http):
    server, run, pid = running
    out = server.cli("down", "--dir", server.dir, check=True)
    assert server.process.wait(5) == 0, out.stdout
    assert not alive(pid)
    assert processes_of(server.home) == {}
    server.start()
    answer = eventually(lambda: (got := state_of(server, http, run)[0])["ended_us"] and got, "the run does not end")
    assert answer["state"] != "succeeded"

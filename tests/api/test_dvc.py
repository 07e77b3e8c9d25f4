"""A project that both Lathe and the real `dvc` run: each finds the other's dvc.lock, outs and cache in order."""

import json
import os
import pathlib
import re
import subprocess
import time

import pytest
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
DVC = ROOT / ".venv-dvc/bin/dvc"

pytestmark = pytest.mark.skipif(not DVC.exists(), reason="dvc is not installed; ./dev test installs it")

DVC_YAML = """stages:
  split:
    cmd: python3 src/split.py
    deps: [data/raw.txt, src/split.py]
    outs: [data/parts]
  train:
    matrix:
      model: [lr, tree]
    cmd: python3 src/train.py ${item.model} --a-rather-long-option with-a-value --and-another-one with-another-value ${train.depth}
    deps: [src/train.py, data/parts]
    params:
      - train
      - seed
      - extra.json: [alpha]
    outs: ["models/${item.model}.bin"]
    metrics:
      - "models/${item.model}.json": {cache: false}
  report:
    cmd:
      - echo "a b" > report.txt
      - "test -f models/lr.bin && cat models/lr.json models/tree.json >> report.txt   # a: comment that is long enough"
      - 'echo "it''s said # so" >> report.txt && chmod +x report.txt'
    deps: [models/lr.json, models/tree.json, models/lr.bin]
    outs: [report.txt]
  below:
    cmd: cat in.txt > out.txt
    wdir: wd
    deps: [in.txt]
    outs: [out.txt]
    params:
      - p.yaml: [k]
      - ../params.yaml: [seed]
"""
PARAMS_YAML = """train:
  depth: 3
  rate: 1.50
  big: 1e20
  name: "010"
  list: [1, 2, "x, y", [3, {z: 1}], {p: q, r: [s]}]
  empty: {l: [], m: {}}
  nested: {a: yes, b: null, c: "true", d: 0x1F, e: 1e-5}
seed: 7
"""
SPLIT_PY = """import pathlib
out = pathlib.Path("data/parts")
(out / "sub").mkdir(parents=True, exist_ok=True)
text = pathlib.Path("data/raw.txt").read_text().splitlines()
(out / "a.txt").write_text("\\n".join(text[:2]))
(out / "sub" / "\u00e9 b.txt").write_text("\\n".join(text[2:]))
(out / "empty").write_text("")
"""
TRAIN_PY = """import json, pathlib, sys
n = sum(len(p.read_text()) for p in pathlib.Path("data/parts").rglob("*") if p.is_file()) + int(sys.argv[-1])
pathlib.Path("models").mkdir(exist_ok=True)
pathlib.Path(f"models/{sys.argv[1]}.bin").write_text(f"{sys.argv[1]} {n}")
pathlib.Path(f"models/{sys.argv[1]}.json").write_text(json.dumps({"n": n}))
"""


def dvc(folder, *args):
    env = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(folder.parent / "site")}
    done = subprocess.run([str(DVC), *args], cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def git(folder, *args):
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *args], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    for path, text in {
        "dvc.yaml": DVC_YAML, "params.yaml": PARAMS_YAML, "extra.json": '{"alpha": 0.25, "n": 3}', "lathe.yaml": "project: both\n",
        "src/split.py": SPLIT_PY, "src/train.py": TRAIN_PY, "data/raw.txt": "one\ntwo\nthree\nfour\n", "wd/in.txt": "hello\n", "wd/p.yaml": "k: v\n",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    git(folder, "init", "-q")
    dvc(folder, "init", "-q")
    dvc(folder, "add", "-q", "data/raw.txt")  # from here on git ignores it: only its .dvc file is tracked
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "project")
    return folder


def lathe_run(server, folder):
    applied = server.cli("apply", cwd=folder)
    assert applied.returncode == 0, applied.stderr
    started = re.search(r"run (pl_\w+) started", applied.stdout)
    run = started.group(1) if started else server.cli("run", "--detach", cwd=folder).stdout.split()[0]
    for _ in range(600):
        state = requests.get(server.api(f"/pipeline-runs/{run}"), timeout=10).json()
        if state["ended_us"]:
            break
        time.sleep(0.1)
    assert state["state"] == "succeeded", server.cli("logs", run).stdout
    brought = server.cli("run", run, "--checkout", cwd=folder)
    assert brought.returncode == 0, brought.stderr
    return state


def test_dvc_finds_everything_in_order_after_a_run_of_lathe(server, project):
    lathe_run(server, project)
    assert json.loads(dvc(project, "status", "--json")) == {}
    ours = (project / "dvc.lock").read_text()
    told = dvc(project, "repro")
    assert "Data and pipelines are up to date" in told, told
    assert (project / "dvc.lock").read_text() == ours
    # What DVC makes of the same project by itself, byte for byte; the order of the stages is that of the run.
    (project / "dvc.lock").unlink()
    dvc(project, "repro", "-f")
    assert sorted_stages((project / "dvc.lock").read_text()) == sorted_stages(ours)
    # The cache is DVC's own: what is deleted comes back from it, folders too.
    git(project, "add", "-A")
    (project / "report.txt").unlink()
    (project / "data/parts/a.txt").unlink()
    dvc(project, "checkout")
    assert (project / "data/parts/a.txt").read_text() == "one\ntwo" and os.access(project / "report.txt", os.X_OK)


def test_lathe_finds_everything_in_order_after_dvc_ran(server, project):
    dvc(project, "repro")
    theirs = (project / "dvc.lock").read_text()
    first = lathe_run(server, project)
    assert json.loads(dvc(project, "status", "--json")) == {}
    assert sorted_stages((project / "dvc.lock").read_text()) == sorted_stages(theirs)
    # One parameter changes, DVC runs what depends on it, and Lathe runs the same stages.
    (project / "params.yaml").write_text(PARAMS_YAML.replace("depth: 3", "depth: 4"))
    dvc(project, "repro")
    theirs = (project / "dvc.lock").read_text()
    second = lathe_run(server, project)
    assert second["id"] != first["id"]
    assert {s["name"]: s["state"] for s in second["stages"]} == {
        "split": "skipped", "train@lr": "succeeded", "train@tree": "succeeded", "report": "succeeded", "below": "skipped"}
    assert json.loads(dvc(project, "status", "--json")) == {}
    assert sorted_stages((project / "dvc.lock").read_text()) == sorted_stages(theirs)


def test_a_cache_elsewhere_is_used(server, project):
    dvc(project, "cache", "dir", "--local", "../shared cache")
    dvc(project, "add", "-q", "data/raw.txt")  # its bytes belong to that cache now
    lathe_run(server, project)
    assert json.loads(dvc(project, "status", "--json")) == {}
    assert (project.parent / "shared cache/files/md5").is_dir()
    assert not (project / ".dvc/cache/files/md5/ea").exists()


def sorted_stages(lock):
    head, *stages = re.split(r"(?m)^  (?=\S)", lock)
    return [head, *sorted(stages)]

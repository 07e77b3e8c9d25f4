"""Loads with a memory: each knows what was acknowledged, and afterwards asks whether it is still there."""

import hashlib
import json
import pathlib
import re
import threading
import time

import requests

API = "/api/2.0/mlflow"


class Workload:
    """One thread that works until stopped or until the server is gone. An operation counts once its answer was read."""

    name = "work"

    def __init__(self, server, rng):
        self.server = server
        self.rng = rng
        self.acknowledged = 0
        self.refusals: list[str] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.http = requests.Session()

    def prepare(self) -> None:
        pass

    def start(self) -> None:
        self._stop.clear()
        self.http = requests.Session()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _loop(self) -> None:
        try:
            while not self._stop.is_set():
                self.work()
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
            pass  # the kill
        except requests.HTTPError as error:
            self.refusals.append(str(error))

    def ask(self, method: str, path: str, **more):
        answer = self.http.request(method, self.server.url + path, timeout=30, **more)
        if answer.status_code >= 400:
            raise requests.HTTPError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer

    def post(self, path: str, body: dict) -> dict:
        return self.ask("POST", path, json=body).json()

    def work(self) -> None:
        raise NotImplementedError

    def verify(self) -> list[str]:
        raise NotImplementedError

    def settle(self) -> list[str]:
        return self.refusals


class Tracking(Workload):
    """Runs with tags and metric points, one request each."""

    name = "points"

    def __init__(self, server, rng):
        super().__init__(server, rng)
        self.runs: dict[str, dict] = {}  # run id → {"tags": {...}, "steps": [acknowledged], "tried": highest step sent}

    def work(self) -> None:
        run_id = self.post(f"{API}/runs/create", {"experiment_id": "0", "start_time": 1})["run"]["info"]["run_id"]
        run = self.runs[run_id] = {"tags": {}, "steps": [], "tried": 0}
        self.acknowledged += 1
        for step in range(1, 40):
            if self._stop.is_set():
                return
            run["tried"] = step
            self.post(f"{API}/runs/log-metric", {"run_id": run_id, "key": "loss", "value": step / 7, "timestamp": step, "step": step})
            run["steps"].append(step)
            self.acknowledged += 1
            if step % 10 == 0:
                self.post(f"{API}/runs/set-tag", {"run_id": run_id, "key": f"t{step}", "value": str(step)})
                run["tags"][f"t{step}"] = str(step)

    def verify(self) -> list[str]:
        problems = []
        for run_id, run in list(self.runs.items())[-40:]:
            answer = requests.get(f"{self.server.url}{API}/runs/get", params={"run_id": run_id}, timeout=30)
            if answer.status_code != 200:
                problems.append(f"run {run_id} was acknowledged and is gone: {answer.text[:200]}")
                continue
            tags = {t["key"]: t["value"] for t in answer.json()["run"]["data"].get("tags", [])}
            problems += [f"run {run_id} lost tag {k}" for k, v in run["tags"].items() if tags.get(k) != v]
            history = requests.get(f"{self.server.url}{API}/metrics/get-history", timeout=30,
                                   params={"run_id": run_id, "metric_key": "loss"}).json().get("metrics", [])
            found = [int(point["step"]) for point in history]
            if len(found) != len(set(found)):
                problems.append(f"run {run_id} has a point twice")
            if missing := set(run["steps"]) - set(found):
                problems.append(f"run {run_id} lost the points of steps {sorted(missing)}")
            if extra := [s for s in found if s > run["tried"]]:
                problems.append(f"run {run_id} has points that nobody sent: {extra}")
        return problems


class Artifacts(Workload):
    """Uploads of 1 byte to 2 MB; some replace an earlier file."""

    name = "uploads"

    def __init__(self, server, rng):
        super().__init__(server, rng)
        self.files: dict[str, str] = {}      # path → SHA-256 of the newest acknowledged bytes
        self.in_flight: dict[str, str] = {}  # path → what an upload that was never answered may have left

    def prepare(self) -> None:
        self.run = self.post(f"{API}/runs/create", {"experiment_id": "0", "start_time": 1})["run"]["info"]["run_id"]
        self.root = f"/api/2.0/mlflow-artifacts/artifacts/0/{self.run}/artifacts"

    def work(self) -> None:
        path = f"d{self.rng.randrange(5)}/f{self.rng.randrange(60)}.bin"
        body = self.rng.randbytes(int(2 ** self.rng.uniform(0, 21)))
        digest = hashlib.sha256(body).hexdigest()
        self.in_flight[path] = digest
        self.ask("PUT", f"{self.root}/{path}", data=body)
        del self.in_flight[path]
        self.files[path] = digest
        self.acknowledged += 1

    def verify(self) -> list[str]:
        problems = []
        for path, digest in self.files.items():
            answer = requests.get(f"{self.server.url}{self.root}/{path}", timeout=30)
            found = hashlib.sha256(answer.content).hexdigest()
            if answer.status_code == 200 and found == self.in_flight.get(path):
                self.files[path] = found  # the unanswered upload had been committed
            elif answer.status_code != 200 or found != digest:
                problems.append(f"artifact {path}: {answer.status_code}, {len(answer.content)} bytes that were never uploaded so")
        self.in_flight.clear()
        return problems


class Traces(Workload):
    """Traces in two requests each (spans, then the info), some with an assessment; some are deleted again."""

    name = "traces"
    V3 = "/api/3.0/mlflow"

    def __init__(self, server, rng):
        super().__init__(server, rng)
        self.spans: dict[str, int] = {}          # trace → spans acknowledged
        self.told: set[str] = set()              # whose info was acknowledged
        self.assessments: dict[str, str] = {}    # trace → assessment
        self.deleted: set[str] = set()
        self.in_flight: str | None = None        # a deletion that was never answered

    def prepare(self) -> None:
        self.experiment = self.post(f"{API}/experiments/create", {"name": "traces under fire"})["experiment_id"]

    def work(self) -> None:
        number = self.rng.randbytes(16).hex()
        trace, count = "tr-" + number, self.rng.randrange(1, 5)
        spans = [{"traceId": number, "spanId": f"{i + 1:016x}", "name": f"s{i}", "startTimeUnixNano": "1", "endTimeUnixNano": "2",
                  **({"parentSpanId": f"{1:016x}"} if i else {})} for i in range(count)]
        self.ask("POST", "/v1/traces", json={"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]},
                 headers={"x-mlflow-experiment-id": self.experiment})
        self.spans[trace] = count
        self.acknowledged += 1
        self.post(f"{self.V3}/traces", {"trace": {"trace_info": {
            "trace_id": trace, "state": "OK", "request_time": "2026-11-23T10:31:28.049Z", "execution_duration": "1s", "tags": {"a": number},
            "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": self.experiment}}}}})
        self.told.add(trace)
        if self.rng.random() < 0.3:
            made = self.post(f"{self.V3}/traces/{trace}/assessments", {"assessment": {
                "assessment_name": "good", "feedback": {"value": True}, "source": {"source_type": "HUMAN", "source_id": "a"}}})
            self.assessments[trace] = made["assessment"]["assessment_id"]
        if self.rng.random() < 0.2:
            self.in_flight = doomed = self.rng.choice([t for t in self.told if t not in self.deleted])
            self.post(f"{self.V3}/traces/delete-traces", {"experiment_id": self.experiment, "request_ids": [doomed]})
            self.deleted.add(doomed)
            self.in_flight = None
        self.acknowledged += 1

    def verify(self) -> list[str]:
        problems = []
        for trace in list(self.spans)[-60:]:
            answer = requests.get(f"{self.server.url}{self.V3}/traces/get", params={"trace_id": trace, "allow_partial": "true"}, timeout=30)
            if trace == self.in_flight and answer.status_code == 404:
                self.deleted.add(trace)
                continue
            if trace in self.deleted:
                problems += [f"trace {trace} was deleted and is there"] if answer.status_code != 404 else []
                continue
            if answer.status_code != 200:
                problems.append(f"trace {trace} was acknowledged and is gone: {answer.text[:200]}")
                continue
            found = answer.json()["trace"]
            if len(found.get("spans", [])) != self.spans[trace]:
                problems.append(f"trace {trace} has {len(found.get('spans', []))} of {self.spans[trace]} spans")
            if trace in self.told and found["trace_info"].get("tags", {}).get("a") != trace.removeprefix("tr-"):
                problems.append(f"trace {trace} lost its tags")
            ids = [a["assessment_id"] for a in found["trace_info"].get("assessments", [])]
            if trace in self.assessments and self.assessments[trace] not in ids:
                problems.append(f"trace {trace} lost an assessment")
        self.in_flight = None
        return problems


class Acts(Workload):
    """Runs that are moved, copied and removed for good: each is whole, in one place, or gone without a trace."""

    name = "acts on runs"
    OURS = "/api/lathe/v1/runs"
    POINTS = 100  # more than a tail holds

    def __init__(self, server, rng):
        super().__init__(server, rng)
        self.places: dict[str, set[str]] = {}  # run → experiments that it may be in
        self.gone: set[str] = set()
        self.leaving: set[str] = set()         # their removal has begun

    def prepare(self) -> None:
        self.first, self.second = (self.post(f"{API}/experiments/create", {"name": f"acts {n}"})["experiment_id"] for n in (1, 2))

    def work(self) -> None:
        run = self.post(f"{API}/runs/create", {"experiment_id": self.first, "start_time": 1})["run"]["info"]["run_id"]
        self.post(f"{API}/runs/log-batch", {"run_id": run, "params": [{"key": "p", "value": run}], "tags": [{"key": "t", "value": run}],
                                            "metrics": [{"key": "loss", "value": i, "timestamp": i, "step": i} for i in range(self.POINTS)]})
        self.ask("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{self.first}/{run}/artifacts/a.txt", data=run.encode())
        self.post(f"{API}/runs/update", {"run_id": run, "status": "FINISHED", "end_time": 2})
        self.places[run] = {self.first}
        self.acknowledged += 1
        self.places[run] = {self.first, self.second}
        self.post(f"{self.OURS}/move", {"runs": [run], "experiment": self.second})
        self.places[run] = {self.second}
        self.acknowledged += 1
        copy = self.post(f"{self.OURS}/copy", {"runs": [run], "experiment": self.first})["copies"][0]["to"]
        self.places[copy] = {self.first}
        self.acknowledged += 1
        doomed = self.rng.choice([run, copy])
        self.leaving.add(doomed)  # from now on it may be deleted, and then no search finds it
        self.post(f"{API}/runs/delete", {"run_id": doomed})
        self.post(f"{self.OURS}/purge", {"runs": [doomed]})
        self.acknowledged += 1

    def verify(self) -> list[str]:
        problems = []
        for run, places in list(self.places.items())[-40:]:
            answer = requests.get(f"{self.server.url}{API}/runs/get", params={"run_id": run}, timeout=30)
            history = requests.get(f"{self.server.url}{API}/metrics/get-history", params={"run_id": run, "metric_key": "loss"}, timeout=30).json().get("metrics", [])
            if run in self.leaving and answer.status_code == 404:
                problems += [f"run {run} is gone and left points"] if history else []
                continue
            if answer.status_code != 200:
                problems.append(f"run {run} was acknowledged and is gone: {answer.text[:200]}")
                continue
            found = answer.json()["run"]
            if found["info"]["experiment_id"] not in places:
                problems.append(f"run {run} is in experiment {found['info']['experiment_id']}, not in {places}")
            if sorted(int(p["step"]) for p in history) != list(range(self.POINTS)):
                problems.append(f"run {run} has {len(history)} of {self.POINTS} points")
            params = {p["key"]: p["value"] for p in found["data"].get("params", [])}
            tags = {t["key"]: t["value"] for t in found["data"].get("tags", [])}
            if params.get("p") is None or tags.get("t") != params.get("p"):
                problems.append(f"run {run} lost its params or tags")
            if run not in self.leaving:
                hits = requests.post(f"{self.server.url}{API}/runs/search", timeout=30, json={
                    "experiment_ids": [found["info"]["experiment_id"]], "filter": f"params.p = '{params.get('p')}' AND attributes.run_id = '{run}'"}).json()
                if len(hits.get("runs", [])) != 1:
                    problems.append(f"run {run} is not found where it is")
                file = requests.get(f"{self.server.url}/get-artifact", params={"run_id": run, "path": "a.txt"}, timeout=30)
                if file.text != params.get("p"):
                    problems.append(f"run {run} lost its file: {file.status_code}")
        return problems


class Pipelines(Workload):
    """Pipeline runs of four stages. Each stage holds a lock while it works: a second copy of it would find it taken."""

    name = "pipeline runs"
    STAGE = """#!/bin/sh
# stage.sh NAME JOURNAL: notes its end, and TWICE if another copy of this stage of this run is at work
exec 9>>"$2/$LATHE_PIPELINE_RUN.$1.lock"
flock -n 9 || { echo "TWICE $LATHE_PIPELINE_RUN $1" >>"$2/journal"; exit 1; }
sleep 0.2
echo "$LATHE_ATTEMPT" >"$1.out"
echo "END $LATHE_PIPELINE_RUN $1 $LATHE_ATTEMPT" >>"$2/journal"
"""

    def __init__(self, server, rng, folder: pathlib.Path):
        super().__init__(server, rng)
        self.project = folder / "project"
        self.journal = folder / "journal"
        self.runs: list[str] = []

    def prepare(self) -> None:
        self.project.mkdir()
        self.journal.mkdir()
        (self.project / "stage.sh").write_text(self.STAGE)
        stages = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
        lines = ["project: crash", "stages:"]
        for stage, after in stages.items():
            deps = ", ".join(["stage.sh"] + [f"{s}.out" for s in after])
            lines += [f"  {stage}:", f"    cmd: sh stage.sh {stage} {self.journal}", f"    deps: [{deps}]",
                      f"    outs: [{stage}.out]", "    always_changed: true"]
        (self.project / "lathe.yaml").write_text("\n".join(lines) + "\n")
        self.server.command("apply", "--no-run", cwd=self.project)

    def work(self) -> None:
        run = self.post("/api/lathe/v1/pipelines/crash/runs", {})
        self.runs.append(run["id"])
        self.acknowledged += 1
        self._stop.wait(0.5)

    def verify(self) -> list[str]:
        problems = self._twice()
        for run in self.runs[-10:]:
            answer = self._get(run)
            if answer.status_code != 200:
                problems.append(f"pipeline run {run} was acknowledged and is gone: {answer.text[:200]}")
        return problems

    def settle(self) -> list[str]:
        """Every accepted run comes to its end, by itself."""
        deadline = time.monotonic() + 180
        waiting, problems = list(self.runs), []
        while waiting:
            state = self._get(waiting[0]).json()
            if state["state"] == "succeeded":
                waiting.pop(0)
            elif state["state"] not in ("queued", "running") or time.monotonic() > deadline:
                problems.append(f"pipeline run {waiting.pop(0)} ended as {json.dumps(state)[:600]}")
            else:
                time.sleep(0.1)
        return problems + self._twice() + self.refusals

    def _get(self, run: str):
        return requests.get(f"{self.server.url}/api/lathe/v1/pipeline-runs/{run}", timeout=30)

    def _twice(self) -> list[str]:
        file = self.journal / "journal"
        return [line for line in file.read_text().splitlines() if line.startswith("TWICE")] if file.exists() else []


class Promotions(Workload):
    """Rollbacks between two versions of a served model, and divisions of its traffic between them, so that a change of
    what serves is nearly always in flight."""

    name = "promotions"
    ALIAS = "champion"
    LATHE_YAML = """project: flowers
data: {flowers: {path: raw/*.csv, label: species, prepare: prepare.yaml}}
stages:
  train: {cmd: python train.py, deps: [train.py, flowers]}
model: {from: train}
gate: {max_regression: 1}
endpoint: {environment: production}
"""
    PREPARE_YAML = "split: {train: 0.5, valid: 0.2, test: 0.3, seed: 1}\nscale: {'*': standard}\n"
    TRAIN_PY = """import mlflow, mlflow.onnx, numpy as np, pandas as pd
from skl2onnx import to_onnx
from sklearn.tree import DecisionTreeClassifier
table = pd.read_csv("flowers/train.csv")
x, y = table.drop(columns="species").to_numpy(np.float32), table["species"].to_numpy()
with mlflow.start_run():
    model = DecisionTreeClassifier(max_depth=DEPTH, random_state=0).fit(x, y)
    mlflow.onnx.log_model(to_onnx(model, x[:1], options={id(model): {"zipmap": False}}), name="model",
                          pip_requirements=["onnxruntime"])
"""

    def __init__(self, server, rng, folder: pathlib.Path):
        super().__init__(server, rng)
        self.project = folder / "flowers"
        self.live = 0          # revision of the newest acknowledged promotion
        self.in_flight = False
        self.divided = False   # as last acknowledged
        self.versions: dict[int, str] = {}  # revision → model version

    def prepare(self) -> None:
        from sklearn.datasets import load_iris

        (self.project / "raw").mkdir(parents=True)
        iris = load_iris()
        rows = [",".join(map(str, x)) + f",{iris.target_names[y]}" for x, y in zip(iris.data, iris.target)]
        (self.project / "raw/iris.csv").write_text("\n".join(["a,b,c,d,species", *rows]) + "\n")
        (self.project / "lathe.yaml").write_text(self.LATHE_YAML)
        (self.project / "prepare.yaml").write_text(self.PREPARE_YAML)
        for depth in (3, 2):
            (self.project / "train.py").write_text(self.TRAIN_PY.replace("DEPTH", str(depth)))
            done = self.server.command("apply", cwd=self.project)
            run = re.search(r"run (pl_\w+) started", done).group(1)
            while (state := self._get(f"/api/lathe/v1/pipeline-runs/{run}").json()["state"]) in ("queued", "running"):
                time.sleep(0.1)
            if state != "succeeded":
                raise RuntimeError(f"the setting-up run ended as {state}: {self.server.command('logs', run)}")
            revision = self._endpoint()["live_revision"]
            self.versions[revision] = self._served()
            self.live = revision
        if len(self.versions) != 2:
            raise RuntimeError(f"two revisions were wanted, found {self.versions}")

    def work(self) -> None:
        self.in_flight = True
        if self.rng.random() < 0.5:
            divided = not self.divided
            self.ask("PUT", "/api/lathe/v1/endpoints/flowers/traffic", json={"weights": self._weights(self.live) if divided else {}})
            self.divided = divided
        else:
            self.live = self.post("/api/lathe/v1/endpoints/flowers/rollback", {})["revision"]
            self.divided = False
        self.in_flight = False
        self.acknowledged += 1

    def verify(self) -> list[str]:
        endpoint, served = self._endpoint(), self._served()
        alias = self._get(f"{API}/registered-models/alias?name=flowers&alias={self.ALIAS}").json()["model_version"]["version"]
        revision = endpoint["live_revision"]
        problems = []
        if revision != self.live and not self.in_flight:
            problems.append(f"promotion of revision {self.live} was acknowledged; live is {revision}")
        if not self.versions[revision] == served == alias:
            problems.append(f"a promotion is half done: revision {revision} holds version {self.versions[revision]}, "
                            f"the endpoint answers from {served}, alias {self.ALIAS} names {alias}")
        told = self._get("/api/lathe/v1/endpoints/flowers/traffic").json()
        weights = {str(r["revision"]): r["weight"] for r in told["revisions"] if r["weight"] > 0}
        divided = weights == self._weights(revision)
        if not divided and weights != {str(revision): 100}:
            problems.append(f"a division of the traffic is half done: {weights}, live is {revision}")
        if divided != self.divided and not self.in_flight:
            problems.append(f"that the traffic is {'' if self.divided else 'not '}divided was acknowledged; it is {weights}")
        self.live, self.divided, self.in_flight = revision, divided, False
        return problems

    def _weights(self, live: int) -> dict[str, int]:
        return {str(revision): 70 if revision == live else 30 for revision in self.versions}

    def _get(self, path: str):
        answer = requests.get(f"{self.server.url}{path}", timeout=30)
        answer.raise_for_status()
        return answer

    def _endpoint(self) -> dict:
        return self._get("/api/lathe/v1/endpoints/flowers").json()

    def _served(self) -> str:
        body = {"inputs": [{"name": self._input(), "shape": [1, 4], "datatype": "FP64", "data": [5.1, 3.5, 1.4, 0.2]}]}
        live = str(self._endpoint()["live_revision"])  # by name, for the traffic may be divided
        answer = requests.post(f"{self.server.url}/v2/models/flowers/infer", json=body, headers={"X-Lathe-Revision": live}, timeout=30)
        answer.raise_for_status()
        return answer.headers["X-Lathe-Model-Version"]

    def _input(self) -> str:
        return self._get("/v2/models/flowers").json()["inputs"][0]["name"]

"""One server that ran the digits example: prepared, trained, promoted, asked, drifted; no retraining (too few labels for
one). For tests of what is shown about such a life."""
import csv
import os
import shutil
import subprocess
import sys
import time

import requests

from lathe_server import ROOT, Server

EXAMPLE = ROOT / "examples" / "digits"
WINDOW, CLEAN, DRIFTED, LABELLED = 100, 300, 200, 120


class DigitsLife:
    def __init__(self, home, args=(), env=None):
        self.home = home
        self.project = home / "digits"
        path = f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"
        self.server = Server(home, args, env={"PATH": path, "OMP_NUM_THREADS": "1", **(env or {})})
        self.http = requests.Session()
        self.http.trust_env = False
        self.answers = []  # (prediction id, predicted, truth)

    def get(self, path, status=200, **params):
        response = self.http.get(self.server.api(path), params=params, timeout=120)
        assert response.status_code == status, f"{path}: {response.status_code} {response.text[:500]}"
        return response.json()

    def wait_for(self, kind, subject=None, seconds=240):
        """The first event of this kind; fails with the run's story when a run fails meanwhile."""
        until, after = time.monotonic() + seconds, "0.0"
        while time.monotonic() < until:
            page = self.get("/events", after=after, limit=500)
            for event in page["events"]:
                if event["kind"] == kind and subject in (None, event["subject"]["id"]):
                    return event
                assert event["kind"] != "pipeline_run.failed", self.get(f"/pipeline-runs/{event['subject']['id']}")
            after = page["next"]
            if not page["events"]:
                time.sleep(0.1)
        raise AssertionError(f"no {kind} within {seconds} s")

    def train(self):
        shutil.copytree(EXAMPLE, self.project, ignore=shutil.ignore_patterns("demo.py", "__pycache__", "raw", "held_back.csv", ".lathe"))
        subprocess.run([sys.executable, "make_data.py", "--held-back", self.home / "held_back.csv"], cwd=self.project, check=True)
        with open(self.project / "prepare.yaml", "a") as out:
            out.write("columns: {digit: {type: integer, min: 0, max: 9}}\n")
        for batch in sorted((self.project / "raw").glob("*.csv"))[:1]:  # a row that is refused, with its reason
            with open(batch, "a") as out:
                out.write(",".join(["1"] * 64 + ["ten"]) + "\n")
        done = self.server.cli("apply", cwd=self.project)
        assert done.returncode == 0, done.stderr
        self.run = self.wait_for("pipeline_run.created")["subject"]["id"]
        self.wait_for("pipeline_run.succeeded", self.run)

    def ask(self, pixels, truth):
        body = {"inputs": [{"name": self.input, "shape": [1, 64], "datatype": "FP64", "data": pixels}]}
        response = self.http.post(f"{self.server.url}/v2/models/digits/infer", json=body, timeout=60)
        assert response.status_code == 200, response.text
        label = next(o for o in response.json()["outputs"] if "label" in o["name"])["data"][0]
        self.answers.append((response.headers["X-Lathe-Prediction-Id"], str(label), truth))

    def live(self):
        self.input = self.http.get(f"{self.server.url}/v2/models/digits", timeout=60).json()["inputs"][0]["name"]
        with open(self.home / "held_back.csv") as held_back:
            rows = list(csv.reader(held_back))[1:]
        for i in range(CLEAN + DRIFTED):
            pixels = [float(v) for v in rows[i][:-1]]
            if i >= CLEAN:  # another scanner: less contrast, moved by a pixel
                pixels = [0.6 * v for v in [0.0] + pixels[:-1]]
            self.ask(pixels, rows[i][-1])
        labels = [{"id": id, "label": truth} for id, _, truth in self.answers[:LABELLED]]
        done = self.http.post(self.server.api("/feedback"), json=labels, timeout=60)
        assert done.status_code == 200, done.text
        self.wait_for("alert.raised")
        until = time.monotonic() + 30  # labels are joined to their windows a moment later
        while self.get("/pages/monitors/digits")["windows"][0]["labelled"] < WINDOW and time.monotonic() < until:
            time.sleep(0.1)

    def stop(self):
        self.server.down()


def events_of(life, kind):
    return [e for e in life.get("/events", after="0.0", limit=1000)["events"] if e["kind"] == kind]



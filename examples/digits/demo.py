"""One model's whole life on real images: trained, deployed, drifting, retrained, promoted, by one server and lathe.yaml.

Every step waits for an event of the server and fails the demo if it does not come; every number printed at the end is
computed from this run. `--seed` changes the images' order and the scanner, and with them the numbers.
"""

import argparse
import collections
import contextlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PATIENCE_S = 180  # for one event; a machine under load is slow, a broken step never ends
WINDOW = 100      # rows, as in lathe.yaml
QUIET = 300       # requests before the drift, and again after the promotion: three windows


class Broken(Exception):
    """A step of the demo did not do what it must."""


def say(text):
    print(f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text, flush=True)


class Server:
    def __init__(self, binary, folder):
        env = dict(os.environ, PATH=f"{ROOT / '.venv/bin'}:{os.environ['PATH']}", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        env.pop("LATHE_SERVER", None)
        self.log = open(folder / "server.log", "w")
        self.binary, self.env, self.dir = binary, env, folder / "state"
        self.process = subprocess.Popen(
            [binary, "up", "--dir", self.dir, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=self.log, text=True, env=env
        )
        line = self.process.stdout.readline()
        if "http://" not in line:
            raise Broken("the server did not start: " + (folder / "server.log").read_text()[-2000:])
        self.address = line.split("serves ", 1)[1].split()[0]
        self.host = self.address.removeprefix("http://")
        self.env["LATHE_SERVER"] = self.address

    def lathe(self, *args, cwd=None):
        done = subprocess.run([self.binary, *map(str, args)], cwd=cwd, env=self.env, capture_output=True, text=True)
        if done.returncode != 0:
            raise Broken(f"lathe {' '.join(map(str, args))} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def get(self, path):
        connection = http.client.HTTPConnection(self.host, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", "/api/lathe/v1" + path)
            return check(connection.getresponse(), path)

    def post(self, path, body):
        connection = http.client.HTTPConnection(self.host, timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", "/api/lathe/v1" + path, json.dumps(body), {"Content-Type": "application/json"})
            return check(connection.getresponse(), path)

    def stop(self):
        subprocess.run([self.binary, "down", "--dir", self.dir], env=self.env, capture_output=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        if self.process.poll() is None:
            self.process.kill()
        self.log.close()


def check(response, what):
    body = json.loads(response.read() or b"null")
    if response.status >= 400:
        raise Broken(f"{what}: HTTP {response.status}: {body['error']['message']}")
    return body


class Events:
    """The server's log, live: one stream of server-sent events, read in order. Nothing is polled."""

    def __init__(self, server):
        self.server = server
        self.seen = []
        self.idle = None  # called between events while waiting: the world outside goes on
        self.connection = http.client.HTTPConnection(server.host, timeout=PATIENCE_S)
        self.connection.request("GET", "/api/lathe/v1/events?after=0.0", headers={"Accept": "text/event-stream"})
        self.stream = self.connection.getresponse()

    def next(self, until):
        while time.monotonic() < until:  # the stream's heartbeats keep the socket alive, and this loop turning
            line = self.stream.readline()
            if not line:
                raise Broken("the server closed the event stream")
            if line.startswith(b"data: "):
                event = json.loads(line[6:])
                self.seen.append(event)
                return event
        raise TimeoutError

    def wait(self, what, wanted):
        """The next event for which `wanted` answers true; a run that fails meanwhile ends the demo."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                event = self.next(until)
            except TimeoutError:
                raise Broken(f"waited {PATIENCE_S} s in vain for: {what}") from None
            if event["kind"] == "pipeline_run.failed":
                raise Broken("a pipeline run failed:\n" + self.explain(event["subject"]["id"]))
            if wanted(event):
                return event
            if self.idle:
                self.idle()

    def wait_for(self, kind, subject=None):
        return self.wait(kind, lambda e: e["kind"] == kind and (subject is None or e["subject"]["id"] == subject))

    def explain(self, run):
        lines = []
        for stage in self.server.get(f"/pipeline-runs/{run}")["stages"]:
            lines.append(f"  {stage['name']}: {stage['state']} {stage.get('reason') or ''}")
            if stage["state"] == "failed" and stage.get("attempt"):
                connection = http.client.HTTPConnection(self.server.host, timeout=60)
                connection.request("GET", f"/api/lathe/v1/attempts/{stage['attempt']}/log")
                lines.append(connection.getresponse().read().decode(errors="replace")[-3000:])
        return "\n".join(lines)


Answer = collections.namedtuple("Answer", "id version label truth")


class Client:
    """Sends one image a request, as a scanner would; keeps what came back. Every answer but 200 counts as failed."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection(server.host, timeout=60)
        self.connection.request("GET", "/v2/models/digits")
        meta = json.loads(self.connection.getresponse().read())
        self.input = meta["inputs"][0]["name"]
        self.sent = self.failed = 0

    def ask(self, pixels, truth):
        body = json.dumps({"inputs": [{"name": self.input, "shape": [1, len(pixels)], "datatype": "FP64", "data": [float(v) for v in pixels]}]})
        self.sent += 1
        try:
            self.connection.request("POST", "/v2/models/digits/infer", body, {"Content-Type": "application/json"})
            response = self.connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            self.failed += 1
            self.connection.close()
            return None
        if response.status != 200:
            self.failed += 1
            return None
        label = next(o for o in answer["outputs"] if "label" in o["name"])["data"][0]
        return Answer(response.headers["X-Lathe-Prediction-Id"], response.headers["X-Lathe-Model-Version"], int(label), int(truth))


class Scanner:
    """A new scanner: every image is moved by one pixel, has less contrast and noise. Which way, and the noise, by seed."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed + 1000)
        self.shift = [(0, 1), (0, -1), (1, 0), (-1, 0)][int(self.random.integers(4))]

    def scan(self, pixels):
        image = np.zeros((8, 8))
        dy, dx = self.shift
        old = pixels.reshape(8, 8)
        image[max(dy, 0) : 8 + min(dy, 0), max(dx, 0) : 8 + min(dx, 0)] = old[max(-dy, 0) : 8 + min(-dy, 0), max(-dx, 0) : 8 + min(-dx, 0)]
        return np.clip(np.round(0.6 * image + self.random.normal(0, 0.7, image.shape)), 0, 16).ravel()


def accuracy(answers):
    return sum(a.label == a.truth for a in answers) / len(answers)


def percent(value):
    return f"{100 * value:5.1f} %"


def interval(e):
    return f"{percent(e['value'])}  ({percent(e['low']).strip()} to {percent(e['high']).strip()})"


class Demo:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.project = folder / "digits"
        self.server = self.events = None
        self.facts = {}

    def run(self):
        self.start()
        self.first_promotion()
        self.quiet_before()
        self.drift()
        self.labels()
        self.retraining()
        self.quiet_after()
        self.report()

    def start(self):
        ignored = shutil.ignore_patterns("demo.py", "README.md", "__pycache__", "raw", "held_back.csv", ".lathe")
        shutil.copytree(HERE, self.project, ignore=ignored)
        subprocess.run([sys.executable, "make_data.py", "--seed", str(self.args.seed), "--held-back", self.folder / "held_back.csv"], cwd=self.project, check=True)
        self.commit()
        self.server = Server(self.args.lathe, self.folder)
        self.events = Events(self.server)
        say(f"1  server at {self.server.address}")

    def commit(self):
        git = ["git", "-c", "user.name=demo", "-c", "user.email=demo@localhost", "-c", "init.defaultBranch=main"]
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "Digits"]):
            subprocess.run([*git, *command], cwd=self.project, check=True)

    def first_promotion(self):
        say("2  lathe apply: prepare, train, evaluate, gate, promote")
        print(indented(self.server.lathe("apply", cwd=self.project)))
        run = self.events.wait_for("pipeline_run.created")["subject"]["id"]
        promoted = self.events.wait_for("endpoint.promoted")
        self.events.wait_for("pipeline_run.succeeded", run)
        self.facts.update(first_run=run, first=self.promotion(promoted), candidates=self.server.get(f"/evaluation-plan?run={run}")["candidates"])
        say(f"   promoted {self.facts['first']['model']}/{self.facts['first']['version']}")
        table = np.loadtxt(self.folder / "held_back.csv", delimiter=",", skiprows=1)
        self.images, self.truth = table[:, :-1], table[:, -1].astype(int)
        self.client = Client(self.server)

    def promotion(self, event):
        endpoint = event["subject"]["id"]
        return next(p for p in self.server.get(f"/promotions?endpoint={endpoint}")["promotions"] if p["kind"] == "promoted")

    def send(self, pixels, truth):
        answer = self.client.ask(pixels, truth)
        if answer is None:
            raise Broken("a request failed")
        return answer

    def windows(self, count):
        closed = [self.events.wait_for("window.closed")["body"] for _ in range(count)]
        if not all(w["judged"] for w in closed):
            raise Broken("a window was closed without a baseline")
        return closed

    def no_alert_since(self, start, when):
        alerts = [e for e in self.events.seen[start:] if e["kind"] == "alert.raised"]
        if alerts:
            raise Broken(f"an alert in the quiet windows {when}: {alerts[0]['body']}")

    def quiet_before(self):
        start = len(self.events.seen)
        self.before = [self.send(self.images[i], self.truth[i]) for i in range(QUIET)]
        self.windows(QUIET // WINDOW)
        self.no_alert_since(start, "before the drift")
        say(f"3  {QUIET} requests from held-back images, {QUIET // WINDOW} windows: no alert; accuracy {percent(accuracy(self.before)).strip()}")

    def drift(self):
        self.scanner = Scanner(self.args.seed)
        self.under, self.first_drifted = [], time.time()
        alert = None
        for i in range(QUIET, len(self.images)):
            self.under.append(self.send(self.scanner.scan(self.images[i]), self.truth[i]))
            if len(self.under) % WINDOW == 0 and alert is None:
                self.windows(1)
                if len(self.under) >= 2 * WINDOW:  # two windows in a row make an alert
                    alert = self.events.wait_for("alert.raised")
        if alert is None:
            raise Broken("no alert although the scanner changed")
        self.facts["alert"] = alert
        say(f"4  a new scanner: alert {alert['subject']['id']} after {self.seconds(alert):.1f} s; accuracy fell to {percent(accuracy(self.under)).strip()}")

    def seconds(self, event):
        return event["at_us"] / 1e6 - self.first_drifted

    def labels(self):
        late = [{"id": a.id, "label": str(a.truth)} for a in self.under]
        random.Random(self.args.seed).shuffle(late)
        for i in range(0, len(late), 50):
            self.server.post("/feedback", late[i : i + 50])
        say(f"5  {len(late)} labels arrived, late and out of order")

    def retraining(self):
        again = random.Random(self.args.seed + 1)

        def go_on():  # the scanner does not stop while the model is trained again
            i = again.randrange(QUIET, len(self.images))
            self.send(self.scanner.scan(self.images[i]), self.truth[i])

        started = self.events.wait_for("retraining.started")
        run = started["subject"]["id"]
        self.events.idle = go_on
        verdict = self.events.wait("the gate's verdict", lambda e: e["kind"] in ("verdict.passed", "verdict.failed"))
        if verdict["kind"] == "verdict.failed":
            raise Broken("the gate refused the retrained model: " + verdict["body"]["reason"])
        promoted = self.events.wait_for("endpoint.promoted")
        self.events.idle = None
        self.events.wait_for("pipeline_run.succeeded", run)
        self.facts.update(second_run=run, promoted=promoted, second=self.promotion(promoted), verdict=self.server.get(f"/verdicts/{verdict['subject']['id']}"))
        say(f"6  retrained and promoted {self.facts['second']['model']}/{self.facts['second']['version']} {self.seconds(promoted):.1f} s after the first drifted request")

    def quiet_after(self):
        start = len(self.events.seen)
        version = str(self.facts["second"]["version"])
        self.after = [self.send(self.scanner.scan(self.images[i]), self.truth[i]) for i in range(QUIET)]
        if any(a.version != version for a in self.after):
            raise Broken(f"an answer after the promotion did not come from version {version}")
        self.windows(QUIET // WINDOW)
        self.no_alert_since(start, "after the promotion")
        retrainings = self.server.get("/retrainings?endpoint=digits")["retrainings"]
        if len(retrainings) != 1:
            raise Broken(f"{len(retrainings)} retrainings; one was due")
        say(f"7  {QUIET} requests from the new scanner: no alert, no further retraining")

    def report(self):
        f = self.facts
        lineage = self.server.lathe("lineage", self.after[0].id)
        print(f"\n{'─' * 100}\nCandidates on valid")
        for c in sorted(f["candidates"], key=lambda c: -c["value"]):
            print(f"  {c['stage']:<16} {interval(c)}  on {c['rows']} rows   {c['model']}")
        print(f"\nPromoted         {f['first']['model']}/{f['first']['version']}, then {f['second']['model']}/{f['second']['version']}")
        print(f"Accuracy         before {percent(accuracy(self.before))}   under the drift {percent(accuracy(self.under))}   after {percent(accuracy(self.after))}")
        print(f"Seconds          first drifted request → alert {self.seconds(f['alert']):.1f} → promotion {self.seconds(f['promoted']):.1f}")
        print(f"Requests         {self.client.sent} sent, {self.client.failed} failed")
        print(f"\nVerdict {f['verdict']['id']}: {f['verdict']['reason']}")
        for rows in f["verdict"]["numbers"]["rows"]:
            d, m = rows["difference"], rows["mcnemar"]
            print(f"  {rows['part']:<7} {rows['rows']:>4} rows  challenger {interval(rows['challenger'])}  champion {interval(rows['champion'])}")
            print(f"          difference {100 * d['value']:+.1f} % ({100 * d['low']:+.1f} to {100 * d['high']:+.1f}), one-sided p {d['p_greater']:.4f}; "
                  f"McNemar {m['challenger_only']} : {m['champion_only']}, p {m['exact_p']:.2g}")
        print(f"\nLineage of prediction {self.after[0].id}\n{indented(lineage)}")
        print(f"\n{time.monotonic() - self.args.started:.1f} s\n{'─' * 100}", flush=True)


def indented(text):
    return "\n".join("   " + line for line in text.rstrip().splitlines())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--lathe", default=str(ROOT / "build/release/lathe"), help="the binary")
    parser.add_argument("--keep", action="store_true", help="keep the demo's folder")
    args = parser.parse_args()
    args.lathe = os.path.abspath(args.lathe)
    args.started = time.monotonic()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lathe-demo-"))
    demo = Demo(args, folder)
    code = 0
    try:
        demo.run()
        if sys.stdout.isatty():
            say(f"The server goes on at {demo.server.address} until Ctrl-C.")
            demo.server.process.wait()
    except KeyboardInterrupt:
        pass
    except Broken as broken:
        print(f"demo: {broken}", file=sys.stderr)
        code = 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if demo.server:
            demo.server.stop()
        if args.keep or code:
            print(f"left in {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())

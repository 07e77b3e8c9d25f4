"""A soak: models are asked over REST and gRPC at four fifths of what the machine answers, while what serves changes under them.

  - `lathe up` with an ONNX model of two revisions: rollbacks and divisions of its traffic, one after the other;
  - beside it a Python model, one of whose workers is killed (SIGKILL) again and again, each time when the last one has
    been replaced;
  - `lathe serve` with a model repository whose models are loaded anew without a pause.

The rules: every request is answered, and rightly, but for those that a killed worker had in its hands (one each); every
change is acknowledged; and memory is flat: the median of each server's resident set over the last fifth of the time is
no more than a twentieth and 8 MiB above that over the second fifth.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("LATHE_BINARY", str(ROOT / "build/release/lathe"))
os.environ.setdefault("LATHE_PYTHON", sys.executable)
sys.path[:0] = [str(ROOT / "tests/api"), str(pathlib.Path(__file__).parent)]
from deploy import deploy, made_models  # noqa: E402
from load import Target, run as run_load  # noqa: E402

MAY_GROW, MAY_GROW_MIB = 1.05, 8
PAUSE_S = 0.1  # between two changes of one kind
LOST = "Python worker failed while it ran this request"

PYTHON_MODEL = """
class Model:
    inputs = [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}]
    outputs = [{"name": "y", "datatype": "FP64", "shape": [-1]}]
    serving = {"min_workers": 2, "max_workers": 2}
    def predict(self, data):
        return data[:, 0] * 3 + data[:, 1]
"""
IRIS_ROW = [5.1, 3.5, 1.4, 0.2]


def call(url: str, method: str = "GET", body=None, timeout: float = 60):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        text = answer.read()
    return json.loads(text) if text[:1] in (b"{", b"[") else text.decode()


class Process:
    """A server, its log and its memory."""

    def __init__(self, name: str, home: pathlib.Path, *words: str):
        self.name, self.log, self.resident, self.url = name, home / f"{name}.log", [], ""
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([os.environ["LATHE_BINARY"], *words], cwd=home, stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, start_new_session=True)

    def wait_for(self, what: str, until):
        end = time.monotonic() + 120
        while not (found := until()):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.name}: {what} did not come: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        return found

    def wait_ready(self) -> None:
        def ready():
            try:
                return call(f"{self.url}/v2/health/ready", timeout=5)
            except (OSError, urllib.error.HTTPError):
                return None

        self.wait_for("readiness", ready)

    def sample(self) -> None:
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        self.resident.append(int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        return self.process.returncode

    def growth(self) -> tuple[float, float]:
        fifth = len(self.resident) // 5
        return statistics.median(self.resident[fifth:2 * fifth]), statistics.median(self.resident[-fifth:])


def start_house(home: pathlib.Path) -> Process:
    state = home / "state"
    words = ("up", "--dir", str(state), "--listen", "127.0.0.1:0")
    first = Process("house", home, *words)
    address = state / "address"
    first.wait_for("its address", lambda: address.exists() and address.read_text().strip())
    first.stop()
    for version in (1, 2):
        deploy(state, "flowers", made_models() / "iris", version=version)
    (home / "python").mkdir()
    (home / "python/model.py").write_text(PYTHON_MODEL)
    deploy(state, "tripled", home / "python")
    address.unlink(missing_ok=True)
    house = Process("house", home, *words)
    house.url = house.wait_for("its address", lambda: address.exists() and address.read_text().strip())
    if not house.url.startswith("http"):
        house.url = f"http://{house.url}"
    house.wait_ready()
    register(house, "iris", 2)
    return house


def register(house: Process, model: str, versions: int) -> None:
    """What is rolled back to is a version of the registry: its alias moves, too."""
    tracking = f"{house.url}/api/2.0/mlflow"
    run = call(f"{tracking}/runs/create", "POST", {"experiment_id": "0"})["run"]["info"]
    call(f"{tracking}/registered-models/create", "POST", {"name": model})
    for _ in range(versions):
        call(f"{tracking}/model-versions/create", "POST", {"name": model, "run_id": run["run_id"], "source": f"{run['artifact_uri']}/model"})


def start_repository(home: pathlib.Path) -> Process:
    for name in ("lilies", "roses"):
        shutil.copytree(made_models() / "iris_bare", home / "models" / name / "1")
    shop = Process("repository", home, "serve", "--model-repository", str(home / "models"), "--model-control-mode", "explicit",
                   "--load-model", "*", "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
    found = shop.wait_for("its addresses", lambda: re.search(r"serves \d+ models at (.*)\n", shop.log.read_text(errors="replace")))
    for place in found[1].split(", "):
        what, _, url = place.rpartition(" ")
        if what == "gRPC":
            shop.grpc = url.split("//")[1]
        elif what == "":
            shop.url = url
    shop.wait_ready()
    return shop


def targets_of(house: Process, shop: Process) -> list[Target]:
    out = []
    for server, name, datatype, row in ((house, "flowers", "FP32", IRIS_ROW), (house, "tripled", "FP64", [2.0, 1.0]),
                                        (shop, "lilies", "FP32", IRIS_ROW), (shop, "roses", "FP32", IRIS_ROW)):
        told = call(f"{server.url}/v2/models/{name}")
        given, output = told["inputs"][0]["name"], told["outputs"][0]["name"]
        body = {"inputs": [{"name": given, "shape": [1, len(row)], "datatype": datatype, "data": row}], "outputs": [{"name": output}]}
        expected = call(f"{server.url}/v2/models/{name}/infer", "POST", body)["outputs"][0]["data"]
        rest = server.url.split("//")[1]
        for protocol, address in (("rest", rest), ("grpc", getattr(server, "grpc", rest))):
            out.append(Target(name, address, protocol, given, datatype, row, output, expected))
    return out


class Change(threading.Thread):
    """One kind of change, again and again until stop()."""

    def __init__(self, rng: random.Random):
        super().__init__(daemon=True)
        self.rng, self.done, self.problem, self.ending = rng, 0, "", threading.Event()

    def run(self) -> None:
        try:
            while not self.ending.wait(PAUSE_S):
                self.act()
                self.done += 1
        except Exception as error:
            detail = error.read().decode() if isinstance(error, urllib.error.HTTPError) else ""
            self.problem = f"{self.name}: {type(error).__name__}: {error} {detail}"

    def stop(self) -> None:
        self.ending.set()
        self.join(120)

    def act(self) -> None: ...


class Promotions(Change):
    def __init__(self, rng, house: Process):
        super().__init__(rng)
        self.name, self.url, self.divided = "promotions", f"{house.url}/api/lathe/v1/endpoints/flowers", False

    def act(self) -> None:
        if self.rng.random() < 0.5:
            call(f"{self.url}/rollback", "POST", {})
            self.divided = False
        else:
            self.divided = not self.divided
            live = call(self.url)["live_revision"]
            call(f"{self.url}/traffic", "PUT", {"weights": {str(live): 60, str(3 - live): 40} if self.divided else {}})


class Reloads(Change):
    def __init__(self, rng, shop: Process):
        super().__init__(rng)
        self.name, self.url = "reloads", shop.url

    def act(self) -> None:
        call(f"{self.url}/v2/repository/models/{self.rng.choice(['lilies', 'roses'])}/load", "POST", {})


class Kills(Change):
    """A worker is killed when both are there, and the last killed one's successor has answered."""

    def __init__(self, rng, house: Process):
        super().__init__(rng)
        self.name, self.pid, self.url = "kills", house.process.pid, f"{house.url}/v2/models/tripled/infer"

    def workers(self) -> list[int]:
        parents = {}
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit():
                    parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
        return [pid for pid, parent in parents.items() if parents.get(parent) == self.pid and self.is_worker(pid)]

    @staticmethod
    def is_worker(pid: int) -> bool:
        try:
            return b"keeper" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False

    def act(self) -> None:
        end = time.monotonic() + 60
        while len(found := self.workers()) < 2:
            if time.monotonic() > end:
                raise RuntimeError(f"a killed worker was not replaced: {found}")
            if self.ending.wait(0.05):
                return
        self.wait_for_answer()
        os.kill(self.rng.choice(found), signal.SIGKILL)
        self.ending.wait(1)

    def wait_for_answer(self) -> None:
        """Crashes without an answer between them open the breaker, which is not what is tried here."""
        body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 1]}]}
        for _ in range(3):  # of two workers one may be gone that was idle when it was killed
            try:
                return call(self.url, "POST", body)
            except urllib.error.HTTPError as error:
                if LOST not in (told := error.read().decode()):
                    raise RuntimeError(told) from error
        raise RuntimeError("a killed worker's successor does not answer")


def soak(args, home: pathlib.Path) -> list[str]:
    rng = random.Random(args.seed)
    servers: list[Process] = []
    changes: list[Change] = []
    try:
        servers += [start_house(home)]
        servers += [start_repository(home)]
        house, shop = servers
        context = multiprocessing.get_context("spawn")  # grpc does not survive a fork
        ours, theirs = context.Pipe(duplex=False)
        load = context.Process(target=run_load, args=(theirs, targets_of(house, shop), args.seconds))
        load.start()
        theirs.close()
        ours.recv()  # calibrated
        changes += [Promotions(rng, house), Reloads(rng, shop), Kills(rng, house)]
        for change in changes:
            change.start()
        while not ours.poll(1):
            for server in servers:
                if server.process.poll() is not None:
                    raise RuntimeError(f"{server.name} ended with {server.process.returncode}: {server.log.read_text(errors='replace')[-2000:]}")
                server.sample()
        tally = ours.recv()
        load.join()
        for change in changes:
            change.stop()
        return judge(tally, servers, changes)
    finally:
        for change in changes:
            change.ending.set()
        for server in servers:
            server.stop()


def judge(tally, servers: list[Process], changes: list[Change]) -> list[str]:
    kills = next(change.done for change in changes if change.name == "kills")
    lost = [what for label, what in tally.failures if label.startswith("tripled") and LOST in what]
    problems = [change.problem for change in changes if change.problem]
    problems += [f"{label}: {what}" for label, what in tally.failures if not (label.startswith("tripled") and LOST in what)]
    if len(lost) > kills:
        problems.append(f"{len(lost)} requests were lost with {kills} killed workers")
    problems += [f"{change.name}: nothing was changed" for change in changes if change.done == 0]
    print(", ".join(f"{label} {count:,}" for label, count in sorted(tally.answered.items())))
    print(f"{tally.rate:,.0f} requests a second were wanted, the slowest answer took {tally.slowest:.2f} s; "
          f"{len(lost)} lost with their workers; " + ", ".join(f"{change.done} {change.name}" for change in changes))
    for server in servers:
        early, late = server.growth()
        print(f"{server.name}: {early:.1f} MiB resident early, {late:.1f} MiB late")
        if late > early * MAY_GROW + MAY_GROW_MIB:
            problems.append(f"{server.name} grew from {early:.1f} to {late:.1f} MiB")
    return problems


def write_junit(path: str, problems: list[str], seconds: float) -> None:
    suite = ET.Element("testsuite", name="soak", tests="1", failures=str(int(bool(problems))))
    case = ET.SubElement(suite, "testcase", classname="soak", name="changes-under-load", time=f"{seconds:.1f}")
    if problems:
        ET.SubElement(case, "failure", message=problems[0][:500]).text = "\n".join(problems[:100])
    ET.ElementTree(suite).write(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--junit", help="also write the outcome here")
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    home, start = pathlib.Path(tempfile.mkdtemp(prefix="lathe-soak-")), time.monotonic()
    print(f"seed {args.seed}", flush=True)
    try:
        problems = soak(args, home)
    except Exception as error:
        traceback.print_exc()
        problems = [f"{type(error).__name__}: {error}"]
    finally:
        if args.keep:
            print(f"kept: {home}", file=sys.stderr)
        else:
            shutil.rmtree(home, ignore_errors=True)
    if args.junit:
        write_junit(args.junit, problems, time.monotonic() - start)
    for problem in problems[:20]:
        print(f"PROBLEM {problem}")
    print(f"{args.seconds:.0f} s of load: {'FAILED' if problems else 'ok'}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

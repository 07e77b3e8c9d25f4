"""lathe score: tables through a model in parts: resumable, exactly once, bad rows counted."""
import csv
import json
import signal
import subprocess
import time

from deploy import deploy, made_models
from lathe_server import BINARY

IRIS = json.loads((made_models() / "expected.json").read_text())["iris"]
ROWS = IRIS["rows"]


def score(*args, **kwargs):
    return subprocess.run([BINARY, "score", *map(str, args)], text=True, capture_output=True, timeout=240, **kwargs)


def write(path, rows, names):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "note"])
        writer.writerows([*row, f"row {i}"] for i, row in enumerate(rows))


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def table(tmp_path, rows):
    file = tmp_path / "in.csv"
    write(file, rows, IRIS["names"])
    return file


def test_a_folder_scores_a_csv_in_order(binary, tmp_path):
    rows = [ROWS[i % len(ROWS)] for i in range(2500)]
    file = table(tmp_path, rows)
    done = score(made_models() / "iris", file, tmp_path / "out.csv", "--part-rows", 700)
    assert done.returncode == 0, done.stderr
    out = read(tmp_path / "out.csv")
    assert [row["note"] for row in out] == [f"row {i}" for i in range(2500)]
    assert [row["prediction"] for row in out] == [str(IRIS["labels"][i % len(ROWS)]) for i in range(2500)]
    assert all(0 < float(row["score"]) <= 1 and row["error"] == "" for row in out)
    assert not (tmp_path / "out.csv.parts").exists()


def test_bad_rows_are_counted_with_reasons_and_the_others_scored(binary, tmp_path):
    rows = [list(map(str, ROWS[i % len(ROWS)])) for i in range(50)]
    rows[7][1] = "wide"
    rows[30][2] = "n/a"
    file = table(tmp_path, rows)
    done = score(made_models() / "iris", file, tmp_path / "out.csv", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["rows"] == 50 and report["scored"] == 48 and report["bad"] == 2
    assert sorted(report["reasons"].values()) == [1, 1] and all("is not a number" in reason for reason in report["reasons"])
    out = read(tmp_path / "out.csv")
    assert [i for i, row in enumerate(out) if row["error"]] == [7, 30] and out[7]["prediction"] == ""


def test_a_killed_run_goes_on_and_every_row_is_there_once(binary, tmp_path):
    rows = [ROWS[i % len(ROWS)] for i in range(6000)]
    file = table(tmp_path, rows)
    out = tmp_path / "out.parquet"
    run = subprocess.Popen([BINARY, "score", made_models() / "iris", file, out, "--part-rows", "100"], stdout=subprocess.DEVNULL)
    parts = tmp_path / "out.parquet.parts"
    end = time.monotonic() + 120
    while len(list(parts.glob("*.parquet"))) < 5 and run.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not out.exists()
    left = len(list(parts.glob("*.parquet")))
    assert left >= 5
    again = score(made_models() / "iris_zipmap", file, out, "--part-rows", "100")
    assert again.returncode == 1 and "another model or input" in again.stderr
    done = score(made_models() / "iris", file, out, "--part-rows", "100")
    assert done.returncode == 0 and "going on after" in done.stdout, done.stdout + done.stderr
    back = score(made_models() / "iris", out, tmp_path / "x.csv")  # its own output is no input
    assert back.returncode == 1 and "'prediction'" in back.stderr
    whole = tmp_path / "whole.csv"
    assert score(made_models() / "iris", file, whole).returncode == 0
    assert len(read(whole)) == 6000 and len({row["note"] for row in read(whole)}) == 6000


def test_an_endpoint_and_a_missing_one(start_server, tmp_path):
    server = start_server()
    server.stop()
    deploy(server.dir, "flowers", made_models() / "iris")
    server.start()
    file = table(tmp_path, ROWS)
    done = server.cli("score", "flowers", str(file), str(tmp_path / "out.csv"))
    assert done.returncode == 0 and "with iris/1" in done.stdout, done.stdout + done.stderr
    assert [row["prediction"] for row in read(tmp_path / "out.csv")] == [str(label) for label in IRIS["labels"]]
    for missing in ("nobody", "models:/nobody/1", "models:/nobody@champion", "nobody/x"):
        refused = server.cli("score", missing, str(file), str(tmp_path / "no.csv"))
        assert refused.returncode == 1 and refused.stderr, missing

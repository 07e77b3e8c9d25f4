"""Monitoring over HTTP and on the command line, on a model that is served without the loop that promotes."""
import csv
import json
import sqlite3
import time

import pytest

from deploy import deploy, made_models, put_blob

CLASSES = ["0", "1", "2"]


def numeric(name, values):
    """A feature of docs/formats/baseline.md, by value."""
    kinds = sorted(set(values))
    counts = [values.count(v) for v in kinds]
    edges = [(a + b) / 2 for a, b in zip(kinds, kinds[1:])]
    return {"name": name, "kind": "numeric", "text": False, "rows": len(values), "missing": 0, "low": kinds[0], "high": kinds[-1],
            "edges": edges, "sample_values": kinds, "sample_counts": counts, "counts": counts}


@pytest.fixture(scope="module")
def expected():
    return json.loads((made_models() / "expected.json").read_text())["iris"]


@pytest.fixture(scope="module")
def watched(server, http, expected):
    """Iris behind an endpoint, with the baseline that a promotion would freeze, watched in windows of 30 rows."""
    server.stop()
    deploy(server.dir, "iris", made_models() / "iris", default=True)
    rows = expected["rows"] * 10
    labels = [str(label) for label in expected["labels"]] * 10
    profile = {
        "format": "lathe-baseline/1", "rows": len(rows), "truth_rows": len(rows), "truth_correct": len(rows),
        "predictions": {"name": "prediction", "kind": "category", "text": True, "rows": len(rows), "missing": 0,
                        "categories": CLASSES, "counts": [labels.count(c) for c in CLASSES]},
        "features": [numeric(name, [row[i] for row in rows]) for i, name in enumerate(expected["names"])],
    }
    digest = put_blob(server.dir, json.dumps(profile).encode())
    with sqlite3.connect(server.dir / "lathe.db") as database:
        database.execute("INSERT INTO baselines VALUES (1, 'iris', 1, ?, 'ev_none', 0)", (digest,))
    server.start()
    answer = http.put(server.api("/monitors/iris"), json={"window_rows": 30, "labels_from_feedback": True})
    assert answer.status_code == 200, answer.text
    return server


def ask(server, http, rows):
    answer = http.post(f"{server.url}/v2/models/iris/infer",
                       json={"inputs": [{"name": server.input_name, "shape": [len(rows), 4], "datatype": "FP32", "data": rows}]})
    assert answer.status_code == 200, answer.text
    return answer.headers["X-Lathe-Prediction-Id"]


@pytest.fixture(scope="module")
def predict(watched, http):
    watched.input_name = http.get(f"{watched.url}/v2/models/iris").json()["inputs"][0]["name"]
    return lambda rows: ask(watched, http, rows)


def wait_for(read, wanted, seconds=30):
    until = time.monotonic() + seconds
    while not wanted(value := read()):
        assert time.monotonic() < until, f"it did not come: {value}"
        time.sleep(0.05)
    return value


def windows(server, http):
    return http.get(server.api("/monitors/iris/windows")).json()["windows"]


def test_quiet_traffic_then_drift_then_labels(watched, http, predict, expected):
    rows, truth = expected["rows"], [str(label) for label in expected["labels"]]
    assert len(rows) == 15
    ids = [predict([row]) for row in rows * 4]
    quiet = wait_for(lambda: windows(watched, http), lambda w: len(w) == 2)
    assert [w["rows"] for w in quiet] == [30, 30] and [w["number"] for w in quiet] == [2, 1]
    assert not any(w["drifted"] or w["bad_quality"] for w in quiet) and all(w["judged"] for w in quiet)

    # Labels: a list, lines, a single object; numbers and text are one spelling; late, out of order, again.
    labels = [{"id": id, "label": float(label)} for id, label in zip(ids, truth * 4)]
    answer = http.post(watched.api("/feedback"), json=labels[30:])
    assert answer.json() == {"received": 30, "new": 30, "unknown": []}
    lines = "\n".join(json.dumps(label) for label in labels[:30])
    assert http.post(watched.api("/feedback"), data=lines).json()["new"] == 30
    assert http.post(watched.api("/feedback"), data=lines).json()["new"] == 0
    done = wait_for(lambda: windows(watched, http), lambda w: all(x["labelled"] == 30 for x in w))
    assert all(w["correct"] == 30 and w["accuracy"] == 1 for w in done)
    assert http.post(watched.api("/feedback"), json={"id": ids[0], "label": "dog"}).json()["new"] == 0
    wait_for(lambda: windows(watched, http), lambda w: w[1]["correct"] == 29)

    # Another instrument: everything is a quarter shorter.
    for row in rows * 4:
        predict([[x * 0.75 for x in row]])
    alert = wait_for(lambda: http.get(watched.api("/alerts?endpoint=iris")).json()["alerts"], lambda a: len(a) >= 1)[0]
    assert alert["kind"] == "drift" and alert["ended_us"] is None
    first = alert["numbers"]["windows"][0]
    assert first["number"] == 3 and first["crossed"] >= 1 and first["features"][0]["p_holm"] <= 0.01
    replayed = http.get(watched.api(f"/alerts/{alert['id']}?replay=true")).json()
    assert replayed["replay"]["equal"] is True and replayed["replay"]["numbers"] == alert["numbers"]
    monitor = http.get(watched.api("/monitors/iris")).json()
    assert monitor["labels"] == 60 and monitor["open_alerts"] == [alert["id"]] and monitor["live_revision"] == 1
    events = http.get(watched.api("/events?limit=1000")).json()["events"]
    assert [e["subject"]["id"] for e in events if e["kind"] == "alert.raised"] == [alert["id"]]
    detail = http.get(watched.api(f"/windows/{first['id']}")).json()
    assert [f["name"] for f in detail["numbers"]["features"]] == expected["names"]

    # The same alert for people.
    assert alert["id"] in watched.cli("alerts", "--open", check=True).stdout
    assert "equal" in watched.cli("alerts", alert["id"], check=True).stdout
    assert "drifted" in watched.cli("monitor", "iris", check=True).stdout


def test_labels_of_unknown_predictions_are_kept_and_named(watched, http):
    answer = http.post(watched.api("/feedback"), json=[{"id": "somebody-elses", "label": True, "at_us": 5}])
    assert answer.status_code == 200
    assert answer.json() == {"received": 1, "new": 1, "unknown": ["somebody-elses"]}


def test_feedback_from_a_file(watched, http, predict, expected, tmp_path):
    ids = [predict(expected["rows"][:2]), predict(expected["rows"][:1])]
    with open(tmp_path / "labels.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["id", "row", "label"], [ids[0], 0, 0], [ids[0], 1, 0], [ids[1], 0, 2], ["pr_nobody", 0, 1]])
    out = watched.cli("feedback", tmp_path / "labels.csv", check=True).stdout
    assert "4 labels sent, 4 new" in out and "pr_nobody" in out
    kept = http.get(watched.api("/endpoints/iris/requests")).text.splitlines()
    row = [json.loads(line) for line in kept if ids[1] in line]
    assert row and row[0]["label"] == "2"
    refused = watched.cli("feedback", tmp_path / "nothing.csv")
    assert refused.returncode == 1 and "nothing.csv" in refused.stderr


@pytest.mark.parametrize("body,words", [
    ("", "empty"), ("[", ""), ("7", "object"), ("[7]", "element 0"), ('[{"id": "pr_x"}]', "label"), ('[{"label": 1}]', "id"),
    ('[{"id": "pr_x", "label": [1]}]', "label"), ('[{"id": "pr_x", "label": 1, "rwo": 2}]', "rwo"),
    ('[{"id": "pr_x", "label": 1, "row": -1}]', "row"), ('[{"id": "pr_x", "label": 1, "row": 1.5}]', "row"),
    ('[{"id": "", "label": 1}]', "id"), ('[{"id": "pr_x", "label": ""}]', "label"), ('[{"id": "pr_x", "label": "\\u0000"}]', "NUL"),
    ('{"id": "pr_x", "label": 1}\n{"id": 5}', "line 2"), (b'[{"id": "\xff", "label": 1}]', "UTF-8"),
    (json.dumps([{"id": "pr_x", "label": "y" * 2000}]), "1024"),
])
def test_bad_feedback_is_refused_with_a_reason(watched, http, body, words):
    answer = http.post(watched.api("/feedback"), data=body)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["error"]["message"]


def test_limits_of_feedback(watched, http, predict, expected):
    many = [{"id": "pr_x", "label": 1}] * 10001
    assert http.post(watched.api("/feedback"), json=many).status_code == 413
    beyond = http.post(watched.api("/feedback"), json=[{"id": predict(expected["rows"][:1]), "label": 1, "row": 1}])
    assert beyond.status_code == 400 and "1 rows" in beyond.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/monitors/nobody", "/monitors/nobody/windows", "/windows/wd_none", "/alerts/al_none"])
def test_what_is_not_there(watched, http, path):
    answer = http.get(watched.api(path))
    assert answer.status_code == 404 and answer.json()["error"]["code"] == "not-found"


@pytest.mark.parametrize("body,words", [
    ({"window_rows": 5}, "30"), ({"window_rows": 50, "window_us": 5000000}, "either"), ({"ks_alpha": 2}, "ks_alpha"),
    ({"windw": 5}, "windw"), ({"consecutive": 0}, "consecutive"), ({"window_us": -5}, ""), ([], "object"),
])
def test_bad_monitors_are_refused(watched, http, body, words):
    answer = http.put(watched.api("/monitors/iris"), json=body)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["error"]["message"]
    assert http.put(watched.api("/monitors/nobody"), json={}).status_code == 404
    assert http.get(watched.api("/alerts?limit=0")).status_code == 400

"""What the browser's pages ask for about data, pipelines, endpoints, monitors and lineage, on a server that lived."""
import csv
import io
import time

import pytest
import requests

from digits_life import CLEAN, DRIFTED, LABELLED, WINDOW


def run_page(life, run=1):
    return life.get(f"/pages/pipelines/digits/runs/{run}")


# --- pipelines ------------------------------------------------------------------------------------------------------


def test_pipelines_show_their_runs_and_the_next_one(life):
    (card,) = life.get("/pages/pipelines")["pipelines"]
    assert card["name"] == "digits" and card["stages"] == 6 and card["run_count"] >= 1
    assert card["cron"] == "0 3 * * * Europe/Paris" and card["cron_next_us"] > time.time() * 1e6
    assert card["runs"][-1]["number"] == 1 and card["runs"][-1]["state"] == "succeeded"
    assert card["newest_progress"]["stages"] == 6


def test_a_run_is_shown_whole_by_number_and_by_id(life):
    page = run_page(life)
    assert page == life.get(f"/pages/pipelines/digits/runs/{life.run}")
    assert {row["state"] for row in page["rows"]} == {"succeeded"}
    assert all(row["waits"] is None for row in page["rows"])
    assert {a["stage"] for a in page["attempts"]} == {s["name"] for s in page["stages"]}
    assert all(a["outcome"] == "succeeded" and a["ended_us"] >= a["started_us"] for a in page["attempts"])
    assert page["verdict"]["passed"] and page["bundle"]["files"] > 0
    after = {s["name"]: s["after"] for s in page["stages"]}
    assert set(after["evaluate"]) >= {"train@logreg", "train@forest"}


@pytest.mark.parametrize("run, status", [("2000", 404), ("0", 400), ("one", 400), ("pl_nothing", 404)])
def test_a_run_that_is_not_there(life, run, status):
    life.get(f"/pages/pipelines/digits/runs/{run}", status=status)
    life.get(f"/pages/pipelines/nobody/runs/{run}", status=status)


def test_the_grid_has_a_cell_for_every_stage_of_every_run(life):
    grid = life.get("/pages/pipelines/digits")["grid"]
    assert len(grid["cells"]) == len(grid["runs"])
    assert all(len(row) == len(grid["stages"]) for row in grid["cells"])
    assert life.get("/pages/pipelines/digits", before=1)["grid"]["runs"] == []
    life.get("/pages/pipelines/digits", status=400, runs=0)
    life.get("/pages/pipelines/nobody", status=404)


def test_a_log_is_read_by_windows_and_searched(life):
    attempt = next(a for a in run_page(life)["attempts"] if a["stage"] == "prepare:digits")["id"]
    raw = requests.get(life.server.api(f"/attempts/{attempt}/log"), timeout=60).text
    lines = raw.split("\n")[:-1] if raw.endswith("\n") else raw.split("\n")
    assert lines and lines[0]
    whole = life.get(f"/pages/attempts/{attempt}/log")
    assert whole["lines"] == lines and whole["total"] == len(lines) and whole["ended"]
    last = life.get(f"/pages/attempts/{attempt}/log", **{"from": -1, "limit": 1})
    assert last["first"] == len(lines) - 1 and last["lines"] == lines[-1:]
    assert life.get(f"/pages/attempts/{attempt}/log", **{"from": 10_000})["lines"] == []
    word = lines[0].split()[0]
    found = life.get(f"/pages/attempts/{attempt}/log/search", q=word.upper())
    assert found["lines"] == [i for i, line in enumerate(lines) if word.lower() in line.lower()]
    life.get(f"/pages/attempts/{attempt}/log/search", status=400)
    life.get(f"/pages/attempts/{attempt}/log", status=400, limit=0)
    life.get("/pages/attempts/at_nothing/log", status=404)


def test_run_again_skips_what_is_unchanged_and_says_so(life):
    first = run_page(life)["run"]
    response = life.http.post(life.server.api("/pipelines/digits/runs"), json={"bundle": first["bundle"], "params": first["params"]})
    assert response.status_code == 201
    made = response.json()
    early = life.get(f"/pages/pipelines/digits/runs/{made['number']}")
    assert any(row["waits"] for row in early["rows"]), early["rows"]
    life.wait_for("pipeline_run.succeeded", made["id"])
    rows = {row["name"]: row for row in life.get(f"/pages/pipelines/digits/runs/{made['number']}")["rows"]}
    for stage in ("train@logreg", "train@forest"):
        assert rows[stage]["state"] == "skipped" and "since run 1" in rows[stage]["reason"], rows[stage]
        assert rows[stage]["attempt"] in {a["id"] for a in run_page(life)["attempts"]}


# --- data -----------------------------------------------------------------------------------------------------------


def test_a_data_version_is_shown_with_schema_profile_and_uses(life):
    (data,) = life.get("/pages/data")["data"]
    assert data["name"] == "digits" and data["newest"]["rows"]["rejected"] == 1
    page = life.get("/pages/data/digits@1")
    assert page == life.get(f"/pages/data/{page['version']['id']}")
    assert len(page["schema"]["columns"]) == 65 and len(page["profile"]["columns"]) == 65
    assert {e["kind"] for e in page["from"]} >= {"file", "attempt"}
    assert page["uses"] == len(page["used_by"]) > 0
    life.get("/pages/data/digits@9", status=404)
    life.get("/pages/data/nothing@1", status=404)
    life.get("/pages/data/" + "0" * 64, status=404)


def test_rows_come_by_windows_and_equal_the_file(life):
    version = life.get("/pages/data/digits@1")["version"]
    text = requests.get(life.server.api(f"/data/digits/versions/{version['id']}/files/train.csv"), timeout=60).text
    table = list(csv.reader(io.StringIO(text)))
    window = life.get("/pages/data/digits@1/rows", file="train.csv", **{"from": 300, "limit": 7})
    assert window["columns"] == table[0] and window["total"] == len(table) - 1 == version["rows"]["train"]
    assert window["rows"] == table[301:308] and window["from"] == 300
    assert life.get("/pages/data/digits@1/rows", file="train.csv", **{"from": 10**9})["rows"] == []
    (rejected,) = life.get("/pages/data/digits@1/rows", file="rejects.csv")["rows"]
    assert "ten" in rejected[4] and rejected[3]
    problem = life.get("/pages/data/digits@1/rows", status=404, file="nope.csv")["error"]["message"]
    assert "train.csv" in problem
    life.get("/pages/data/digits@1/rows", status=400, file="profile.json")
    life.get("/pages/data/digits@1/rows", status=400, file="train.csv", limit=100_000)


def test_two_versions_differ_by_what_was_changed(life):
    same = life.get("/pages/data/digits@1/diff", against="digits@1")
    assert same["rows"]["added"] == same["rows"]["removed"] == same["rows"]["moved"] == 0
    assert all(f["change"] == "" for f in same["files"]) and max(c["distance"] for c in same["columns"]) == 0
    life.get("/pages/data/digits@1/diff", status=400)
    life.get("/pages/data/digits@1/diff", status=404, against="digits@7")


# --- endpoints ------------------------------------------------------------------------------------------------------


def test_traffic_is_counted_with_its_latency_and_survives_a_restart(life):
    def page():
        return life.get("/pages/endpoints/digits", from_us=int((time.time() - 900) * 1e6), to_us=int((time.time() + 60) * 1e6))

    until = time.monotonic() + 30  # a step is ten seconds
    while page()["traffic"]["requests"] < CLEAN + DRIFTED and time.monotonic() < until:
        time.sleep(0.5)
    before = page()
    traffic = before["traffic"]
    assert traffic["requests"] == traffic["rows"] == CLEAN + DRIFTED and traffic["failures"] == 0
    assert 0 < traffic["p50"] <= traffic["p95"] <= traffic["p99"] < 1
    assert sum(p["requests"] for p in traffic["points"]) == CLEAN + DRIFTED
    assert sum(r["traffic"]["requests"] for r in before["revisions"]) == CLEAN + DRIFTED
    assert [f["name"] for f in before["signature"]["features"]] == [f"p{i}" for i in range(64)]
    assert before["model"] == "digits/1" and before["monitored"] and before["alerts"]
    life.server.stop()
    life.server.start()
    assert page()["traffic"]["requests"] == CLEAN + DRIFTED
    card = life.get("/pages/endpoints")["endpoints"][0]
    assert card["requests"] == CLEAN + DRIFTED and card["open_alerts"] >= 1
    life.get("/pages/endpoints/nobody", status=404)
    life.get("/pages/endpoints/digits", status=400, from_us=5, to_us=4)
    life.get("/pages/endpoints/digits", status=400, from_us=1, to_us=10**15, step_us=10_000_000)


def all_requests(life, **params):
    found, after = [], ""
    while True:
        page = life.get("/pages/endpoints/digits/requests", after=after, **params)
        found += page["requests"]
        after = page["next"]
        if after is None:
            return found


def test_requests_come_newest_first_page_by_page_each_once(life):
    found = all_requests(life, limit=70)
    assert [r["id"] for r in found] == [id for id, _, _ in reversed(life.answers)]
    assert [r["rows"][0]["prediction"] for r in found] == [label for _, label, _ in reversed(life.answers)]
    assert all(0 < r["duration_us"] < 5_000_000 for r in found)
    page = life.get("/pages/endpoints/digits/requests", limit=1)
    assert len(page["layouts"][0]["features"]) == len(page["requests"][0]["rows"][0]["values"]) == 64
    life.get("/pages/endpoints/digits/requests", status=400, after="soon")
    life.get("/pages/endpoints/digits/requests", status=400, limit=10_000)
    life.get("/pages/endpoints/nobody/requests", status=404)


def test_requests_are_filtered_by_what_was_wrong_and_by_what_was_answered(life):
    known = life.answers[:LABELLED]
    wrong = {id for id, label, truth in known if label != truth}
    assert wrong, "the model is never wrong: the test shows nothing"
    assert {r["id"] for r in all_requests(life, wrong=1, limit=3)} == wrong
    assert len(all_requests(life, labelled=1)) == LABELLED
    sevens = [id for id, label, _ in life.answers if label == "7"]
    assert len(all_requests(life, prediction="7")) == len(sevens)
    unsure = all_requests(life, below_score=0.5)
    assert unsure and all(r["rows"][0]["score"] < 0.5 for r in unsure)
    slow = all_requests(life, least_us=1_000_000)
    assert all(r["duration_us"] >= 1_000_000 for r in slow)
    id = life.answers[17][0]
    assert [r["id"] for r in all_requests(life, id=id)] == [id]


# --- monitors -------------------------------------------------------------------------------------------------------


def test_drift_is_a_matrix_of_features_and_windows(life):
    page = life.get("/pages/monitors/digits")
    windows = page["windows"]
    assert [w["number"] for w in windows] == list(range(1, (CLEAN + DRIFTED) // WINDOW + 1))
    assert [w["drifted"] for w in windows] == [False] * (CLEAN // WINDOW) + [True] * (DRIFTED // WINDOW)
    assert page["feature_count"] == 65  # 64 pixels and the prediction
    for feature in page["features"]:
        assert len(feature["psi"]) == len(feature["flags"]) == len(windows)
    assert page["features"][0]["drifted"] == DRIFTED // WINDOW
    drifted = [f["drifted"] for f in page["features"]]
    assert drifted == sorted(drifted, reverse=True)
    first = windows[0]
    assert first["labelled"] == WINDOW and first["accuracy"]["low"] < first["accuracy"]["value"] < first["accuracy"]["high"]
    alert = next(a for a in page["alerts"] if a["kind"] == "drift")
    assert alert["numbers"]["windows"] and alert["started"] is None
    (card,) = life.get("/pages/monitors")["monitors"]
    assert card["labels"] == LABELLED and card["open_alerts"]
    assert len(life.get("/pages/monitors/digits", features=5)["features"]) == 5
    assert len(life.get("/pages/monitors/digits", windows=2)["windows"]) == 2
    life.get("/pages/monitors/nobody", status=404)


def test_one_feature_stands_beside_its_baseline(life):
    page = life.get("/pages/monitors/digits")
    name, window = page["features"][0]["name"], page["windows"][-1]
    shown = life.get("/pages/monitors/digits/feature", name=name, window=window["id"])
    assert shown["now"]["drifted"] and shown["now"]["psi"] == page["features"][0]["psi"][-1]
    assert sum(shown["now"]["counts"]) == window["rows"] == WINDOW
    assert len(shown["baseline"]["counts"]) == len(shown["now"]["counts"]) == len(shown["baseline"]["edges"]) + 1
    assert life.get("/pages/monitors/digits/feature", name="prediction")["kind"] == "category"
    life.get("/pages/monitors/digits/feature", status=404, name="p999")
    life.get("/pages/monitors/digits/feature", status=400)
    life.get("/pages/monitors/digits/feature", status=404, name=name, window="wd_nothing")


# --- lineage --------------------------------------------------------------------------------------------------------


def test_lineage_grows_both_ways_step_by_step(life):
    near = life.get("/pages/lineage", id="digits/1")
    assert near["nodes"][0] == {**near["nodes"][0], "kind": "model_version", "id": "digits/1", "step": 0}
    assert {n["step"] for n in near["nodes"]} == {-1, 0, 1}
    assert any(n["beyond"] for n in near["nodes"])
    wide = life.get("/pages/lineage", id="digits/1", up=8, down=2)
    kinds = {n["kind"] for n in wide["nodes"]}
    assert kinds >= {"file", "data_version", "bundle", "attempt", "run", "logged_model", "model_version", "revision", "window"}
    ids = {(n["kind"], n["id"]) for n in wide["nodes"]}
    assert len(ids) == len(wide["nodes"])
    assert all((e[s]["kind"], e[s]["id"]) in ids for e in wide["edges"] for s in ("from", "to"))
    only_up = life.get("/pages/lineage", id="digits/1", up=2, down=0)
    assert max(n["step"] for n in only_up["nodes"]) == 0


def test_lineage_begins_at_a_prediction_an_alert_and_nothing(life):
    prediction = life.get("/pages/lineage", id=life.answers[0][0], up=1)
    assert [n["kind"] for n in prediction["nodes"]] == ["prediction", "revision"]
    alert = life.get("/pages/monitors/digits")["alerts"][0]["id"]
    page = life.get("/pages/lineage", id=alert, up=1)
    assert {n["kind"] for n in page["nodes"] if n["step"] < 0} == {"window"}
    assert page["nodes"][0]["place"]["endpoint"] == "digits"
    assert {s["kind"] for s in life.get("/pages/lineage/start")["starts"]} >= {"data_version", "pipeline_run", "revision", "alert"}
    life.get("/pages/lineage", status=400, id="")
    life.get("/pages/lineage", status=404, id="nothing/7")
    life.get("/pages/lineage", status=400, id="digits/1", up=1000)

"""Captured traffic over its life: closed into Parquet while it is read, sampled and redacted as declared."""
import json
import os
import signal
import sqlite3
import time

from deploy import deploy, made_models


def iris_server(start_server, rule=None, archive_s="1"):
    server = start_server(env={"LATHE_CAPTURE_ARCHIVE_S": archive_s})
    server.stop()
    deploy(server.dir, "iris", made_models() / "iris")
    if rule:
        database = sqlite3.connect(server.dir / "lathe.db")
        with database:
            database.execute("UPDATE endpoints SET capture = ?", (json.dumps(rule),))
        database.close()
    server.start()
    return server


def ask(server, http, rows, **headers):
    answer = http.post(server.url + "/v1/models/iris:predict", json={"instances": rows}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.headers["X-Lathe-Prediction-Id"]


def captured(server, http, query=""):
    return http.get(server.api("/endpoints/iris/requests" + query)).text


def files(server, extension):
    return sorted((server.dir / "serve" / "capture").rglob("*." + extension))


def wait_for(until, seconds=60):
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.05)


def test_closed_segments_become_parquet_and_read_the_same(start_server, http):
    server = iris_server(start_server, archive_s="0")  # never
    ids = [ask(server, http, [[5.1, 3.5, 1.4, 0.2], [6.2 + i / 100, 2.9, 4.3, 1.3]], **({"X-Request-Id": f"client {i}"} if i % 3 else {})) for i in range(60)]
    labels = [{"id": one, "row": row, "label": "versicolor"} for one in ids[::5] for row in (0, 1)]
    assert http.post(server.api("/feedback"), json=labels).status_code == 200
    before, labelled = captured(server, http), captured(server, http, "?labelled=true")
    assert before.count("\n") == 120 and labelled.count("\n") == 24
    server.stop()
    assert files(server, "cap") and not files(server, "parquet")
    server.env["LATHE_CAPTURE_ARCHIVE_S"] = "1"
    server.start()
    wait_for(lambda: files(server, "parquet") and not files(server, "cap"))
    assert "lathe_capture_archived_total 1" in http.get(server.url + "/metrics").text
    parquet = files(server, "parquet")[0]
    assert parquet.read_bytes()[:4] == b"PAR1" == parquet.read_bytes()[-4:]
    assert [f.stem for f in files(server, "index")] == [parquet.stem]

    assert captured(server, http) == before
    assert captured(server, http, "?labelled=true") == labelled
    for one in ids[::7]:
        assert http.get(server.api("/predictions/" + one)).json()["id"] == one
    lines = [json.loads(line) for line in before.splitlines()]
    page = http.get(server.api("/endpoints/iris/requests?limit=10"))
    assert [json.loads(line)["id"] for line in page.text.splitlines()][:10] == [line["id"] for line in lines][:10]
    # Labels that come late find their prediction in the archive; traffic goes on in a new segment.
    late = http.post(server.api("/feedback"), json=[{"id": ids[1], "label": "setosa"}]).json()
    assert late.get("unknown", []) in ([], 0), late
    before = captured(server, http)
    newest = ask(server, http, [[5.0, 3.4, 1.5, 0.2]])
    wait_for(lambda: captured(server, http).count("\n") == 121)
    server.stop()
    server.start()
    assert json.loads(captured(server, http).splitlines()[-1])["id"] == newest
    assert captured(server, http).startswith(before)


def test_a_crash_at_any_step_of_archiving_loses_nothing(start_server, http):
    server = iris_server(start_server, archive_s="0")
    ids = [ask(server, http, [[5.1, 3.5, 1.4, 0.2 + i / 50]]) for i in range(30)]
    before = captured(server, http)
    server.stop()
    whole = {f: f.read_bytes() for f in files(server, "cap")}
    server.env["LATHE_CAPTURE_ARCHIVE_S"] = "1"
    server.start()
    wait_for(lambda: files(server, "parquet") and not files(server, "cap"))
    server.kill()
    (segment, content), = whole.items()
    parquet, index = segment.with_suffix(".parquet"), segment.with_suffix(".index")
    done = {parquet: parquet.read_bytes(), index: index.read_bytes()}
    states = [
        {segment: content, parquet.with_name(parquet.name + ".partial"): done[parquet][:100]},  # while Parquet was written
        {segment: content, parquet: done[parquet]},  # before the index
        {segment: content, **done},  # before the segment went
        done,
    ]
    for state in states:
        for old in segment.parent.glob(segment.stem + ".*"):
            os.chmod(old, 0o644)
            old.unlink()
        for file, data in state.items():
            file.write_bytes(data)
        server.start()
        assert captured(server, http) == before
        wait_for(lambda: files(server, "parquet") and not files(server, "cap"))
        assert captured(server, http) == before
        assert http.get(server.api("/predictions/" + ids[3])).json()["id"] == ids[3]
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()


def test_what_is_redacted_or_sampled_out_is_not_there(start_server, http):
    server = iris_server(start_server, {"sample": 0.5, "redact": ["client_id"], "keep_us": 0})
    ids = [ask(server, http, [[5.1, 3.5, 1.4, 0.2]], **{"X-Request-Id": "secret person"}) for _ in range(200)]
    wait_for(lambda: captured(server, http).count("\n") >= 60)
    lines = [json.loads(line) for line in captured(server, http).splitlines()]
    assert 60 < len(lines) < 140, "half of them"
    assert all(line["sample"] == 0.5 and "client_id" not in line for line in lines)
    kept = {line["id"] for line in lines}
    lost = next(one for one in ids if one not in kept)
    assert http.get(server.api("/predictions/" + lost)).status_code == 404
    assert not any(b"secret person" in f.read_bytes() for f in files(server, "cap"))

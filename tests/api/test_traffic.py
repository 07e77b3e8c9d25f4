"""An endpoint's traffic among several revisions, over the wire: weights, sticky and named choice, the shadow, replay, export."""
import collections
import json
import subprocess
import time

import numpy
import pytest
import requests

from deploy import deploy, made_models

IRIS = json.loads((made_models() / "expected.json").read_text())["iris"]
ROWS = IRIS["rows"]


@pytest.fixture
def flowers(start_server):
    """Revisions 1 and 2 of one model; 2 is live."""
    server = start_server()
    server.stop()
    deploy(server.dir, "flowers", made_models() / "iris")
    deploy(server.dir, "flowers", made_models() / "iris", version=2)
    server.start()
    return server


def divide(server, status=200, **body):
    answer = requests.put(server.api("/endpoints/flowers/traffic"), json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def ask(server, row=0, **headers):
    answer = requests.post(server.url + "/v1/models/flowers:predict", json={"instances": [ROWS[row % len(ROWS)]]}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def wait_for(until, seconds=60):
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.1)


def test_weights_are_kept_and_every_answer_names_its_revision(flowers, http):
    assert "X-Lathe-Revision" not in ask(flowers).headers  # nothing is divided
    said = divide(flowers, weights={"2": 70, "1": 30})
    assert {r["revision"]: r["weight"] for r in said["revisions"]} == {1: 30, 2: 70}
    seen = collections.Counter()
    versions = {}
    for i in range(400):
        answer = http.post(flowers.url + "/v1/models/flowers:predict", json={"instances": [ROWS[i % len(ROWS)]]})
        seen[answer.headers["X-Lathe-Revision"]] += 1
        versions[answer.headers["X-Lathe-Prediction-Id"]] = answer.headers["X-Lathe-Revision"], answer.headers["X-Lathe-Model-Version"]
    assert 80 <= seen["1"] <= 165, seen
    assert set(versions.values()) == {("1", "1"), ("2", "2")}
    kept = {row["id"]: row["revision"] for row in map(json.loads, http.get(flowers.api("/endpoints/flowers/requests")).text.splitlines())}
    assert all(str(kept[one]) == revision for one, (revision, _) in versions.items())
    # What is on one's own: the metadata is the live revision's.
    assert {http.get(flowers.url + "/v2/models/flowers").json()["versions"][0] for _ in range(20)} == {"2"}
    events = http.get(flowers.api("/audit")).json()
    assert any("endpoint.traffic" in json.dumps(line) for line in events["entries" if "entries" in events else list(events)[0]])


def test_the_same_key_goes_to_the_same_revision(flowers):
    divide(flowers, weights={"2": 50, "1": 50}, sticky="X-User")
    of = {user: {ask(flowers, i, **{"X-User": user}).headers["X-Lathe-Revision"] for i in range(5)} for user in map("user{}".format, range(30))}
    assert all(len(revisions) == 1 for revisions in of.values())
    assert set().union(*of.values()) == {"1", "2"}
    before = {user for user, r in of.items() if r == {"1"}}
    divide(flowers, weights={"2": 20, "1": 80}, sticky="x-user")  # a canary that grows keeps whom it had
    assert all(ask(flowers, **{"X-User": user}).headers["X-Lathe-Revision"] == "1" for user in before)
    # Without the header the request's own id decides.
    assert len({ask(flowers, **{"X-Request-Id": f"r{i}"}).headers["X-Lathe-Revision"] for i in range(40)}) == 2
    assert len({ask(flowers, **{"X-Request-Id": "the-same"}).headers["X-Lathe-Revision"] for _ in range(10)}) == 1


def test_a_request_may_name_its_revision(flowers):
    divide(flowers, weights={"2": 100, "1": 0})  # loaded, and reached by naming it
    assert {ask(flowers, i).headers["X-Lathe-Revision"] for i in range(30)} == {"2"}
    for header in ("X-Lathe-Revision", "X-Amzn-SageMaker-Target-Variant"):
        answer = ask(flowers, **{header: "1"})
        assert answer.headers["X-Lathe-Model-Version"] == "1" and answer.headers["X-Amzn-Invoked-Production-Variant"] == "1"
        for wrong, status in (("9", 404), ("one", 400)):
            refused = requests.post(flowers.url + "/v1/models/flowers:predict", json={"instances": ROWS[:1]}, headers={header: wrong})
            assert refused.status_code == status, refused.text
    by_version = requests.post(flowers.url + "/v1/models/flowers/versions/1:predict", json={"instances": ROWS[:1]})
    assert by_version.headers["X-Lathe-Revision"] == "1"


@pytest.mark.parametrize("body,words", [
    ({"weights": {"2": 90, "1": 5}}, "add up to 95"), ({"weights": {"1": 100}}, "promote"), ({"weights": {"2": 50, "9": 50}}, "no revision 9"),
    ({"weights": {"x": 50, "2": 50}}, "revision's number"), ({"weights": {"2": "half"}}, "percentage"), ({"weights": {"2": 50.001, "1": 49.999}}, "two decimals"),
    ({"shadow": 2}, "another one"), ({"shadow": -1}, "number"), ({"weighs": {}}, "not known"), ({"sticky": "a b"}, "header"), ([], "object")])
def test_what_cannot_be_is_refused_and_changes_nothing(flowers, body, words):
    answer = requests.put(flowers.api("/endpoints/flowers/traffic"), json=body)
    assert 400 <= answer.status_code < 500 and words in answer.text, answer.text
    assert requests.get(flowers.api("/endpoints/flowers/traffic")).json()["generation"] == 1


def test_an_older_look_is_refused(flowers):
    generation = divide(flowers, weights={"2": 50, "1": 50}, generation=1)["generation"]
    assert generation == 2
    assert "meanwhile" in json.dumps(divide(flowers, 409, weights={"2": 10, "1": 90}, generation=1))


def test_a_killed_server_has_the_old_division_or_the_new_one(flowers):
    for round_ in range(4):
        want = {"2": 60 + round_, "1": 40 - round_}
        asked = subprocess.Popen(["curl", "-s", "-X", "PUT", flowers.api("/endpoints/flowers/traffic"), "-H", "Content-Type: application/json",
                                  "-d", json.dumps({"weights": want, "shadow": 0})], stdout=subprocess.DEVNULL)
        time.sleep(0.004 * round_)
        flowers.kill()
        asked.wait()
        flowers.start()
        now = requests.get(flowers.api("/endpoints/flowers/traffic")).json()
        weights = {r["revision"]: r["weight"] for r in now["revisions"]}
        assert weights in [{1: 0, 2: 100}] + [{1: 40 - n, 2: 60 + n} for n in range(round_ + 1)], weights
        assert ask(flowers).status_code == 200


def test_the_shadow_answers_copies_and_is_compared(flowers, http):
    divide(flowers, shadow=1)
    ids = [ask(flowers, i).headers["X-Lathe-Prediction-Id"] for i in range(40)]
    http.post(flowers.api("/feedback"), json=[{"id": one, "row": 0, "label": str(IRIS["labels"][i % len(ROWS)])} for i, one in enumerate(ids)])
    wait_for(lambda: sum(m["requests"] for m in http.get(flowers.api("/endpoints/flowers/traffic")).json()["mirrored"]) == 40)
    told = http.get(flowers.api("/endpoints/flowers/traffic")).json()
    assert told["mirrored"][0]["agreement"] == 1 and told["mirrored"][0]["failures"] == 0
    assert told["mirrored"][0]["largest_difference"] < 1e-6
    assert told["paired"]["rows"] == 40 and told["paired"]["p"] == 1
    lines = [json.loads(line) for line in http.get(flowers.api("/endpoints/flowers/requests?role=shadow")).text.splitlines()]
    assert {line["client_id"] for line in lines} == set(ids) and {line["role"] for line in lines} == {"shadow"}
    assert len(http.get(flowers.api("/endpoints/flowers/requests")).text.splitlines()) == 40  # answers that were given
    assert "revision 1 answers copies" in flowers.cli("traffic", "flowers").stdout


def test_the_command_divides_and_shows(flowers):
    done = flowers.cli("traffic", "flowers", "2=90", "1=10")
    assert done.returncode == 0 and "90 %" in done.stdout and "10 %" in done.stdout, done.stdout + done.stderr
    shadowed = flowers.cli("traffic", "flowers", "--sticky", "x-user")
    assert "90 %" in shadowed.stdout and "sticky by x-user" in shadowed.stdout, shadowed.stdout + shadowed.stderr
    assert flowers.cli("traffic", "flowers", "2=90").returncode == 1
    assert flowers.cli("traffic", "flowers", "2:90").returncode == 2
    told = json.loads(flowers.cli("traffic", "flowers", "--reset", "--json").stdout)
    assert {r["revision"]: r["weight"] for r in told["revisions"]} == {1: 0, 2: 100}


def test_a_prediction_replayed_with_its_version_is_bit_identical(flowers):
    one = ask(flowers, 7).headers["X-Lathe-Prediction-Id"]
    said = flowers.cli("replay", one)
    assert said.returncode == 0 and "bit-identical" in said.stdout, said.stdout + said.stderr
    for i in range(30):
        ask(flowers, i)
    all_ = json.loads(flowers.cli("replay", "flowers", "--json").stdout)
    assert all_["requests"] == 31 == all_["identical"] and all_["version"] == 2
    other = json.loads(flowers.cli("replay", "flowers", "--version", "1", "--limit", "10", "--json").stdout)
    assert other["requests"] == 10 and other["changed_labels"] == 0 and other["revision"] == 1
    assert flowers.cli("replay", "flowers", "--version", "77").returncode == 1
    assert flowers.cli("replay", "pr_00000000000000000000000000").returncode == 1


def test_a_replay_says_what_differs(flowers):
    one = ask(flowers, 3).headers["X-Lathe-Prediction-Id"]
    flowers.stop()
    deploy(flowers.dir, "flowers", made_models() / "iris_zipmap", version=3)  # names its classes
    flowers.start()
    other = requests.post(flowers.api("/replays"), json={"prediction": one, "version": 3}).json()
    assert other["changed_labels"] == 1 and other["identical"] == 0, other
    assert other["differing"][0]["was"] == str(IRIS["labels"][3]) and "byte 0" in other["differing"][0]["detail"]
    told = requests.post(flowers.api("/replays"), json={"prediction": one}).json()
    assert told["revision"] == 2 and told["identical"] == 1  # the version that gave it, whatever serves now
    wrong = requests.post(flowers.api("/replays"), json={"prediction": one, "endpoint": "flowers"})
    assert wrong.status_code == 400


def test_captured_requests_in_other_tools_formats(flowers, tmp_path):
    for i in range(3):
        ask(flowers, i, **{"X-Amzn-SageMaker-Inference-Id": f"inference {i}"})
    lines = [json.loads(line) for line in flowers.cli("capture", "export", "flowers", "--format", "sagemaker").stdout.splitlines()]
    lines.sort(key=lambda line: line["eventMetadata"]["inferenceId"])  # each thread of the server writes its own segments
    assert [line["eventMetadata"]["inferenceId"] for line in lines] == [f"inference {i}" for i in range(3)]
    assert lines[0]["eventVersion"] == "0"
    sent = lines[2]["captureData"]["endpointInput"]
    assert sent["mode"] == "INPUT" and sent["encoding"] == "CSV" and sent["observedContentType"] == "text/csv"
    assert numpy.allclose([float(x) for x in sent["data"].split(",")], ROWS[2])
    assert lines[2]["captureData"]["endpointOutput"]["data"].strip() == str(IRIS["labels"][2])
    events = [json.loads(line) for line in flowers.cli("capture", "export", "flowers", "--format", "cloudevents").stdout.splitlines()]
    assert [e["type"] for e in events[:2]] == ["org.kubeflow.serving.inference.request", "org.kubeflow.serving.inference.response"]
    assert {e["specversion"] for e in events} == {"1.0"} and len(events) == 6
    first = [e for e in events if e["id"] == lines[0]["eventMetadata"]["eventId"]]
    assert len(first) == 2 and first[1]["data"]["predictions"] == [str(IRIS["labels"][0])]
    out = tmp_path / "rows.parquet"
    done = flowers.cli("capture", "export", "flowers", "--format", "parquet", "-o", str(out))
    assert done.returncode == 0, done.stderr
    assert out.read_bytes()[:4] == b"PAR1" == out.read_bytes()[-4:]
    # What it holds, read by the same engine: the rows once more, scored.
    scored = flowers.cli("score", "flowers", str(out), str(tmp_path / "scored.csv"))
    assert scored.returncode == 1 and "'prediction'" in scored.stderr  # it has that column already: said, not overwritten

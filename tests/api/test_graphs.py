"""Inference graphs over the wire: declared in lathe.yaml, answered by every door as a model is, recorded as one prediction
that replays bit by bit. The truth is scikit-learn's own answer, put together by numpy."""
import functools
import json
import pathlib
import sys
import tempfile
import time

import numpy as np
import pytest
import requests
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from deploy import deploy

NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
X, Y = load_iris(return_X_y=True)
X = X.astype(np.float32)
ROWS = X[::7]
SEQUENCE = """
project: flowers
graphs:
  triage:
    nodes:
      root:
        router: sequence
        steps:
          - {endpoint: screen}
          - {endpoint: expert, condition: response.score < 0.8}
"""


def save(folder, model, columns, rows):
    folder.mkdir(parents=True)
    onnx = to_onnx(model, rows[:1], options={"zipmap": False}, target_opset=17)
    (folder / "model.onnx").write_bytes(onnx.SerializeToString())
    signature = [{"type": "float", "name": name, "required": True} for name in columns]
    (folder / "MLmodel").write_text("flavors:\n  onnx:\n    data: model.onnx\nsignature:\n  inputs: '" + json.dumps(signature) + "'\n")
    return folder


@functools.cache
def models():
    """screen takes the four columns, expert the same in another order, petals two of them."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="lathe-graphs-"))
    order = [3, 1, 2, 0]
    screen = LogisticRegression(C=0.05, max_iter=500).fit(X, Y)
    expert = RandomForestClassifier(20, max_depth=4, random_state=1).fit(X[:, order], Y)
    petals = LogisticRegression(max_iter=500).fit(X[:, 2:], Y)
    save(home / "screen", screen, NAMES, X)
    save(home / "expert", expert, [NAMES[i] for i in order], X)
    save(home / "petals", petals, NAMES[2:], X[:, 2:])
    scores = {"screen": screen.predict_proba(ROWS), "expert": expert.predict_proba(ROWS[:, order]), "petals": petals.predict_proba(ROWS[:, 2:])}
    return home, scores


@pytest.fixture
def house(start_server):
    server = start_server()
    server.stop()
    home, _ = models()
    for name in ("screen", "expert", "petals"):
        deploy(server.dir, name, home / name)
    server.start()
    return server


def apply(server, text, ok=True):
    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "lathe.yaml").write_text(text)
    done = server.cli("apply", cwd=folder)
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout if ok else done.stderr


def graph(nodes, columns=""):
    return f"project: flowers\ngraphs:\n  triage:\n{columns}    nodes:\n{nodes}"


def infer(server, rows=ROWS, name="triage", columns=NAMES, **headers):
    answer = requests.post(f"{server.url}/invocations" if name is None else f"{server.url}/endpoints/{name}/invocations",
                           json={"dataframe_split": {"columns": columns, "data": np.asarray(rows).tolist()}}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def labels(scores):
    return [int(i) for i in np.argmax(scores, axis=1)]


def triage(scores):
    sure = scores["screen"].max(axis=1) >= 0.8
    return np.where(sure[:, None], scores["screen"], scores["expert"]), sure


def test_every_door_answers_a_graph_as_a_model(house):
    _, scores = models()
    said = apply(house, SEQUENCE)
    assert "graph triage: ready" in said and "run " not in said, said
    wanted, sure = triage(scores)
    assert 3 < sure.sum() < len(ROWS) - 3  # both ways are taken
    meta = requests.get(f"{house.url}/v2/models/triage").json()
    assert meta["platform"] == "inference_graph" and [o["name"] for o in meta["outputs"]] == ["label", "probabilities"]
    [tensor] = meta["inputs"]
    assert tensor["shape"] == [-1, 4]
    assert requests.get(f"{house.url}/v2/models/triage/ready").status_code == 200

    host = house.url.removeprefix("http://")
    for triton, client in ((triton_http, triton_http.InferenceServerClient(host)), (triton_grpc, triton_grpc.InferenceServerClient(host))):
        given = triton.InferInput(tensor["name"], ROWS.shape, tensor["datatype"])
        given.set_data_from_numpy(ROWS)
        answer = client.infer("triage", [given])
        assert answer.as_numpy("label").tolist() == labels(wanted)
        assert np.allclose(answer.as_numpy("probabilities"), wanted, atol=1e-5)
        client.close()
    v1 = requests.post(f"{house.url}/v1/models/triage:predict", json={"instances": ROWS.tolist()}).json()
    assert v1["predictions"] == labels(wanted)
    assert infer(house).json()["predictions"] == labels(wanted)
    seldon = requests.post(f"{house.url}/seldon/default/triage/api/v1.0/predictions", json={"data": {"ndarray": ROWS.tolist()}})
    assert seldon.status_code in (200, 404), seldon.text  # its own paths; the answer is the same core
    wrong = requests.post(f"{house.url}/v1/models/triage:predict", json={"instances": [[1.0, 2.0]]})
    assert wrong.status_code == 400, wrong.text


def test_each_step_tells_what_it_has_done_and_each_request_its_way(house):
    _, scores = models()
    apply(house, SEQUENCE)
    wanted, sure = triage(scores)
    assert infer(house).json()["predictions"] == labels(wanted)
    one = next(i for i in range(len(ROWS)) if sure[i])
    infer(house, [ROWS[one]])
    told = requests.get(house.api("/endpoints/triage/graph")).json()
    assert (told["requests"], told["failures"], told["rows"]) == (2, 0, len(ROWS) + 1)
    steps = {s["path"]: s for s in told["steps"]}
    assert (steps["root/screen"]["requests"], steps["root/screen"]["rows"]) == (2, len(ROWS) + 1)
    assert (steps["root/expert"]["requests"], steps["root/expert"]["rows"]) == (1, int((~sure).sum()))
    assert all(s["failures"] == 0 and 0 < s["p50"] <= s["p99"] for s in steps.values())
    metrics = requests.get(house.url + "/metrics").text
    assert f'step="root/expert"}} {int((~sure).sum())}' in metrics.split("lathe_graph_step_rows_total", 1)[1]

    card = next(e for e in requests.get(house.api("/pages/endpoints")).json()["endpoints"] if e["name"] == "triage")
    assert card["graph"] and not requests.get(house.api("/pages/endpoints/screen")).json()["graph"]
    until = time.monotonic() + 30
    while len(kept := requests.get(house.api("/pages/endpoints/triage/requests")).json()["requests"]) < 2:
        assert time.monotonic() < until, "the requests are not kept"
        time.sleep(0.05)
    ran = [[s["path"] for s in r["route"]["steps"] if s.get("ran")] for r in kept]
    assert ran == [["root/screen"], ["root/screen", "root/expert"]]
    assert kept[0]["route"]["steps"][1]["model"] == "expert"
    infer(house, name="screen")
    while not (plain := requests.get(house.api("/pages/endpoints/screen/requests")).json()["requests"]):
        assert time.monotonic() < until, "the request is not kept"
        time.sleep(0.05)
    assert "route" not in plain[0]


def test_one_row_at_a_time_gives_the_same(house):
    _, scores = models()
    apply(house, SEQUENCE)
    wanted, _ = triage(scores)
    assert [infer(house, [row]).json()["predictions"][0] for row in ROWS] == labels(wanted)


def test_models_get_their_own_columns_and_conditions_see_columns_and_headers(house):
    _, scores = models()
    apply(house, graph("""
      root:
        router: switch
        steps:
          - {node: both, condition: 'header["x-tier"] == "gold" or country in ["CH", "IS"]'}
          - {endpoint: petals, condition: petal_length + petal_width > 5 and not (sepal_length > 6)}
          - {endpoint: screen}
      both:
        router: ensemble
        combine: average
        steps: [{endpoint: screen}, {endpoint: expert, weight: 3}]
""", "    columns: {country: text}\n"))
    assert [c["name"] for c in requests.get(house.api("/endpoints/triage/graph")).json()["columns"]] == [*NAMES, "country"]
    countries = ["CH" if i % 3 == 0 else "DE" for i in range(len(ROWS))]
    rows = [[*map(float, row), country] for row, country in zip(ROWS, countries)]
    both = (scores["screen"] + 3 * scores["expert"]) / 4
    near = (ROWS[:, 2] + ROWS[:, 3] > 5) & ~(ROWS[:, 0] > 6)
    other = np.where(near[:, None], scores["petals"], scores["screen"])
    swiss = np.array(countries) == "CH"
    columns = [*NAMES, "country"]

    def ask(**headers):
        answer = requests.post(f"{house.url}/endpoints/triage/invocations", json={"dataframe_split": {"columns": columns, "data": rows}}, headers=headers)
        assert answer.status_code == 200, answer.text
        return [int(label) for label in answer.json()["predictions"]]

    assert ask() == labels(np.where(swiss[:, None], both, other))
    assert ask(**{"X-Tier": "gold"}) == labels(both)
    missing = requests.post(f"{house.url}/endpoints/triage/invocations", json={"dataframe_split": {"columns": NAMES, "data": ROWS[:1].tolist()}})
    assert missing.status_code == 400 and "country" in missing.text


@pytest.mark.parametrize("combine", ["average", "vote", "merge"])
def test_ensembles(house, combine):
    _, scores = models()
    apply(house, graph(f"""
      root:
        router: ensemble
        combine: {combine}
        steps: [{{endpoint: screen}}, {{endpoint: expert}}, {{endpoint: petals}}]
"""))
    three = [scores[name] for name in ("screen", "expert", "petals")]
    [tensor] = requests.get(f"{house.url}/v2/models/triage").json()["inputs"]
    ask = {"inputs": [{"name": tensor["name"], "shape": list(ROWS.shape), "datatype": tensor["datatype"], "data": ROWS.flatten().tolist()}]}
    answer = requests.post(f"{house.url}/v2/models/triage/infer", json=ask)
    assert answer.status_code == 200, answer.text
    outputs = {o["name"]: np.array(o["data"]).reshape(o["shape"]) for o in answer.json()["outputs"]}
    if combine == "merge":
        assert np.allclose(outputs["petals.probabilities"], scores["petals"], atol=1e-5) and len(outputs) == 6
    elif combine == "average":
        assert np.allclose(outputs["probabilities"], np.mean(three, axis=0), atol=1e-5)
        assert outputs["label"].tolist() == labels(np.mean(three, axis=0))
    else:
        votes = np.array([labels(s) for s in three]).T
        assert outputs["label"].tolist() == [max(row.tolist(), key=row.tolist().count) for row in votes]


def test_a_prediction_names_its_way_and_replays_bit_by_bit(house):
    apply(house, SEQUENCE)
    ids = [infer(house, ROWS[i:i + 4]).headers["X-Lathe-Prediction-Id"] for i in range(0, len(ROWS), 4)]
    kept = [json.loads(line) for line in requests.get(house.api("/endpoints/triage/requests")).text.splitlines()]
    route = kept[0]["route"]
    assert [(s["path"], s["endpoint"], s["revision"], s["version"]) for s in route["steps"]] == [
        ("root/screen", "screen", 1, 1), ("root/expert", "expert", 1, 1)]
    lineage = house.cli("lineage", ids[0])
    assert lineage.returncode == 0 and "screen/1" in lineage.stdout, lineage.stdout + lineage.stderr
    # A step's endpoint moves on: the graph follows, and what was answered still replays as it was.
    house.stop()
    deploy(house.dir, "expert", models()[0] / "screen", version=2)
    house.start()
    after = infer(house).headers["X-Lathe-Prediction-Id"]
    for one in (*ids, after):
        said = house.cli("replay", one)
        assert said.returncode == 0 and "bit-identical" in said.stdout, said.stdout + said.stderr
    told = json.loads(house.cli("replay", "triage", "--json").stdout)
    assert told["requests"] == len(ids) + 1 == told["identical"], told


def test_a_splitter_keeps_its_weights_and_its_replays(house):
    apply(house, graph("""
      root:
        router: splitter
        steps: [{endpoint: screen, weight: 70}, {endpoint: expert, weight: 30}]
"""))
    ids = [infer(house, ROWS[:1], **{"X-Request-Id": f"r{i}"}).headers["X-Lathe-Prediction-Id"] for i in range(120)]
    kept = [json.loads(line) for line in requests.get(house.api("/endpoints/triage/requests?limit=500")).text.splitlines()]
    taken = [k["route"]["splits"]["root"] for k in kept]
    assert len(kept) == 120 and 60 <= taken.count(0) <= 105, taken
    told = json.loads(house.cli("replay", "triage", "--json").stdout)
    assert told["requests"] == 120 == told["identical"] and len(set(ids)) == 120


def test_graphs_have_revisions(house):
    _, scores = models()
    apply(house, SEQUENCE)
    assert "nothing changed" in apply(house, SEQUENCE)
    apply(house, SEQUENCE.replace("0.8", "0.0001"))  # never asked
    assert requests.get(house.api("/endpoints/triage")).json()["live_revision"] == 2
    assert infer(house).json()["predictions"] == labels(scores["screen"])
    back = house.cli("rollback", "triage", "--yes")
    if back.returncode == 2:
        back = house.cli("rollback", "triage")
    assert back.returncode == 0, back.stderr
    assert infer(house).json()["predictions"] == labels(triage(scores)[0])
    assert "X-Lathe-Model-Version" in infer(house).headers


@pytest.mark.parametrize("nodes,words", [
    ("      root: {router: sequence, steps: [{endpoint: nothing}]}\n", "'nothing' does not exist"),
    ("      root: {router: sequence, steps: [{model: 'models:/nothing/1'}]}\n", "nothing"),
    ("      root: {router: sequence, steps: [{model: nothing}]}\n", "models:/NAME/3"),
    ("      root: {router: sequence, steps: [{node: root}]}\n", "cycle"),
    ("      root: {router: sequence, steps: [{endpoint: triage}]}\n", "cannot ask itself"),
    ("      root: {router: loop, steps: [{endpoint: screen}]}\n", "sequence, switch, ensemble, splitter"),
    ("      root: {router: sequence, step: [{endpoint: screen}]}\n", "step"),
    ("      root:\n        router: switch\n        steps:\n          - {endpoint: screen, condition: 'petal_length >'}\n", "lathe.yaml:8: graphs.triage.root.steps[1].condition: at character 15"),
    ("      root: {router: splitter, steps: [{endpoint: screen, weight: 70}]}\n", "add up to 100"),
    ("      start: {router: sequence, steps: [{endpoint: screen}]}\n", "'root'"),
])
def test_what_cannot_be_is_refused_where_it_stands(house, nodes, words):
    assert words in apply(house, graph(nodes), ok=False)
    assert requests.get(house.api("/endpoints/triage")).status_code == 404


def test_what_does_not_fit_together_is_said_and_mends_itself(house):
    said = apply(house, graph("      root: {router: switch, steps: [{endpoint: screen, condition: petal_lenght > 3}, {endpoint: expert}]}\n"))
    assert "cannot answer" in said and "petal_lenght" in said and "petal_length" in said, said
    asked = requests.post(f"{house.url}/v1/models/triage:predict", json={"instances": ROWS[:1].tolist()})
    assert asked.status_code == 503 and "petal_lenght" in asked.text
    told = requests.get(house.api("/endpoints/triage/graph")).json()
    assert not told["ready"] and "petal_lenght" in told["problem"]
    assert "ready" in apply(house, SEQUENCE)
    assert requests.get(house.api("/endpoints/screen/graph")).status_code == 404


def test_a_python_step_fails_softly(start_server):
    server = start_server(env={"LATHE_PYTHON": sys.executable})
    server.stop()
    broken = pathlib.Path(tempfile.mkdtemp()) / "broken"
    broken.mkdir()
    (broken / "model.py").write_text(
        "import numpy\n\nclass Model:\n"
        "    inputs = [{'name': 'x', 'datatype': 'FP64', 'shape': [-1, 4]}]\n"
        "    outputs = [{'name': 'label', 'datatype': 'INT64', 'shape': [-1]}]\n"
        "    def predict(self, data, params=None):\n"
        "        if data[0][0] > 5: raise ValueError('not today')\n"
        "        return numpy.zeros(len(data), dtype=numpy.int64)\n")
    home, scores = models()
    deploy(server.dir, "screen", home / "screen")
    deploy(server.dir, "broken", broken)
    server.start()
    assert requests.post(f"{server.url}/v1/models/broken:predict", json={"instances": [[1.0, 2, 3, 4]]}).status_code in (200, 503)
    apply(server, graph("      root: {router: ensemble, combine: vote, steps: [{endpoint: screen}, {endpoint: broken, dependency: soft, weight: 5}]}\n"))
    end = 200
    while requests.get(f"{server.url}/v2/models/triage/ready").status_code != 200 and end:
        end -= 1
    low = ROWS[ROWS[:, 0] <= 5][:1]
    high = ROWS[ROWS[:, 0] > 5][-1:]
    assert [int(p) for p in infer(server, low).json()["predictions"]] == [0]
    assert [int(p) for p in infer(server, high).json()["predictions"]] == [labels(scores["screen"][ROWS[:, 0] > 5][-1:])[0]]
    told = [json.loads(line) for line in requests.get(server.api("/endpoints/triage/requests")).text.splitlines()]
    assert all(step["ran"] for line in told for step in line["route"]["steps"])


def test_graphs_outlive_a_kill(house):
    _, scores = models()
    apply(house, SEQUENCE)
    house.kill()
    house.start()
    assert infer(house).json()["predictions"] == labels(triage(scores)[0])

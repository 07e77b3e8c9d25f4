"""Boosted trees: XGBoost's and LightGBM's own files, walked by Lathe, against the libraries themselves. What the stock
clients get is what the library answers, to the last bit; explanations are the library's own too."""
import itertools
import json
import math
import os
import shutil
import struct
import subprocess

os.environ.setdefault("OMP_NUM_THREADS", "1")

import lightgbm as lgb
import mlflow.lightgbm
import mlflow.pyfunc
import mlflow.xgboost
import numpy as np
import pandas as pd
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton
import xgboost as xgb

import digits_life
from deploy import deploy
from lathe_server import BINARY

ROWS, COLUMNS = 300, 8
NAMES = [f"f{i}" for i in range(COLUMNS)]
CATEGORIES = [1, 2]  # columns


def rows(rng, count, categorical=False):
    x = rng.normal(size=(count, COLUMNS)).astype(np.float32)
    if categorical:
        for column in CATEGORIES:
            x[:, column] = rng.integers(0, 40, count)
    x[rng.random(x.shape) < 0.2] = np.nan
    return x


def truth(rng, x, kind):
    score = np.nan_to_num(x[:, 0]) + np.nan_to_num(x[:, 1]) % 3
    return {"binary": (score > 1).astype(int), "classes": rng.integers(0, 4, len(x)), "share": 1 / (1 + np.exp(-score)),
            "positive": np.abs(score) + 0.1, "count": np.floor(np.abs(score)), "value": score}[kind]


# name → parameters, kind of truth
XGBOOST = {
    "logistic": ({"objective": "binary:logistic"}, "binary"),
    "logitraw": ({"objective": "binary:logitraw"}, "binary"),
    "hinge": ({"objective": "binary:hinge"}, "binary"),
    "categories": ({"objective": "binary:logistic", "tree_method": "hist", "max_cat_to_onehot": 1}, "binary"),
    "dart": ({"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.3}, "binary"),
    "linear": ({"objective": "reg:squarederror", "booster": "gblinear"}, "value"),
    "squared": ({"objective": "reg:squarederror", "base_score": 0.3}, "value"),
    "parallel": ({"objective": "reg:squarederror", "num_parallel_tree": 3, "subsample": 0.7}, "value"),
    "softprob": ({"objective": "multi:softprob", "num_class": 4}, "classes"),
    "softmax": ({"objective": "multi:softmax", "num_class": 4}, "classes"),
    "poisson": ({"objective": "count:poisson"}, "count"),
    "gamma": ({"objective": "reg:gamma"}, "positive"),
    "tweedie": ({"objective": "reg:tweedie"}, "positive"),
    "cox": ({"objective": "survival:cox"}, "positive"),
    "quantile": ({"objective": "reg:quantileerror", "quantile_alpha": 0.3}, "value"),
    "rank": ({"objective": "rank:pairwise"}, "binary"),
}
LIGHTGBM = {
    "binary": ({"objective": "binary", "sigmoid": 0.7}, "binary"),
    "categories": ({"objective": "binary"}, "binary"),
    "zero_missing": ({"objective": "binary", "zero_as_missing": True}, "binary"),
    "nothing_missing": ({"objective": "regression", "use_missing": False}, "value"),
    "squared_root": ({"objective": "regression", "reg_sqrt": True}, "positive"),
    "multiclass": ({"objective": "multiclass", "num_class": 4}, "classes"),
    "one_vs_all": ({"objective": "multiclassova", "num_class": 4}, "classes"),
    "poisson": ({"objective": "poisson"}, "count"),
    "share": ({"objective": "cross_entropy"}, "share"),
    "lambda": ({"objective": "cross_entropy_lambda"}, "share"),
    "forest": ({"objective": "binary", "boosting": "rf", "bagging_fraction": 0.6, "bagging_freq": 1}, "binary"),
    "dart": ({"objective": "regression", "boosting": "dart"}, "value"),
    "rank": ({"objective": "lambdarank"}, "binary"),
}


def trained_xgboost(name):
    params, kind = XGBOOST[name]
    rng = np.random.default_rng(sum(name.encode()))
    x = rows(rng, ROWS, name == "categories")
    if name == "linear":
        x = np.nan_to_num(x)
    types = ["c" if name == "categories" and i in CATEGORIES else "q" for i in range(COLUMNS)]
    data = xgb.DMatrix(x, truth(rng, x, kind), feature_names=NAMES, feature_types=types, enable_categorical=True)
    if name == "rank":
        data.set_group([100] * (ROWS // 100))
    model = xgb.train({"max_depth": 5, "nthread": 1, **params}, data, 20)
    asked = rows(rng, 64, name == "categories")
    return model, asked, xgb.DMatrix(asked, feature_names=NAMES, feature_types=types, enable_categorical=True)


def trained_lightgbm(name):
    params, kind = LIGHTGBM[name]
    rng = np.random.default_rng(sum(name.encode()))
    x = rows(rng, ROWS, name == "categories").astype(float)
    data = lgb.Dataset(x, truth(rng, x, kind), group=[100] * (ROWS // 100) if name == "rank" else None,
                       categorical_feature=CATEGORIES if name == "categories" else [])
    model = lgb.train({"num_leaves": 24, "min_data_in_leaf": 5, "min_data_per_group": 5, "cat_smooth": 1, "verbose": -1,
                       "num_threads": 1, **params}, data, 20)
    asked = rows(rng, 64, name == "categories").astype(float)
    asked[:9, 0] = [0, np.inf, -np.inf, 1e-36, -1e-40, 1e-35, 1e300, -0.5, 4e9]
    return model, asked


@pytest.fixture(scope="module")
def models():
    return {"x_" + name: trained_xgboost(name) for name in XGBOOST} | {"l_" + name: trained_lightgbm(name) for name in LIGHTGBM}


@pytest.fixture(scope="module")
def server(start_module_server, models, tmp_path_factory):
    server = start_module_server()
    server.stop()
    home = tmp_path_factory.mktemp("models")
    for i, (name, model) in enumerate(models.items()):
        folder = home / name
        if name.startswith("x_"):
            folder.mkdir()
            model[0].save_model(folder / ("model.ubj" if i % 2 else "model.json"))
        else:
            folder.mkdir()
            model[0].save_model(folder / "model.txt")
        deploy(server.dir, name, folder)
    # As MLflow stores them.
    rng = np.random.default_rng(5)
    x = pd.DataFrame(np.nan_to_num(rows(rng, ROWS)), columns=NAMES)
    y = truth(rng, x.to_numpy(), "binary")
    wrapper = xgb.XGBClassifier(n_estimators=30, max_depth=3, n_jobs=1, early_stopping_rounds=3)
    wrapper.fit(x[:200], y[:200], eval_set=[(x[200:], y[200:])], verbose=False)
    signature = mlflow.models.infer_signature(x)
    mlflow.xgboost.save_model(wrapper, home / "m_wrapper", signature=signature)
    mlflow.xgboost.save_model(xgb.train({"objective": "binary:logistic"}, xgb.DMatrix(x, y), 10), home / "m_xgboost", signature=signature)
    booster = lgb.train({"objective": "binary", "verbose": -1, "num_threads": 1}, lgb.Dataset(x, y), 10)
    mlflow.lightgbm.save_model(booster, home / "m_lightgbm", signature=signature)
    mlflow.lightgbm.save_model(booster, home / "m_named", signature=signature,
                               metadata={"lathe.classes": ["no", "yes"], "lathe.threshold": 0.75})
    for name in ("m_wrapper", "m_xgboost", "m_lightgbm", "m_named"):
        deploy(server.dir, name, home / name, default=name == "m_wrapper")
    server.home, server.rows = home, x
    server.start()
    return server


def infer(server, name, asked, module=triton, port=None):
    kind = "FP32" if name.startswith("x_") else "FP64"
    with module.InferenceServerClient(server.url.removeprefix("http://")) as client:
        tensor = module.InferInput("input", asked.shape, kind)
        tensor.set_data_from_numpy(asked.astype(np.float32 if kind == "FP32" else float))
        return client.infer(name, [tensor])


def same_bits(got, want):
    want = np.ascontiguousarray(want).reshape(got.shape)
    return got.dtype == want.dtype and got.tobytes() == want.tobytes()


@pytest.mark.parametrize("name", XGBOOST)
def test_xgboost_to_the_last_bit(server, models, name):
    model, asked, data = models["x_" + name]
    got, want = infer(server, "x_" + name, asked), model.predict(data)
    kind = XGBOOST[name][0]["objective"]
    if kind == "binary:logistic":
        assert same_bits(got.as_numpy("probabilities")[:, 1], want)
        assert (got.as_numpy("label") == (want > 0.5)).all()
    elif kind == "multi:softprob":
        assert same_bits(got.as_numpy("probabilities"), want)
        assert (got.as_numpy("label") == want.argmax(axis=1)).all()
    elif kind == "multi:softmax":
        assert (got.as_numpy("label") == want).all()
    else:
        assert same_bits(got.as_numpy("prediction"), want)


@pytest.mark.parametrize("name", LIGHTGBM)
def test_lightgbm_to_the_last_bit(server, models, name):
    model, asked = models["l_" + name]
    got, want = infer(server, "l_" + name, asked), model.predict(asked)
    kind = LIGHTGBM[name][0]["objective"]
    if kind == "binary":
        assert same_bits(got.as_numpy("probabilities")[:, 1], want)
    elif kind.startswith("multiclass"):
        assert same_bits(got.as_numpy("probabilities"), want)
        assert (got.as_numpy("label") == want.argmax(axis=1)).all()
    else:
        assert same_bits(got.as_numpy("prediction"), want)


def test_grpc_gives_the_same(server, models):
    model, asked, data = models["x_softprob"]
    assert same_bits(infer(server, "x_softprob", asked, triton_grpc).as_numpy("probabilities"), model.predict(data))


def test_metadata(server, http):
    meta = http.get(server.url + "/v2/models/x_softprob").json()
    assert meta["platform"] == "xgboost" and meta["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, COLUMNS]}]
    assert [(o["name"], o["datatype"], o["shape"]) for o in meta["outputs"]] == [("label", "INT64", [-1]), ("probabilities", "FP32", [-1, 4])]
    meta = http.get(server.url + "/v2/models/l_poisson").json()
    assert meta["platform"] == "lightgbm" and meta["outputs"] == [{"name": "prediction", "datatype": "FP64", "shape": [-1]}]


@pytest.mark.parametrize("name", ["m_wrapper", "m_xgboost", "m_lightgbm"])
def test_scoring_answers_what_mlflow_would(server, http, name):
    """A Booster answers probabilities, a scikit-learn wrapper labels: as mlflow's own server does."""
    frame = server.rows[:20]
    want = mlflow.pyfunc.load_model(str(server.home / name)).predict(frame)
    body = {"dataframe_split": json.loads(frame.to_json(orient="split", index=False, double_precision=15))}
    answer = http.post(f"{server.url}/endpoints/{name}/invocations", json=body)
    assert answer.status_code == 200, answer.text
    assert np.asarray(answer.json()["predictions"]).tolist() == np.asarray(want).tolist()
    shuffled = frame[NAMES[::-1]]  # by name
    body = {"dataframe_records": json.loads(shuffled.to_json(orient="records", double_precision=15))}
    assert http.post(f"{server.url}/endpoints/{name}/invocations", json=body).json() == answer.json()


def test_names_and_threshold_belong_to_the_model(server, http):
    frame = server.rows[:50]
    score = mlflow.lightgbm.load_model(str(server.home / "m_named")).predict(frame)
    assert (score > 0.75).any() and ((score > 0.5) & (score < 0.75)).any()
    tensor = {"name": "input", "shape": list(frame.shape), "datatype": "FP64", "data": frame.to_numpy().ravel().tolist()}
    answer = http.post(server.url + "/v2/models/m_named/infer", json={"inputs": [tensor]}).json()
    assert answer["outputs"][0]["data"] == ["yes" if s > 0.75 else "no" for s in score]


# --- explanations -----------------------------------------------------------------------------------------------------

def explain(server, http, name, body, status=200):
    answer = http.post(f"{server.url}/v1/models/{name}:explain", json=body, timeout=100)
    assert answer.status_code == status, answer.text
    return answer.json()


def as_json(asked):
    return [[None if math.isnan(v) else float(v) for v in row] for row in asked]


@pytest.mark.parametrize("name", ["x_logistic", "x_dart", "x_softprob", "x_linear", "x_parallel", "l_binary", "l_categories",
                                  "l_zero_missing", "l_multiclass", "l_nothing_missing", "l_dart"])
def test_tree_explanations_are_the_librarys(server, http, models, name):
    model, asked = models[name][:2]
    asked = asked[9:29]
    if name.startswith("x_"):
        want = model.predict(xgb.DMatrix(asked, feature_names=NAMES), pred_contribs=True).astype(float)
    else:
        want = np.asarray(model.predict(asked, pred_contrib=True))
    answer = explain(server, http, name, {"instances": as_json(asked)})
    assert answer["method"] == "tree" and answer["of"] == "margin"
    assert answer["features"] == (NAMES if name.startswith("x_") else answer["features"])
    got = np.array([[list(values) + [base] for values, base in zip(e["values"], e["base_values"])] for e in answer["explanations"]])
    assert np.abs(got.reshape(want.shape) - want).max() <= 1e-4 * max(1, np.abs(want).max())
    assert len(answer["predictions"]) == len(asked)


def shapley(score, row, background):
    """By the definition: over all orders' subsets."""
    n = len(row)
    def value(subset):
        mixed = background.copy()
        mixed[:, list(subset)] = row[list(subset)]
        return score(mixed).mean(axis=0)
    values = {s: value(s) for k in range(n + 1) for s in itertools.combinations(range(n), k)}
    out = []
    for i in range(n):
        total = 0
        for s in values:
            if i in s:
                continue
            weight = math.factorial(len(s)) * math.factorial(n - len(s) - 1) / math.factorial(n)
            total = total + weight * (values[tuple(sorted((*s, i)))] - values[s])
        out.append(total)
    return np.array(out), values[()]


def test_kernel_explanations_are_shapley_values(server, http, models):
    model, asked = models["l_multiclass"]
    asked, background = asked[10:12], asked[20:26]
    answer = explain(server, http, "l_multiclass", {"instances": as_json(asked), "background": as_json(background),
                                                   "parameters": {"method": "kernel"}})
    assert answer["method"] == "kernel" and answer["of"] == "score" and answer["classes"] == ["0", "1", "2", "3"]
    for row, got in zip(asked, answer["explanations"]):
        want, base = shapley(model.predict, row, background)
        assert np.allclose(np.array(got["values"]).T, want, atol=1e-6) and np.allclose(got["base_values"], base)
        assert np.allclose(np.sum(got["values"], axis=1) + got["base_values"], model.predict([row])[0])
    sampled = explain(server, http, "l_multiclass", {"instances": as_json(asked), "background": as_json(background),
                                                    "parameters": {"method": "kernel", "samples": 100, "seed": 3}})
    for row, got, exact in zip(asked, sampled["explanations"], answer["explanations"]):
        assert np.allclose(np.sum(got["values"], axis=1) + got["base_values"], model.predict([row])[0])
        assert np.abs(np.array(got["values"]) - np.array(exact["values"])).max() < 0.1


def test_occlusion(server, http, models):
    model, asked = models["l_binary"]
    row, background = asked[10], asked[20:25]
    answer = explain(server, http, "l_binary", {"instances": as_json([row]), "background": as_json(background),
                                               "parameters": {"method": "occlusion"}})
    for i in range(COLUMNS):
        without = np.tile(row, (5, 1))
        without[:, i] = background[:, i]
        want = model.predict([row])[0] - model.predict(without).mean()
        assert abs(answer["explanations"][0]["values"][1][i] - want) < 1e-9


@pytest.mark.parametrize("body,words", [
    ({}, "'instances'"), ({"instances": [[0] * COLUMNS] * 65}, "1 to 64 instances"),
    ({"instances": [[0] * COLUMNS], "parameters": {"method": "magic"}}, "allowed: tree, kernel, occlusion"),
    ({"instances": [[0] * COLUMNS], "parameters": {"method": "kernel"}}, "send rows as 'background'"),
    ({"instances": [[0] * COLUMNS], "background": [[1]], "parameters": {"method": "kernel"}}, "background"),
    ({"instances": [[0] * COLUMNS], "parameters": {"samples": 10**9}}, "allowed: 1 to")])
def test_explanations_that_cannot_be(server, http, body, words):
    assert words in explain(server, http, "l_binary", body, 400)["error"]


# --- files that are none ----------------------------------------------------------------------------------------------

def trial(folder):
    done = subprocess.run([BINARY, "child", "try-model", folder, "", "0"], text=True, capture_output=True, timeout=60)
    return done.returncode, done.stdout


def changed(models, name, change):
    model = json.loads(models[name][0].save_raw("json"))
    change(model["learner"], model["learner"]["gradient_booster"]["model"]["trees"][0])
    return json.dumps(model).encode()


BAD = {
    "cut json": ("model.json", lambda m: bytes(m["x_logistic"][0].save_raw("json"))[:-50], "expected"),
    "cut ubj": ("model.ubj", lambda m: bytes(m["x_logistic"][0].save_raw("ubj"))[:-50], "file's end"),
    "old binary": ("model.xgb", lambda m: b"binf" + bytes(200), "save it as model.json or model.ubj"),
    "cycle": ("model.json", lambda m: changed(m, "x_logistic", lambda l, t: t["left_children"].__setitem__(1, 0)), "that is no tree"),
    "child": ("model.json", lambda m: changed(m, "x_logistic", lambda l, t: t["right_children"].__setitem__(0, 10**6)), "the tree has"),
    "feature": ("model.json", lambda m: changed(m, "x_logistic", lambda l, t: t["split_indices"].__setitem__(0, 8)), "feature 8"),
    "objective": ("model.json", lambda m: changed(m, "x_logistic", lambda l, t: l["objective"].update(name="reg:own")), "reg:own"),
    "huge": ("model.json", lambda m: changed(m, "x_logistic", lambda l, t: l["learner_model_param"].update(num_feature="4000000000")), "num_feature"),
    "deep": ("model.json", lambda m: b'{"a":' * 200, "nested deeper"),
    "length": ("model.ubj", lambda m: b"{L" + struct.pack(">q", 1 << 62) + b"x", "past the file's end"),
    "cut text": ("model.txt", lambda m: m["l_binary"][0].model_to_string()[:3000].encode(), ""),
    "text leaf": ("model.txt", lambda m: m["l_binary"][0].model_to_string().replace("left_child=", "left_child=9999 ", 1).encode(), "left_child"),
    "linear trees": ("model.txt", lambda m: m["l_binary"][0].model_to_string().replace("is_linear=0", "is_linear=1", 1).encode(), "linear_tree"),
    "no model": ("model.txt", lambda m: b"hello\nworld\n", "begins with a line 'tree'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_with_words(binary, models, tmp_path, name):
    file, make, words = BAD[name]
    (tmp_path / file).write_bytes(make(models))
    code, said = trial(tmp_path)
    assert code == 3 and words in said and file in said, said


# --- the whole life ---------------------------------------------------------------------------------------------------

TRAIN = '''
import sys

import lightgbm as lgb
import mlflow.lightgbm
import mlflow.xgboost
import numpy as np
import pandas as pd
import xgboost as xgb


def load(part):
    table = pd.read_csv(f"digits/{part}.csv")
    return table.drop(columns="digit").to_numpy(np.float32), table["digit"].to_numpy()


x, y = load("train")
with mlflow.start_run(run_name=sys.argv[1]):
    if sys.argv[1] == "xgboost":
        mlflow.xgboost.log_model(xgb.XGBClassifier(n_estimators=40, max_depth=4, n_jobs=1).fit(x, y), name="model", pip_requirements=["xgboost"])
    else:
        data = lgb.Dataset(x.astype(float), y)
        params = {"objective": "multiclass", "num_class": 10, "num_threads": 1, "verbose": -1}
        mlflow.lightgbm.log_model(lgb.train(params, data, 60), name="model", pip_requirements=["lightgbm"])
'''


def test_a_life_of_trees(tmp_path, monkeypatch):
    """The digits example with boosted trees: logged by the stock client, evaluated, judged, promoted, asked, drifted."""
    example = tmp_path / "example"
    shutil.copytree(digits_life.EXAMPLE, example, ignore=shutil.ignore_patterns("__pycache__", "raw", ".lathe"))
    (example / "train.py").write_text(TRAIN)
    config = (example / "lathe.yaml").read_text().replace("[logreg, forest]", "[xgboost, lightgbm]")
    (example / "lathe.yaml").write_text(config)
    monkeypatch.setattr(digits_life, "EXAMPLE", example)
    life = digits_life.DigitsLife(tmp_path)
    try:
        life.train()
        life.live()  # until drift has raised its alert
        assert sum(label == real for _, label, real in life.answers[:digits_life.CLEAN]) > 0.8 * digits_life.CLEAN
        # What the gate judged it on stands for what is not known, and says what is unusual.
        pixels = [8.0] * 64
        url = life.server.url
        answer = life.http.post(url + "/v1/models/digits:explain", timeout=100,
                                json={"instances": [pixels], "parameters": {"method": "kernel", "samples": 300}})
        assert answer.status_code == 200, answer.text
        explained = answer.json()["explanations"][0]
        assert abs(sum(sum(v) for v in explained["values"]) + sum(explained["base_values"]) - 1) < 1e-3  # of probabilities
        asked = {"instances": [pixels]}
        plain = life.http.post(url + "/v1/models/digits:predict", json=asked)
        assert "X-Lathe-Outlier-Score" not in plain.headers
        usual = life.http.post(url + "/v1/models/digits:predict", json=asked, headers={"X-Lathe-Outlier-Score": "1"})
        asked["instances"][0][10] = 10_000
        unusual = life.http.post(url + "/v1/models/digits:predict", json=asked, headers={"X-Lathe-Outlier-Score": "1"})
        assert float(unusual.headers["X-Lathe-Outlier-Score"]) > 100 > float(usual.headers["X-Lathe-Outlier-Score"])
    finally:
        life.server.stop()

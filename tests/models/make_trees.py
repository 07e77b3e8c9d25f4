"""Small boosted trees for the C++ tests, and what the libraries answer to some rows: make_trees.py OUT [old].

Their output is committed (tests/models/trees), so that the tests need neither library. With `old` the XGBoost models get
another name: run once more with an older XGBoost, whose files differ.
"""

import json
import math
import pathlib
import sys

import numpy as np
import xgboost as xgb

OUT = pathlib.Path(sys.argv[1])
OLD = "old" in sys.argv[2:]
COLUMNS = 5


def rows(rng, count):
    x = rng.normal(size=(count, COLUMNS)).astype(np.float32).round(2)
    x[:, 1] = rng.integers(0, 6, count)
    x[rng.random(x.shape) < 0.2] = np.nan
    return x


def save(name, file, write, asked, answer, contributions):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / file)
    # As bits: JSON's numbers have no NaN, and what is compared is the last bit. Contributions are compared as numbers.
    expected = {"rows": [[None if math.isnan(v) else float(v) for v in row] for row in asked],
                "bits": np.ascontiguousarray(answer).tobytes().hex(), "contributions": np.asarray(contributions, float).ravel().tolist()}
    (folder / "expected.txt").write_text(json.dumps(expected))


rng = np.random.default_rng(1)
x, asked = rows(rng, 200), rows(rng, 20)
score = np.nan_to_num(x[:, 0]) + np.nan_to_num(x[:, 1]) % 3
types = ["c" if i == 1 else "q" for i in range(COLUMNS)]


def boosted(params, y, with_categories=False):
    kinds = types if with_categories else None
    model = xgb.train({"max_depth": 3, "nthread": 1, **params}, xgb.DMatrix(x, y, feature_types=kinds, enable_categorical=True), 6)
    data = xgb.DMatrix(asked, feature_types=kinds, enable_categorical=True)
    return model, model.predict(data), [] if with_categories else model.predict(data, pred_contribs=True)


ending = "_old" if OLD else ""
for name, file, params, y, categories in (
        ("xgboost_binary", "model.json", {"objective": "binary:logistic"}, score > 1, False),
        ("xgboost_categories", "model.ubj", {"objective": "reg:squarederror", "tree_method": "hist", "max_cat_to_onehot": 1}, score, True),
        ("xgboost_classes", "model.ubj", {"objective": "multi:softprob", "num_class": 3}, rng.integers(0, 3, 200), False),
        ("xgboost_dart", "model.json", {"objective": "count:poisson", "booster": "dart", "rate_drop": 0.5}, np.floor(np.abs(score)), False)):
    model, answer, contributions = boosted(params, y, categories)
    save(name + ending, file, model.save_model, asked, answer, contributions)

if not OLD:
    import lightgbm as lgb

    for name, params, y, categories in (
            ("lightgbm_binary", {"objective": "binary"}, score > 1, []),
            ("lightgbm_zero", {"objective": "regression", "zero_as_missing": True}, score, []),
            ("lightgbm_classes", {"objective": "multiclass", "num_class": 3}, rng.integers(0, 3, 200), [1])):
        data = lgb.Dataset(x.astype(float), y, categorical_feature=categories)
        model = lgb.train({"num_leaves": 6, "min_data_in_leaf": 5, "min_data_per_group": 5, "cat_smooth": 1, "verbose": -1,
                           "num_threads": 1, **params}, data, 6)
        wide = asked.astype(float)
        save(name, "model.txt", model.save_model, asked, model.predict(wide), model.predict(wide, pred_contrib=True))

"""Trains one family of models on the digits, tunes it a little, and logs the best one to MLflow as ONNX.

Nothing here knows about Lathe: data lie in digits/, the tracking server is found through MLflow's own variables.
"""

import sys

import mlflow
import mlflow.onnx
import numpy as np
import pandas as pd
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

FAMILIES = {
    "logreg": [LogisticRegression(C=c, max_iter=2000) for c in (0.01, 0.1, 1.0)],
    "forest": [RandomForestClassifier(n_estimators=n, min_samples_leaf=leaf, random_state=0) for n, leaf in ((60, 3), (60, 1), (150, 1))],
}


def load(part):
    table = pd.read_csv(f"digits/{part}.csv")
    return table.drop(columns="digit").to_numpy(np.float32), table["digit"].to_numpy()


family = sys.argv[1]
x, y = load("train")
x_valid, y_valid = load("valid")

with mlflow.start_run(run_name=family):
    best, best_accuracy = None, -1.0
    for step, model in enumerate(FAMILIES[family]):
        accuracy = model.fit(x, y).score(x_valid, y_valid)
        mlflow.log_metric("valid_accuracy", accuracy, step=step)
        print(f"{model}: {accuracy:.4f} on valid")
        if accuracy > best_accuracy:
            best, best_accuracy = model, accuracy
    mlflow.log_params({"family": family, "rows": len(x), **{k: v for k, v in best.get_params().items() if v is not None}})
    mlflow.log_metric("best_valid_accuracy", best_accuracy)
    onnx_model = to_onnx(best, x[:1], options={id(best): {"zipmap": False}})
    mlflow.onnx.log_model(onnx_model, name="model", pip_requirements=["onnxruntime"])

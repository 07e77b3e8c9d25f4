"""Small models for the tests, made when they run: make_models.py OUT.

Each is a folder as mlflow.onnx would write it, or a bare model.onnx; expected.json holds what scikit-learn itself answers.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

OUT = pathlib.Path(sys.argv[1])
OPSET = 17
DTYPES = {
    "BOOL": TensorProto.BOOL, "UINT8": TensorProto.UINT8, "UINT16": TensorProto.UINT16, "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64, "INT8": TensorProto.INT8, "INT16": TensorProto.INT16, "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64, "FP16": TensorProto.FLOAT16, "BF16": TensorProto.BFLOAT16, "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE, "BYTES": TensorProto.STRING,
}


def save(name, model, files=None):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    for file, text in (files or {}).items():
        (folder / file).write_text(text)
    return folder


def graph_model(nodes, inputs, outputs, initializers=()):
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializer=list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)


def mlmodel(inputs, metadata=None, flavor="onnx"):
    text = f"flavors:\n  {flavor}:\n    data: model.onnx\n    onnx_version: 1.0\n"
    text += "signature:\n  inputs: '" + json.dumps(inputs) + "'\n"
    text += "saved_input_example_info:\n  artifact_path: input_example.json\n  type: ndarray\n"
    if metadata:
        text += "metadata:\n" + "".join(f"  {k}: {v}\n" for k, v in metadata.items())
    return text


expected = {}
x, y = load_iris(return_X_y=True)
x = x.astype(np.float32)
names = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
species = np.array(["setosa", "versicolor", "virginica"])[y]
columns = [{"type": "float", "name": n, "required": True} for n in names]

logreg = LogisticRegression(max_iter=500).fit(x, y)
iris = to_onnx(logreg, x[:1], options={"zipmap": False}, target_opset=OPSET)
example = {"input_example.json": json.dumps(x[:3].tolist())}
save("iris", iris, {"MLmodel": mlmodel(columns), **example,
                    "output_example.json": json.dumps({"predictions": logreg.predict(x[:3]).tolist()})})
save("iris_wrong_example", iris, {"MLmodel": mlmodel(columns), **example,
                                  "output_example.json": json.dumps({"predictions": [2, 2, 2]})})
save("iris_included", iris, {"MLmodel": mlmodel(columns, {"lathe.transform": "included"}), **example})
save("iris_bare", iris)
save("sklearn_flavor", iris, {"MLmodel": mlmodel(columns, flavor="sklearn")})
expected["iris"] = {"rows": x[::10].tolist(), "labels": logreg.predict(x[::10]).tolist(),
                    "scores": logreg.predict_proba(x[::10]).tolist(), "names": names}

forest = RandomForestClassifier(10, random_state=0).fit(x, species)
save("iris_zipmap", to_onnx(forest, x[:1], target_opset=OPSET), {"MLmodel": mlmodel(columns)})
expected["iris_zipmap"] = {"labels": forest.predict(x[::10]).tolist(), "scores": forest.predict_proba(x[::10]).tolist()}

dx, dy = load_diabetes(return_X_y=True)
dx = dx.astype(np.float32)
linear = LinearRegression().fit(dx, dy)
save("diabetes", to_onnx(linear, dx[:1], target_opset=OPSET))
expected["diabetes"] = {"rows": dx[:5].tolist(), "values": linear.predict(dx[:5]).tolist()}

# One input per column, one of them text.
import pandas as pd  # noqa: E402  (only this model needs it)

frame = pd.DataFrame({"size": x[:, 0], "weight": x[:, 2], "colour": np.array(["red", "green", "blue"])[y]})
mixed = Pipeline([("prepare", ColumnTransformer([("scale", StandardScaler(), ["size", "weight"]),
                                                 ("encode", OneHotEncoder(handle_unknown="ignore"), ["colour"])])),
                  ("model", LogisticRegression(max_iter=500))]).fit(frame, species)
save("mixed", to_onnx(mixed, initial_types=[("size", FloatTensorType([None, 1])), ("weight", FloatTensorType([None, 1])),
                                            ("colour", StringTensorType([None, 1]))],
                      options={"zipmap": False}, target_opset=OPSET))
expected["mixed"] = {"size": frame["size"][::10].tolist(), "weight": frame["weight"][::10].tolist(),
                     "colour": frame["colour"][::10].tolist(), "labels": mixed.predict(frame.iloc[::10]).tolist()}

# An echo for each type of the protocol.
for word, proto in DTYPES.items():
    save("echo_" + word.lower(), graph_model([helper.make_node("Identity", ["in"], ["out"])],
                                             [helper.make_tensor_value_info("in", proto, [None, None])],
                                             [helper.make_tensor_value_info("out", proto, [None, None])]))
save("scores_only", graph_model([helper.make_node("Softmax", ["x"], ["p"])],
                                [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])],
                                [helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 3])]))

# External tensors: beside the model, outside it, and outside through a link.
def external(name, location):
    weights = numpy_helper.from_array(np.arange(4, dtype=np.float32).reshape(1, 4), "w")
    value = weights.raw_data
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, text in (("location", location), ("offset", "0"), ("length", str(len(value)))):
        weights.external_data.add(key=key, value=text)
    folder = save(name, graph_model([helper.make_node("Add", ["x", "w"], ["y"])],
                                    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])],
                                    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 4])], [weights]))
    return folder, value


folder, value = external("external", "weights.bin")
(folder / "weights.bin").write_bytes(value)
(OUT / "secret.bin").write_bytes(value)
external("external_escape", "../secret.bin")
external("external_absolute", str((OUT / "secret.bin").resolve()))
folder, _ = external("external_link", "weights.bin")
(folder / "weights.bin").unlink(missing_ok=True)
(folder / "weights.bin").symlink_to("../secret.bin")
external("external_missing", "nowhere.bin")

# Models that harm whoever runs them: one wants 2 GiB, one never ends.
zeros = graph_model([helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Mul", ["s", "huge"], ["big"]),
                     helper.make_node("ConstantOfShape", ["big"], ["z"]),
                     helper.make_node("ReduceSum", ["z"], ["y"], keepdims=0)],
                    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])],
                    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
                    [helper.make_tensor("huge", TensorProto.INT64, [1], [1 << 29])])
save("memory_hog", zeros)
body = helper.make_graph(
    [helper.make_node("Identity", ["go"], ["go_out"]), helper.make_node("Identity", ["v"], ["v_out"])], "body",
    [helper.make_tensor_value_info("i", TensorProto.INT64, []), helper.make_tensor_value_info("go", TensorProto.BOOL, []),
     helper.make_tensor_value_info("v", TensorProto.FLOAT, [None])],
    [helper.make_tensor_value_info("go_out", TensorProto.BOOL, []), helper.make_tensor_value_info("v_out", TensorProto.FLOAT, [None])])
save("endless", graph_model([helper.make_node("Loop", ["n", "yes", "x"], ["y"], body=body)],
                            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])],
                            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])],
                            [helper.make_tensor("n", TensorProto.INT64, [], [1 << 62]),
                             helper.make_tensor("yes", TensorProto.BOOL, [], [True])]))
folder = save("broken", iris)
(folder / "model.onnx").write_bytes(iris.SerializeToString()[:200])

(OUT / "expected.json").write_text(json.dumps(expected))

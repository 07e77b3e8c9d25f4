"""The program that people write for one model: FastAPI with ONNX Runtime; MODEL names the file."""
import os

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options)
name = session.get_inputs()[0].name
app = FastAPI()


class Rows(BaseModel):
    rows: list[list[float]]


@app.post("/predict")
async def predict(ask: Rows):
    labels, scores = session.run(None, {name: np.array(ask.rows, dtype=np.float32)})
    return {"labels": labels.tolist(), "scores": scores.tolist()}

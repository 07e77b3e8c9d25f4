"""Saves an ONNX file as MLflow's model: FILE FOLDER."""
import sys

import mlflow.onnx
import numpy as np
import onnx
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

signature = ModelSignature(Schema([TensorSpec(np.dtype(np.float32), (-1, 4))]))
mlflow.onnx.save_model(onnx.load(sys.argv[1]), sys.argv[2], signature=signature)

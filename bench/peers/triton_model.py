"""A model of Triton's Python backend that runs the ONNX file beside it."""
import pathlib

import onnxruntime
import triton_python_backend_utils as utils


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(pathlib.Path(__file__).parent / "model.onnx", options)

    def execute(self, requests):
        answers = []
        for request in requests:
            labels, scores = self.session.run(None, {"X": utils.get_input_tensor_by_name(request, "X").as_numpy()})
            answers.append(utils.InferenceResponse([utils.Tensor("label", labels), utils.Tensor("probabilities", scores)]))
        return answers

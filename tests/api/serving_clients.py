"""Stock inference clients that need a venv of their own (tests/requirements-serving.txt, -stubs.txt), one a run:
`serving_clients.py CLIENT URL` reads a JSON of rows on its standard input and writes what the client got as JSON."""
import base64
import json
import sys


def boto(url, ask):
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError
    client = boto3.client("sagemaker-runtime", endpoint_url=url, region_name="eu-west-1",
                          aws_access_key_id=ask.get("key", "test"), aws_secret_access_key="test",
                          config=Config(retries={"max_attempts": 1}))
    out = {}

    def invoke(name, **more):
        try:
            answer = client.invoke_endpoint(EndpointName=ask.get("endpoint", "iris"), **more)
        except ClientError as error:
            out[name] = {"error": type(error).__name__, **{k: v for k, v in error.response.items() if k != "ResponseMetadata"}}
        else:
            body = answer["Body"].read()
            body = base64.b64encode(body).decode() if answer["ContentType"] == "application/x-npy" else body.decode()
            out[name] = {"type": answer["ContentType"], "body": body, "variant": answer.get("InvokedProductionVariant"),
                         "custom": answer.get("CustomAttributes")}

    rows = ask["rows"]
    text = "\n".join(",".join(map(str, row)) for row in rows)
    invoke("json", Body=json.dumps({"instances": rows}), ContentType="application/json", CustomAttributes="trace=7", InferenceId="sm-7")
    if ask.get("only_json"):
        return out
    invoke("list", Body=json.dumps(rows), ContentType="application/json")
    invoke("features", Body=json.dumps({"instances": [{"features": row} for row in rows]}), ContentType="application/json")
    invoke("csv", Body=text, ContentType="text/csv", Accept="text/csv")
    invoke("npy", Body=base64.b64decode(ask["npy"]), ContentType="application/x-npy", Accept="application/x-npy")
    invoke("variant", Body=json.dumps(rows), ContentType="application/json", TargetVariant="1")
    invoke("wrong_variant", Body=json.dumps(rows), ContentType="application/json", TargetVariant="99")
    invoke("target_model", Body=json.dumps(rows), ContentType="application/json", TargetModel="/iris_zipmap.tar.gz")
    invoke("bad", Body="{", ContentType="application/json")
    invoke("bad_accept", Body=json.dumps(rows), ContentType="application/json", Accept="image/png")
    parts = client.invoke_endpoint_with_response_stream(EndpointName="iris", Body=json.dumps(rows), ContentType="application/json")
    out["stream"] = b"".join(event["PayloadPart"]["Bytes"] for event in parts["Body"]).decode()
    ask["endpoint"] = "nothing"
    invoke("nothing", Body="[]", ContentType="application/json")
    return out


def bento(url, ask):
    import bentoml
    import numpy as np
    with bentoml.SyncHTTPClient(url) as client:
        out = {"ready": client.is_ready(), "routes": list(client.endpoints)}
        out["answer"] = client.predict(**{ask["input"]: np.array(ask["rows"], dtype=np.float32)})
        try:
            client.predict(**{ask["input"]: np.array([[1.0]], dtype=np.float32)})
        except bentoml.exceptions.BentoMLException as error:
            out["bad"] = str(error)
    return out


def service(url, ask):
    """A class with @bentoml.service, as test_python_models.py has it."""
    import concurrent.futures
    import bentoml
    import numpy as np
    import pandas as pd
    with bentoml.SyncHTTPClient(url) as client:
        out = {"ready": client.is_ready(), "routes": sorted(client.endpoints)}
        out["greet"] = client.greet(name="Ada", times=2)
        out["default"] = client.greet(name="Ada")
        out["array"] = np.asarray(client.scaled(data=np.array([[1.0, 2.0], [3.0, 4.0]]))).tolist()
        out["frame"] = pd.DataFrame(client.ages(people=pd.DataFrame({"age": [1, 2]}))).to_dict(orient="records")
        out["later"] = client.later(value=4)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            def one(i):
                with bentoml.SyncHTTPClient(url) as own:
                    return own.lengths(texts=["x" * i, "y" * (i + 1)])
            answers = list(pool.map(one, range(24)))
        out["lengths"] = [[row["length"] for row in answer] for answer in answers]
        out["together"] = max(row["together"] for answer in answers for row in answer)
        for name, wrong in (("greet", {"name": "Ada", "times": "many"}), ("fail", {})):
            try:
                getattr(client, name)(**wrong)
            except bentoml.exceptions.BentoMLException as error:
                out["bad_" + name] = [int(error.error_code), str(error)]
    return out


def kserve(url, ask):
    import asyncio
    from kserve import InferInput, InferRequest, InferenceGRPCClient, InferenceRESTClient, RESTConfig
    import numpy as np

    def request():
        tensor = InferInput(name=ask["input"], shape=list(np.shape(ask["rows"])), datatype="FP32")
        tensor.set_data_from_numpy(np.array(ask["rows"], dtype=np.float32), binary_data=False)
        return InferRequest(model_name="iris", infer_inputs=[tensor])

    def shown(answer):
        return {o.name: o.as_numpy().tolist() for o in answer.outputs}

    async def main():
        out = {}
        v2 = InferenceRESTClient(RESTConfig(protocol="v2"))
        out["live"], out["ready"] = await v2.is_server_live(url), await v2.is_server_ready(url)
        out["model_ready"] = await v2.is_model_ready(url, model_name="iris")
        out["v2"] = shown(await v2.infer(url, request(), model_name="iris"))
        v1 = InferenceRESTClient(RESTConfig(protocol="v1"))
        out["v1"] = await v1.infer(url, {"instances": ask["rows"]}, model_name="iris")
        out["v1_ready"] = await v1.is_model_ready(url, model_name="iris")
        grpc = InferenceGRPCClient(url.removeprefix("http://"))
        out["grpc_live"], out["grpc_ready"] = await grpc.is_server_live(), await grpc.is_model_ready("iris")
        out["grpc"] = shown(await grpc.infer(request()))
        await grpc.close()
        return out
    return asyncio.run(main())


def tensorflow(url, ask):
    import grpc
    import numpy as np
    from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
    from tensorflow_serving.apis import (get_model_metadata_pb2, get_model_status_pb2, model_service_pb2_grpc, predict_pb2,
                                         prediction_service_pb2_grpc)
    rows = np.array(ask["rows"], dtype=np.float32)
    shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=n) for n in rows.shape])
    out = {}
    with grpc.insecure_channel(url.removeprefix("http://")) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

        def predict(name, tensor, **spec):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "iris"
            for key, value in spec.items():
                setattr(request.model_spec, key, value)
            request.inputs[ask["input"]].CopyFrom(tensor)
            try:
                answer = stub.Predict(request)
                scores = answer.outputs["probabilities"]
                out[name] = {"labels": np.frombuffer(answer.outputs["label"].tensor_content, dtype=np.int64).tolist(),
                             "scores": np.frombuffer(scores.tensor_content, dtype=np.float32).tolist(),
                             "version": answer.model_spec.version.value}
            except grpc.RpcError as error:
                out[name] = [error.code().name, error.details()]

        predict("content", tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=shape, tensor_content=rows.tobytes()))
        predict("values", tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=shape, float_val=rows.ravel().tolist()),
                signature_name="serving_default")
        predict("short", tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=shape, tensor_content=b"1234"))
        predict("signature", tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=shape, float_val=[1.0]), signature_name="other")
        predict("label", tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=shape, float_val=[1.0]), version_label="production")
        asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        asked.model_spec.name = "iris"
        told = stub.GetModelMetadata(asked)
        map_ = get_model_metadata_pb2.SignatureDefMap()
        told.metadata["signature_def"].Unpack(map_)
        out["inputs"] = [(k, v.dtype) for k, v in map_.signature_def["serving_default"].inputs.items()]
        asked = get_model_status_pb2.GetModelStatusRequest()
        asked.model_spec.name = "iris"
        out["status"] = [(s.version, s.state) for s in model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(asked).model_version_status]
    return out


def seldon(url, ask):
    import numpy as np
    from seldon_core.seldon_client import SeldonClient
    client = SeldonClient(gateway="seldon", transport="rest", gateway_endpoint=url.removeprefix("http://"))
    out = {}
    for kind in ("tensor", "ndarray"):
        got = client.predict(data=np.array(ask["rows"]), payload_type=kind, names=ask["names"], client_return_type="dict")
        out[kind] = {"ok": got.success, "answer": got.response, "message": got.msg}
    told = client.predict(data=np.array(ask["rows"][:1]), payload_type="ndarray", client_return_type="proto")
    sent = client.feedback(told.request, told.response, reward=1.0, client_return_type="dict")
    out["feedback"] = {"ok": sent.success, "answer": sent.response, "puid": told.response.meta.puid}
    ambassador = SeldonClient(deployment_name="iris", namespace="default", gateway="ambassador", transport="rest",
                              gateway_endpoint=url.removeprefix("http://"))
    got = ambassador.predict(data=np.array(ask["rows"]), payload_type="ndarray", client_return_type="dict")
    out["ambassador"] = {"ok": got.success, "answer": got.response}
    return out


if __name__ == "__main__":
    print(json.dumps({"boto": boto, "bento": bento, "service": service, "kserve": kserve, "tensorflow": tensorflow, "seldon": seldon}[sys.argv[1]](
        sys.argv[2], json.load(sys.stdin))))

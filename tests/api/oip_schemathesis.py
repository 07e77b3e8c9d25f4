"""By hand: schemathesis over the Open Inference Protocol's REST routes of a running server: `oip_schemathesis.py URL MODEL`, with
a venv that has schemathesis. No answer may be a 5xx, and each must fit the document below."""
import sys

import schemathesis
from hypothesis import HealthCheck, given, settings

ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
TENSOR = {"type": "object", "required": ["name", "shape", "datatype", "data"], "properties": {
    "name": {"type": "string"}, "shape": {"type": "array", "items": {"type": "integer"}},
    "datatype": {"type": "string"}, "parameters": {"type": "object"}, "data": {}}}
REQUEST = {"type": "object", "required": ["inputs"], "properties": {
    "id": {"type": "string"}, "parameters": {"type": "object"}, "inputs": {"type": "array", "items": TENSOR},
    "outputs": {"type": "array", "items": {"type": "object", "required": ["name"],
                                           "properties": {"name": {"type": "string"}, "parameters": {"type": "object"}}}}}}


def answers(schema, **more):
    told = {"200": {"description": "", "content": {"application/json": {"schema": schema}}}}
    for status in ("400", "404", "413", "503", *more.get("also", ())):
        told[status] = {"description": "", "content": {"application/json": {"schema": ERROR}}}
    return told


def document(model):
    def get(schema, **more):
        return {"get": {"responses": answers(schema, **more)}}
    metadata = {"type": "object", "required": ["name", "platform", "inputs", "outputs"]}
    at = f"/v2/models/{model}"
    infer = {"post": {"requestBody": {"required": True, "content": {"application/json": {"schema": REQUEST}}},
                      "responses": answers({"type": "object", "required": ["model_name", "outputs"]})}}
    name = {"parameters": [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]}
    return {"openapi": "3.0.3", "info": {"title": "Open Inference Protocol", "version": "2"}, "paths": {
        "/v2": get({"type": "object", "required": ["name", "version", "extensions"]}),
        "/v2/health/live": get({"type": "object"}), "/v2/health/ready": get({"type": "object"}),
        at: get(metadata), at + "/ready": get({"type": "object"}), at + "/infer": infer,
        "/v2/models/{model}": {**name, **get(metadata, also=("405",))},
        "/v2/models/{model}/infer": {**name, **infer}}}


def main(url, model):
    schema = schemathesis.openapi.from_dict(document(model))
    seen = {}

    for operation in schema.get_all_operations():
        @given(case=operation.ok().as_strategy())
        @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
        def one(case):
            answer = case.call(base_url=url)
            seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
            assert answer.status_code < 500, (case.as_curl_command(), answer.text)
        one()
        print(operation.ok().method, operation.ok().path, seen)


if __name__ == "__main__":
    main(*sys.argv[1:])

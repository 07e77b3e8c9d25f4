"""schemathesis over a running server, in a venv that has it: `schema_run.py oip|lathe URL [EXAMPLES]`. Requests are made from
a schema of the Open Inference Protocol's REST routes (which an endpoint `iris` answers), or from docs/openapi.json. No answer
may be a 5xx; those of the protocol must fit the schema. The same requests in every run."""
import collections
import json
import pathlib
import sys

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
TENSOR = {"type": "object", "required": ["name", "shape", "datatype", "data"], "properties": {
    "name": {"type": "string"}, "shape": {"type": "array", "items": {"type": "integer"}},
    "datatype": {"type": "string"}, "parameters": {"type": "object"}, "data": {}}}
REQUEST = {"type": "object", "required": ["inputs"], "properties": {
    "id": {"type": "string"}, "parameters": {"type": "object"}, "inputs": {"type": "array", "items": TENSOR},
    "outputs": {"type": "array", "items": {"type": "object", "required": ["name"],
                                           "properties": {"name": {"type": "string"}, "parameters": {"type": "object"}}}}}}


def oip():
    def answers(schema, **more):
        told = {"200": {"description": "", "content": {"application/json": {"schema": schema}}}}
        for status in ("400", "404", "413", "503", *more.get("also", ())):
            told[status] = {"description": "", "content": {"application/json": {"schema": ERROR}}}
        return told

    def get(schema, **more):
        return {"get": {"responses": answers(schema, **more)}}

    metadata = {"type": "object", "required": ["name", "platform", "inputs", "outputs"]}
    infer = {"post": {"requestBody": {"required": True, "content": {"application/json": {"schema": REQUEST}}},
                      "responses": answers({"type": "object", "required": ["model_name", "outputs"]})}}
    name = {"parameters": [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]}
    at = "/v2/models/iris"
    return {"openapi": "3.0.3", "info": {"title": "Open Inference Protocol", "version": "2"}, "paths": {
        "/v2": get({"type": "object", "required": ["name", "version", "extensions"]}),
        "/v2/health/live": get({"type": "object"}), "/v2/health/ready": get({"type": "object"}),
        at: get(metadata), at + "/ready": get({"type": "object"}), at + "/infer": infer,
        "/v2/models/{model}": {**name, **get(metadata, also=("405",))},
        "/v2/models/{model}/infer": {**name, **infer}}}


def lathe():
    return json.loads((pathlib.Path(__file__).resolve().parents[2] / "docs/openapi.json").read_text())


def main(which, url, examples=20):
    base = url if which == "oip" else url + "/api/lathe/v1"
    seen, session = collections.Counter(), requests.Session()
    for operation in schemathesis.openapi.from_dict({"oip": oip, "lathe": lathe}[which]()).get_all_operations():
        operation = operation.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=int(examples), deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
                  suppress_health_check=list(HealthCheck))
        def one(case):
            answer = case.call(base_url=base, session=session, timeout=60)
            seen[answer.status_code] += 1
            assert answer.status_code < 500, (case.as_curl_command(), answer.status_code, answer.text)
            if which == "oip" and answer.status_code in (200, 400, 404, 413, 503):
                operation.validate_response(answer)
        one()
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])

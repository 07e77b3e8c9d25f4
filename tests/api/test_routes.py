"""The route table: printed, each with a permission and limits; our API's document is equal to it."""
import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
OURS = "/api/lathe/v1"
# What anybody on the machine may ask: whether the server is there.
OPEN = {"/health", "/healthz", "/livez", "/readyz", "/ping", "/v2/health/live", "/v2/health/ready", "/api/lathe/v1/login",
        "/inference.GRPCInferenceService/ServerLive", "/inference.GRPCInferenceService/ServerReady",
        "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch",
        # The definitions of the services: published ones.
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"}
PAGES = "/{path...}"  # the browser's files: the same for everybody, and no data in them


def routes(server, http):
    return http.get(server.api("/routes")).json()["routes"]


def test_every_route_has_a_permission_and_limits(server, http):
    table = routes(server, http)
    assert len(table) > 5
    for r in sorted(table, key=lambda r: (r["protocol"], r["pattern"], r["method"])):
        print(f'{r["protocol"]:15} {r["method"]:6} {r["pattern"]:60} {r["permission"]:9} {r["body_bytes"]:>12} B {r["deadline_us"] / 1e6:>5.0f} s')
        where = f'{r["method"]} {r["pattern"]}'
        assert r["permission"] != "none" or r["pattern"] in OPEN | {PAGES}, f"{where} is open to everybody"
        assert 0 <= r["body_bytes"] <= 64 << 30, f"{where} has no limit on its body"
        assert r["deadline_us"] >= 0, where
        if r["method"] in ("PUT", "POST", "PATCH", "DELETE"):
            read_only = any(word in r["pattern"] for word in ("search", "missing", "get-", "batch", "graphql", "history", "traces/metrics", "correlation", "presigned-download"))
            assert r["permission"] != "read" or read_only, f"{where} changes something with permission to read"


def test_nothing_is_served_outside_its_protocols_prefixes(server, http):
    for r in routes(server, http):
        if r["protocol"] == "lathe":
            assert r["pattern"].startswith(OURS + "/"), r
        assert r["pattern"].startswith(OURS + "/plane/") == (r["protocol"] == "plane") == (r["permission"] == "plane"), r


def test_the_document_is_equal_to_the_routes(server, http):
    document = json.loads((ROOT / "docs" / "openapi.json").read_text())
    assert http.get(server.api("/openapi.json")).json() == document
    assert document["openapi"].startswith("3.1")
    served = {(r["method"].lower(), r["pattern"].removeprefix(OURS).replace("...}", "}"))
              for r in routes(server, http) if r["protocol"] in ("lathe", "plane")}
    written = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert written == served, "run tools/openapi.py against a server of this build"
    assert all(operation["summary"] for methods in document["paths"].values() for operation in methods.values())

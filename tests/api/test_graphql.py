"""/graphql: the queries of MLflow's browser. With LATHE_TEST_MLFLOW_SERVER=URL (see test_webhooks.py) the same is asked
of the real server, which must agree."""
import uuid

import mlflow
import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import Metric

from people import add_user, user
from test_webhooks import tracking  # noqa: F401  (a fixture: Lathe, and the real server where it is named)


@pytest.fixture
def ask(tracking):  # noqa: F811
    def post(query, variables=None, operation=None, headers=None):
        body = {"query": query, **({"variables": variables} if variables else {}), **({"operationName": operation} if operation else {})}
        return requests.post(tracking + "/graphql", json=body, headers=headers)
    return post


@pytest.fixture
def filled(tracking):  # noqa: F811
    mlflow.set_tracking_uri(tracking)
    client = MlflowClient(tracking)
    experiment = client.create_experiment(f"graph-{uuid.uuid4().hex[:8]}", tags={"team": "blue"})
    run = client.create_run(experiment, run_name="first", tags={"a": "b"}, start_time=1000).info.run_id
    client.log_batch(run, metrics=[Metric("loss", 1.5 - i / 10, 1000 + i, i) for i in range(5)] + [Metric("bad", float("nan"), 1, 0)])
    client.log_param(run, "lr", "0.1")
    client.set_terminated(run, end_time=2000)
    other = client.create_run(experiment, run_name="second", start_time=3000).info.run_id
    model = f"m{uuid.uuid4().hex[:8]}"
    client.create_registered_model(model)
    client.create_model_version(model, f"runs:/{run}/model", run, {"t": "v"}, description="words")
    return experiment, run, other, model


RUN = """query GetRun($data: MlflowGetRunInput!) @component(name: "MLflow.ExperimentRunTracking") {
  mlflowGetRun(input: $data) {
    apiError { helpUrl code message __typename }
    run {
      info { runName status runUuid experimentId artifactUri endTime lifecycleStage startTime userId __typename }
      experiment { experimentId name tags { key value __typename } artifactLocation lifecycleStage lastUpdateTime __typename }
      modelVersions { status version name source currentStage description tags { key value } aliases __typename }
      data { metrics { key value step timestamp } params { key value __typename } tags { key value } }
      inputs { datasetInputs { dataset { digest name profile schema source sourceType } tags { key value } } modelInputs { modelId } }
      outputs { modelOutputs { modelId step } }
      __typename
    }
    __typename
  }
}"""


def test_the_run_page(ask, filled):
    experiment, run, _, model = filled
    answer = ask(RUN, {"data": {"runId": run}}, "GetRun")
    assert answer.status_code == 200
    body = answer.json()
    assert body["errors"] is None, body
    got = body["data"]["mlflowGetRun"]
    assert got["apiError"] is None and got["__typename"] == "MlflowGetRunResponse"
    info = got["run"]["info"]
    assert (info["runName"], info["status"], info["runUuid"], info["startTime"], info["endTime"]) == ("first", "FINISHED", run, "1000", "2000")
    assert got["run"]["experiment"]["experimentId"] == experiment and {"key": "team", "value": "blue", "__typename": "MlflowExperimentTag"} in got["run"]["experiment"]["tags"]
    version, = got["run"]["modelVersions"]
    assert (version["name"], version["version"], version["status"], version["tags"]) == (model, "1", "READY", [{"key": "t", "value": "v"}])
    metrics = {m["key"]: m for m in got["run"]["data"]["metrics"]}
    assert metrics["loss"] == {"key": "loss", "value": 1.1, "step": "4", "timestamp": "1004"}
    assert metrics["bad"]["value"] is None
    assert got["run"]["data"]["params"] == [{"key": "lr", "value": "0.1", "__typename": "MlflowParam"}]
    assert got["run"]["inputs"] == {"datasetInputs": [], "modelInputs": []} and got["run"]["outputs"] == {"modelOutputs": []}
    assert got["run"]["__typename"] == "MlflowRunExtension"


def test_what_is_unset_has_protobufs_default(ask, filled):
    _, _, other, _ = filled
    got = ask("query($i: String) {mlflowGetRun(input: {runId: $i}) {run {info {endTime status} modelVersions {name} data {metrics {key}}}}}", {"i": other}).json()
    assert got == {"data": {"mlflowGetRun": {"run": {"info": {"endTime": "0", "status": "RUNNING"}, "modelVersions": [], "data": {"metrics": []}}}}, "errors": None}


def test_searches(ask, filled):
    experiment, run, other, model = filled
    query = """mutation S($data: MlflowSearchRunsInput!) {mlflowSearchRuns(input: $data) {runs {info {runId} experiment {name}} nextPageToken}}"""
    got = ask(query, {"data": {"experimentIds": [experiment], "orderBy": ["attributes.start_time ASC"], "maxResults": 1}}).json()
    assert got["errors"] is None, got
    page = got["data"]["mlflowSearchRuns"]
    assert [r["info"]["runId"] for r in page["runs"]] == [run] and page["nextPageToken"]
    got = ask(query, {"data": {"experimentIds": [experiment], "orderBy": ["attributes.start_time ASC"], "maxResults": 1, "pageToken": page["nextPageToken"]}}).json()
    assert [r["info"]["runId"] for r in got["data"]["mlflowSearchRuns"]["runs"]] == [other]
    got = ask('{a: mlflowSearchRuns(input: {experimentIds: ["%s"], filter: "params.lr = \'0.1\'"}) {runs {info {runId}}}}' % experiment).json()
    assert got["data"]["a"]["runs"] == [{"info": {"runId": run}}]
    got = ask("""{v: mlflowSearchModelVersions(input: {filter: "name='%s'", maxResults: "5"}) {modelVersions {name description}}}""" % model).json()
    assert got["data"]["v"]["modelVersions"] == [{"name": model, "description": "words"}]
    got = ask('{mlflowGetExperiment(input: {experimentId: "%s"}) {experiment {workspace lifecycleStage effectiveTraceArchivalRetention}}}' % experiment).json()
    assert got["data"]["mlflowGetExperiment"]["experiment"] == {"workspace": "default", "lifecycleStage": "active", "effectiveTraceArchivalRetention": ""}
    got = ask('{mlflowGetMetricHistoryBulkInterval(input: {runIds: ["%s"], metricKey: "loss", maxResults: 100}) {metrics {step value runId}}}' % run).json()
    assert got["data"]["mlflowGetMetricHistoryBulkInterval"]["metrics"][1] == {"step": "1", "value": 1.4, "runId": run}
    got = ask('mutation {mlflowSearchDatasets(input: {experimentIds: "%s"}) {datasetSummaries {name}}}' % experiment).json()
    assert got == {"data": {"mlflowSearchDatasets": {"datasetSummaries": []}}, "errors": None}


def test_artifacts(ask, filled, tmp_path):
    _, run, _, _ = filled
    (tmp_path / "a.txt").write_text("hello")
    MlflowClient().log_artifact(run, tmp_path / "a.txt", "folder")
    got = ask('{mlflowListArtifacts(input: {runId: "%s", path: "folder"}) {rootUri files {path isDir fileSize}}}' % run).json()["data"]["mlflowListArtifacts"]
    assert got["files"] == [{"path": "folder/a.txt", "isDir": False, "fileSize": "5"}] and run in got["rootUri"]
    got = ask('{mlflowListArtifacts(input: {runUuid: "%s"}) {files {path isDir}}}' % run).json()["data"]["mlflowListArtifacts"]
    assert got["files"] == [{"path": "folder", "isDir": True}]


def test_fragments_and_aliases(ask, filled):
    experiment, run, _, _ = filled
    got = ask("""
      query Q($run: MlflowGetRunInput!) {
        one: mlflowGetRun(input: $run) { ...R }
        two: mlflowGetRun(input: $run) { run { info { id: runId } info { name: runName } } ... on MlflowGetRunResponse { apiError { code } } }
        t: test(inputString: "a\\u00e4\\n\\"b\\"") { output }
        __typename
      }
      fragment R on MlflowGetRunResponse { run { info { runName } } }
    """, {"run": {"runId": run}}).json()
    assert got["errors"] is None, got
    assert got["data"] == {"one": {"run": {"info": {"runName": "first"}}}, "two": {"run": {"info": {"id": run, "name": "first"}}, "apiError": None},
                           "t": {"output": 'aä\n"b"'}, "__typename": "Query"}


def test_what_upstream_cannot(server):
    """Its schema has no directives, and it stumbles over runViewType."""
    mlflow.set_tracking_uri(server.url)
    client = MlflowClient(server.url)
    experiment = client.create_experiment("views")
    gone, kept = (client.create_run(experiment).info.run_id for _ in range(2))
    client.delete_run(gone)
    for view, found in (("ACTIVE_ONLY", {kept}), ("DELETED_ONLY", {gone}), ("ALL", {gone, kept})):
        query = "query Q($e: [String], $with: Boolean = false) {mlflowSearchRuns(input: {experimentIds: $e, runViewType: %s}) {runs {info {runId status @skip(if: true) userId @include(if: $with)}}}}" % view
        got = requests.post(server.url + "/graphql", json={"query": query, "variables": {"e": [experiment]}}).json()
        assert got["errors"] is None, got
        runs = got["data"]["mlflowSearchRuns"]["runs"]
        assert {r["info"]["runId"] for r in runs} == found and all(set(r["info"]) == {"runId"} for r in runs)


def test_a_field_that_fails_is_null(ask, filled):
    experiment, *_ = filled
    got = ask('{a: mlflowGetRun(input: {runId: "%s"}) {run {info {runId}}} b: mlflowGetExperiment(input: {experimentId: "%s"}) {experiment {experimentId}}}' % ("0" * 32, experiment)).json()
    assert got["data"] == {"a": None, "b": {"experiment": {"experimentId": experiment}}}
    assert len(got["errors"]) == 1 and "not found" in got["errors"][0]


WRONG = [
    ("{", "Syntax Error"), ("}", "Syntax Error"), ('{test(inputString: "x}', "Unterminated string"), ("", "query"),
    ("{nothing}", "Cannot query field 'nothing' on type 'Query'"), ("{mlflowGetRun(input: {runId: \"x\"}) {run {nothing}}}", "Cannot query field 'nothing'"),
    ("{mlflowGetRun(input: {nothing: \"x\"}) {run {info {runId}}}}", "not defined by type 'MlflowGetRunInput'"),
    ("{mlflowGetRun(input: {runId: 5}) {run {info {runId}}}}", "String cannot represent"), ("{mlflowGetRun(other: 1) {run {info {runId}}}}", "Unknown argument 'other'"),
    ("{mlflowGetRun(input: $x) {run {info {runId}}}}", "'$x' is not defined"), ("query($x: String!) {test(inputString: $x) {output}}", "'$x' of required type 'String!' was not provided"),
    ("subscription {x}", "subscriptions"), ("{test(inputString: \"x\")}", "must have a selection of subfields"),
    ("{...F} fragment F on Query {...F}", ""), ("{...G}", "Unknown fragment 'G'"), ("mutation {mlflowGetRun(input: {}) {run {info {runId}}}}", "on type 'Mutation'"),
    ("{mlflowSearchRuns(input: {runViewType: SOME}) {nextPageToken}}", "MlflowViewType"), ("{test @nothing {output}}", "nknown directive '@nothing'"),
    ("{" + " ".join(f"a{i}: test(inputString: \"x\") {{output}}" for i in range(11)) + "}", "at most 10"),
    ("{test(inputString: \"x\") {" + " ".join(f"a{i}: output" for i in range(11)) + "}}", "at most 10 aliases"),
    ("{test(inputString: \"x\") {" + " ".join(["output"] * 1001) + "}}", "maximum total selections of 1000"),
    ("query A {test(inputString: \"x\") {output}} query B {test(inputString: \"x\") {output}}", "Must provide operation name"),
]


@pytest.mark.parametrize("query, message", WRONG, ids=[q[:40] for q, _ in WRONG])
def test_wrong_queries(tracking, ask, query, message):  # noqa: F811
    answer = ask(query)
    assert answer.status_code in (200, 400) or "lathe" not in tracking and answer.status_code == 500, answer.text
    if answer.status_code == 200:
        body = answer.json()
        assert body["data"] is None and len(body["errors"]) >= 1, body
        assert message in body["errors"][0] or not answer.headers.get("Server", "Lathe").startswith("Lathe"), body


def test_hostile_queries_end(server):
    def post(query):
        return requests.post(server.url + "/graphql", json={"query": query}, timeout=10)

    fragments = "{...A0} " + " ".join(f"fragment A{i} on Query {{...A{i + 1} ...A{i + 1}}}" for i in range(60)) + " fragment A60 on Query {test(inputString: \"x\") {output}}"
    for query in ("{" * 5000, "[" * 5000, "{a(b:" + "[" * 4000, "{a(b:" + "{c:" * 4000, "query(" + "$a:[" * 3000, "{" + "...{" * 3000,
                  fragments, "{test(inputString: \"" + "x" * 200_000 + "\") {output}}", "#" * 100_000, "{a" + " @skip(if:true)" * 20_000 + "}",
                  "{test(inputString: \"\\u0000\") {output}}", "{test(inputString: \"\\ud800\") {output}}", "\ufeff{test(inputString: \"x\") {output}}", "{a:" * 4000):
        answer = post(query)
        assert answer.status_code in (200, 400, 413), (query[:40], answer.text[:200])
        assert answer.json().get("errors") or answer.json().get("error_code") or answer.json()["data"]["test"], query[:40]


def test_what_is_denied_is_not_told(start_server, tmp_path):
    add_user(tmp_path, "ann")
    server = start_server("--require-login", "1", home=tmp_path)
    ann = user(server, "ann")

    def post(path, **body):
        answer = ann("POST", path, json=body)
        assert answer.ok, answer.text
        return answer.json()

    two = "/api/2.0/mlflow/"
    closed = post(two + "experiments/create", name="zq7secret")["experiment_id"]
    run = post(two + "runs/create", experiment_id=closed, run_name="zq7secret", start_time=1)["run"]["info"]["run_id"]
    opened = post(two + "experiments/create", name="open")["experiment_id"]
    own = post(two + "runs/create", experiment_id=opened, start_time=1)["run"]["info"]["run_id"]
    post(two + "registered-models/create", name="zq7secret")
    post(two + "model-versions/create", name="zq7secret", source=f"runs:/{own}/m", run_id=own)
    post(two + "users/create", username="mallory", password="correct horse battery")
    for kind, what in (("experiment", closed), ("registered_model", "zq7secret")):
        post("/api/3.0/mlflow/users/permissions/grant", username="mallory", resource_type=kind, resource_id=what, permission="DENY")
    mallory = user(server, "mallory")
    for query in ('{mlflowGetExperiment(input: {experimentId: "%s"}) {experiment {name}}}' % closed,
                  '{mlflowGetExperiment(input: {experimentId: "0%s"}) {experiment {name}}}' % closed,
                  '{mlflowGetRun(input: {runId: "%s"}) {run {info {runName}}}}' % run, '{mlflowGetRun(input: {runUuid: "%s"}) {run {info {runName}}}}' % run,
                  '{mlflowSearchRuns(input: {experimentIds: ["%s", "%s"]}) {runs {info {runName} experiment {name} modelVersions {name}}}}' % (opened, closed),
                  '{mlflowGetRun(input: {runId: "%s"}) {run {modelVersions {name}}}}' % own, '{mlflowSearchModelVersions(input: {}) {modelVersions {name}}}',
                  '{mlflowListArtifacts(input: {runId: "%s"}) {rootUri}}' % run, 'mutation {mlflowSearchDatasets(input: {experimentIds: ["%s"]}) {datasetSummaries {name}}}' % closed,
                  '{mlflowGetMetricHistoryBulkInterval(input: {runIds: ["%s", "%s"], metricKey: "a"}) {metrics {value}}}' % (own, run)):
        seen = ann("POST", "/graphql", json={"query": query}).json()
        answer = mallory("POST", "/graphql", json={"query": query})
        assert answer.status_code == 200 and "zq7secret" not in answer.text and run not in answer.text, (query, answer.text)
        assert "0" + closed in query or seen["errors"] is None or "GetExperiment" in query, (query, seen)

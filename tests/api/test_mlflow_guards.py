"""Rights by experiment on traces and what belongs to them, and on the acts with runs: who may do what on each route."""
import time
import uuid

import pytest

from people import PASSWORD, add_user, user

MARK = "zq8secret"
V3 = "/api/3.0/mlflow/"
LEVELS = ["DENY", "READ", "EDIT", "MANAGE"]
# MLflow's routes that no row of the guard's table knows, and why they are closed to callers with rights by experiment.
CLOSED = {
    "webhooks": "they tell of the whole project; its administrators make them",
    "workspaces": "making and changing projects is for who rules the server",
    "users": "making and changing users is for who rules the server",
    "roles": "roles are grants for many users: who rules the project or the server makes them",
    "mlflow-artifacts/mpu/create": "a file at the very top of the store belongs to no experiment",
    "mlflow-artifacts/mpu/complete": "a file at the very top of the store belongs to no experiment",
    "mlflow-artifacts/mpu/abort": "a file at the very top of the store belongs to no experiment",
}


@pytest.fixture(scope="module")
def house(start_module_server, tmp_path_factory):
    home = tmp_path_factory.mktemp("house")
    add_user(home, "ann")
    return start_module_server("--require-login", "1", home=home)


@pytest.fixture(scope="module")
def ann(house):
    return user(house, "ann")


def asks(caller, method, path, **body):
    path = path if path.startswith("/") else V3 + path
    return caller(method, path, **({"params": body} if method == "GET" else {"json": body}))


def good(answer):
    assert answer.ok, (answer.request.method, answer.request.url, answer.status_code, answer.text[:500])
    return answer.json()


def trace_body(experiment, trace_id, text=MARK):
    return {"trace": {"trace_info": {"trace_id": trace_id, "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}},
            "request_time": "2026-11-23T10:31:28.049Z", "execution_duration": "1.5s", "state": "OK", "request_preview": text, "tags": {"team": text}}}}


def otlp(experiment, trace_hex, name=MARK):
    return {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": trace_hex, "spanId": uuid.uuid4().hex[:16], "name": name,
            "startTimeUnixNano": "1", "endTimeUnixNano": "2"}]}]}]}, {"x-mlflow-experiment-id": experiment}


def make_world(ann, name):
    """An experiment with one of everything that belongs to traces."""
    w = {"experiment": good(asks(ann, "POST", "experiments/create", name=f"{name}-{uuid.uuid4().hex[:6]}"))["experiment_id"]}
    w["run"] = good(asks(ann, "POST", "runs/create", experiment_id=w["experiment"], start_time=1))["run"]["info"]["run_id"]
    w["hex"] = uuid.uuid4().hex
    w["trace"] = "tr-" + w["hex"]
    good(asks(ann, "POST", "traces", **trace_body(w["experiment"], w["trace"])))
    body, headers = otlp(w["experiment"], w["hex"])
    assert ann("POST", "/v1/traces", json=body, headers=headers).ok
    feedback = {"assessment_name": MARK, "feedback": {"value": MARK}, "source": {"source_type": "HUMAN", "source_id": "a"},
                "create_time": "2026-11-23T10:31:28.049Z"}
    w["assessment"] = good(asks(ann, "POST", f"traces/{w['trace']}/assessments", assessment=feedback))["assessment"]["assessment_id"]
    w["dataset"] = good(asks(ann, "POST", "datasets/create", name=MARK, experiment_ids=[w["experiment"]]))["dataset"]["dataset_id"]
    good(asks(ann, "POST", f"datasets/{w['dataset']}/records", records=f'[{{"inputs": {{"q": "{MARK}"}}}}]'))
    good(asks(ann, "POST", "scorers/register", experiment_id=w["experiment"], name=MARK, serialized_scorer="{}"))
    w["issue"] = good(asks(ann, "POST", "issues", experiment_id=w["experiment"], name=MARK, description=MARK))["issue"]["issue_id"]
    w["schema"] = good(asks(ann, "POST", "label-schemas/create", experiment_id=w["experiment"], name=MARK, type="FEEDBACK",
                            input={"text": {}}))["label_schema"]["schema_id"]
    w["queue"] = good(asks(ann, "POST", "review-queues/create", experiment_id=w["experiment"], name=MARK, queue_type="CUSTOM",
                           users=["reviewer"]))["review_queue"]["queue_id"]
    good(asks(ann, "POST", "review-queues/items/add", queue_id=w["queue"], item_ids=[w["trace"]]))
    return w


@pytest.fixture(scope="module")
def world(ann):
    return make_world(ann, "world")


@pytest.fixture(scope="module")
def people(house, ann, world):
    """Somebody of each level on the experiment, and nothing else."""
    out = {}
    for level in LEVELS:
        name = level.lower() + uuid.uuid4().hex[:6]
        good(asks(ann, "POST", "/api/2.0/mlflow/users/create", username=name, password=PASSWORD))
        good(asks(ann, "POST", "users/permissions/grant", username=name, resource_type="experiment", resource_id=world["experiment"], permission=level))
        out[level] = user(house, name)
    name = "reviewer"
    good(asks(ann, "POST", "/api/2.0/mlflow/users/create", username=name, password=PASSWORD))
    good(asks(ann, "POST", "users/permissions/grant", username=name, resource_type="experiment", resource_id=world["experiment"], permission="EDIT"))
    out["reviewer"] = user(house, name)
    time.sleep(1)
    return out


def calls(w):
    """(least level, method, path, body): every call about one thing."""
    t, e, d, q = w["trace"], w["experiment"], w["dataset"], w["queue"]
    info = {"max_timestamp_millis": 1, "experiment_id": e}
    figures = {"experiment_ids": [e], "view_type": "TRACES", "metric_name": "trace_count", "aggregations": [{"aggregation_type": "COUNT"}]}
    return [
        ("READ", "GET", f"traces/{t}", {}), ("READ", "GET", f"/api/2.0/mlflow/traces/{t}/info", {}), ("READ", "GET", "traces/get", {"trace_id": t}),
        ("READ", "GET", "/ajax-api/2.0/mlflow/get-trace-artifact", {"request_id": t}), ("READ", "GET", "traces/batchGet", {"trace_ids": [t]}),
        ("READ", "POST", "traces/batchGetInfos", {"trace_ids": [t]}), ("READ", "POST", "traces/metrics", figures),
        ("READ", "POST", "traces/calculate-filter-correlation", {"experiment_ids": [e], "filter_string1": "trace.status = 'OK'", "filter_string2": "trace.status = 'OK'"}),
        ("EDIT", "POST", "traces", trace_body(e, t)), ("EDIT", "PATCH", f"traces/{t}/tags", {"key": "a", "value": "b"}),
        ("EDIT", "DELETE", f"traces/{t}/tags", {"key": "team"}), ("EDIT", "POST", "traces/link-to-run", {"trace_ids": [t], "run_id": w["run"]}),
        ("EDIT", "POST", "traces/link-prompts", {"trace_id": t, "prompt_versions": [{"name": "p", "version": "1"}]}),
        ("EDIT", "POST", f"traces/{t}/assessments", {"assessment": {"assessment_name": "x", "feedback": {"value": 1}, "source": {"source_type": "HUMAN", "source_id": "a"}}}),
        ("READ", "GET", f"traces/{t}/assessments/{w['assessment']}", {}),
        ("EDIT", "PATCH", f"traces/{t}/assessments/{w['assessment']}", {"assessment": {"rationale": "r"}, "update_mask": "rationale"}),
        ("MANAGE", "POST", "traces/delete-traces", info),
        ("READ", "GET", f"datasets/{d}", {}), ("READ", "GET", f"datasets/{d}/records", {}), ("READ", "GET", f"datasets/{d}/experiment-ids", {}),
        ("EDIT", "PATCH", f"datasets/{d}/tags", {"tags": '{"a": "b"}'}), ("EDIT", "DELETE", f"datasets/{d}/tags/a", {}),
        ("EDIT", "POST", f"datasets/{d}/records", {"records": '[{"inputs": {"q": 2}}]'}), ("EDIT", "DELETE", f"datasets/{d}/records", {"dataset_record_ids": []}),
        ("EDIT", "POST", f"datasets/{d}/add-experiments", {"experiment_ids": [e]}), ("EDIT", "POST", "datasets/create", {"name": "n", "experiment_ids": [e]}),
        ("READ", "GET", "scorers/get", {"experiment_id": e, "name": MARK}), ("READ", "GET", "scorers/versions", {"experiment_id": e, "name": MARK}),
        ("READ", "GET", "scorers/list", {"experiment_id": e}), ("EDIT", "POST", "scorers/register", {"experiment_id": e, "name": MARK, "serialized_scorer": "{}"}),
        ("READ", "GET", f"issues/{w['issue']}", {}), ("READ", "POST", "issues/search", {"experiment_id": e}),
        ("EDIT", "PATCH", f"issues/{w['issue']}", {"status": "resolved"}), ("EDIT", "POST", "issues", {"experiment_id": e, "name": "n", "description": "d"}),
        ("READ", "GET", "label-schemas/get", {"schema_id": w["schema"]}), ("READ", "GET", "label-schemas/list", {"experiment_id": e}),
        ("READ", "GET", "label-schemas/get-by-name", {"experiment_id": e, "name": MARK}),
        ("MANAGE", "PATCH", "label-schemas/update", {"schema_id": w["schema"], "instruction": "i"}),
        ("MANAGE", "POST", "label-schemas/create", {"experiment_id": e, "name": uuid.uuid4().hex, "type": "FEEDBACK", "input": {"text": {}}}),
        ("MANAGE", "GET", "review-queues/get", {"queue_id": q}), ("MANAGE", "GET", "review-queues/get-by-name", {"experiment_id": e, "name": MARK}),
        ("MANAGE", "GET", "review-queues/items/list", {"queue_id": q}), ("MANAGE", "POST", "review-queues/update", {"queue_id": q, "name": MARK}),
        ("EDIT", "POST", "review-queues/items/add", {"queue_id": q, "item_ids": [t]}), ("READ", "GET", "review-queues/list", {"experiment_id": e}),
        ("MANAGE", "POST", "review-queues/items/remove", {"queue_id": q, "item_ids": ["tr-none"]}),
        ("READ", "GET", "/ajax-api/2.0/mlflow/artifacts/zip", {"run_id": w["run"]}),
    ]


def test_what_each_level_may(ann, world, people):
    wrong = []
    for least, method, path, body in calls(world):
        for level in LEVELS:
            if path.endswith("/tags") and method == "DELETE":
                assert asks(ann, "PATCH", f"traces/{world['trace']}/tags", key="team", value="x").ok
            answer = asks(people[level], method, path, **body)
            allowed = LEVELS.index(level) >= LEVELS.index(least)
            if (answer.status_code == 403) == allowed or (allowed and answer.status_code >= 400 and "zip" not in path):
                wrong.append((level, "may" if allowed else "may not", method, path, answer.status_code, answer.text[:200]))
            if not allowed and MARK in answer.text:
                wrong.append((level, "is told", method, path, answer.text[:200]))
    assert not wrong, "\n".join(map(str, wrong))


def test_spans_go_where_one_may_write(ann, world, people):
    own = {}
    for level in ("READ", "EDIT", "DENY"):
        body, headers = otlp(world["experiment"], uuid.uuid4().hex)
        assert people[level]("POST", "/v1/traces", json=body, headers=headers).status_code == (200 if level == "EDIT" else 403), level
    # A trace that is somebody else's is not reached through an experiment of one's own.
    mallory = people["DENY"]
    own["experiment"] = good(asks(mallory, "POST", "experiments/create", name="own" + uuid.uuid4().hex))["experiment_id"]
    own["run"] = good(asks(mallory, "POST", "runs/create", experiment_id=own["experiment"], start_time=1))["run"]["info"]["run_id"]
    before = good(asks(ann, "GET", "traces/get", trace_id=world["trace"]))
    body, headers = otlp(own["experiment"], world["hex"], "stolen")
    assert mallory("POST", "/v1/traces", json=body, headers=headers).status_code == 403
    body, headers = otlp(own["experiment"], uuid.uuid4().hex)
    assert mallory("POST", "/v1/traces", json=body, headers={**headers, "x-mlflow-run-id": world["run"]}).status_code == 403
    assert mallory("POST", "/v1/traces", json=body, headers={**headers, "x-mlflow-run-id": own["run"]}).status_code == 200
    assert asks(mallory, "POST", "traces", **trace_body(own["experiment"], world["trace"], "stolen")).status_code == 403
    for trace_ids, run in (([world["trace"]], own["run"]), ([], world["run"])):
        assert asks(mallory, "POST", "traces/link-to-run", trace_ids=trace_ids or ["tr-1"], run_id=run).status_code == 403
    assert asks(mallory, "POST", "traces/delete-traces", experiment_id=own["experiment"], request_ids=[world["trace"]]).json() == {"traces_deleted": 0}
    assert good(asks(ann, "GET", "traces/get", trace_id=world["trace"])) == before
    # Nor do two names in one call hide the one that counts.
    for params in ({"request_id": world["trace"], "trace_id": "tr-own"}, {"trace_id": ["tr-own", world["trace"]], "request_id": world["trace"]}):
        answer = asks(mallory, "GET", "/ajax-api/2.0/mlflow/get-trace-artifact", **params)
        assert answer.status_code == 403 and MARK not in answer.text
    answer = mallory("POST", "/ajax-api/2.0/mlflow/upload-artifact", params={"run_id": own["run"], "run_uuid": world["run"], "path": "x"}, data=b"x")
    assert answer.status_code == 403


def test_a_shared_data_set_wants_a_right_to_all_its_experiments(ann, world, people):
    mallory = people["DENY"]
    own = good(asks(mallory, "POST", "experiments/create", name="own" + uuid.uuid4().hex))["experiment_id"]
    mine = good(asks(mallory, "POST", "datasets/create", name="mine", experiment_ids=[own]))["dataset"]["dataset_id"]
    assert asks(mallory, "POST", f"datasets/{mine}/add-experiments", experiment_ids=[world["experiment"]]).status_code == 403
    assert asks(mallory, "POST", f"datasets/{world['dataset']}/add-experiments", experiment_ids=[own]).status_code == 403
    assert asks(mallory, "POST", "datasets/create", name="all").status_code == 403
    good(asks(ann, "POST", f"datasets/{mine}/add-experiments", experiment_ids=[world["experiment"]]))
    assert asks(mallory, "GET", f"datasets/{mine}").status_code == 403
    assert mine not in asks(mallory, "POST", "datasets/search", experiment_ids=[own]).text


def test_searches_tell_nothing_of_others(world, people):
    mallory, e = people["DENY"], world["experiment"]
    for method, path, body in (
            ("POST", "traces/search", {"locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": e}}]}),
            ("GET", "/api/2.0/mlflow/traces", {"experiment_ids": [e]}), ("POST", "datasets/search", {}), ("POST", "datasets/search", {"experiment_ids": [e]}),
            ("GET", "datasets/search", {}), ("GET", "scorers/list", {}), ("GET", "scorers/list", {"experiment_ids": [e]}),
            ("POST", "issues/search", {"max_results": 1000}), ("POST", "issues/search", {"filter_string": "status != 'rejected'"})):
        answer = asks(mallory, method, path, **body)
        assert answer.ok and MARK not in answer.text and world["trace"] not in answer.text, (path, answer.text)
        seen = asks(people["READ"], method, path, **body)
        assert seen.ok and any(word in seen.text for word in (MARK, world["issue"], world["trace"])), (path, seen.text)


def test_a_review_queue_is_its_reviewers(ann, world, people):
    reviewer, q, e = people["reviewer"], world["queue"], world["experiment"]
    good(asks(reviewer, "GET", "review-queues/get", queue_id=q))
    good(asks(reviewer, "GET", "review-queues/get-by-name", experiment_id=e, name=MARK))
    good(asks(reviewer, "POST", "review-queues/items/set-status", queue_id=q, item_id=world["trace"], status="COMPLETE"))
    assert asks(people["MANAGE"], "POST", "review-queues/items/set-status", queue_id=q, item_id=world["trace"], status="PENDING").status_code == 403
    assert asks(reviewer, "POST", "review-queues/delete", queue_id=q).status_code == 403
    assert asks(reviewer, "POST", "review-queues/update", queue_id=q, new_owner="reviewer").status_code == 403
    own = good(asks(reviewer, "POST", "review-queues/create", experiment_id=e, name="own" + uuid.uuid4().hex, queue_type="CUSTOM", users=["x"]))["review_queue"]["queue_id"]
    good(asks(reviewer, "GET", "review-queues/get", queue_id=own))
    assert asks(reviewer, "POST", "review-queues/update", queue_id=own, new_owner="x").status_code == 403
    assert asks(people["EDIT"], "POST", "review-queues/delete", queue_id=own).status_code == 403
    good(asks(reviewer, "POST", "review-queues/delete", queue_id=own))
    assert world["queue"] not in asks(people["READ"], "GET", "review-queues/list", experiment_id=e).text


def test_deletions_want_more_than_edit(ann, people, house):
    w = make_world(ann, "doomed")
    editor = user(house, f"editor{uuid.uuid4().hex[:6]}")
    for name, level in (("ed", "EDIT"), ("mg", "MANAGE")):
        name += uuid.uuid4().hex[:6]
        good(asks(ann, "POST", "/api/2.0/mlflow/users/create", username=name, password=PASSWORD))
        good(asks(ann, "POST", "users/permissions/grant", username=name, resource_type="experiment", resource_id=w["experiment"], permission=level))
        time.sleep(1)
        caller = user(house, name)
        for path, body in ((f"datasets/{w['dataset']}", {}), ("scorers/delete", {"experiment_id": w["experiment"], "name": MARK}),
                           ("label-schemas/delete", {"schema_id": w["schema"]})):
            answer = asks(caller, "DELETE", path, **body)
            assert answer.status_code == (403 if level == "EDIT" else 200), (level, path, answer.text)
    assert editor is not None


def test_acts_on_runs_want_both_experiments(ann, world, people, house):
    name = "mover" + uuid.uuid4().hex[:6]
    good(asks(ann, "POST", "/api/2.0/mlflow/users/create", username=name, password=PASSWORD))
    mover = user(house, name)
    own = good(asks(mover, "POST", "experiments/create", name="own" + uuid.uuid4().hex))["experiment_id"]

    def ended(caller, run):
        good(asks(caller, "POST", "runs/update", run_id=run, status="FINISHED", end_time=2))
        return run

    run = ended(mover, good(asks(mover, "POST", "runs/create", experiment_id=own, start_time=1))["run"]["info"]["run_id"])
    for level, may_copy_from, may_move_from, may_put in (("DENY", 0, 0, 0), ("READ", 1, 0, 0), ("EDIT", 1, 0, 1), ("MANAGE", 1, 1, 1)):
        w = make_world(ann, "acts")
        ended(ann, w["run"])
        good(asks(ann, "POST", "users/permissions/grant", username=name, resource_type="experiment", resource_id=w["experiment"], permission=level))
        time.sleep(1)
        for path, source, target, allowed in (("/runs/copy", run, w["experiment"], may_put), ("/runs/copy", w["run"], own, may_copy_from),
                                              ("/runs/move", w["run"], own, may_move_from)):
            answer = mover.api("POST", path, json={"runs": [source], "experiment": target})
            assert answer.ok if allowed else answer.status_code == 403, (level, path, answer.status_code, answer.text)
        answer = mover.api("POST", "/runs/move", json={"runs": [run], "experiment": w["experiment"]})
        assert answer.ok if may_put else answer.status_code == 403, (level, answer.text)
        if may_put:
            run = ended(mover, good(asks(mover, "POST", "runs/create", experiment_id=own, start_time=1))["run"]["info"]["run_id"])
        assert mover.api("POST", "/runs/purge", json={"runs": [run]}).status_code == 403


def test_every_route_of_mlflow_has_a_row_or_a_reason(ann):
    table = [r for r in ann.api("GET", "/routes").json()["routes"] if r["protocol"].startswith("mlflow") and r["permission"] not in ("none", "infer")]
    assert len(table) > 400
    missing = []
    for route in table:
        path = route["pattern"]
        for prefix in ("/api/2.0/", "/api/3.0/", "/ajax-api/2.0/", "/ajax-api/3.0/"):
            path = path.removeprefix(prefix)
        path = path.removeprefix("mlflow/")
        closed = path in CLOSED or path.split("/")[0] == "roles" or path.split("/")[0] in ("webhooks", "workspaces", "users") and route["permission"] in ("admin", "server")
        if not route["by_resource"] and not closed:
            missing.append((route["method"], route["pattern"], route["permission"]))
    assert not missing, "\n".join(map(str, missing))

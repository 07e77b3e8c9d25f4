"""MLflow's own access: AuthServiceClient of both releases, and rights by experiment and model that hold on every route."""
import json
import subprocess
import time

import mlflow
import pytest
import requests

from lathe_server import ROOT, clean_environment
from mlflow_house import be, house, refused, somebody, unique  # noqa: F401
from people import PASSWORD, bearer, user
from test_access import filled

MARK = "zq7secret"  # in the name of all that must not be seen


# --- users ----------------------------------------------------------------------------------------------------------


def test_a_users_life(be, house):
    _, auth = be("ann")
    name = unique("user")
    made = auth.create_user(name, PASSWORD)
    assert made.username == name and made.is_admin is False
    assert auth.get_user(name).id == made.id
    refused(auth.create_user, name, PASSWORD, code="RESOURCE_ALREADY_EXISTS")
    refused(auth.get_user, "nobody", code="RESOURCE_DOES_NOT_EXIST")
    auth.update_user_admin(name, True)
    assert auth.get_user(name).is_admin is True
    auth.update_user_admin(name, False)
    _, own = be(name)
    assert own.get_user(name).username == name
    for call, args in ((own.get_user, ("ann",)), (own.create_user, ("x", PASSWORD)), (own.update_user_admin, (name, True)),
                       (own.delete_user, ("ann",)), (own.update_user_password, ("ann", PASSWORD + "2"))):
        refused(call, *args)
    error = refused(own.update_user_password, name, PASSWORD + "2", code="INVALID_PARAMETER_VALUE")
    assert "Current password is required" in error.message
    _, auth = be("ann")
    auth.update_user_password(name, PASSWORD + "2")
    assert user(house, name).api("GET", "/me").status_code == 401
    assert user(house, name, password=PASSWORD + "2").api("GET", "/me").status_code == 200
    auth.delete_user(name)
    made_again = auth.create_user(name, PASSWORD)
    assert made_again.id != made.id  # nothing is inherited: no right, and no password that somebody remembers
    assert user(house, name, password=PASSWORD + "2").api("GET", "/me").status_code == 401
    auth.delete_user(name)
    assert user(house, name, password=PASSWORD + "2").api("GET", "/me").status_code == 401
    refused(auth.delete_user, name, code="RESOURCE_DOES_NOT_EXIST")
    error = refused(auth.delete_user, "ann", code="INVALID_PARAMETER_VALUE")
    assert "cannot delete their own account" in error.message


def test_a_plain_user_reads_all_and_manages_his_own(be, somebody):
    bob, client = somebody("bob"), be("ann")[0]
    hers = client.create_experiment(unique("hers"))
    run = client.create_run(hers).info.run_id
    client.log_metric(run, "loss", 1)
    client.create_registered_model(theirs := unique("model"))
    client, auth = be(bob)
    assert client.get_experiment(hers).name.startswith("hers")
    assert client.get_run(run).data.metrics == {"loss": 1}
    assert hers in {e.experiment_id for e in client.search_experiments()}
    refused(client.log_metric, run, "loss", 2)
    refused(client.create_run, hers)
    refused(client.set_experiment_tag, hers, "a", "b")
    refused(client.delete_experiment, hers)
    refused(client.set_registered_model_tag, theirs, "a", "b")
    mine = client.create_experiment(unique("mine"))
    own = client.create_run(mine).info.run_id
    client.log_metric(own, "loss", 2)
    client.set_terminated(own)
    client.delete_run(own)
    client.create_registered_model(model := unique("own"))
    client.create_model_version(model, f"runs:/{run}/m", run)  # what he reads he may register
    client.rename_registered_model(model, renamed := unique("renamed"))
    client.set_registered_model_tag(renamed, "still", "mine")
    client.delete_registered_model(renamed)
    assert auth.get_user_permission(bob, "experiment", mine).permission == "MANAGE"
    checked = auth.get_user_permission(bob, "experiment", hers)
    assert (checked.permission, checked.allowed) == ("READ", False)
    client.delete_experiment(mine)


@pytest.mark.parametrize("level, read, edit, delete, manage", [
    ("READ", 1, 0, 0, 0), ("USE", 1, 0, 0, 0), ("EDIT", 1, 1, 0, 0), ("MANAGE", 1, 1, 1, 1), ("DENY", 0, 0, 0, 0)])
@pytest.mark.parametrize("role", ["contributor", "viewer", "editor", "none"])
def test_what_a_permission_allows(be, somebody, house, role, level, read, edit, delete, manage):
    bob = somebody("bob")
    other = somebody("other")
    ann = user(house, "ann")
    assert ann.api("PATCH", f"/users/{bob}", json={"roles": {"default": [] if role == "none" else [role]}}).ok
    client, auth = be("ann")
    experiment = client.create_experiment(unique("e"))
    run = client.create_run(experiment).info.run_id
    client.create_registered_model(model := unique("m"))
    auth.grant_user_permission(bob, "experiment", experiment, level)
    auth.grant_user_permission(bob, "registered_model", model, level)
    assert auth.get_user_permission(bob, "experiment", experiment).permission == level
    client, auth = be(bob)

    def expect(allowed, call, *args):
        if allowed:
            return call(*args)
        refused(call, *args)

    expect(read, client.get_experiment, experiment)
    expect(read, client.get_run, run)
    expect(read, client.get_registered_model, model)
    expect(edit, client.log_metric, run, "a", 1)
    expect(edit, client.log_param, run, "a", 1)
    expect(edit, client.set_registered_model_tag, model, "a", "b")
    expect(manage, auth.grant_user_permission, other, "experiment", experiment, "READ")
    expect(manage, auth.grant_user_permission, other, "registered_model", model, "DENY")
    expect(manage, auth.revoke_user_permission, other, "experiment", experiment)
    found = {r.info.run_id for r in client.search_runs([experiment])}
    assert found == ({run} if read else set())
    assert (model in {m.name for m in client.search_registered_models(max_results=1000)}) == bool(read)
    expect(delete, client.delete_run, run)
    expect(delete, client.delete_experiment, experiment)
    expect(delete, client.delete_registered_model, model)


def test_bad_permissions(be, somebody):
    bob, (client, auth) = somebody(), be("ann")
    experiment = client.create_experiment(unique("e"))
    refused(auth.grant_user_permission, bob, "experiment", experiment, "OWN", code="INVALID_PARAMETER_VALUE")
    refused(auth.grant_user_permission, bob, "experiment", "00", "READ", code="INVALID_PARAMETER_VALUE")
    refused(auth.grant_user_permission, bob, "gateway_endpoint", "x", "READ", code="INVALID_PARAMETER_VALUE")
    refused(auth.grant_user_permission, bob, "experiment", "99999", "READ", code="RESOURCE_DOES_NOT_EXIST")
    refused(auth.grant_user_permission, "nobody", "experiment", experiment, "READ", code="RESOURCE_DOES_NOT_EXIST")
    _, auth = be(bob)
    refused(auth.grant_user_permission, bob, "experiment", experiment, "MANAGE")
    refused(auth.grant_user_permission, bob, "experiment", "*", "MANAGE")
    refused(auth.get_user_permission, "ann", "experiment", experiment)


def test_a_grant_on_everything(be, somebody):
    bob, (client, auth) = somebody(), be("ann")
    open_, closed = client.create_experiment(unique("open")), client.create_experiment(unique("closed"))
    auth.grant_user_permission(bob, "experiment", "*", "EDIT")
    auth.grant_user_permission(bob, "experiment", closed, "DENY")
    client, _ = be(bob)
    client.create_run(open_)
    refused(client.create_run, closed)
    refused(client.delete_experiment, open_)


def test_a_permission_taken_back_holds_within_a_second(be, somebody):
    bob, (client, auth) = somebody(), be("ann")
    experiment = client.create_experiment(unique("e"))
    auth.grant_user_permission(bob, "experiment", experiment, "EDIT")
    bobs, _ = be(bob)
    bobs.create_run(experiment)
    _, auth = be("ann")
    auth.grant_user_permission(bob, "experiment", experiment, "DENY")
    time.sleep(1)
    bobs, _ = be(bob)
    refused(bobs.get_experiment, experiment)
    _, auth = be("ann")
    auth.revoke_user_permission(bob, "experiment", experiment)
    time.sleep(1)
    bobs, _ = be(bob)
    bobs.get_experiment(experiment)
    refused(bobs.create_run, experiment)


def test_a_models_permissions_go_with_it(be, somebody):
    bob, (client, auth) = somebody(), be("ann")
    client.create_registered_model(first := unique("first"))
    auth.grant_user_permission(bob, "registered_model", first, "DENY")
    client.rename_registered_model(first, second := unique("second"))
    bobs, _ = be(bob)
    refused(bobs.get_registered_model, second)
    client, auth = be("ann")
    client.delete_registered_model(second)
    client.create_registered_model(second)  # another one of that name
    time.sleep(1)
    bobs, _ = be(bob)
    assert bobs.get_registered_model(second).name == second


def test_searches_fill_their_pages(be, somebody):
    bob, (client, auth) = somebody(), be("ann")
    word = unique("page").replace("-", "")
    names = [f"{word}{i:02}" for i in range(12)]
    ids = [client.create_experiment(n) for n in names]
    for i in range(12):
        client.create_registered_model(names[i])
        if i % 3:
            auth.grant_user_permission(bob, "experiment", ids[i], "DENY")
            auth.grant_user_permission(bob, "registered_model", names[i], "DENY")
    bobs, _ = be(bob)
    for search in (bobs.search_experiments, bobs.search_registered_models):
        seen, token = [], None
        while True:
            page = search(filter_string=f"name LIKE '{word}%'", max_results=2, page_token=token, order_by=["name ASC"])
            assert len(page) == 2 or not page.token
            seen += [e.name for e in page]
            token = page.token
            if not token:
                break
        assert seen == names[::3]


def test_the_older_client(be, somebody, house):
    bob, (client, _) = somebody(), be("ann")
    experiment = client.create_experiment(unique("e"))
    client.create_registered_model(model := unique("m"))
    script = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests/api")!r})
from mlflow_auth_client import stock_client
from mlflow.exceptions import RestException
c = stock_client()({house.url!r})
def code(f, *a):
    try:
        f(*a)
    except RestException as e:
        return e.error_code
for create, get, update, delete, what in (
        (c.create_experiment_permission, c.get_experiment_permission, c.update_experiment_permission, c.delete_experiment_permission, {experiment!r}),
        (c.create_registered_model_permission, c.get_registered_model_permission, c.update_registered_model_permission, c.delete_registered_model_permission, {model!r})):
    assert code(get, what, {bob!r}) == "RESOURCE_DOES_NOT_EXIST"
    made = create(what, {bob!r}, "READ")
    assert made.permission == "READ" and made.user_id == c.get_user({bob!r}).id
    assert code(create, what, {bob!r}, "READ") == "RESOURCE_ALREADY_EXISTS"
    update(what, {bob!r}, "NO_PERMISSIONS")
    assert get(what, {bob!r}).permission == "NO_PERMISSIONS"
    assert code(update, what, {bob!r}, "SOME") == "INVALID_PARAMETER_VALUE"
    delete(what, {bob!r})
    assert code(delete, what, {bob!r}) == "RESOURCE_DOES_NOT_EXIST"
    assert code(update, what, {bob!r}, "READ") == "RESOURCE_DOES_NOT_EXIST"
print("OK")
"""
    done = subprocess.run([ROOT / ".venv-mlflow312/bin/python", "-c", script], capture_output=True, text=True, timeout=120,
                          env=clean_environment(MLFLOW_TRACKING_USERNAME="ann", MLFLOW_TRACKING_PASSWORD=PASSWORD, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0"))
    assert done.returncode == 0 and "OK" in done.stdout, done.stderr[-3000:]


# --- attacks --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vault(house):
    """What mallory must not see or touch, full of a word that is nowhere else."""
    ann = user(house, "ann")

    def post(path, **body):
        answer = ann("POST", "/api/2.0/mlflow/" + path, json=body)
        assert answer.ok, (path, answer.text)
        return answer.json()

    made = {"experiment_id": post("experiments/create", name=MARK, tags=[{"key": "k", "value": MARK}])["experiment_id"]}
    made["run_id"] = post("runs/create", experiment_id=made["experiment_id"], run_name=MARK, start_time=1)["run"]["info"]["run_id"]
    post("runs/log-batch", run_id=made["run_id"], metrics=[{"key": MARK, "value": 1, "timestamp": 1, "step": 0}],
         params=[{"key": MARK, "value": MARK}], tags=[{"key": MARK, "value": MARK}])
    post("runs/log-inputs", run_id=made["run_id"], datasets=[{"dataset": {"name": MARK, "digest": "d", "source_type": "s", "source": MARK}}])
    made["model_id"] = post("logged-models", experiment_id=made["experiment_id"], name=MARK)["model"]["info"]["model_id"]
    path = f'{made["experiment_id"]}/{made["run_id"]}/artifacts/{MARK}.txt'
    assert ann("PUT", "/api/2.0/mlflow-artifacts/artifacts/" + path, data=MARK).ok
    post("registered-models/create", name=MARK, tags=[{"key": "k", "value": MARK}])
    post("model-versions/create", name=MARK, source=f'runs:/{made["run_id"]}/m', run_id=made["run_id"], description=MARK)
    post("registered-models/alias", name=MARK, alias="best", version="1")
    for name in ("mallory", "trudy"):
        post("users/create", username=name, password=PASSWORD)
        for kind, resource in (("experiment", made["experiment_id"]), ("registered_model", MARK)):
            answer = ann("POST", "/api/3.0/mlflow/users/permissions/grant",
                         json={"username": name, "resource_type": kind, "resource_id": resource, "permission": "DENY"})
            assert answer.ok, answer.text
    # One of them is an editor of everything else.
    assert ann.api("PATCH", "/users/trudy", json={"roles": {"default": ["editor"]}}).ok
    time.sleep(1)
    return made


def state(house, vault):
    ann = user(house, "ann")
    out = []
    for path in (f"experiments/get?experiment_id={vault['experiment_id']}", f"runs/get?run_id={vault['run_id']}",
                 f"logged-models/{vault['model_id']}", f"registered-models/get?name={MARK}", f"model-versions/get?name={MARK}&version=1",
                 f"artifacts/list?run_id={vault['run_id']}", f"registered-models/alias?name={MARK}&alias=best"):
        answer = ann("GET", "/api/2.0/mlflow/" + path)
        assert answer.ok and MARK in answer.text, path
        out.append(answer.json())
    return json.dumps(out, sort_keys=True)


@pytest.mark.parametrize("who", ["mallory", "trudy"])
def test_no_route_tells_or_changes_what_is_denied(house, vault, who):
    mallory = user(house, who)
    before = state(house, vault)
    e, r, m = vault["experiment_id"], vault["run_id"], vault["model_id"]
    named = {"experiment_id": e, "experiment_ids": [e], "run_id": r, "run_uuid": r, "run_ids": [r], "model_id": m, "name": MARK,
             "version": "1", "alias": "best", "experiment_name": MARK, "metric_key": MARK, "key": MARK, "value": "x",
             "new_name": "stolen", "status": "FAILED", "end_time": 5, "filter": "", "path": f"{MARK}.txt", "max_results": 100,
             "metrics": [{"key": "a", "value": 1, "timestamp": 1, "step": 0, "model_id": m}], "tags": [{"key": "a", "value": "b"}],
             "params": [{"key": "a", "value": "b"}], "models": [{"model_id": m, "step": 0}], "datasets": [], "source": f"runs:/{r}/m",
             "stage": "Archived", "archive_existing_versions": True, "description": "x", "username": who, "resource_type": "experiment",
             "resource_id": e, "permission": "MANAGE", "upload_id": "x", "num_parts": 1, "timestamp": 1, "step": 0,
             "artifact_file_path": f"{MARK}.txt", "locations": [e], "trace_id": "tr-1", "request_id": "tr-1", "run": r, "id": r, "q": MARK}
    table = user(house, "ann").api("GET", "/routes").json()["routes"]
    captures = {"model_id": m, "path": f"{e}/{r}/artifacts/{MARK}.txt", "name": MARK, "version": "1", "run_id": r, "id": r}
    seen = set()
    for route in table:
        method, pattern = route["method"], route["pattern"]
        if pattern.endswith("/logout") or pattern.startswith("/user/") or pattern.endswith("permissions/get"):
            continue  # the last repeat the name that he asks for
        path = pattern
        for key, value in captures.items():
            path = path.replace("{" + key + "...}", value).replace("{" + key + "}", value)
        path = filled(path) if "{" in path else path
        query = {k: v for k, v in named.items() if not isinstance(v, list) or isinstance(v[0] if v else None, str)}
        if method in ("GET", "DELETE", "HEAD"):
            answers = [mallory(method, path, params=query), mallory(method, path, json=named)]
        else:
            answers = [mallory(method, path, json=named), mallory(method, path, json={**named, "metrics": []}, params=query)]
        for answer in answers:
            told = answer.text.replace(path, "").replace(f"'{MARK}'", "").replace(f"name={MARK}", "").replace(f"{MARK}.txt", "")
            assert MARK not in told or answer.status_code >= 400 and answer.text.count(MARK) <= 2, (method, path, answer.status_code, answer.text[:500])
            if answer.status_code < 400:
                seen.add(pattern)
                assert r not in answer.text and m not in answer.text, (method, path, answer.text[:500])
    assert any("experiments/search" in p for p in seen)  # it was not all refused for another reason
    assert state(house, vault) == before


def test_other_spellings_of_what_is_denied(house, vault, be):
    mallory = user(house, "mallory")
    e, r, m = vault["experiment_id"], vault["run_id"], vault["model_id"]
    mlflow_ = "/api/2.0/mlflow/"
    gets = [f"experiments/get?experiment_id={x}" for x in (f"0{e}", f"+{e}", f"{e}%20", f"%20{e}", f"{e}.0", f"{e}%00")]
    gets += [f"runs/get?run_uuid={r}", f"runs/get?runId={r}", f"runs/get?run_id={r.upper()}", f"runs/get?run_id={r}&run_id=x",
             f"experiments/get-by-name?experiment_name={MARK}", f"artifacts/list?run_id={r}&path=", f"metrics/get-history?run_id={r}&metric_key={MARK}"]
    for path in gets:
        answer = mallory("GET", mlflow_ + path)
        assert answer.status_code in (400, 403, 404) and MARK not in answer.text.replace(path, ""), (path, answer.text)
    artifacts = "/api/2.0/mlflow-artifacts/artifacts"
    for path in (f"{e}/{r}/artifacts/{MARK}.txt", f"./{e}/{r}/artifacts/{MARK}.txt", f"0/../{e}/{r}/artifacts/{MARK}.txt", f"//{e}/{r}/artifacts/{MARK}.txt",
                 f"%2e/{e}/{r}/artifacts/{MARK}.txt", f"0/%2e%2e/{e}/{r}/artifacts/{MARK}.txt", f"%{ord(e[0]):x}{e[1:]}/{r}/artifacts/{MARK}.txt"):
        request = requests.Request("GET", "http://x", headers=mallory.session.headers).prepare()
        request.url = house.url + artifacts + "/" + path
        answer = mallory.session.send(request)
        assert answer.status_code in (400, 403, 404) and answer.text != MARK, (path, answer.status_code, answer.text)
    for path in ("", e, f"{e}/{r}", f"{e}/{r}/artifacts", "./" + e, "."):
        answer = mallory("GET", artifacts, params={"path": path})
        assert answer.status_code in (400, 403, 404) and MARK not in answer.text, (path, answer.text)
    for prefix in ("/api/2.0/mlflow/", "/api/3.0/mlflow/", "/ajax-api/2.0/mlflow/", "/ajax-api/3.0/mlflow/"):
        assert mallory("GET", prefix + f"runs/get?run_id={r}").status_code == 403
    for body in ({"experiment_ids": [e]}, {"experiment_ids": [f"0{e}", e]}, {"experimentIds": [e]}, {"experiment_ids": ["0", e]}):
        for path in ("runs/search", "logged-models/search", "experiments/search-datasets"):
            answer = mallory("POST", mlflow_ + path, json=body)
            assert MARK not in answer.text, (path, body, answer.text)
    for filter_ in ("", f"name = '{MARK}'", f"name LIKE '%{MARK[:5]}%'"):
        for path in ("registered-models/search", "model-versions/search", "experiments/search"):
            answer = mallory("GET", mlflow_ + path, params={"filter": filter_, "max_results": 1000})
            assert answer.ok and MARK not in answer.text.replace(filter_, ""), (path, answer.text)


def test_what_is_denied_cannot_be_reached_through_what_is_his(house, vault):
    mallory = user(house, "mallory")
    e, r, m = vault["experiment_id"], vault["run_id"], vault["model_id"]

    def post(path, **body):
        return mallory("POST", "/api/2.0/mlflow/" + path, json=body)

    before = state(house, vault)
    own = post("experiments/create", name=unique("own")).json()["experiment_id"]
    run = post("runs/create", experiment_id=own, start_time=1).json()["run"]["info"]["run_id"]
    name = unique("own")
    assert post("registered-models/create", name=name).ok
    for body in ({"source": f"runs:/{r}/m", "run_id": r}, {"source": f"models:/{m}", "model_id": m}, {"source": f"models:/{MARK}/1"},
                 {"source": f"models:/{MARK}@best"}, {"source": f"mlflow-artifacts:/{e}/{r}/artifacts/x"},
                 {"source": f"mlflow-artifacts://127.0.0.1:{house.port}/{e}/{r}/artifacts/x"},
                 {"source": f"{house.url}/api/2.0/mlflow-artifacts/artifacts/{e}/{r}/artifacts"}, {"source": f"runs:/{run}/m", "run_id": r},
                 {"source": f"runs:/{run}/m", "run_id": run, "model_id": m}):
        answer = post("model-versions/create", name=name, **body)
        assert answer.status_code in (400, 403), (body, answer.text)
    assert post("runs/log-metric", run_id=run, key="a", value=1, timestamp=1, model_id=m).status_code == 403
    assert post("runs/log-batch", run_id=run, metrics=[{"key": "a", "value": 1, "timestamp": 1, "step": 0, "modelId": m}]).status_code == 403
    assert post("runs/outputs", run_id=run, models=[{"model_id": m, "step": 0}]).status_code == 403
    assert post("runs/log-inputs", run_id=run, models=[{"model_id": m}]).status_code == 403
    assert post("logged-models", experiment_id=own, source_run_id=r).status_code == 403
    assert post("registered-models/create", name=MARK).status_code == 400  # it is taken, as for everybody
    assert post("registered-models/rename", name=name, new_name=MARK).status_code == 400
    placed = post("experiments/create", name=unique("placed"), artifact_location=f"mlflow-artifacts:/{e}/{r}/artifacts")
    if placed.ok:
        there = post("runs/create", experiment_id=placed.json()["experiment_id"], start_time=1).json()["run"]["info"]["run_id"]
        for path in ("", "..", f"../{MARK}.txt", "../.."):
            answer = mallory("GET", "/api/2.0/mlflow/artifacts/list", params={"run_id": there, "path": path})
            assert MARK not in answer.text.replace(path, ""), answer.text
    for level in ("MANAGE", "READ"):
        answer = mallory("POST", "/api/3.0/mlflow/users/permissions/grant",
                         json={"username": "mallory", "resource_type": "experiment", "resource_id": e, "permission": level})
        assert answer.status_code == 403
    answer = mallory("POST", "/api/3.0/mlflow/users/permissions/revoke",
                     json={"username": "mallory", "resource_type": "experiment", "resource_id": e})
    assert answer.status_code == 403
    assert state(house, vault) == before


def test_a_token_keeps_its_owners_limits(house, vault):
    mallory = user(house, "mallory")
    token = mallory.api("POST", "/tokens", json={"label": "x"}).json()["token"]
    assert bearer(house, token)("GET", f"/api/2.0/mlflow/runs/get?run_id={vault['run_id']}").status_code == 403
    narrow = mallory.api("POST", "/tokens", json={"label": "y", "role": "viewer"}).json()["token"]
    for secret, allowed in ((token, True), (narrow, False)):
        answer = bearer(house, secret)("POST", "/api/2.0/mlflow/experiments/create", json={"name": unique("t")})
        assert answer.ok == allowed, answer.text


def test_many_threads_of_one_user_are_not_cut_off(house, vault):
    """Making something gives its maker a right, and must not end what he does meanwhile."""
    import concurrent.futures

    def life(i):
        bob = user(house, "mallory")
        for _ in range(5):
            made = bob("POST", "/api/2.0/mlflow/experiments/create", json={"name": unique("many")})
            assert made.ok, made.text
            run = bob("POST", "/api/2.0/mlflow/runs/create", json={"experiment_id": made.json()["experiment_id"], "start_time": 1})
            assert run.ok, run.text

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(life, range(8)))

"""A registered model's audit: every change of it, by whom, in pages, for whoever may read the model."""
import time
import uuid

import mlflow
import pytest

from people import PASSWORD, add_user, user

V2 = "/api/2.0/mlflow/"


@pytest.fixture
def house(start_server):
    server = start_server()
    server.stop()
    add_user(server.home, "ann")
    server.args += ["--require-login", "1"]
    server.start()
    ann = user(server, "ann")
    for name, role in (("vera", "viewer"), ("cora", "contributor"), ("otto", "contributor")):
        assert ann.api("POST", "/users", json={"name": name, "password": PASSWORD, "roles": {"default": role}}).status_code == 201
    return server


@pytest.fixture
def client(house, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "cora")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    return mlflow.MlflowClient(house.url)


def lines(caller, path, **params):
    answer = caller.api("GET", path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def acts(answer):
    return [(line["actor"], line["action"], line["body"]) for line in reversed(answer["lines"])]


def test_every_change_of_a_model_is_told(house, client):
    client.create_registered_model("digits", tags={"team": "vision"})
    client.create_registered_model("digits2")  # a name that begins alike is another model
    for _ in range(3):
        client.create_model_version("digits", "s3://bucket/x")
    client.set_registered_model_alias("digits", "champion", "1")
    client.set_registered_model_alias("digits", "champion", "2")
    client.delete_registered_model_alias("digits", "champion")
    client.set_model_version_tag("digits", "2", "checked", "yes")
    client.transition_model_version_stage("digits", "1", "Production")
    client.transition_model_version_stage("digits", "2", "Production", archive_existing_versions=True)
    client.delete_model_version("digits", "3")
    vera = user(house, "vera")
    told = acts(lines(vera, "/models/digits/audit"))
    assert {actor for actor, _, _ in told} == {"user:cora"}
    assert [(action, {k: body[k] for k in ("alias", "previous", "stage", "key", "value") if k in body}) for _, action, body in told] == [
        ("registered_model.created", {}), *[("model_version.created", {})] * 3,
        ("alias.set", {"alias": "champion"}), ("alias.set", {"alias": "champion", "previous": "1"}), ("alias.deleted", {"alias": "champion"}),
        ("model_version.tagged", {"key": "checked", "value": "yes"}),
        ("model_version.staged", {"stage": "Production", "previous": "None"}),
        ("model_version.staged", {"stage": "Archived", "previous": "Production"}),  # version 1, by the same act
        ("model_version.staged", {"stage": "Production", "previous": "None"}), ("model_version.deleted", {}),
    ]
    # In pages, by whom and what; each line once.
    paged, after = [], {}
    while True:
        page = lines(vera, "/models/digits/audit", limit=5, **after)
        paged += page["lines"]
        if "next" not in page:
            break
        after = {"after": page["next"]}
    assert [line["id"] for line in paged] == [line["id"] for line in lines(vera, "/models/digits/audit")["lines"]]
    assert len(lines(vera, "/models/digits/audit", kind="alias")["lines"]) == 3
    assert lines(vera, "/models/digits/audit", actor="user:ann")["lines"] == []
    # A new name takes its past with it.
    client.rename_registered_model("digits", "numbers")
    assert acts(lines(vera, "/models/numbers/audit"))[:-1] == told
    assert vera.api("GET", "/models/digits/audit").status_code == 404
    assert vera.api("GET", "/models/numbers/audit", params={"after": "x"}).status_code == 400


def test_all_models_are_the_administrators_one_is_its_readers(house, client):
    client.create_registered_model("digits")
    client.create_registered_model("secret")
    ann, vera, otto = (user(house, name) for name in ("ann", "vera", "otto"))
    every = lines(ann, "/audit", about="models")["lines"]
    assert [line["subject"]["id"] for line in every] == ["secret", "digits"]
    assert [line["subject"]["id"] for line in lines(ann, "/audit", model="digits")["lines"]] == ["digits"]
    assert any(line["action"] == "user.added" for line in lines(ann, "/audit")["lines"])
    assert vera.api("GET", "/audit", params={"about": "models"}).status_code == 403
    wrong = ann.api("GET", "/audit", params={"about": "nothing"})
    assert wrong.status_code == 400 and "allowed: models" in wrong.json()["error"]["message"]
    assert otto.api("GET", "/models/secret/audit").status_code == 200
    grant = {"name": "secret", "username": "otto", "permission": "NO_PERMISSIONS"}
    assert ann("POST", V2 + "registered-models/permissions/create", json=grant).ok
    time.sleep(1)
    assert otto.api("GET", "/models/secret/audit").status_code == 403
    assert otto.api("GET", "/models/digits/audit").status_code == 200


def test_a_contributor_reads_the_project_until_something_is_hidden_from_him(house):
    """What the pages ask for is about everything: open to whoever may read everything."""
    ann, cora = user(house, "ann"), user(house, "cora")
    me = cora.api("GET", "/me").json()
    assert me["by_resource"] and me["creates"] and me["reads_project"] and me["permissions"] == ["read"]
    reads = [r["pattern"].removeprefix("/api/lathe/v1") for r in ann.api("GET", "/routes").json()["routes"]
             if r["protocol"] == "lathe" and r["method"] == "GET" and r["permission"] == "read" and "{" not in r["pattern"] and not r["pattern"].endswith(("/events", "/attempts/self"))]
    assert len(reads) > 25
    assert [path for path in reads if cora.api("GET", path).status_code == 403] == []
    for method, path in (("POST", "/pipelines/x/runs"), ("POST", "/endpoints/x/rollback"), ("PUT", "/endpoints/x/traffic"), ("POST", "/feedback")):
        assert cora.api(method, path, json={}).status_code == 403, path
    vera = user(house, "vera").api("GET", "/me").json()
    assert not vera["by_resource"] and not vera["creates"] and vera["reads_project"]
    hidden = ann("POST", V2 + "experiments/create", json={"name": "hidden" + uuid.uuid4().hex[:6]}).json()["experiment_id"]
    assert ann("POST", V2 + "experiments/permissions/create", json={"experiment_id": hidden, "username": "cora", "permission": "NO_PERMISSIONS"}).ok
    time.sleep(1)  # by then what is taken back is gone everywhere
    refused = cora.api("GET", "/pages/runs")
    assert refused.status_code == 403 and "by experiment and model" in refused.json()["error"]["message"]
    assert not cora.api("GET", "/me").json()["reads_project"]

"""Webhooks: the stock client makes them, a real receiver gets them, upstream's own code checks the signatures.

With LATHE_TEST_MLFLOW_SERVER=URL, a real `mlflow server` of one worker that runs with the variables of OPEN and
MLFLOW_WEBHOOK_CACHE_TTL=0, what a client sees is asked of it too, and must agree."""
import os
import threading
import time
import uuid

import mlflow
import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities.webhook import WebhookEvent
from mlflow.exceptions import MlflowException

from lathe_server import clean_environment
from people import add_user, user
from receiver import Receiver, signature_is_good

OPEN = {"MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true"}


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(scope="module", params=["lathe", "mlflow"])
def tracking(request, start_module_server):
    """The address of a server that may reach this machine."""
    if request.param == "mlflow" and not os.environ.get("LATHE_TEST_MLFLOW_SERVER"):
        pytest.skip("LATHE_TEST_MLFLOW_SERVER is not set")
    return start_module_server(env=OPEN).url if request.param == "lathe" else os.environ["LATHE_TEST_MLFLOW_SERVER"]


@pytest.fixture
def client(tracking, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)
    mlflow.set_tracking_uri(tracking)
    made = MlflowClient(tracking)
    yield made
    while hooks := made.list_webhooks():
        for hook in hooks:
            made.delete_webhook(hook.webhook_id)


def name_of(what):
    return f"{what}-{uuid.uuid4().hex[:8]}"


# --- what a client sees: the same from both servers -----------------------------------------------------------------


def test_a_webhooks_life(client):
    hook = client.create_webhook("a.b", "http://example.org/x", ["registered_model.created", "prompt_tag.set"], "text", "s3cret", "ACTIVE")
    assert uuid.UUID(hook.webhook_id).version == 4
    assert (hook.name, hook.url, hook.description, hook.status) == ("a.b", "http://example.org/x", "text", "ACTIVE")
    assert sorted(map(str, hook.events)) == ["prompt_tag.set", "registered_model.created"]
    assert hook.secret is None and hook.creation_timestamp == hook.last_updated_timestamp
    assert client.get_webhook(hook.webhook_id).name == "a.b"
    plain = client.create_webhook("plain", "http://example.org", ["model_version.created"])
    assert plain.description is None and plain.status == "ACTIVE"
    changed = client.update_webhook(hook.webhook_id, name="c", description="", url="https://example.org/y",
                                    events=["model_version_alias.deleted"], secret="", status="DISABLED")
    assert (changed.name, changed.url, changed.status) == ("c", "https://example.org/y", "DISABLED")
    assert list(map(str, changed.events)) == ["model_version_alias.deleted"]
    assert client.update_webhook(hook.webhook_id).name == "c"
    assert {h.webhook_id for h in client.list_webhooks()} == {hook.webhook_id, plain.webhook_id}
    client.delete_webhook(hook.webhook_id)
    with pytest.raises(MlflowException, match=f"Webhook with ID {hook.webhook_id} not found.") as gone:
        client.get_webhook(hook.webhook_id)
    assert gone.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    with pytest.raises(MlflowException, match="not found"):
        client.update_webhook(hook.webhook_id, name="x")
    with pytest.raises(MlflowException, match="not found"):
        client.delete_webhook(hook.webhook_id)


def test_pages(client):
    for i in range(5):
        client.create_webhook(f"h{i}", "http://example.org", ["model_version.created"])
        time.sleep(0.002)
    seen, token = [], None
    while True:
        page = client.list_webhooks(max_results=2, page_token=token)
        seen += [h.name for h in page]
        token = page.token
        if not token:
            break
    assert seen == ["h4", "h3", "h2", "h1", "h0"]


def test_names_may_be_taken_twice(client):
    client.create_webhook("same", "http://example.org", ["model_version.created"])
    client.create_webhook("same", "http://example.org", ["model_version.created"])


BAD = [
    ({"name": "-a"}, "Webhook name '-a' is invalid"),
    ({"name": "a" * 64}, "is invalid"),
    ({"name": ""}, "Missing value for required parameter 'name'"),
    ({"url": "   "}, "cannot be empty"),
    ({"url": "ftp://example.org"}, "Invalid webhook URL scheme: 'ftp'. Allowed schemes are: http, https."),
    ({"url": "http://"}, "must include a hostname"),
    ({"url": "example.org"}, "Invalid webhook URL scheme: ''"),
    ({"events": []}, ""),
    ({"events": [{"entity": "REGISTERED_MODEL", "action": "DELETED"}]}, r"Invalid action 'deleted' for entity 'registered_model'. Valid actions are: \['created'\]"),
    ({"events": [{"entity": "MODEL_VERSION_TAG", "action": "CREATED"}]}, r"Valid actions are: \['deleted', 'set'\]"),
    ({"name": 5}, "name"),
    ({"events": "x"}, "events"),
]


@pytest.mark.parametrize("change, message", BAD, ids=[str(c)[:60] for c, _ in BAD])
def test_bad_requests(tracking, http, change, message):
    body = {"name": "ok", "url": "http://example.org", "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}], **change}
    answer = http.post(tracking + "/api/2.0/mlflow/webhooks", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    import re
    assert re.search(message, answer.json()["message"]), answer.text


def test_every_event_of_the_registry(client, tracking, receiver):
    kinds = ["registered_model.created", "model_version.created", "model_version_tag.set", "model_version_tag.deleted",
             "model_version_alias.created", "model_version_alias.deleted", "prompt.created", "prompt_version.created", "prompt_tag.set",
             "prompt_tag.deleted", "prompt_version_tag.set", "prompt_version_tag.deleted", "prompt_alias.created", "prompt_alias.deleted"]
    client.create_webhook("all", receiver.url, kinds, secret="s3cret")
    model, prompt = name_of("model"), name_of("prompt")
    client.create_registered_model(model, {"a": "1"}, "words")
    run = client.create_run("0").info.run_id
    client.create_model_version(model, f"runs:/{run}/m", run, {"t": "2"}, description="of the version")
    client.set_model_version_tag(model, "1", "k", "v" * 3000)  # longer than what an event carries
    client.delete_model_version_tag(model, "1", "k")
    client.set_registered_model_alias(model, "best", "1")
    client.delete_registered_model_alias(model, "best")
    client.set_registered_model_tag(model, "not", "told")
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    for path, body in (("registered-models/create", {"tags": [*tags, {"key": "x", "value": "y"}]}),
                       ("model-versions/create", {"source": "dummy-source", "tags": [
                           *tags, {"key": "mlflow.prompt.text", "value": "Hi {{who}}"}, {"key": "z", "value": "1"}]})):
        answer = requests.post(f"{tracking}/api/2.0/mlflow/{path}", json={"name": prompt, **body})
        assert answer.ok, answer.text
    for method, path, body in (  # the client has other calls for prompts, which end up here
            ("POST", "registered-models/set-tag", {"key": "pk", "value": "pv"}), ("DELETE", "registered-models/delete-tag", {"key": "pk"}),
            ("POST", "model-versions/set-tag", {"version": "1", "key": "vk", "value": "vv"}),
            ("DELETE", "model-versions/delete-tag", {"version": "1", "key": "vk"}),
            ("POST", "registered-models/alias", {"alias": "prod", "version": "1"}), ("DELETE", "registered-models/alias", {"alias": "prod"})):
        answer = requests.request(method, f"{tracking}/api/2.0/mlflow/{path}", json={"name": prompt, **body})
        assert answer.ok, answer.text
    receiver.wait(14)
    got = {f'{b["entity"]}.{b["action"]}': b["data"] for b in receiver.bodies()}
    assert sorted(got) == sorted(kinds)
    assert got["registered_model.created"] == {"name": model, "tags": {"a": "1"}, "description": "words"}
    version = got["model_version.created"]
    assert version.pop("source").endswith("/m")
    assert version == {"name": model, "version": "1", "run_id": run, "tags": {"t": "2"}, "description": "of the version"}
    assert got["model_version_tag.set"]["key"] == "k"
    assert got["model_version_tag.deleted"] == {"name": model, "version": "1", "key": "k"}
    assert got["model_version_alias.created"] == {"name": model, "alias": "best", "version": "1"}
    assert got["model_version_alias.deleted"] == {"name": model, "alias": "best"}
    assert got["prompt.created"] == {"name": prompt, "tags": {"x": "y"}, "description": ""}
    assert got["prompt_version.created"] == {"name": prompt, "version": "1", "template": "Hi {{who}}", "tags": {"z": "1"}, "description": None}
    assert got["prompt_tag.set"] == {"name": prompt, "key": "pk", "value": "pv"}
    assert got["prompt_tag.deleted"] == {"name": prompt, "key": "pk"}
    assert got["prompt_version_tag.set"] == {"name": prompt, "version": "1", "key": "vk", "value": "vv"}
    assert got["prompt_version_tag.deleted"] == {"name": prompt, "version": "1", "key": "vk"}
    assert got["prompt_alias.created"] == {"name": prompt, "alias": "prod", "version": "1"}
    assert got["prompt_alias.deleted"] == {"name": prompt, "alias": "prod"}
    for path, headers, body in receiver.requests:
        assert path == "/hook" and headers["Content-Type"] == "application/json"
        assert signature_is_good(headers, body, "s3cret")
        assert not signature_is_good(headers, body, "another")
    assert len({h["X-MLflow-Delivery-Id"] for _, h, _ in receiver.requests}) == 14


def test_without_a_secret_nothing_is_signed(client, receiver):
    client.create_webhook("bare", receiver.url, ["registered_model.created"])
    client.create_webhook("off", receiver.url, ["registered_model.created"], status="DISABLED")
    client.create_registered_model(name_of("m"))
    (_, headers, _), = receiver.wait(1)
    assert "X-MLflow-Signature" not in headers and uuid.UUID(headers["X-MLflow-Delivery-Id"])
    time.sleep(0.5)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("kind", ["registered_model.created", "model_version.created", "model_version_tag.set", "model_version_tag.deleted",
                                  "model_version_alias.created", "model_version_alias.deleted", "prompt.created", "prompt_version.created",
                                  "prompt_tag.set", "prompt_tag.deleted", "prompt_version_tag.set", "prompt_version_tag.deleted",
                                  "prompt_alias.created", "prompt_alias.deleted", "budget_policy.exceeded"])
def test_a_test_sends_upstreams_example(client, receiver, kind):
    from mlflow.webhooks.types import get_example_payload_for_event

    hook = client.create_webhook("t", receiver.url, [kind], secret="s3cret", status="DISABLED")
    result = client.test_webhook(hook.webhook_id)
    assert (result.success, result.response_status, result.response_body, result.error_message) == (True, 200, "ok", None)
    (_, headers, body), = receiver.requests
    assert signature_is_good(headers, body, "s3cret")
    assert receiver.bodies()[0]["data"] == get_example_payload_for_event(WebhookEvent.from_str(kind))


def test_a_test_that_fails_says_why(client, receiver):
    hook = client.create_webhook("t", receiver.url, ["model_version.created"])
    receiver.answers = [(404, {})]
    result = client.test_webhook(hook.webhook_id, event="prompt.created")
    assert (result.success, result.response_status) == (False, 404)
    assert receiver.bodies()[0]["entity"] == "prompt"
    gone = client.create_webhook("g", "http://127.0.0.1:9/x", ["model_version.created"])
    if "mlflow" not in os.environ.get("PYTEST_CURRENT_TEST", ""):  # upstream tries for half a minute
        result = client.test_webhook(gone.webhook_id)
        assert not result.success and "Failed to test webhook" in result.error_message


# --- what only Lathe promises ---------------------------------------------------------------------------------------


class Ours:
    """A server of the test's own with one hook to a receiver."""

    def __init__(self, server, receiver, **hook):
        self.server, self.receiver = server, receiver
        self.client = MlflowClient(server.url)
        self.hook = self.client.create_webhook("h", receiver.url, ["registered_model.created"], **hook)

    def fire(self):
        self.client = MlflowClient(self.server.url)
        self.client.create_registered_model(name_of("m"))

    def deliveries(self, **query):
        return requests.get(self.server.api("/webhooks/deliveries"), params=query).json()["deliveries"]

    def wait_for(self, state, count=1, seconds=30):
        until = time.monotonic() + seconds
        while len(found := self.deliveries(state=state)) < count:
            assert time.monotonic() < until, self.deliveries()
            time.sleep(0.02)
        return found


def test_a_secret_is_never_told(start_server, receiver):
    server = start_server(env=OPEN)
    ours = Ours(server, receiver, secret="open-sesame-7391")
    hook = ours.hook.webhook_id
    ours.fire()
    ours.wait_for("delivered")
    for path in ("/api/2.0/mlflow/webhooks", f"/api/2.0/mlflow/webhooks/{hook}", "/api/lathe/v1/webhooks", "/api/lathe/v1/audit",
                 "/api/lathe/v1/events", "/api/lathe/v1/webhooks/deliveries"):
        answer = requests.get(server.url + path)
        assert answer.ok and "sesame" not in answer.text, path
    server.stop()
    for file in server.dir.rglob("*"):
        assert not file.is_file() or b"sesame" not in file.read_bytes(), file
    assert "sesame" not in server.log()
    key = server.dir / "webhooks.key"
    assert key.stat().st_mode & 0o777 == 0o600
    server.start()
    ours.fire()
    receiver.wait(2)
    assert all(signature_is_good(headers, body, "open-sesame-7391") for _, headers, body in receiver.requests)


def test_a_failed_delivery_is_tried_again_and_its_id_stays(start_server, receiver):
    ours = Ours(start_server(env=OPEN), receiver, secret="s")
    receiver.answers = [(503, {}), (429, {"Retry-After": "3"})]
    began = time.monotonic()
    ours.fire()
    receiver.wait(3)
    assert time.monotonic() - began > 1 + 3  # a second, and what the receiver asked for
    assert len({h["X-MLflow-Delivery-Id"] for _, h, _ in receiver.requests}) == 1
    assert len({body for _, _, body in receiver.requests}) == 1
    assert all(signature_is_good(headers, body, "s") for _, headers, body in receiver.requests)
    done, = ours.wait_for("delivered")
    assert (done["attempts"], done["status"], done["webhook_name"], done["event"]) == (3, 200, "h", "registered_model.created")


def test_what_is_given_up_is_a_dead_letter_that_can_be_sent_again(start_server, receiver):
    ours = Ours(start_server(env={**OPEN, "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "1"}), receiver)
    receiver.answers = [(500, {}), (500, {}), (400, {}), (302, {"Location": receiver.url + "/elsewhere"})]
    ours.fire()
    ours.wait_for("dead", 1)
    ours.fire()
    ours.wait_for("dead", 2)
    ours.fire()
    dead = ours.wait_for("dead", 3)
    assert [(d["attempts"], d["status"], d["error"]) for d in dead] == [
        (1, 302, "HTTP 302: redirects are not followed"), (1, 400, "HTTP 400: ok"), (2, 500, "HTTP 500: ok")]
    assert {path for path, _, _ in receiver.requests} == {"/hook"}
    one = requests.get(ours.server.api("/webhooks/deliveries/" + dead[2]["id"])).json()
    assert one["body"]["entity"] == "registered_model"
    again = requests.post(ours.server.api(f"/webhooks/deliveries/{dead[2]['id']}/send"))
    assert again.status_code == 202, again.text
    ours.wait_for("delivered")
    assert receiver.requests[-1][1]["X-MLflow-Delivery-Id"] == dead[2]["id"]
    refused = requests.post(ours.server.api(f"/webhooks/deliveries/{dead[2]['id']}/send"))
    assert refused.status_code == 409 and "only a dead one" in refused.text
    counts = requests.get(ours.server.api("/webhooks")).json()["webhooks"][0]["deliveries"]
    assert counts == {"waiting": 0, "delivered": 1, "dead": 2}
    pages = requests.get(ours.server.api("/webhooks/deliveries"), params={"limit": 2}).json()
    rest = requests.get(ours.server.api("/webhooks/deliveries"), params={"limit": 2, "after": pages["next"]}).json()
    assert len(pages["deliveries"]) == 2 and len(rest["deliveries"]) == 1 and rest["next"] is None


def test_a_killed_server_delivers_what_was_due(start_server, receiver):
    server = start_server(env=OPEN)
    ours = Ours(server, receiver)
    receiver.hold = threading.Event()
    ours.fire()
    receiver.wait(1)  # it is being posted
    ours.fire()
    server.kill()
    receiver.hold.set()
    receiver.hold = None
    server.start()
    ours.wait_for("delivered", 2)
    ids = [h["X-MLflow-Delivery-Id"] for _, h, _ in receiver.requests]
    assert len(set(ids)) == 2 and ids.count(ids[0]) == 2, ids  # at least once, under its own id


def test_a_server_stops_at_once_while_a_receiver_sleeps(start_server, receiver):
    server = start_server(env=OPEN)
    ours = Ours(server, receiver)
    receiver.hold = threading.Event()
    ours.fire()
    receiver.wait(1)
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 5
    receiver.hold.set()
    receiver.hold = None
    server.start()
    ours.wait_for("delivered")


def test_a_slow_receiver_holds_nobody_up(start_server, receiver):
    server = start_server(env=OPEN)
    slow, ours = Receiver(), Ours(server, receiver)
    slow.hold = threading.Event()
    for i in range(3):
        ours.client.create_webhook(f"slow{i}", slow.url, ["registered_model.created"])
    for _ in range(20):
        ours.fire()
    receiver.wait(20, seconds=10)
    assert len(slow.requests) <= 6  # two of each
    slow.close()


PRIVATE = ["http://localhost/x", "http://127.0.0.1/x", "http://127.1/x", "http://0/", "http://2130706433/", "http://0x7f000001/",
           "http://[::1]/x", "http://[::ffff:127.0.0.1]/x", "http://[::ffff:169.254.169.254]/", "http://169.254.169.254/latest/meta-data",
           "http://10.0.0.1/", "http://172.16.0.1/", "http://192.168.0.1/", "http://100.64.0.1/", "http://[fd00::1]/", "http://[fe80::1]/",
           "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://user:pw@127.0.0.1/", "http://0.0.0.0/", "http://224.0.0.1/"]


def test_private_addresses_are_refused_at_the_door(start_server, http):
    server = start_server(env={"MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https"})
    for url in PRIVATE:
        for path, events in (("/api/2.0/mlflow/webhooks", [{"entity": "PROMPT", "action": "CREATED"}]),
                             ("/api/lathe/v1/webhooks", ["alert.raised"])):
            answer = http.post(server.url + path, json={"name": "x", "url": url, "events": events})
            assert answer.status_code == 400, (url, answer.text)
            assert "non-public" in answer.text or "Cannot resolve" in answer.text, (url, answer.text)
    https_only = start_server()
    answer = http.post(https_only.url + "/api/2.0/mlflow/webhooks",
                       json={"name": "x", "url": "http://example.org", "events": [{"entity": "PROMPT", "action": "CREATED"}]})
    assert answer.status_code == 400 and "Allowed schemes are: https." in answer.text


def test_private_addresses_are_refused_at_the_connection(start_server, receiver):
    """A name that was public when the hook was made may lead home later: here, the permission went instead."""
    server = start_server(env=OPEN)
    ours = Ours(server, receiver)
    local = ours.client.create_webhook("l", receiver.url.replace("127.0.0.1", "localhost"), ["registered_model.created"])
    server.stop()
    server.env = clean_environment(MLFLOW_WEBHOOK_ALLOWED_SCHEMES="http", http_proxy=receiver.url, HTTP_PROXY=receiver.url, all_proxy=receiver.url)
    server.start()
    ours.fire()
    dead = ours.wait_for("dead", 2)
    assert all("not a public IP address" in d["error"] and d["attempts"] == 1 for d in dead)
    result = ours.client.test_webhook(local.webhook_id)
    assert not result.success and "not a public IP address" in result.error_message
    assert receiver.requests == []


def test_who_may(start_server, http):
    server = start_server(env=OPEN)
    add_user(server.home, "root", env={"LATHE_SERVER": server.url})  # the first one is an administrator
    for name, role in (("edda", "default:editor"), ("adam", "default:admin"), ("olga", "other:admin")):
        if name == "olga":
            assert requests.post(server.api("/projects"), json={"name": "other"}).ok
        add_user(server.home, name, "--role", role, env={"LATHE_SERVER": server.url})
    body = {"name": "x", "url": "http://example.org", "events": [{"entity": "PROMPT", "action": "CREATED"}]}
    adam, edda, olga = user(server, "adam"), user(server, "edda"), user(server, "olga", "other")
    made = adam("POST", "/api/2.0/mlflow/webhooks", json=body)
    assert made.status_code == 200, made.text
    hook = made.json()["webhook"]["webhook_id"]
    for method, path in (("GET", "webhooks"), ("GET", f"webhooks/{hook}"), ("PATCH", f"webhooks/{hook}"), ("DELETE", f"webhooks/{hook}"),
                         ("POST", f"webhooks/{hook}/test"), ("POST", "webhooks")):
        answer = edda(method, "/api/2.0/mlflow/" + path, json=body)
        assert answer.status_code == 403 and hook not in answer.text.replace(path, ""), (method, path, answer.text)
        for prefix in ("/ajax-api/2.0/mlflow/", "/api/3.0/mlflow/"):
            assert edda(method, prefix + path, json=body).status_code == 403
    assert edda.api("GET", "/webhooks").status_code == 403 and edda.api("GET", "/webhooks/deliveries").status_code == 403
    assert olga("GET", "/api/2.0/mlflow/webhooks").json() == {}
    for method, path in (("GET", f"webhooks/{hook}"), ("PATCH", f"webhooks/{hook}"), ("DELETE", f"webhooks/{hook}"), ("POST", f"webhooks/{hook}/test")):
        assert olga(method, "/api/2.0/mlflow/" + path, json={"name": "mine"}).status_code == 404
    assert adam("GET", f"/api/2.0/mlflow/webhooks/{hook}").json()["webhook"]["name"] == "x"


def test_lathes_own_events(start_server, receiver, http):
    server = start_server(env=OPEN)
    made = http.post(server.api("/webhooks"), json={"name": "own", "url": receiver.url, "events": ["alert.raised", "endpoint.promoted"]})
    assert made.status_code == 201, made.text
    assert MlflowClient(server.url).list_webhooks() == []  # its clients do not know these events
    assert http.patch(server.api(f"/webhooks/{made.json()['id']}"), json={"events": ["alert.ended", "prompt.created"]}).ok
    listed, = MlflowClient(server.url).list_webhooks()
    assert list(map(str, listed.events)) == ["prompt.created"]
    bad = http.post(server.api("/webhooks"), json={"name": "own", "url": receiver.url, "events": ["alert.rung"]})
    assert bad.status_code == 400 and "allowed: registered_model.created" in bad.text
    assert http.delete(server.api(f"/webhooks/{made.json()['id']}")).status_code == 204

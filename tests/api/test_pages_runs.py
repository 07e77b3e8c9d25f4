"""What the browser's pages about runs ask for; the writer is the stock client."""
import csv
import io
import itertools
import math

import mlflow
import pytest
from mlflow.entities import Metric, Param, RunTag

COUNT = itertools.count()


@pytest.fixture(scope="module")
def client(server):
    return mlflow.MlflowClient(server.url)


@pytest.fixture
def experiment(client):
    return client.create_experiment(f"pages-{next(COUNT)}")


@pytest.fixture
def page(server, http):
    def get(path, status=200, **params):
        answer = http.get(server.api("/pages" + path), params=params)
        assert answer.status_code == status, (path, params, answer.status_code, answer.text[:400])
        return answer.json()

    return get


def make_run(client, experiment, start_ms, metrics=None, params=None, tags=None, name=None):
    run = client.create_run(experiment, start_time=start_ms, run_name=name).info.run_id
    client.log_batch(run, metrics=[Metric(k, v, start_ms, 0) for k, v in (metrics or {}).items()],
                     params=[Param(k, str(v)) for k, v in (params or {}).items()],
                     tags=[RunTag(k, v) for k, v in (tags or {}).items()])
    return run


def all_pages(page, path, **params):
    rows, after = [], {}
    for _ in range(100):
        got = page(path, **params, **after)
        rows += got["rows"]
        if "next" not in got:
            return rows
        after = {"after": got["next"], "until": got["until"]}
    raise AssertionError("the list has no end")


def test_windows_hold_the_columns_that_were_asked_for(client, experiment, page):
    made = [make_run(client, experiment, 1000 + i, {"loss": i / 10, "other": 1}, {"lr": i}, {"who": f"u{i}"}) for i in range(7)]
    got = page("/runs", exp=experiment, col=["metrics.loss", "params.lr", "tags.who", "metrics.absent"], limit=5)
    assert [r["id"] for r in got["rows"]] == made[:1:-1]
    assert got["rows"][0]["cells"] == [0.6, "6", "u6", None]
    assert got["columns"] == ["metrics.loss", "params.lr", "tags.who", "metrics.absent"]
    rest = page("/runs", exp=experiment, col="params.lr", limit=5, after=got["next"])
    assert [r["cells"] for r in rest["rows"]] == [["1"], ["0"]] and "next" not in rest
    assert page("/runs/count", exp=experiment) == {"count": 7, "at_least": False}


def test_without_a_choice_the_usual_columns_come(client, experiment, page):
    make_run(client, experiment, 1, {"system/cpu": 1, "zz": 1, "val_accuracy": 0.5}, {"lr": 1})
    assert page("/runs", exp=experiment)["columns"] == ["metrics.val_accuracy", "metrics.zz", "params.lr"]


@pytest.mark.parametrize("sort", [None, "metrics.a DESC", "metrics.a ASC", "start_time ASC", "params.p ASC", "max(metrics.a) DESC"])
@pytest.mark.parametrize("filter", ["", "metrics.a > 0.2", "params.p = '1' OR metrics.a <= 0.5"])
def test_windows_of_several_experiments_join_to_one_list(client, page, sort, filter):
    exps = [client.create_experiment(f"join-{next(COUNT)}") for _ in range(3)]
    for i in range(23):
        metrics = {} if i % 7 == 0 else {"a": math.nan if i % 6 == 0 else (i * 37 % 11) / 10}
        make_run(client, exps[i % 3], 1000 + i % 5, metrics, {"p": i % 4})
    query = {"exp": exps, "q": filter, "col": ["metrics.a", "params.p"], **({"sort": sort} if sort else {})}
    whole = page("/runs", **query, limit=100)["rows"]
    count = page("/runs/count", exp=exps, q=filter)["count"]
    assert len(whole) == count == len({r["id"] for r in whole})
    assert all_pages(page, "/runs", **query, limit=4) == whole
    for offset in (0, 3, 11, 22, 40):
        assert page("/runs", **query, limit=4, offset=offset)["rows"] == whole[offset:offset + 4]
    if sort and "metrics" in sort:
        numbers = [r["cells"][0] for r in whole if isinstance(r["cells"][0], float)]
        assert numbers == sorted(numbers, reverse="DESC" in sort)
        kinds = [0 if isinstance(r["cells"][0], (int, float)) else 1 if r["cells"][0] == "NaN" else 2 for r in whole]
        assert "max" in sort or kinds == sorted(kinds)  # values, NaN, none


def test_best_values_need_no_history(client, experiment, page):
    run = client.create_run(experiment).info.run_id
    for step, value in enumerate([0.5, 0.9, math.nan, 0.2, 0.7]):
        client.log_metric(run, "acc", value, step=step)
    client.log_metric(run, "acc", 0.1, step=1)  # late, older, and the least
    client.log_metric(run, "acc", 0.95, step=2)
    client.log_metric(run, "only_nan", math.nan)
    got = page("/runs", exp=experiment, col=["metrics.acc", "min(metrics.acc)", "max(metrics.acc)", "min(metrics.only_nan)"])
    assert got["rows"][0]["cells"] == [0.7, 0.1, 0.95, None]
    metrics = {m["key"]: m for m in page(f"/runs/{run}")["metrics"]}
    assert (metrics["acc"]["last"], metrics["acc"]["min"], metrics["acc"]["max"], metrics["acc"]["step"]) == (0.7, 0.1, 0.95, 4)
    assert metrics["only_nan"]["last"] == "NaN" and metrics["only_nan"]["min"] is None


def test_a_list_stays_while_new_runs_come(client, experiment, page):
    first = make_run(client, experiment, 1)
    head = page("/runs", exp=experiment)
    late = [make_run(client, experiment, 2 + i) for i in range(3)]
    assert [r["id"] for r in page("/runs", exp=experiment, until=head["until"])["rows"]] == [first]
    assert page("/runs/count", exp=experiment, above=head["until"])["count"] == 3
    assert [r["id"] for r in page("/runs", exp=experiment)["rows"]] == late[::-1] + [first]


@pytest.mark.parametrize("filter, at", [("metrics.a >", 11), ("metrics.a > 1 AND AND", 18), ("metric.a > 1 ; x", 13),
                                        ("nonsense.x = 1", 0), ("params.ü = 'ü' !", 15)])
def test_a_wrong_filter_is_marked_where_it_is_wrong(page, experiment, filter, at):
    error = page("/runs", status=400, exp=experiment, q=filter)["error"]
    assert error["code"] == "invalid" and error["at"] == at, error
    assert page("/runs/count", status=400, exp=experiment, q=filter)["error"]["at"] == at


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 501}, {"limit": "x"}, {"offset": -1}, {"sort": "nothing"}, {"after": "x"},
                                    {"col": "metrics"}, {"col": "min(params.a)"}, {"col": "attributes.status"}, {"exp": "x"},
                                    {"view": "some"}, {"col": ["metrics.a"] * 101}])
def test_bad_parameters_are_told(page, params):
    assert page("/runs", status=400, **params)["error"]["message"]


def test_names_and_values_to_choose_from(client, experiment, page):
    for i in range(3):
        make_run(client, experiment, i, {"val_loss": 1, "LOSS_100": 2}, {"opt": ["adam", "sgd", "adam"][i]}, {"team": "a"})
    assert page("/runs/keys", exp=experiment, kind="metric", contains="loss")["keys"] == ["LOSS_100", "val_loss"]
    assert page("/runs/keys", exp=experiment, kind="metric", contains="S_1")["keys"] == ["LOSS_100"]
    assert page("/runs/keys", exp=experiment, kind="param")["keys"] == ["opt"]
    assert page("/runs/values", exp=experiment, kind="param", key="opt")["values"] == ["adam", "sgd"]
    assert page("/runs/values", exp=experiment, kind="param", key="opt", contains="SG")["values"] == ["sgd"]
    assert page("/runs/values", status=400, exp=experiment, kind="metric", key="val_loss")
    assert page("/runs/keys", status=400, kind="colour")


def test_csv_is_the_list(server, http, client, experiment):
    ids = [make_run(client, experiment, i, {"a": i + 0.5}, {"p": 'say "hi", twice'}) for i in range(3)]
    url = server.api("/pages/runs.csv")
    rows = list(csv.DictReader(io.StringIO(http.get(url, params={"exp": experiment, "col": ["metrics.a", "params.p"], "sort": "metrics.a ASC"}).text)))
    assert [(r["run_id"], r["metrics.a"], r["params.p"]) for r in rows] == [(ids[i], str(i + 0.5), 'say "hi", twice') for i in range(3)]
    some = http.get(url, params={"id": [ids[2], "0" * 32, ids[0]], "col": "metrics.a"})
    assert [r["run_id"] for r in csv.DictReader(io.StringIO(some.text))] == [ids[2], ids[0]]
    assert "attachment" in some.headers["Content-Disposition"]


def test_curves_keep_every_outlier_and_smoothing_does_not_depend_on_the_zoom(client, experiment, page):
    run = client.create_run(experiment).info.run_id
    points = [Metric("loss", 1 + (i % 10) / 10, 1000 + i, i) for i in range(5000)]
    points[3333] = Metric("loss", 99.0, 4333, 3333)
    points[1234] = Metric("loss", -7.0, 2234, 1234)
    for at in range(0, 5000, 1000):
        client.log_batch(run, metrics=points[at:at + 1000])
    [curve] = page("/runs/curves", run=run, key="loss", pixels=200)["curves"]
    assert curve["total"] == 5000 and curve["sampled"] and len(curve["value"]) <= 400
    assert max(curve["value"]) == 99 and min(curve["value"]) == -7
    assert curve["step"][curve["value"].index(99)] == 3333 and curve["step"] == sorted(curve["step"])
    [zoomed] = page("/runs/curves", run=run, key="loss", pixels=200, smooth=0.9, **{"from": 3300, "to": 3400})["curves"]
    assert zoomed["total"] == 101 and not zoomed["sampled"] and len(zoomed["value"]) == 101
    [closer] = page("/runs/curves", run=run, key="loss", pixels=200, smooth=0.9, **{"from": 3330, "to": 3340})["curves"]
    assert closer["smooth"] == zoomed["smooth"][30:41]
    average, weight = 0.0, 0.0
    for point in points[:3341]:
        average, weight = 0.9 * average + 0.1 * point.value, 0.9 * weight + 0.1
    assert closer["smooth"][-1] == pytest.approx(average / weight, rel=1e-6)


def test_curves_mark_gaps_and_follow_the_axis(client, experiment, page):
    run = client.create_run(experiment).info.run_id
    for step, (value, at) in enumerate([(1.0, 50), (math.nan, 40), (math.inf, 30), (4.0, 20)]):
        client.log_metric(run, "m", value, timestamp=at, step=step)
    [curve] = page("/runs/curves", run=[run, "0" * 32], key=["m", "absent"])["curves"]
    assert curve["step"] == [0, 1, 2, 3] and curve["value"][1] is None and curve["nans"] == 1
    assert curve["value"][2] > 3e38
    [by_time] = page("/runs/curves", run=run, key="m", axis="time")["curves"]
    assert by_time["at_ms"] == [20, 30, 40, 50]
    for wrong in ({"run": run}, {"run": run, "key": "m", "pixels": 0}, {"run": run, "key": "m", "smooth": 1},
                  {"run": [run] * 26, "key": ["m"] * 20}, {"run": run, "key": "m", "axis": "mood"}):
        page("/runs/curves", status=400, **wrong)


def test_a_run_page_is_one_request(client, experiment, page):
    parent = make_run(client, experiment, 1, name="parent")
    run = make_run(client, experiment, 2, {"a": 1}, {"lr": "0.1"}, {"mlflow.parentRunId": parent, "mlflow.note.content": "hello"}, "child")
    model = client.create_logged_model(experiment, name="net", source_run_id=run)
    client.create_registered_model(f"m-{experiment}")
    client.create_model_version(f"m-{experiment}", f"models:/{model.model_id}", run_id=run, model_id=model.model_id)
    got = page(f"/runs/{run}")
    assert got["run"]["name"] == "child" and got["run"]["experiment_name"] == client.get_experiment(experiment).name
    assert got["params"] == [{"key": "lr", "value": "0.1"}] and got["parent"]["id"] == parent
    assert got["models"][0]["id"] == model.model_id
    assert got["models"][0]["versions"] == [{"name": f"m-{experiment}", "version": 1, "aliases": []}]
    assert [c["id"] for c in page(f"/runs/{parent}")["children"]] == [run]
    assert page("/runs/" + "f" * 32, status=404)["error"]["code"] == "not-found"


def test_runs_side_by_side(client, experiment, page):
    ids = [make_run(client, experiment, i, {"a": i}, {"lr": i, "same": "x"}) for i in range(3)]
    got = page("/runs/compare", id=[*ids, "0" * 32])["runs"]
    assert [r["id"] for r in got] == ids and got[1]["params"] == [{"key": "lr", "value": "1"}, {"key": "same", "value": "x"}]
    assert got[2]["metrics"][0]["last"] == 2
    page("/runs/compare", status=400)


def test_experiments_tell_how_many_runs_they_have(client, experiment, page):
    run = make_run(client, experiment, 77)
    make_run(client, experiment, 78)
    client.delete_run(run)
    mine = [e for e in page("/experiments")["experiments"] if e["id"] == experiment]
    assert mine == [{"id": experiment, "name": client.get_experiment(experiment).name, "runs": 1, "newest_ms": 78}]

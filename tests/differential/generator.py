"""A seeded generator of request sequences: what teams do with experiments, runs, models and the registry, with the
slips they make. It knows what exists by our own names (world.py), so a sequence can be played to any server."""
import random

import filters
from world import NOBODY, Request

KEYS = ["loss", "acc", "x y", "a/b", "deep/er/key", "a.b-c_d:e"]
BAD_KEYS = ["", "../x", "/a", "a//b", "a\nb", "k" * 251, "é", "a#b"]
PARAMS = ["lr", "depth", "x y", "opt"]
TAGS = ["a", "b", "x y", "mlflow.note.content", "mlflow.user"]
VALUES = ["a", "b", "1", "0.1", "", "über", "A", "a_b", "x" * 600, "100%"]
MODEL_NAMES = ["alpha", "beta", "Gamma", "delta one", "e%f"]
PROMPTS = ["greet", "ask"]
ALIASES = ["champion", "Next", "v", "a-b"]
FILES = ["a.txt", "sub/b.txt", "sub/deep/c.bin", "x y.json", "sub2/ü.txt"]


class Generator:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.count = 0
        self.experiments, self.runs, self.models, self.tokens = ["0"], [], [], []
        rng = self.rng
        self.searches = {
            "experiments": filters.Filters(rng, filters.EXPERIMENT_FIELDS), "runs": filters.Filters(rng, filters.RUN_FIELDS),
            "registered": filters.Filters(rng, filters.REGISTERED_FIELDS), "versions": filters.Filters(rng, filters.VERSION_FIELDS),
            "models": filters.Filters(rng, filters.MODEL_FIELDS)}
        self.acts = [  # weight, maker
            (4, self.create_experiment), (2, self.get_experiment), (2, self.change_experiment), (4, self.search_experiments),
            (8, self.create_run), (4, self.get_run), (4, self.change_run), (8, self.log_one), (8, self.log_batch), (5, self.history),
            (14, self.search_runs), (3, self.log_inputs), (2, self.outputs), (2, self.search_datasets),
            (4, self.create_model), (5, self.change_model), (6, self.search_models),
            (4, self.create_registered), (5, self.change_registered), (5, self.search_registered),
            (6, self.create_version), (6, self.change_version), (6, self.search_versions), (4, self.aliases),
            (5, self.artifacts), (3, self.garbage)]
        # Something to work on first.
        self.opening = [self.create_experiment] * 6 + [self.create_run] * 8 + [self.create_model] * 4 + [self.create_registered] * 5 + [self.log_batch] * 5

    def told(self, request, worked):
        """What could not be made is not used again."""
        if not worked:
            gone = {"{" + name + "}" for name in request.learn}
            for kept in (self.experiments, self.runs, self.models):
                kept[:] = [name for name in kept if name not in gone]
            self.tokens = [(r, name) for r, name in self.tokens if name not in request.learn]

    def next(self):
        self.count += 1
        if self.count <= len(self.opening):
            return self.opening[self.count - 1]()
        # Pages are followed at once: a token of ours stays where it was when rows come or go, upstream's counts rows.
        if self.tokens and self.rng.random() < 0.6:
            return self.next_page()
        self.tokens = []
        weights = [w for w, _ in self.acts]
        return self.rng.choices(self.acts, weights)[0][1]()

    # --- what exists, and sometimes what does not ---

    def fresh(self, kind):
        return f"{kind}:{self.count}"

    def pick(self, items, wrong):
        if not items or self.rng.random() < 0.04:
            return self.rng.choice(wrong)
        recent = items[-12:]  # sequences that build on each other
        return self.rng.choice(recent if self.rng.random() < 0.8 else items)

    def experiment(self):
        return self.pick(self.experiments, ["999999", "x", "-1"])

    def run(self):
        return self.pick(self.runs, [NOBODY, "nobody", "", "UPPER" * 10])

    def model(self):
        return self.pick(self.models, ["m-" + NOBODY, "nobody"])

    def registered(self):
        rng = self.rng
        return rng.choice(MODEL_NAMES + PROMPTS + ["nobody"]) if rng.random() < 0.95 else rng.choice(["", "a/b", "a:b", " "])

    def key(self, keys):
        return self.rng.choice(keys) if self.rng.random() < 0.96 else self.rng.choice(BAD_KEYS)

    def tag(self):
        return {"key": self.key(TAGS), "value": self.rng.choice(VALUES)}

    def tag_list(self, most=3, new=False):
        """`new`: of a run that is made, or of a logged model: upstream takes any key there."""
        return [{**self.tag(), **({"key": self.rng.choice(TAGS)} if new else {})} for _ in range(self.rng.randrange(most))]

    def moment(self):
        return self.rng.choice([0, 1, 1000, 2000, 10**9, 1600000000000 + self.rng.randrange(10**6), -5])

    def body(self, **fields):
        """Now and then a field is missing, empty or null; not the experiment, whose absence means "0" to us alone."""
        fields = {k: v for k, v in fields.items() if v is not None}
        spare = [field for field in fields if field not in ("experiment_id", "start_time", "run_name")]
        if spare and self.rng.random() < 0.04:
            field = self.rng.choice(spare)
            change = self.rng.randrange(3)
            if change == 0:
                del fields[field]
            else:
                # An empty status is refused by us alone (meant.py): from then on the two would tell different stories.
                if not isinstance(fields[field], (str, int)) or field in ("run_id", "status"):
                    del fields[field]
                else:
                    fields[field] = None if change == 1 else ""
        return fields

    # --- experiments ---

    def create_experiment(self):
        name = self.rng.choice([f"exp {self.count}", f"team/exp{self.count}", f"e{self.rng.randrange(8)}", "Default", "", "x" * 501, "über"])
        me = self.fresh("exp")
        self.experiments.append("{" + me + "}")
        return Request("POST", "experiments/create", self.body(name=name, tags=self.tag_list()), {me: ["experiment_id"]})

    def get_experiment(self):
        if self.rng.random() < 0.5:
            return Request("GET", "experiments/get", self.body(experiment_id=self.experiment()))
        return Request("GET", "experiments/get-by-name", self.body(experiment_name=self.rng.choice(["Default", "e1", "e2", "nobody", "über"])))

    def change_experiment(self):
        exp, rng = self.experiment(), self.rng
        act = rng.randrange(6)
        if act == 0:
            name = rng.choice(["Default", f"renamed {self.count}", "e1", "", "x" * 501])
            return Request("POST", "experiments/update", self.body(experiment_id=exp, new_name=name))
        if act == 1:
            return Request("POST", "experiments/set-experiment-tag", self.body(experiment_id=exp, **self.tag()))
        if act == 2:
            return Request("POST", "experiments/delete-experiment-tag", self.body(experiment_id=exp, key=self.key(TAGS)))
        if act == 3 and exp != "0":
            return Request("POST", "experiments/delete", self.body(experiment_id=exp))
        return Request("POST", "experiments/restore", self.body(experiment_id=exp))

    def paged(self, request, most):
        """Half of the searches ask for small pages and are followed."""
        rng = self.rng
        token = self.fresh("token")
        request.body["max_results"] = rng.choice([1, 2, 3, 5, 100, 1000, 1000] + ([0, -1, most + 1] if rng.random() < 0.1 else []))
        request.learn = {token: ["next_page_token"]}
        self.tokens.append((request, token))
        return request

    def next_page(self):
        request, token = self.tokens.pop()
        me = self.fresh("token")
        following = Request(request.method, request.path, {**request.body, "page_token": "{" + token + "}"}, {me: ["next_page_token"]})
        self.tokens.append((following, me))
        return following

    def search_experiments(self):
        search = self.searches["experiments"]
        body = self.body(filter=search.make(["e1", "Default", "team/%"]), order_by=search.orders(filters.EXPERIMENT_ORDERS),
                         view_type=self.rng.choice([None, "ACTIVE_ONLY", "DELETED_ONLY", "ALL"]))
        return self.paged(Request(self.rng.choice(["GET", "POST"]), "experiments/search", body), 50000)

    # --- runs ---

    def create_run(self):
        me, rng = self.fresh("run"), self.rng
        self.runs.append("{" + me + "}")
        name = rng.choice([f"run {self.count}", "alpha", "über", "x" * 300])
        tags = self.tag_list(new=True)
        if rng.random() < 0.1:
            tags.append({"key": "mlflow.runName", "value": rng.choice([name, "other"])})
        return Request("POST", "runs/create", self.body(
            experiment_id=self.experiment(), start_time=rng.choice([self.count, 1600000000000 + self.count, 10**9 + self.count]), run_name=name,
            user_id=rng.choice(["ada", "bob", None]), tags=tags), {me: ["run", "info", "run_id"], self.fresh("name"): ["run", "info", "run_name"]})

    def get_run(self):
        return Request("GET", "runs/get", self.body(**{self.rng.choice(["run_id", "run_id", "run_uuid"]): self.run()}))

    def change_run(self):
        run, rng = self.run(), self.rng
        act = rng.randrange(8)
        if act < 4:
            return Request("POST", "runs/update", self.body(run_id=run, status=rng.choice(["RUNNING", "FINISHED", "FAILED", "KILLED", "SCHEDULED", None]),
                           end_time=rng.choice([None, self.moment()]), run_name=rng.choice([None, "renamed", "beta", ""])))
        if act == 4:
            return Request("POST", "runs/delete", self.body(run_id=run))
        if act == 5:
            return Request("POST", "runs/restore", self.body(run_id=run))
        return Request("POST", "runs/delete-tag", self.body(run_id=run, key=rng.choice(TAGS + ["mlflow.runName", "nobody"])))

    def metric(self):
        rng = self.rng
        return {"key": self.key(KEYS), "value": rng.choice([0, 1, 2.5, -1.5, 1e300, "NaN", "Infinity", "-Infinity", 0.1, 5]),
                "timestamp": self.moment(), "step": rng.choice([0, 0, 1, 2, 5, -1, 2**40])}

    def log_one(self):
        run, rng = self.run(), self.rng
        act = rng.randrange(3)
        if act == 0:
            fields = self.metric()
            if rng.random() < 0.05:
                fields["dataset_name"], fields["dataset_digest"] = "d1", "1"
            return Request("POST", "runs/log-metric", self.body(run_id=run, run_uuid=run, **fields))
        if act == 1:
            return Request("POST", "runs/log-parameter", self.body(run_id=run, run_uuid=run, key=self.key(PARAMS), value=rng.choice(VALUES)))
        tag = self.tag() if rng.random() < 0.9 else {"key": "mlflow.runName", "value": rng.choice(["tagged", "beta"])}
        return Request("POST", "runs/set-tag", self.body(run_id=run, run_uuid=run, **tag))

    def log_batch(self):
        rng = self.rng
        metrics = [self.metric() for _ in range(rng.choice([0, 1, 3, 10]))]
        if rng.random() < 0.02:
            metrics = [{"key": "many", "value": i, "timestamp": i, "step": i} for i in range(rng.choice([1000, 1001]))]
        params = [{"key": self.key(PARAMS), "value": rng.choice(VALUES)} for _ in range(rng.choice([0, 0, 1, 2]))]
        if rng.random() < 0.02:
            params = [{"key": f"p{i}", "value": str(i)} for i in range(rng.choice([100, 101]))]
        return Request("POST", "runs/log-batch", self.body(run_id=self.run(), metrics=metrics, params=params, tags=self.tag_list()))

    def history(self):
        token = self.fresh("token")
        rng = self.rng
        request = Request("GET", "metrics/get-history", self.body(run_id=self.run(), metric_key=rng.choice(KEYS + ["nobody", "many"]),
                          max_results=rng.choice([None, None, 1, 3, 25000])), {token: ["next_page_token"]})
        self.tokens.append((request, token))
        return request

    def known_of_runs(self):
        return ["alpha", "beta", "a", "0.1", "1", "FINISHED", "RUNNING", "d1", "train", *self.runs[-2:]]

    def search_runs(self):
        search, rng = self.searches["runs"], self.rng
        ids = [self.experiment() for _ in range(rng.choice([1, 1, 2, 4]))]
        if rng.random() < 0.3:
            ids = self.experiments[-20:]
        body = self.body(experiment_ids=ids, filter=search.make(self.known_of_runs()), order_by=search.orders(filters.RUN_ORDERS),
                         run_view_type=rng.choice([None, "ACTIVE_ONLY", "DELETED_ONLY", "ALL"]))
        return self.paged(Request("POST", "runs/search", body), 50000)

    def dataset(self):
        rng = self.rng
        one = {"dataset": {"name": rng.choice(["d1", "d2", "d3"]), "digest": rng.choice(["1", "2", "abc"]), "source_type": rng.choice(["local", "http"]),
                           "source": "{}", "schema": rng.choice(["{}", ""]), "profile": "{}"}}
        if rng.random() < 0.7:
            one["tags"] = [{"key": "mlflow.data.context", "value": rng.choice(["train", "test"])}]
        return one

    def log_inputs(self):
        models = [{"model_id": self.model()} for _ in range(self.rng.choice([0, 0, 1]))]
        return Request("POST", "runs/log-inputs", self.body(run_id=self.run(), datasets=[self.dataset() for _ in range(self.rng.choice([1, 1, 2]))],
                                                            models=models or None))

    def outputs(self):
        return Request("POST", "runs/outputs", self.body(run_id=self.run(), models=[{"model_id": self.model(), "step": self.rng.choice([0, 3])}]))

    def search_datasets(self):
        ids = [self.experiment() for _ in range(self.rng.choice([0, 1, 2, 5, 21]))]
        return Request("POST", "/ajax-api/2.0/mlflow/experiments/search-datasets", self.body(experiment_ids=ids))

    # --- logged models ---

    def create_model(self):
        me, rng = self.fresh("model"), self.rng
        self.models.append("{" + me + "}")
        fields = self.body(
            experiment_id=self.experiment(), model_type=rng.choice([None, "agent", "a"]),
            source_run_id=rng.choice([None, self.run()]), params=[{"key": rng.choice(PARAMS), "value": rng.choice(VALUES)} for _ in range(rng.randrange(3))],
            tags=self.tag_list(new=True))
        fields["name"] = rng.choice(["m", f"m{self.count}", "alpha", "a/b", "a.b", "x y"])  # else a random one
        return Request("POST", "logged-models", fields, {me: ["model", "info", "model_id"]})

    def change_model(self):
        model, rng = self.model(), self.rng
        act = rng.randrange(8)
        path = "logged-models/" + model
        if act < 2:
            return Request("GET", path)
        if act == 2:
            return Request("PATCH", path, self.body(model_id=model, status=rng.choice(["LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED", "LOGGED_MODEL_PENDING", 2])))
        if act == 3:
            return Request("PATCH", path + "/tags", self.body(model_id=model, tags=self.tag_list(4, new=True)))
        if act == 4:
            return Request("DELETE", path + "/tags/" + rng.choice(["a", "b", "nobody"]))
        if act == 5 and rng.random() < 0.4:
            return Request("DELETE", path)
        if act == 6:
            return Request("GET", path + "/artifacts/directories", {})
        if act == 7:
            return Request("POST", path + "/params", self.body(model_id=model, params=[{"key": rng.choice(PARAMS), "value": rng.choice(VALUES)}]))
        metric = {**self.metric(), "model_id": model}
        if metric["value"] == "NaN":  # upstream keeps a model's NaN as 0
            metric["value"] = 3
        if rng.random() < 0.5:
            metric["dataset_name"], metric["dataset_digest"] = rng.choice(["d1", "d2"]), rng.choice(["1", "2"])
        return Request("POST", "runs/log-metric", self.body(run_id=self.run(), **metric))

    def search_models(self):
        search, rng = self.searches["models"], self.rng
        ids = [self.experiment() for _ in range(rng.choice([1, 1, 3]))] if rng.random() < 0.6 else self.experiments[-20:]
        orders = None
        if rng.random() < 0.5:
            orders = [{"field_name": rng.choice(filters.MODEL_ORDERS + (["nothing", "tags.a"] if rng.random() < 0.1 else [])),
                       **({"ascending": rng.random() < 0.5} if rng.random() < 0.7 else {})} for _ in range(rng.choice([1, 1, 2]))]
            if rng.random() < 0.1:
                orders[0].update({"field_name": "metrics.loss", "dataset_name": "d1", "dataset_digest": "1"})
        datasets = [{"dataset_name": "d1", "dataset_digest": "1"}] if rng.random() < 0.1 else None
        body = self.body(experiment_ids=ids, filter=search.make(["m", "alpha", "READY", "PENDING", "agent", *self.models[-2:]]), order_by=orders, datasets=datasets)
        request = self.paged(Request("POST", "logged-models/search", body), 50)
        request.body["max_results"] = min(request.body["max_results"], 50)
        return request

    # --- the registry ---

    def create_registered(self):
        rng = self.rng
        if rng.random() < 0.25:
            return Request("POST", "registered-models/create", self.body(name=rng.choice(PROMPTS), tags=[{"key": "mlflow.prompt.is_prompt", "value": "true"}]))
        return Request("POST", "registered-models/create", self.body(name=self.registered(), description=rng.choice([None, "words", ""]), tags=self.tag_list()))

    def change_registered(self):
        name, rng = self.registered(), self.rng
        act = rng.randrange(9)
        if act < 3:
            return Request("GET", "registered-models/get", self.body(name=name))
        if act == 3:
            return Request("PATCH", "registered-models/update", self.body(name=name, description=rng.choice(["new words", "", "x" * 200])))
        if act == 4:
            return Request("POST", "registered-models/set-tag", self.body(name=name, **self.tag()))
        if act == 5:
            return Request("DELETE", "registered-models/delete-tag", self.body(name=name, key=self.key(TAGS)))
        if act == 6:
            return Request("POST", "registered-models/rename", self.body(name=name, new_name=rng.choice(MODEL_NAMES + ["a/b", ""])))
        if act == 7 and rng.random() < 0.4:
            return Request("DELETE", "registered-models/delete", self.body(name=name))
        return Request(rng.choice(["GET", "POST"]), "registered-models/get-latest-versions",
                       self.body(name=name, stages=rng.choice([None, ["None"], ["Production", "Staging"], ["production"], ["wrong"]])))

    def search_registered(self):
        search = self.searches["registered"]
        return self.paged(Request("GET", "registered-models/search", self.body(filter=search.make(MODEL_NAMES + ["true", "greet"]),
                                                                            order_by=search.orders(filters.REGISTERED_ORDERS))), 1000)

    def version(self):
        return self.rng.choice(["1", "1", "2", "3", "4", "99"] if self.rng.random() < 0.95 else ["x", "", "0", "-1", "1.5"])

    def create_version(self):
        name, rng = self.registered(), self.rng
        act = rng.randrange(8)
        run, model = self.run(), self.model()
        if act == 0:
            return Request("POST", "model-versions/create", self.body(name=rng.choice(PROMPTS), source="prompt-template", tags=[
                {"key": "mlflow.prompt.is_prompt", "value": "true"}, {"key": "mlflow.prompt.text", "value": "Hello {{name}}"}]))
        if act < 3:
            return Request("POST", "model-versions/create", self.body(name=name, source="models:/" + model, model_id=model, tags=self.tag_list()))
        if act < 5:
            return Request("POST", "model-versions/create", self.body(name=name, source=f"runs:/{run}/model", run_id=rng.choice([run, run, run, None, self.run()]),
                                                                    description=rng.choice([None, "words"])))
        source = rng.choice(["s3://bucket/m", "mlflow-artifacts:/0/x", "file:///etc", "/etc/passwd", "relative/path", "", "http://host/m", "../x", "models:/alpha/1",
                             "s3://bucket/../m", "file://other/x", "dbfs:/x"])
        return Request("POST", "model-versions/create", self.body(name=name, source=source, tags=self.tag_list(), run_link=rng.choice([None, "link"])))

    def change_version(self):
        name, version, rng = self.registered(), self.version(), self.rng
        act = rng.randrange(9)
        if act < 2:
            return Request("GET", "model-versions/get", self.body(name=name, version=version))
        if act == 2:
            return Request("PATCH", "model-versions/update", self.body(name=name, version=version, description=rng.choice(["new", "", None])))
        if act == 3:
            return Request("POST", "model-versions/set-tag", self.body(name=name, version=version, **self.tag()))
        if act == 4:
            return Request("DELETE", "model-versions/delete-tag", self.body(name=name, version=version, key=self.key(TAGS)))
        if act in (5, 6):
            return Request("POST", "model-versions/transition-stage", self.body(
                name=name, version=version, stage=rng.choice(["Production", "Staging", "Archived", "None", "production", "wrong"]),
                archive_existing_versions=rng.choice([None, False, False, True])))
        if act == 7:
            return Request("GET", "model-versions/get-download-uri", self.body(name=name, version=version))
        return Request("DELETE", "model-versions/delete", self.body(name=name, version=version))

    def search_versions(self):
        search = self.searches["versions"]
        return self.paged(Request("GET", "model-versions/search", self.body(filter=search.make(MODEL_NAMES + self.runs[-1:]),
                                                                        order_by=search.orders(filters.VERSION_ORDERS))), 200000)

    def aliases(self):
        name, rng = self.registered(), self.rng
        alias = rng.choice(ALIASES if rng.random() < 0.9 else ["latest", "LATEST", "v1", "V12", "a b", "", "x" * 256, "1"])
        method = rng.choice(["POST", "POST", "GET", "DELETE"])
        body = self.body(name=name, alias=alias, version=self.version()) if method == "POST" else self.body(name=name, alias=alias)
        return Request(method, "registered-models/alias", body)

    # --- artifacts ---

    def artifacts(self):
        run, rng = self.pick(self.runs, [NOBODY]), self.rng
        path = rng.choice(FILES + ["", "sub", "..", "../x", "sub/../a.txt", "nobody.txt", "%2e%2e/x", "/etc/passwd"] if rng.random() < 0.2 else FILES)
        folder = f"/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts"
        act = rng.randrange(10)
        if act < 4:
            return Request("PUT", f"{folder}/{rng.choice(FILES)}", raw=rng.choice([b"hello", b"", bytes(range(256)) * 20]))
        if act < 6:
            return Request("GET", "artifacts/list", self.body(run_id=run, path=rng.choice([None, "", "sub", "sub/deep", path])))
        if act == 6:
            return Request("GET", f"{folder}/{path}")
        if act == 7:
            return Request("GET", "/get-artifact", self.body(run_id=run, path=path))
        if act == 8:
            return Request("GET", "/api/2.0/mlflow-artifacts/artifacts", {"path": f"0/{run}/artifacts" + rng.choice(["", "/sub"])})
        return Request("DELETE", f"{folder}/{rng.choice(FILES)}")

    # --- what nobody should send ---

    def garbage(self):
        rng = self.rng
        act = rng.randrange(4)
        if act == 0:
            return Request("GET", rng.choice(["runs/get", "experiments/get", "registered-models/get", "model-versions/get", "metrics/get-history", "artifacts/list"]), {})
        if act == 1:
            return Request("POST", rng.choice(["runs/log-metric", "runs/log-batch", "runs/set-tag", "runs/log-parameter", "runs/update", "registered-models/alias",
                                               "experiments/create", "model-versions/create", "runs/delete", "logged-models"]), {})
        if act == 2:
            return Request(rng.choice(["GET", "POST"]), rng.choice(["no/such", "runs", "experiments/nothing"]), {})
        return Request("POST", "runs/log-metric", {"run_id": self.run(), "key": "loss", "value": rng.choice(["x", 1]), "timestamp": rng.choice(["x", "5", 5])})

"""Filters and order_by clauses of every search, from a grammar of MLflow's; some are broken on purpose."""

WORDS = ["a", "b", "loss", "x y", "über", "a'b", "100%", "a_b", "A"]
PATTERNS = ["%", "a%", "%B", "_", "%o%", "A_B", "100%%", ""]
NAMES = ["alpha", "beta", "Gamma", "delta one", "e%f"]


def quoted(text):
    return "'" + text.replace("'", "''") + "'" if "'" in text and '"' in text else ('"' + text + '"' if "'" in text else "'" + text + "'")


class Filters:
    """`fields` of one entity: (name, kind); kinds: text, id, number, metric, tag, list."""

    def __init__(self, rng, fields, joins=("and", "AND")):
        self.rng, self.fields, self.joins = rng, fields, joins

    def value(self, kind, known):
        rng = self.rng
        if kind in ("number", "metric"):
            return rng.choice(["0", "1", "1000", "2.5", "-1", "1e3", ".5", "0.1", "5", "2000"])
        return quoted(rng.choice(known if known and rng.random() < 0.6 else WORDS + NAMES))

    def comparison(self, known):
        rng = self.rng
        name, kind = rng.choice(self.fields)
        spaced = rng.choice([" ", " ", " ", "  ", ""])
        if kind in ("number", "metric"):
            return name + spaced + rng.choice(["=", "!=", "<", "<=", ">", ">="]) + spaced + self.value(kind, known)
        if kind in ("list", "id") and rng.random() < 0.5:
            values = ", ".join(self.value("text", known) for _ in range(rng.randrange(1, 4)))
            return f"{name} {rng.choice(['IN', 'NOT IN', 'in'])} ({values})"
        if kind == "tag" and rng.random() < 0.2:
            return f"{name} {rng.choice(['IS NULL', 'IS NOT NULL', 'is null'])}"
        if rng.random() < 0.4:
            pattern = rng.choice(PATTERNS)
            if kind == "id" or ("source" in name and pattern in ("%B", "%o%")):
                pattern = "%"  # ids are random, and sources end in one
            return f"{name} {rng.choice(['LIKE', 'ILIKE', 'like'])} {quoted(pattern)}"
        return name + spaced + rng.choice(["=", "!="]) + spaced + self.value(kind, known)

    def make(self, known=()):
        rng = self.rng
        if rng.random() < 0.15:
            return None
        text = self.comparison(list(known))
        while rng.random() < 0.4:
            text += f" {rng.choice(self.joins)} " + self.comparison(list(known))
        return self.broken(text) if rng.random() < 0.12 else text

    def broken(self, text):
        """A user's slip: a character too few or too many, a field, operator or value of another kind."""
        rng = self.rng
        at = rng.randrange(len(text))
        slip = rng.randrange(9)
        if slip == 0:
            return text[:at] + text[at + 1:]
        if slip == 1:
            return text[:at] + rng.choice("'\"`.=<>! ()") + text[at:]
        if slip == 2:
            return text[:at]
        if slip == 3:
            return text + rng.choice([" and", " AND ", " a", ";", " 'x'", " =", ","])
        if slip == 4:
            return rng.choice(["nothing = 'a'", "foo.bar = 'a'", "tags.a", "= 'a'", "'a' = 'a'", "tags. = 'a'", "1 = 1", "name"])
        if slip == 5:
            name, kind = rng.choice(self.fields)
            return f"{name} = {quoted('a') if kind in ('number', 'metric') else '5'}"
        if slip == 6:
            name, _ = rng.choice(self.fields)
            return f"{name} {rng.choice(['~', '==', '<>', 'IS', 'IN', 'LIKE', '>', 'BETWEEN', 'NOT', 'IS NOT'])} 'a'"
        if slip == 7:
            name, kind = rng.choice(self.fields)
            return f"{name} {rng.choice(['<', '>=', 'LIKE', 'IS NULL', 'IN'])} {'' if kind == 'tag' else '5'}".strip()
        name, _ = rng.choice(self.fields)
        return f"{name} IN ({rng.choice(['', chr(39) + 'a' + chr(39) + ',', '1', 'a', chr(39) + 'a' + chr(39) + ' ' + chr(39) + 'b' + chr(39)])})"

    def orders(self, keys):
        rng = self.rng
        if rng.random() < 0.4:
            return None
        picked = [rng.choice(keys) + rng.choice(["", " ASC", " DESC", " asc", " desc"]) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
        if rng.random() < 0.08:
            picked.append(rng.choice(["", "nothing", "metrics.", "name sideways", "tags.a DESC, name", "a b c", "ASC"]))
        return picked


EXPERIMENT_FIELDS = [("name", "text"), ("attribute.name", "text"), ("creation_time", "number"), ("last_update_time", "number"),
                     ("tags.a", "tag"), ("tags.`x y`", "tag"), ("tag.b", "tag"), ("attributes.`name`", "text")]
EXPERIMENT_ORDERS = ["name", "experiment_id", "creation_time", "last_update_time", "attribute.name"]

RUN_FIELDS = [("metrics.loss", "metric"), ("metric.acc", "metric"), ("metrics.`x y`", "metric"), ("metrics.none", "metric"),
              ("params.lr", "tag"), ("param.\"x y\"", "tag"), ("parameters.depth", "tag"), ("tags.a", "tag"), ("tag.`x y`", "tag"),
              ("tags.\"mlflow.runName\"", "tag"), ("tags.mlflow.user", "tag"), ("attributes.status", "status"), ("status", "status"),
              ("run_name", "text"), ("attributes.run_id", "id"), ("run_id", "id"), ("attr.start_time", "number"),
              ("end_time", "number"), ("user_id", "text"), ("run.artifact_uri", "text"), ("dataset.name", "list"),
              ("datasets.digest", "list"), ("dataset.context", "list"), ("attributes.`run_name`", "text")]
RUN_ORDERS = ["metrics.loss", "metrics.acc", "metrics.`x y`", "metrics.none", "params.lr", "params.depth", "tags.a", "start_time",
              "attributes.end_time", "status", "run_name", "attribute.start_time", "user_id", "tags.\"mlflow.runName\""]

REGISTERED_FIELDS = [("name", "text"), ("tags.a", "text"), ("tag.b", "text"), ("tags.`x y`", "text"), ("attribute.name", "text"),
                     ("tags.`mlflow.prompt.is_prompt`", "text")]
REGISTERED_ORDERS = ["name", "timestamp", "last_updated_timestamp", "creation_timestamp", "attribute.name"]

VERSION_FIELDS = [("name", "text"), ("run_id", "id"), ("source_path", "text"), ("version_number", "number"), ("tags.a", "text"),
                  ("tag.`x y`", "text"), ("attribute.name", "text")]
VERSION_ORDERS = ["name", "version_number", "creation_timestamp", "last_updated_timestamp", "timestamp"]

MODEL_FIELDS = [("name", "text"), ("attributes.name", "text"), ("model_type", "text"), ("status", "model_status"),
                ("source_run_id", "id"), ("model_id", "id"), ("creation_timestamp", "number"), ("last_updated_timestamp", "number"),
                ("metrics.loss", "metric"), ("metrics.acc", "metric"), ("params.lr", "text"), ("tags.a", "text"), ("tags.`x y`", "text")]
MODEL_ORDERS = ["creation_timestamp", "last_updated_timestamp", "name", "metrics.loss", "metrics.acc", "model_type", "attributes.name",
                "status"]

"""What both servers know, by names of our own: a request says {run:3}, and each server's own id is put in its place."""
import re

PLACE = re.compile(r"\{([a-z]+:\d+)\}")
NOBODY = "0" * 31 + "1"  # of an id that a server never gave


class Names:
    """One server's ids by our names, and back."""

    def __init__(self):
        self.ids = {}
        self.names = {}

    def learn(self, name, value):
        self.ids[name] = value
        if len(value) > 8:
            self.names[value] = "{" + name + "}"

    def fill(self, value):
        if isinstance(value, str):
            return PLACE.sub(lambda m: self.ids.get(m[1], NOBODY), value)
        if isinstance(value, dict):
            return {k: self.fill(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.fill(v) for v in value]
        return value

    def mask(self, text):
        """The ids in a text of this server, by our names."""
        return re.sub(r"m-[0-9a-f]{32}|[0-9a-f]{32}|[a-z]+-[a-z]+-\d+", lambda m: self.names.get(m[0], m[0]), text)


class Request:
    def __init__(self, method, path, body=None, learn=None, raw=None):
        self.method, self.path, self.body, self.raw = method, path, body, raw
        self.learn = learn or {}  # our name → where in the answer its id is

    def __repr__(self):
        return f"{self.method} {self.path} {self.body if self.raw is None else self.raw!r}"

    def url(self, base, names):
        path = names.fill(self.path)
        return base + (path if path.startswith("/") else "/api/2.0/mlflow/" + path)


def dig(answer, path):
    for step in path:
        answer = answer.get(step) if isinstance(answer, dict) else None
    return answer

"""Users of a server under test, and how each of them speaks to it."""
import base64
import pathlib
import subprocess

import requests

from lathe_server import BINARY, clean_environment

PASSWORD = "correct horse battery"


def run(home, *args, stdin="", env=None, timeout=60):
    """Runs `lathe ARGS` in a folder, with a home of its own, and text on stdin."""
    own = {"HOME": str(home), "XDG_CONFIG_HOME": str(pathlib.Path(home) / "config")}
    return subprocess.run([str(BINARY), *map(str, args)], cwd=home, input=stdin, text=True, capture_output=True, timeout=timeout,
                          env=clean_environment(**{**own, **(env or {})}))


def add_user(home, name, *args, password=PASSWORD, env=None):
    out = run(home, "user", "add", name, *args, stdin=password + "\n", env=env)
    assert out.returncode == 0, out.stderr
    return out.stdout


def basic(user, password=PASSWORD):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Caller:
    """Somebody with a credential, who speaks to the API of one server about one project."""

    def __init__(self, server, authorization=None, project=None):
        self.server = server
        self.session = requests.Session()
        self.session.trust_env = False
        if authorization:
            self.session.headers["Authorization"] = authorization
        if project:
            self.session.headers["X-Lathe-Project"] = project

    def __call__(self, method, path, **options):
        options.setdefault("timeout", 30)
        options.setdefault("allow_redirects", False)
        return self.session.request(method, self.server.url + path, **options)

    def api(self, method, path, **options):
        return self(method, "/api/lathe/v1" + path, **options)


def user(server, name, project=None, password=PASSWORD):
    return Caller(server, basic(name, password), project)


def bearer(server, token, project=None):
    return Caller(server, "Bearer " + token, project)

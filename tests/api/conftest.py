"""Fixtures of the API tests: `server` is one for the test's module, `fresh_server` one for the test alone, and
`start_server` starts as many as a test asks for (`start_module_server`: for the whole module); `life` is a server
that ran the digits example once for all tests that look at one."""
import pathlib
import shutil
import tempfile

import pytest
import requests

from digits_life import DigitsLife
from lathe_server import BINARY, Server


@pytest.fixture(scope="session")
def binary():
    assert BINARY.exists(), f"{BINARY} is not built; ./dev build"
    return BINARY


def _servers():
    made, homes = [], []

    def start(*args, env=None, wait=True, home=None):
        if home is None:
            home = tempfile.mkdtemp(prefix="lathe-api-")
            homes.append(home)
        made.append(Server(home, args, env, wait))
        return made[-1]

    yield start
    for server in made:
        server.down()
    for home in homes:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def start_server(binary):
    yield from _servers()


@pytest.fixture
def fresh_server(start_server):
    return start_server()


@pytest.fixture(scope="module")
def start_module_server(binary):
    yield from _servers()


@pytest.fixture(scope="module")
def server(start_module_server):
    return start_module_server()


@pytest.fixture(scope="session")
def http():
    """A session that keeps connections."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture(scope="session")
def life(binary):
    """To look at only: promotions, rollbacks and new runs belong to a test's own server."""
    with tempfile.TemporaryDirectory(prefix="lathe-life-") as home:
        life = DigitsLife(pathlib.Path(home))
        try:
            life.train()
            life.live()
            yield life
        finally:
            life.stop()

"""Stores of earlier schemas open, migrate and work, on both engines; one that a newer Lathe wrote is refused untouched."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest
import requests

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "tests/api"), str(HERE)]
from lathe_server import Server  # noqa: E402
from make_store import FIXTURE, ask, expected  # noqa: E402

STORES = sorted(p.parent for p in HERE.glob("*/expected.json"))
ENGINES = ("sqlite", "postgresql")


@pytest.fixture(scope="module")
def cluster():
    home = tempfile.mkdtemp(prefix="lathe-pg-")
    pathlib.Path(home).chmod(0o755)
    url = subprocess.run([FIXTURE, "start", home + "/c"], text=True, capture_output=True, timeout=120, check=True).stdout.strip()
    yield url
    subprocess.run([FIXTURE, "stop", home + "/c"], capture_output=True, timeout=60)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def home():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lathe-upgrade-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def load(engine, store, home, request):
    """The old store as a folder and settings; a function that runs SQL in it."""
    (home / ".lathe").mkdir()
    if (store / engine / "blobs").is_dir():
        shutil.copytree(store / engine / "blobs", home / ".lathe/blobs")
    script = (store / f"{engine}.sql").read_text()
    if engine == "sqlite":
        file = home / ".lathe/lathe.db"
        sql = lambda text: subprocess.run(["sqlite3", file], input=text, text=True, capture_output=True, check=True).stdout  # noqa: E731
        sql("PRAGMA journal_mode=WAL;" + script)
        return [], sql
    url = request.getfixturevalue("cluster")
    name = "upgrade_" + os.urandom(4).hex()
    psql = lambda at, text: subprocess.run(  # noqa: E731
        ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", at], input=text, text=True, capture_output=True, check=True).stdout
    psql(url, f"CREATE DATABASE {name}")
    url = url.rsplit("/", 1)[0] + "/" + name
    psql(url, script)
    return ["--store", url], lambda text: psql(url, text)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("store", STORES, ids=lambda p: p.name)
def test_an_earlier_store_opens_migrates_and_works(engine, store, home, request):
    args, sql = load(engine, store, home, request)
    facts = json.loads((store / "expected.json").read_text())[engine]
    prediction = facts.pop("prediction")
    server = Server(home, args)
    try:
        found = json.loads(json.dumps(expected(server.url)))
        assert found == facts
        # It goes on: new rows of each kind, the endpoint answers, what was captured is still known.
        made = requests.post(server.url + "/api/2.0/mlflow/runs/create", json={"experiment_id": "0", "start_time": 5}, timeout=30)
        assert made.ok, made.text
        status = requests.get(server.api("/status"), timeout=30).json()
        assert [e["name"] for e in status["endpoints"]] == ["flowers"]
        assert status["endpoints"][0]["serves"], status
        server.input = requests.get(f"{server.url}/v2/models/flowers", timeout=30).json()["inputs"][0]
        assert ask(server, [[5.1, 3.5, 1.4, 0.2]]).startswith("pr_")
        assert requests.post(server.api("/feedback"), json=[{"id": prediction, "label": "virginica"}], timeout=30).ok
        assert server.stop() == 0
        server.start()  # and the migrated store is an ordinary one
        found = json.loads(json.dumps(expected(server.url)))
        assert found == facts
    finally:
        server.down()
    applied = sql("SELECT count(*) FROM schema_migrations")
    assert int(applied) > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_newer_store_is_refused_and_left_alone(engine, home, request):
    args, sql = load(engine, STORES[-1], home, request)
    sql("INSERT INTO schema_migrations (module, number, checksum, applied_us) VALUES ('track', 9999, 'x', 1)")
    before = sql("SELECT module, number, checksum FROM schema_migrations ORDER BY module, number")
    server = Server(home, args, wait=False)
    assert server.process.wait(60) == 1
    assert "newer Lathe" in server.log() and "track" in server.log() and "9999" in server.log()
    assert sql("SELECT module, number, checksum FROM schema_migrations ORDER BY module, number") == before
    server.down()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_migration_that_was_edited_is_refused(engine, home, request):
    args, sql = load(engine, STORES[-1], home, request)
    sql("UPDATE schema_migrations SET checksum = 'another' WHERE module = 'core' AND number = 1")
    server = Server(home, args, wait=False)
    assert server.process.wait(60) == 1
    assert "core migration 1" in server.log()
    server.down()

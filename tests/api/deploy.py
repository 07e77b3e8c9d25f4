"""Puts models behind endpoints of a stopped server, as rows and blobs: for tests of serving alone, without the loop that
promotes. `made_models()` is the folder of tests/models/make_models.py."""
import functools
import hashlib
import pathlib
import sqlite3
import subprocess
import sys
import tempfile

from lathe_server import ROOT

SCRIPT = ROOT / "tests" / "models" / "make_models.py"


@functools.cache
def made_models():
    out = pathlib.Path(tempfile.gettempdir()) / ("lathe-models-" + hashlib.md5(SCRIPT.read_bytes()).hexdigest())
    if not out.exists():
        made = tempfile.mkdtemp()
        subprocess.run([sys.executable, SCRIPT, made], check=True)
        try:
            pathlib.Path(made).rename(out)
        except OSError:
            pass  # another run was quicker
    return out


def put_blob(state, data):
    digest = hashlib.sha256(data).hexdigest()
    path = state / "blobs" / "sha256" / digest[:2] / digest[2:]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o444)
    return digest


def deploy(state, endpoint, model, version=1, transform=None, default=False):
    """Makes `model` (a folder) version `version` the live revision of `endpoint`; the server on `state` must be down."""
    state, model = pathlib.Path(state), pathlib.Path(model)
    database = sqlite3.connect(state / "lathe.db")
    root = f"test/{endpoint}/{version}"
    with database:
        for file in sorted(p for p in model.rglob("*") if p.is_file()):
            data = file.read_bytes()
            digest = bytes.fromhex(put_blob(state, data))
            database.execute("INSERT INTO blobs (project, sha256, size, created_us, unused_since_us) VALUES (1, ?, ?, 0, 0)"
                             " ON CONFLICT DO NOTHING", (digest, len(data)))
            database.execute("INSERT OR REPLACE INTO artifacts (project, root, path, size, sha256, location, address, at_us)"
                             " VALUES (1, ?, ?, ?, ?, 0, '', 0)", (root, str(file.relative_to(model)), len(data), digest))
        text = put_blob(state, transform.encode()) if transform else ""
        number = (database.execute("SELECT max(number) FROM revisions WHERE project = 1 AND endpoint = ?", (endpoint,)).fetchone()[0] or 0) + 1
        database.execute("INSERT INTO revisions (project, endpoint, number, model_name, model_version, artifact_root, transform_digest,"
                         " created_us) VALUES (1, ?, ?, ?, ?, ?, ?, 0)", (endpoint, number, model.name, version, root, text))
        database.execute("INSERT INTO endpoints (project, name, environment, is_default, live_revision, created_us)"
                         " VALUES (1, ?, 'production', ?, ?, 0) ON CONFLICT (project, name) DO UPDATE SET"
                         " previous_revision = live_revision, live_revision = excluded.live_revision, generation = generation + 1",
                         (endpoint, int(default), number))
    database.close()

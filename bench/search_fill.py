"""Many runs of one experiment, each with a metric, a parameter and a tag, put into the databases of both servers."""

import contextlib
import pathlib
import random
import sqlite3
import struct

EXPERIMENT = 0
START_MS = 1_700_000_000_000


def runs(count: int):
    chance = random.Random(5)
    for i in range(count):
        yield i, f"{chance.getrandbits(128):032x}", chance.random(), ("adam", "sgd", "lamb")[i % 3], f"team-{i % 50}"


@contextlib.contextmanager
def database(file: pathlib.Path):
    with contextlib.closing(sqlite3.connect(file)) as db, db:
        yield db


def fill_mlflow(file: pathlib.Path, count: int) -> None:
    rows = list(runs(count))
    with database(file) as db:
        db.executemany(
            "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time,"
            " deleted_time, source_version, lifecycle_stage, artifact_uri, experiment_id)"
            " VALUES (?, ?, 'UNKNOWN', '', '', 'bench', 'FINISHED', ?, ?, NULL, '', 'active', ?, ?)",
            ((run, f"run-{i}", START_MS + i, START_MS + i + 1, f"mlflow-artifacts:/0/{run}/artifacts", EXPERIMENT) for i, run, *_ in rows))
        db.executemany("INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES ('loss', ?, ?, ?, 1, 0)",
                       ((loss, START_MS + i, run) for i, run, loss, *_ in rows))
        db.executemany("INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES ('loss', ?, ?, 1, 0, ?)",
                       ((loss, START_MS + i, run) for i, run, loss, *_ in rows))
        db.executemany("INSERT INTO params (key, value, run_uuid) VALUES ('optimizer', ?, ?)", ((opt, run) for _, run, _, opt, _ in rows))
        db.executemany("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)",
                       (tag for i, run, _, _, team in rows for tag in (("team", team, run), ("mlflow.runName", f"run-{i}", run))))


def tail(at_ms: int, value: float) -> bytes:
    """One point of step 1 as docs/formats/metric-points.md says."""
    varint = bytearray()
    while at_ms >= 0x80:
        varint.append(at_ms & 0x7F | 0x80)
        at_ms >>= 7
    return b"\1\1" + bytes(varint) + bytes([at_ms]) + b"\2" + struct.pack("<d", value)


def fill_lathe(file: pathlib.Path, count: int) -> None:
    with database(file) as db:
        keys = {}
        for name in ("loss", "optimizer", "team"):
            db.execute("INSERT INTO track_keys (project, name) VALUES (1, ?)", (name,))
            keys[name] = db.execute("SELECT id FROM track_keys WHERE name = ?", (name,)).fetchone()[0]
        first = db.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM track_runs").fetchone()[0]
        db.executemany(
            "INSERT INTO track_runs (id, project, run_id, exp, name, name_tag, user_id, status, start_ms, end_ms, deleted, artifact_uri,"
            " attempt) VALUES (?, 1, ?, ?, ?, 1, 'bench', 3, ?, ?, 0, ?, '')",
            ((first + i, run, EXPERIMENT, f"run-{i}", START_MS + i, START_MS + i + 1, f"mlflow-artifacts:/0/{run}/artifacts")
             for i, run, *_ in runs(count)))
        db.executemany(
            "INSERT INTO track_latest_metrics (project, run, key_id, exp, value, at_ms, step, is_nan, min_value, max_value, tail)"
            " VALUES (1, ?, ?, ?, ?, ?, 1, 0, ?, ?, ?)",
            ((first + i, keys["loss"], EXPERIMENT, loss, START_MS + i, loss, loss, tail(START_MS + i, loss)) for i, _, loss, *_ in runs(count)))
        for table, key, at in (("track_params", "optimizer", 3), ("track_tags", "team", 4)):
            db.executemany(f"INSERT INTO {table} (project, run, key_id, exp, value) VALUES (1, ?, ?, ?, ?)",
                           ((first + row[0], keys[key], EXPERIMENT, row[at]) for row in runs(count)))

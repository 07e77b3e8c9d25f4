"""Many runs of one experiment, each with a metric, a parameter and a tag, put into the databases of both servers."""

import contextlib
import pathlib
import random
import sqlite3
import struct
from collections.abc import Iterable, Iterator

from postgres import Postgres

EXPERIMENT = 0
START_MS = 1_700_000_000_000


def runs(count: int):
    chance = random.Random(5)
    for i in range(count):
        yield i, f"{chance.getrandbits(128):032x}", chance.random(), ("adam", "sgd", "lamb")[i % 3], f"team-{i % 50}"


class SqliteTables:
    def __init__(self, db: sqlite3.Connection):
        self.db = db

    def number(self, sql: str) -> int:
        return self.db.execute(sql).fetchone()[0]

    def put(self, table: str, columns: str, rows: Iterable[tuple]) -> None:
        self.db.executemany(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(columns.split(',')))})", rows)


class PostgresTables:
    def __init__(self, cluster: Postgres, database: str):
        self.cluster, self.database = cluster, database

    def number(self, sql: str) -> int:
        return int(self.cluster.psql(self.database, "-Atqc", sql))

    def put(self, table: str, columns: str, rows: Iterable[tuple]) -> None:
        def text(value) -> str:
            return "\\N" if value is None else "\\\\x" + value.hex() if isinstance(value, bytes) else str(value)

        lines = "".join("\t".join(map(text, row)) + "\n" for row in rows)
        self.cluster.psql(self.database, "-qc", f"COPY {table} ({columns}) FROM STDIN", text=lines)


@contextlib.contextmanager
def tables(place: pathlib.Path | tuple[Postgres, str]) -> Iterator[SqliteTables | PostgresTables]:
    """A file of SQLite, or a database of a cluster."""
    if isinstance(place, tuple):
        yield PostgresTables(*place)
        return
    with contextlib.closing(sqlite3.connect(place)) as db, db:
        yield SqliteTables(db)


def fill_mlflow(place, count: int) -> None:
    rows = list(runs(count))
    postgres = isinstance(place, tuple)
    with tables(place) as to:
        to.put("runs", "run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time, source_version,"
                       " lifecycle_stage, artifact_uri, experiment_id",
               ((run, f"run-{i}", "UNKNOWN", "", "", "bench", "FINISHED", START_MS + i, START_MS + i + 1, "", "active",
                 f"mlflow-artifacts:/0/{run}/artifacts", EXPERIMENT) for i, run, *_ in rows))
        number = "f" if postgres else 0  # is_nan is a boolean there
        to.put("metrics", "key, value, timestamp, run_uuid, step, is_nan",
               (("loss", loss, START_MS + i, run, 1, number) for i, run, loss, *_ in rows))
        to.put("latest_metrics", "key, value, timestamp, step, is_nan, run_uuid",
               (("loss", loss, START_MS + i, 1, number, run) for i, run, loss, *_ in rows))
        to.put("params", "key, value, run_uuid", (("optimizer", opt, run) for _, run, _, opt, _ in rows))
        to.put("tags", "key, value, run_uuid",
               (tag for i, run, _, _, team in rows for tag in (("team", team, run), ("mlflow.runName", f"run-{i}", run))))


def tail(at_ms: int, value: float) -> bytes:
    """One point of step 1 as docs/formats/metric-points.md says."""
    varint = bytearray()
    while at_ms >= 0x80:
        varint.append(at_ms & 0x7F | 0x80)
        at_ms >>= 7
    return b"\1\1" + bytes(varint) + bytes([at_ms]) + b"\2" + struct.pack("<d", value)


def fill_lathe(place, count: int) -> None:
    with tables(place) as to:
        to.put("track_keys", "project, name", ((1, name) for name in ("loss", "optimizer", "team")))
        keys = {name: to.number(f"SELECT id FROM track_keys WHERE name = '{name}'") for name in ("loss", "optimizer", "team")}
        first = to.number("SELECT COALESCE(MAX(id), 0) + 1 FROM track_runs")
        to.put("track_runs", "id, project, run_id, exp, name, name_tag, user_id, status, start_ms, end_ms, deleted, artifact_uri, attempt",
               ((first + i, 1, run, EXPERIMENT, f"run-{i}", 1, "bench", 3, START_MS + i, START_MS + i + 1, 0,
                 f"mlflow-artifacts:/0/{run}/artifacts", "") for i, run, *_ in runs(count)))
        to.put("track_latest_metrics", "project, run, key_id, exp, value, at_ms, step, is_nan, min_value, max_value, tail",
               ((1, first + i, keys["loss"], EXPERIMENT, loss, START_MS + i, 1, 0, loss, loss, tail(START_MS + i, loss))
                for i, _, loss, *_ in runs(count)))
        for table, key, at in (("track_params", "optimizer", 3), ("track_tags", "team", 4)):
            to.put(table, "project, run, key_id, exp, value", ((1, first + row[0], keys[key], EXPERIMENT, row[at]) for row in runs(count)))
        if isinstance(place, tuple):
            to.cluster.psql(to.database, "-qc", "ANALYZE")

"""A PostgreSQL cluster of the benchmark's own, with a database for each server that it measures."""

import contextlib
import pathlib
import subprocess
import tempfile

from harness import ROOT

PG = ROOT / "tools/fixtures/pg.sh"


class Postgres:
    def __init__(self, folder: pathlib.Path):
        self.folder, self.made = folder, 0
        self.url = subprocess.run([PG, "start", folder], check=True, capture_output=True, text=True).stdout.strip()

    def psql(self, database: str, *arguments: str, text: str = "") -> str:
        return subprocess.run([PG, "psql", self.folder, "-d", database, "-v", "ON_ERROR_STOP=1", *arguments], check=True, input=text,
                              stdout=subprocess.PIPE, text=True).stdout

    def database(self) -> str:
        """The name of a new one."""
        self.made += 1
        self.psql("lathe", "-qc", f"CREATE DATABASE bench_{self.made}")
        return f"bench_{self.made}"

    def url_of(self, database: str) -> str:
        return f"{self.url.rsplit('/', 1)[0]}/{database}"

    def stop(self) -> None:
        subprocess.run([PG, "stop", self.folder], check=False)


@contextlib.contextmanager
def postgres():
    # On the project's disk, as the servers' folders; short, for a socket lies in it.
    with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="pg-", ignore_cleanup_errors=True) as folder:
        pathlib.Path(folder).chmod(0o755)
        made = Postgres(pathlib.Path(folder) / "c")
        try:
            yield made
        finally:
            made.stop()

"""A throw-away copy of this machine: an overlay over / in a mount namespace of its own, entered by chroot. What is
installed, changed or deleted in it is gone afterwards. Needs root, as CI has."""

import os
import pathlib
import shutil
import subprocess
import tempfile

ENTER = """set -e
mount -t overlay overlay -o lowerdir=/,upperdir={0}/upper,workdir={0}/work {0}/root
for fs in proc sys dev; do mount --rbind /$fs {0}/root/$fs; done
exec chroot {0}/root /bin/bash -e {0}/script
"""


def can_be_made():
    if os.geteuid() != 0:
        return False
    with Machine() as machine:
        return machine.run("true").returncode == 0


class Machine:
    def __enter__(self):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="lathe-machine-"))
        for part in ("upper", "work", "root"):
            (self.place / part).mkdir()
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.place, ignore_errors=True)

    def run(self, script, timeout=400):
        """Runs a shell script in the copy; what earlier scripts changed is there. Processes end with it."""
        (self.place / "script").write_text(script)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LATHE_", "MLFLOW_", "VIRTUAL_ENV", "PYTEST"))}
        return subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER.format(self.place)],
            env={**kept, "DEBIAN_FRONTEND": "noninteractive"}, capture_output=True, text=True, timeout=timeout,
        )

    def check(self, script, timeout=400):
        done = self.run(script, timeout)
        assert done.returncode == 0, f"{script}\nended with {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done.stdout

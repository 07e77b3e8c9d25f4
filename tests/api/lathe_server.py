"""One `lathe up` as API tests see it. LATHE_BINARY names another binary than build/release/lathe."""
import os
import pathlib
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("LATHE_BINARY", ROOT / "build" / "release" / "lathe")).resolve()


def clean_environment(**extra):
    """The environment without any LATHE_ or MLFLOW_ variable of the caller's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LATHE_", "MLFLOW_"))}
    return {**kept, **extra}


class Server:
    """One `lathe up` in a folder of its own (home), its state in home/.lathe."""

    def __init__(self, home, args=(), env=None, wait=True):
        self.home = pathlib.Path(home)
        self.dir = self.home / ".lathe"
        self.log_path = self.home / "server.log"
        self.args = list(args)
        self.env = clean_environment(**(env or {}))
        self.process = None
        self.url = None
        self.start(wait)

    def start(self, wait=True):
        (self.dir / "address").unlink(missing_ok=True)
        command = [str(BINARY), "up", "--dir", str(self.dir), *self.args]
        if "--listen" not in self.args:
            command += ["--listen", "127.0.0.1:0"]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, cwd=self.home, env=self.env, stdout=log, stderr=log)
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds=60):
        until = time.monotonic() + seconds
        address = self.dir / "address"
        while not (address.exists() and address.read_text().endswith("\n")):
            assert self.process.poll() is None, f"the server ended: {self.log()}"
            assert time.monotonic() < until, f"the server does not start: {self.log()}"
            time.sleep(0.01)
        self.url = address.read_text().strip()

    @property
    def port(self):
        return int(self.url.rsplit(":", 1)[1])

    def api(self, path):
        return f"{self.url}/api/lathe/v1{path}"

    def log(self):
        return self.log_path.read_text(errors="replace")

    def cli(self, *args, cwd=None, env=None, check=False, timeout=60):
        """Runs `lathe ARGS` against this server."""
        return subprocess.run([str(BINARY), *map(str, args)], cwd=cwd or self.home, timeout=timeout, check=check, text=True,
                              env=clean_environment(**{"LATHE_SERVER": self.url or "", **(env or {})}), capture_output=True)

    def stop(self, seconds=20):
        """SIGTERM; answers the exit code."""
        if self.process is None or self.process.poll() is not None:
            return self.process and self.process.returncode
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the server did not stop within {seconds} s: {self.log()}") from None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def down(self):
        """Stops the server and everything that it started."""
        subprocess.run([str(BINARY), "down", "--dir", str(self.dir)], cwd=self.home, env=clean_environment(), timeout=60,
                       capture_output=True)
        if self.process and self.process.poll() is None:
            self.stop()

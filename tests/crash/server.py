"""The server under test, started, killed and asked."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import requests


class Server:
    def __init__(self, binary: str, state: pathlib.Path):
        self.binary = binary
        self.state = state
        self.process: subprocess.Popen | None = None
        self.url = ""

    def start(self) -> None:
        address = self.state / "address"
        address.unlink(missing_ok=True)
        log = open(self.state.parent / "server.log", "ab")
        # A session of its own: a kill of the server is a kill of one process, never of this test's group.
        self.process = subprocess.Popen(
            [self.binary, "up", "--dir", str(self.state), "--listen", "127.0.0.1:0"],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            # What a stage finds as `python` is the interpreter of this test, with its packages.
            env={**os.environ, "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"},
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}; see {log.name}")
            if address.exists() and (text := address.read_text().strip()):
                self.url = text if text.startswith("http") else f"http://{text}"
                try:
                    if requests.get(f"{self.url}/health", timeout=5).text == "OK":
                        return
                except requests.RequestException:
                    pass
            time.sleep(0.02)
        raise RuntimeError("the server did not answer within 30 s")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)

    def kill_all(self) -> None:
        """The server and whatever still holds its folder: the warden and its stages."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        ours = str(self.state).encode()
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                if ours in (entry / "cmdline").read_bytes() or ours in (entry / "environ").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                continue

    def command(self, *words: str, cwd=None) -> str:
        done = subprocess.run([self.binary, *words], cwd=cwd, env={**os.environ, "LATHE_SERVER": self.url},
                              capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"lathe {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def fsck(self) -> list[str]:
        done = subprocess.run([self.binary, "fsck", "--dir", str(self.state)], capture_output=True, text=True, timeout=300)
        return [] if done.returncode == 0 else [f"fsck: {done.stdout}{done.stderr}"]

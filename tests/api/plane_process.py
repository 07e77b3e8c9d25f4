"""One `lathe serve --control URL` as API tests see it, and a plain TCP balancer to put before several."""
import itertools
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

from lathe_server import BINARY, clean_environment


class Plane:
    """A data plane in a folder of its own; started again on it with start()."""

    def __init__(self, home, control, token="", *args, env=None, wait=True):
        self.home = pathlib.Path(home)
        self.dir = self.home / ".lathe-plane"
        self.log_path = self.home / "plane.log"
        self.args = ["--control", control, "--name", self.home.name, *map(str, args)]
        self.env = clean_environment(**({"LATHE_TOKEN": token} if token else {}), **(env or {}))
        self.port = 0  # the same one at the next start
        self.process = None
        self.start(wait)

    def start(self, wait=True):
        self.log_path.write_bytes(b"")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([str(BINARY), "serve", *self.args, "--http-port", str(self.port)], cwd=self.home,
                                            env=self.env, stdout=log, stderr=log)
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds=60):
        until = time.monotonic() + seconds
        while not (found := re.search(r"serves \d+ endpoints of \S+ at (\S+):(\d+) ", self.log())):
            assert self.process.poll() is None, f"it ended: {self.log()}"
            assert time.monotonic() < until, f"it does not start: {self.log()}"
            time.sleep(0.01)
        self.port = int(found[2])
        self.url = f"{found[1]}:{self.port}"

    def log(self):
        return self.log_path.read_text(errors="replace")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, seconds=20):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(seconds)
        return self.process.returncode


class Balancer:
    """Accepts TCP connections and passes each to the next backend, byte for byte, knowing nothing of what they say."""

    def __init__(self, ports):
        self.backends = itertools.cycle(ports)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            backend = socket.create_connection(("127.0.0.1", next(self.backends)))
            for a, b in ((client, backend), (backend, client)):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.close()

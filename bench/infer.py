"""The iris model behind an endpoint, and behind the bare program that is its ceiling.

By hand: build/release/bin/infer_ceiling MODEL.onnx 9000, then
wrk -t1 -c64 -d5s -s bench/infer.lua http://127.0.0.1:9000/ and the same against .../v2/models/iris/infer.
"""

import contextlib
import os
import pathlib
import sys
import tempfile
import urllib.request

from harness import BUILD, ROOT, Process, Server

sys.path.insert(0, str(ROOT / "tests/api"))
os.environ.setdefault("LATHE_BINARY", str(BUILD / "lathe"))
from deploy import deploy, made_models  # noqa: E402


@contextlib.contextmanager
def ceiling(port: int = 9077):
    bare = Process(BUILD / "bin/infer_ceiling", made_models() / "iris/model.onnx", port)
    url = f"http://127.0.0.1:{port}"
    body = b'{"inputs":[{"data":[5.1,3.5,1.4,0.2]}]}'
    try:
        for _ in range(2000):
            with contextlib.suppress(OSError):
                if urllib.request.urlopen(urllib.request.Request(url, body), timeout=5).status == 200:
                    break
            if bare.popen.poll() is not None:
                raise SystemExit("infer_ceiling ended; is its port taken?")
        yield bare, url
    finally:
        bare.stop()


@contextlib.contextmanager
def deployed(*options: str):
    with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="bench-") as folder:
        state = pathlib.Path(folder) / "state"
        Server(state, *options).stop()
        deploy(state, "iris", made_models() / "iris")
        made = Server(state, *options)
        try:
            yield made, f"{made.url}/v2/models/iris/infer"
        finally:
            made.stop()

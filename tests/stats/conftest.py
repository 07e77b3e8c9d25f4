import json
import math
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def plain(value):
    """JSON has no NaN or infinity: the probe reads and writes them as words."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


class Probe:
    def __init__(self, binary):
        self.child = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, ask, **request):
        self.child.stdin.write(json.dumps(plain({"ask": ask, **request})) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        assert line, f"stats_probe ended with {self.child.wait()} on {ask}"
        return json.loads(line)

    def close(self):
        self.child.stdin.close()
        assert self.child.wait() == 0


@pytest.fixture(scope="session")
def probe():
    build = pathlib.Path(os.environ.get("LATHE_BUILD", ROOT / "build/release"))
    binary = build / "bin/stats_probe"
    if not binary.exists():
        pytest.fail(f"{binary} is missing; ./dev build makes it")
    probe = Probe(binary)
    yield probe
    probe.close()

"""A seed of the differential test of traces; LATHE_DIFFERENTIAL names another number of requests."""
import os
import pathlib
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import trace_play  # noqa: E402


def test_the_real_server_says_the_same_of_traces():
    servers = pytest.importorskip("servers")
    if not (servers.PEER / "bin" / "mlflow").exists():
        pytest.skip(f"{servers.PEER} has no mlflow")
    with tempfile.TemporaryDirectory() as theirs, tempfile.TemporaryDirectory() as mine:
        upstream, ours = servers.Mlflow(theirs), servers.lathe(mine)
        try:
            play = trace_play.Play(upstream.url, ours.url, 7)
            play.run(int(os.environ.get("LATHE_DIFFERENTIAL", "200")))
        finally:
            upstream.down()
            ours.down()
    assert not play.differences, "\n".join(play.differences[:5])

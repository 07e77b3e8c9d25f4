"""A few seeds of the differential test; LATHE_DIFFERENTIAL names another number of requests."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import play  # noqa: E402
import servers  # noqa: E402


def test_the_real_server_says_the_same():
    assert (servers.PEER / "bin" / "mlflow").exists(), f"{servers.PEER} has no mlflow; ./dev test makes it from tests/requirements-mlflow.txt"
    wanted = int(os.environ.get("LATHE_DIFFERENTIAL", "400"))
    played = play.Play(keep_going=True)
    seed = 1000
    while played.total < wanted:
        played.run(seed, min(2000, wanted - played.total))
        seed += 1
    assert not played.differences, "\n".join(played.differences[:5])
    assert played.total >= wanted and sum(n for (_, status), n in played.counts.items() if status == 200) > wanted / 3

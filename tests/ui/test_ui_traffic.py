"""An endpoint's traffic in the browser: divided with its effect shown first, and a captured request replayed."""
import sys

import pytest
import requests

from ui_paths import ROOT

sys.path.insert(0, str(ROOT / "tests" / "api"))
from deploy import deploy, made_models  # noqa: E402


@pytest.fixture
def flowers(empty_server):
    empty_server.stop()
    for version in (1, 2):
        deploy(empty_server.dir, "flowers", made_models() / "iris", version=version)
    empty_server.start()
    return empty_server


def test_traffic_is_divided_and_a_request_replayed(flowers, browse):
    for _ in range(3):
        requests.post(flowers.url + "/v1/models/flowers:predict", json={"instances": [[5.1, 3.5, 1.4, 0.2]]}).raise_for_status()
    outcome = browse("loop.mjs", "traffic", flowers.url)
    assert not outcome["problems"], "\n".join(outcome["problems"])
    told = requests.get(flowers.api("/endpoints/flowers/traffic")).json()
    assert {r["revision"]: r["weight"] for r in told["revisions"]} == {1: 10, 2: 90}
    assert told["shadow"] is None and told["sticky"] == "x-user"

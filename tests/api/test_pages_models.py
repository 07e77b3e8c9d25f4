"""What the browser's pages about models, evaluations and promotions ask for, on a server that promoted one."""
import pytest


@pytest.fixture(scope="module")
def gate(life):
    """The evaluation of what serves on the rows that judged it."""
    found = life.get("/pages/evaluations")["evaluations"]
    return next(e["evaluation"] for e in found if e["evaluation"]["purpose"] == "gate")


def test_a_model_tells_where_it_serves_and_what_judged_it(life):
    (model,) = life.get("/pages/models")["models"]
    assert model["name"] == "digits" and model["versions"] == 1 and model["aliases"] == {"champion": 1}
    assert [(d["endpoint"], d["version"], d["live"]) for d in model["deployed"]] == [("digits", 1, True)]
    assert model["verdict"]["endpoint"] == "digits"
    assert model["evaluation"]["purpose"] == "gate" and model["evaluation"]["low"] <= model["evaluation"]["value"] <= model["evaluation"]["high"]
    assert life.get("/pages/models", q="name LIKE 'no%'")["models"] == []
    assert "character" in life.get("/pages/models", 400, q="name LIKE")["error"]["message"]


def test_a_model_page_and_its_version(life):
    page = life.get("/pages/models/digits")
    assert page["count"] == 1 and [p["kind"] for p in page["promotions"]] == ["promoted"] and page["ready"] == []
    (version,) = page["versions"]
    assert version["version"] == 1 and version["run_name"] and version["deployed"][0]["revision"] == 1
    one = life.get("/pages/models/digits/1")
    assert {e["purpose"] for e in one["evaluations"]} == {"select", "gate"}
    # A later run may have found that nothing is better; the verdict that let it in stays.
    judged = next(v for v in one["verdicts"] if v["passed"])
    assert judged["kind"] == "first" and judged["challenger"] == one["version"]["model_id"]
    assert judged["numbers"]["rows"][0]["challenger"]["value"] == version["evaluation"]["value"]
    for path in ("/pages/models/nothing", "/pages/models/digits/9"):
        assert life.get(path, 404)["error"]["code"] == "not-found"
    assert life.get("/pages/models/digits/x", 400)["error"]["message"]


def test_a_preview_says_why_not(life):
    verdict = next(v["id"] for v in life.get("/verdicts")["verdicts"] if v["passed"])
    preview = life.get("/pages/promotion", verdict=verdict)
    assert "promoted already" in preview["refusal"] and preview["already"]["revision"] == 1
    assert preview["now"]["version"] == preview["then"]["version"] == 1 and not preview["registers"]
    assert preview["alias"] == "champion" and preview["baseline"]["part"] == "test"
    rollback = life.get("/pages/rollback", endpoint="digits")
    assert "no earlier revision" in rollback["refusal"] and rollback["then"] is None
    assert life.get("/pages/promotion", 400)["error"]["message"].startswith("say what would be promoted")
    assert life.get("/pages/promotion", 404, verdict="vd_x") and life.get("/pages/rollback", 404, endpoint="x")
    assert life.get("/pages/rollback", 400)


def test_evaluations_come_with_names_and_in_pages(life):
    everything = life.get("/pages/evaluations")["evaluations"]
    assert all(e["data_name"] == "digits" and e["data_number"] == 1 and e["model_name"] for e in everything)
    rows, after = [], {}
    while True:
        page = life.get("/pages/evaluations", limit=1, **after)
        rows += page["evaluations"]
        if "next" not in page or not page["evaluations"]:
            break
        after = {"after": page["next"]}
    assert rows == everything
    champion = everything[0]["evaluation"]["model"]
    assert {e["evaluation"]["model"] for e in life.get("/pages/evaluations", model=champion)["evaluations"]} == {champion}


def test_rows_of_an_evaluation_agree_with_its_numbers(life, gate):
    page = life.get(f"/pages/evaluations/{gate['id']}")
    summary = page["page"]["evaluation"]["summary"]
    assert page["label"] == "digit" and len(page["features"]) == 64 and page["verdict"]["passed"]
    path = f"/pages/evaluations/{gate['id']}/rows"
    wrong = life.get(path, wrong=1, limit=500)
    assert wrong["matches"] == round((1 - summary["value"]) * summary["rows"]) and wrong["rows_total"] == summary["rows"]
    scores = [r["score"] for r in wrong["rows"]]
    assert scores == sorted(scores, reverse=True) and all(r["label"] != r["predicted"] for r in wrong["rows"])
    assert [r["row"] for r in wrong["rows"]][:len(summary["worst"])] == [w["row"] for w in summary["worst"]][:len(wrong["rows"])]
    labels, counts = summary["confusion"]["labels"], summary["confusion"]["counts"]
    for i in (0, 3):
        for j in (0, 3, 8):
            assert life.get(path, label=labels[i], predicted=labels[j])["matches"] == counts[i][j]
    whole = life.get(path, limit=500)["rows"]
    assert [r["row"] for r in life.get(path, offset=5, limit=3)["rows"]] == [r["row"] for r in whole[5:8]]
    assert all(len(r["input"]) == 64 for r in whole)


def test_two_models_on_the_same_rows(life):
    selected = [e["evaluation"] for e in life.get("/pages/evaluations")["evaluations"] if e["evaluation"]["purpose"] == "select"]
    one, other = selected[:2]
    assert one["rows_sha256"] == other["rows_sha256"]
    assert other["id"] in [o["evaluation"]["id"] for o in life.get(f"/pages/evaluations/{one['id']}")["others"]]
    path = f"/pages/evaluations/{one['id']}/rows"
    differ = life.get(path, against=other["id"], disagree=1, limit=500)["rows"]
    assert differ == [r for r in life.get(path, against=other["id"], limit=500)["rows"] if r["predicted"] != r["other"]]
    assert life.get(path, 400, disagree=1)["error"]["message"].startswith("'disagree' needs 'against'")
    gate = next(e["evaluation"] for e in life.get("/pages/evaluations")["evaluations"] if e["evaluation"]["purpose"] == "gate")
    assert "different rows" in life.get(path, 409, against=gate["id"])["error"]["message"]


@pytest.mark.parametrize("bad", [{"limit": 0}, {"limit": 501}, {"offset": -1}, {"slice": "nothing", "value": "1"}, {"slice": "digit", "value": "no"}, {"wrong": "perhaps"}])
def test_bad_parameters_of_rows_are_told(life, gate, bad):
    assert life.get(f"/pages/evaluations/{gate['id']}/rows", 400, **bad)["error"]["message"]

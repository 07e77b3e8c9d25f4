"""Preparation and data versions, through `lathe step prepare`, `lathe data` and the routes. What is fitted is compared
with scikit-learn; what is read with pandas."""
import csv
import hashlib
import io
import json
import random

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

YAML = """
split:   {train: 0.6, valid: 0.2, test: 0.2, seed: 5}
missing: {mean: mean, median: median, mode: mode, constant: {constant: -7.5}, city: {constant: nowhere}, tint: mode}
scale:   {mean: standard, median: minmax, mode: standard, constant: minmax, flat: standard, wide: standard, tiny: minmax}
one_hot: [city, tint, code]
"""
NUMBERS = ["mean", "median", "mode", "constant", "flat", "wide", "tiny"]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(11)
    n = 700
    frame = pd.DataFrame({
        "mean": rng.normal(3, 10, n), "median": rng.lognormal(0, 2, n), "mode": rng.integers(0, 6, n).astype(float),
        "constant": rng.uniform(-1e6, 1e6, n), "flat": np.full(n, 0.1), "wide": rng.normal(1e9, 1e-2, n), "tiny": rng.normal(0, 1e-300, n),
        "city": rng.choice(["Oslo", "Bern", "São Paulo", "a, \"quoted\" town"], n), "tint": rng.choice(["red", "blue"], n),
        "code": rng.choice([1.0, 2.5, 10.0], n), "label": rng.integers(0, 3, n)})
    for column in ["mean", "median", "mode", "constant", "city", "tint"]:
        frame.loc[rng.random(n) < 0.15, column] = np.nan
    return frame


def read(path):
    return pd.read_csv(path)


def prepare(server, cwd, *args, name="toy", label="label", code=0, env=None):
    done = server.cli("step", "prepare", name, *(["--label", label] if label else []), *args, cwd=cwd, env=env)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_the_fitted_transform_is_scikit_learns(server, tmp_path, rows):
    rows.to_csv(tmp_path / "raw.csv", index=False)
    (tmp_path / "prepare.yaml").write_text(YAML)
    prepare(server, tmp_path, "--files", "raw.csv", "--spec", "prepare.yaml", "--out", "out")
    train, valid = read(tmp_path / "out/train.csv"), read(tmp_path / "out/valid.csv")
    assert len(train) + len(valid) + len(read(tmp_path / "out/test.csv")) == len(rows)

    def column(name):
        impute = {"mean": SimpleImputer(), "median": SimpleImputer(strategy="median"), "mode": SimpleImputer(strategy="most_frequent"),
                  "constant": SimpleImputer(strategy="constant", fill_value=-7.5)}.get(name)
        scale = MinMaxScaler() if name in ("median", "constant", "tiny") else StandardScaler()
        parts = [train[[name]].to_numpy(), valid[[name]].to_numpy()]
        for step in filter(None, [impute, scale]):
            step.fit(parts[0])
            parts = [step.transform(part) for part in parts]
        return [part[:, 0] for part in parts]

    exports = [read(tmp_path / "out/export/train.csv"), read(tmp_path / "out/export/valid.csv")]
    for name in NUMBERS:
        for ours, theirs in zip(exports, column(name)):
            # Where a mean is subtracted the result is small against its terms: what is lost there is lost on both sides.
            near = {"wide": 1e-5, "flat": 1e-15}.get(name, 1e-12 * np.abs(theirs).max())
            np.testing.assert_allclose(ours[name], theirs, rtol=1e-12, atol=near, err_msg=name)

    filled = {"city": lambda f: f["city"].fillna("nowhere"), "tint": lambda f: f["tint"].fillna(train["tint"].mode()[0]), "code": lambda f: f["code"]}
    for name, fill in filled.items():
        encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(fill(train).to_numpy().reshape(-1, 1))
        names = [f"{name}_{c:g}" if name == "code" else f"{name}_{c}" for c in encoder.categories_[0]]
        for ours, part in zip(exports, [train, valid]):
            assert [c for c in ours.columns if c.startswith(name + "_")] == names
            np.testing.assert_array_equal(ours[names], encoder.transform(fill(part).to_numpy().reshape(-1, 1)))
    for ours, part in zip(exports, [train, valid]):
        np.testing.assert_array_equal(ours["label"], part["label"])


def test_raw_parts_keep_every_value_exactly(server, tmp_path, rows):
    rows.to_csv(tmp_path / "raw.csv", index=False)
    (tmp_path / "prepare.yaml").write_text(YAML)
    prepare(server, tmp_path, "--files", "raw.csv", "--spec", "prepare.yaml", "--out", "out")
    parts = pd.concat([read(tmp_path / f"out/{part}.csv") for part in ("train", "valid", "test")])
    by = ["constant", "wide", "tiny", "mean", "median"]
    pd.testing.assert_frame_equal(parts.sort_values(by).reset_index(drop=True), read(tmp_path / "raw.csv").sort_values(by).reset_index(drop=True),
                                  check_exact=True)


def test_profile_is_numpys(server, tmp_path, rows):
    rows.to_csv(tmp_path / "raw.csv", index=False)
    prepare(server, tmp_path, "--files", "raw.csv", "--out", "out")
    profile = json.loads((tmp_path / "out/profile.json").read_text())
    for column in profile["columns"]:
        values = rows[column["name"]]
        present = values.dropna()
        assert (column["count"], column["missing"], column["distinct"]) == (len(present), values.isna().sum(), present.nunique())
        assert dict(sorted((t["value"], t["count"]) for t in column["top"][:1])) or len(present) == 0
        if column["type"] == "number":
            assert (column["min"], column["max"]) == (present.min(), present.max())
            np.testing.assert_allclose([column["mean"], column["std"]], [present.mean(), present.std(ddof=0)], rtol=1e-9, atol=1e-12 * abs(present).max())
            for q, value in column["quantiles"].items():
                np.testing.assert_allclose(value, np.quantile(present, float(q)), rtol=1e-12)
            assert sum(column["histogram"]["counts"]) == len(present)
            if column["distinct"] > 1:
                np.testing.assert_allclose(column["histogram"]["edges"], np.histogram_bin_edges(present, 20),
                                           rtol=1e-12, atol=1e-12 * abs(present).max())


def test_published_versions(server, tmp_path, rows, http):
    raw = tmp_path / "raw"
    raw.mkdir()
    rows[:400].to_csv(raw / "a.csv", index=False)
    rows[400:].to_csv(raw / "b.csv", index=False)
    first = prepare(server, tmp_path, "--files", "raw/*.csv", name="pub").stdout
    assert first.startswith("pub@1  ")
    # The same rows in another order and other files are the same version, but for what names the files.
    shuffled = rows.sample(frac=1, random_state=3)
    shuffled[:100].to_csv(raw / "a.csv", index=False)
    shuffled[100:].to_csv(raw / "b.csv", index=False)
    assert prepare(server, tmp_path, "--files", "raw/*.csv", name="pub").stdout == first
    listed = http.get(server.api("/data/pub/versions")).json()["versions"]
    assert len(listed) == 1 and listed[0]["rows"]["train"] > 400

    version = http.get(server.api("/data/pub/versions/latest")).json()
    for file in version["files"]:
        body = http.get(server.api(f"/data/pub/versions/1/files/{file['path']}"))
        assert body.status_code == 200 and hashlib.sha256(body.content).hexdigest() == file["digest"]
    manifest = sorted(f["path"].encode() + b"\0" + f["digest"].encode() + b"\n" for f in version["files"])
    assert version["id"] == hashlib.sha256(b"".join(manifest)).hexdigest()
    kinds = [e["kind"] for e in http.get(server.api("/events?after=0.0&limit=1000"), headers={"Accept": "application/json"}).json()["events"]]
    assert "data_version.created" in kinds

    # A change makes a second one, and diff tells what changed.
    changed = rows.copy()
    changed.loc[changed.index[:50], "constant"] += 1e7
    changed.loc[changed.index[600:610], "label"] = 9
    changed[:690].to_csv(raw / "a.csv", index=False)
    changed[690:695].to_csv(raw / "b.csv", index=False)
    assert prepare(server, tmp_path, "--files", "raw/*.csv", name="pub").stdout.startswith("pub@2  ")
    shown = server.cli("data", "diff", "pub@1", "pub@2", "--json", check=True)
    diff = json.loads(shown.stdout)
    moved_away = int(rows["constant"][:50].notna().sum())
    assert diff["rows"] == {"before": 700, "after": 695, "added": moved_away, "removed": moved_away + 5, "relabelled": 10, "moved": 0}
    columns = {c["name"]: c for c in diff["columns"]}
    assert columns["constant"]["distance"] > 0.05 and columns["tint"]["distance"] < 0.02
    assert "pub@2" in server.cli("data", "list", check=True).stdout
    server.cli("data", "get", "pub@1", "--out", tmp_path / "got", check=True)
    assert (tmp_path / "got/export/valid.csv").exists()


def test_a_side_is_what_the_documented_hash_says(server, tmp_path):
    rng = random.Random(4)
    with open(tmp_path / "raw.csv", "w") as out:
        out.write("b,a,label\n")
        for _ in range(500):
            out.write(f"{rng.random()},{rng.choice(['x', 'y', ''])},{rng.randint(0, 1)}\n")
    (tmp_path / "p.yaml").write_text("split: {train: 0.5, valid: 0.25, test: 0.25, seed: 77}")
    prepare(server, tmp_path, "--files", "raw.csv", "--spec", "p.yaml", "--out", "out")

    def side(row):
        text = "".join(f"{n}\x1f{v}\x1e" for n, v in (("a", row["a"]), ("b", np.format_float_scientific(np.float32(row["b"])))) if v)
        if row["b"]:
            shortest = repr(float(str(np.float32(row["b"]))))
            text = (f"a\x1f{row['a']}\x1e" if row["a"] else "") + f"b\x1f{shortest}\x1e"
        point = int.from_bytes(hashlib.sha256((77).to_bytes(8, "big") + b"f" + text.encode()).digest()[:8], "big") / 2**64
        return "train" if point < 0.5 else "valid" if point < 0.75 else "test"

    seen = 0
    for part in ("train", "valid", "test"):
        for row in csv.DictReader(io.StringIO((tmp_path / f"out/{part}.csv").read_text())):
            if float(row["b"]) < 1e-3:
                continue  # to_chars and Python choose the exponent form at different sizes
            assert side(row) == part
            seen += 1
    assert seen > 490


@pytest.mark.parametrize("text, args, words", [
    ("x,label\n1,0\n", ["--files", "*.txt"], "no file matches '*.txt'"),
    ("x,label\n1,0\n", ["--files", "raw.csv", "--spec", "missing.yaml"], "missing.yaml"),
    ("x,label\n1,0\n", ["--files", "raw.csv", "--spec", "bad.yaml"], "bad.yaml:1: unknown key 'splits'"),
    ("x,y\n1,0\n", ["--files", "raw.csv"], "label: no file has a column 'label'; the columns are x, y"),
    ("x,label\n,\n", ["--files", "raw.csv"], "the first is raw.csv:2: label: missing"),
    ("x,label\n\"1,0\n", ["--files", "raw.csv"], "a quote that is never closed"),
])
def test_mistakes_are_told(server, tmp_path, text, args, words):
    (tmp_path / "raw.csv").write_text(text)
    (tmp_path / "bad.yaml").write_text("splits: {}")
    done = prepare(server, tmp_path, *args, name="bad", code=1)
    assert words in done.stderr


def test_routes_refuse_what_is_wrong(server, http):
    def error(response, status):
        assert response.status_code == status, response.text
        return response.json()["error"]["message"]

    data = b"x,label\n1,0\n"
    digest = hashlib.sha256(data).hexdigest()
    assert "not " + "0" * 64 in error(http.put(server.api("/blobs/" + "0" * 64), data=data), 400)
    error(http.put(server.api("/blobs/xyz"), data=data), 400)
    error(http.get(server.api("/blobs/" + "1" * 64)), 404)
    assert http.post(server.api("/blobs/missing"), json={"digests": ["2" * 64]}).json() == {"missing": ["2" * 64]}
    error(http.post(server.api("/blobs/missing"), json={"digests": "no"}), 400)
    put = http.put(server.api("/blobs/" + digest), data=data)
    assert put.status_code == 201 and put.json()["md5"] == hashlib.md5(data).hexdigest()
    assert http.get(server.api("/blobs/" + digest)).content == data
    assert http.post(server.api("/blobs/missing"), json={"digests": [digest]}).json() == {"missing": []}

    file = {"path": "train.csv", "digest": digest, "size": len(data)}
    versions = server.api("/data/refused/versions")
    assert "must be uploaded first" in error(http.post(versions, json={"files": [{**file, "digest": "3" * 64}]}), 409)
    assert "said to have 1 bytes" in error(http.post(versions, json={"files": [{**file, "size": 1}]}), 400)
    error(http.post(versions, json={"files": [{**file, "path": "../up"}]}), 400)
    error(http.post(versions, json={"files": [file, file]}), 400)
    error(http.post(versions, json={"files": []}), 400)
    error(http.post(versions, json={"files": [file], "rows": {"train": "many"}}), 400)
    error(http.post(versions, json={"files": [file], "source": "text"}), 400)
    error(http.post(versions, json={"files": [file], "base_version": "4" * 64}), 404)
    error(http.post(versions, data=b"{"), 400)
    error(http.get(versions), 404)
    assert http.post(versions, json={"files": [file]}).status_code == 201
    error(http.get(versions + "/7"), 404)
    assert "it has train.csv" in error(http.get(versions + "/1/files/nope"), 404)

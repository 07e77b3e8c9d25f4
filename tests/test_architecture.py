"""The shape of the house, read from the sources: who may include whom, what may be heavy, what every room has."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SRC = ROOT / "src"

FOUNDATION = {"base", "store", "blob", "core", "stats"}
DOMAINS = {"data", "flow", "track", "serve", "watch", "lab", "hooks"}
# Arrows point down only. A domain never includes a door, another domain, or the loop; only server knows everything.
ALLOWED = {
    "base": set(),
    "stats": {"base"},
    "net": {"base"},
    "store": {"base"},
    "s3": {"base", "net"},
    "blob": {"base", "store", "s3"},
    "core": {"base", "store"},
    "gate": {"base", "store", "core", "net"},
    **{domain: FOUNDATION for domain in DOMAINS},
    # Traces belong to experiments and runs, and are searched in the language of tracking.
    "traces": FOUNDATION | {"track"},
    "loop": FOUNDATION | DOMAINS,
    # What `lathe import` asks of the store, whether a server runs on it or not.
    "takeover": FOUNDATION | {"track", "traces", "hooks"},
    "api/mlflow": FOUNDATION | {"net", "gate", "track", "traces", "hooks"},
    # Models from a folder in Triton's layout, as routes for the same doors.
    "repository": FOUNDATION | {"serve"},
    # A data plane apart: serve's runtime fed by another server, and what that server knows of it.
    "plane": FOUNDATION | {"net", "gate", "serve"},
    "api/inference": FOUNDATION | {"net", "serve", "repository"},
    "api/lathe": FOUNDATION | DOMAINS | {"net", "gate", "loop", "plane", "takeover"},
    "api/pages": {"base", "net"},
    "server": FOUNDATION | DOMAINS | {"net", "s3", "gate", "traces", "repository", "plane", "loop", "api/mlflow", "api/inference", "api/lathe", "api/pages"},
    "cli": FOUNDATION | DOMAINS | {"net", "loop", "server", "traces", "takeover"},
}
# Cost seconds of compile time each; they stay out of our headers (base/json.h is the one door to Boost.JSON).
HEAVY = re.compile(
    r"<(boost/|CLI/|yaml-cpp/|spdlog/|curl/|sodium|libpq-fe\.h|sqlite3\.h|openssl/|duckdb\.h|onnxruntime|simdjson|nghttp2/|gtest|gmock)"
)
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|(<[^>]+>))', re.M)


def room_of(path: str) -> str:
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "api" else parts[0]


def sources(*suffixes):
    return sorted(p for p in SRC.rglob("*") if p.suffix in suffixes)


def name_of(file: pathlib.Path) -> str:
    return file.relative_to(SRC).as_posix()


def test_includes_follow_the_allowed_edges():
    wrong = []
    for file in sources(".h", ".cc"):
        room = room_of(name_of(file))
        for local, _ in INCLUDE.findall(file.read_text()):
            target = room_of(local) if "/" in local else room
            if target != room and target in ALLOWED and target not in ALLOWED[room]:
                wrong.append(f"{name_of(file)} includes {local}: {room} → {target} is not an allowed edge")
    assert not wrong, "\n".join(wrong)


def test_every_folder_is_a_known_room():
    found = {room_of(name_of(f)) for f in sources(".h", ".cc")}
    assert found <= set(ALLOWED), f"add to the table: {sorted(found - set(ALLOWED))}"


def test_heavy_headers_stay_inside_a_room():
    """What another room includes is cheap to include; a room's private headers may hold what its own sources need."""
    includes = {name_of(f): INCLUDE.findall(f.read_text()) for f in sources(".h", ".cc")}
    heavy = {
        name for name, found in includes.items() if name.endswith(".h") and name != "base/json.h"
        and any(HEAVY.match(system or "") or local == "base/json.h" for local, system in found)
    }
    wrong = [
        f"{name} includes {local}, which is heavy" for name, found in includes.items() for local, _ in found
        if name.endswith(".h") and local in heavy and room_of(local) != room_of(name)
        and not name.endswith("/testing.h")  # only tests include it
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", sorted(r for r in ALLOWED if any((SRC / r).glob("*.cc"))))
def test_every_room_introduces_itself(room):
    readme = SRC / room / "README.md"
    assert readme.is_file(), f"src/{room}/README.md is missing"
    assert len(readme.read_text().splitlines()) <= 60, "a room's README is short"


def test_headers_are_guarded_and_open_with_their_purpose():
    wrong = []
    for file in sources(".h"):
        text = file.read_text()
        if "#pragma once" not in text:
            wrong.append(f"{name_of(file)}: no #pragma once")
        if not text.startswith("//"):
            wrong.append(f"{name_of(file)}: does not open with what it is for")
    assert not wrong, "\n".join(wrong)


def test_no_file_is_a_whole_house():
    large = []
    for file in sources(".h", ".cc"):
        lines = len(file.read_text().splitlines())
        if lines > (300 if file.suffix == ".h" else 900):
            large.append(f"{name_of(file)}: {lines} lines")
    assert not large, "look for the missing concept:\n" + "\n".join(large)


def test_the_project_speaks_of_itself_alone():
    """No path of the machine it was written on, no registry's host name."""
    import subprocess

    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    forbidden = re.compile(r"/(?:work|home|root)/\w|/tmp/\w/|files\.pythonhosted|registry\.npmjs|deb\.debian\.org|pypi\.org/simple")
    me = pathlib.Path(__file__).relative_to(ROOT).as_posix()
    wrong = []
    for name in tracked:
        if name == me or not (ROOT / name).is_file():
            continue
        try:
            text = (ROOT / name).read_text()
        except UnicodeDecodeError:
            bytes_to_test_with = name.startswith(("tests/fuzz/corpus/", "tests/models/trees/", "tests/upgrade/"))
            picture = name.startswith("docs/images/") and name.endswith(".png") and (ROOT / name).stat().st_size < 200_000
            wrong += [] if bytes_to_test_with or picture else [f"{name}: a binary file is committed"]
            continue
        wrong += [f"{name}: {m.group()}" for m in forbidden.finditer(text)]
    assert not wrong, "\n".join(wrong)

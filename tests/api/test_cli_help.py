"""Completion scripts and the man page know every command and option that --help knows; the shells take them."""

import re
import shutil
import subprocess

import pytest
from lathe_server import BINARY, clean_environment


def lathe(*args):
    done = subprocess.run([BINARY, *args], text=True, capture_output=True, env=clean_environment(), timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def commands(path=()):
    """Every command with its options, as `--help` tells them."""
    text = lathe(*path, "--help")
    options = set(re.findall(r"^ +(?:-\w,)?(--[a-z][a-z0-9-]*)", text, re.M))
    yield path, options
    if "Subcommands:" in text:
        for name in re.findall(r"^  ([a-z][a-z0-9-]*)\b", text.split("Subcommands:")[1], re.M):
            yield from commands((*path, name))


@pytest.fixture(scope="module")
def offered():
    found = list(commands())
    assert len(found) > 40
    return found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_nothing_is_forgotten(offered, shell):
    script = lathe("completion", shell)
    for path, options in offered:
        if path:
            assert f"' {' '.join(path)}'" in script, path
        for option in options:
            assert (f"-l {option[2:]} " if shell == "fish" else option) in script, (path, option)


def test_the_man_page_has_every_command_and_option(offered):
    page = lathe("man")
    sections = {re.sub(r"\\f.|\\(?=-)", "", line[4:]).split(" [")[0].strip(): body for line, _, body in
                (part.partition("\n") for part in re.split(r"(?m)^(?=\.S[SH] )", page)) if line.startswith(".SS")}
    for path, options in offered:
        below = [p for p, _ in offered if p[: len(path)] == path and p != path]
        if not path or below:
            continue
        body = next((b for h, b in sections.items() if h == "lathe " + " ".join(path) or h.startswith("lathe " + " ".join(path) + " ")), None)
        assert body is not None, path
        for option in options:
            assert option.replace("-", "\\-") in body, (path, option)
    if shutil.which("man"):
        done = subprocess.run(["man", "--warnings", "-l", "-"], input=page, text=True, capture_output=True, env={"MANWIDTH": "100", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"})
        assert done.returncode == 0 and not done.stderr, done.stderr
        assert "EXIT STATUS" in done.stdout


def complete(*words):
    script = lathe("completion", "bash")
    line = " ".join(f"'{w}'" for w in words)
    done = subprocess.run(["bash", "-c", f"{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _lathe; printf '%s\\n' \"${{COMPREPLY[@]}}\""],
                          text=True, capture_output=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


def test_bash_completes():
    assert {"up", "down", "status", "completion"} <= set(complete("lathe", ""))
    assert complete("lathe", "stat") == ["status"]
    assert "--json" in complete("lathe", "status", "--")
    assert complete("lathe", "completion", "b") == ["bash"]
    assert "--log-level" in complete("lathe", "--server", "x", "up", "--log")
    assert "versions" in complete("lathe", "data", "") or len(complete("lathe", "data", "")) > 1


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_read_it(shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n", "/dev/stdin"], input=lathe("completion", shell), text=True, capture_output=True)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_an_unknown_shell_is_told():
    done = subprocess.run([BINARY, "completion", "tcsh"], text=True, capture_output=True)
    assert done.returncode == 2 and "bash" in done.stderr

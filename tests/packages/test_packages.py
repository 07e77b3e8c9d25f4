"""Each package is installed in a throw-away copy of this machine, with what it must not need taken away, and runs the
demo's whole loop there."""

import os
import pathlib
import re
import subprocess

import pytest
from machine import Machine, can_be_made

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = pathlib.Path(os.environ.get("LATHE_PACKAGES", ROOT / "build/packages"))
DEMO = f"{ROOT}/.venv/bin/python {ROOT}/examples/digits/demo.py --lathe"
# What a wheel and a tarball bundle, and what a machine without Lathe's build dependencies does not have.
HIDDEN = "boost pq curl yaml-cpp spdlog fmt simdjson date-tz sodium nghttp2 zmq"
HIDE = f"""
for name in {HIDDEN}; do rm -f /usr/lib/*/lib$name[._-]* /usr/lib/*/lib$name.so* /lib/*/lib$name.so*; done
rm -rf {ROOT}/build/deps {ROOT}/build/release {ROOT}/.venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so*
ldconfig
"""

pytestmark = [
    pytest.mark.skipif(not PACKAGES.is_dir(), reason="./dev package has not been run"),
    pytest.mark.skipif(not can_be_made(), reason="a copy of the machine needs root and overlayfs"),
]


def package(pattern):
    found = list(PACKAGES.glob(pattern))
    assert len(found) == 1, f"{pattern}: {found}"
    return found[0]


def assert_whole_loop(output):
    """The demo's table: everything happened, and it says so at its end."""
    assert "retrained and promoted" in output and " sent, 0 failed" in output and "Lineage of prediction" in output, output[-3000:]


@pytest.fixture
def machine():
    with Machine() as made:
        yield made


def libraries_of(binary):
    """As a shell script: what the running server has mapped, one path a line."""
    return f"""
{binary} up --dir /tmp/maps --listen 127.0.0.1:0 >/tmp/maps.log 2>&1 &
for _ in $(seq 100); do [ -s /tmp/maps/address ] && break; sleep 0.1; done
pid=$(sed -n 's/.*process //p' /tmp/maps/server.lock)
sed -n 's|.* \\(/.*\\.so.*\\)|\\1|p' /proc/$pid/maps | sort -u
{binary} down --dir /tmp/maps >/dev/null
"""


def test_deb_installs_serves_and_leaves_data(machine):
    deb = package("lathe_*.deb")
    depends = subprocess.run(["dpkg-deb", "-f", deb, "Depends"], capture_output=True, text=True, check=True).stdout
    for library in ("libc6", "libboost-json", "libpq5", "libcurl", "libssl3", "libyaml-cpp"):
        assert library in depends, depends
    out = machine.check(f"""
rm -rf {ROOT}/build/deps {ROOT}/build/release {ROOT}/.venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so*
dpkg -i {deb}
lathe version
lathe doctor --dir /tmp/doctor
getent passwd lathe
stat -c '%U %a' /var/lib/lathe
test -s /usr/share/man/man1/lathe.1.gz && test -s /usr/share/bash-completion/completions/lathe
man -l /usr/share/man/man1/lathe.1.gz >/dev/null
if command -v systemd-analyze >/dev/null; then systemd-analyze verify /lib/systemd/system/lathe.service; fi
# The unit's own command, as its user.
command=$(sed -n 's/^ExecStart=//p' /lib/systemd/system/lathe.service)
setpriv --reuid lathe --regid lathe --clear-groups --no-new-privs $command --listen 127.0.0.1:0 >/tmp/service.log 2>&1 &
for _ in $(seq 100); do [ -s /var/lib/lathe/address ] && break; sleep 0.1; done
test "$(curl -sS "$(cat /var/lib/lathe/address)/health")" = OK || (cat /tmp/service.log; exit 1)
setpriv --reuid lathe --regid lathe --clear-groups lathe status --server "$(cat /var/lib/lathe/address)"
# An upgrade under a running server, then removal: the server is stopped, what it stored stays.
dpkg -i {deb}
dpkg --remove lathe
test ! -e /usr/bin/lathe && test -s /var/lib/lathe/lathe.db && test -e /etc/lathe/config.yaml
test ! -e /var/lib/lathe/address || (echo "the server still runs"; exit 1)
dpkg --purge lathe
test -s /var/lib/lathe/lathe.db && test ! -e /etc/lathe
dpkg -i {deb} && LATHE_PURGE_DATA=1 dpkg --purge lathe && test ! -e /var/lib/lathe
""")
    assert re.search(r"ok +ONNX Runtime +/usr/lib/lathe/", out) and re.search(r"ok +DuckDB +/usr/lib/lathe/", out), out
    assert "lathe 700" in out, out


def test_deb_runs_the_loop(machine):
    out = machine.check(f"""
rm -rf {ROOT}/build/deps {ROOT}/build/release {ROOT}/.venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so*
dpkg -i {package("lathe_*.deb")} >/dev/null
{DEMO} /usr/bin/lathe
""")
    assert_whole_loop(out)


def test_wheel_in_a_fresh_environment(machine):
    wheel = package("lathe_server-*.whl")
    assert "manylinux" in wheel.name
    out = machine.check(f"""
python3 -m venv /opt/fresh
/opt/fresh/bin/pip install -q --disable-pip-version-check {wheel}
{HIDE}
cd /
/opt/fresh/bin/lathe version
/opt/fresh/bin/python -m lathe version
/opt/fresh/bin/lathe doctor --dir /tmp/doctor
echo MAPPED
{libraries_of("/opt/fresh/bin/lathe")}
echo LOOP
{DEMO} /opt/fresh/bin/lathe
""", timeout=600)
    head, rest = out.split("MAPPED\n")
    mapped, loop = rest.split("LOOP\n")
    assert re.search(r"ok +ONNX Runtime +/opt/fresh/lib/.*/onnxruntime/capi/", head), head
    assert re.search(r"ok +DuckDB +/opt/fresh/", head), head
    foreign = [p for p in mapped.split() if not p.startswith("/opt/fresh/") and not re.search(
        r"/(ld-linux.*|libc|libm|libdl|librt|libpthread|libresolv|libutil|libnsl|libgcc_s|libstdc\+\+|libz)\.so", p)]
    assert not foreign, f"taken from the machine: {foreign}"
    assert_whole_loop(loop)


def test_tarball_runs_from_any_folder(machine):
    out = machine.check(f"""
mkdir /opt/any && tar -xzf {package("lathe-*.tar.gz")} -C /opt/any --strip-components=1
{HIDE}
cd / && ln -s /opt/any/bin/lathe /usr/local/bin/lathe
lathe doctor --dir /tmp/doctor
ls /opt/any/INSTALL.md /opt/any/licences /opt/any/share/man/man1/lathe.1.gz
{DEMO} /opt/any/bin/lathe
""")
    assert re.search(r"ok +ONNX Runtime +/opt/any/lib/lathe/", out) and re.search(r"ok +DuckDB +/opt/any/lib/lathe/", out), out
    assert_whole_loop(out)

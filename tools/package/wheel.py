"""Writes the wheel: python/lathe with the binary and DuckDB inside. auditwheel then adds the libraries that it needs."""

import argparse
import base64
import hashlib
import os
import pathlib
import sysconfig
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAME = "lathe_server"
METADATA = """Metadata-Version: 2.1
Name: lathe-server
Version: {version}
Summary: One server for the whole life of a model: data, pipelines, experiments, serving, monitoring, retraining
Requires-Python: >=3.9
Requires-Dist: onnxruntime>=1.21
Description-Content-Type: text/markdown

"""


class Wheel:
    """A zip file whose members are recorded with their digests, with one time for all."""

    def __init__(self, path: pathlib.Path, info: str):
        stamp = max(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), 315532800)  # zip begins in 1980
        self.time = time.gmtime(stamp)[:6]
        self.info = info
        self.zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
        self.record: list[str] = []

    def add(self, name: str, data: bytes, mode: int = 0o644) -> None:
        member = zipfile.ZipInfo(name, self.time)
        member.external_attr = (0o100000 | mode) << 16
        member.compress_type = zipfile.ZIP_DEFLATED
        self.zip.writestr(member, data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        self.record.append(f"{name},sha256={digest},{len(data)}")

    def close(self) -> None:
        self.record.append(f"{self.info}/RECORD,,")
        self.zip.writestr(zipfile.ZipInfo(f"{self.info}/RECORD", self.time), "\n".join(self.record) + "\n")
        self.zip.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", required=True)
    for name in ("binary", "duckdb", "licences", "out"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    info = f"{NAME}-{options.version}.dist-info"
    wheel = Wheel(options.out / f"{NAME}-{options.version}-py3-none-{platform}.whl", info)
    for source in sorted((ROOT / "python/lathe").glob("*.py")):
        wheel.add(f"lathe/{source.name}", source.read_bytes())
    wheel.add("lathe/bin/lathe", options.binary.read_bytes(), 0o755)
    wheel.add("lathe/lib/lathe/libduckdb.so", options.duckdb.read_bytes(), 0o755)
    for licence in sorted(options.licences.iterdir()):
        wheel.add(f"{info}/licenses/{licence.name}", licence.read_bytes())
    wheel.add(f"{info}/METADATA", (METADATA.format(version=options.version) + (ROOT / "README.md").read_text()).encode())
    wheel.add(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: lathe\nRoot-Is-Purelib: false\nTag: py3-none-{platform}\n".encode())
    wheel.add(f"{info}/entry_points.txt", b"[console_scripts]\nlathe = lathe.__main__:main\n")
    wheel.close()


if __name__ == "__main__":
    main()

"""`lathe` and `python -m lathe`: becomes the binary; this process is replaced, so signals and exit codes are its own."""

import os
import pathlib
import sys

from lathe import binary


def neighbour(name: str) -> pathlib.Path | None:
    """An installed package's folder, found without importing it."""
    return next((folder for entry in sys.path if (folder := pathlib.Path(entry or ".") / name).is_dir()), None)


def main() -> None:
    path = binary()
    beside = pathlib.Path(path).parents[2] / "onnxruntime"  # where the binary looks by itself
    if "LATHE_ONNXRUNTIME" not in os.environ and not beside.is_dir() and (package := neighbour("onnxruntime")):
        libraries = sorted((package / "capi").glob("libonnxruntime.so.*"))
        if libraries:
            os.environ["LATHE_ONNXRUNTIME"] = str(libraries[-1].resolve())
    os.execv(path, ["lathe", *sys.argv[1:]])


if __name__ == "__main__":
    main()

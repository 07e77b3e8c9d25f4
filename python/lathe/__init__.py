"""The Lathe server as a Python package: it carries the binary, and `lathe` on PATH runs it."""

import pathlib


def binary() -> str:
    """Path of the `lathe` binary that this package carries."""
    return str(pathlib.Path(__file__).resolve().parent / "bin" / "lathe")

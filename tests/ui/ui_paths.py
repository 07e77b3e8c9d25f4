"""Where the sources are, and where the screenshots go."""
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHOTS = pathlib.Path(os.environ.get("LATHE_BUILD", ROOT / "build" / "release")) / "ui"

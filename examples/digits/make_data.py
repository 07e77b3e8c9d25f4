"""Writes scikit-learn's bundled handwritten digits (1,797 real 8×8 images) as CSV: the raw files of the project, and a
held-back file that plays the traffic. Which image goes where follows from the seed."""

import argparse
import pathlib

import numpy as np
from sklearn.datasets import load_digits

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seed", type=int, default=7)
parser.add_argument("--raw", type=pathlib.Path, default=pathlib.Path("raw"), help="folder of the project's raw files")
parser.add_argument("--held-back", type=pathlib.Path, default=pathlib.Path("held_back.csv"))
parser.add_argument("--images", type=int, default=1000, help="images in the raw files; the others are held back")
args = parser.parse_args()

images, labels = load_digits(return_X_y=True)
order = np.random.default_rng(args.seed).permutation(len(images))
table = np.column_stack([images, labels]).astype(int)[order]
header = ",".join([*(f"p{i}" for i in range(images.shape[1])), "digit"])


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, rows, fmt="%d", delimiter=",", header=header, comments="")


half = args.images // 2
write(args.raw / "batch-1.csv", table[:half])
write(args.raw / "batch-2.csv", table[half : args.images])
write(args.held_back, table[args.images :])
print(f"{args.images} images in {args.raw}, {len(table) - args.images} held back in {args.held_back}")

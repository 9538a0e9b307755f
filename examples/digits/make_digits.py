"""Write digits.csv beside this file: the hand-written digits that scikit-learn's load_digits() gives.

Run it with a Python that has scikit-learn: python make_digits.py
"""

import csv
import pathlib

from sklearn.datasets import load_digits


def main() -> None:
    digits = load_digits()
    path = pathlib.Path(__file__).with_name("digits.csv")
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([f"p{i}" for i in range(64)] + ["label"])
        for pixels, label in zip(digits.data, digits.target):
            writer.writerow([int(pixel) for pixel in pixels] + [int(label)])


if __name__ == "__main__":
    main()

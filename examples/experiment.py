"""The plan `experiment`: train two models on the same data, then compare them."""

from __future__ import annotations

import json
import warnings

import numpy as np

from examples import digits


def download() -> None:
    """Get the raw data."""
    digits.save_digits(digits.folder("experiment") / "raw.npz")


def preprocess() -> None:
    """Scale and split it."""
    place = digits.folder("experiment")
    with np.load(place / "raw.npz") as raw:
        digits.save_arrays(place / "data.npz", **digits.split(raw["images"], raw["labels"]))


def train(model: str, epochs: int = 20) -> None:
    """Train one model and write its score."""
    place = digits.folder("experiment")
    warnings.simplefilter("ignore")
    with np.load(place / "data.npz") as data:
        accuracy = digits.fit(model, data, epochs=epochs, lr=1e-4)
    digits.write_score(place / f"score_{model}.json", model=model, accuracy=accuracy)


def evaluate() -> None:
    """Compare what the training steps wrote."""
    place = digits.folder("experiment")
    scores = digits.read_scores(place)
    best = scores[0]
    print(f"best of {len(scores)}: {best['model']} with {best['accuracy']:.1%}")
    (place / "best.json").write_text(json.dumps(best) + "\n", encoding="utf-8")

"""The plan `thesis`: two "languages" (the even and the odd digits' images), four models."""

from __future__ import annotations

import json
import os
import warnings

import numpy as np

from examples import digits

_LANGUAGES = {"en": 0, "nl": 1}


def download() -> None:
    """Get the raw data."""
    digits.save_digits(digits.folder("thesis") / "raw.npz")


def preprocess(language: str) -> None:
    """Take one language's half of the data, scale and split it.

    PLANIT_EXAMPLE_FAIL=en makes the one for English fail, to see what a plan does then.
    """
    if os.environ.get("PLANIT_EXAMPLE_FAIL") == language:
        raise ValueError(f"the {language} corpus is broken")
    place = digits.folder("thesis")
    with np.load(place / "raw.npz") as raw:
        half = slice(_LANGUAGES[language], None, 2)
        arrays = digits.split(raw["images"][half], raw["labels"][half])
    digits.save_arrays(place / f"data_{language}.npz", **arrays)


def search(model: str) -> None:
    """Look for the best learning rate of a model."""
    place = digits.folder("thesis")
    with np.load(place / "data_en.npz") as data:
        scores = {lr: digits.fit(model, data, epochs=5, lr=lr) for lr in (1e-9, 1e-3, 1e-1)}
    best = max(scores, key=lambda lr: scores[lr])
    (place / f"lr_{model}.json").write_text(json.dumps(best), encoding="utf-8")
    print(f"best learning rate of {model}: {best}")


def train(
    model: str, epochs: int = 5, lr: float | None = None, language: str = "en", seed: int = 0
) -> None:
    """Train one model; with no `lr` given, the one that `search` found, if it ran."""
    place = digits.folder("thesis")
    found = place / f"lr_{model}.json"
    if lr is None:
        lr = json.loads(found.read_text(encoding="utf-8")) if found.exists() else 1e-4
    warnings.simplefilter("ignore")
    with np.load(place / f"data_{language}.npz") as data:
        accuracy = digits.fit(model, data, epochs=epochs, lr=lr, seed=seed)
    digits.write_score(
        place / f"score_{language}_{model}.json",
        model=model,
        language=language,
        accuracy=accuracy,
        epochs=epochs,
        lr=lr,
    )


def evaluate() -> None:
    """Put all scores in one table."""
    place = digits.folder("thesis")
    rows = [f"{s['language']},{s['model']},{s['accuracy']:.4f}" for s in digits.read_scores(place)]
    (place / "table.csv").write_text("\n".join(["language,model,accuracy", *rows]) + "\n")
    print("\n".join(rows))


def plot() -> None:
    """Draw the table as text."""
    place = digits.folder("thesis")
    lines = (place / "table.csv").read_text().splitlines()[1:]
    bars = []
    for line in lines:
        language, model, accuracy = line.split(",")
        bars.append(f"{language} {model:<8} {'█' * round(40 * float(accuracy))} {accuracy}")
    (place / "plot.txt").write_text("\n".join(bars) + "\n", encoding="utf-8")
    print("\n".join(bars))

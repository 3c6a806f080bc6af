"""What both examples share: the digits, files between steps, and four small models.

Steps talk through files only. They stand below PLANIT_EXAMPLE_DIR, by default ./planit_example.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np


def folder(plan: str) -> Path:
    """Where a plan's steps read and write."""
    path = Path(os.environ.get("PLANIT_EXAMPLE_DIR", "planit_example")) / plan
    path.mkdir(parents=True, exist_ok=True)
    return path


def save_digits(path: Path) -> None:
    """Write the raw digits: 1,797 images of 8 x 8 pixels, and their labels."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    save_arrays(path, images=images, labels=labels)
    print(f"{len(labels)} digits in {path}")


def save_arrays(path: Path, **arrays: Any) -> None:
    """Write arrays, whole or not at all."""
    temporary = path.with_suffix(".part.npz")
    np.savez(temporary, **arrays)
    temporary.replace(path)


def split(images: Any, labels: Any) -> dict[str, Any]:
    """Scale to 0..1, and keep every fourth digit for testing."""
    test = np.arange(len(labels)) % 4 == 0
    scaled = images / 16.0
    return {
        "train_x": scaled[~test],
        "train_y": labels[~test],
        "test_x": scaled[test],
        "test_y": labels[test],
    }


def fit(model: str, data: Any, *, epochs: int, lr: float, seed: int = 0) -> float:
    """Train one of the small models; its accuracy on the test digits."""
    from sklearn.linear_model import SGDClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neural_network import MLPClassifier

    models = {
        "bert": lambda: SGDClassifier(alpha=lr, max_iter=epochs, tol=None, random_state=seed),
        "roberta": lambda: MLPClassifier((16,), max_iter=epochs, random_state=seed),
        "xlm-r": lambda: GaussianNB(var_smoothing=lr),
        "model_a": lambda: GaussianNB(var_smoothing=1e-3),
        "model_b": lambda: SGDClassifier(max_iter=epochs, tol=None, random_state=seed),
    }
    if model not in models:
        raise ValueError(f"unknown model {model!r}; known: {', '.join(models)}")
    trained = models[model]().fit(data["train_x"], data["train_y"])
    return float(trained.score(data["test_x"], data["test_y"]))


def write_score(path: Path, **content: Any) -> None:
    """Leave a result for the steps behind."""
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")
    print(f"{path}: {content}")


def read_scores(place: Path) -> list[dict[str, Any]]:
    """All results, the best first."""
    scores = [json.loads(path.read_text(encoding="utf-8")) for path in place.glob("score_*.json")]
    return sorted(scores, key=lambda score: -score["accuracy"])

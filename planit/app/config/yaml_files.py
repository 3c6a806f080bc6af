"""Says which YAML file of a configuration cannot be read, where Hydra only says how it failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from planit.app.config.refusals import yaml_error
from planit.errors import ConfigError

_MAX_DEPTH = 50  # of what a file nests; Hydra and OmegaConf take about twice as much


def unreadable(folder: Path, name: str, words: Sequence[str]) -> ConfigError | None:
    """What is wrong with the first file that cannot be read; None if all can.

    Args:
        folder: where the primary config is, and the groups.
        name: of the primary config.
        words: the command line; the files that it names are looked at first.
    """
    return next(filter(None, map(wrong_with, _files(folder, name, words))), None)


def _files(folder: Path, name: str, words: Sequence[str]) -> Iterator[Path]:
    for word in words:
        group, _, config = word.lstrip("+").partition("=")
        if config:
            for one in config.split(","):
                yield folder / group.partition("@")[0] / f"{one}.yaml"
    yield folder / f"{name}.yaml"
    yield from sorted(folder.rglob("*.yaml"))


def wrong_with(path: Path) -> ConfigError | None:
    """What is wrong with a file; None if it can be read, or is not there."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        return ConfigError(f"cannot read {path}: {error.strerror}")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return ConfigError(f"{path}, line {line}: not UTF-8 text", hint="save it as UTF-8")
    try:
        return _structure(path, text)
    except yaml.YAMLError as error:
        return yaml_error(error, path)


def _structure(path: Path, text: str) -> ConfigError | None:
    """What no reader of YAML refuses, but no configuration can hold."""
    depth, is_open = 0, dict[str, int]()
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        where = f"{path}, line {event.start_mark.line + 1 if event.start_mark else 1}"
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if event.anchor is not None:
                is_open[event.anchor] = depth
            if depth > _MAX_DEPTH:
                hint = "name steps in plan.steps, and refer to them by their names"
                message = f"{where}: nested more than {_MAX_DEPTH} deep"
                return ConfigError(message, hint=hint)
            if depth == 1 and isinstance(event, yaml.SequenceStartEvent):
                return ConfigError(f"{where}: a list, not a mapping of keys to values")
        elif isinstance(event, yaml.CollectionEndEvent):
            is_open = {name: at for name, at in is_open.items() if at < depth}
            depth -= 1
        elif isinstance(event, yaml.AliasEvent) and event.anchor in is_open:
            return ConfigError(f"{where}: *{event.anchor} refers to what it is a part of")
        elif depth == 0 and isinstance(event, yaml.ScalarEvent) and event.value:
            return ConfigError(f"{where}: a single value, not a mapping of keys to values")
    return None

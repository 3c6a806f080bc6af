"""The primary config: the user's, with what planit brings beneath it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_store import ConfigNode, ConfigStore
from omegaconf import DictConfig, OmegaConf

from planit.app.config.defaults_lists import (
    SELF,
    UNREADABLE,
    DefaultsLists,
    given_choices,
    plain,
)
from planit.app.config.places import conf_dir, primary
from planit.app.config.refusals import as_config_error, of_reading
from planit.app.config.yaml_files import wrong_with
from planit.errors import ConfigError, text_of

PLANITS = "planit"
"""The config that planit brings; an entry of that name in a defaults list is it."""

STORED = "planit_primary"
"""Name of the user's primary config in the ConfigStore while planit composes."""

_BASE = "planit_base"
_GROUPS = ("planit", "plan", "slurm", "backend")
_QUICK = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_AN_IMPORT = "planit: {imports: [my_project.conf]}"


@dataclass(frozen=True)
class Primary:
    """The primary config.

    Attributes:
        folder: that is searched first.
        path: of the file, whether there is one or not.
        config: the file as it is written; empty if there is none.
        content: the same as plain data.
        lists: what its defaults list and the command line choose.
        groups: the keys of what its defaults list chooses.
        names_planit: whether it names something of planit's.
        left_out: why the file is not used: it is another program's.
    """

    folder: Path
    path: Path
    config: DictConfig
    content: Mapping[str, Any]
    lists: DefaultsLists
    groups: frozenset[str]
    names_planit: bool
    left_out: str | None = None

    @classmethod
    def read(
        cls, config_dir: str | None, name: str | None = None, overrides: Sequence[str] = ()
    ) -> Primary:
        """The primary config of a command line.

        Args:
            config_dir: the folder, if the command line names it.
            name: of the config, if the command line names it.
            overrides: the words of the command line that are no flags.

        Raises:
            ConfigError: there is no such folder, or no config of that name, or it cannot be read.
        """
        folder, usual = primary(config_dir)
        path = folder / f"{(name or usual).removesuffix('.yaml')}.yaml"
        if name is not None and not path.is_file():
            raise ConfigError(f"--config-name {name}: there is no {path}")
        config, why = _read(path), None
        content = plain(config)
        lists = _lists(folder, content, overrides)
        if name is None and usual == "config" and (why := _why_another(content, lists)):
            config, content = OmegaConf.create(), {}
            lists = _lists(folder, content, overrides)
        groups, is_ours = frozenset(lists.groups), _names_planit(content, lists)
        lists.follow_given()
        return cls(folder, path, config, content, lists, groups, is_ours, why)

    @property
    def has_plan(self) -> bool:
        """Whether it chooses a plan, or is one."""
        chosen = {*self.groups, *self.lists.overridden}
        return self.is_plan or ("plan" in chosen and "plan" not in self.lists.missing)

    @property
    def is_plan(self) -> bool:
        """Whether the plan stands in the file itself."""
        plan = self.content.get("plan")
        return "root" in plan if isinstance(plan, Mapping) else plan is not None

    @property
    def may_be_anothers(self) -> bool:
        """Whether it is used, but could be another program's."""
        return self.path.stem == "config" and not self.names_planit

    @property
    def presets(self) -> set[str]:
        """The keys of the configuration that hold SLURM presets."""
        return {"slurm", "cpu", *self.lists.presets}

    @property
    def chooses_sweeper(self) -> bool:
        """Whether it or the command line chooses who sweeps or launches."""
        chosen = {*self.lists.groups, *self.lists.overridden, *self.lists.given}
        return not chosen.isdisjoint({"hydra/sweeper", "hydra/launcher"})

    def import_modules(self) -> None:
        """Import the modules of ``planit.imports``, which register resolvers and configs.

        Raises:
            ConfigError: one of them cannot be imported, or planit has no such setting.
        """
        own = self.content.get(PLANITS) or {}
        if not isinstance(own, Mapping):
            raise ConfigError(f"{PLANITS} must be a mapping, not {own!r}", hint=_AN_IMPORT)
        for key in own:
            if key != "imports":
                raise ConfigError(f"{PLANITS}.{key} is unknown", hint=_AN_IMPORT)
        for module in self.lists.imports:
            if not isinstance(module, str):
                raise ConfigError(
                    f"planit.imports: {module!r} is not the name of a module", hint=_AN_IMPORT
                )
            try:
                importlib.import_module(module)
            except Exception as error:
                told = f"{type(error).__name__}: {text_of(error)}"
                raise ConfigError(f"planit.imports: {module} cannot be imported: {told}") from error
        _open(ConfigStore.instance().repo.get("slurm", {}))

    @contextmanager
    def stored(self) -> Iterator[None]:
        """Have it in the ConfigStore, as `STORED`, with what planit brings as its first default."""
        store = ConfigStore.instance()
        store.store(name=_BASE, node=self._base(), provider=PLANITS)
        store.store(name=STORED, node=self._completed(), provider=PLANITS)
        try:
            yield
        finally:
            for name in (_BASE, STORED):
                store.repo.pop(f"{name}.yaml", None)

    def _base(self) -> DictConfig:
        """What planit brings, without the choices that the user's config makes itself."""
        content = yaml.load(_own_file().read_bytes(), _QUICK)  # noqa: S506 (a safe one)
        wanted = [one for one in content["defaults"] if one == SELF or not self.groups & set(one)]
        needs_plan = "plan" not in self.groups and not self.is_plan
        content["defaults"] = [*wanted, {"plan": "???"}] if needs_plan else wanted
        config = OmegaConf.create(dict(content))
        OmegaConf.set_struct(config, False)  # a structured root takes planit's keys then
        return config

    def _completed(self) -> DictConfig:
        defaults = self.content.get("defaults") or []
        if not isinstance(defaults, list):
            return self.config  # Hydra tells what is wrong
        own = [one for one in defaults if one != PLANITS]
        if SELF not in own:
            own.append(SELF)  # where Hydra puts it, with a warning
        config = self.config.copy()
        config.defaults = [_BASE, *own]
        return config


def _read(path: Path) -> DictConfig:
    """A file as it is written; empty if it is planit's own. Raises ConfigError."""
    if path == _own_file() or not path.is_file():
        return OmegaConf.create()
    try:
        config = OmegaConf.load(path)
    except UNREADABLE as error:
        raise wrong_with(path) or of_reading(error) or as_config_error(error) from error
    if not isinstance(config, DictConfig):
        raise wrong_with(path) or ConfigError(f"{path}: not a mapping of keys to values")
    return config


def _lists(folder: Path, content: Mapping[str, Any], overrides: Sequence[str]) -> DefaultsLists:
    lists = DefaultsLists([folder, conf_dir()], given_choices(overrides))
    defaults = content.get("defaults")
    if isinstance(defaults, list) and PLANITS in defaults:  # which is not a file then
        lists.configs.add(PLANITS)
        content = {**content, "defaults": [one for one in defaults if one != PLANITS]}
    lists.follow(content)
    for text in overrides:
        key, _, value = text.lstrip("+").partition("=")
        if key == f"{PLANITS}.imports":
            names = (name.strip(" '\"") for name in value.strip("[]").split(","))
            lists.imports = list(filter(None, names))
    return lists


def _why_another(content: Mapping[str, Any], lists: DefaultsLists) -> str | None:
    """Why a config that names nothing of planit's is another program's; None if it may not be."""
    if _names_planit(content, lists):
        return None
    hydra = content.get("hydra")
    if lists.missing and not (isinstance(hydra, Mapping) and "searchpath" in hydra):
        return f"its defaults list has {lists.missing[0]}, which only that program knows"
    own = sorted(group for group in lists.overridden if group.startswith("hydra/"))
    return f"it chooses {own[0]} for that program" if own else None


def _names_planit(content: Mapping[str, Any], lists: DefaultsLists) -> bool:
    """Whether a config names something of planit's, so that it cannot be another program's."""
    chosen = {key.partition("@")[0] for key in lists.groups | lists.overridden}
    return PLANITS in lists.configs or not {*chosen, *content}.isdisjoint(_GROUPS)


def _open(presets: Mapping[str, Any]) -> None:
    """Let stored presets that are SlurmArgs, which are frozen, take overrides."""
    for stored in presets.values():
        if isinstance(stored, ConfigNode):
            OmegaConf.set_readonly(stored.node, value=False)
        else:
            _open(stored)


def _own_file() -> Path:
    return conf_dir() / f"{PLANITS}.yaml"

"""A sweeper of the tests' own, as others write theirs for Hydra."""

from __future__ import annotations

_TEXT = """\
from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper


@dataclass
class HalvingConf:
    _target_: str = "hydra_plugins.halving.HalvingSweeper"


ConfigStore.instance().store(group="hydra/sweeper", name="halving", node=HalvingConf)


class HalvingSweeper(Sweeper):
    def setup(self, *, hydra_context, task_function, config):
        from hydra.core.plugins import Plugins

        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments):
        values = {}
        for batch in BATCHES:
            rows = [[*arguments, f"KEY={value}"] for value in batch]
            done = self.launcher.launch(rows, initial_job_idx=len(values))
            values.update({value: one.return_value for value, one in zip(batch, done)})
        print("best", min(values, key=lambda value: values[value] or 0), "of", len(values))
"""


def halving(key: str, *batches: list[float]) -> str:
    """The module ``hydra_plugins.halving``: ``hydra/sweeper=halving``.

    Args:
        key: what is swept over.
        batches: the values of each batch. By default two: the second around the better value of
            the first, where the best one is near 0.3.
    """
    chosen = batches or ([0.1, 0.9], [0.2, 0.35])
    return _TEXT.replace("KEY", key).replace("BATCHES", repr(list(chosen)))

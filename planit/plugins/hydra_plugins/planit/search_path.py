"""Makes planit's own conf/ available behind the user's."""

from __future__ import annotations

import sys

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class PlanitSearchPath(SearchPathPlugin):
    """Adds planit's config groups at the end of the search path, in planit's own app only.

    Hydra loads plugins into every Hydra app of an environment; the others are left alone.
    """

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folder, unless it is the app's own conf/ anyway."""
        if "planit.app.config.compose" not in sys.modules:
            return
        from planit.app.config.places import conf_dir

        path = f"file://{conf_dir()}"
        if all(element.path not in (path, str(conf_dir())) for element in search_path.get_path()):
            search_path.append("planit", path)

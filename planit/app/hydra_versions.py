"""What differs between the Hydra versions that planit supports, 1.3 and 1.4."""

from __future__ import annotations

from typing import Any

import hydra

_IS_1_3 = hydra.__version__.startswith("1.3.")

VERSION_BASE: dict[str, Any] = {"version_base": "1.3"} if _IS_1_3 else {}
"""For `hydra.main` and `hydra.initialize_config_dir`; 1.4 warns if it is given."""


def instantiate(content: Any) -> Any:
    """Build a ``_target_`` value in a step's arguments.

    Hydra 1.4 wants to be told which targets may run. A plan's author names functions to run all
    through the plan, so nothing is gained by checking these.
    """
    if _IS_1_3:
        return hydra.utils.instantiate(content)
    unchecked = hydra.utils.UNSAFE_DISABLE_EXECUTION_CHECKS  # type: ignore[attr-defined, unused-ignore]
    return hydra.utils.instantiate(content, _execution_whitelist_=unchecked)

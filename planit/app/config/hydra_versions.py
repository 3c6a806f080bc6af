"""What differs between the Hydra versions that planit supports, 1.3 and 1.4."""

from __future__ import annotations

from typing import Any

import hydra

_IS_1_3 = hydra.__version__.startswith("1.3.")

VERSION_BASE: dict[str, Any] = {"version_base": "1.3"} if _IS_1_3 else {}
"""For `hydra.main` and `hydra.initialize_config_dir`; 1.4 warns if it is given."""

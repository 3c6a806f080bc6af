"""Logging in a step: with times by default, and the step's own where it has one."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

WITH_TIME = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\]"
LATER = "; log.info('shown'); logging.getLogger('lib').info('info')"


def logged(code: str) -> list[str]:
    """What a process writes to standard error that runs `code` after planit's preparation."""
    head = (
        "import logging, logging.config, sys; from planit.job.step_logging import log_with_times;"
        " log_with_times(); log = logging.getLogger('a.b'); "
    )
    done = subprocess.run(
        [sys.executable, "-c", head + code], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stderr.splitlines()


def test_info_has_a_time_and_debug_is_not_shown() -> None:
    (info, root, warning) = logged(
        "log.info('x'); logging.info('y'); log.debug('z'); log.warning(1)"
    )
    assert re.fullmatch(rf"{WITH_TIME}\[a\.b\]\[INFO\] - x", info)
    assert re.fullmatch(rf"{WITH_TIME}\[root\]\[INFO\] - y", root)
    assert re.fullmatch(rf"{WITH_TIME}\[a\.b\]\[WARNING\] - 1", warning)


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("logging.basicConfig(); log.warning('w')" + LATER, ["WARNING:a.b:w"]),
        ("logging.basicConfig(level='INFO', format='%(message)s')" + LATER, ["shown", "info"]),
        (
            "logging.getLogger().addHandler(logging.StreamHandler()); log.warning('w')" + LATER,
            ["w"],
        ),
        (
            "logging.config.dictConfig({'version': 1, 'handlers': {'h': {'class':"
            " 'logging.StreamHandler'}}, 'root': {'level': 'INFO', 'handlers': ['h']},"
            " 'disable_existing_loggers': False})" + LATER,
            ["shown", "info"],
        ),
        ("logging.basicConfig(force=True); logging.basicConfig(level='INFO')" + LATER, []),
        ("logging.getLogger().setLevel('ERROR'); log.warning('w')", []),
        (
            "logging.root.setLevel(10); logging.basicConfig(format='%(message)s'); log.debug('d')",
            ["d"],
        ),
    ],
)
def test_a_step_that_sets_up_logging_gets_what_it_would_get_without_planit(
    code: str, shown: list[str]
) -> None:
    assert logged(code) == shown


def test_logging_that_is_set_up_is_left_alone() -> None:
    code = "logging.basicConfig(); log_with_times(); log.info('x'); log.warning('y')"
    assert logged(code) == ["WARNING:a.b:y"]

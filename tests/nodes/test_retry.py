"""A retry policy as it is written, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from planit import PlanError, SlurmArgs
from planit.nodes.flags import flags_of
from planit.nodes.retry import Cause, RetryPolicy, kinds_of
from planit.nodes.slurm_args import resources_of

LEAST: dict[str, Any] = {"time": "01:00:00", "partition": "p"}
OF_THE_README: dict[str, Any] = {
    "oom": {"times": 2, "mem": "x2"},
    "timeout": {"times": 1, "time": "x1.5"},
    "node_fail": {"times": 3, "exclude": True},
    "error": {"times": 1, "delay": "5m", "on": ["ConnectionError"]},
    "cuda_oom": {"times": 1},
}


def test_a_policy_is_read_as_it_is_written() -> None:
    rules = RetryPolicy.from_mapping(OF_THE_README).rules
    assert (rules[Cause.OOM].times, rules[Cause.OOM].raised(100)) == (2, 200)
    assert rules[Cause.TIMEOUT].factor == Fraction(3, 2)
    assert rules[Cause.TIMEOUT].raised(3) == 5  # rounded up
    assert rules[Cause.NODE_FAIL].exclude
    assert (rules[Cause.ERROR].delay_s, rules[Cause.ERROR].on) == (300, ("ConnectionError",))
    assert rules[Cause.CUDA_OOM].times == 1


def test_a_policy_is_a_field_of_slurm_args_and_of_a_dict_and_no_option_of_sbatch() -> None:
    own = SlurmArgs(**LEAST, retry=OF_THE_README).resources.options
    raw = resources_of(
        {"slurm_time": "01:00:00", "slurm_partition": "p", "slurm_retry": OF_THE_README}
    )
    assert own["retry"] == raw.options["retry"] == OF_THE_README
    assert list(own["retry"]) == ["oom", "cuda_oom", "timeout", "node_fail", "error"]
    assert "retry" not in flags_of(own)
    assert "retry" not in SlurmArgs(**LEAST, retry={}).resources.options


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("twice", "retry must be a mapping of causes, not 'twice'"),
        ({"oomm": {"times": 1}}, "retry has no cause 'oomm'"),
        ({"oom": 2}, "retry.oom must be a mapping, not 2"),
        ({"oom": {"mem": "x2"}}, "retry.oom needs times"),
        ({"oom": {"times": 0}}, "retry.oom.times must be a whole number of at least 1, not 0"),
        ({"oom": {"times": 1, "time": "x2"}}, "retry.oom has no key 'time'"),
        ({"oom": {"times": 1, "mem": "2"}}, "retry.oom.mem '2' is not a factor"),
        ({"oom": {"times": 1, "mem": "x1"}}, "retry.oom.mem 'x1' is not a factor"),
        ({"timeout": {"times": 1, "time": 2}}, "retry.timeout.time 2 is not a factor"),
        ({"error": {"times": 1, "delay": 5}}, "retry.error.delay 5 is not a delay"),
        ({"error": {"times": 1, "on": "OSError"}}, "retry.error.on must be a list of exceptions'"),
        ({"error": {"times": 1, "on": []}}, "retry.error.on must be a list of exceptions'"),
        ({"node_fail": {"times": 1, "exclude": 1}}, "retry.node_fail.exclude must be true or f"),
    ],
)
def test_what_is_wrong_in_a_policy_is_named(policy: Any, message: str) -> None:
    with pytest.raises(PlanError) as refused:
        SlurmArgs(**LEAST, retry=policy)
    assert refused.value.message.startswith(message)


def test_a_signal_of_the_users_own_and_retries_after_the_time_limit_are_refused() -> None:
    with pytest.raises(PlanError, match=r"retry\.timeout needs the signal"):
        SlurmArgs(
            **LEAST,
            retry={"timeout": {"times": 1}},
            additional_params={"signal": "USR2@30"},
        )
    with pytest.raises(PlanError, match="retry needs a job that may be requeued"):
        SlurmArgs(
            **LEAST,
            retry={"oom": {"times": 1}},
            additional_params={"no-requeue": True},
        )


def test_an_error_is_meant_by_its_class_or_a_base_with_or_without_the_module() -> None:
    kinds = kinds_of(ConnectionResetError())
    for on in ("ConnectionError", "OSError", "builtins.ConnectionResetError"):
        policy = RetryPolicy.from_mapping({"error": {"times": 1, "on": [on]}})
        assert policy.is_meant(Cause.ERROR, kinds)
        assert not policy.is_meant(Cause.ERROR, kinds_of(ValueError()))
    assert RetryPolicy.from_mapping({"error": {"times": 1}}).is_meant(Cause.ERROR, ())

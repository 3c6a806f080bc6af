"""`SlurmArgs` and dicts: what they refuse, and what of them reaches sbatch."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from planit import MailType, PlanError, SlurmArgs
from planit.nodes.flags import flags_of, task_count
from planit.nodes.resources import Resources
from planit.nodes.slurm_args import changed, resources_of

LEAST: dict[str, Any] = {"time": "01:00:00", "partition": "batch"}
RAW: dict[str, Any] = {"slurm_time": "02:00:00", "slurm_partition": "gpu_v100"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("time", 3600),
        ("time", "soon"),
        ("time", None),
        ("partition", ""),
        ("partition", None),
        ("partition", "a\nb"),
        ("gpus_per_node", -1),
        ("gpus_per_node", "1"),
        ("gpus_per_node", True),
        ("nodes", 0),
        ("nodes", 1.5),
        ("cpus_per_task", 0),
        ("cpus_per_gpu", -4),
        ("mem_gb", "16GB"),
        ("account", ""),
        ("account", 7),
        ("cluster", " "),
        ("cluster", "wice,genius"),
        ("cluster", "all"),
        ("mail_type", ["SOMETIMES"]),
        ("mail_type", 3),
        ("mail_user", "me\n#SBATCH --uid=0"),
        ("additional_params", ["qos"]),
        ("setup", 1),
        ("setup", [1]),
        ("gpus_per_node", "a100:0"),
        ("gpus_per_node", "a100"),
        ("tasks_per_node", 0),
        ("tasks_per_node", "2"),
        ("qos", 3),
        ("begin", 960),
        ("switches", 1),
        ("mem_per_cpu", "4"),
        ("mem_per_gpu", 4),
        ("exclusive", "yes"),
        ("modules", 3),
        ("venv", ""),
        ("env", ["A=1"]),
        ("workdir", 7),
        ("srun_args", 7),
        ("python", ""),
        ("container", 7),
    ],
)
def test_each_field_refuses_nonsense_and_names_itself(field: str, value: Any) -> None:
    with pytest.raises(PlanError) as caught:
        SlurmArgs(**{**LEAST, field: value})
    assert caught.value.message.startswith(field)
    if value not in (None, "", " "):
        shown = value if isinstance(value, str) else repr(value)
        assert repr(shown)[1:-1] in caught.value.message


def test_a_field_that_does_not_exist_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(PlanError, match="SlurmArgs has no field 'gpus_per_nod'") as caught:
        SlurmArgs.from_mapping({**LEAST, "gpus_per_nod": 1})
    assert (caught.value.hint or "").startswith("did you mean gpus_per_node? known: account, ")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"modules": ["a b"]}, "modules: 'a b' is not a module's name"),
        ({"modules": ["--force"]}, "modules: '--force' is not a module's name"),
        ({"venv": "v", "conda": "c"}, "venv and conda are both set"),
        ({"env": {"1A": "x"}}, "env: '1A' is not the name of a variable"),
        ({"env": {"A": True}}, "env.A must be text or a number, not True"),
        ({"env": {"PLANIT_STEP": "x"}}, "env.PLANIT_STEP is set by planit or Slurm"),
        ({"env": {"SLURM_PROCID": "x"}}, "env.SLURM_PROCID is set by planit or Slurm"),
        ({"env": {"LOCAL_RANK": 0}}, "env.LOCAL_RANK is set by planit or Slurm"),
        ({"container": {"imag": "x"}}, "container has no key 'imag'"),
        ({"container": {"nv": True}}, "container.image must be non-empty text"),
        ({"container": {"image": "x", "runtime": "docker"}}, "container.runtime 'docker'"),
        ({"container": {"image": "x", "runtime": "pyxis", "nv": True}}, "container.nv is"),
        ({"container": {"image": "x", "mounts": ["a,b"]}}, "container.mounts: 'a,b' has a comma"),
        ({"container": {"image": "x", "nv": 1}}, "container.nv must be true or false"),
        ({"srun_args": "--a 'b"}, "srun_args"),
        ({"mem_gb": 1, "mem_per_cpu": "1G"}, "mem and mem_per_cpu are both set"),
        ({"nodes": 2, "additional_params": {"ntasks": 1}}, "ntasks is 1, which does not fit on 2"),
        (
            {"nodes": 2, "tasks_per_node": 2, "additional_params": {"ntasks": 5}},
            "ntasks is 5, which does not fit on 2 nodes with 2 tasks on each",
        ),
        ({"tasks_per_node": 2, "additional_params": {"ntasks_per_node": 4}}, "ntasks_per_node is"),
        ({"qos": "a", "additional_params": {"qos": "b"}}, "qos is 'a', and"),
        ({"signal": "USR1@60", "additional_params": {"signal": "USR2@9"}}, "signal is 'USR1@60'"),
        ({"workdir": "/x", "additional_params": {"chdir": "/y"}}, "additional_params: 'chdir'"),
        ({"additional_params": {"uid": "x"}}, "additional_params: 'uid'"),
        ({"additional_params": {"help": True}}, "additional_params: 'help'"),
    ],
)
def test_what_cannot_be_honoured_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(PlanError) as refused:
        SlurmArgs(**LEAST, **fields)
    assert says in refused.value.message


def test_the_fields_that_users_ask_for_are_options_of_sbatch() -> None:
    names = "qos constraint gres exclude nodelist reservation signal switches begin licenses"
    texts: dict[str, Any] = {name: f"some-{name}" for name in names.split()}
    args = SlurmArgs("5", "a,b", "a100:2", mem_per_cpu="4G", exclusive=True, **texts)
    assert flags_of(args.resources.options) == {
        "time": "5",
        "partition": "a,b",
        "gpus_per_node": "a100:2",
        "mem_per_cpu": "4G",
        "exclusive": True,
        **texts,
    }


@pytest.mark.parametrize(
    "given",
    [
        SlurmArgs(**LEAST, nodes=2, tasks_per_node=2),
        SlurmArgs(**LEAST, nodes=2, additional_params={"tasks-per-node": "2"}),
        SlurmArgs(**LEAST, additional_params={"ntasks": 4}),
        {**RAW, "nodes": 2, "tasks_per_node": 2},
        {**RAW, "slurm_nodes": 2, "slurm_ntasks_per_node": 2},
        {**RAW, "slurm_additional_parameters": {"nodes": 2, "ntasks_per_node": 2}},
    ],
)
def test_however_tasks_are_asked_for_there_are_as_many(given: Any) -> None:
    assert task_count(flags_of(resources_of(given).options)) == 4


def test_a_parameter_that_a_dict_has_under_two_names_is_said_once() -> None:
    with pytest.raises(PlanError, match="slurm_ntasks_per_node is 4, and ntasks_per_node is 2"):
        resources_of({**RAW, "tasks_per_node": 2, "slurm_ntasks_per_node": 4})


def test_a_dict_may_name_the_environment_too() -> None:
    own = {"slurm_modules": "a b", "slurm_env": {"A": 1}, "slurm_venv": "v"}
    assert (
        resources_of({**RAW, **own}).options
        == SlurmArgs(
            RAW["slurm_time"], RAW["slurm_partition"], modules=["a", "b"], env={"A": "1"}, venv="v"
        ).resources.options
    )
    with pytest.raises(PlanError, match="slurm_container has no key 'imag'"):
        resources_of({**RAW, "slurm_container": {"imag": "x"}})


@pytest.mark.parametrize(
    ("fields", "name", "after"),
    [
        ({"env": {"B": "3", "C": "4"}}, "env", {"A": "1", "B": "3", "C": "4"}),
        ({"env": {"B": None}}, "env", {"A": "1"}),
        ({"slurm_env": {"A": "2"}}, "env", {"A": "2", "B": "2"}),
        ({"env": None}, "env", None),
        ({"container": {"image": "y"}}, "container", {"image": "y", "nv": True}),
        ({"container": {"nv": False}}, "container", {"image": "x", "nv": False}),
        ({"container": "z"}, "container", {"image": "z", "nv": False}),
        ({"container": None}, "container", None),
        ({"modules": ["c"]}, "modules", ["c"]),
        ({"tasks_per_node": 4}, "ntasks_per_node", 4),
        ({"tasks_per_node": None}, "ntasks_per_node", None),
        ({"exclusive": False}, "exclusive", None),
        ({"qos": "b"}, "qos", "b"),
    ],
)
def test_a_change_of_the_environment_keeps_the_rest(
    fields: dict[str, Any], name: str, after: Any
) -> None:
    before = SlurmArgs(
        **LEAST, env={"A": "1", "B": "2"}, modules=["a", "b"], tasks_per_node=2, exclusive=True,
        container={"image": "x", "nv": True}, qos="a",
    )  # fmt: skip
    found = changed(before.resources, fields).options.get(name)
    if isinstance(found, dict) and name == "container":
        found = {key: found[key] for key in after}
    assert found == after


@pytest.mark.parametrize("field", ["time", "partition"])
def test_a_required_field_that_is_missing_is_named(field: str) -> None:
    fields = {key: value for key, value in LEAST.items() if key != field}
    with pytest.raises(PlanError, match=f"SlurmArgs needs '{field}'"):
        SlurmArgs.from_mapping(fields)


def test_mail_types_may_be_members_or_their_names_in_any_case() -> None:
    names: list[Any] = [MailType.BEGIN, "end", "FAIL"]
    args = SlurmArgs(**LEAST, mail_type=names)
    assert args.mail_type == [MailType.BEGIN, MailType.END, MailType.FAIL]
    assert args.resources.options["mail_type"] == "BEGIN,END,FAIL"
    names = ["FIAL"]
    with pytest.raises(PlanError, match="mail_type") as caught:
        SlurmArgs(**LEAST, mail_type=names)
    assert "known: NONE, BEGIN, END" in (caught.value.hint or "")


ORDER_BREAKERS = ["dependency", "kill-on-invalid-dep", "kill_on_invalid_dep", "array", "hold"]
LOG_BREAKERS = ["open_mode", "output", "error", "wrap", "wait", "parsable", "test_only"]
ABBREVIATED = ["depend", "dep", "arr", "ho", "outp", "kill"]  # sbatch completes long options


@pytest.mark.parametrize("flag", ORDER_BREAKERS + LOG_BREAKERS + ABBREVIATED)
def test_additional_params_cannot_break_the_order_or_lose_the_log(flag: str) -> None:
    with pytest.raises(PlanError, match="is set by planit itself"):
        SlurmArgs(**LEAST, additional_params={flag: "afterany:1"})
    with pytest.raises(PlanError, match=r"slurm_additional_parameters: .* is set by planit itself"):
        resources_of({**RAW, "slurm_additional_parameters": {flag: "afterany:1"}})


@pytest.mark.parametrize("flag", ["--qos", "a b", "", "x=1", 5])
def test_additional_params_that_are_no_option_names_are_refused(flag: Any) -> None:
    with pytest.raises(PlanError, match="is not an sbatch option"):
        SlurmArgs(**LEAST, additional_params={flag: "x"})


def test_additional_params_with_a_line_break_cannot_smuggle_a_second_line() -> None:
    with pytest.raises(PlanError, match="control characters"):
        SlurmArgs(**LEAST, additional_params={"qos": "a\nrm -rf /"})
    with pytest.raises(PlanError, match="control characters"):
        resources_of({**RAW, "slurm_comment": "a\nrm -rf /"})


def test_a_dependency_of_a_single_step_is_refused_with_where_it_goes() -> None:
    with pytest.raises(PlanError, match="slurm_dependency is not for a single step") as refused:
        resources_of({**RAW, "slurm_dependency": "afterok:1"})
    assert "set on the executor" in str(refused.value.hint)


@pytest.mark.parametrize("value", [0, "3", True])
def test_the_parallelism_of_an_array_is_a_number(value: Any) -> None:
    with pytest.raises(PlanError, match="slurm_array_parallelism must be a whole number"):
        resources_of({**RAW, "slurm_array_parallelism": value})


def test_both_spellings_of_the_cluster_option_count_as_the_cluster() -> None:
    args = SlurmArgs(**LEAST, additional_params={"cluster": "wice"})
    assert args.resources.cluster == "wice"
    with pytest.raises(PlanError, match="more than one cluster"):
        SlurmArgs(**LEAST, additional_params={"clusters": "wice,genius"})


def test_only_what_the_user_set_becomes_an_option() -> None:
    assert SlurmArgs(**LEAST).resources.options == LEAST


def test_every_field_becomes_the_option_that_submitit_calls_it() -> None:
    args = SlurmArgs(
        **LEAST,
        gpus_per_node=1,
        nodes=2,
        cpus_per_task=3,
        cpus_per_gpu=4,
        mem_gb=5,
        account="acc",
        cluster="wice",
        mail_type=[MailType.END],
        mail_user="me@u.edu",
        additional_params={"constraint": "x"},
        setup=["module load x"],
    )
    assert args.resources.options == {
        **LEAST,
        "gpus_per_node": 1,
        "nodes": 2,
        "cpus_per_task": 3,
        "cpus_per_gpu": 4,
        "mem": "5GB",
        "account": "acc",
        "mail_type": "END",
        "mail_user": "me@u.edu",
        "additional_parameters": {"constraint": "x", "clusters": "wice"},
        "setup": ["module load x"],
    }


def test_setup_may_be_text_with_lines() -> None:
    text: Any = "a\nb"
    assert SlurmArgs(**LEAST, setup=text).setup == ["a", "b"]


def test_the_arguments_of_one_object_do_not_leak_into_the_next() -> None:
    first = SlurmArgs(**LEAST)
    first.mail_type.append(MailType.END)
    first.additional_params["qos"] = "high"
    first.setup.append("x")
    assert SlurmArgs(**LEAST).resources.options == LEAST


def test_slurm_args_copy_the_lists_and_dicts_that_they_are_given() -> None:
    params: dict[str, Any] = {"qos": "high"}
    setup, mail = ["a"], [MailType.END]
    args = SlurmArgs(**LEAST, additional_params=params, setup=setup, mail_type=mail)
    params["qos"], setup[0], mail[0] = "low", "b", MailType.FAIL
    assert args.additional_params == {"qos": "high"}
    assert args.setup == ["a"]
    assert args.mail_type == [MailType.END]


def test_a_raw_dict_of_the_specification_is_understood() -> None:
    resources = resources_of(
        {
            **RAW,
            "gpus_per_node": 1,
            "slurm_additional_parameters": {"clusters": "my-cluster", "cpus_per_gpu": 4},
        }
    )
    assert resources.options["time"] == "02:00:00"
    assert resources.options["gpus_per_node"] == 1
    assert resources.cluster == "my-cluster"


@pytest.mark.parametrize(
    ("key", "value", "option"),
    [
        ("mem_gb", 4, ("mem", "4GB")),
        ("mem_gb", 0.5, ("mem", "512MB")),
        ("slurm_mem", "4G", ("mem", "4G")),
        ("tasks_per_node", 2, ("ntasks_per_node", 2)),
        ("slurm_setup", "a\nb", ("setup", ["a", "b"])),
        ("slurm_qos", "high", ("qos", "high")),
        ("name", "n", ("job_name", "n")),
    ],
)
def test_generic_and_slurm_names_of_submitit_are_the_same_option(
    key: str, value: Any, option: tuple[str, Any]
) -> None:
    name, expected = option
    assert resources_of({**RAW, key: value}).options[name] == expected


def test_a_raw_dict_needs_its_time_and_says_so() -> None:
    with pytest.raises(PlanError, match='needs "slurm_time"'):
        resources_of({"slurm_partition": "batch"})
    with pytest.raises(PlanError, match="slurm_time must be text, not 43200") as caught:
        resources_of({"slurm_time": 43200})
    assert "base 60" in (caught.value.hint or "")


@pytest.mark.parametrize("key", ["slurm_partitoin", "partition", "slurm_map_count", "time"])
def test_an_unknown_key_of_a_raw_dict_is_refused_with_what_is_known(key: str) -> None:
    with pytest.raises(PlanError, match=f"unknown SLURM argument '{key}'") as caught:
        resources_of({**RAW, key: "x"})
    assert "slurm_partition" in (caught.value.hint or "")


def test_a_raw_dict_is_never_modified_and_later_changes_do_not_leak() -> None:
    raw = {**RAW, "slurm_setup": ["a"], "slurm_additional_parameters": {"qos": "high"}}
    raw["slurm_srun_args"] = ["--mpi=pmix"]
    before = copy.deepcopy(raw)
    resources = resources_of(raw)
    assert raw == before
    raw["slurm_setup"].append("b")
    raw["slurm_srun_args"].append("--exclusive")
    raw["slurm_additional_parameters"]["qos"] = "low"
    raw["slurm_time"] = "09:00:00"
    assert resources.options["setup"] == ["a"]
    assert resources.options["srun_args"] == ["--mpi=pmix"]
    assert resources.options["additional_parameters"] == {"qos": "high"}
    assert resources.options["time"] == "02:00:00"


FULL = SlurmArgs(
    **LEAST,
    gpus_per_node=2,
    mem_gb=5,
    account="acc",
    cluster="wice",
    mail_type=[MailType.END],
    additional_params={"constraint": "x", "qos": "y"},
)
BOTH = {"constraint": "x", "qos": "y", "clusters": "wice"}
MORE = "additional_parameters"


@pytest.mark.parametrize(
    ("fields", "new"),
    [
        ({"time": "9"}, {"time": "9"}),
        ({"mem_gb": 8}, {"mem": "8GB"}),
        ({"mem_gb": None}, {"mem": None}),
        ({"slurm_mem": "3GB"}, {"mem": "3GB"}),
        (
            {"slurm_qos": "high", "nodes": 3},
            {"qos": "high", "nodes": 3, MORE: {"constraint": "x", "clusters": "wice"}},
        ),
        ({"nodes": 1}, {}),
        ({"gpus_per_node": 0}, {"gpus_per_node": None}),
        ({"gpus_per_node": None}, {"gpus_per_node": None}),
        ({"account": None, "setup": "a"}, {"account": None, "setup": ["a"]}),
        ({"mail_type": None}, {"mail_type": None}),
        ({"slurm_partition": None}, {"partition": None}),
        ({"cluster": "genius"}, {MORE: {**BOTH, "clusters": "genius"}}),
        ({"cluster": None}, {MORE: {"constraint": "x", "qos": "y"}}),
        ({"additional_params": {"qos": "z"}}, {MORE: {**BOTH, "qos": "z"}}),
        ({"additional_params": {"qos": None}}, {MORE: {"constraint": "x", "clusters": "wice"}}),
        ({"additional_params": None}, {MORE: {"clusters": "wice"}}),
        ({"additional_params": None, "cluster": None}, {MORE: None}),
        ({"slurm_additional_parameters": None}, {MORE: None}),
    ],
)
def test_a_changed_field_is_set_or_unset_and_all_others_stay(
    fields: dict[str, Any], new: dict[str, Any]
) -> None:
    before = dict(FULL.resources.options)
    expected = {name: value for name, value in {**before, **new}.items() if value is not None}
    assert changed(FULL.resources, fields).options == expected
    assert FULL.resources.options == before


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"tiem": "9"}, "SlurmArgs has no field 'tiem'"),
        ({"tiem": None}, "SlurmArgs has no field 'tiem'"),
        ({"slurm_qso": "x"}, "unknown SLURM argument 'slurm_qso'"),
        ({"time": None}, "SlurmArgs needs 'time'"),
        ({"partition": None}, "SlurmArgs needs 'partition'"),
        ({"slurm_time": None}, "time must be text, not None"),
        ({"slurm_time": 9}, "time must be text, not 9"),
        ({"mem_gb": "8"}, "mem_gb must be a whole number"),
        ({"additional_params": {"array": "1-2"}}, "is set by planit itself"),
    ],
)
def test_a_change_that_is_not_valid_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(PlanError) as caught:
        changed(FULL.resources, fields)
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("flag", "whole"), [("n", "ntasks"), ("N", "nodes"), ("c", "cpus-per-task"), ("p", "partition")]
)
def test_a_short_option_is_refused_with_its_long_name(flag: str, whole: str) -> None:
    with pytest.raises(PlanError, match=f"'{flag}' is not an option's whole name") as refused:
        SlurmArgs(**LEAST, additional_params={flag: 2})
    assert refused.value.hint == f"write {whole}"


@pytest.mark.parametrize(("flag", "whole"), [("ntas", "ntasks"), ("cpus_per_ta", "cpus-per-task")])
def test_an_option_that_sbatch_would_complete_is_refused(flag: str, whole: str) -> None:
    with pytest.raises(PlanError, match=f"'{flag}' is not an option's whole name") as refused:
        SlurmArgs(**LEAST, additional_params={flag: 2})
    assert whole in str(refused.value.hint)


@pytest.mark.parametrize("value", ["two", 0, -1, True, 1.5, "1-2"])
@pytest.mark.parametrize("flag", ["ntasks", "ntasks-per-node", "tasks_per_node"])
def test_a_number_of_tasks_that_is_none_is_refused(flag: str, value: Any) -> None:
    with pytest.raises(PlanError, match=f"additional_params.{flag} must be a whole number"):
        SlurmArgs(**LEAST, additional_params={flag: value})


def test_an_option_in_two_spellings_is_refused() -> None:
    with pytest.raises(PlanError, match="additional_params has 'ntasks_per_node' twice"):
        SlurmArgs(**LEAST, additional_params={"ntasks-per-node": 2, "ntasks_per_node": 2})


@pytest.mark.parametrize(
    ("fields", "flag", "value"),
    [
        ({}, "time", "02:00:00"),
        ({}, "partition", "other"),
        ({"nodes": 2}, "nodes", 4),
        ({"cpus_per_task": 2}, "cpus-per-task", 4),
        ({"mem_gb": 2}, "mem", "4G"),
        ({"cluster": "wice"}, "cluster", "genius"),
    ],
)
def test_a_field_that_additional_params_contradict_is_refused(
    fields: dict[str, Any], flag: str, value: Any
) -> None:
    with pytest.raises(PlanError, match=r"additional_params.*say") as refused:
        SlurmArgs(**{**LEAST, **fields}, additional_params={flag: value})
    assert "once" in str(refused.value.hint)
    raw = {"slurm_additional_parameters": {"partition": "other"}}
    with pytest.raises(PlanError, match="slurm_additional_parameters"):
        resources_of({**RAW, **raw})


@pytest.mark.parametrize(
    "args",
    [
        {"mem_gb": 2, "additional_params": {"mem_per_gpu": "4G"}},
        {"additional_params": {"mem-per-cpu": "1G", "mem_per_gpu": "4G"}},
    ],
)
def test_memory_that_is_asked_for_in_two_ways_is_refused(args: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match=r"mem.* and mem_per_gpu are both set"):
        SlurmArgs(**LEAST, **args)


@pytest.mark.parametrize(
    ("before", "fields", "memory"),
    [
        ({"additional_parameters": {"mem_per_gpu": "4G"}}, {"mem_gb": 2}, {"mem": "2GB"}),
        ({"mem_per_cpu": "4G"}, {"mem_gb": 2}, {"mem": "2GB"}),
        ({"mem": "4GB"}, {"slurm_mem_per_gpu": "2G"}, {"mem_per_gpu": "2G"}),
        (
            {"mem": "4GB"},
            {"additional_params": {"mem_per_gpu": "2G"}},
            {"mem_per_gpu": "2G"},
        ),
        ({"mem": "4GB"}, {"nodes": 2}, {"mem": "4GB"}),
    ],
)
def test_new_memory_takes_the_place_of_memory_asked_for_in_another_way(
    before: dict[str, Any], fields: dict[str, Any], memory: dict[str, Any]
) -> None:
    after = flags_of(changed(Resources({"time": "5", **before}), fields).options)
    assert {name: value for name, value in after.items() if name.startswith("mem")} == memory


def test_what_says_the_same_twice_is_taken() -> None:
    args = SlurmArgs(**LEAST, nodes=2, additional_params={"nodes": "2", "partition": "batch"})
    assert flags_of(args.resources.options)["nodes"] == "2"


@pytest.mark.parametrize(
    ("before", "fields", "flags"),
    [
        ({"additional_parameters": {"nodes": 4}}, {"nodes": 2}, {"nodes": 2}),
        ({"additional_parameters": {"mem": "1G"}}, {"mem_gb": 2}, {"mem": "2GB"}),
        ({"nodes": 2}, {"additional_params": {"nodes": 4}}, {"nodes": 4}),
        ({"constraint": "a"}, {"additional_params": {"constraint": None}}, {}),
        ({"additional_parameters": {"qos": "low"}}, {"slurm_qos": "high"}, {"qos": "high"}),
        ({"additional_parameters": {"qos": "low"}}, {"slurm_qos": None}, {}),
    ],
)
def test_a_change_wins_wherever_the_option_stood(
    before: dict[str, Any], fields: dict[str, Any], flags: dict[str, Any]
) -> None:
    made = changed(Resources({"time": "5", "partition": "x", **before}), fields)
    assert flags_of(made.options) == {"time": "5", "partition": "x", **flags}


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 1),
        ({"nodes": 3}, 3),
        ({"nodes": "2", "ntasks_per_node": 4}, 8),
        ({"additional_parameters": {"ntasks": 2}}, 2),
        ({"additional_parameters": {"ntasks": "2"}, "nodes": 2, "ntasks_per_node": 8}, 2),
        ({"additional_parameters": {"ntasks-per-node": 2}, "nodes": 2}, 4),
        ({"additional_parameters": {"ntasks_per_gpu": 2, "gpus": "a100:3"}}, 6),
        ({"additional_parameters": {"ntasks_per_gpu": 2}, "gpus_per_node": 2, "nodes": 2}, 8),
        ({"additional_parameters": {"gpus": 4}, "gpus_per_task": 2}, 2),
        ({"additional_parameters": {"nodes": 2}}, 2),
    ],
)
def test_the_tasks_of_a_job_are_counted_as_slurm_counts_them(
    options: dict[str, Any], count: int
) -> None:
    assert task_count(flags_of(options)) == count


def test_nodes_that_slurm_may_choose_are_no_number_of_tasks() -> None:
    with pytest.raises(PlanError, match="nodes '1-4' is not one whole number"):
        task_count({"nodes": "1-4"})

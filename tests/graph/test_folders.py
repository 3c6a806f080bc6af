"""Folders by reference: what a step names stands for the folder in its own branch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from planit import Chain, Command, HydraApp, Node, Parallel, PlanError, Step, Sweep
from planit.graph import Branch, merge, refuse_folders, with_folders
from planit.nodes import Origin, Task, tasks
from planit.nodes.arguments import Unbuilt
from planit.nodes.step_folder import placeholder
from tests.helpers import CPU, nothing, step

TRAIN = step("train")


def resolved(root: Node) -> dict[str, Any]:
    """The steps with paths ``/run/NAME``, by name."""
    return {task.name: task for task, _ in tasks(with_folders(root, lambda n: Path("/run", n)))}


def behind(*args: Any, **kwargs: Any) -> Any:
    """A step behind train."""
    return resolved(Chain(TRAIN, Step("eval", nothing, CPU, *args, **kwargs)))["eval"]


def swept(*last: Task) -> dict[str, Any]:
    """Steps behind two branches of train and eval."""
    train = Step("train", nothing, CPU)
    rows = [
        Branch({"lr": lr}, Chain(step("prepare"), Step("fit", nothing, CPU, lr), train, *last))
        for lr in ("1", "2")
    ]
    return resolved(merge(rows, join=["eval"]))


def test_a_folder_is_a_path_wherever_it_stands_in_the_arguments() -> None:
    model = TRAIN.dir / "a" / "model.pt"
    made = behind(model, [model, 1], {"of": (model, "x")}, text=f"{TRAIN.dir}/log", plain="p")
    path = Path("/run/train/a/model.pt")
    assert made.args == (path, [path, 1], {"of": (path, "x")})
    assert made.kwargs == {"text": "/run/train/log", "plain": "p"}


def test_what_the_job_builds_has_paths_too() -> None:
    content = {"_target_": "x.Y", "path": [placeholder("train")], "n": {"m": 1}}
    assert behind(Unbuilt(content)).args[0].content == {**content, "path": ["/run/train"]}


def test_what_was_passed_in_is_not_changed() -> None:
    given = [TRAIN.dir, {"of": TRAIN.dir}]
    root = Chain(TRAIN, Step("eval", nothing, CPU, given))
    with_folders(root, Path)
    assert given == [TRAIN.dir, {"of": TRAIN.dir}]
    assert root.children[1].args == (given,)  # type: ignore[attr-defined]


def test_a_tree_without_folders_is_itself() -> None:
    root = Chain(TRAIN, Step("eval", nothing, CPU, "text", [1]))
    assert with_folders(root, Path) is root


def test_a_branch_has_its_own_folder_and_a_join_all_of_them() -> None:
    test = Step("test", nothing, CPU, TRAIN.dir, step("prepare").dir)
    last = Step("eval", nothing, CPU, TRAIN.dir / "m", f"{TRAIN.dir}/m", step("prepare").dir)
    found = swept(test, last)
    assert found["test[lr=1]"].args == (Path("/run/train[lr=1]"), Path("/run/prepare"))
    assert found["test[lr=2]"].args == (Path("/run/train[lr=2]"), Path("/run/prepare"))
    both = [Path(f"/run/train[lr={lr}]/m") for lr in (1, 2)]
    assert found["eval"].args == (both, list(map(str, both)), Path("/run/prepare"))


def test_several_folders_are_in_the_order_of_the_plan() -> None:
    first, second, last = step("train[1]"), step("train[2]"), Step("eval", nothing, CPU, TRAIN.dir)
    made = resolved(Chain(first, step("between"), second, last))
    assert made["eval"].args == ([Path("/run/train[1]"), Path("/run/train[2]")],)


def test_a_join_of_one_branch_has_a_list_of_one() -> None:
    rows = [Branch({"lr": "1"}, Chain(TRAIN, Step("eval", nothing, CPU, TRAIN.dir)))]
    assert resolved(merge(rows, join=["eval"]))["eval"].args == ([Path("/run/train[lr=1]")],)


def test_a_list_in_a_configuration_is_left_to_hydra() -> None:
    last = Step("eval", nothing, CPU, f"{TRAIN.dir}/m")
    last.origin = Origin("eval")
    assert swept(last)["eval"].args == (Unbuilt(["/run/train[lr=1]/m", "/run/train[lr=2]/m"]),)
    assert resolved(Chain(TRAIN, last))["eval"].args == ("/run/train/m",)


def test_a_sweep_has_the_folders_of_its_steps() -> None:
    sweep = Sweep("train", nothing, CPU, over={"lr": [1, 2]})
    made = resolved(Chain(sweep, Step("eval", nothing, CPU, sweep.dir)))
    assert made["eval"].args == ([Path("/run/train[lr=1]"), Path("/run/train[lr=2]")],)


def test_a_swept_folder_has_a_readable_name() -> None:
    sweep = Sweep("eval", nothing, CPU, over={"of": [TRAIN.dir / "a", f"{TRAIN.dir}/b"]})
    made = resolved(Chain(TRAIN, sweep))
    assert list(made)[1:] == ["eval[of=${dir:train}/a]", "eval[of=${dir:train}/b]"]
    assert made["eval[of=${dir:train}/a]"].kwargs == {"of": Path("/run/train/a")}


def test_a_command_has_paths_in_its_words_text_environment_and_folder() -> None:
    words = Command("eval", ["cat", TRAIN.dir / "log"], CPU)
    assert resolved(Chain(TRAIN, words))["eval"].command == ("cat", "/run/train/log")
    text = Command("eval", f'cat "{TRAIN.dir}/log"', CPU, TRAIN.dir, {"M": TRAIN.dir / "m"})
    made = resolved(Chain(TRAIN, text))["eval"]
    assert made.command == 'cat "/run/train/log"'
    assert made.cwd == "/run/train"
    assert made.env == {"M": "/run/train/m"}


def test_the_word_of_a_command_becomes_one_for_each_branch() -> None:
    first, second = "/run/train[lr=1]/log", "/run/train[lr=2]/log"
    words = Command("eval", ["cat", TRAIN.dir / "log"], CPU)
    assert swept(words)["eval"].command == ("cat", first, second)
    text = Command("eval", f"cat -n {TRAIN.dir}/log>all; echo {TRAIN.dir}", CPU)
    assert swept(text)["eval"].command == (
        f"cat -n {first} {second}>all; echo /run/train[lr=1] /run/train[lr=2]"
    )


@pytest.mark.parametrize(
    "command",
    [
        Command("eval", f'cat "{TRAIN.dir}/log"', CPU),
        Command("eval", "true", CPU, cwd=TRAIN.dir),
        Command("eval", "true", CPU, env={"M": TRAIN.dir}),
    ],
)
def test_many_folders_where_one_text_is_needed_are_refused(command: Command) -> None:
    with pytest.raises(PlanError, match="stands for the folders of several branches"):
        swept(command)


def test_two_steps_with_branches_in_one_text_are_refused() -> None:
    last = Step("eval", nothing, CPU, f"{TRAIN.dir} {step('fit').dir}")
    with pytest.raises(PlanError, match="two steps with several branches"):
        swept(last)


def test_a_hydra_program_has_paths_in_its_overrides() -> None:
    app = HydraApp("eval", "x.main", CPU, [f"of={TRAIN.dir}/m", "lr=1"])
    assert resolved(Chain(TRAIN, app))["eval"].overrides == ("of=/run/train/m", "lr=1")
    assert swept(app)["eval"].overrides == (
        "of=[/run/train[lr=1]/m,/run/train[lr=2]/m]",
        "lr=1",
    )


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("trian", "the plan has no step 'trian'", "did you mean train? known: after, eval, train"),
        ("after", "step 'after' does not come before it", "put both in a Chain"),
        ("eval", "is the step's own folder", "planit.current().dir"),
    ],
)
def test_only_a_step_before_it_has_a_folder_to_read(name: str, message: str, hint: str) -> None:
    root = Chain(TRAIN, Step("eval", nothing, CPU, [placeholder(name)]), step("after"))
    with pytest.raises(PlanError) as refused:
        refuse_folders(root)
    assert refused.value.message.startswith(f"step 'eval': ${{dir:{name}}}")
    assert refused.value.message.endswith(message)
    assert hint in str(refused.value.hint)


def test_a_step_beside_it_is_refused() -> None:
    root = Parallel(TRAIN, Step("eval", nothing, CPU, TRAIN.dir))
    with pytest.raises(PlanError, match="step 'train' does not come before it"):
        refuse_folders(root)


def test_branches_that_name_the_same_folder_are_equal() -> None:
    def tree() -> Node:
        return Chain(step("a"), Step("b", nothing, CPU, step("a").dir / "x"))

    merged = merge([Branch({"s": "1"}, tree()), Branch({"s": "2"}, tree())])
    assert [task.name for task, _ in tasks(merged)] == ["a", "b"]


def test_slurm_arguments_have_no_folder() -> None:
    args = {"slurm_time": "5", "slurm_setup": [f"cp {TRAIN.dir}/x ."]}
    with pytest.raises(PlanError, match="step 'eval': slurm_args: the folder of a step"):
        refuse_folders(Chain(TRAIN, Step("eval", nothing, args)))

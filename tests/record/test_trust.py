"""Whom a run directory is trusted from, on the way to it and inside it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from planit.errors import RunError
from planit.record import trust
from planit.record.files import make_dir, write_new
from planit.record.run_dir import RunDir
from tests.helpers import give_acl, run_python

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture(autouse=True)
def _not_opted_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(trust.TRUST_GROUP, raising=False)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory in ``<tmp_path>/runs/p``."""
    made = RunDir.create(tmp_path / "runs", "p").path
    write_new(make_dir(made / "steps" / "s") / "payload.pkl", "mine")
    write_new(made / "submissions" / "1.json", "{}")
    return made


@pytest.fixture
def opened(run: Path) -> Iterator[trust.TrustedDir]:
    with trust.opened(run) as trusted:
        yield trusted


def reason(run: Path) -> str:
    return str(trust.why_untrusted(run))


def test_what_is_read_is_what_was_checked_whatever_it_is_called_now(
    run: Path, opened: trust.TrustedDir
) -> None:
    step = opened.subdir("steps/s")
    run.rename(run.with_name("away"))
    planted = make_dir(run / "steps" / "s")
    write_new(planted / "payload.pkl", "foreign")
    assert opened.read_bytes("steps/s/payload.pkl") == b"mine"
    assert (step.proc / "payload.pkl").read_text() == "mine"
    step.close()


@pytest.mark.parametrize("name", ["", "/etc/passwd", "..", "steps/../../x", "steps//s", "./steps"])
def test_path_that_leaves_the_run_is_refused(opened: trust.TrustedDir, name: str) -> None:
    with pytest.raises((RunError, ValueError)):
        opened.open(name)


def test_links_pipes_and_what_others_can_write_are_not_read(
    run: Path, opened: trust.TrustedDir, tmp_path: Path
) -> None:
    step = run / "steps" / "s"
    payload = step / "payload.pkl"
    os.mkfifo(step / "pipe")
    (step / "link").symlink_to(payload)
    (run / "code").symlink_to(step)
    payload.chmod(0o646)
    refused = {
        "steps/s/pipe": f"{step}/pipe is not a regular file",
        "steps/s/link": f"{step}/link is a symbolic link",
        "code/payload.pkl": f"{run}/code is a symbolic link",
        "steps/s/payload.pkl": f"{payload} can be written by others (mode 646)",
        "steps/s/none": f"{step}/none: No such file or directory",
        "steps/s": f"{step} is not a regular file",
    }
    for name, message in refused.items():
        with pytest.raises(RunError) as error:
            opened.read_bytes(name)
        assert error.value.message == message
    assert reason(run) == f"{run}/code is a symbolic link"


@pytest.mark.parametrize("name", ["manifest.json", "submissions/1.json", "submissions", "steps"])
def test_run_that_others_could_have_written_is_refused_as_a_whole(run: Path, name: str) -> None:
    assert trust.why_untrusted(run) is None
    path = run / name
    if not path.exists():
        path.touch()
    path.chmod(0o757)
    assert reason(run) == f"{path} can be written by others (mode 757)"
    if os.geteuid() == 0:
        path.chmod(0o755)
        os.chown(path, NOBODY, NOBODY)
        assert reason(run) == f"{path} belongs to another user (uid {NOBODY})"


@pytest.mark.parametrize(
    ("mode", "trusted"), [(0o755, True), (0o711, True), (0o1777, True), (0o777, False)]
)
def test_folder_that_everybody_may_write_needs_the_sticky_bit(
    run: Path, tmp_path: Path, mode: int, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").chmod(mode)
    for opted_in in ("", "1"):
        monkeypatch.setenv(trust.TRUST_GROUP, opted_in)
        if trusted:
            assert trust.why_untrusted(run) is None
        else:
            assert f"runs below {tmp_path}/runs are not safe" in reason(run)
            assert "it can be written by everybody (mode 0777, owner " in reason(run)


@needs_root
@pytest.mark.parametrize(("uid", "why"), [(0, "by its group"), (NOBODY, "belongs to another")])
def test_project_folder_of_a_group_is_trusted_only_on_purpose(
    run: Path, tmp_path: Path, uid: int, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "runs"
    os.chown(project, uid, NOBODY)
    project.chmod(0o2770)
    for place in (lambda: trust.opened(run), lambda: trust.refuse_place(run.parent / "new")):
        with pytest.raises(RunError, match=why) as error:
            place()
        assert "(mode 2770, owner " in error.value.message
        assert "PLANIT_RUNS_DIR" in str(error.value.hint)
        assert "PLANIT_TRUST_GROUP=1" in str(error.value.hint)
    monkeypatch.setenv(trust.TRUST_GROUP, "1")
    assert trust.why_untrusted(run) is None
    os.chown(run, NOBODY, NOBODY)  # what is in it must be one's own all the same
    assert "belongs to another user" in reason(run)


@needs_root
def test_private_group_may_write_unless_a_list_names_others(run: Path, tmp_path: Path) -> None:
    """Root has a group of its own name, as many systems give each user one."""
    project = tmp_path / "runs"
    project.chmod(0o775)
    assert trust.why_untrusted(run) is None
    os.chown(project, 0, NOBODY)
    assert "its group" in reason(run)
    os.chown(project, 0, 0)
    give_acl(project, "access")
    project.chmod(0o775)
    assert "its group" in reason(run)


def test_no_run_is_made_where_its_jobs_would_refuse_it(tmp_path: Path) -> None:
    place = tmp_path / "open"
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(RunError, match=f"runs below {place} are not safe from other users"):
        RunDir.create(place / "runs", "p")
    assert not list(place.iterdir())


def test_links_on_the_way_are_followed_once(run: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "runs")
    assert trust.refuse_untrusted(link / "p" / run.name) == run


NAMESPACE = """
import ctypes, os
from pathlib import Path
from planit.record import trust
if os.geteuid() == 0:  # the machine's root must not be in the namespace
    os.setresuid(12345, 12345, 12345)
libc = ctypes.CDLL(None)
libc.prctl(4, 1)  # PR_SET_DUMPABLE, which a change of user takes away
me = os.geteuid()
if libc.unshare(0x10000000) == 0:  # CLONE_NEWUSER
    Path("/proc/self/uid_map").write_text(f"{me} {me} 1")
    print(os.stat("/").st_uid, trust.why_untrusted(Path("/usr/bin")))
"""


def test_root_of_the_machine_is_trusted_where_a_user_namespace_hides_it(tmp_path: Path) -> None:
    """Only on the way down: the same uid stands for every user outside of the namespace."""
    shown = run_python("-c", NAMESPACE, cwd=tmp_path)
    assert shown.code == 0, shown.err
    if not shown.out:
        pytest.skip("no user namespaces for normal users here")
    assert shown.out == f"{NOBODY} /usr/bin belongs to another user (uid {NOBODY})\n"


def test_opening_a_run_costs_less_than_a_millisecond(run: Path) -> None:
    times = []
    for _ in range(50):
        began = time.perf_counter()
        with trust.opened(run) as trusted:
            trusted.read_bytes("steps/s/payload.pkl")
        times.append(time.perf_counter() - began)
    assert min(times) < 0.001

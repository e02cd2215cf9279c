"""What a sweep file and flags say about the executor, and which mistakes are named."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from grok_cli.errors import UsageError
from grok_cli.executors.local import LocalExecutor, LocalOptions
from grok_cli.executors.ray.options import RayOptions
from grok_cli.executors.registry import EXECUTORS, build_options
from grok_cli.executors.slurm.options import SlurmOptions, slurm_minutes
from grok_cli.sweeps.spec import read_spec
from tests.typed import Grok

Flags = dict[str, tuple[str, Any]]


def test_nothing_said_means_this_machine() -> None:
    assert build_options(None, "sweep") == LocalOptions()
    assert build_options({"kind": "local", "jobs": "auto"}, "f.yaml") == LocalOptions(jobs=None)
    assert build_options("slurm", "f.yaml") == SlurmOptions()


def test_flags_win_over_the_file_and_add_to_its_mapping() -> None:
    section = {"kind": "slurm", "partition": "cpu", "cpus": 2, "options": {"qos": "low", "nice": 5}}
    flags: Flags = {
        "partition": ("--partition", "gpu"),
        "options": ("--slurm-option", {"qos": "high", "exclusive": True}),
    }
    assert build_options(section, "f.yaml", None, flags) == SlurmOptions(
        partition="gpu", cpus=2, options={"qos": "high", "nice": 5, "exclusive": True}
    )


def test_section_of_another_executor_does_not_count() -> None:
    section = {"kind": "slurm", "cpus": 8}
    assert build_options(section, "f.yaml", "ray") == RayOptions(cpus=1)
    assert build_options(section, "f.yaml", "slurm") == SlurmOptions(cpus=8)


def test_sweep_file_keeps_its_section(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("executor: {kind: slurm, time: 4:00:00, account: 12, cpus: 2}\n")
    options = build_options(read_spec(file).executor, "s.yaml")
    assert options == SlurmOptions(time="4:00:00", account="12", cpus=2)


@pytest.mark.parametrize(
    ("section", "kind", "flags", "message"),
    [
        (None, "slrum", {}, "--executor slrum: did you mean slurm?"),
        ({"kind": "sge"}, None, {}, "s.yaml: executor: unknown kind sge; expected one of local"),
        ({"partition": "a"}, None, {}, "s.yaml: executor: expected kind: local, slurm, ray"),
        (["slurm"], None, {}, "expected kind and options"),
        ({"kind": "slurm", "partion": "a"}, None, {}, "no option partion; did you mean partition?"),
        (None, None, {"time": ("--time", "60")}, "--time: an option of --executor slurm, not of l"),
        (None, None, {"cpus": ("--cpus", "2")}, "--cpus: an option of --executor slurm and ray"),
        (None, "slurm", {"jobs": ("--jobs", "2")}, "--jobs: an option of --executor local, not of"),
        (None, "ray", {"cpus": ("--cpus", "0")}, "--cpus: expected greater than or equal to 1"),
        (None, "ray", {"storage": ("--storage", "s3")}, "--storage: expected 'shared' or 'driver'"),
        (None, "slurm", {"memory": ("--memory", "2")}, "expected a number and a unit, e.g. 500M"),
        (None, "slurm", {"time": ("--time", "soon")}, "--time: soon: expected minutes, HH:MM:SS"),
        (None, "slurm", {"time": ("--time", "2")}, "--time: 2: expected 5 minutes or more"),
        (
            {"kind": "slurm", "options": {"array": "1-3"}},
            None,
            {},
            "array is given by this program",
        ),
        ({"kind": "slurm", "options": {"mem": "3G"}}, None, {}, "mem is the option memory here"),
    ],
)
def test_mistake_is_named(section: Any, kind: str | None, flags: Flags, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        build_options(section, "s.yaml", kind, flags)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("90", 90),
        ("90:30", 91),
        ("4:00:00", 240),
        ("1-0", 1440),
        ("2-12:30", 3630),
        ("1-1:1:1", 1502),
    ],
)
def test_time_limits_are_read_as_slurm_reads_them(text: str, minutes: int) -> None:
    assert slurm_minutes(text) == minutes


def test_memory_in_bytes() -> None:
    assert RayOptions(memory="3G").memory_bytes() == 3 * 2**30
    assert RayOptions().memory_bytes() is None


def test_options_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        SlurmOptions().cpus = 3  # type: ignore[misc]


def test_every_option_is_explained() -> None:
    for model in EXECUTORS.values():
        for name, field in model.model_fields.items():
            assert name == "kind" or (field.description or "").endswith(".")


def test_local_executor_shares_the_cores_by_all_runs(tmp_path: Path) -> None:
    executor = LocalOptions(jobs=3).make(tmp_path, 12, 1)
    assert isinstance(executor, LocalExecutor)
    assert (executor.workers, executor.threads) == (3, 1)


def test_threads_of_a_cluster_run_are_its_cpus(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="as many threads as CPUs; give --cpus alone"):
        SlurmOptions(cpus=2).make(tmp_path, 1, 4)


@pytest.mark.parametrize(
    ("options", "module"), [(SlurmOptions(), "submitit"), (RayOptions(), "ray")]
)
def test_missing_extra_is_named_with_the_command(
    options: Any, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        options.make(tmp_path, 1, None)
    requirement = options.needs[1]
    assert f"--executor {options.kind} needs a package that is not installed" in str(caught.value)
    assert f"pip install '{requirement}' (with pipx: pipx inject grokking-lab" in str(caught.value)
    assert requirement.startswith(module)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--partition", "gpu"], "--partition: an option of --executor slurm, not of local"),
        (["--detach"], "--detach: needs --executor slurm"),
        (["--status", "--dry-run"], "--status and --dry-run: choose one"),
        (["--executor", "slurm", "--cancel", "--json"], "--json and --fail-fast have no meaning"),
    ],
)
def test_flags_that_do_not_fit_end_the_command(flags: list[str], message: str, typed: Grok) -> None:
    result = typed("sweep", *flags)
    assert result.returncode == 2
    assert message in result.stderr


def test_status_of_local_runs(typed: Grok, tmp_path: Path) -> None:
    result = typed("sweep", "--status", "--seeds", "2", "--grid", "model.ln_type=pre")
    assert result.returncode == 0, result.stderr
    first, _, last = result.stdout.splitlines()
    assert first.startswith("new          runs/add-pre-s456-")
    assert "step 0/10000" in first
    assert last == "2 runs: 2 new"
    assert list(tmp_path.iterdir()) == []

"""Files that the user names: links and devices stay what they are, a full disk is one message."""

from pathlib import Path

import pytest

from grok_cli.errors import cause
from tests.conftest import SMALL_FLAGS
from tests.typed import type_in

# A command that writes a file, and its name.
WRITERS = {
    "runs --csv out.csv": "out.csv",
    "export-csv --out . --summary": "summary.csv",
    "export-csv --out . --long": "long.csv",
    "export-csv --out . -m test/loss": "test_loss.csv",
    "plot loss --out out.png": "out.png",
    "report runs --out out.html": "out.html",
    "report runs --markdown --out out.md": "out-accuracy.png",
    "report runs --compact .": "curves.csv",
    "measure runs/a -m rank --csv out.csv": "out.csv",
    "measure-entropy runs/a --csv out.csv": "out.csv",
    "measure-entropy runs/a --plot out.svg": "out.svg",
    "times runs --csv out.csv": "out.csv",
    "plot times --out out.svg": "out.svg",
    "inspect runs/a --plot out.png": "out.png",
    "studies copy ln-positions out.yaml": "out.yaml",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in whose runs/a is a trained run."""
    place = tmp_path_factory.mktemp("trained")
    done = type_in(place, "train", *SMALL_FLAGS, "--measure", "rank:20", "--name", "a")
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def place(tmp_path: Path, trained: Path) -> Path:
    (tmp_path / "runs").symlink_to(trained / "runs")
    return tmp_path


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", WRITERS)
def test_full_disk_is_one_message_that_names_the_file(place: Path, command: str) -> None:
    file = place / WRITERS[command]
    file.symlink_to("/dev/full")
    failed = type_in(place, *command.split())
    message = failed.stderr.splitlines()[-1]
    assert failed.returncode == 1
    assert f"cannot write {WRITERS[command]}: No space left on device" in message
    assert file.readlink() == Path("/dev/full")


@pytest.mark.parametrize("command", [name for name in WRITERS if not name.startswith("studies")])
def test_link_is_followed(place: Path, command: str) -> None:
    file, target = place / WRITERS[command], place / "kept"
    target.write_text("old")
    file.symlink_to(target)
    done = type_in(place, *command.split())
    assert done.returncode == 0, done.stderr
    assert file.is_symlink()
    assert target.read_bytes() not in (b"", b"old")


def test_dash_is_what_a_pipe_reads(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert type_in(place, "runs", "--csv", "-").returncode == 0
    assert capfd.readouterr().out.startswith("run,status,step")
    assert not (place / "-").exists()


def test_glob_below_a_folder_with_a_name_like_a_pattern(place: Path) -> None:
    (place / "x[1]").symlink_to("runs")
    done = type_in(place, "measure", "x[1]/*", "-m", "margin", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert '"x[1]/a/snapshots/step_000020.pt"' in done.stdout


def test_copied_study_replaces_no_file(place: Path) -> None:
    (place / "mine.yaml").write_text("mine")
    refused = type_in(place, "studies", "copy", "ln-positions", "mine.yaml")
    assert (refused.returncode, refused.stderr) == (
        2,
        "grok: mine.yaml exists; choose another name\n",
    )
    assert (place / "mine.yaml").read_text() == "mine"


def test_cause_of_a_library_without_a_number_is_its_text() -> None:
    error = OSError("No space left on device (os error 28)")
    error.filename = "x.csv"
    assert cause(error) == "No space left on device (os error 28)"

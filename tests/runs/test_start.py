"""How a run starts, and what is refused before anything is written."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from grok_cli.errors import GrokError, UsageError
from grok_cli.runs.directory import RunDir, check_name, create_run
from grok_cli.runs.files import write_output, write_text
from grok_cli.runs.launch import train_run
from grok_cli.runs.settings import FORMAT, SettingsError, build_config
from tests.conftest import SMALL_FLAGS, small_config
from tests.typed import Grok


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/x", "-x", "a\nb", "\x1b[2J", "x" * 300]
)
def test_name_is_one_plain_component(name: str, typed: Grok, tmp_path: Path) -> None:
    result = typed("train", *SMALL_FLAGS, f"--name={name}")
    assert result.returncode == 2
    assert "--name" in result.stderr
    assert "plain name of a directory" in result.stderr
    assert not (tmp_path / "runs").exists()


def test_any_other_name_is_taken() -> None:
    for name in ("mine", "a b", "x-1", ".hidden", "ü", "a[1]*?"):
        assert check_name(name) == name


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_missing_gpu_is_refused_before_anything_is_written(typed: Grok, tmp_path: Path) -> None:
    result = typed("train", *SMALL_FLAGS, "--device", "cuda")
    assert result.returncode == 2
    assert "no GPU here" in result.stderr
    assert "auto, cpu" in result.stderr
    assert not (tmp_path / "runs").exists()
    config = small_config(run__device="cuda:1")
    run = create_run(tmp_path / "run", config)
    with pytest.raises(UsageError, match="no GPU here"):
        train_run(run, config)
    assert [path.name for path in run.path.iterdir()] == ["config.yaml"]


def test_unknown_device_is_told_which_there_are() -> None:
    with pytest.raises(SettingsError, match=r"run\.device: expected one of auto, cpu, cuda"):
        build_config({"run.device": "mps"})


def test_directory_in_which_nothing_was_trained_blocks_no_start(tmp_path: Path) -> None:
    create_run(tmp_path / "run", small_config(opt__learning_rate=0.5))
    run = create_run(tmp_path / "run", small_config())
    assert run.config() == small_config()
    train_run(run, small_config(), should_stop=lambda: True)
    with pytest.raises(UsageError, match=r"holds a run already \(interrupted\)"):
        create_run(tmp_path / "run", small_config())


def test_configuration_says_its_format_and_a_later_one_is_refused(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", small_config())
    content = yaml.safe_load(run.config_file.read_text())
    assert content["format"] == FORMAT == 2
    run.config_file.write_text(yaml.safe_dump({**content, "format": 3}))
    with pytest.raises(SettingsError, match="format 3: this version reads up to 2"):
        run.config()
    del content["format"]
    run.config_file.write_text(yaml.safe_dump(content))
    assert run.config() == small_config()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_full_disk_ends_in_one_message_with_the_command_to_go_on(
    small_disk: Path, typed: Grok
) -> None:
    flags = ("--set", "model.d_model=32", "--set", "train.snapshot_every=1", "--quiet")
    result = typed("train", *SMALL_FLAGS, *flags, "--runs-dir", str(small_disk), "--name", "full")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    for part in ("step_0000", "No space left on device", "grok train --resume"):
        assert part in result.stderr
    run = RunDir(small_disk / "full")
    assert run.summary()["status"] == "interrupted"
    assert not list(run.path.rglob("*.tmp"))


def test_output_goes_through_pipes_and_links(tmp_path: Path) -> None:
    pipe, target, link = tmp_path / "pipe", tmp_path / "target", tmp_path / "link"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        write_output(pipe, b"abc")
        assert reader.communicate()[0] == b"abc"
    assert pipe.is_fifo()
    target.write_bytes(b"old")
    link.symlink_to("target")
    write_output(link, b"new")
    assert (link.is_symlink(), target.read_bytes()) == (True, b"new")
    write_output(Path(os.devnull), b"gone")
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_standard_output_keeps_what_stands_in_its_file(tmp_path: Path, name: str) -> None:
    """As in `grok runs --csv - >> log`."""
    log = tmp_path / "log"
    log.write_text("before\n")
    program = (
        "from pathlib import Path; from grok_cli.runs.files import write_output; "
        f"print('table'); write_output(Path({name!r}), b'values\\n'); print('after')"
    )
    with log.open("a") as stream:
        subprocess.run([sys.executable, "-c", program], stdout=stream, check=True)
    assert log.read_text() == "before\ntable\nvalues\nafter\n"


def test_output_that_cannot_be_written_leaves_nothing(small_disk: Path) -> None:
    with pytest.raises(GrokError, match=r"x\.png: No space left"):
        write_output(small_disk / "x.png", bytes(2**20))
    assert list(small_disk.iterdir()) == []
    (small_disk / "x.png").write_bytes(b"old")
    with pytest.raises(GrokError, match=r"x\.png: No space left"):
        write_output(small_disk / "x.png", bytes(2**20))
    assert (small_disk / "x.png").read_bytes() == b"old"


def test_a_disk_that_may_only_be_read_is_told_by_the_file_that_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *arguments: object, **options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    for name in ("open", "unlink"):
        monkeypatch.setattr(Path, name, refuse)
    with pytest.raises(OSError, match="Read-only") as caught:
        write_text(tmp_path / "measured.csv", "x")
    assert caught.value.filename == str(tmp_path / "measured.csv")

"""The controller's command line: what is wrong is said in one line per key, and the exit status tells supervisors."""

from pathlib import Path

import pytest

from reconciler.__main__ import EXIT_CONFIG, main
from tests.unit.config.documents import Change, changed

FILES: tuple[Change, ...] = (
    (("server-secret-file",), "secret"),
    (("ssh", "private-key-file"), "key"),
)


def installed(folder: Path, *changes: Change, secret: str = "s" * 32) -> list[str]:
    """Install configuration and secrets; return the arguments that name them."""
    for name, text in (("secret", secret), ("key", "a key")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    (folder / "config.json").write_text(changed(*FILES, *changes))
    return ["--config", str(folder / "config.json")]


def test_check_config_accepts_what_a_site_may_run_and_says_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*installed(tmp_path), "--check-config"]) == 0
    assert capsys.readouterr() == ("", "")


def test_check_config_names_each_template_that_no_job_could_use_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "good.sh").write_text("#!/bin/sh\n")
    (templates / "open.sh").write_text("#!/bin/sh\necho {{a\n")
    arguments = installed(tmp_path, (("templates-directory",), str(templates)))

    assert main([*arguments, "--check-config"]) == EXIT_CONFIG
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bwvisu-reconciler: template open.sh: line 2: ")


@pytest.mark.parametrize("arguments", [[], ["--check-config"]])
def test_a_wrong_key_is_named_in_one_line_and_starting_again_is_of_no_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    wrong = installed(tmp_path, (("reconciler", "workers"), 0))
    assert main([*wrong, *arguments]) == EXIT_CONFIG
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"bwvisu-reconciler: {tmp_path}/config.json: reconciler.workers: found 0")


def test_each_wrong_key_has_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = installed(tmp_path, (("reconciler", "workers"), 0), (("log-level",), "loud"))
    assert main(wrong) == EXIT_CONFIG
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "none.json")]) == EXIT_CONFIG
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "none.json") in line


@pytest.mark.parametrize("key", ["ca-file", "cert-file", "key-file"])
def test_a_certificate_that_is_not_there_is_found_before_it_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    """It was read only when etcd was called, so the check of a configuration passed and the start failed."""
    files: list[Change] = [(("etcd", name), "secret") for name in ("ca-file", "cert-file", "key-file")]
    arguments = installed(tmp_path, *files, (("etcd", key), "none.pem"))

    assert main([*arguments, "--check-config"]) == EXIT_CONFIG
    assert "none.pem: No such file" in capsys.readouterr().err


@pytest.mark.invariant("I11")
@pytest.mark.parametrize(("file", "mode"), [("secret", 0o644), ("key", 0o640)])
def test_a_secret_that_others_may_read_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, mode: int
) -> None:
    arguments = installed(tmp_path)
    (tmp_path / file).chmod(mode)
    assert main(arguments) == EXIT_CONFIG
    (line,) = capsys.readouterr().err.splitlines()
    assert f"chmod 0600 {tmp_path / file}" in line


@pytest.mark.invariant("I11")
def test_a_secret_that_is_too_short_is_refused_and_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(installed(tmp_path, secret="hunter2")) == EXIT_CONFIG
    (line,) = capsys.readouterr().err.splitlines()
    assert "hunter2" not in line

"""Which files may hold a secret."""

from pathlib import Path

import pytest

from reconciler.config import ConfigError, read_secret, require_private


def a_secret(folder: Path, text: str, mode: int) -> Path:
    """Return a file that holds `text` and has `mode`."""
    file = folder / "server-secret"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_a_secret_is_read_without_the_line_end_and_never_shown(tmp_path: Path) -> None:
    secret = read_secret(a_secret(tmp_path, "s" * 32 + "\n", 0o600), {})

    assert secret.get_secret_value() == "s" * 32
    assert "sss" not in repr(secret)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_secret_that_others_may_touch_is_refused_with_the_command_that_mends_it(tmp_path: Path, mode: int) -> None:
    file = a_secret(tmp_path, "s" * 32, mode)

    with pytest.raises(ConfigError) as caught:
        read_secret(file, {})

    assert str(caught.value) == f"{file}: found mode {mode:04o}, allowed is 0600 (chmod 0600 {file})"


def test_systemd_guards_its_own_credentials(tmp_path: Path) -> None:
    file = a_secret(tmp_path, "s" * 32, 0o440)

    assert read_secret(file, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).get_secret_value() == "s" * 32


@pytest.mark.parametrize("text", ["", " \n", "s" * 31])
def test_a_secret_too_short_to_be_one_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=rf"found {len(text.strip())} characters, allowed are at least 32$"):
        read_secret(a_secret(tmp_path, text, 0o600), {})


def test_a_password_may_be_shorter_than_a_secret(tmp_path: Path) -> None:
    file = a_secret(tmp_path, "short", 0o600)

    assert read_secret(file, {}, minimum_characters=1).get_secret_value() == "short"


def test_a_secret_that_is_not_there_or_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_secret(tmp_path / "none", {})
    with pytest.raises(ConfigError, match="not a file"):
        require_private(tmp_path, {})

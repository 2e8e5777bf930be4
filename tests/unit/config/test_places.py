"""Where the file is found, and where the paths inside it lead."""

from pathlib import Path

import pytest

from reconciler.config import ConfigError, load, places
from tests.unit.config.documents import EXAMPLE, changed, loaded


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'{"a": "\xff"}')

    with pytest.raises(ConfigError, match="not UTF-8 at 7"):
        load(tmp_path / "config.json", {})


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, {})


def test_the_option_wins_over_the_environment_and_that_over_the_usual_places(tmp_path: Path) -> None:
    (tmp_path / "option.json").write_text(changed((("instance",), "option")))
    (tmp_path / "named.json").write_text(changed((("instance",), "named")))
    (tmp_path / "config.json").write_text(changed((("instance",), "found")))
    named = {"INSTALL_DIR": str(tmp_path), "BWVISU_CONFIG": str(tmp_path / "named.json")}

    assert load(tmp_path / "option.json", named).instance == "option"
    assert load(None, named).instance == "named"
    assert load(None, {"INSTALL_DIR": str(tmp_path)}).instance == "found"


def test_the_file_beside_the_installation_is_found_when_there_is_none_inside(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "runner").mkdir()
    (tmp_path / "etc" / "config.json").write_text(changed((("instance",), "beside")))

    assert load(None, {"INSTALL_DIR": str(tmp_path / "runner")}).instance == "beside"


def test_the_four_places_are_those_of_the_original_middleware(tmp_path: Path) -> None:
    assert places({"INSTALL_DIR": str(tmp_path)}) == [
        tmp_path / "config.json",
        tmp_path / ".." / "etc" / "config.json",
        Path("/etc/runner/config.json"),
        Path("/opt/runner/etc/config.json"),
    ]


def test_the_folder_that_holds_the_packages_is_the_installation_unless_the_environment_says_otherwise() -> None:
    assert places({})[0] == EXAMPLE


def test_where_the_file_was_looked_for_is_said_when_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.json", {})

    assert str(caught.value) == (
        f"no configuration file, looked for {tmp_path / 'none.json'}; name one with --config or BWVISU_CONFIG"
    )


def test_a_relative_path_is_resolved_against_the_folder_of_the_file(tmp_path: Path) -> None:
    config = loaded(tmp_path, changed((("ssh", "private-key-file"), "keys/id"), (("etcd", "ca-file"), "ca.pem")))

    assert config.ssh.private_key_file == tmp_path / "keys" / "id"
    assert config.etcd.ca_file == tmp_path / "ca.pem"
    assert config.ssh.known_hosts_file == Path("/etc/bwvisu/known_hosts")


def test_a_systemd_credential_replaces_the_file_it_stands_for(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name in ("server-secret", "ssh-key", "unrelated"):
        (credentials / name).touch()

    config = loaded(tmp_path, EXAMPLE.read_text(), {"CREDENTIALS_DIRECTORY": str(credentials)})

    assert config.server_secret_file == credentials / "server-secret"
    assert config.ssh.private_key_file == credentials / "ssh-key"
    assert config.etcd.password_file is None

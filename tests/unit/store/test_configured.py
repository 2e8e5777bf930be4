"""As whom etcd takes each daemon, from one configuration."""

from pathlib import Path

from reconciler.config import Config
from reconciler.store.configured import api_etcd_settings, etcd_settings
from tests.unit.config.documents import Change, changed, loaded


def configured(folder: Path, *changes: Change) -> Config:
    """Return a configuration beside two files of passwords."""
    for name in ("one", "two"):
        (folder / name).write_text(f"{name}'s password")
        (folder / name).chmod(0o600)
    return loaded(folder, changed(*changes))


CONTROLLER: Change = (("etcd",), {"user": "controller", "password-file": "one"})
API: Change = (("api",), {"etcd-user": "api", "etcd-password-file": "two"})


def test_each_daemon_may_be_a_user_of_its_own(tmp_path: Path) -> None:
    config = configured(tmp_path, CONTROLLER, API)
    of_controller, of_api = etcd_settings(config, {}), api_etcd_settings(config, {})

    assert (of_controller.user, of_controller.password) == ("controller", "one's password")
    assert (of_api.user, of_api.password) == ("api", "two's password")
    assert of_api.endpoints == of_controller.endpoints


def test_an_api_without_a_user_of_its_own_is_the_same_as_the_controller(tmp_path: Path) -> None:
    config = configured(tmp_path, CONTROLLER)

    assert api_etcd_settings(config, {}) == etcd_settings(config, {})


def test_neither_daemon_needs_the_password_of_the_other(tmp_path: Path) -> None:
    config = configured(tmp_path, CONTROLLER, API)
    (tmp_path / "two").unlink()
    of_controller = etcd_settings(config, {})
    (tmp_path / "one").unlink()
    (tmp_path / "two").write_text("two's password")
    (tmp_path / "two").chmod(0o600)

    assert (of_controller.user, api_etcd_settings(config, {}).user) == ("controller", "api")


def test_the_credential_of_a_unit_replaces_the_password_file_of_either(tmp_path: Path) -> None:
    """Each unit hands its service one credential of that name, which is its own."""
    (tmp_path / "handed").mkdir()
    (tmp_path / "handed" / "etcd-password").write_text("handed over")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path / "handed")}
    config = loaded(tmp_path, changed(CONTROLLER, API), environment)

    assert {settings(config, environment).password for settings in (etcd_settings, api_etcd_settings)} == {
        "handed over"
    }

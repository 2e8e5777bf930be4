"""How the configuration wants etcd reached; the one place that knows both, for the controller and the API."""

from collections.abc import Mapping
from pathlib import Path

from reconciler.config import Config, read_secret
from reconciler.errors import ConfigError
from reconciler.store.settings import EtcdSettings


def etcd_settings(config: Config, environment: Mapping[str, str]) -> EtcdSettings:
    """Return the controller's settings of the client, the password read from its file.

    Raises:
        ConfigError: the password file, or a certificate, cannot be used.
    """
    return _settings(config, config.etcd.user, config.etcd.password_file, environment)


def api_etcd_settings(config: Config, environment: Mapping[str, str]) -> EtcdSettings:
    """Return the API's settings of the client: as another user of etcd where the configuration names one.

    Raises:
        ConfigError: the password file, or a certificate, cannot be used.
    """
    api = config.api
    if api.etcd_user is None:
        return etcd_settings(config, environment)
    return _settings(config, api.etcd_user, api.etcd_password_file, environment)


def _settings(
    config: Config, user: str | None, password_file: Path | None, environment: Mapping[str, str]
) -> EtcdSettings:
    etcd = config.etcd
    for file in (etcd.ca_file, etcd.cert_file, etcd.key_file):
        _require_readable(file)
    password = ""
    if password_file is not None:
        password = read_secret(password_file, environment, minimum_characters=1).get_secret_value()
    return EtcdSettings(
        endpoints=tuple((str(server.ip), server.port) for server in config.etcd_servers),
        request_timeout_s=etcd.request_timeout_s,
        user=user,
        password=password,
        ca_file=etcd.ca_file,
        cert_file=etcd.cert_file,
        key_file=etcd.key_file,
    )


def _require_readable(file: Path | None) -> None:
    """Refuse a file that the connection would need later, so that a check of the configuration finds it."""
    if file is None:
        return
    try:
        file.read_bytes()
    except OSError as error:
        raise ConfigError(f"etcd: cannot read {file}: {error.strerror}") from error

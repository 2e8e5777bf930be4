"""How the configuration wants etcd reached; the one place that knows both, for the controller and the API."""

from collections.abc import Mapping

from reconciler.config import Config, read_secret
from reconciler.store.settings import EtcdSettings


def etcd_settings(config: Config, environment: Mapping[str, str]) -> EtcdSettings:
    """Return the client's settings, the password read from its file.

    Raises:
        ConfigError: the password file cannot be used.
    """
    etcd = config.etcd
    password = ""
    if etcd.password_file is not None:
        password = read_secret(etcd.password_file, environment, minimum_characters=1).get_secret_value()
    return EtcdSettings(
        endpoints=tuple((str(server.ip), server.port) for server in config.etcd_servers),
        request_timeout_s=etcd.request_timeout_s,
        user=etcd.user,
        password=password,
        ca_file=etcd.ca_file,
        cert_file=etcd.cert_file,
        key_file=etcd.key_file,
    )

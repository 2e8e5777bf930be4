"""Whom the client connects to."""

import pytest

from reconciler.errors import ConfigError
from reconciler.store.channel import Members, targets
from reconciler.store.settings import EtcdSettings

THREE = (("10.0.0.1", 2379), ("10.0.0.2", 2379), ("10.0.0.3", 2379))


@pytest.mark.parametrize(
    ("endpoints", "tls", "expected"),
    [
        (THREE, False, ("ipv4:10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379",)),
        (THREE[:2], True, ("ipv4:10.0.0.1:2379", "ipv4:10.0.0.2:2379")),
        ((("etcd.example", 2379),), False, ("dns:///etcd.example:2379",)),
        ((("a.example", 1), ("10.0.0.1", 2)), False, ("dns:///a.example:1", "ipv4:10.0.0.1:2")),
        ((("::1", 2379),), False, ("ipv6:[::1]:2379",)),
    ],
)
def test_addresses_share_a_channel_and_names_and_certificates_have_one_each(
    endpoints: tuple[tuple[str, int], ...], tls: bool, expected: tuple[str, ...]
) -> None:
    assert targets(endpoints, tls=tls) == expected


def test_no_endpoint_at_all_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match="etcd-servers"):
        targets((), tls=False)


def test_a_member_that_several_callers_leave_is_left_once() -> None:
    members = Members(["one", "two", "three"])
    dead = members.channel
    members.leave(dead)
    members.leave(dead)
    assert members.channel == "two"


def test_after_the_last_member_comes_the_first() -> None:
    members = Members(["one", "two"])
    for _ in range(2):
        members.leave(members.channel)
    assert members.channel == "one"


@pytest.mark.invariant("I11")
def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(EtcdSettings(THREE, user="api", password="secret"))

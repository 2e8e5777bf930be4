"""The site that the tests of this folder share."""

import os
from collections.abc import Iterator

import pytest

from deploy.site import Site


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """Give one healthy site, named after this process, and take it down at the end whatever happened.

    A test that breaks something heals it before it ends.
    """
    if os.geteuid() != 0:
        pytest.skip("a site is made of namespaces, which needs root")
    made = Site(f"t{os.getpid()}")
    try:
        made.up()
        yield made
    finally:
        made.down()

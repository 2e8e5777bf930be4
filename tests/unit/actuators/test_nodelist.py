"""Slurm's short form of lists of nodes."""

import pytest
from pydantic import TypeAdapter

from reconciler.actuators.gateway import scripts
from reconciler.actuators.slurm.nodelist import expand
from reconciler.batchscript import keyhole_client
from reconciler.errors import UnexpectedOutput
from reconciler.model.wish import NodeName


@pytest.mark.parametrize(
    ("nodelist", "names"),
    [
        ("", ()),
        ("c1", ("c1",)),
        ("c[1-3,07-09],gpu1", ("c1", "c2", "c3", "c07", "c08", "c09", "gpu1")),
        ("c[098-102]", ("c098", "c099", "c100", "c101", "c102")),
        ("rack[1-2]n[1-2]-ib", ("rack1n1-ib", "rack1n2-ib", "rack2n1-ib", "rack2n2-ib")),
        ("n1.hpc.example,m-2", ("n1.hpc.example", "m-2")),
    ],
)
def test_a_list_is_spelled_out_in_order(nodelist: str, names: tuple[str, ...]) -> None:
    assert expand(nodelist) == names


@pytest.mark.parametrize(
    "nodelist",
    ["c[1-3", "c1]", "c[]", "c[a-b]", "c[3-1]", "c1,", ",c1", "c1,,c2", "(null)", "-x", "c 1", "c[[1]]", "c1\n"],
)
def test_what_is_no_list_of_nodes_is_refused(nodelist: str) -> None:
    with pytest.raises(UnexpectedOutput):
        expand(nodelist)


@pytest.mark.parametrize("nodelist", ["c[1-999999999]", "a[1-999]b[1-999]", "c[1-60000],d[1-60000]"])
def test_a_list_without_end_is_refused_before_it_is_made(nodelist: str) -> None:
    with pytest.raises(UnexpectedOutput, match="more than"):
        expand(nodelist)


@pytest.mark.parametrize("nodelist", ["gpu_01", "gpu_[01-02]", "n1.hpc.example", "rack-1_n[1-2]", "9a"])
def test_a_node_has_the_same_names_for_the_listing_the_job_the_keyhole_and_the_gateway(nodelist: str) -> None:
    """The keyhole alone refused underscores: a job on such a node was ended by 422."""
    names = expand(nodelist)

    assert tuple(keyhole_client.expand(nodelist)) == names
    assert TypeAdapter(tuple[NodeName, ...]).validate_python(names) == names
    assert [scripts.resolve(f"{name}-ib0").argv[-1] for name in names] == [f"{name}-ib0" for name in names]

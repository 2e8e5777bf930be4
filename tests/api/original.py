"""What an existing portal asks for at the original interface, as the page has it."""

from tests.unit.api.conftest import Client

VARIABLES = {
    "expected_runtime_in_minutes": "15",
    "number_of_nodes": "1",
    "tasks_per_node": "1",
    "image_name": "ubuntu_nemo.simg",
}
ASKED = {"uid": "testuser", "template-name": "template_xpra.txt", "variables": VARIABLES}
TEMPLATE = "#!/bin/bash\n" + "".join(f"echo {{{{{name}}}}}\n" for name in VARIABLES)


async def submitted(portal: Client) -> str:
    """Ask for a job and return its id."""
    response = await portal.post("/jobs", json=ASKED)
    assert response.status == 200
    return str((await response.json())["job-id"])

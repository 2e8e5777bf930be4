"""The batch script of a job as Slurm gets it, but for the token, which is masked."""

from aiohttp import web

from api import asking, wishes
from api.addresses import job_id
from api.answers import answer
from api.bodies import read_body
from api.desk import DESK, Desk
from api.filters import NoQuery
from api.problems import Problem
from api.queries import read_query
from api.schemas import plain
from reconciler.batchscript.library import TemplateUnknown
from reconciler.batchscript.options import sbatch_options
from reconciler.batchscript.render import ScriptContext, render
from reconciler.batchscript.template import TemplateWrong
from reconciler.batchscript.token import MASKED
from reconciler.batchscript.variables import VariablesWrong
from reconciler.config import read_authority
from reconciler.model.base import JobId, Value
from reconciler.model.wish import JobSpec

PREVIEWED = JobId("preview")
"""Stands for the id of a job that is not there yet."""


class ScriptShown(Value):
    """A batch script, and what sbatch is told beside it."""

    job: str
    sbatch_options: tuple[str, ...]
    """They win over the script's ``#SBATCH`` lines."""
    script: str


async def show(request: web.Request) -> web.Response:
    """``GET /v1/jobs/<id>/script``: the batch script of a job, made from the template as it is now."""
    read_query(request, NoQuery)
    desk, job = request.app[DESK], job_id(request)
    return _script(desk, job, (await wishes.find(desk, job)).wish.spec)


async def preview(request: web.Request) -> web.Response:
    """``POST /v1/scripts``: the batch script that a wish would make; nothing is written, nobody is asked."""
    read_query(request, NoQuery)
    desk, body = request.app[DESK], await read_body(request)
    asked = asking.checked(desk, body.raw, body.members)
    return _script(desk, JobId(asked.id or PREVIEWED), asked.spec)


def _script(desk: Desk, job: JobId, spec: JobSpec) -> web.Response:
    context = ScriptContext(
        job=job,
        user=spec.user,
        home=f"{desk.config.bwvisu_home_prefix}/{spec.user}",
        instance=desk.config.instance,
        token=MASKED,
        keyhole_servers=tuple((str(server.ip), server.port) for server in desk.config.keyholed_servers),
        keyhole_authority=read_authority(desk.config.api.keyhole_ca_file),
    )
    try:
        script = render(desk.library.text(spec.template), spec.variables, context)
    except (TemplateUnknown, TemplateWrong, VariablesWrong) as error:
        raise Problem("template-wrong", f"The template no longer fits the job: {error}.") from error
    return answer(plain(ScriptShown(job=job, sbatch_options=sbatch_options(spec), script=script)))

"""The batch script of a wish: template, variables and the keyhole client with the job's token."""

from dataclasses import dataclass

from reconciler.actuators.protocols import BatchSystem
from reconciler.batchscript.library import Library
from reconciler.batchscript.options import sbatch_options
from reconciler.batchscript.render import ScriptContext, render
from reconciler.batchscript.token import job_token
from reconciler.errors import Refused
from reconciler.model.queue import Submission
from reconciler.model.wish import Wish


@dataclass(frozen=True, slots=True, repr=False)
class TemplateScripts:
    """Renders templates of a directory. The token is made anew each time: nothing is stored."""

    library: Library
    slurm: BatchSystem
    server_secret: bytes
    instance: str
    keyhole_servers: tuple[tuple[str, int], ...]
    keyhole_authority: str

    async def submission(self, wish: Wish) -> Submission:
        """Return what to give sbatch; see `Scripts.submission`."""
        spec = wish.spec
        account = await self.slurm.account(spec.user)
        if account is None:
            raise Refused(f"user {spec.user} does not exist on the cluster")
        context = ScriptContext(
            job=wish.job_id,
            user=spec.user,
            home=account.home,
            instance=self.instance,
            token=job_token(self.server_secret, self.instance, wish.job_id),
            keyhole_servers=self.keyhole_servers,
            keyhole_authority=self.keyhole_authority,
        )
        script = render(self.library.usable(spec.template), spec.variables, context)
        return Submission(wish.job_id, 1, spec.user, script, sbatch_options(spec))

"""The names of the keys, built and read in one place. Split by writer, so that access control is a prefix."""

from dataclasses import dataclass

from reconciler.model.base import GatewayName, JobId


@dataclass(frozen=True, slots=True)
class Keys:
    """Builds every key below one prefix (``/bwvisu`` by default)."""

    prefix: str = "/bwvisu"

    @property
    def everything(self) -> str:
        """All keys of this installation."""
        return f"{self.prefix}/"

    @property
    def wishes(self) -> str:
        """All desired jobs. The API is their only writer, the controller removes them when all is done."""
        return f"{self.prefix}/desired/jobs/"

    def wish(self, job: JobId) -> str:
        """Name what the portal wishes of one job."""
        return f"{self.wishes}{job}"

    @property
    def forwards(self) -> str:
        """All requests for ports."""
        return f"{self.prefix}/desired/forwards/"

    def forward(self, job: JobId) -> str:
        """Name the request for ports of one job."""
        return f"{self.forwards}{job}"

    @property
    def exits(self) -> str:
        """All that jobs told of their ends."""
        return f"{self.prefix}/desired/exits/"

    def exit(self, job: JobId) -> str:
        """Name what one job told of its end."""
        return f"{self.exits}{job}"

    @property
    def questions(self) -> str:
        """All open questions about users."""
        return f"{self.prefix}/desired/users/"

    def question(self, user: str) -> str:
        """Name the question whether this user exists on the cluster."""
        return f"{self.questions}{user}"

    @property
    def controller_wish(self) -> str:
        """What operators wish of the controller itself."""
        return f"{self.prefix}/desired/controller"

    @property
    def turnstile(self) -> str:
        """Which job the API let in last; written only where jobs are limited."""
        return f"{self.prefix}/desired/admission"

    @property
    def gateway_wishes(self) -> str:
        """All that operators wish of gateways."""
        return f"{self.prefix}/desired/gateways/"

    def gateway_wish(self, name: GatewayName) -> str:
        """Name what operators wish of one gateway."""
        return f"{self.gateway_wishes}{name}"

    @property
    def reports(self) -> str:
        """All reports on jobs."""
        return f"{self.prefix}/observed/jobs/"

    def report(self, job: JobId) -> str:
        """Name what the controller reports of one job."""
        return f"{self.reports}{job}"

    @property
    def answers(self) -> str:
        """All known answers about users."""
        return f"{self.prefix}/observed/users/"

    def answer(self, user: str) -> str:
        """Name the answer whether this user exists on the cluster."""
        return f"{self.answers}{user}"

    @property
    def command_nodes(self) -> str:
        """Reports on all command nodes."""
        return f"{self.prefix}/observed/command-nodes/"

    def command_node(self, name: str) -> str:
        """Name the report whether one command node is of use."""
        return f"{self.command_nodes}{name}"

    @property
    def gateways(self) -> str:
        """Reports on all gateways."""
        return f"{self.prefix}/observed/gateways/"

    def gateway(self, name: GatewayName) -> str:
        """Name the report whether one gateway is of use."""
        return f"{self.gateways}{name}"

    @property
    def leases(self) -> str:
        """All port leases."""
        return f"{self.prefix}/leases/ports/"

    def lease(self, gateway: GatewayName, port: int) -> str:
        """Name the lease of one port; zero-padded, so that keys sort as ports do."""
        return f"{self.leases}{gateway}/{port:05d}"

    @property
    def events(self) -> str:
        """All events."""
        return f"{self.prefix}/events/"

    def events_of(self, subject: str) -> str:
        """All events of one subject; see `reconciler.model.event.Event.subject`."""
        return f"{self.events}{subject}/"

    @property
    def identity(self) -> str:
        """Whose marks and tokens everything below the prefix was made with."""
        return f"{self.prefix}/controller/identity"

    @property
    def leader(self) -> str:
        """Who leads, and since when."""
        return f"{self.prefix}/controller/leader"

"""Which jobs somebody wants to see: the same parameters for a list and for a watch."""

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, StringConstraints

from reconciler.model.base import UserName, Value
from reconciler.model.report import Phase, Report
from reconciler.model.wish import Wish

LabelPair = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{0,63}=[A-Za-z0-9._-]{0,63}$")]


class Facts(NamedTuple):
    """What of a job a filter looks at; of one that cannot be read nothing is known."""

    user: str | None = None
    phase: Phase | None = None
    labels: Mapping[str, str] = {}

    @classmethod
    def of(cls, wish: Wish, report: Report | None) -> "Facts":
        """Return the facts of a job; before the first report it is pending."""
        return cls(wish.spec.user, report.phase if report is not None else Phase.PENDING, wish.spec.labels)


class JobFilter(Value):
    """Parameters of an address; what is left out does not matter."""

    user: UserName | None = None
    """Jobs of this user."""
    phase: Annotated[tuple[Phase, ...], Field(max_length=len(Phase))] = ()
    """Jobs in one of these phases; may be given several times."""
    label: Annotated[tuple[LabelPair, ...], Field(max_length=32)] = ()
    """Jobs with all of these labels, each as name=value; may be given several times."""

    @property
    def wants_all(self) -> bool:
        """Whether no job is left out."""
        return self.user is None and not self.phase and not self.label

    def wants(self, facts: Facts) -> bool:
        """Tell whether a job is among those that are wanted."""
        return (
            (self.user is None or facts.user == self.user)
            and (not self.phase or facts.phase in self.phase)
            and all(facts.labels.get(name) == value for name, _, value in (pair.partition("=") for pair in self.label))
        )

    def may_have_wanted(self, facts: Facts) -> bool:
        """Tell whether a job can have been among those that are wanted: all but its user may have changed since."""
        return self.user is None or facts.user in {self.user, None}


class ListQuery(JobFilter):
    """Parameters of ``GET /v1/jobs``."""

    limit: Annotated[int, Field(ge=1, le=1000)] | None = None
    """At most so many jobs; the answer's ``continue`` leads to the next ones."""
    continue_: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,18}\..{1,256}$")] | None = Field(
        default=None, alias="continue"
    )
    """From the answer before: the next jobs as they stood at the moment of the first answer."""


class DeleteQuery(Value):
    """Parameters of ``DELETE /v1/jobs/<id>``."""

    force: Literal["true", "false"] = "false"
    """Do not wait until ports and Slurm job are gone."""


class NoQuery(Value):
    """An address without parameters."""

"""The site's rules for sessions, from the configuration's minutes."""

from datetime import timedelta

from reconciler.config import Policy
from reconciler.model.decision import Terms


def terms_of(policy: Policy) -> Terms:
    """Return the rules that plans go by."""
    return Terms(
        lifetime=_minutes(policy.max_lifetime_minutes),
        idle_stop=_minutes(policy.idle_stop_minutes),
        warning=timedelta(minutes=policy.warn_before_end_minutes),
    )


def _minutes(value: float | None) -> timedelta | None:
    return timedelta(minutes=value) if value is not None else None

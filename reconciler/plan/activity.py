"""When packets last passed through a job's ports: from counters that may be missing, begin anew, or be behind.

What the counters said at the last activity is kept in the report. Where they say the same later, nothing has passed,
however long nobody looked; anything else counts as activity, even a counter that has begun again at 0. Looks that
failed leave everything as it was (I2).
"""

from datetime import datetime, timedelta

from reconciler.model.decision import Count, Seen, Terms
from reconciler.model.report import Activity

STEPS_PER_STOP = 5
"""Activity is written down this often within the time after which an idle job is ended …"""

STEP_MAX = timedelta(minutes=5)
"""… and at least this often."""


def idle_stop(seen: Seen, terms: Terms) -> timedelta | None:
    """Return after which time without packets the job is ended; None for never."""
    return shorter(seen.wish.spec.idle_stop_minutes, terms.idle_stop)


def shorter(wished_minutes: int | None, rule: timedelta | None) -> timedelta | None:
    """Return the shorter of a wish and the site's rule, as far as there are any."""
    wished = timedelta(minutes=wished_minutes) if wished_minutes is not None else None
    return min((limit for limit in (wished, rule) if limit is not None), default=None)


def step(idle: timedelta) -> timedelta:
    """Return how long what is written down of a busy job may be behind."""
    return min(idle / STEPS_PER_STOP, STEP_MAX)


def activity(seen: Seen, terms: Terms, now: datetime) -> Activity | None:
    """Return when the job was last active, as coarsely as it is written down; None where nobody asks."""
    idle, last = idle_stop(seen, terms), seen.report.activity if seen.report is not None else None
    counts = _counts(seen)
    if idle is None or counts is None:
        return last if idle is not None else None
    packets = {name: count.packets for name, count in counts.items()}
    if last is None or any(count.opened is not None and count.opened > last.last_active for count in counts.values()):
        return Activity(last_active=now, packets=packets)
    if packets == last.packets or now - last.last_active < step(idle):
        return last
    return Activity(last_active=now, packets=packets)


def idle_until(seen: Seen, last: Activity) -> datetime | None:
    """Return until when the counters prove that nothing has passed since the last activity; None if they do not."""
    counts = _counts(seen)
    if counts is None or {name: count.packets for name, count in counts.items()} != last.packets:
        return None
    return min(count.read for count in counts.values())


def is_counted(seen: Seen) -> bool:
    """Whether all of the job's ports were read since this process started."""
    return _counts(seen) is not None


def _counts(seen: Seen) -> dict[str, Count] | None:
    """Return what was counted on each of the job's ports; None unless all of them were read."""
    links = [link for link in seen.links if not link.lease.released]
    counts = {f"{link.lease.gateway}/{link.lease.port}": link.count for link in links if link.count is not None}
    return counts if links and len(counts) == len(links) else None

"""The real controllers on a simulated site: one seed decides all that happens, and a failing one happens again.

`kernel` keeps time, `loop` and `process` make a controller process that can die or stop at any instant, `gate` is the
way of every call (late, lost, or the last one), `etcd`, `cluster` and `hands` are the world behind it, `people`,
`users` and `mischief` move it, `invariants` and `lives` look at every step, and `run` makes one schedule of it all.
"""

"""The controller: wishes in etcd become Slurm jobs, gateway rules and port leases.

The way of the data is the way of the folders; imports point down.

``__main__``     the daemon: configuration, logs, signals
``app``          the only place that builds things; every long task in one TaskGroup
``controllers``  glue, one file per kind of thing: gather, decide, act, report
``actuators``    hands: ssh, Slurm and iptables; pure text functions with one thin runner each
``plan``         decisions: pure functions of what is wished, what is seen and the time
``batchscript``  a template becomes a batch script, with the keyhole client inside
``store``        etcd: client, keys, values, watches, transactions
``loop``         machinery that knows nothing of jobs: work queue, backoff, informer, worker
``model``        nouns
``config``, ``errors``, ``logs``
"""

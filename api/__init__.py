"""The doors: a REST API for the portal and the keyhole for jobs; both only write wishes into etcd.

``routes``      the whole HTTP surface, as one table per door
``app``         the two applications and their listeners
``v1``          the portal's requests          ``keyhole``  a job's request for ports
``original``    those of portals made for the original middleware, in its five ``states``
``asking``      checks a job that is asked for ``idempotency`` makes one job of one key
``addresses``, ``queries``, ``filters``, ``tags``  what an address names, its parameters, which jobs, as of when
``operations``, ``shapes``, ``openapi``  what each route takes and gives, and the description made of it
``listing``     jobs, page after page          ``catalogue`` templates, command nodes, ports
``scripts``     a batch script before it runs  ``watch``     every change as an event, from the ``mirror``
``exits``       what a job tells of its end    ``proof``    the job behind a signed call; ``recording`` writes it once
``schemas``     what comes in and goes out     ``findings`` what is wrong with what came in, field by field
``bodies``      reads a body: bounded, strict  ``problems`` every refusal, as RFC 9457 has it
``middleware``  around every request: problems, credentials  ``audit`` one line of log
``protocol``    a connection, and what comes over it that is not HTTP; ``turns`` lets others go on beside long work
``auth``, ``passwords``, ``signing``           who asks
``gateways``    what operators see and wish of gateways; ``gateway_commands`` the same on the command line
``sources``     the site's policy on who may connect
``wishes``, ``users``, ``waiting``             what is asked of etcd
``heard``, ``places``                          what the watch told, so that etcd need not be asked
``client``, ``cli``                            the command line
"""

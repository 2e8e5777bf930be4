"""The doors: a REST API for the portal and the keyhole for jobs; both only write wishes into etcd.

``routes``      the whole HTTP surface, as one table per door
``app``         the two applications and their listeners
``v1``          the portal's requests          ``keyhole``  a job's request for ports
``exits``       what a job tells of its end    ``proof``    the job behind a signed call
``schemas``     what comes in and goes out     ``findings`` what is wrong with what came in, field by field
``bodies``      reads a body: bounded, strict  ``problems`` every refusal, as RFC 9457 has it
``middleware``  around every request: one line of log, problems, credentials
``auth``, ``passwords``, ``signing``           who asks
``wishes``, ``users``, ``waiting``             what is asked of etcd
``client``, ``cli``                            the command line
"""

"""A template and its variables become a batch script; nothing here touches the world.

A template is a shell script of the site's, written in a part of mustache: ``{{name}}`` (also ``{{{name}}}``; nothing is
escaped, since values hold nothing that a shell would read), sections over these values, and comments. Partials and
other delimiters are refused, so that the names a template needs can be read off it and a portal is told all that is
missing at once.
``job_id``, ``user`` and ``home`` are filled in by us. One line ``#KEYHOLE-REQUEST-PORTS N`` becomes the keyhole client
and its call.

``tags``       what of mustache there may be
``template``   reads a template               ``variables``  do the portal's variables fit it?
``declarations`` what it says of its variables ``description`` what a portal may show of it
``library``    the templates of a site        ``render``     all of it together
``forwarding`` the lines around the client    ``keyhole_client``, ``keyhole_call``, ``keyhole_watch`` the program inside
``token``      a job's token and signatures   ``options``    what is asked of sbatch
"""

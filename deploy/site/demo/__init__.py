"""The demonstration `deploy/lab demo`: one session from the portal's wish to the last key, each claim checked.

``show``      the command: makes what is missing, tells the story, leaves the machine as it was
``story``     the session itself, chapter by chapter
``applications`` real ones, each looked at in ``browser``, a program for a node outside the cluster
``pages``     what the browser meets on each application's page; ``image`` builds one that runs from an image
``interfaces`` what `/v1` and the original middleware's interface say of one job
``evidence``  what is asked of the site's nodes, never of the middleware, to check what it claims
``session``   one job as its keys in etcd show it
``timeline``  every change in etcd, with the time at which it could be seen
``telling``   what one such change means, in a sentence
``background``  API and controller as processes that outlive who started them
``screen``    lines for a terminal of 80 columns
"""

from deploy.site.demo.show import show

__all__ = ["show"]

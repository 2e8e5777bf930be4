"""The doors from outside: what is promised to portals and jobs, over HTTP, for all who ask."""

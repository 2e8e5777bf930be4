"""The doors: a REST API for the portal and the keyhole for jobs; both only write wishes into etcd."""

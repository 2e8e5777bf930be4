"""The messages of etcd's v3 API that we use; ``deploy/protoc`` makes the modules from the ``.proto``."""

"""The store's parts that need no etcd: client, informer, election, fence, codec."""

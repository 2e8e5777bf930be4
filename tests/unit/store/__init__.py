"""The store's parts that need no etcd: informer, election, fence, codec, and what the client decides by itself."""

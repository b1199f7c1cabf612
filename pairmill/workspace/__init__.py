"""Storage, object stores, pools and shards, column sets, leases, contents and gc."""

"""Storage, object stores, tables and shards, column sets, leases, contents and gc."""

"""Planning and publishing output shards."""

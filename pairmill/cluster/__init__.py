"""Everything that knows Ray: session, executor, partitions, memory, nodes, jobs, metrics."""

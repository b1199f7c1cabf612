"""A block of rows through a stage: batches, attempts, claims, deadlines; phases in this process."""

"""What became of each row, read off stored columns: trace, survey, ledger."""

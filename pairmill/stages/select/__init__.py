"""Selection over the whole set: top shares, budgets, quotas, a random control."""

"""Gates as SQL: parsing, types of values, arithmetic, functions; compiled to Polars expressions."""

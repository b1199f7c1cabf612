"""Pipeline file → checked config → chain of planned stages, identities, phases; documentation."""

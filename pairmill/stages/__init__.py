"""What stages are made of (base classes, contract, catalogue), and stages that look at all rows,
make elements, download or ask a model.
"""

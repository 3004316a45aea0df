"""Small faults, planted one at a time: the tests must notice. `make mutants`."""

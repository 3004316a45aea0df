"""Tests of the package `serving`, in folders as its own: tests/test_serving.py runs them inside a project."""

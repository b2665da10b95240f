"""The applications that the tests serve."""

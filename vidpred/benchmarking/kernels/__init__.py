"""The kernels suite: `suite` runs and compares, and each op has a file of its own with its cases."""

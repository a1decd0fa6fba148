"""Questions about trained models that a table of metrics does not answer, and the tools to ask them."""

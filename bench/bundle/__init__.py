"""Archives of results that can be cited: written by `slim-bench bundle`, verified by `slim-bench bundle --check`."""

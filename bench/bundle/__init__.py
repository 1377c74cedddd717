"""Writes (`slim-bench bundle`) and verifies (`slim-bench bundle --check`) citable archives of results."""

"""Inputs of the report: scores, costs, histories, audits and published values, with their labels and roles."""

"""The report: tables, figures and page from results/{scale}/scores.csv. No torch."""

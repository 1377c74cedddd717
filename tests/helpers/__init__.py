"""What tests share: small datasets, runs, score files, projects."""

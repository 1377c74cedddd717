"""From scores to the page: everything here reads the tidy results/{scale}/scores.csv, nothing imports torch."""

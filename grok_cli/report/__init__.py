"""What came out of runs, as a page: a verdict beside the published numbers, figures, tables."""

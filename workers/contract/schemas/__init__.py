"""Built-in grading schemas, one per file. The registry knows them by name."""

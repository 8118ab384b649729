"""Course kits: one folder that says how an assignment is graded, for `run`, the page and nightly regrades alike."""

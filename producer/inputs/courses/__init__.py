"""Course systems' downloads: whose each file is, and what of an export is metadata and never a prompt."""

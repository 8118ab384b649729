"""The commands of `gradequeue`, one file per kind of user's errand; `producer.cli` puts them together."""

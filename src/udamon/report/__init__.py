"""Reports: one SQL query each over the rows of a recording, and their rendering."""

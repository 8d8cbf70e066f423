"""The page of a recording: one HTML file with its data, style and script."""

"""Charts of a recording as shapes, which SVG and PNG both can show."""

"""The live view: what a monitor sees, while it sees it. Needs the extra `live` (Textual)."""

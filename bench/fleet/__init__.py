"""A fleet that is made up, with known truth: what reports over many machines are judged by."""

"""Which services run on this node, by name, from control groups."""

"""Many machines: the tables that nodes write, where their objects lie, and what moves them."""

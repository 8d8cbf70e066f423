"""What people run the agent with, beside the program: units, rules, dashboards, manifests."""

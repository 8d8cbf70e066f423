"""From a specification to a monitor that is ready to run: the one place that puts the parts together."""

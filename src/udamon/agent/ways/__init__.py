"""Ways of looking at a service: what is cleared, what a look tells, and what that costs."""

"""Operations sets and access-check primitives: the only code that knows how an access is seen."""

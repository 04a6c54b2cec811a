"""Ways of remembering earlier tasks while a new one is learned."""

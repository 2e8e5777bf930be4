"""Claims about the whole project, from pure functions up to a real site."""

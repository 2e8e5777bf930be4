"""Claims about templates, scripts and the client that travels inside them."""

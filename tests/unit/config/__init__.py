"""Claims about the configuration: values, relations, places, secrets and the generated manual."""

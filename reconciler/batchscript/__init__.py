"""A template and its variables become a batch script; nothing here touches the world."""

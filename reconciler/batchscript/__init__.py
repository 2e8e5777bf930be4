"""A template and its variables become a batch script; nothing here touches the world.

The template is mustache, cut down to ``{{name}}`` and comments, so that the names it needs can be read off it. One line
``#KEYHOLE-REQUEST-PORTS N`` becomes the keyhole client and its call: see `reconciler.batchscript.forwarding`.
"""

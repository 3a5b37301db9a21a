"""Chapter 19: heads that do one thing: find where they look, when they are born, and what is lost without them."""
